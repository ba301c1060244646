//! What a post-implementation review has to be.

use serde_json::json;
use signalbox::api::{ReleaseReview, ReleaseReviewSpec};

use crate::kit::{Stage, as_person, user_name};
use crate::verdict::Verdict;

#[tokio::test]
async fn a_review_stays_with_its_release() {
    let stage = Stage::new("review").bare().await;
    stage.grant("carol", "review", "releases", "").await;
    let spec: ReleaseReviewSpec = serde_json::from_value(json!({
        "release": "payments-1",
        "reviewer": user_name("carol"),
        "actions": [{ "title": "Alert on queue depth", "owner": user_name("bob") }],
    }))
    .unwrap();
    stage
        .create_as("carol", &ReleaseReview::new("payments-1", spec))
        .await
        .unwrap();
    let carol = Verdict::on::<ReleaseReview>(as_person("carol").await, Some(stage.namespace()));
    carol
        .accepts_change(
            "payments-1",
            json!({ "spec": { "outcome": "SuccessfulWithIssues", "rootCause": "A queue." } }),
        )
        .await;
    carol
        .refuses_change(
            "payments-1",
            json!({ "spec": { "release": "payments-2" } }),
            "spec.release: Invalid value: a review's release is immutable: write another ReleaseReview",
        )
        .await;
    stage.finish().await;
}
