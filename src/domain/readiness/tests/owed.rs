//! What a release owes: no replicas that others raised, no pods on nodes that were missing before, and no more than its own strategy
//! requires.

use crate::domain::readiness::tests::*;

fn was(replicas: i64) -> Was {
    Was {
        replicas: Some(replicas),
        ..Was::default()
    }
}

fn judged(object: &Value, pods: &[Value], was: &Was) -> bool {
    judge_release(object, &shared(pods), None, was) == Readiness::Ready
}

fn enough(object: &Value, pods: &[Value], was: &Was) -> bool {
    good_enough(object, &shared(pods), None, was)
}

/// Ten are asked for, of which `available` are: `updated` of the new template, the others of an older one.
fn raised(replicas: i64, updated: i64, available: i64) -> Value {
    let conditions = json!([
        condition("Available", "False", "MinimumReplicasUnavailable"),
        condition("Progressing", "False", "ProgressDeadlineExceeded")
    ]);
    let counts = json!({"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available,
                        "unavailableReplicas": replicas - available, "conditions": conditions});
    deployment(json!({"replicas": 10}), counts)
}

fn unscheduled(name: &str) -> Value {
    let conditions = [
        condition("Ready", "False", ""),
        condition("PodScheduled", "False", "Unschedulable"),
    ];
    pod(name, "r2", &json!({"status": {"conditions": conditions}}))
}

#[test]
fn replicas_that_others_raised_are_waited_for_only_as_far_as_they_were_owed() {
    assert!(judged(&raised(10, 10, 3), &[], &was(2)));
    assert!(judged(&raised(10, 10, 2), &[], &was(2)));
    assert!(!judged(&raised(10, 10, 1), &[], &was(2)));
    assert!(
        !judged(&raised(10, 10, 3), &[], &was(10)),
        "the release asked for ten"
    );
    assert!(
        !judged(&raised(10, 10, 3), &[], &Was::default()),
        "nothing is known"
    );
    // Of three that are available two may be of an older template.
    assert!(!judged(&raised(10, 8, 3), &[], &was(2)));
    assert!(judged(&raised(10, 8, 4), &[], &was(2)));
    let ready = [pod("a", "r2", &none()), pod("b", "r2", &none())];
    assert!(
        judged(&raised(13, 8, 3), &ready, &was(2)),
        "the pods themselves prove it"
    );
    assert!(!judged(&raised(13, 8, 3), &ready[..1], &was(2)));
    // Scaling down is waited for as before.
    assert!(!judged(&deployment(json!({"replicas": 1}), none()), &[], &was(2)));
    let paused = with(raised(10, 10, 3), &json!({"spec": {"paused": true}}));
    assert!(!judged(&paused, &[], &was(2)));
}

#[test]
fn a_stateful_set_that_others_raised_is_ready_with_the_pods_that_were_owed() {
    let grown = stateful_set(
        json!({"replicas": 9}),
        json!({"updateRevision": "r2", "currentRevision": "r1"}),
    );
    let ready = [pod("a", "r2", &none()), pod("b", "r2", &none())];
    assert!(judged(&grown, &ready, &was(2)));
    assert!(!judged(&grown, &ready[..1], &was(2)));
    assert!(!judged(
        &grown,
        &[pod("a", "r1", &none()), pod("b", "r2", &none())],
        &was(2)
    ));
}

#[test]
fn when_time_is_over_what_only_lacks_nodes_is_good_enough() {
    let new = || pod("new", "r2", &none());
    let stuck = raised(13, 8, 3);
    assert!(enough(&stuck, &[new(), unscheduled("x")], &was(2)));
    assert!(
        !enough(&stuck, &[unscheduled("x")], &was(2)),
        "none of the new pods is ready"
    );
    let unready = pod(
        "y",
        "r2",
        &json!({"status": {"conditions": [condition("Ready", "False", "")]}}),
    );
    assert!(!enough(&stuck, &[new(), unready], &was(2)), "one fails by itself");
    assert!(
        !enough(&raised(13, 8, 1), &[new(), unscheduled("x")], &was(2)),
        "fewer serve than before"
    );
    assert!(
        !enough(&stuck, &[new(), unscheduled("x")], &was(10)),
        "the replicas were not raised"
    );
}

