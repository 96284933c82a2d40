#!/usr/bin/env bash
# From nothing to a go/no-go: installs what is missing, builds, runs `cutover rehearse "$@"`, which ends by naming the report.
# Files in the arguments, and reports/, are taken from the folder you are in, as `cutover` itself does.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# A rig with everything needs PgBouncer, too.
full=()
for argument in "$@"; do
  if [ "$argument" = --full ]; then full=(--full); fi
done
exports="$("$root/scripts/install.sh" "${full[@]}")"
eval "$exports"
cargo build --release --locked --bin cutover --manifest-path "$root/Cargo.toml"
exec "${CARGO_TARGET_DIR:-$root/target}/release/cutover" rehearse "$@"
