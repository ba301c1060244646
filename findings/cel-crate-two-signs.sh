#!/usr/bin/env bash
# Library: the Rust crate cel 0.13.0, an interpreter of CEL. Seen in 2026-11.
#
# Guess: `!!x` is x and `--1` is 1. CEL's grammar allows any number of signs, and cel-go answers the same.
#
# What happens: an even number of signs counts as one. In brackets, the same two signs count as two:
#> !true = Bool(false)
#> !!true = Bool(false)
#> !(!true) = Bool(true)
#> --1 = Int(-1)
#> -(-1) = Int(1)
# If the number of signs is even, the parser visits the operand once more, drops the result, and negates it all the same.
#
# Why it matters: `!!` comes from templates, and from a `!` in front of a rule that already begins with one. The rule then means the
# opposite, with no error, and only in Rust programs. Write `!(…)`.
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
    for input in ["!true", "!!true", "!(!true)", "--1", "-(-1)"] {
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
  echo "The crate cel no longer counts two signs as it did in 2026-11." >&2
  exit 1
fi
