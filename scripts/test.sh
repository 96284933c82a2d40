#!/usr/bin/env bash
# Every check and every test, on servers of their own; arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

exports="$(scripts/install.sh --full --browser --slurm)"
eval "$exports"
# The tests start their own servers; what the caller's shell points at is none of their business.
unset CUTOVER_DATABASE_URL CUTOVER_BASE_URL

if cargo fmt --version >/dev/null 2>&1; then cargo fmt --check; fi
if cargo clippy --version >/dev/null 2>&1; then
  cargo clippy --release --locked --all-targets -- -D warnings
fi
cargo test --release --locked "$@"
if [ $# -eq 0 ] && [ -n "${CUTOVER_BROWSER:-}" ]; then
  cargo test --release --locked --test report -- --ignored
fi
if [ $# -eq 0 ] && [ -n "${CUTOVER_SLURM:-}" ]; then
  cargo test --release --locked --test slurm -- --ignored
fi
