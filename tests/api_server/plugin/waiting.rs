//! `wait`: how it ends for each way that a Release can go, and what it prints for programs.

use std::io::Write;

use kube::api::DeleteParams;
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::State;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Cast, Ran, board, submitted};
use crate::acting::UNREADY;
use crate::kit::{IMAGE, Stage};

#[tokio::test]
async fn each_end_has_its_exit_status() {
    let stage = board("plugin-wait", 1).await;
    let people = Cast::of(&stage).await;
    let sit = stage.environment("sit");
    let good = submitted(&stage, "good").await;
    let bad = stage.release("1").product("bad").into(&["sit"]);
    let bad = bad.image("ledger", UNREADY).ready_within("3s");
    let bad = stage.submit(bad.backout("OnDecision")).await;
    let gone = submitted(&stage, "gone").await;
    stage.plan_hash(&bad, "sit").await;

    let wait = async |words: &[&str]| people.run("erin", &[&["wait"], words].concat()).await;
    let ends = |ran: Ran, exit: u8, said: &str| {
        assert_eq!(ran.exit, Ok(exit), "{}", ran.errors);
        assert!(ran.errors.trim_end().ends_with(said), "{}", ran.errors);
    };
    ends(wait(&[&good]).await, 2, "says for whom.");
    ends(wait(&[&good, "--for", "decision"]).await, 0, "waits for people.");
    ends(
        wait(&[&good, "--for-people", "--timeout", "1s"]).await,
        124,
        "--timeout is over.",
    );
    // It follows the Release while it is approved.
    let follows = ["--for", "finished", "--for-people", "--environment", &sit];
    let waits = [&[good.as_str()], &follows[..]].concat();
    let approve = ["approve", &good, &sit, "--yes"];
    let (waited, approved) = tokio::join!(wait(&waits), people.run("bob", &approve));
    approved.done();
    assert!(waited.errors.contains("Succeeded"), "{}", waited.errors);
    ends(waited, 0, "has Succeeded.");

    people.run("bob", &["approve", &bad, &sit, "--yes"]).await.done();
    ends(
        wait(&[&bad, "--for", "entered", "--for-people"]).await,
        0,
        "has entered.",
    );
    stage.reaches(&bad, "sit", State::AwaitingDecision).await;
    ends(wait(&[&bad]).await, 2, "says for whom.");
    people
        .run("dave", &["back-out", &bad, &sit, "--yes"])
        .await
        .done();
    stage.reaches(&bad, "sit", State::BackedOut).await;
    ends(wait(&[&bad]).await, 3, "failed, or was backed out.");

    people.run("alice", &["withdraw", &gone, "--yes"]).await.done();
    ends(wait(&[&gone]).await, 4, "superseded or withdrawn.");
    wait(&[&gone, "--environment", "moon"])
        .await
        .refused("does not list moon");
    people.end().await;
    stage.finish().await;
}

/// Standard output, line by line as it is flushed.
struct Lines {
    line: Vec<u8>,
    lines: UnboundedSender<Value>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let text = String::from_utf8(std::mem::take(&mut self.line)).unwrap();
        for line in text.lines() {
            let event = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
            let _ = self.lines.send(event);
        }
        Ok(())
    }
}

/// Waits as erin, in JSON, while `meanwhile` reads what is printed.
async fn followed(
    people: &Cast<'_>,
    words: &[&str],
    meanwhile: impl AsyncFnOnce(&mut UnboundedReceiver<Value>),
) -> (Ran, Vec<Value>) {
    let (lines, mut events) = unbounded_channel();
    let mut output = Lines {
        line: Vec::new(),
        lines,
    };
    let words = [&["wait", "-o", "json"], words].concat();
    let mut input = std::io::empty();
    let waits = people.with("erin", &words, false, &mut input, &mut output);
    let (ran, ()) = tokio::join!(waits, meanwhile(&mut events));
    let mut rest = Vec::new();
    while let Ok(event) = events.try_recv() {
        rest.push(event);
    }
    (ran, rest)
}

#[tokio::test]
async fn programs_read_a_json_object_a_line() {
    let stage = Stage::new("plugin-lines").only(&["sit", "uat"]).await;
    let people = Cast::of(&stage).await;
    let held = stage.release("1").into(&["sit", "uat"]).image("ledger", IMAGE);
    let name = stage.submit(held.with("/spec/hold", json!({}))).await;
    stage.plan_hash(&name, "uat").await;
    let (ran, events) = followed(&people, &[&name, "--for-people"], async |events| {
        let first = events.recv().await.unwrap();
        assert_eq!(first["environment"], stage.environment("sit"));
        people.run("alice", &["unhold", &name, "--yes"]).await.done();
    })
    .await;
    assert_eq!((ran.exit, ran.errors.as_str()), (Ok(0), ""));
    for event in &events {
        assert!(
            event["time"].is_string() && event["message"].is_string(),
            "{event}"
        );
    }
    for short in ["sit", "uat"] {
        let environment = stage.environment(short);
        let of = |e: &&Value| e["environment"] == environment && e["state"] == "Succeeded";
        assert_eq!(events.iter().filter(of).count(), 1, "{events:#?}");
    }
    let (last, before) = events.split_last().unwrap();
    assert_eq!(last["end"], "reached");
    assert!(before.iter().all(|e| e["end"].is_null()), "{before:#?}");
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn a_release_that_is_deleted_ends_the_wait() {
    let stage = board("plugin-deleted", 1).await;
    let people = Cast::of(&stage).await;
    let name = submitted(&stage, "payments").await;
    let (ran, _) = followed(&people, &[&name, "--for-people"], async |events| {
        events.recv().await.unwrap();
        let releases = stage.api::<Release>();
        releases.delete(&name, &DeleteParams::default()).await.unwrap();
    })
    .await;
    ran.refused("was deleted meanwhile");
    people.end().await;
    stage.finish().await;
}
