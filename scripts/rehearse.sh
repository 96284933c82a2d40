#!/usr/bin/env bash
# From nothing to a go/no-go: installs what is missing, builds, runs `cutover rehearse "$@"`, names the report.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

exports="$(scripts/install.sh)"
eval "$exports"
cargo build --release --locked --bin cutover

status=0
"${CARGO_TARGET_DIR:-target}/release/cutover" rehearse "$@" || status=$?
report=reports/latest/report.html
if [ -e "$report" ]; then printf 'report: %s\n' "$(readlink -f "$report")" >&2; fi
exit "$status"
