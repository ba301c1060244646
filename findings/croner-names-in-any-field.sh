#!/usr/bin/env bash
# Library: the Rust crate croner 4.0.3, a reader of cron patterns. Seen in 2026-11.
#
# Guess: a name is valid in its own field only: JAN for a month, MON for a day of the week. In any other field it is an error, as it is
# for robfig/cron, and as `0 9 * * DEC` is for croner itself.
#
# What happens: names become numbers in the whole text before it is split into fields. So a name in the wrong field is accepted if the
# number happens to be valid there:
#> 0 9 * JAN *: Fri 2027-01-01 09:00, Sat 2027-01-02 09:00, Sun 2027-01-03 09:00
#> 0 9 * * JAN: Mon 2027-01-04 09:00, Mon 2027-01-11 09:00, Mon 2027-01-18 09:00
#> 0 9 * * JUL: Sun 2027-01-03 09:00, Sun 2027-01-10 09:00, Sun 2027-01-17 09:00
#> 0 9 DEC * *: Tue 2027-01-12 09:00, Fri 2027-02-12 09:00, Fri 2027-03-12 09:00
#> MON 9 * * *: Fri 2027-01-01 09:01, Sat 2027-01-02 09:01, Sun 2027-01-03 09:01
#> 0 9 * * DEC: error: Component error: Number out of bounds.
#
# Why it matters: fields in the wrong order are the most common mistake in a cron pattern, and a name should reveal it. "Every January"
# becomes "every Monday" and runs the whole year. The mistake is caught for AUG to DEC, but not for JAN to JUL.
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
chrono = "=0.4.45"
croner = "=4.0.3"
TOML
mkdir src
cat >src/main.rs <<'RUST'
use chrono::{DateTime, Utc};
use croner::{Cron, Direction};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let start: DateTime<Utc> = "2027-01-01T00:00:00Z".parse()?;
    for input in ["0 9 * JAN *", "0 9 * * JAN", "0 9 * * JUL", "0 9 DEC * *", "MON 9 * * *", "0 9 * * DEC"] {
        match input.parse::<Cron>() {
            Ok(cron) => {
                let runs = cron.iter_from(start, Direction::Forward).take(3);
                let runs: Vec<String> = runs.map(|at| at.format("%a %F %R").to_string()).collect();
                println!("{input}: {}", runs.join(", "));
            }
            Err(error) => println!("{input}: error: {error}"),
        }
    }
    Ok(())
}
RUST
CARGO_TARGET_DIR=target cargo build
cargo tree --package croner --depth 0 --prefix none
output=$(target/debug/finding)
echo "$output"
if [[ "$output" != "$seen" ]]; then
  echo "croner no longer reads the same names in the wrong field as in 2026-11." >&2
  exit 1
fi
