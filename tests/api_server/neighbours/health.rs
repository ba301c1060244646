//! When a workload is healthy: which pods count, what a release is responsible for, and what a StatefulSet waits for.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox::api::environment::{BackoutRules, Permission};
use signalbox::api::release::State;

use crate::acting::{LONG, check, observed, promotion};
use crate::kit::{ReleaseBuilder, Stage, wait_until};

const NEW: &str =
    "registry.example.com/db@sha256:5555555555555555555555555555555555555555555555555555555555555555";
const OLD: &str =
    "registry.example.com/db@sha256:6666666666666666666666666666666666666666666666666666666666666666";
const CRASH: &str =
    "registry.example.com/db-crash@sha256:7777777777777777777777777777777777777777777777777777777777777777";

/// A workload of two pods in the target of `sit`.
fn workload(kind: &str, name: &str, image: &str, labels: &BTreeMap<&str, &str>, more: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "db", "image": image }] } },
        },
    });
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(2);
    }
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

async fn create<K>(stage: &Stage, object: Value)
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let api = stage.in_target::<K>("sit");
    api.create(&PostParams::default(), &object)
        .await
        .expect("the admin is allowed to");
}

fn db(stage: &Stage, kind: &str, image: &str) -> ReleaseBuilder {
    stage.release("1.0").into(&["sit"]).component(json!({
        "name": "db",
        "target": { "apiVersion": "apps/v1", "kind": kind, "name": "db" },
        "images": [{ "container": "db", "image": image }],
    }))
}

fn named(labels: &[(&'static str, &'static str)]) -> BTreeMap<&'static str, &'static str> {
    labels.iter().copied().collect()
}

async fn set_is_ready(stage: &Stage) {
    wait_until(&stage.in_target::<StatefulSet>("sit"), "db", LONG, |set| {
        set.status
            .as_ref()
            .is_some_and(|s| s.available_replicas == Some(2))
    })
    .await;
}

/// All pods of the target become not ready.
async fn nothing_is_ready(stage: &Stage) {
    let pods = stage.in_target::<Pod>("sit");
    let unready = json!({ "status": { "conditions": [
        { "type": "Ready", "status": "False" }, { "type": "ContainersReady", "status": "False" },
    ] } });
    for pod in pods
        .list(&ListParams::default())
        .await
        .expect("the admin is allowed to")
    {
        pods.patch_status(
            &pod.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(&unready),
        )
        .await
        .expect("the admin is allowed to");
    }
}

#[tokio::test]
async fn a_stateful_set_that_waits_for_its_broken_pod_says_so_and_comes_back_once_it_is_deleted() {
    let stage = Stage::new("stuck-named").only(&["sit"]).await;
    create::<StatefulSet>(
        &stage,
        workload("StatefulSet", "db", OLD, &named(&[("app", "db")]), &json!({})),
    )
    .await;
    set_is_ready(&stage).await;
    let name = stage
        .submit(db(&stage, "StatefulSet", CRASH).ready_within("5s"))
        .await;
    let environment = stage.environment("sit");
    wait_until(&stage.api::<signalbox::api::Release>(), &name, LONG, |release| {
        let message = release.promotion(&environment).and_then(|p| p.message.clone());
        message.is_some_and(|m| {
            m.contains("StatefulSet db waits for its pods db-1 (CrashLoopBackOff): delete them")
                && m.contains("ReadyTooLate")
        })
    })
    .await;
    let pods = stage.in_target::<Pod>("sit");
    pods.delete("db-1", &Default::default())
        .await
        .expect("the admin is allowed to");
    stage.reaches(&name, "sit", State::BackedOut).await;
    stage.finish().await;
}

