//! Containers that fail after their component was Ready: once is a restart, twice is a loop.

use crate::domain::readiness::tests::*;

/// A container that runs and is ready, after its last run from `began` to `ended` (times of day).
fn ready_after(restarts: u64, began: &str, ended: &str, code: i64, reason: &str) -> Value {
    let at = |time: &str| format!("2026-11-01T{time}Z");
    json!({"name": "app", "restartCount": restarts, "ready": true, "state": {"running": {"startedAt": at(ended)}},
           "lastState": {"terminated": {"exitCode": code, "reason": reason, "startedAt": at(began), "finishedAt": at(ended)}}})
}

fn of_containers(statuses: &[Value]) -> Value {
    pod("p0", "r2", &json!({"status": {"containerStatuses": statuses}}))
}

/// The message about a restart, and whether it is a loop. The component became Ready at eleven.
fn told(object: &Value, pods: &[Value]) -> (Option<String>, bool) {
    let (pods, due) = (shared(pods), due(None));
    let restarted = super::super::restarted(object, &pods, &due);
    let looping = super::super::crash_loop(object, &pods, &due);
    if let Some(looping) = &looping {
        let said = restarted
            .as_ref()
            .map(|said| said.replacen("restarted", "crash-looping", 1));
        assert_eq!(said.as_ref(), Some(looping));
    }
    (restarted, looping.is_some())
}

/// It becomes ready, runs for a while and fails: between two exits nothing else shows the loop.
#[test]
fn who_fails_twice_since_the_component_was_ready_is_crash_looping_whatever_it_says_now() {
    let rows = [
        (
            "failed before it was Ready",
            ready_after(4, "10:30:00", "10:40:00", 1, "Error"),
            None,
        ),
        (
            "once",
            ready_after(1, "10:50:00", "11:20:00", 1, "Error"),
            Some(false),
        ),
        (
            "once, and before it was Ready",
            ready_after(4, "10:50:00", "11:20:00", 1, "Error"),
            Some(false),
        ),
        (
            "twice",
            ready_after(2, "11:20:00", "11:20:12", 1, "Error"),
            Some(true),
        ),
        (
            "within the same second",
            ready_after(2, "11:00:00", "11:20:12", 1, "Error"),
            Some(false),
        ),
        (
            "once, begun since: it waited for a node",
            ready_after(1, "11:20:00", "11:20:12", 1, "Error"),
            Some(false),
        ),
        (
            "it completed, and starts again",
            ready_after(9, "11:20:00", "11:20:12", 0, "Completed"),
            None,
        ),
        (
            "it was lost with its node",
            ready_after(2, "11:20:00", "11:20:12", 255, "Unknown"),
            None,
        ),
        (
            "the kubelet does not know how it ended",
            ready_after(2, "11:20:00", "11:20:12", 137, "ContainerStatusUnknown"),
            None,
        ),
        (
            "the kubelet has forgotten",
            json!({"name": "app", "restartCount": 5, "ready": true, "state": {"running": {}}}),
            None,
        ),
    ];
    for (what, status, again) in rows {
        for object in [
            deployment(none(), none()),
            stateful_set(none(), none()),
            daemon_set(none(), none()),
        ] {
            let (said, looping) = told(&object, &[of_containers(std::slice::from_ref(&status))]);
            assert_eq!(said.map(|_| looping), again, "{what}");
        }
    }
}

#[test]
fn an_end_that_is_not_followed_by_a_run_yet_counts_as_well() {
    let end = |began: &str| json!({"exitCode": 1, "reason": "Error", "startedAt": began, "finishedAt": "2026-11-01T11:30:00Z"});
    let (new, old) = (end("2026-11-01T11:20:00Z"), end("2026-11-01T10:20:00Z"));
    let backing_off = |end: &Value| {
        json!({"name": "app", "restartCount": 1, "ready": false, "lastState": {"terminated": end},
                                           "state": {"waiting": {"reason": "CrashLoopBackOff"}}})
    };
    let ended = |end: &Value, restarts: i64| json!({"name": "app", "restartCount": restarts, "state": {"terminated": end}});
    let rows = [
        (backing_off(&new), true),
        (backing_off(&old), false),
        (ended(&new, 1), true),
        (ended(&new, 0), false),
        (ended(&old, 1), false),
    ];
    for (status, looping) in rows {
        let (said, is) = told(
            &deployment(none(), none()),
            &[of_containers(std::slice::from_ref(&status))],
        );
        assert_eq!((said.is_some(), is), (true, looping), "{status}");
    }
}

