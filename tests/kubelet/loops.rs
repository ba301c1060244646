//! Containers that start, become ready, and do not stay.

use serde_json::{Value, json};
use signalbox::api::release::State;

use crate::images;
use crate::kit::Stage;
use crate::workload::{brings, failure, images as running, pod, reaches, runs, stage, workload};

/// The workload with `change` and this image is observed for 40 s. The fault must be detected, and the message must contain these words.
async fn is_found_out(name: &str, behaviour: &[(&str, &str)], change: fn(&mut Value), words: &[&str]) {
    let stage = stage(name, 40).await;
    let before = images::app(&[]);
    runs(&stage, &workload("Deployment", &before, change)).await;
    let release = stage
        .submit(brings(&stage, "Deployment", &images::app(behaviour)))
        .await;
    let told = failure(&stage, &release).await;
    for word in words {
        assert!(told.contains(word), "{word:?} is missing:\n{told}");
    }
    comes_back(&stage, &release, &before).await;
    stage.finish().await;
}

async fn comes_back(stage: &Stage, release: &str, before: &str) {
    reaches(stage, release, State::BackedOut).await;
    assert_eq!(running(stage).await, [before.to_owned()]);
}

#[tokio::test]
async fn a_program_that_is_ready_between_its_crashes_is_found_out_by_its_restarts() {
    let words = ["HealthLost", "crash-looping since it was Ready", "exit code 1"];
    is_found_out("real-between", &[("CRASH_AFTER", "6s")], |_| {}, &words).await;
}

#[tokio::test]
async fn a_container_that_takes_too_much_memory_is_named_as_that() {
    let limited = |w: &mut Value| {
        pod(w)["containers"][0]["resources"] = json!({ "limits": { "memory": "48Mi" } });
    };
    is_found_out(
        "real-memory",
        &[("EAT_AFTER", "4s")],
        limited,
        &["HealthLost", "OOMKilled"],
    )
    .await;
}

/// Both pods are ready well before the first of them stalls, also on a busy machine; the grace ends within the observation.
#[tokio::test]
async fn a_probe_that_fails_after_a_while_is_health_loss() {
    is_found_out("real-stall", &[("STALL_AFTER", "14s")], |_| {}, &["HealthLost"]).await;
}

#[tokio::test]
async fn a_liveness_probe_that_fails_is_named_by_its_restarts() {
    let lives = |w: &mut Value| {
        pod(w)["terminationGracePeriodSeconds"] = 1.into();
        pod(w)["containers"][0]["livenessProbe"] = json!({
            "httpGet": { "path": "/healthz", "port": 8080 }, "periodSeconds": 1, "failureThreshold": 1,
        });
    };
    // It does not stop when asked to, so it is killed.
    let behaviour = [("STALL_AFTER", "5s"), ("LINGER", "20s")];
    is_found_out(
        "real-liveness",
        &behaviour,
        lives,
        &["HealthLost", "crash-looping since it was Ready", "liveness"],
    )
    .await;
}

#[tokio::test]
async fn a_sidecar_that_crashes_is_found_out() {
    let stage = stage("real-sidecar", 40).await;
    let (app, good) = (images::app(&[]), images::app(&[("ROLE", "sidecar")]));
    let with_sidecar = workload("Deployment", &app, |w| {
        pod(w)["initContainers"] = json!([{
            "name": "proxy", "image": good, "restartPolicy": "Always",
            "ports": [{ "containerPort": 8080 }],
        }]);
        // Both listen on the same port of the pod; the sidecar comes first, and the app needs no probe here.
        pod(w)["containers"][0]
            .as_object_mut()
            .unwrap()
            .remove("readinessProbe");
        pod(w)["containers"][0]["env"] = json!([{ "name": "PORT", "value": "8081" }]);
    });
    runs(&stage, &with_sidecar).await;
    let bad = images::app(&[("CRASH_AFTER", "6s")]);
    let release = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .component(json!({
                    "name": "app",
                    "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "app" },
                    "images": [{ "container": "proxy", "image": bad }],
                }))
                .ready_within("20s"),
        )
        .await;
    let told = failure(&stage, &release).await;
    assert!(told.contains("HealthLost") && told.contains("proxy"), "{told}");
    comes_back(&stage, &release, &app).await;
    stage.finish().await;
}
