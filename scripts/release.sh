#!/usr/bin/env bash
# What is given away of the present commit: the program with its manual and completions, what it is made of (CycloneDX),
# and their SHA-256. The same commit and compiler give the same bytes, in whatever folder and for whichever user.
#     scripts/release.sh [--offline] [DIR]     into DIR, target/dist where none is given
# First the licences, sources and known vulnerabilities of all dependencies are held against deny.toml; --offline leaves
# out the vulnerabilities, which only the network tells.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly DENY=cargo-deny@0.20.2 SBOM=cargo-cyclonedx@0.5.9

checks=(advisories bans licenses sources)
if [ "${1:-}" = --offline ]; then checks=(bans licenses sources); shift; fi
mkdir -p "${1:-target/dist}"
dist="$(cd "${1:-target/dist}" && pwd)"

exports="$(scripts/install.sh)"
eval "$exports"
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
# Built once, then kept beside the crates.
tools="$cargo_home/cutover-tools"
cargo install --quiet --locked --root "$tools" "$DENY" "$SBOM"
export PATH="$tools/bin:$PATH"
cargo deny --locked check "${checks[@]}"

# From the commit itself: what lies about in this folder does not get in.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$work/target"
mkdir "$work/source"
git archive HEAD | tar -x -C "$work/source"
cd "$work/source"
# No path of this machine gets into the program.
export RUSTFLAGS="--remap-path-prefix=$work=/build --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$work=/build -ffile-prefix-map=$cargo_home=/cargo"
cargo build --release --locked --bin cutover

triple="$(rustc -vV | sed -n 's/^host: //p')"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
name="cutover-$version-$triple"
mkdir -p "$work/$name/completions"
cp "$work/target/release/cutover" README.md CHANGELOG.md LICENSE-* "$work/$name/"
"$work/target/release/cutover" man >"$work/$name/cutover.1"
for shell in bash zsh fish; do
  "$work/target/release/cutover" completions "$shell" >"$work/$name/completions/$shell"
done
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+w \
  -C "$work" -c "$name" | gzip -n >"$dist/$name.tar.gz"

cargo cyclonedx --quiet --format json --target "$triple" --override-filename "$name.cdx"
# It names this folder; the program names it so.
sed "s|$work/source|/build/source|g" "$name.cdx.json" >"$dist/$name.cdx.json"
cd "$dist"
sha256sum "$name.tar.gz" "$name.cdx.json" >"$name.sha256"
cat "$name.sha256"
