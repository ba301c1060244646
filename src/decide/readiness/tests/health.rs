//! What is health loss and what is not, while observing and before we start.

use super::*;

fn running_after_a_crash(restarts: u64, ready: bool) -> Value {
    let last = json!({"terminated": {"exitCode": 1}});
    let state = json!({"running": {}});
    json!({"name": "app", "restartCount": restarts, "ready": ready, "state": state, "lastState": last})
}

#[test]
fn a_deployment_that_is_not_available_is_unhealthy() {
    let down = json!({"conditions": [condition("Available", "False", "MinimumReplicasUnavailable")]});
    let sentence = "Available=False (MinimumReplicasUnavailable): because";
    assert_eq!(
        unhealthy(&deployment(none(), down), &[]),
        Some(sentence.to_owned())
    );
}

#[test]
fn scaling_drains_and_starting_pods_are_not_health_loss() {
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    let starting = json!({"name": "app", "restartCount": 0, "ready": false, "state": creating});
    let restarted = running_after_a_crash(1, false);
    let recovered = running_after_a_crash(5, true);
    let ended = json!({"name": "app", "restartCount": 1, "state": {"terminated": {"exitCode": 137}}});
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-11-01T10:00:00Z"}});
    let pods = [
        pod(
            "starting",
            "r2",
            &json!({"status": {"containerStatuses": [starting]}}),
        ),
        pod(
            "restarted",
            "r2",
            &json!({"status": {"containerStatuses": [restarted]}}),
        ),
        pod(
            "recovered",
            "r2",
            &json!({"status": {"containerStatuses": [recovered]}}),
        ),
        pod(
            "drained",
            "r2",
            &json!({"status": {"phase": "Failed", "containerStatuses": [ended]}}),
        ),
        with(crash_looping("deleted", "r2"), &deleted),
    ];
    let resized = json!({"availableReplicas": 1, "unavailableReplicas": 5, "replicas": 6});
    assert_eq!(
        unhealthy(&deployment(json!({"replicas": 6}), resized), &pods),
        None
    );
    assert_eq!(
        unhealthy(&stateful_set(none(), json!({"availableReplicas": 1})), &pods),
        None
    );
    assert_eq!(
        unhealthy(&daemon_set(none(), json!({"numberAvailable": 1})), &pods),
        None
    );
}

