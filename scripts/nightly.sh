#!/usr/bin/env bash
# The nightly gate: rehearses, holds the night against those before it, and keeps it. Arguments go to
# `cutover rehearse`; the exit code is the verdict's.
#     HISTORY=nights scripts/nightly.sh
# HISTORY (default: nights) holds a folder per night, the newest KEEP (default: 30). reports/latest is tonight's.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
history="${HISTORY:-nights}" keep="${KEEP:-30}"
tonight="$history/$(date -u +%Y%m%d-%H%M%S)"
mkdir -p "$history" reports

baseline=()
# The first night has nothing to be held against.
if compgen -G "$history/*/run.json" >/dev/null; then baseline=(--baseline "$history"); fi

code=0
"$here/rehearse.sh" --profile nightly --out "$tonight" "${baseline[@]}" "$@" || code=$?
ln -sfn "$(readlink -f "$tonight")" reports/latest

if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -e "$tonight/report.md" ]; then
  cat "$tonight/report.md" >>"$GITHUB_STEP_SUMMARY"
fi
# What broke before it had a record is no night.
[ -e "$tonight/run.json" ] || rm -rf "$tonight"
find "$history" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n "+$((keep + 1))" | xargs -r rm -rf
exit "$code"
