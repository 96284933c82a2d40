#!/usr/bin/env bash
# Every check and every test, on servers of their own, and those of the database on the newest PostgreSQL, too.
#     scripts/test.sh                        all of it
#     scripts/test.sh ARGUMENTS…             what `cargo test` does with these
#     scripts/test.sh --postgres VERSION     the tests of the database on that PostgreSQL: 15, 16, 17 or 18
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly NEWEST=18

# The tests start their own servers; what the caller's shell points at is none of their business.
unset CUTOVER_DATABASE_URL CUTOVER_BASE_URL

on_postgres() (
  exports="$(scripts/install.sh --postgres "$1")"
  eval "$exports"
  "$CUTOVER_POSTGRES_BIN/postgres" --version
  cargo test --release --locked --test diff --test seed --test seed_command --test seed_digest
)

if [ "${1:-}" = --postgres ]; then
  on_postgres "${2:?--postgres needs a version: 15, 16, 17 or 18}"
  exit
fi

exports="$(scripts/install.sh --full --browser --slurm)"
eval "$exports"
if cargo fmt --version >/dev/null 2>&1; then cargo fmt --check; fi
if cargo clippy --version >/dev/null 2>&1; then
  cargo clippy --release --locked --all-targets -- -D warnings
fi
cargo test --release --locked "$@"
if [ $# -gt 0 ]; then exit; fi

if [ -n "${CUTOVER_BROWSER:-}" ]; then cargo test --release --locked --test report -- --ignored; fi
if [ -n "${CUTOVER_SLURM:-}" ]; then cargo test --release --locked --test slurm -- --ignored; fi
# Where a machine has no npm, the version it has must do.
if command -v npm >/dev/null 2>&1 && [ "$(uname -sm)" = 'Linux x86_64' ]; then on_postgres "$NEWEST"; fi
