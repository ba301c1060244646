//! Objects that are deleted while a promotion is in progress: nothing is lost, and no other release enters during that time.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use signalbox::api::release::State;
use signalbox::api::{Action, Environment, Release};
use signalbox::decide::plan;

use super::{LONG, another_goes_on, check, harmless, promotion_says};
use crate::kit::{IMAGE_BEFORE, Stage, decision, gone, operator_namespace, wait_until};

/// An image that runs and is never ready.
const UNREADY: &str = "registry.example.com/ledger-unready@sha256:3333333333333333333333333333333333333333333333333333333333333333";

fn claims(stage: &Stage) -> Api<Lease> {
    Api::namespaced(stage.client(), &operator_namespace())
}

/// A Release that is Deploying in `sit`. Its ledger has the image that never becomes ready.
async fn under_way(stage: &Stage, ready_within: &str, backout: &str) -> String {
    let release = stage.release("2").into(&["sit"]).image("ledger", UNREADY);
    let name = stage
        .submit(release.ready_within(ready_within).backout(backout))
        .await;
    stage.reaches(&name, "sit", State::Deploying).await;
    let deployments: Api<Deployment> = stage.in_target("sit");
    wait_until(&deployments, "ledger", LONG, |d| image(d) == UNREADY).await;
    name
}

fn image(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    template.containers[0].image.clone().unwrap()
}

async fn restored(stage: &Stage) {
    let deployments: Api<Deployment> = stage.in_target("sit");
    assert_eq!(image(&deployments.get("ledger").await.unwrap()), IMAGE_BEFORE);
}

