#!/usr/bin/env bash
# From nothing to a go/no-go: installs what is missing, builds, runs `cutover rehearse "$@"`, names the report.
# Files in the arguments, and reports/, are taken from the folder you are in, as `cutover` itself does.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

exports="$("$root/scripts/install.sh")"
eval "$exports"
cargo build --release --locked --bin cutover --manifest-path "$root/Cargo.toml"

before="$(readlink -f reports/latest || true)"
status=0
"${CARGO_TARGET_DIR:-$root/target}/release/cutover" rehearse "$@" || status=$?

# A run that was refused before it began has left no report, and an older one is not its own.
latest="$(readlink -f reports/latest || true)"
if [ "$latest" != "$before" ] && [ -e "$latest/report.html" ]; then
  printf 'report: reports/latest/report.html (%s)\n' "$latest" >&2
fi
exit "$status"