#[tokio::test]
async fn where_the_environment_allows_it_the_pod_that_a_stateful_set_waits_for_is_deleted() {
    let allow = BackoutRules {
        delete_stuck_pods: Permission::Allow,
    };
    let stage = Stage::new("stuck-deleted")
        .only(&["sit"])
        .with("sit", move |spec| spec.backout = Some(allow))
        .await;
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["delete"] }]);
    create::<Role>(
        &stage,
        json!({ "metadata": { "name": "stuck-pods" }, "rules": rules }),
    )
    .await;
    let binding = json!({
        "metadata": { "name": "stuck-pods" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "stuck-pods" },
        "subjects": [{ "kind": "ServiceAccount", "name": "signalbox-deployer", "namespace": stage.target("sit") }],
    });
    create::<RoleBinding>(&stage, binding).await;
    create::<StatefulSet>(
        &stage,
        workload("StatefulSet", "db", OLD, &named(&[("app", "db")]), &json!({})),
    )
    .await;
    set_is_ready(&stage).await;
    let name = stage
        .submit(db(&stage, "StatefulSet", CRASH).ready_within("5s"))
        .await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_stateful_set_whose_pods_are_not_ready_any_more_has_lost_its_health() {
    let stage = Stage::new("unready-set")
        .only(&["sit"])
        .with("sit", observed(60))
        .await;
    create::<StatefulSet>(
        &stage,
        workload("StatefulSet", "db", OLD, &named(&[("app", "db")]), &json!({})),
    )
    .await;
    set_is_ready(&stage).await;
    let name = stage
        .submit(db(&stage, "StatefulSet", NEW).backout("OnDecision"))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    nothing_is_ready(&stage).await;
    let release = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let message = promotion(&stage, &release, "sit")
        .message
        .clone()
        .expect("a message");
    assert!(
        message.starts_with("HealthLost: StatefulSet db has been unhealthy"),
        "{message}"
    );
    assert!(
        message.contains("0 of 2 pods ready: db-0 (NotReady), db-1 (NotReady)"),
        "{message}"
    );
    stage.finish().await;
}

/// A container of the target's first pod fails after a second, `after` seconds from now, and is then running and ready
/// again.
async fn crashes(stage: &Stage, restarts: i32, after: i64) {
    let pods = stage.in_target::<Pod>("sit");
    let list = pods
        .list(&ListParams::default())
        .await
        .expect("the admin is allowed to");
    let first = list.items.first().expect("a pod").name_any();
    let at = |after: i64| Time(Timestamp::now() + SignedDuration::from_secs(after));
    let status = json!({ "status": { "containerStatuses": [{
        "name": "db", "image": NEW, "imageID": NEW, "ready": true, "started": true, "restartCount": restarts,
        "state": { "running": { "startedAt": at(after + 1) } },
        "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled", "startedAt": at(after), "finishedAt": at(after + 1) } },
    }] } });
    pods.patch_status(&first, &PatchParams::default(), &Patch::Strategic(&status))
        .await
        .expect("the admin is allowed to");
}

#[tokio::test]
async fn who_crashes_twice_while_it_is_observed_has_lost_its_health_although_it_is_ready() {
    let stage = Stage::new("crash-while-ready")
        .only(&["sit"])
        .with("sit", observed(60))
        .await;
    create::<Deployment>(
        &stage,
        workload("Deployment", "db", OLD, &named(&[("app", "db")]), &json!({})),
    )
    .await;
    deployment_is_ready(&stage).await;
    let name = stage
        .submit(db(&stage, "Deployment", NEW).backout("OnDecision"))
        .await;
    stage.reaches(&name, "sit", State::Observing).await;
    crashes(&stage, 1, 1).await;
    let environment = stage.environment("sit");
    let release = wait_until(&stage.api::<signalbox::api::Release>(), &name, LONG, |release| {
        let components = release.promotion(&environment).map(|p| &p.components[..]);
        let message = components.and_then(|c| c.first()?.message.as_deref());
        message.is_some_and(|m| {
            m.starts_with("Restarted since it was Ready: db-") && m.ends_with("(container db: OOMKilled).")
        })
    })
    .await;
    assert_eq!(promotion(&stage, &release, "sit").state, State::Observing);
    crashes(&stage, 2, 3).await;
    let release = stage.reaches(&name, "sit", State::AwaitingDecision).await;
    let message = promotion(&stage, &release, "sit")
        .message
        .clone()
        .expect("a message");
    let said = "HealthLost: Deployment db is unhealthy: crash-looping since it was Ready: db-";
    assert!(message.starts_with(said), "{message}");
    stage.finish().await;
}

