//! Drained nodes and lost nodes. Neither is a failure of a release.

use std::process::Command;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use signalbox::api::release::State;

use crate::images;
use crate::kit::{Stage, admin, kubectl, wait_until};
use crate::workload::{LONG, brings, images as running, pod, reaches, runs, stage, until, workload};

/// The taint of the nodes that tests can remove.
const APART: &str = "signalbox.dev/apart";
/// The node that is drained, and the one that is lost.
const DRAINED: &str = "node-2";
const LOST: &str = "node-3";

/// Pods on this node, or on the first one when it is gone. From a lost node they are evicted after three seconds.
fn on(node: &'static str) -> impl FnOnce(&mut Value) {
    move |w| {
        pod(w)["tolerations"] = json!([
            { "key": APART, "operator": "Exists", "effect": "NoSchedule" },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3 },
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3 },
        ]);
        let names = |names: &[&str]| json!([{ "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": names }] }]);
        pod(w)["affinity"] = json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": names(&[node, "node-1"]) },
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "preference": names(&[node])[0] }],
        } });
    }
}

/// The stage's pods on a node, including terminating ones.
async fn pods_on(stage: &Stage, node: &str) -> Vec<Pod> {
    let pods: Api<Pod> = stage.in_target("sit");
    let all = pods.list(&ListParams::default()).await.unwrap();
    let there = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
    all.into_iter().filter(there).collect()
}

/// The pods that are not terminating. A pod that was created when the node was lost is terminating, but cannot end.
async fn staying_on(stage: &Stage, node: &str) -> Vec<String> {
    let all = pods_on(stage, node).await.into_iter();
    all.filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| pod.metadata.name)
        .collect()
}

/// Two successful releases: a node goes away while the first one is deployed, and while the second one is observed.
async fn goes_well(
    stage: &Stage,
    node: &'static str,
    takes_away: impl AsyncFn(),
    gives_back: impl AsyncFn(),
) {
    runs(stage, &workload("Deployment", &images::app(&[]), on(node))).await;
    for (version, during) in [("1.0", State::Deploying), ("2.0", State::Observing)] {
        let next = images::app(&[("VERSION", version)]);
        let release = brings(stage, "Deployment", &next)
            .with("/spec/version", version)
            .ready_within("90s");
        let release = stage.submit(release).await;
        until(stage, &release, |p| p.state == during).await;
        let there = pods_on(stage, node).await;
        assert!(
            !there.is_empty(),
            "nothing is on {node} while {version} is {during:?}"
        );
        takes_away().await;
        reaches(stage, &release, State::Succeeded).await;
        assert_eq!(running(stage).await, [next]);
        assert_eq!(staying_on(stage, node).await, [""; 0], "they have moved");
        gives_back().await;
    }
}

#[tokio::test]
async fn a_node_that_is_drained_while_pods_come_and_while_they_are_watched_is_no_failure() {
    let stage = stage("real-drain", 20).await;
    let done = |arguments: &[&str]| {
        let (done, told) = kubectl(arguments);
        assert!(done, "{told}");
    };
    // Evictions, as by `kubectl drain`. Only pods of this test run there.
    let drain = async || done(&["drain", DRAINED, "--ignore-daemonsets", "--timeout=60s"]);
    let uncordon = async || done(&["uncordon", DRAINED]);
    goes_well(&stage, DRAINED, drain, uncordon).await;
    stage.finish().await;
}

/// Stops a kubelet until this is dropped.
struct Lost(Vec<String>);

impl Lost {
    fn node() -> Self {
        let ours: Vec<_> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().into_string().ok()?;
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).into_owned();
                line.contains(&format!("--hostname-override={LOST}"))
                    .then_some(pid)
            })
            .collect();
        assert_eq!(ours.len(), 1, "the kubelet of {LOST}: {ours:?}");
        let lost = Self(ours);
        lost.signal("-STOP");
        lost
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).args(&self.0).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

async fn node_is(ready: &str) {
    let nodes: Api<Node> = Api::all(admin().await);
    wait_until(&nodes, LOST, LONG, |node| {
        let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
        conditions
            .clone()
            .any(|c| c.type_ == "Ready" && c.status == ready)
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_lost_while_pods_come_and_while_they_are_watched_is_no_failure() {
    let stage = stage("real-lost", 30).await;
    let lost = std::cell::RefCell::new(None);
    let lose = async || {
        *lost.borrow_mut() = Some(Lost::node());
        node_is("Unknown").await;
        lets_go(&stage).await;
    };
    let find = async || {
        lost.borrow_mut().take();
        node_is("True").await;
    };
    goes_well(&stage, LOST, lose, find).await;
    stage.finish().await;
}

/// Force-deletes the pods of the lost node, as an administrator would. Otherwise they stay.
async fn lets_go(stage: &Stage) {
    let pods: Api<Pod> = stage.in_target("sit");
    let force = kube::api::DeleteParams::default().grace_period(0);
    for pod in pods_on(stage, LOST).await {
        let name = pod.metadata.name.unwrap();
        match pods.delete(&name, &force).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{name} cannot be deleted: {error}"),
        }
    }
}
