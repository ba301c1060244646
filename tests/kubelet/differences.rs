//! Behaviour of real pods that simulated ones (tests/control-plane/stages.yaml) do not have, or have differently, without Signalbox.
//! Rules depend on it, so these tests detect a kubelet with another behaviour.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::TryStreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::images;
use crate::kit::{admin, wait_until};
use crate::workload::{LONG, workload};

/// A namespace that is deleted together with the cluster.
async fn namespace(name: &str) -> kube::Client {
    let client = admin().await;
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    client
}

/// A pod of one container, created as soon as its namespace has a ServiceAccount.
async fn pod(name: &str, image: &str, more: Value) -> Api<Pod> {
    let client = namespace(name).await;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(client.clone(), name);
    wait_until(&accounts, "default", LONG, |_| true).await;
    let mut object = json!({ "metadata": { "name": name }, "spec": {
        "terminationGracePeriodSeconds": 20,
        "containers": [{ "name": "app", "image": image }],
    } });
    for (field, value) in more.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    let pods: Api<Pod> = Api::namespaced(client, name);
    let object: Pod = serde_json::from_value(object).unwrap();
    pods.create(&PostParams::default(), &object).await.unwrap();
    pods
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

fn waits_for(pod: &Pod, reason: &str) -> bool {
    let state = container(pod).and_then(|c| c.state.as_ref());
    let waiting = state.and_then(|s| s.waiting.as_ref());
    waiting.is_some_and(|w| w.reason.as_deref() == Some(reason))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions
        .clone()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

#[tokio::test]
async fn a_crash_is_restarted_at_once_then_told_as_back_off_and_as_its_end_by_turns() {
    let pods = pod("differs-crash", &images::app(&[("EXIT", "3")]), json!({})).await;
    let restarted = wait_until(&pods, "differs-crash", LONG, |pod| {
        container(pod).is_some_and(|c| c.restart_count == 1)
    })
    .await;
    let created = restarted.creation_timestamp().unwrap().0;
    let ended = |pod: &Pod| {
        let end = container(pod)?.last_state.as_ref()?.terminated.clone()?;
        Some((end.exit_code, end.reason?))
    };
    assert_eq!(ended(&restarted), Some((3, "Error".to_owned())));
    assert!(
        jiff::Timestamp::now().duration_since(created).as_secs() < 10,
        "no back-off before the first restart"
    );
    wait_until(&pods, "differs-crash", LONG, |pod| {
        waits_for(pod, "CrashLoopBackOff")
    })
    .await;
    // In the same back-off: neither waiting nor running.
    wait_until(&pods, "differs-crash", LONG, |pod| {
        let state = container(pod).and_then(|c| c.state.as_ref());
        let end = state.and_then(|s| s.terminated.as_ref());
        end.is_some_and(|end| end.exit_code == 3 && end.reason.as_deref() == Some("Error"))
    })
    .await;
}

#[tokio::test]
async fn a_program_that_lives_for_a_while_is_ready_between_its_crashes() {
    let pods = pod("differs-late", &images::app(&[("CRASH_AFTER", "3s")]), json!({})).await;
    wait_until(&pods, "differs-late", LONG, |pod| {
        is_ready(pod) && container(pod).is_some_and(|c| c.restart_count >= 2)
    })
    .await;
}

#[tokio::test]
async fn a_missing_image_is_an_error_first_and_a_back_off_later() {
    let pods = pod("differs-missing", &images::missing(), json!({})).await;
    let first = wait_until(&pods, "differs-missing", LONG, |pod| {
        waits_for(pod, "ErrImagePull")
    })
    .await;
    let told = serde_json::to_string(&first.status).unwrap();
    assert!(told.contains("not found"), "{told}");
    wait_until(&pods, "differs-missing", LONG, |pod| {
        waits_for(pod, "ImagePullBackOff")
    })
    .await;
}

#[tokio::test]
async fn an_image_of_root_is_not_run_where_that_is_forbidden() {
    let careful = json!({ "securityContext": { "runAsNonRoot": true } });
    let pods = pod("differs-root", &images::root(), careful).await;
    wait_until(&pods, "differs-root", LONG, |pod| {
        waits_for(pod, "CreateContainerConfigError")
    })
    .await;
}

#[tokio::test]
async fn a_deleted_pod_stays_ready_until_it_ends_and_is_over_for_a_moment() {
    let pods = pod("differs-gone", &images::app(&[("LINGER", "3s")]), json!({})).await;
    wait_until(&pods, "differs-gone", LONG, is_ready).await;
    pods.delete("differs-gone", &DeleteParams::default())
        .await
        .unwrap();
    let deleted = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    let going = wait_until(&pods, "differs-gone", LONG, deleted).await;
    assert!(is_ready(&going), "it still serves");
    let until = going.metadata.deletion_timestamp.unwrap().0;
    let left = until.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((10..=20).contains(&left), "its grace ends in {left} s");
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone());
    wait_until(&pods, "differs-gone", LONG, |pod| {
        matches!(phase(pod).as_deref(), Some("Succeeded" | "Failed"))
    })
    .await;
}

#[tokio::test]
async fn a_recreated_deployment_tells_only_how_many_pods_still_end() {
    let client = namespace("differs-recreate").await;
    let deployments: Api<Deployment> = Api::namespaced(client, "differs-recreate");
    let recreated = workload("Deployment", &images::app(&[("LINGER", "6s")]), |w| {
        w["spec"]["strategy"] = json!({ "type": "Recreate" });
    });
    let object: Deployment = serde_json::from_value(recreated).unwrap();
    deployments.create(&PostParams::default(), &object).await.unwrap();
    let available = |n| move |d: &Deployment| d.status.as_ref().is_some_and(|s| s.available_replicas == n);
    wait_until(&deployments, "app", LONG, available(Some(2))).await;
    let change = json!({ "spec": { "template": { "metadata": { "labels": { "turn": "second" } } } } });
    let patch = kube::api::Patch::Merge(&change);
    deployments
        .patch("app", &Default::default(), &patch)
        .await
        .unwrap();
    let between = wait_until(&deployments, "app", LONG, |d| {
        d.status
            .as_ref()
            .is_some_and(|s| s.terminating_replicas == Some(2))
    })
    .await;
    let status = between.status.unwrap();
    assert_eq!(
        (status.available_replicas, status.updated_replicas),
        (None, None),
        "{status:?}"
    );
    wait_until(&deployments, "app", LONG, |d| {
        d.status
            .as_ref()
            .is_some_and(|s| s.available_replicas == Some(2) && s.updated_replicas == Some(2))
    })
    .await;
}

#[tokio::test]
async fn a_jobs_pod_runs_and_is_ready_before_it_completes() {
    let client = namespace("differs-job").await;
    let jobs: Api<Job> = Api::namespaced(client.clone(), "differs-job");
    let pods: Api<Pod> = Api::namespaced(client, "differs-job");
    let job: Job = serde_json::from_value(
        json!({ "metadata": { "name": "work" }, "spec": { "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "work", "image": images::app(&[("WORK", "2s")]) }],
    } } } }),
    )
    .unwrap();
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let running = wait_until(&jobs, "work", LONG, |job| {
        job.status.as_ref().is_some_and(|s| s.ready == Some(1))
    })
    .await;
    assert!(running.status.unwrap().succeeded.unwrap_or(0) == 0);
    wait_until(&jobs, "work", LONG, |job| {
        job.status.as_ref().is_some_and(|s| s.succeeded == Some(1))
    })
    .await;
    let all = pods.list(&ListParams::default()).await.unwrap();
    let end = container(&all.items[0]).and_then(|c| c.state.clone()?.terminated);
    assert_eq!(end.and_then(|end| end.reason).as_deref(), Some("Completed"));
}

