//! What the commands print, byte for byte, and their exit status.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod access;
mod doctor;
mod lint;
mod manual;
mod people;
mod pipelines;
mod pipes;
mod readme;
mod server;
mod simulate;
mod starter;

use clap::Parser;

use crate::cli::{Arguments, Exit, Terminal, run_on};
use crate::decide::fixtures::morning;

/// The exit status of `signalbox` with these words, and what it prints, on a Monday morning in November 2026.
fn signalbox(words: &[&str], input: &str) -> (Result<Exit, String>, String) {
    let words = std::iter::once(&"signalbox").chain(words);
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(usage) => return (Err(usage.to_string()), String::new()),
    };
    let mut printed = Vec::new();
    let (mut input, mut errors) = (input.as_bytes(), std::io::sink());
    let mut terminal = Terminal::piped(&mut input, &mut printed, &mut errors, morning());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let exit = runtime.block_on(run_on(&mut terminal, arguments));
    (exit, String::from_utf8(printed).unwrap())
}

/// Asserts that `printed` is the content of the file. `GOLDEN=write` writes it there, so that people can review the difference.
fn golden(name: &str, printed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/cli/tests")
        .join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, printed).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, wanted, "{name}");
}
