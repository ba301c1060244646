//! Releases with containers that start, and with containers that do not.

use serde_json::json;
use signalbox::api::release::State;

use crate::images;
use crate::kit::job_gate;
use crate::workload::{brings, failure, images as running, pod, reaches, runs, stage, workload};

/// During a back-off, a kubelet reports that the container waits, or how its last run ended.
const LOOPS: &[&str] = &["CrashLoopBackOff", "(Error)"];

/// A release of `image` does not become ready and is backed out. One of `words` is in the message.
async fn is_backed_out(name: &str, image: &str, words: &[&str]) {
    let stage = stage(name, 0).await;
    let before = images::app(&[]);
    runs(&stage, &workload("Deployment", &before, |_| {})).await;
    let release = stage.submit(brings(&stage, "Deployment", image)).await;
    let told = failure(&stage, &release).await;
    assert!(told.contains("ReadyTooLate"), "{told}");
    assert!(
        words.iter().any(|word| told.contains(word)),
        "none of {words:?}: {told}"
    );
    reaches(&stage, &release, State::BackedOut).await;
    assert_eq!(running(&stage).await, [before]);
    stage.finish().await;
}

#[tokio::test]
async fn a_release_by_digest_succeeds_behind_a_job_gate() {
    let stage = stage("real-good", 5)
        .with("sit", |spec| spec.gates = vec![job_gate("smoke", "smoke", "1m")])
        .await;
    runs(&stage, &workload("Deployment", &images::app(&[]), |_| {})).await;
    stage
        .template("sit", "smoke", &images::app(&[("WORK", "1s")]))
        .await;
    let next = images::app(&[("VERSION", "2")]);
    let release = stage.submit(brings(&stage, "Deployment", &next)).await;
    let promotion = reaches(&stage, &release, State::Succeeded).await;
    assert!(promotion.components[0].ready_at.is_some(), "{promotion:?}");
    assert_eq!(running(&stage).await, [next]);
    stage.finish().await;
}

#[tokio::test]
async fn a_program_that_ends_at_its_start_is_backed_out() {
    is_backed_out("real-crash", &images::app(&[("EXIT", "3")]), LOOPS).await;
}

#[tokio::test]
async fn an_image_that_is_not_there_is_backed_out() {
    is_backed_out("real-missing", &images::missing(), &["ImagePullBackOff"]).await;
}

#[tokio::test]
async fn an_image_that_may_not_run_is_backed_out() {
    let stage = stage("real-root", 0).await;
    let before = images::app(&[]);
    let careful = workload("Deployment", &before, |w| {
        pod(w)["securityContext"] = json!({ "runAsNonRoot": true });
    });
    runs(&stage, &careful).await;
    let release = stage.submit(brings(&stage, "Deployment", &images::root())).await;
    let told = failure(&stage, &release).await;
    assert!(told.contains("CreateContainerConfigError"), "{told}");
    reaches(&stage, &release, State::BackedOut).await;
    assert_eq!(running(&stage).await, [before]);
    stage.finish().await;
}

#[tokio::test]
async fn what_never_becomes_ready_is_backed_out() {
    is_backed_out(
        "real-unready",
        &images::app(&[("UNREADY", "true")]),
        &["updatedReplicas is 1 of 2"],
    )
    .await;
}
