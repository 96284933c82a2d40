#!/usr/bin/env bash
# The handbook's smoke tests: scripts/smoke_tests.sh ENV, for example `scripts/smoke_tests.sh staging`.
# The platform of ENV is described in the folder you are in, by ENV.toml or by [env.ENV] of cutover.toml, or named by
# CUTOVER_BASE_URL.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

if [ $# -lt 1 ] || [ "${1#-}" != "$1" ]; then
  echo 'usage: scripts/smoke_tests.sh ENV [OPTIONS of cutover smoke]' >&2
  exit 2
fi
environment="$1"
shift
config=()
if [ -e "$environment.toml" ]; then
  config=(--config "$environment.toml")
elif [ -e cutover.toml ] && grep -qF "[env.$environment]" cutover.toml; then
  config=(--env "$environment")
fi
if [ ${#config[@]} -eq 0 ] && [ -z "${CUTOVER_BASE_URL:-}" ] && [[ " $* " != *' --base-url '* ]]; then
  echo "smoke_tests: no platform is named: there is no $environment.toml here, and no [env.$environment] in a cutover.toml" >&2
  echo '  hint: write base_url = "https://…" there, or set CUTOVER_BASE_URL' >&2
  exit 2
fi
. "$root/scripts/built.sh"
exec "$cutover" smoke "${config[@]}" "$@"
