#!/usr/bin/env bash
# The handbook's smoke tests: scripts/smoke_tests.sh ENV, for example `scripts/smoke_tests.sh staging`.
# The platform of ENV is described by ENV.toml in the folder you are in, or named by CUTOVER_BASE_URL.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

if [ $# -lt 1 ] || [ "${1#-}" != "$1" ]; then
  echo 'usage: scripts/smoke_tests.sh ENV [OPTIONS of cutover smoke]' >&2
  exit 2
fi
environment="$1"
shift
config=()
if [ -e "$environment.toml" ]; then config=(--config "$environment.toml"); fi
if [ ${#config[@]} -eq 0 ] && [ -z "${CUTOVER_BASE_URL:-}" ] && [[ " $* " != *' --base-url '* ]]; then
  echo "smoke_tests: no platform is named: there is no $environment.toml here" >&2
  echo '  hint: write base_url = "https://…" into it, or set CUTOVER_BASE_URL' >&2
  exit 2
fi
. "$root/scripts/built.sh"
exec "$cutover" smoke "${config[@]}" "$@"
