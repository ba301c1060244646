//! Validation of post-implementation reviews, and who can change and delete them.

use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use signalbox::api::{ReleaseReview, ReleaseReviewSpec};

use crate::kit::{Stage, User, as_person, refused, user_name};
use crate::verdict::Verdict;

/// An empty review of payments-1.
fn review_by(person: &str) -> ReleaseReview {
    let spec: ReleaseReviewSpec = serde_json::from_value(json!({
        "release": "payments-1",
        "reviewer": user_name(person),
        "actions": [{ "title": "Alert on queue depth", "owner": user_name("bob") }],
    }))
    .unwrap();
    ReleaseReview::new("payments-1", spec)
}

#[tokio::test]
async fn a_review_stays_with_its_release_its_reviewer_and_its_outcome() {
    let stage = Stage::new("review").bare().await;
    stage.grant("carol", "review", "releases", "").await;
    stage.create_as("carol", &review_by("carol")).await.unwrap();
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
            "spec.release: Invalid value: release is immutable: create another ReleaseReview",
        )
        .await;
    carol
        .refuses_change(
            "payments-1",
            json!({ "spec": { "reviewer": user_name("dave") } }),
            "spec.reviewer: Invalid value: reviewer is immutable: create another ReleaseReview",
        )
        .await;
    let reviews: Api<ReleaseReview> = Api::namespaced(as_person("carol").await, stage.namespace());
    let outcome = kube::api::Patch::Merge(json!({ "spec": { "outcome": "Unsuccessful" } }));
    reviews
        .patch("payments-1", &Default::default(), &outcome)
        .await
        .unwrap();
    carol
        .refuses_change(
            "payments-1",
            json!({ "spec": { "outcome": null } }),
            "spec.outcome: Invalid value: an outcome can be changed but not removed",
        )
        .await;
    carol
        .accepts_change("payments-1", json!({ "spec": { "outcome": "Successful" } }))
        .await;
    stage.finish().await;
}

#[tokio::test]
async fn only_its_reviewer_changes_a_review_and_one_with_an_outcome_is_not_deleted() {
    let stage = Stage::new("review-theirs").bare().await;
    stage.grant("carol", "review", "releases", "").await;
    // mallory can review, too, and write and delete reviews. bob is a release manager.
    stage.grant("mallory", "review", "releases", "").await;
    let bob = User::named("bob@example.com");
    stage
        .bind("signalbox-release-manager", &bob, "forget", "releases")
        .await;
    stage.create_as("carol", &review_by("carol")).await.unwrap();

    let of = async |client: kube::Client| Verdict::on::<ReleaseReview>(client, Some(stage.namespace()));
    let theirs = |who: &str| {
        format!(
            "spec of ReleaseReview payments-1 can be changed only by its reviewer, \"carol@example.com\", and you are \
             \"{who}@example.com\". Create a ReleaseReview of your own."
        )
    };
    let outcome = json!({ "spec": { "outcome": "Successful" } });
    let mallory = of(as_person("mallory").await).await;
    mallory
        .refuses_change("payments-1", outcome.clone(), &theirs("mallory"))
        .await;
    of(bob.client().await)
        .await
        .refuses_change("payments-1", outcome.clone(), &theirs("bob"))
        .await;
    mallory
        .accepts_change("payments-1", json!({ "metadata": { "labels": { "a": "b" } } }))
        .await;
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "d0b5c1a2-0000-4000-8000-000000000000" }]);
    mallory
        .refuses_change(
            "payments-1",
            json!({ "metadata": { "ownerReferences": owner } }),
            "metadata.ownerReferences adds an owner. The review of Release payments-1 would be deleted together with it",
        )
        .await;

    let would_delete = async |client: kube::Client| {
        let dry_run = DeleteParams {
            dry_run: true,
            ..DeleteParams::default()
        };
        let reviews: Api<ReleaseReview> = Api::namespaced(client, stage.namespace());
        reviews.delete("payments-1", &dry_run).await.map(drop)
    };
    let lacks = |who: &str| {
        format!(
            ", but \"{who}@example.com\" lacks the verb forget on that Release in namespace {}. Leave it, or ask for that verb.",
            stage.namespace()
        )
    };
    let of_carol = "ReleaseReview payments-1 by \"carol@example.com\" of Release payments-1";
    let said = refused(would_delete(as_person("mallory").await).await);
    let sentence = format!("{of_carol} can be deleted by its reviewer{}", lacks("mallory"));
    assert!(said.contains(&sentence), "{said}");
    would_delete(as_person("carol").await).await.unwrap();

    let reviews: Api<ReleaseReview> = Api::namespaced(as_person("carol").await, stage.namespace());
    reviews
        .patch(
            "payments-1",
            &Default::default(),
            &kube::api::Patch::Merge(outcome),
        )
        .await
        .unwrap();
    for who in ["carol", "mallory"] {
        let said = refused(would_delete(as_person(who).await).await);
        let sentence = format!(
            "{of_carol} has the outcome Successful and is evidence{}",
            lacks(who)
        );
        assert!(said.contains(&sentence), "{said}");
    }
    would_delete(bob.client().await).await.unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn nobody_begins_a_review_in_somebody_elses_name() {
    let stage = Stage::new("review-begin").bare().await;
    stage.grant("mallory", "review", "releases", "").await;
    let reviews: Api<ReleaseReview> = Api::namespaced(as_person("mallory").await, stage.namespace());
    let said = refused(reviews.create(&PostParams::default(), &review_by("carol")).await);
    assert!(
        said.contains("spec.reviewer is \"carol@example.com\", but you are \"mallory@example.com\""),
        "{said}"
    );
    stage.finish().await;
}
