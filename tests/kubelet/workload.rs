//! The workloads of these tests, and how to wait for them.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox::api::environment::EnvironmentSpec;
use signalbox::api::release::{Promotion, State};
use signalbox::api::{GoDuration, Release};

use crate::kit::{ReleaseBuilder, Stage, StageBuilder, wait_until};

/// Real containers need more time, and several plays share two processors.
pub const LONG: Duration = Duration::from_secs(150);

/// A stage with one environment, with an observation of this many seconds.
pub fn stage(name: &str, observed: i64) -> StageBuilder {
    Stage::new(name)
        .only(&["sit"])
        .empty()
        .with("sit", move |spec: &mut EnvironmentSpec| {
            spec.observation = (observed > 0).then(|| GoDuration::from_secs(observed));
        })
}

/// A workload `app` of two pods with a readiness probe each second. `change` can change its JSON.
pub fn workload(kind: &str, image: &str, change: impl FnOnce(&mut Value)) -> Value {
    let labels = json!({ "app": "app" });
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "app" },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 30,
                    "containers": [{
                        "name": "app", "image": image,
                        "readinessProbe": {
                            "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1, "failureThreshold": 1,
                        },
                    }],
                },
            },
        },
    });
    match kind {
        "StatefulSet" => {
            object["spec"]["replicas"] = 2.into();
            object["spec"]["serviceName"] = "app".into();
        }
        "Deployment" => object["spec"]["replicas"] = 2.into(),
        _ => {}
    }
    change(&mut object);
    object
}

/// The pod template of a workload.
pub fn pod(workload: &mut Value) -> &mut Value {
    &mut workload["spec"]["template"]["spec"]
}

/// Creates it in `sit` and waits until its pods are ready.
pub async fn runs(stage: &Stage, workload: &Value) {
    match workload["kind"].as_str().unwrap() {
        "Deployment" => {
            let deployments = create::<Deployment>(stage, workload).await;
            wait_until(&deployments, "app", LONG, |d| {
                d.status.as_ref().and_then(|s| s.available_replicas) == Some(2)
            })
            .await;
        }
        "StatefulSet" => {
            let sets = create::<StatefulSet>(stage, workload).await;
            wait_until(&sets, "app", LONG, |s| {
                s.status.as_ref().is_some_and(|s| s.available_replicas == Some(2))
            })
            .await;
        }
        _ => {
            let sets = create::<DaemonSet>(stage, workload).await;
            wait_until(&sets, "app", LONG, |s| {
                s.status.as_ref().is_some_and(|s| s.number_available >= Some(1))
            })
            .await;
        }
    }
}

async fn create<K>(stage: &Stage, object: &Value) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let api = stage.in_target::<K>("sit");
    let object = serde_json::from_value(object.clone()).expect("an object of this kind");
    api.create(&PostParams::default(), &object)
        .await
        .expect("the admin is allowed to");
    api
}

/// A release of `image` for the workload `app`.
pub fn brings(stage: &Stage, kind: &str, image: &str) -> ReleaseBuilder {
    stage
        .release("1.0")
        .into(&["sit"])
        .component(json!({
            "name": "app",
            "target": { "apiVersion": "apps/v1", "kind": kind, "name": "app" },
            "images": [{ "container": "app", "image": image }],
        }))
        .ready_within("20s")
}

/// Waits until `holds` is true for the promotion into `sit`, and returns it. Panics with the last state after a timeout.
pub async fn until(
    stage: &Stage,
    release: &str,
    holds: impl Fn(&Promotion) -> bool + Send + Sync,
) -> Promotion {
    let environment = stage.environment("sit");
    let release = wait_until(&stage.api::<Release>(), release, LONG, |release| {
        release.promotion(&environment).is_some_and(&holds)
    })
    .await;
    release.promotion(&environment).unwrap().clone()
}

/// Waits until the promotion into `sit` is in `state`, and returns it. Any other end fails immediately.
pub async fn reaches(stage: &Stage, release: &str, state: State) -> Promotion {
    let ends = [
        State::Succeeded,
        State::BackedOut,
        State::Failed,
        State::AwaitingDecision,
    ];
    let promotion = until(stage, release, |p| p.state == state || ends.contains(&p.state)).await;
    assert_eq!(
        promotion.state,
        state,
        "{}",
        serde_yaml_ng::to_string(&promotion).unwrap()
    );
    promotion
}

/// Waits for a failure, and returns everything in the status of the promotion into `sit`.
pub async fn failure(stage: &Stage, release: &str) -> String {
    let promotion = until(stage, release, |p| {
        !matches!(
            p.state,
            State::Pending | State::Waiting | State::Deploying | State::Verifying | State::Observing
        )
    })
    .await;
    serde_yaml_ng::to_string(&promotion).unwrap()
}

async fn pods(stage: &Stage) -> Vec<Pod> {
    let ours = ListParams::default().labels("app=app");
    stage.in_target::<Pod>("sit").list(&ours).await.unwrap().items
}

/// The images of the pods that are not terminating.
pub async fn images(stage: &Stage) -> Vec<String> {
    let mut images: Vec<_> = pods(stage)
        .await
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| pod.spec?.containers.first()?.image.clone())
        .collect();
    images.sort();
    images.dedup();
    images
}

/// Terminating pods that still run.
pub async fn lingering(stage: &Stage) -> usize {
    let over = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let pods = pods(stage).await;
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_some() && !over(pod))
        .count()
}
