//! The required fields of a Decision, by action, and its immutability.

use serde_json::json;
use signalbox::api::{Action, Decision};

use crate::kit::{Stage, as_person, decision, user_name};
use crate::verdict::Verdict;

fn plan_hash() -> String {
    format!("v1:sha256:{}", "a".repeat(64))
}

#[tokio::test]
async fn each_action_says_what_it_acts_on() {
    let stage = Stage::new("decision-says").bare().await;
    let production = stage.environment("prod");
    stage
        .grant("bob", "approve", "environments/board", &production)
        .await;
    stage.grant("bob", "backout", "environments", &production).await;
    let bob = Verdict::on::<Decision>(as_person("bob").await, Some(stage.namespace()));

    let approve = decision(Action::Approve, "payments-1", &production);
    bob.accepts(approve.clone().at_gate("board", "board", &plan_hash()).json())
        .await;
    bob.accepts(
        decision(Action::BackOut, "payments-1", &production)
            .attempt(1)
            .json(),
    )
    .await;

    bob.refuses(
        approve.clone().json(),
        "spec: Invalid value: Approve and Reject need subject (the gate), role and planHash (from the Release's status)",
    )
    .await;
    bob.refuses(
        approve.clone().at_gate("board", "board", "sha256:1").json(),
        r#"spec.planHash: Invalid value: "sha256:1": must be copied from the Release's status"#,
    )
    .await;
    bob.refuses(
        approve.at_gate("board", "Board", &plan_hash()).json(),
        r#"spec.role: Invalid value: "Board": must be lower-case letters, digits and dashes"#,
    )
    .await;
    for action in [Action::BackOut, Action::Accept, Action::Abandon, Action::Retry] {
        bob.refuses(
            decision(action, "payments-1", &production).json(),
            "spec: Invalid value: BackOut, Accept, Abandon and Retry need attempt",
        )
        .await;
        bob.refuses(
            decision(action, "payments-1", &production)
                .attempt(1)
                .with("subject", "board")
                .json(),
            "spec: Invalid value: subject is valid only with Approve, Reject and an Accept of EnvironmentAvailable",
        )
        .await;
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_decision_is_immutable() {
    let stage = Stage::new("decision-same").bare().await;
    let production = stage.environment("prod");
    stage.grant("bob", "backout", "environments", &production).await;
    let back_out = decision(Action::BackOut, "payments-1", &production)
        .attempt(1)
        .named("back")
        .build();
    stage.create_as("bob", &back_out).await.unwrap();
    let admin = Verdict::on::<Decision>(stage.client(), Some(stage.namespace()));
    for change in [
        json!({ "attempt": 2 }),
        json!({ "reason": "Better so" }),
        json!({ "by": user_name("carol") }),
    ] {
        admin
            .refuses_change(
                "back",
                json!({ "spec": change }),
                "spec: Invalid value: a Decision is immutable: create another one instead",
            )
            .await;
    }
    stage.finish().await;
}