#[tokio::test]
async fn an_environment_that_is_edited_and_deleted_while_occupied_changes_nothing_for_its_occupant() {
    let stage = Stage::new("evicted")
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let sit = stage.environment("sit");
    let name = under_way(&stage, "20s", "Automatic").await;
    let environments: Api<Environment> = Api::all(stage.client());
    let edited = json!({ "spec": { "namespace": "{namespace}-elsewhere", "observation": "1h" } });
    environments
        .patch(&sit, &PatchParams::default(), &Patch::Merge(edited))
        .await
        .unwrap();
    environments.delete(&sit, &Default::default()).await.unwrap();
    let deleted = wait_until(&environments, &sit, LONG, |environment| {
        let conditions = environment.status.iter().flat_map(|s| &s.conditions);
        conditions
            .into_iter()
            .any(|c| c.type_ == "Available" && c.status == "False")
    })
    .await;
    let available = deleted
        .status
        .unwrap()
        .conditions
        .into_iter()
        .find(|c| c.type_ == "Available")
        .unwrap();
    assert_eq!(available.reason, "EnvironmentDeleted");
    assert_eq!(
        available.message,
        "The Environment is being deleted. Promotions still in progress: 1."
    );
    let late = stage.submit(harmless(&stage, "late", "sit")).await;
    let refused = check(&stage, &late, "sit", "EnvironmentAvailable", "EnvironmentDeleted").await;
    assert_eq!(
        refused.message,
        format!(
            "Environment {sit} is being deleted, so no release can enter it. Ask the environment's owner."
        )
    );
    another_goes_on(&stage, "uat").await;
    let after = stage.reaches(&name, "sit", State::BackedOut).await;
    let entered = after.promotion(&sit).unwrap().entered.clone().unwrap();
    assert_eq!(entered.target_namespace, stage.target("sit"));
    restored(&stage).await;
    gone(&environments, &sit, LONG).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_claim_that_is_deleted_by_hand_is_said_and_put_back_and_nobody_else_gets_in() {
    let stage = Stage::new("claimless")
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let (sit, target) = (stage.environment("sit"), stage.target("sit"));
    stage.grant("bob", "backout", "environments", &sit).await;
    let name = under_way(&stage, "10m", "OnDecision").await;
    let rival = stage.submit(harmless(&stage, "rival", "sit")).await;
    stage.reaches(&rival, "sit", State::Queued).await;
    let claim = plan::claim_name(&target);
    let before = claims(&stage).get(&claim).await.unwrap();
    claims(&stage).delete(&claim, &Default::default()).await.unwrap();
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let said = promotion_says(&stage, &name, "sit", "ClaimLost").await;
    assert_eq!(
        said.promotion(&sit).unwrap().message.as_deref(),
        Some(
            format!(
                "ClaimLost: The lock of namespace {target} (Lease {claim} in namespace {}) is missing: it was deleted, or another \
                 writer changed status. Nothing is changed until there is a Decision (BackOut, Accept or Abandon).",
                operator_namespace()
            )
            .as_str()
        )
    );
    let holder = |lease: &Lease| lease.spec.as_ref().unwrap().holder_identity.clone();
    let back = wait_until(&claims(&stage), &claim, LONG, |_| true).await;
    assert_eq!(holder(&back), holder(&before), "another release has entered");
    another_goes_on(&stage, "uat").await;
    stage
        .create_as("bob", &decision(Action::BackOut, &name, &sit).attempt(1).build())
        .await
        .unwrap();
    stage.reaches(&name, "sit", State::BackedOut).await;
    stage.reaches(&rival, "sit", State::Succeeded).await;
    restored(&stage).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_pre_state_that_is_deleted_by_hand_is_kept_again_and_restores() {
    let stage = Stage::new("forgetful")
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let name = under_way(&stage, "6s", "Automatic").await;
    let release = stage.api::<Release>().get(&name).await.unwrap();
    let kept = release
        .promotion(&stage.environment("sit"))
        .unwrap()
        .backout
        .clone()
        .unwrap()
        .pre_state;
    let revisions: Api<ControllerRevision> = Api::namespaced(stage.client(), &operator_namespace());
    let before = revisions.get(&kept).await.unwrap();
    revisions.delete(&kept, &Default::default()).await.unwrap();
    let again = wait_until(&revisions, &kept, LONG, |r| r.metadata.uid != before.metadata.uid).await;
    assert_eq!(again.data, before.data);
    another_goes_on(&stage, "uat").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    restored(&stage).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_target_namespace_that_is_deleted_in_the_middle_is_a_decision_for_people() {
    let stage = Stage::new("vanished")
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let sit = stage.environment("sit");
    let name = under_way(&stage, "10m", "Automatic").await;
    let namespaces: Api<Namespace> = Api::all(stage.client());
    namespaces
        .delete(&stage.target("sit"), &Default::default())
        .await
        .unwrap();
    stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let said = promotion_says(&stage, &name, "sit", "TargetGone: ").await;
    let message = said.promotion(&sit).unwrap().message.clone().unwrap();
    assert!(
        message.contains("deleted") || message.contains("no longer exists"),
        "{message}"
    );
    assert!(
        message.contains("by hand, then create a Decision (Accept or Abandon)."),
        "{message}"
    );
    another_goes_on(&stage, "uat").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_release_whose_own_namespace_is_deleted_lets_go_of_everything() {
    let stage = Stage::new("leaving")
        .with("uat", |uat| uat.promotes_from = None)
        .await;
    let name = stage.submit(harmless(&stage, "payments", "sit")).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    let waiting = harmless(&stage, "waiting", "uat").with("/spec/hold", json!({ "reason": "not yet" }));
    let waiting = stage.submit(waiting).await;
    stage.reaches(&waiting, "uat", State::Waiting).await;
    let namespaces: Api<Namespace> = Api::all(stage.client());
    namespaces
        .delete(stage.namespace(), &Default::default())
        .await
        .unwrap();
    for release in [&name, &waiting] {
        gone(&stage.api::<Release>(), release, Duration::from_secs(120)).await;
    }
    // No finalizer of Signalbox remains, but its controller must delete the namespaces of all other tests first.
    gone(&namespaces, stage.namespace(), Duration::from_secs(300)).await;
    let claim = plan::claim_name(&stage.target("sit"));
    assert!(claims(&stage).get_opt(&claim).await.unwrap().is_none());
    stage.finish().await;
}
