//! A reader that stops reading, as `head -1` does, ends a command without a word.

use std::io::{Error, ErrorKind, Write};
use std::time::Duration;

use clap::Parser;

use super::server::Server;
use crate::cli::{Arguments, Command, Exit, Terminal};
use crate::decide::fixtures::morning;

/// An output that fails.
struct Closed(ErrorKind);

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(Error::from(self.0))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Err(Error::from(self.0))
    }
}

async fn run(words: &str, kind: ErrorKind) -> (Result<Exit, String>, String) {
    let server = Server::after_the_demo("bob@example.com");
    let arguments = Arguments::try_parse_from(std::iter::once("signalbox").chain(words.split(' '))).unwrap();
    let Command::Person(command) = arguments.command else {
        panic!("not a command of people");
    };
    let (mut input, mut output, mut errors) = (std::io::empty(), Closed(kind), Vec::new());
    let mut terminal = Terminal::piped(&mut input, &mut output, &mut errors, morning());
    let session = server.session("payments");
    let ran = command.run(&session, &mut terminal);
    let exit = tokio::time::timeout(Duration::from_secs(60), ran).await.unwrap();
    (exit, String::from_utf8(errors).unwrap())
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_error() {
    for words in [
        "status -A",
        "status -o json",
        "status --watch",
        "explain payments-2026.12.1",
        "history",
        "calendar",
        "version",
    ] {
        let (exit, errors) = run(words, ErrorKind::BrokenPipe).await;
        assert!(exit.is_ok(), "{words}: {exit:?}");
        assert!(!errors.contains("pipe"), "{words}: {errors}");
    }
}

#[tokio::test]
async fn another_failure_of_the_output_is_an_error() {
    let (exit, _) = run("status -A", ErrorKind::StorageFull).await;
    assert_eq!(exit, Err("Cannot write the output: no storage space.".to_owned()));
}

#[tokio::test]
async fn a_watch_names_what_it_cannot_show() {
    let server = Server::after_the_demo("bob@example.com");
    server.change("payments-2026.12.2", |release| {
        release["spec"]["change"]["model"] = "Emergency".into()
    });
    let arguments = Arguments::try_parse_from(["signalbox", "status", "--watch"]).unwrap();
    let Command::Person(command) = arguments.command else {
        panic!("not a command of people");
    };
    let (mut input, mut output, mut errors) = (std::io::empty(), Vec::new(), Vec::new());
    let mut terminal = Terminal::piped(&mut input, &mut output, &mut errors, morning());
    let session = server.session("payments");
    // A watch has no end of its own.
    let ran = tokio::time::timeout(Duration::from_millis(900), command.run(&session, &mut terminal)).await;
    assert!(ran.is_err(), "{ran:?}");
    let shown = String::from_utf8(output).unwrap();
    assert!(shown.contains("payments-2026.12.1"), "{shown}");
    assert!(
        shown.contains("Release payments/payments-2026.12.2 is not shown"),
        "{shown}"
    );
}