#[test]
fn nodes_that_were_away_before_are_not_waited_for() {
    let two = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}});
    let of = |updated: i64, available: i64| {
        let counts = json!({"desiredNumberScheduled": 3, "updatedNumberScheduled": updated, "numberAvailable": available});
        daemon_set(two.clone(), counts)
    };
    let away = |away| Was {
        away,
        ..Was::default()
    };
    assert!(judged(&of(3, 2), &[], &away(1)));
    assert!(!judged(&of(3, 1), &[], &away(1)));
    assert!(
        !judged(&of(2, 2), &[], &away(1)),
        "not every node has the new template"
    );
    assert!(!judged(&of(3, 2), &[], &away(0)));
    assert!(
        !judged(&of(3, 0), &[], &away(3)),
        "one is needed, whatever is tolerated"
    );
    // Nodes that were lost in between: once the deadline is exceeded, within the tolerance, and if nothing fails by itself.
    assert!(enough(&of(3, 2), &[], &away(0)));
    assert!(enough(&of(3, 1), &[], &away(0)));
    assert!(!enough(&of(3, 0), &[], &away(0)));
    assert!(!enough(&of(2, 2), &[], &away(0)));
    assert!(!enough(&of(3, 2), &[crash_looping("p", "r2")], &away(0)));
    // Between back-offs, a kubelet shows how the last run ended instead.
    for reason in ["Error", "OOMKilled"] {
        let ended = json!({"name": "app", "state": {"terminated": {"exitCode": 1, "reason": reason}}});
        let between = pod(
            "p",
            "r2",
            &json!({"status": {"conditions": [condition("Ready", "False", "")], "containerStatuses": [ended]}}),
        );
        assert!(!enough(&of(3, 2), &[between], &away(0)), "{reason}");
    }
    assert_eq!(
        tolerated(&of(3, 2)),
        Some("2 of 3 pods are available, within its maxUnavailable".to_owned())
    );
    assert_eq!(tolerated(&of(3, 3)), None);
}

#[test]
fn how_a_target_is_doing_is_captured() {
    let whole = deployment(none(), none());
    let result = with(
        whole.clone(),
        &json!({"spec": {"replicas": 5}, "metadata": {"generation": 4}}),
    );
    assert_eq!(super::was(Some(&whole), &result), was(5));
    assert_eq!(super::was(None, &result), was(5));
    // A backout may not rely on a resize in progress.
    let resized = deployment(none(), json!({"availableReplicas": 1}));
    assert_eq!(super::was(Some(&resized), &resized), was(2));
    let broken = deployment(
        none(),
        json!({"availableReplicas": 1, "conditions": [condition("Available", "False", "MinimumReplicasUnavailable")]}),
    );
    assert_eq!(
        super::was(Some(&broken), &broken),
        Was {
            unready: true,
            ..was(2)
        }
    );
    let node_away = daemon_set(
        none(),
        json!({"desiredNumberScheduled": 3, "updatedNumberScheduled": 3}),
    );
    assert_eq!(
        super::was(Some(&node_away), &node_away),
        Was {
            away: 1,
            ..Was::default()
        }
    );
    let more_away = daemon_set(
        none(),
        json!({"desiredNumberScheduled": 4, "updatedNumberScheduled": 4}),
    );
    assert_eq!(
        super::was(Some(&more_away), &more_away),
        Was {
            away: 1,
            unready: true,
            ..Was::default()
        }
    );
    let config = object("v1", "ConfigMap", none(), none());
    assert_eq!(super::was(Some(&config), &config), Was::default());
}

/// Why a target is not healthy.
fn ill(object: &Value) -> String {
    healthy_before(object).expect_err("it is unhealthy").to_string()
}

#[test]
fn before_we_start_what_a_workload_tolerates_keeps_nobody_out() {
    let nodes = |available: i64| {
        let counts = json!({"desiredNumberScheduled": 3, "numberAvailable": available});
        daemon_set(none(), counts)
    };
    assert_eq!(healthy_before(&nodes(2)), Ok(()));
    assert_eq!(ill(&nodes(1)), "numberAvailable is 1 of 3");
    let paused = deployment(json!({"paused": true}), none());
    assert_eq!(ill(&paused), "it is paused: resume it (kubectl rollout resume)");
    // Its strategy tolerates the loss of every pod, so it is Available without any.
    assert_eq!(
        ill(&deployment(none(), json!({"availableReplicas": 0}))),
        "availableReplicas is 0 of 1"
    );
    let zero = deployment(json!({"replicas": 0}), json!({"availableReplicas": 0}));
    assert_eq!(healthy_before(&zero), Ok(()));
    let behind = [
        json!({"metadata": {"annotations": {"rollout.argoproj.io/workload-generation": "3"}}}),
        json!({"metadata": {"managedFields": [{"manager": "rollouts-controller"}]}}),
    ];
    for traces in behind {
        let said = ill(&with(zero.clone(), &traces));
        assert!(
            said.starts_with("it has 0 replicas because an Argo Rollout"),
            "{said}"
        );
        assert_eq!(healthy_before(&with(deployment(none(), none()), &traces)), Ok(()));
    }
}
