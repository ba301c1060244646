//! The behaviour of pods: containers that end and restart, that never start, and that stop slowly.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use signalbox::api::Action;
use signalbox::api::release::{Promotion, State};

use crate::acting::{LONG, observed, promotion};
use crate::kit::{ReleaseBuilder, Stage, StageBuilder, wait_until};

const OLD: &str =
    "registry.example.com/app@sha256:1010101010101010101010101010101010101010101010101010101010101010";
const NEW: &str =
    "registry.example.com/app@sha256:2020202020202020202020202020202020202020202020202020202020202020";

/// An image with the behaviour of its name: see tests/control-plane/stages.yaml.
fn doing(what: &str) -> String {
    format!("registry.example.com/app-{what}@sha256:{}", "30".repeat(32))
}

fn stage(name: &str) -> StageBuilder {
    Stage::new(name).only(&["sit"]).empty()
}

/// Runs two pods of `image` in `sit`, as a user that is not root.
async fn runs(stage: &Stage, image: &str) {
    let labels = json!({ "app": "app" });
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": { "name": "app" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": {
                "securityContext": { "runAsNonRoot": true },
                "containers": [{ "name": "app", "image": image }],
            } },
        },
    }))
    .expect("a Deployment");
    let deployments = stage.in_target::<Deployment>("sit");
    deployments
        .create(&PostParams::default(), &deployment)
        .await
        .expect("the admin is allowed to");
    wait_until(&deployments, "app", LONG, |d| {
        d.status.as_ref().is_some_and(|s| s.available_replicas == Some(2))
    })
    .await;
}

fn brings(stage: &Stage, image: &str) -> ReleaseBuilder {
    stage.release("1.0").into(&["sit"]).component(json!({
        "name": "app",
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
        "images": [{ "container": "app", "image": image }],
    }))
}

fn component_says(promotion: &Promotion, words: &str) -> bool {
    let message = promotion.components.first().and_then(|c| c.message.as_deref());
    message.is_some_and(|message| message.contains(words))
}

/// A workload that becomes ready and then ends again and again is detected during observation, with these words in the message.
async fn is_found_out(name: &str, what: &str, words: &[&str]) {
    let stage = stage(name).with("sit", observed(60)).await;
    runs(&stage, OLD).await;
    let release = stage
        .submit(brings(&stage, &doing(what)).backout("OnDecision"))
        .await;
    let release = stage.reaches(&release, "sit", State::AwaitingDecision).await;
    let said = promotion(&stage, &release, "sit").message.clone();
    let said = said.expect("a message");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn what_is_ready_between_its_crashes_is_found_out_by_its_restarts() {
    let words = [
        "HealthLost",
        "crash-looping since it was Ready: app-",
        "(container app: Error, exit code 1)",
    ];
    is_found_out("flaky", "flaky", &words).await;
}

#[tokio::test]
async fn a_container_that_takes_too_much_memory_is_named_as_that() {
    is_found_out("too-much", "oom", &["HealthLost", "(container app: OOMKilled)"]).await;
}

/// A workload that never starts is reported with each of these words while it is in progress, and with the last one after the timeout.
async fn never_starts(name: &str, what: &str, ailments: &[&str]) {
    let stage = stage(name).await;
    runs(&stage, OLD).await;
    let release = brings(&stage, &doing(what))
        .ready_within("12s")
        .backout("OnDecision");
    let release = stage.submit(release).await;
    for ailment in ailments {
        stage
            .until(&release, "sit", |p| component_says(p, &format!("({ailment})")))
            .await;
    }
    let release = stage.reaches(&release, "sit", State::AwaitingDecision).await;
    let said = promotion(&stage, &release, "sit").message.clone();
    let said = said.expect("a message");
    let last = ailments.last().expect("an ailment");
    assert!(
        said.contains("ReadyTooLate") && said.contains(&format!("({last})")),
        "{said}"
    );
    stage.finish().await;
}

#[tokio::test]
async fn an_image_that_is_not_there_is_named_when_the_release_is_late() {
    never_starts("not-there", "missing", &["ImagePullBackOff"]).await;
}

#[tokio::test]
async fn an_image_that_wants_to_be_root_is_named_when_the_release_is_late() {
    never_starts("no-root", "root", &["CreateContainerConfigError"]).await;
}

/// The pods that are terminating and still exist.
async fn lingering(stage: &Stage) -> usize {
    let pods = stage.in_target::<Pod>("sit").list(&ListParams::default()).await;
    let pods = pods.expect("the admin is allowed to").items;
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_some())
        .count()
}

#[tokio::test]
async fn a_release_has_succeeded_once_the_pods_before_it_are_gone_and_says_so_until_then() {
    let stage = stage("slow-end").await;
    runs(&stage, &doing("linger")).await;
    let release = stage.submit(brings(&stage, NEW)).await;
    let told = stage
        .until(&release, "sit", |p| {
            p.state == State::Succeeded || component_says(p, "still terminating")
        })
        .await;
    assert_ne!(
        promotion(&stage, &told, "sit").state,
        State::Succeeded,
        "nothing was said of the pods that still ended"
    );
    stage.reaches(&release, "sit", State::Succeeded).await;
    assert_eq!(lingering(&stage).await, 0);
    stage.finish().await;
}

#[tokio::test]
async fn a_backout_is_over_once_the_pods_of_the_release_are_gone() {
    let stage = stage("slow-back").with("sit", observed(60)).await;
    runs(&stage, OLD).await;
    let release = stage.submit(brings(&stage, &doing("linger"))).await;
    stage.reaches(&release, "sit", State::Observing).await;
    stage.decide("bob", Action::BackOut, &release, "sit").await;
    stage.reaches(&release, "sit", State::BackedOut).await;
    assert_eq!(lingering(&stage).await, 0);
    stage.finish().await;
}