#[tokio::test]
async fn a_neighbour_whose_pods_our_selector_selects_does_not_count() {
    let stage = Stage::new("neighbour")
        .only(&["sit"])
        .with("sit", observed(12))
        .await;
    let ours = named(&[("app", "db")]);
    let theirs = named(&[("app", "db"), ("tier", "worker")]);
    create::<Deployment>(&stage, workload("Deployment", "db", OLD, &ours, &json!({}))).await;
    create::<Deployment>(
        &stage,
        workload("Deployment", "db-worker", CRASH, &theirs, &json!({})),
    )
    .await;
    deployment_is_ready(&stage).await;
    let name = stage.submit(db(&stage, "Deployment", NEW)).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

async fn deployment_is_ready(stage: &Stage) {
    wait_until(&stage.in_target::<Deployment>("sit"), "db", LONG, |d| {
        d.status.as_ref().is_some_and(|s| s.available_replicas == Some(2))
    })
    .await;
}

/// One pod on each node, and fewer nodes than requested pods.
#[tokio::test]
async fn replicas_that_find_no_node_while_a_release_is_observed_are_no_health_loss() {
    let stage = Stage::new("raised")
        .only(&["sit"])
        .with("sit", observed(12))
        .await;
    let mut object = workload("Deployment", "db", OLD, &named(&[("app", "db")]), &json!({}));
    object["spec"]["template"]["spec"]["affinity"] = json!({ "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "db" } } },
        ],
    } });
    create::<Deployment>(&stage, object).await;
    deployment_is_ready(&stage).await;
    let name = stage.submit(db(&stage, "Deployment", NEW)).await;
    stage.reaches(&name, "sit", State::Observing).await;
    let ten = Patch::Merge(json!({ "spec": { "replicas": 10 } }));
    let deployments = stage.in_target::<Deployment>("sit");
    deployments
        .patch("db", &PatchParams::default(), &ten)
        .await
        .expect("the admin is allowed to");
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_daemon_set_within_its_tolerance_is_entered_and_says_how_many_nodes_it_runs_on() {
    let stage = Stage::new("node-away").only(&["sit"]).await;
    let two =
        json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 2 } } });
    // No ready pod for a while would be unhealthy. One unready pod on three nodes is within its tolerance.
    create::<DaemonSet>(
        &stage,
        workload("DaemonSet", "db", OLD, &named(&[("app", "db")]), &two),
    )
    .await;
    wait_until(&stage.in_target::<DaemonSet>("sit"), "db", LONG, |set| {
        set.status.as_ref().is_some_and(|s| {
            s.number_available == Some(s.desired_number_scheduled) && s.desired_number_scheduled > 2
        })
    })
    .await;
    let pods = stage.in_target::<Pod>("sit");
    let first = pods
        .list(&ListParams::default())
        .await
        .expect("the admin is allowed to")
        .items
        .remove(0);
    let unready = json!({ "status": { "conditions": [
        { "type": "Ready", "status": "False" }, { "type": "ContainersReady", "status": "False" },
    ] } });
    pods.patch_status(
        &first.name_any(),
        &PatchParams::default(),
        &Patch::Strategic(&unready),
    )
    .await
    .expect("the admin is allowed to");
    wait_until(&stage.in_target::<DaemonSet>("sit"), "db", LONG, |set| {
        set.status
            .as_ref()
            .is_some_and(|s| s.number_unavailable == Some(1))
    })
    .await;
    let name = stage.submit(db(&stage, "DaemonSet", NEW)).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_paused_deployment_holds_and_says_what_to_do() {
    let stage = Stage::new("paused").only(&["sit"]).await;
    let paused = json!({ "paused": true });
    create::<ConfigMap>(
        &stage,
        json!({ "metadata": { "name": "settings" }, "data": { "a": "1" } }),
    )
    .await;
    create::<Deployment>(
        &stage,
        workload("Deployment", "db", OLD, &named(&[("app", "db")]), &paused),
    )
    .await;
    // Until its controller has seen it, this is its message.
    wait_until(&stage.in_target::<Deployment>("sit"), "db", LONG, |d| {
        let status = d.status.as_ref();
        status.is_some_and(|s| s.observed_generation == d.metadata.generation)
    })
    .await;
    let name = stage.submit(db(&stage, "Deployment", NEW)).await;
    let environment = stage.environment("sit");
    let release = wait_until(&stage.api::<signalbox::api::Release>(), &name, LONG, |release| {
        release
            .promotion(&environment)
            .and_then(|p| check(p, "EnvironmentAvailable"))
            .is_some_and(|c| c.reason == "TargetUnhealthy")
    })
    .await;
    let said = check(promotion(&stage, &release, "sit"), "EnvironmentAvailable").map(|c| c.message.clone());
    let said = said.expect("a check");
    assert!(said.contains("Deployment db: it is paused: resume it"), "{said}");
    let resumed = Patch::Merge(json!({ "spec": { "paused": false } }));
    let deployments: Api<Deployment> = stage.in_target("sit");
    deployments
        .patch("db", &PatchParams::default(), &resumed)
        .await
        .expect("the admin is allowed to");
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.finish().await;
}
