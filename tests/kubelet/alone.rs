//! Faults of the operator itself and of the API server: one after another, after all other plays.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use signalbox::api::release::State;

use crate::images;
use crate::kit::{admin, kubectl, operator_namespace, wait_until};
use crate::workload::{LONG, brings, reaches, runs, stage, until, workload};

/// The operator's pods that are not terminating.
async fn pods() -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(admin().await, &operator_namespace());
    let ours = ListParams::default().labels("app.kubernetes.io/name=signalbox");
    let all = pods.list(&ours).await.unwrap();
    all.into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect()
}

async fn leases() -> Api<Lease> {
    Api::namespaced(admin().await, &operator_namespace())
}

fn holder(lease: &Lease) -> String {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.clone())
        .unwrap_or_default()
}

/// Waits for a leader for which this is true, and returns it.
async fn leader(holds: impl Fn(&str) -> bool + Send + Sync) -> String {
    let lease = wait_until(&leases().await, "signalbox", LONG, |lease| {
        let holder = holder(lease);
        !holder.is_empty() && holds(&holder)
    })
    .await;
    holder(&lease)
}

/// helm, with the values of the installed release.
fn helm(set: &[&str]) -> String {
    let folder = std::path::PathBuf::from(std::env::var_os("SIGNALBOX_TEST_BIN").unwrap());
    let output = Command::new(folder.join("helm"))
        .args([
            "upgrade",
            "signalbox",
            "charts/signalbox",
            "--reuse-values",
            "--wait",
            "--timeout",
            "90s",
        ])
        .args(["--namespace", &operator_namespace(), "--kubeconfig"])
        .arg(std::env::var_os("SIGNALBOX_TEST_KUBECONFIG").unwrap())
        .args(set.iter().flat_map(|value| ["--set", value]))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// Waits until the operator runs as exactly `replicas` pods: helm waits until new pods are ready, not until old ones are gone.
async fn runs_as(replicas: i32) {
    let deployments: Api<Deployment> = Api::namespaced(admin().await, &operator_namespace());
    wait_until(&deployments, "signalbox", LONG, move |deployment| {
        deployment.status.as_ref().is_some_and(|status| {
            let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
            counts == [Some(replicas); 3]
        })
    })
    .await;
}

#[tokio::test]
async fn a_the_operator_runs_as_the_chart_says() {
    let pods = pods().await;
    assert_eq!(pods.len(), 1, "{pods:?}");
    let name = pods[0].name_any();
    let namespace = operator_namespace();
    assert_eq!(leader(|_| true).await, name, "the leader has the name of its pod");
    let (read, log) = kubectl(&["logs", "-n", &namespace, &name]);
    assert!(read && log.contains("This process leads."), "{log}");
    assert!(
        log.contains(&format!("system:serviceaccount:{namespace}:signalbox")),
        "its own token: {log}"
    );

    let status = pods[0].status.as_ref().unwrap();
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert!(container.ready && container.restart_count == 0, "{container:?}");
    let image = std::env::var("SIGNALBOX_TEST_IMAGE").unwrap();
    let (_, digest) = image.split_once('@').unwrap();
    assert!(
        container.image_id.contains(digest),
        "{} is not {image}",
        container.image_id
    );

    // The limits of the process according to the kernel, not to the pod's manifest.
    let process = process(&name).expect("a process");
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(line("Uid:"), ["65532"; 4]);
    assert_eq!(line("Gid:"), ["65532"; 4]);
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(capabilities), ["0000000000000000"], "{capabilities}");
    }
    assert_eq!(line("NoNewPrivs:"), ["1"]);
    assert_eq!(line("Seccomp:"), ["2"], "a filter");
}

/// The operator's process in the pod `name`.
fn process(name: &str) -> Option<String> {
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().into_string().ok()?;
        pid.parse::<u32>().ok()?;
        let read = |file: &str| {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let ours = read("cmdline").starts_with("/signalbox\0")
            && read("environ").contains(&format!("POD_NAME={name}"));
        ours.then_some(pid)
    })
}

fn kill(pid: &str) {
    let killed = Command::new("kill").args(["-KILL", pid]).status().unwrap();
    assert!(killed.success());
}

