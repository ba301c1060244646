//! The output of plain `kubectl`.

use serde_json::json;

use signalbox::api::{Action, Kind};

use crate::kit::{IMAGE, Stage, decision, kubectl};

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
    for kind in Kind::ALL {
        let short = match kind {
            Kind::Release => "rel",
            Kind::Environment => "env",
            Kind::Decision => "dec",
            Kind::ReleaseReview => "pir",
        };
        let (content, explained) = kubectl(&["explain", &format!("{short}.spec"), "--recursive=false"]);
        assert!(
            content && explained.contains(&format!("KIND:       {}", kind.name())),
            "{explained}"
        );
        assert!(!explained.contains("<no description>"), "{explained}");
    }
}

#[tokio::test]
async fn releases_are_found_by_product_and_version_and_decisions_by_their_release() {
    let stage = Stage::new("fields").bare().await;
    for (product, version) in [("payments", "1"), ("payments", "2"), ("ledger", "2")] {
        let release = stage.release(version).named(&format!("{product}-{version}"));
        let release = release.product(product).into(&["sit"]).image("ledger", IMAGE);
        stage.submit_as_admin(release).await;
    }
    let found = |kind: &str, selector: &str| {
        let selector = format!("--field-selector={selector}");
        let (content, names) = kubectl(&["get", kind, "-o", "name", &selector, "-n", stage.namespace()]);
        assert!(content, "{names}");
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let names = |kind: &str, names: &[&str]| -> Vec<String> {
        names
            .iter()
            .map(|name| format!("{kind}.signalbox.dev/{name}"))
            .collect()
    };
    assert_eq!(
        found("rel", "spec.product=payments"),
        names("release", &["payments-1", "payments-2"])
    );
    assert_eq!(
        found("rel", "spec.product=payments,spec.version=2"),
        names("release", &["payments-2"])
    );

    let production = stage.environment("prod");
    stage.grant("bob", "backout", "environments", &production).await;
    for release in ["payments-1", "payments-2"] {
        let decision = decision(Action::BackOut, release, &production);
        let decision = decision.attempt(1).named(release).build();
        stage.create_as("bob", &decision).await.unwrap();
    }
    assert_eq!(
        found("dec", "spec.release=payments-2"),
        names("decision", &["payments-2"])
    );
    for release in ["payments-1", "payments-2", "ledger-2"] {
        stage.forget(release).await;
    }
    stage.finish().await;
}
