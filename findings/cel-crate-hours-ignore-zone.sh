#!/usr/bin/env bash
# Library: the Rust crate cel 0.13.0, an interpreter of CEL. Seen in 2026-11.
#
# Guess: by the definition of CEL, `getHours()` is the hour in UTC and `getHours('Asia/Tokyo')` the hour in Tokyo. A library without time
# zones refuses the argument, and every library refuses a zone that does not exist.
#
# What happens: the argument is ignored; it is not even checked whether the zone exists. The result is not the hour in UTC either: the
# same instant has another hour if its text has another offset:
#> timestamp('2027-01-01T00:00:00Z').getHours() = Int(0)
#> timestamp('2027-01-01T00:00:00Z').getHours('Asia/Tokyo') = Int(0)
#> timestamp('2027-01-01T00:00:00Z').getHours('Nowhere/Atall') = Int(0)
#> timestamp('2027-01-01T09:00:00+09:00').getHours() = Int(9)
#> timestamp('2027-01-01T09:00:00+09:00') == timestamp('2027-01-01T00:00:00Z') = Bool(true)
#
# Why it matters: an office-hours rule such as `now.getHours('Asia/Tokyo') >= 9` is accepted and evaluated, and is nine hours off, with no
# error. Two equal timestamps can give two answers. Test such a rule with an instant whose hour differs between the zone and UTC.
set -euo pipefail
seen=$(sed -n 's/^#> //p' "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
cel = "=0.13.0"
TOML
mkdir src
cat >src/main.rs <<'RUST'
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    for input in [
        "timestamp('2027-01-01T00:00:00Z').getHours()",
        "timestamp('2027-01-01T00:00:00Z').getHours('Asia/Tokyo')",
        "timestamp('2027-01-01T00:00:00Z').getHours('Nowhere/Atall')",
        "timestamp('2027-01-01T09:00:00+09:00').getHours()",
        "timestamp('2027-01-01T09:00:00+09:00') == timestamp('2027-01-01T00:00:00Z')",
    ] {
        let value = cel::Program::compile(input)?.execute(&cel::Context::default())?;
        println!("{input} = {value:?}");
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR=target cargo build
cargo tree --package cel --depth 0 --prefix none
output=$(target/debug/finding)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "The crate cel no longer reads the hour of a timestamp as it did in 2026-11." >&2
  exit 1
fi
