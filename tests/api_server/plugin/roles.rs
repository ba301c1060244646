//! Who may act, by the chart's roles, and what those are told who may not.

use std::io::Write as _;

use kube::api::ListParams;
use serde_json::json;
use signalbox::api::release::{ReviewState, State};
use signalbox::api::{Release, ReleaseReview};

use super::{Cast, board, submitted};
use crate::acting::{LONG, UNREADY, check, promotion};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, User, user_name, wait_until};

const DECISIONS: &str = "cannot create resource \"decisions\"";

#[tokio::test]
async fn approvers_and_release_managers_answer_at_a_gate_and_no_one_else() {
    let stage = board("plugin-gate", 1).await;
    let people = Cast::of(&stage).await;
    let (name, sit) = (submitted(&stage, "payments").await, stage.environment("sit"));
    let sit = sit.as_str();
    for (person, word, wanted) in [
        ("alice", "approve", "the requester's approval never counts"),
        ("alice", "reject", DECISIONS),
        ("carol", "approve", DECISIONS),
        ("erin", "approve", DECISIONS),
        ("erin", "reject", DECISIONS),
        (
            "mallory",
            "approve",
            "lacks the verb approve on environments/board",
        ),
        (
            "mallory",
            "reject",
            "lacks the verb approve on environments/board",
        ),
    ] {
        people
            .run(person, &[word, &name, sit, "--yes"])
            .await
            .refused(wanted);
    }
    assert_eq!(people.decisions().await, 0);

    let said = people
        .run(
            "bob",
            &["reject", &name, sit, "-m", "Not before the audit.", "--yes"],
        )
        .await
        .done();
    assert!(
        said.contains(&format!("decision.signalbox.dev/{name}-{sit}-reject-")),
        "{said}"
    );
    stage
        .until(&name, "sit", |p| {
            check(p, "board").is_some_and(|c| c.message.contains("Not before the audit"))
        })
        .await;
    people
        .run("bob", &["reject", &name, sit, "--yes"])
        .await
        .refused("rejected this plan at board already");

    let before = stage.plan_hash(&name, "sit").await;
    let plan = json!({ "spec": { "deploymentPlan": { "summary": "After the audit." } } });
    stage.merge(&name, plan).await;
    stage.until(&name, "sit", |p| p.plan_hash != before).await;
    people.run("dave", &["approve", &name, sit, "--yes"]).await.done();
    stage.reaches(&name, "sit", State::Succeeded).await;
    people
        .run("bob", &["approve", &name, sit, "--yes"])
        .await
        .refused("has entered");
    assert_eq!(people.decisions().await, 2);
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn release_managers_back_out_retry_abandon_and_accept_and_no_one_else() {
    let stage = Stage::new("plugin-acts").only(&["sit"]).await;
    let people = Cast::of(&stage).await;
    let release = stage.release("1").into(&["sit"]).image("ledger", UNREADY);
    let name = stage
        .submit(release.ready_within("3s").backout("OnDecision"))
        .await;
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let sit = stage.environment("sit");
    people
        .run("dave", &["retry", &name, &sit, "--yes"])
        .await
        .refused("Retry is not valid for");
    let mut signed = 0;
    for (word, verb, attempt, then) in [
        ("back-out", "backout", 1, State::BackedOut),
        ("retry", "retry", 2, State::AwaitingDecision),
        ("abandon", "abandon", 2, State::Failed),
        ("accept", "accept", 2, State::Succeeded),
    ] {
        let words = [word, &name, &sit, "-m", "seen on the dashboard", "--yes"];
        let lacks = format!("lacks the verb {verb} on environments named {sit}");
        for (person, wanted) in [
            ("bob", lacks.as_str()),
            ("mallory", &lacks),
            ("alice", DECISIONS),
            ("carol", DECISIONS),
            ("erin", DECISIONS),
        ] {
            people.run(person, &words).await.refused(wanted);
        }
        assert_eq!(people.decisions().await, signed, "{word}");
        let said = people.run("dave", &words).await.done();
        assert!(said.contains(&format!("-{word}-")), "{said}");
        signed += 1;
        stage
            .until(&name, "sit", |p| (p.attempt, p.state) == (attempt, then))
            .await;
    }
    assert_eq!(people.decisions().await, signed);
    people.end().await;
    stage.finish().await;
}

/// Waits until the operator has seen whether the Release is held.
async fn held(stage: &Stage, name: &str, wanted: bool) {
    wait_until(&stage.api::<Release>(), name, LONG, |release| {
        let status = release.status.as_ref();
        status.is_some_and(|s| {
            s.observed_generation == release.metadata.generation
                && s.conditions
                    .iter()
                    .any(|c| c.type_ == "Ready" && (c.reason == "Held") == wanted)
        })
    })
    .await;
}

#[tokio::test]
async fn requesters_managers_and_owners_hold_and_only_the_first_two_withdraw() {
    let stage = board("plugin-hold", 1).await;
    let people = Cast::of(&stage).await;
    let (name, sit) = (submitted(&stage, "payments").await, stage.environment("sit"));
    let owner = User::named(&user_name("frank"));
    stage
        .bind("signalbox-environment-owner", &owner, "update", "releases")
        .await;
    let update = "cannot patch resource \"releases\"";
    for person in ["bob", "carol", "erin", "mallory"] {
        for word in ["hold", "withdraw"] {
            people.run(person, &[word, &name, "--yes"]).await.refused(update);
        }
    }
    let hold = [
        "hold",
        &name,
        "--environment",
        &sit,
        "-m",
        "Wait for the auditors.",
        "--yes",
    ];
    people.run("frank", &hold).await.refused("lacks the verb hold");
    let spec = stage.api::<Release>().get(&name).await.unwrap().spec;
    assert!(spec.hold.is_none() && spec.withdrawn.is_none());

    stage.grant("frank", "hold", "environments", &sit).await;
    people.run("frank", &hold).await.done();
    held(&stage, &name, true).await;
    let again = people.run("frank", &hold).await.done();
    assert!(again.contains("is held already"), "{again}");
    people
        .run("erin", &["unhold", &name, "--yes"])
        .await
        .refused(update);
    people.run("alice", &["unhold", &name, "--yes"]).await.done();
    held(&stage, &name, false).await;

    people
        .run("frank", &["withdraw", &name, "--yes"])
        .await
        .refused("spec.withdrawn");
    people
        .run("dave", &["withdraw", &name, "-m", "Not needed.", "--yes"])
        .await
        .done();
    stage.reaches(&name, "sit", State::Withdrawn).await;
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn reviewers_review_and_only_in_their_own_name() {
    let stage = Stage::new("plugin-review").only(&["sit"]).await;
    let people = Cast::of(&stage).await;
    for (image, version) in [(IMAGE, "1"), (IMAGE_BEFORE, "2")] {
        let release = stage.release(version).into(&["sit"]).image("ledger", image);
        let always = release.with("/spec/review", json!({ "required": "Always" }));
        let name = stage.submit(always).await;
        stage.reaches(&name, "sit", State::Succeeded).await;
    }
    let name = "payments-1";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"outcome: SuccessfulWithIssues\nlessons: [Tell support a day ahead.]\n")
        .unwrap();
    let path = file.path().to_str().unwrap();
    let words = ["review", name, "-f", path];
    let create = "cannot create resource \"releasereviews\"";
    let requested = "your review would not count";
    for (person, wanted) in [("alice", requested), ("bob", create), ("erin", create)] {
        people.run(person, &words).await.refused(wanted);
    }
    stage.grant("mallory", "create", "releasereviews", "").await;
    people
        .run("mallory", &words)
        .await
        .refused("lacks the verb review on that Release");
    let reviews = || async {
        stage
            .api::<ReleaseReview>()
            .list(&ListParams::default())
            .await
            .unwrap()
    };
    assert_eq!(reviews().await.items.len(), 0);

    let said = people.run("carol", &words).await.done();
    assert!(said.ends_with(" created\n"), "{said}");
    let is = |state: ReviewState| {
        move |release: &Release| {
            let review = release.status.as_ref().and_then(|s| s.review.as_ref());
            review.is_some_and(|r| r.state == state)
        }
    };
    let releases = stage.api::<Release>();
    wait_until(&releases, name, LONG, is(ReviewState::Closed)).await;
    let wide = people.run("erin", &["review", "list"]).await.done();
    assert!(
        !wide.contains("payments-1 ") && wide.contains("payments-2 "),
        "{wide}"
    );

    let action =
        "outcome: SuccessfulWithIssues\nactions: [{ title: Tell support, owner: dave@example.com }]\n";
    std::fs::write(path, action).unwrap();
    people
        .run("dave", &words)
        .await
        .refused("is reviewed by carol@example.com already");
    let said = people.run("carol", &words).await.done();
    assert!(said.ends_with(" changed\n"), "{said}");
    wait_until(&releases, name, LONG, is(ReviewState::Completed)).await;
    assert_eq!(reviews().await.items.len(), 1);
    // A release manager holds the verb, too.
    people
        .run("dave", &["review", "payments-2", "-f", path])
        .await
        .done();
    wait_until(&releases, "payments-2", LONG, is(ReviewState::Completed)).await;
    people.end().await;
    stage.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_nothing_is_shown() {
    let stage = board("plugin-unseen", 1).await;
    let people = Cast::of(&stage).await;
    let name = submitted(&stage, "payments").await;
    let release = stage.api::<Release>().get(&name).await.unwrap();
    assert_eq!(promotion(&stage, &release, "sit").attempt, 1);
    // Without a group, and so without the right to read.
    let sit = stage.environment("sit");
    let stranger = Cast {
        viewers: "no-one".to_owned(),
        binding: String::new(),
        stage: &stage,
    };
    let list = "cannot list resource \"releases\"";
    let get = "cannot get resource \"releases\"";
    for (words, wanted) in [
        (&["status"][..], list),
        (&["status", "-A"], list),
        (&["status", "--mine"], list),
        (&["review", "list"], list),
        (&["history"], list),
        (&["notes", &name], list),
        (&["explain", &name], get),
        (&["wait", &name], get),
        (&["approve", &name, &sit, "--yes"], get),
        (&["back-out", &name, &sit, "--yes"], get),
        (&["hold", &name, "--yes"], get),
        (
            &["status", "--environment", &sit],
            "cannot get resource \"environments\"",
        ),
    ] {
        let ran = stranger.run("stranger", words).await;
        assert_eq!(ran.output, "", "{words:?}");
        ran.refused(wanted);
    }
    for (words, wanted) in [
        (["explain", "payments-9"], "\"payments-9\" does not exist"),
        (["status", "payments-9"], "does not exist"),
        (["notes", "payments-9"], "Release \"payments-9\" does not exist"),
    ] {
        people.run("erin", &words).await.refused(wanted);
    }
    people.end().await;
    stage.finish().await;
}
