#!/bin/sh
# Builds the operator and lays out the files of its image in the new folder $1. The Dockerfile and `cargo xtask image` both call
# it, so that both images hold the same files, built with the same flags. Nothing else comes from a base image.
set -eu
umask 022
cd "$(dirname "$0")/.."
root="$1"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

# The same bytes in whatever folder, and for whichever user, it is built.
separator="$(printf '\037')"
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo"
CARGO_ENCODED_RUSTFLAGS="$CARGO_ENCODED_RUSTFLAGS$separator--remap-path-prefix=$PWD=/src"
CARGO_ENCODED_RUSTFLAGS="$CARGO_ENCODED_RUSTFLAGS$separator--remap-path-prefix=$CARGO_TARGET_DIR=/target"
export CARGO_ENCODED_RUSTFLAGS CARGO_INCREMENTAL=0
# The allocator takes its page size from the machine that builds; on arm64 a node may have larger ones.
if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi

cargo build --release --locked --package signalbox --bin signalbox
binary="$CARGO_TARGET_DIR/release/signalbox"
install -D --mode=0755 "$binary" "$root/signalbox"
LD_LIBRARY_PATH= ldd "$binary" | grep --only-matching '/[^ ]*' | while read -r library; do
  install -D --mode=0755 "$library" "$root$library"
done