#[tokio::test]
async fn b_killed_in_the_middle_of_a_release_it_comes_back_and_ends_it() {
    let stage = stage("real-killed", 5).await;
    runs(&stage, &workload("Deployment", &images::app(&[]), |_| {})).await;
    let next = images::app(&[("VERSION", "2")]);
    let release = stage.submit(brings(&stage, "Deployment", &next)).await;
    until(&stage, &release, |p| p.state == State::Deploying).await;
    let name = pods().await[0].name_any();
    kill(&process(&name).expect("a process"));
    let killed = Instant::now();
    let pods: Api<Pod> = Api::namespaced(admin().await, &operator_namespace());
    wait_until(&pods, &name, LONG, |pod| {
        let containers = pod
            .status
            .iter()
            .flat_map(|s| s.container_statuses.iter().flatten());
        containers.clone().any(|c| c.restart_count >= 1 && c.ready)
    })
    .await;
    println!("killed, it is ready again after {:.1?}", killed.elapsed());
    reaches(&stage, &release, State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn c_helm_upgrade_changes_the_leader_within_seconds() {
    let before = leader(|_| true).await;
    let handed = tokio::spawn(hand_over(before.clone()));
    tokio::task::spawn_blocking(|| helm(&["podAnnotations.turn=first"]))
        .await
        .unwrap();
    let (next, without) = handed.await.unwrap();
    runs_as(1).await;
    assert_ne!(next, before);
    println!("helm upgrade with surge: {without:.1?} without a leader");
    assert!(without < Duration::from_secs(3), "{without:?} without a leader");
}

/// The leader after `before`, and how long there was no leader.
async fn hand_over(before: String) -> (String, Duration) {
    let leases = leases().await;
    let was = before.clone();
    wait_until(&leases, "signalbox", LONG, move |lease| holder(lease) != was).await;
    let given_back = Instant::now();
    let next = leader(move |holder| holder != before).await;
    (next, given_back.elapsed())
}

#[tokio::test]
async fn d_of_two_replicas_one_stands_by_and_takes_over() {
    tokio::task::spawn_blocking(|| helm(&["replicas=2"]))
        .await
        .unwrap();
    runs_as(2).await;
    // An operator that was just replaced can lead for another moment.
    let all: Vec<String> = pods().await.iter().map(ResourceExt::name_any).collect();
    let staying = all.clone();
    let before = leader(move |holder| staying.iter().any(|name| name == holder)).await;
    let standby = all.into_iter().find(|name| *name != before);
    let standby = standby.expect("a second one");
    // The pod that replaces the deleted one finds no node, so only the standby can take over.
    let (closed, told) = kubectl(&["cordon", "--selector=kubernetes.io/os=linux"]);
    assert!(closed, "{told}");
    let handed = tokio::spawn(hand_over(before.clone()));
    let (deleted, told) = kubectl(&[
        "delete",
        "pod",
        "-n",
        &operator_namespace(),
        &before,
        "--wait=false",
    ]);
    assert!(deleted, "{told}");
    let (next, without) = handed.await.unwrap();
    let (opened, told) = kubectl(&["uncordon", "--selector=kubernetes.io/os=linux"]);
    assert!(opened, "{told}");
    println!("one of two replicas deleted: {without:.1?} without a leader");
    assert_eq!(next, standby, "the standby takes over");
    assert!(without < Duration::from_secs(1), "{without:?} without a leader");
    tokio::task::spawn_blocking(|| helm(&["replicas=1"]))
        .await
        .unwrap();
    runs_as(1).await;
}

#[tokio::test]
async fn e_the_api_server_is_restarted_in_the_middle_of_a_release() {
    let stage = stage("real-restart", 5).await;
    runs(&stage, &workload("Deployment", &images::app(&[]), |_| {})).await;
    let next = images::app(&[("VERSION", "2")]);
    let release = stage.submit(brings(&stage, "Deployment", &next)).await;
    until(&stage, &release, |p| p.state == State::Deploying).await;
    let server = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().into_string().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        (line.contains("control-plane\0kube-apiserver") && !line.contains("tether")).then_some(pid)
    });
    kill(&server.expect("an API server"));
    let killed = Instant::now();
    let client = admin().await;
    // There is nothing to watch while it is down.
    while client.apiserver_version().await.is_err() {
        assert!(killed.elapsed() < LONG, "the API server does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("the API server answers again after {:.1?}", killed.elapsed());
    reaches(&stage, &release, State::Succeeded).await;
    stage.finish().await;
}