#[test]
fn how_a_container_failed_is_said_as_far_as_its_pod_tells() {
    let rows = [
        (137, "OOMKilled", "OOMKilled"),
        (3, "Error", "Error, exit code 3"),
        (1, "", "exit code 1"),
        (
            137,
            "Error",
            "Error, exit code 137, SIGKILL, as after a failed liveness probe",
        ),
        (
            143,
            "Error",
            "Error, exit code 143, SIGTERM, as after a failed liveness probe",
        ),
    ];
    for (code, reason, said) in rows {
        let pods = [of_containers(&[ready_after(
            2, "11:20:00", "11:20:12", code, reason,
        )])];
        let said = format!("restarted since it was Ready: p0 (container app: {said})");
        assert_eq!(told(&deployment(none(), none()), &pods), (Some(said), true));
    }
}

#[test]
fn sidecars_count_and_first_steps_pods_of_other_templates_and_two_pods_that_fail_once_do_not() {
    let twice = ready_after(2, "11:20:00", "11:20:12", 1, "Error");
    let once = ready_after(1, "10:50:00", "11:20:12", 1, "Error");
    let init = |policy: Value| {
        let over = json!({"spec": {"initContainers": [{"name": "app", "image": "i", "restartPolicy": policy}]},
                          "status": {"initContainerStatuses": [twice]}});
        [pod("p0", "r2", &over)]
    };
    let set = || stateful_set(none(), none());
    assert!(told(&set(), &init(json!("Always"))).1);
    assert_eq!(told(&set(), &init(Value::Null)), (None, false));
    let looping = |revision: &str| {
        [pod(
            "p0",
            revision,
            &json!({"status": {"containerStatuses": [twice]}}),
        )]
    };
    assert!(told(&set(), &looping("r2")).1);
    assert_eq!(told(&set(), &looping("r1")), (None, false));
    let pods = [
        pod("p1", "r2", &json!({"status": {"containerStatuses": [once]}})),
        pod("p0", "r2", &json!({"status": {"containerStatuses": [once]}})),
    ];
    let said = "restarted since it was Ready: p0 (container app: Error, exit code 1), p1 (container app: Error, exit code 1)";
    assert_eq!(told(&set(), &pods), (Some(said.to_owned()), false));
}

#[test]
fn the_end_that_a_restarted_node_gave_a_container_is_none_of_its_failures() {
    let of = |restarts: u64, sandbox: &str, created: &str| {
        let status = ready_after(restarts, "11:20:00", "11:20:12", 1, "Error");
        let mut sandbox_ready = condition("PodReadyToStartContainers", "True", "");
        sandbox_ready["lastTransitionTime"] = json!(format!("2026-11-01T{sandbox}Z"));
        let over = json!({
            "metadata": {"creationTimestamp": format!("2026-11-01T{created}Z")},
            "status": {"conditions": [condition("Ready", "True", ""), sandbox_ready], "containerStatuses": [status]},
        });
        told(&deployment(none(), none()), &[pod("p0", "r2", &over)]).1
    };
    assert!(
        of(2, "10:00:00", "09:59:00"),
        "its sandbox is the one it was Ready in"
    );
    assert!(!of(2, "11:19:00", "09:59:00"), "one end was the node's");
    assert!(of(3, "11:19:00", "09:59:00"), "two were its own");
    assert!(
        of(2, "11:19:00", "11:18:59"),
        "a pod that is younger has never had another sandbox"
    );
}

#[test]
fn since_when_is_not_known_no_end_counts() {
    let pods = shared(&[of_containers(&[ready_after(
        2, "11:20:00", "11:20:12", 1, "Error",
    )])]);
    let due = Due {
        since: None,
        ..due(None)
    };
    assert_eq!(
        super::super::crash_loop(&deployment(none(), none()), &pods, &due),
        None
    );
    assert_eq!(
        super::super::restarted(&deployment(none(), none()), &pods, &due),
        None
    );
}
