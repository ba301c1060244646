//! What commands print: of people's own work, of many Releases, and of text that would move a cursor.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use futures::StreamExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::{ReviewState, State};

use super::{Cast, Ran, board, submitted};
use crate::acting::LONG;
use crate::kit::{IMAGE, Stage, kubeconfig, wait_until};

/// It clears the screen, moves the cursor, sets the title, rings, and turns the text around.
const NASTY: &str = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\u{202e}All is well";

#[tokio::test]
async fn each_sees_what_waits_for_them() {
    let stage = board("plugin-mine", 1).await;
    let people = Cast::of(&stage).await;
    let sit = stage.environment("sit");
    let gate = submitted(&stage, "gate").await;
    let done = stage
        .release("1")
        .product("done")
        .into(&["sit"])
        .image("ledger", IMAGE);
    let review = json!({ "required": "Always", "reviewer": "carol@example.com" });
    let done = stage.submit(done.with("/spec/review", review)).await;
    let wrong = stage.release("1").product("wrong").into(&["moon"]);
    let wrong = stage.submit_as_admin(wrong.image("ledger", IMAGE)).await;
    wait_until(&stage.api::<Release>(), &wrong, LONG, |r| {
        let conditions = r.status.iter().flat_map(|s| &s.conditions);
        conditions
            .into_iter()
            .any(|c| c.type_ == "Accepted" && c.status == "False")
    })
    .await;
    stage.plan_hash(&done, "sit").await;

    let mine = async |person: &str| {
        let ran = people.run(person, &["status", "--mine", "-o", "name"]).await;
        let names = ran.done();
        let names = names
            .lines()
            .map(|line| line.replace("release.signalbox.dev/", ""));
        names.collect::<Vec<_>>()
    };
    assert_eq!(mine("alice").await, [wrong.as_str()]);
    assert_eq!(mine("bob").await, [done.as_str(), &gate]);
    assert_eq!(mine("dave").await, [done.as_str(), &gate]);
    assert_eq!(mine("carol").await, Vec::<String>::new());
    assert_eq!(mine("erin").await, Vec::<String>::new());
    people.run("bob", &["approve", &done, &sit, "--yes"]).await.done();
    wait_until(&stage.api::<Release>(), &done, LONG, |r| {
        let review = r.status.as_ref().and_then(|s| s.review.as_ref());
        review.is_some_and(|r| r.state == ReviewState::Pending && r.due_at.is_some())
    })
    .await;
    assert_eq!(mine("bob").await, [gate.as_str()]);
    assert_eq!(mine("carol").await, [done.as_str()]);
    let empty = people.run("erin", &["status", "--mine"]).await;
    assert_eq!(empty.errors, "Nothing waits for you.\n");
    empty.done();
    people.end().await;
    stage.finish().await;
}

/// Nothing in it moves a cursor, and in text for people nothing turns it around.
fn harmless(words: &[&str], ran: Ran) -> String {
    let text = ran.output + &ran.errors + ran.exit.as_ref().map_or_else(String::as_str, |_| "");
    let programs = ["yaml", "json", "svg", "--print"]
        .iter()
        .any(|format| words.contains(format));
    let moves = |c: char| (c.is_control() && c != '\n') || (c == '\u{202e}' && !programs);
    if let Some(at) = text.find(moves) {
        let near: String = text[at..].chars().take(40).collect();
        panic!("{words:?} prints {near:?}");
    }
    text
}

