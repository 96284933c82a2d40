# To be sourced, with $root set: builds the program and puts its path into $cutover.
exports="$("$root/scripts/install.sh")"
eval "$exports"
cargo build -q --release --locked --bin cutover --manifest-path "$root/Cargo.toml"
# shellcheck disable=SC2034 # for whoever sources this
cutover="${CARGO_TARGET_DIR:-$root/target}/release/cutover"
