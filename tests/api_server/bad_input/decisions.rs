//! Decisions that do not count: refused by the API server, or reported in status with the reason.

use serde_json::json;
use signalbox::api::Action;
use signalbox::api::release::State;

use super::{another_goes_on, check, harmless, promotion_says};
use crate::kit::{Stage, approval_gate, decision, refused};

#[tokio::test]
async fn an_approval_of_an_old_plan_or_of_somebody_else_does_not_count() {
    let stage = Stage::new("old-plan")
        .with("sit", |sit| sit.gates = vec![approval_gate("board", "board", 1)])
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let sit = stage.environment("sit");
    stage.grant("bob", "approve", "environments/board", &sit).await;
    let name = stage.submit(harmless(&stage, "payments", "sit")).await;
    let old = stage.plan_hash(&name, "sit").await;
    let approve = || decision(Action::Approve, &name, &sit).at_gate("board", "board", &old);

    let as_somebody_else = refused(stage.create_as("carol", &approve().build()).await);
    let sentence = r#"spec.by is "bob@example.com", but you are "carol@example.com""#;
    assert!(as_somebody_else.contains(sentence), "{as_somebody_else}");
    let without_verb = refused(stage.create_as("carol", &approve().by("carol").build()).await);
    let sentence = "lacks the verb approve on environments/board";
    assert!(without_verb.contains(sentence), "{without_verb}");

    stage
        .merge(
            &name,
            json!({ "spec": { "backoutPlan": { "summary": "Another plan." } } }),
        )
        .await;
    stage.create_as("bob", &approve().build()).await.unwrap();
    let environment = sit.clone();
    let releases = stage.api::<signalbox::api::Release>();
    let release = crate::kit::wait_until(&releases, &name, super::LONG, |release| {
        let promotion = release.promotion(&environment);
        let board = promotion.and_then(|p| p.checks.iter().find(|c| c.name == "board"));
        board.is_some_and(|c| c.message.contains("bob@example.com"))
    })
    .await;
    let new = release.promotion(&sit).unwrap().plan_hash.clone();
    assert_ne!(new, old);
    let board = check(&stage, &name, "sit", "board", "ApprovalsMissing").await;
    assert_eq!(
        board.message,
        format!(
            "0 of 1 approvals by board. Create a Decision for planHash {new} with action Approve, subject board and role board. \
             Approve by bob@example.com does not count: its planHash is not that of the current plan."
        )
    );
    another_goes_on(&stage, "uat").await;
    stage
        .create_as(
            "bob",
            &decision(Action::Approve, &name, &sit)
                .at_gate("board", "board", &new)
                .build(),
        )
        .await
        .unwrap();
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_second_decision_on_what_is_over_is_named_and_does_nothing() {
    let stage = Stage::new("twice")
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let sit = stage.environment("sit");
    stage.grant("bob", "backout", "environments", &sit).await;
    let name = stage.submit(harmless(&stage, "payments", "sit")).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let back_out = || {
        decision(Action::BackOut, &name, &sit)
            .attempt(1)
            .because("wrong rates")
    };
    stage.create_as("bob", &back_out().build()).await.unwrap();
    let backed_out = stage.reaches(&name, "sit", State::BackedOut).await;
    let finished = backed_out.promotion(&sit).unwrap().finished_at.clone();
    stage.create_as("bob", &back_out().build()).await.unwrap();
    let after = promotion_says(
        &stage,
        &name,
        "sit",
        "BackOut by bob@example.com does not count: BackOut is not valid in state BackedOut.",
    )
    .await;
    let promotion = after.promotion(&sit).unwrap();
    assert_eq!(
        (promotion.state, &promotion.finished_at),
        (State::BackedOut, &finished)
    );
    another_goes_on(&stage, "sit").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_decision_after_withdrawal_is_named_and_does_nothing() {
    let stage = Stage::new("withdrawn")
        .with("sit", |sit| sit.gates = vec![approval_gate("board", "board", 1)])
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let sit = stage.environment("sit");
    stage.grant("bob", "approve", "environments/board", &sit).await;
    let name = stage.submit(harmless(&stage, "payments", "sit")).await;
    let hash = stage.plan_hash(&name, "sit").await;
    stage
        .merge(
            &name,
            json!({ "spec": { "withdrawn": { "reason": "not needed" } } }),
        )
        .await;
    stage.reaches(&name, "sit", State::Withdrawn).await;
    let late = decision(Action::Approve, &name, &sit).at_gate("board", "board", &hash);
    stage.create_as("bob", &late.build()).await.unwrap();
    let after = promotion_says(
        &stage,
        &name,
        "sit",
        "Approve by bob@example.com does not count: it was given after the Release was Withdrawn.",
    )
    .await;
    assert_eq!(after.promotion(&sit).unwrap().state, State::Withdrawn);
    another_goes_on(&stage, "uat").await;
    stage.finish().await;
}
