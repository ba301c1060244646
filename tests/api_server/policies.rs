//! The chart's admission policies for requests, Decisions, reviews and status, with users who have only granted rights.

use serde_json::json;
use signalbox::api::{Action, Release};

use crate::kit::{IMAGE, Stage, as_person, decision, kubectl, refused};
use crate::verdict::Verdict;

#[tokio::test]
async fn people_ask_in_their_own_name_for_what_they_may_promote_to() {
    let stage = Stage::new("ask").await;
    let sit = stage.environment("sit");
    let wanted = stage
        .release("2026.11.1")
        .into(&["sit", "uat"])
        .image("ledger", IMAGE);
    let as_alice = Verdict::on::<Release>(as_person("alice").await, Some(stage.namespace()));
    as_alice.accepts(wanted.clone().json()).await;

    let mallory = Verdict::on::<Release>(as_person("mallory").await, Some(stage.namespace()));
    mallory
        .refuses(
            wanted.clone().json(),
            r#"spec.requestedBy is "alice@example.com", but you are "mallory@example.com""#,
        )
        .await;
    let message = mallory.refusal(wanted.clone().by("mallory").json()).await;
    let sentence =
        format!(r#"spec.environments names {sit}, but "mallory@example.com" lacks the verb promote"#);
    assert!(message.contains(&sentence), "{message}");

    as_alice
        .refuses(
            wanted.clone().named(&"x".repeat(64)).json(),
            "metadata.name must be at most 63 characters",
        )
        .await;

    stage.grant("mallory", "request-for", "releases", "").await;
    stage.grant("mallory", "promote", "environments", &sit).await;
    mallory.accepts(wanted.into(&["sit"]).json()).await;
    stage.finish().await;
}

#[tokio::test]
async fn people_decide_in_their_own_name_in_roles_they_hold() {
    let stage = Stage::new("decide").bare().await;
    let production = stage.environment("prod");
    stage
        .grant("bob", "approve", "environments/board", &production)
        .await;
    let hash = format!("v1:sha256:{}", "a".repeat(64));
    let approve =
        |role: &str| decision(Action::Approve, "payments-1", &production).at_gate("board", role, &hash);

    stage
        .create_as("bob", &approve("board").named("mine").build())
        .await
        .unwrap();
    for (person, decision, sentence) in [
        (
            "carol",
            approve("board"),
            r#"spec.by is "bob@example.com", but you are "carol@example.com""#,
        ),
        (
            "carol",
            approve("board").by("carol"),
            "lacks the verb approve on environments/board",
        ),
        (
            "bob",
            approve("on-call"),
            "lacks the verb approve on environments/on-call",
        ),
        (
            "bob",
            decision(Action::BackOut, "payments-1", &production).attempt(1),
            "lacks the verb backout on environments",
        ),
    ] {
        let message = refused(stage.create_as(person, &decision.build()).await);
        assert!(message.contains(sentence), "{message}");
    }
    let as_bob: kube::Api<signalbox::api::Decision> =
        kube::Api::namespaced(as_person("bob").await, stage.namespace());
    let message = refused(as_bob.delete("mine", &Default::default()).await.map(|_| ()));
    assert!(
        message.contains("it is evidence, and is deleted together with its Release"),
        "{message}"
    );
    // The user of the garbage collection if collectors have no identity of their own. Otherwise the namespace would never be deleted.
    let (deleted, told) = kubectl(&[
        "delete",
        "decisions.signalbox.dev/mine",
        "--namespace",
        stage.namespace(),
        "--as=system:kube-controller-manager",
        "--as-group=system:masters",
    ]);
    assert!(deleted, "{told}");
    stage.finish().await;
}

#[tokio::test]
async fn status_is_the_operators_alone() {
    let stage = Stage::new("status").bare().await;
    let name = stage
        .submit_as_admin(stage.release("1").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let forged = kube::api::Patch::Merge(json!({ "status": { "furthest": "production" } }));
    let by_admin = stage
        .api::<Release>()
        .patch_status(&name, &Default::default(), &forged)
        .await;
    let message = refused(by_admin);
    assert!(
        message.contains("status. Change spec, or create a Decision."),
        "{message}"
    );
    stage
        .forge_status(&name, json!({ "furthest": "production" }))
        .await
        .unwrap();
    stage.forget(&name).await;
    stage.finish().await;
}