#[tokio::test]
async fn no_text_of_people_moves_a_cursor() {
    let stage = board("plugin-escapes", 2).await;
    let people = Cast::of(&stage).await;
    let sit = stage.environment("sit");
    let nasty = async |product: &str| {
        let mut release = stage.release("1").product(product).into(&["sit"]);
        for (field, value) in [
            ("change", json!({ "reference": NASTY, "reason": NASTY })),
            ("deploymentPlan", json!({ "summary": NASTY, "owner": NASTY })),
            ("backoutPlan", json!({ "summary": NASTY })),
            ("review", json!({ "required": "Always", "reviewer": NASTY })),
        ] {
            release = release.with(&format!("/spec/{field}"), value);
        }
        let name = stage.submit(release.image("ledger", IMAGE)).await;
        stage.plan_hash(&name, "sit").await;
        name
    };
    let (name, held) = (nasty("payments").await, nasty("held").await);
    let acts = [
        ("bob", vec!["reject", &name, &sit, "-m", NASTY, "--yes"]),
        ("bob", vec!["approve", &held, &sit, "-m", NASTY, "--yes"]),
        ("dave", vec!["approve", &held, &sit, "-m", NASTY, "--yes"]),
    ];
    for (person, words) in &acts {
        harmless(words, people.run(person, words).await);
    }
    stage.reaches(&held, "sit", State::Succeeded).await;
    assert_eq!(people.decisions().await, 3);
    for words in [
        ["hold", &name, "-m", NASTY, "--yes"],
        ["withdraw", &held, "-m", NASTY, "--yes"],
    ] {
        harmless(&words, people.run("alice", &words).await);
    }
    let text =
        serde_json::to_string(&json!({ "outcome": "Unsuccessful", "rootCause": NASTY, "lessons": [NASTY] }));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.unwrap().as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    harmless(&[], people.run("carol", &["review", &held, "-f", path]).await);
    wait_until(&stage.api::<Release>(), &held, LONG, |r| {
        r.status.as_ref().is_some_and(|s| {
            s.observed_generation == r.metadata.generation
                && s.review.as_ref().is_some_and(|r| r.outcome.is_some())
        })
    })
    .await;
    stage
        .until(&name, "sit", |p| {
            p.summary().contains("All is well") || p.checks.iter().any(|c| c.message.contains("All is well"))
        })
        .await;

    let mut said = 0;
    for words in [
        vec!["status"],
        vec!["status", "-o", "wide"],
        vec!["status", "-o", "yaml"],
        vec!["status", "-o", "json"],
        vec!["status", "--mine"],
        vec!["status", "--environment", &sit],
        vec!["explain", &name],
        vec!["explain", &held],
        vec!["explain", &name, "-o", "yaml"],
        vec!["history"],
        vec!["history", "-o", "json"],
        vec!["notes", &name],
        vec!["notes", &held],
        vec!["calendar", "--environment", &sit],
        vec!["calendar", "--environment", &sit, "-o", "svg"],
        vec!["review", "list"],
        vec!["review", &held, "--print"],
        vec!["wait", &name],
        vec!["wait", &name, "-o", "json"],
        vec!["wait", &held],
        vec!["approve", &name, &sit, "--dry-run"],
        vec!["reject", &name, &sit, "--gate", NASTY, "--yes"],
        vec!["approve", &name, &sit, "--plan-hash", NASTY, "--yes"],
        vec!["explain", NASTY],
        vec!["status", NASTY],
        vec!["notes", NASTY],
    ] {
        let person = if words[0] == "review" && words[1] != "list" {
            "carol"
        } else {
            "dave"
        };
        let text = harmless(&words, people.run(person, &words).await);
        said += usize::from(text.contains("All is well"));
    }
    // The text itself is shown: nothing is lost.
    assert!(said > 8, "{said}");
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn a_thousand_releases_are_all_shown() {
    const MANY: usize = 1_001;
    let stage = Stage::new("plugin-many").bare().await;
    let people = Cast::of(&stage).await;
    let releases = stage.api::<Release>();
    let create = |index: usize| {
        let release = stage
            .release("1")
            .product(&format!("p{index:04}"))
            .into(&["moon"]);
        let release = release.image("ledger", IMAGE).build();
        let releases = releases.clone();
        async move { releases.create(&PostParams::default(), &release).await.unwrap() }
    };
    futures::stream::iter(0..MANY)
        .map(create)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    let names = people.run("erin", &["status", "-o", "name"]).await.done();
    let wanted: String = (0..MANY)
        .map(|index| format!("release.signalbox.dev/p{index:04}-1\n"))
        .collect();
    assert_eq!(names, wanted);
    let table = people.run("erin", &["status", "--no-headers"]).await.done();
    assert_eq!(table.lines().count(), MANY);
    let json = people.run("erin", &["status", "-A", "-o", "json"]).await.done();
    let json: Value = serde_json::from_str(&json).unwrap();
    let ours = json["releases"].as_array().unwrap().iter();
    let ours = ours.filter(|r| r["namespace"] == stage.namespace());
    assert_eq!(ours.count(), MANY);
    let one = people
        .run("erin", &["status", "p1000-1", "-o", "name"])
        .await
        .done();
    assert_eq!(one, "release.signalbox.dev/p1000-1\n");
    // One request for all of them takes longer than the API server allows on a busy machine.
    let delete = |index: usize| {
        let (releases, name) = (releases.clone(), format!("p{index:04}-1"));
        async move { releases.delete(&name, &DeleteParams::default()).await.unwrap() }
    };
    futures::stream::iter(0..MANY)
        .map(delete)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn names_are_completed_with_those_of_the_cluster() {
    let stage = board("plugin-names", 1).await;
    let people = Cast::of(&stage).await;
    submitted(&stage, "cards").await;
    submitted(&stage, "payments").await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kubectl-signalbox");
    symlink(env!("CARGO_BIN_EXE_signalbox"), &program).unwrap();
    let completed = |words: &[&str]| {
        let output = Command::new(&program)
            .arg("__complete")
            .args(["-n", stage.namespace()])
            .args(words)
            .env("KUBECONFIG", kubeconfig())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(completed(&["explain", "p"]), "payments-1\n:4\n");
    let sit = stage.environment("sit");
    let environments = completed(&["approve", "payments-1", &sit]);
    assert_eq!(environments, format!("{sit}\n:4\n"));
    people.end().await;
    stage.finish().await;
}
