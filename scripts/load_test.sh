#!/usr/bin/env bash
# The handbook's load test: scripts/load_test.sh --orgs 100000 --duration 1h
# Drives all of it, however soon it is decided. Against the target of CUTOVER_DATABASE_URL and CUTOVER_BASE_URL, else on a local rig; arguments go to `cutover rehearse`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

. "$root/scripts/built.sh"
exec "$cutover" rehearse --looks 1 "$@"