#[tokio::test]
async fn only_the_image_id_has_the_digest_of_what_runs() {
    // Two names of one image: the node may report either as the image. Only the id is reliable.
    let image = images::app(&[("TURN", "only")]);
    let pods = pod("differs-image", &image, json!({})).await;
    let running = wait_until(&pods, "differs-image", LONG, is_ready).await;
    let status = container(&running).unwrap();
    let (_, digest) = image.split_once('@').unwrap();
    assert!(status.image_id.ends_with(digest), "{status:?}");
    let observed = running.status.as_ref().unwrap();
    let value = serde_json::to_value(observed).unwrap();
    assert_eq!(value["observedGeneration"], json!(1), "{value}");
    let conditions: Vec<_> = observed
        .conditions
        .iter()
        .flatten()
        .map(|c| c.type_.clone())
        .collect();
    assert!(
        conditions.contains(&"PodReadyToStartContainers".to_owned()),
        "{conditions:?}"
    );
    let events: Api<Event> = Api::namespaced(admin().await, "differs-image");
    // The kubelet sends Events behind what it reports in status.
    let mut missing = BTreeSet::from(["Scheduled", "Pulled", "Created", "Started"]);
    let mut seen = pin!(watcher(events, watcher::Config::default()).applied_objects());
    let all = async {
        while !missing.is_empty() {
            let event = seen.try_next().await.unwrap().expect("a watch does not end");
            missing.retain(|reason| event.reason.as_deref() != Some(*reason));
        }
    };
    let in_time = tokio::time::timeout(LONG, all).await;
    assert!(in_time.is_ok(), "{missing:?}");
}
