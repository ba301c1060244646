//! What people see with nothing but `kubectl`.

use serde_json::json;

use crate::kit::{IMAGE, Stage, kubectl};

#[tokio::test]
async fn a_release_tells_its_state_in_one_line() {
    let stage = Stage::new("print").bare().await;
    let name = stage
        .submit_as_admin(
            stage
                .release("2026.11.1")
                .into(&["sit", "uat"])
                .image("ledger", IMAGE),
        )
        .await;
    let now = "2026-11-24T18:00:00Z";
    stage
        .forge_status(
            &name,
            json!({
                "furthest": "pre-production",
                "rag": { "colour": "Amber" },
                "review": { "state": "NotRequired" },
                "conditions": [{
                    "type": "Ready", "status": "False", "reason": "AwaitingDecision",
                    "message": "uat: 1 of 2 approvals by release-board", "lastTransitionTime": now,
                }],
            }),
        )
        .await
        .unwrap();

    let (content, table) = kubectl(&["get", "rel", "-n", stage.namespace()]);
    assert!(content, "{table}");
    let lines: Vec<_> = table.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(lines[0]),
        [
            "NAME",
            "VERSION",
            "ENVIRONMENT",
            "READY",
            "STATUS",
            "RAG",
            "REVIEW",
            "AGE"
        ]
    );
    assert_eq!(
        words(lines[1])[..7],
        [
            &name,
            "2026.11.1",
            "pre-production",
            "False",
            "AwaitingDecision",
            "Amber",
            "NotRequired"
        ]
    );
    assert!(lines.iter().all(|line| line.len() <= 120), "{table}");

    let (_, wide) = kubectl(&["get", "releases", "-o", "wide", "-n", stage.namespace()]);
    assert!(
        wide.contains("CHG0031337") && wide.contains("1 of 2 approvals"),
        "{wide}"
    );

    let (content, all) = kubectl(&["get", "signalbox", "-n", stage.namespace()]);
    assert!(content && all.contains("2026.11.1"), "{all}");
    stage.forget(&name).await;
    stage.finish().await;
}

#[tokio::test]
async fn every_kind_has_its_short_name_and_is_explained() {
    for (short, kind) in [
        ("rel", "Release"),
        ("env", "Environment"),
        ("dec", "Decision"),
        ("pir", "ReleaseReview"),
    ] {
        let (content, explained) = kubectl(&["explain", &format!("{short}.spec"), "--recursive=false"]);
        assert!(
            content && explained.contains(&format!("KIND:       {kind}")),
            "{explained}"
        );
        assert!(!explained.contains("<no description>"), "{explained}");
    }
}
