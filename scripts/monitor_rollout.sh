#!/usr/bin/env bash
# The handbook's monitoring script: every 5 minutes the platform's metrics, an alert where something is wrong.
# METRICS_URL and ALERT_WEBHOOK are the handbook's own variables; arguments go to `cutover watch` (--for 24h, --every 1m).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

metrics_url="${METRICS_URL:-}"
options=()
if [ -n "$metrics_url" ]; then options+=(--base-url "${metrics_url%/monitoring/unified/metrics}"); fi
if [ -n "${ALERT_WEBHOOK:-}" ]; then export CUTOVER_ALERT_WEBHOOK="$ALERT_WEBHOOK"; fi
case " $* " in *' --every '* | *' --every='*) ;; *) options+=(--every 5m) ;; esac
. "$root/scripts/built.sh"
exec "$cutover" watch "${options[@]}" "$@"