#[test]
fn a_container_that_keeps_crashing_is_unhealthy_in_every_phase_of_the_loop() {
    let between = running_after_a_crash(2, false);
    let ended = json!({"name": "app", "restartCount": 1, "state": {"terminated": {"exitCode": 1}}});
    let waiting = json!({"name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    let phases = [
        (json!({"containerStatuses": [between]}), "app"),
        (json!({"containerStatuses": [ended]}), "app"),
        (json!({"initContainerStatuses": [waiting]}), "init"),
    ];
    for (status, container) in phases {
        let pods = [pod("p0", "r2", &json!({"status": status}))];
        let sentence = Some(format!("crash-looping: p0 (container {container})"));
        for object in [
            deployment(none(), none()),
            stateful_set(none(), none()),
            daemon_set(none(), none()),
        ] {
            assert_eq!(unhealthy(&object, &pods), sentence);
        }
    }
}

#[test]
fn only_pods_of_our_template_count_against_us() {
    let old_set = stateful_set(
        json!({"updateStrategy": {"type": "OnDelete"}}),
        json!({"updateRevision": "r3"}),
    );
    assert_eq!(unhealthy(&old_set, &[crash_looping("p0", "r2")]), None);
    assert!(unhealthy(&old_set, &[crash_looping("p0", "r3")]).is_some());

    let rolling = deployment(none(), json!({"updatedReplicas": 1}));
    let old_image = json!({"spec": {"containers": [{"name": "app", "image": "a:1"}]}});
    let injected =
        json!({"spec": {"containers": [{"name": "mesh", "image": "m"}, {"name": "app", "image": "a:2"}]}});
    assert_eq!(
        unhealthy(&rolling, &[with(crash_looping("p0", ""), &old_image)]),
        None
    );
    assert!(unhealthy(&rolling, &[with(crash_looping("p0", ""), &injected)]).is_some());
    // Once the controller counts all as updated, an image that admission rewrote is ours all the same.
    assert!(
        unhealthy(
            &deployment(none(), none()),
            &[with(crash_looping("p0", ""), &old_image)]
        )
        .is_some()
    );
    // Counts of an older generation say nothing.
    let stale = deployment(none(), json!({"observedGeneration": 2}));
    assert_eq!(
        unhealthy(&stale, &[with(crash_looping("p0", ""), &old_image)]),
        None
    );

    let stamp =
        json!({"spec": {"template": {"metadata": {"annotations": {"signalbox.dev/restarted-for": "x"}}}}});
    assert_eq!(
        unhealthy(&with(rolling, &stamp), &[crash_looping("p0", "")]),
        None
    );
}

#[test]
fn pods_are_those_that_the_selector_selects() {
    let selected = |selector: Value| {
        let mut object = deployment(none(), none());
        object["spec"]["selector"] = selector;
        unhealthy(&object, &[crash_looping("p0", "")]).is_some()
    };
    let expression = |operator: &str, key: &str, values: Value| {
        let expression = json!({"key": key, "operator": operator, "values": values});
        json!({"matchExpressions": [expression]})
    };
    assert!(selected(json!({"matchLabels": {"app": "ledger"}})));
    assert!(!selected(json!({"matchLabels": {"app": "ledger", "tier": "x"}})));
    assert!(selected(expression("In", "app", json!(["x", "ledger"]))));
    assert!(!selected(expression("In", "app", json!(["x"]))));
    assert!(selected(expression("NotIn", "tier", json!(["x"]))));
    assert!(!selected(expression("NotIn", "app", json!(["ledger"]))));
    assert!(selected(expression("Exists", "app", json!([]))));
    assert!(!selected(expression("DoesNotExist", "app", json!([]))));
    assert!(!selected(expression("Near", "app", json!([]))));
    assert!(!selected(json!({})));
}

#[test]
fn jobs_and_configuration_have_no_health_to_lose() {
    assert_eq!(unhealthy(&job(json!([])), &[crash_looping("p0", "")]), None);
    assert_eq!(
        unhealthy(
            &object("v1", "Service", none(), none()),
            &[crash_looping("p0", "")]
        ),
        None
    );
}

#[test]
fn before_we_start_whole_workloads_and_kinds_without_health_are_healthy() {
    let config = object("v1", "ConfigMap", none(), none());
    for object in [
        deployment(none(), none()),
        stateful_set(none(), none()),
        daemon_set(none(), none()),
        job(json!([])),
        config,
    ] {
        assert_eq!(healthy_before(&object), Ok(()));
    }
    // A resize that is under way is no illness.
    assert_eq!(
        healthy_before(&deployment(json!({"replicas": 9}), none())),
        Ok(())
    );
}

#[test]
fn before_we_start_what_is_down_stale_or_going_is_not_healthy() {
    let exceeded = json!([
        available(),
        condition("Progressing", "False", "ProgressDeadlineExceeded")
    ]);
    let ill = [
        (
            deployment(none(), json!({"conditions": []})),
            "condition Available is not reported yet",
        ),
        (
            deployment(none(), json!({"conditions": exceeded})),
            "its last rollout failed: Progressing=False (ProgressDeadlineExceeded): because",
        ),
        (
            deployment(none(), json!({"observedGeneration": 2})),
            "generation 3 is not observed yet: status shows 2",
        ),
        (
            stateful_set(none(), json!({"availableReplicas": 2})),
            "availableReplicas is 2 of 3",
        ),
        (
            daemon_set(none(), json!({"numberAvailable": 0})),
            "numberAvailable is 0 of 2",
        ),
        (
            object("apps/v1", "DaemonSet", none(), none()),
            "its status is not known yet",
        ),
        (
            object("v1", "PersistentVolumeClaim", none(), json!({"phase": "Lost"})),
            "its volume is lost",
        ),
        (
            with(job(json!([])), &json!({"metadata": {"deletionTimestamp": "x"}})),
            "is being deleted",
        ),
    ];
    for (object, sentence) in ill {
        assert_eq!(healthy_before(&object), Err(sentence.to_owned()));
    }
}
