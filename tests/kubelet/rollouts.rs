//! Workloads with different update strategies, forward and back.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use signalbox::api::environment::{BackoutRules, Permission};
use signalbox::api::release::{ComponentStatus, State};

use crate::images;
use crate::kit::Stage;
use crate::workload::{brings, images as running, lingering, pod, reaches, runs, stage, until, workload};

/// The old pods continue for a while after they were asked to stop.
const SLOW: [(&str, &str); 1] = [("LINGER", "8s")];

fn still_ending(component: &ComponentStatus) -> bool {
    component
        .message
        .as_deref()
        .is_some_and(|m| m.contains("still terminating"))
}

#[tokio::test]
async fn a_release_has_succeeded_only_when_nothing_else_serves_any_more() {
    let stage = stage("real-slow-end", 0).await;
    runs(&stage, &workload("Deployment", &images::app(&SLOW), |_| {})).await;
    let next = images::app(&[]);
    let release = stage.submit(brings(&stage, "Deployment", &next)).await;
    let told = until(&stage, &release, |p| {
        p.state == State::Succeeded || p.components.iter().any(still_ending)
    })
    .await;
    assert_ne!(
        told.state,
        State::Succeeded,
        "the terminating pods were not reported"
    );
    reaches(&stage, &release, State::Succeeded).await;
    assert_eq!(lingering(&stage).await, 0);
    stage.finish().await;
}

#[tokio::test]
async fn a_backout_is_over_only_when_nothing_of_the_release_serves_any_more() {
    let stage = stage("real-slow-back", 15).await;
    let before = images::app(&[]);
    runs(&stage, &workload("Deployment", &before, |_| {})).await;
    // Ready, then not ready, and slow to stop.
    let bad = images::app(&[("STALL_AFTER", "3s"), SLOW[0]]);
    let release = stage.submit(brings(&stage, "Deployment", &bad)).await;
    reaches(&stage, &release, State::BackedOut).await;
    assert_eq!(lingering(&stage).await, 0);
    assert_eq!(running(&stage).await, [before]);
    stage.finish().await;
}

#[tokio::test]
async fn a_deployment_that_is_recreated_succeeds_and_is_backed_out() {
    let stage = stage("real-recreate", 0).await;
    let before = images::app(&SLOW);
    let recreated = workload("Deployment", &before, |w| {
        w["spec"]["strategy"] = json!({ "type": "Recreate" })
    });
    runs(&stage, &recreated).await;
    there_and_back(&stage, "Deployment", &before).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_daemon_set_succeeds_and_is_backed_out() {
    let stage = stage("real-daemon", 0).await;
    let before = images::app(&SLOW);
    runs(&stage, &workload("DaemonSet", &before, |_| {})).await;
    there_and_back(&stage, "DaemonSet", &before).await;
    stage.finish().await;
}

/// One release that succeeds, then one that never becomes ready.
async fn there_and_back(stage: &Stage, kind: &str, before: &str) {
    let next = images::app(&[("VERSION", "2")]);
    let patient = |release: crate::kit::ReleaseBuilder| release.ready_within("40s");
    let good = stage
        .submit(patient(brings(stage, kind, &next)).named("good"))
        .await;
    reaches(stage, &good, State::Succeeded).await;
    assert_eq!(running(stage).await, [next.as_str()]);
    assert_ne!(next, before);
    let bad = images::app(&[("UNREADY", "true")]);
    let bad = brings(stage, kind, &bad)
        .ready_within("15s")
        .with("/spec/version", "2.0")
        .named("bad");
    let bad = stage.submit(bad).await;
    reaches(stage, &bad, State::BackedOut).await;
    assert_eq!(running(stage).await, [next]);
}

#[tokio::test]
async fn a_stateful_set_succeeds_and_is_backed_out_past_its_stuck_pod() {
    let allow = BackoutRules {
        delete_stuck_pods: Permission::Allow,
    };
    let stage = stage("real-set", 0)
        .with("sit", move |spec| spec.backout = Some(allow))
        .await;
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["delete"] }]);
    let role: Role =
        serde_json::from_value(json!({ "metadata": { "name": "stuck-pods" }, "rules": rules })).unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "stuck-pods" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "stuck-pods" },
        "subjects": [{ "kind": "ServiceAccount", "name": "signalbox-deployer", "namespace": stage.target("sit") }],
    }))
    .unwrap();
    let parameters = PostParams::default();
    let roles: Api<Role> = stage.in_target("sit");
    roles.create(&parameters, &role).await.unwrap();
    let bindings: Api<RoleBinding> = stage.in_target("sit");
    bindings.create(&parameters, &binding).await.unwrap();
    let before = images::app(&[]);
    let quick = workload("StatefulSet", &before, |w| {
        pod(w)["terminationGracePeriodSeconds"] = 1.into();
    });
    runs(&stage, &quick).await;
    there_and_back(&stage, "StatefulSet", &before).await;
    let pods: Api<Pod> = stage.in_target("sit");
    assert!(pods.get_opt("app-1").await.unwrap().is_some());
    stage.finish().await;
}
