//! What is health loss and what is not, during observation and before a release starts.

use crate::domain::readiness::tests::*;

fn running_after_a_crash(restarts: u64, ready: bool) -> Value {
    let last = json!({"terminated": {"exitCode": 1}});
    let state = json!({"running": {}});
    json!({"name": "app", "restartCount": restarts, "ready": ready, "state": state, "lastState": last})
}

#[test]
fn scaling_drains_and_starting_pods_are_not_health_loss() {
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    let starting = json!({"name": "app", "restartCount": 0, "ready": false, "state": creating});
    let restarted = running_after_a_crash(1, false);
    let recovered = running_after_a_crash(5, true);
    let ended = json!({"name": "app", "restartCount": 1, "state": {"terminated": {"exitCode": 137}}});
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-11-01T10:00:00Z"}});
    let one = |status: Value| json!({"status": {"containerStatuses": [status]}});
    let drained = json!({"status": {"phase": "Failed", "containerStatuses": [ended]}});
    let pods = [
        pod("starting", "r2", &one(starting)),
        pod("restarted", "r2", &one(restarted)),
        pod("recovered", "r2", &one(recovered)),
        pod("drained", "r2", &drained),
        with(crash_looping("deleted", "r2"), &deleted),
    ];
    // Two were ready when it became Ready; six are asked for, and there is room for two.
    let resized = json!({"readyReplicas": 2, "availableReplicas": 2, "unavailableReplicas": 4, "replicas": 6,
                         "conditions": [condition("Available", "False", "MinimumReplicasUnavailable")]});
    let raised = deployment(json!({"replicas": 6}), resized);
    assert_eq!(unhealthy_of(&raised, &pods, Some(2)), None);
    let raised = stateful_set(json!({"replicas": 6}), json!({}));
    assert_eq!(unhealthy_of(&raised, &pods, Some(3)), None);
    // Pods that were scaled down are not missing.
    let lowered = |ready| {
        stateful_set(
            json!({"replicas": 1}),
            json!({"readyReplicas": ready, "availableReplicas": ready}),
        )
    };
    assert_eq!(unhealthy_of(&lowered(1), &[], Some(3)), None);
    assert_eq!(
        unhealthy_of(&lowered(0), &[], Some(3)),
        Some("0 of 1 pods ready".to_owned())
    );
    let none_there = json!({"replicas": 0, "readyReplicas": 0, "availableReplicas": 0});
    assert_eq!(
        unhealthy_of(&deployment(json!({"replicas": 0}), none_there), &[], Some(2)),
        None
    );
}

/// For every kind: how many pods were ready, what the strategy tolerates, and both sides of the limit.
#[test]
fn fewer_ready_pods_than_were_ready_are_health_loss_beyond_what_the_workload_tolerates() {
    let rolling = |unavailable: Value, surge: Value| {
        json!({"strategy": {"type": "RollingUpdate",
                            "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}})
    };
    let nodes = |unavailable: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}}});
    let on_delete = || json!({"updateStrategy": {"type": "OnDelete"}});
    // kind, strategy, ready when it became Ready, minimum that must be ready
    let rows = [
        ("Deployment", none(), 2, 2),
        ("Deployment", none(), 4, 3),
        ("Deployment", rolling(json!(1), json!(1)), 3, 2),
        ("Deployment", rolling(json!("50%"), json!(1)), 3, 2),
        ("Deployment", rolling(json!("100%"), json!(0)), 2, 1),
        ("Deployment", rolling(json!(9), json!(0)), 2, 1),
        ("Deployment", rolling(json!(0), json!("0%")), 3, 2),
        ("Deployment", json!({"strategy": {"type": "Recreate"}}), 2, 2),
        ("StatefulSet", none(), 2, 2),
        ("StatefulSet", nodes(json!(1)), 3, 3),
        ("StatefulSet", nodes(json!(2)), 3, 1),
        ("StatefulSet", nodes(json!("100%")), 3, 1),
        ("DaemonSet", none(), 3, 2),
        ("DaemonSet", none(), 1, 1),
        ("DaemonSet", nodes(json!(2)), 3, 1),
        ("DaemonSet", nodes(json!("10%")), 11, 9),
        ("DaemonSet", nodes(json!(0)), 3, 3),
        ("DaemonSet", on_delete(), 3, 3),
    ];
    for (kind, strategy, was, least) in rows {
        let of = |ready: i64| {
            let replicas = with(json!({"replicas": was}), &strategy);
            let counts = json!({"readyReplicas": ready, "availableReplicas": ready});
            match kind {
                "Deployment" => deployment(replicas, counts),
                "StatefulSet" => stateful_set(replicas, counts),
                _ => daemon_set(
                    strategy.clone(),
                    json!({"desiredNumberScheduled": was, "numberReady": ready, "numberAvailable": ready}),
                ),
            }
        };
        assert_eq!(
            unhealthy_of(&of(least), &[], Some(was)),
            None,
            "{kind} {strategy}"
        );
        let said = Some(format!("{} of {was} pods ready", least - 1));
        assert_eq!(
            unhealthy_of(&of(least - 1), &[], Some(was)),
            said,
            "{kind} {strategy}"
        );
    }
}

#[test]
fn health_loss_names_the_pods_and_what_ails_them() {
    let unready = |name: &str, status: Value| {
        let over = json!({"status": {"conditions": [condition("Ready", "False", "")]}});
        with(pod(name, "r2", &over), &json!({"status": status}))
    };
    let waiting = |reason: &str| json!({"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": reason}}}]});
    let unscheduled = json!({"conditions": [
        condition("Ready", "False", ""),
        condition("PodScheduled", "False", "Unschedulable"),
    ]});
    let pods = [
        unready("d", unscheduled),
        unready("c", waiting("ImagePullBackOff")),
        unready("b", waiting("ContainerCreating")),
        unready(
            "a",
            json!({"containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": 1, "reason": "OOMKilled"}}}]}),
        ),
        pod("ready", "r2", &none()),
    ];
    let down = json!({"readyReplicas": 1, "availableReplicas": 1});
    let said = |pods: &[Value]| unhealthy_of(&stateful_set(none(), down.clone()), pods, Some(3));
    assert_eq!(
        said(&pods),
        Some("1 of 3 pods ready: a (OOMKilled), b (NotReady), c (ImagePullBackOff) and 1 more".to_owned())
    );
    assert_eq!(
        said(&pods[..2]),
        Some("1 of 3 pods ready: c (ImagePullBackOff), d (Unschedulable)".to_owned())
    );
    assert_eq!(said(&[]), Some("1 of 3 pods ready".to_owned()));
}

/// An application that is ready for a while and exits again and again is unhealthy, whatever its exit code.
#[test]
fn who_is_restarted_has_recovered_once_it_has_run_as_long_as_the_grace() {
    let container = |restarts: u64, started: &str, code: i64| {
        json!({"name": "app", "restartCount": restarts, "ready": true, "state": {"running": {"startedAt": started}},
               "lastState": {"terminated": {"exitCode": code}}})
    };
    let rows = [
        (container(2, "2026-11-01T11:59:31Z", 1), true),
        (container(2, "2026-11-01T11:59:31Z", 0), true),
        (container(2, "2026-11-01T11:59:30Z", 1), false),
        (container(9, "2026-11-01T09:00:00Z", 1), false),
        (container(1, "2026-11-01T11:59:59Z", 1), false),
        (
            json!({"name": "app", "restartCount": 2, "ready": true,
                "state": {"running": {"startedAt": "2026-11-01T11:59:59Z"}}}),
            false,
        ),
    ];
    for (status, looping) in rows {
        let pods = [pod(
            "p0",
            "r2",
            &json!({"status": {"containerStatuses": [status]}}),
        )];
        for object in [
            deployment(none(), none()),
            stateful_set(none(), none()),
            daemon_set(none(), none()),
        ] {
            assert_eq!(
                unhealthy(&object, &pods).is_some(),
                looping,
                "{}",
                pods[0]["status"]
            );
        }
    }
}

#[test]
fn a_container_that_keeps_crashing_is_unhealthy_in_every_phase_of_the_loop() {
    let between = running_after_a_crash(2, false);
    let ended = json!({"name": "app", "restartCount": 1, "state": {"terminated": {"exitCode": 1}}});
    let waiting = json!({"name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    let phases = [
        (json!({"containerStatuses": [between]}), "app: exit code 1"),
        (json!({"containerStatuses": [ended]}), "app: exit code 1"),
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
    // Counts of an older generation do not count.
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

/// Names of pods are truncated, and selectors overlap: only the controller identifies the workload of a pod.
#[test]
fn pods_are_those_that_the_workload_controls() {
    let owned = |owner: Value, hash: &str| {
        let mut pod = crash_looping("p0", "r2");
        pod["metadata"]["ownerReferences"] = json!([owner]);
        pod["metadata"]["labels"]["pod-template-hash"] = json!(hash);
        pod
    };
    let owner = |kind: &str, name: &str, uid: &str| json!({"controller": true, "kind": kind, "name": name, "uid": uid});
    let long = "e".repeat(58);
    let set = |name: &str| owner("ReplicaSet", name, "u7");
    // Deployment, controller, pod-template-hash
    let rows = [
        ("ledger", set("ledger-abc"), "abc", true),
        ("ledger", set("ledger-worker-abc"), "abc", false),
        ("ledger-worker", set("ledger-worker-abc"), "abc", true),
        ("ledger", set("ledger-worker-abc"), "worker-abc", true),
        ("ledger", set("ledger-abc"), "abd", false),
        ("ledger", set("ledger-"), "", false),
        ("ledger", set("ledgerabc"), "abc", false),
        ("ledger", owner("StatefulSet", "ledger-abc", "u7"), "abc", false),
        (
            "ledger",
            json!({"controller": false, "kind": "ReplicaSet", "name": "ledger-abc"}),
            "abc",
            false,
        ),
        (&*long, set(&format!("{long}-abc")), "abc", true),
    ];
    for (name, owner, hash, ours) in rows {
        let mut object = deployment(none(), none());
        object["metadata"]["name"] = json!(name);
        let pods = [owned(owner, hash)];
        assert_eq!(
            unhealthy(&object, &pods).is_some(),
            ours,
            "{name} {}",
            pods[0]["metadata"]
        );
    }
    for object in [stateful_set(none(), none()), daemon_set(none(), none())] {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        for (uid, ours) in [("u1", true), ("u2", false), ("", false)] {
            let pods = [owned(owner(&kind, "ledger", uid), "abc")];
            assert_eq!(unhealthy(&object, &pods).is_some(), ours, "{kind} {uid}");
        }
    }
    let mut orphan = crash_looping("p0", "r2");
    orphan["metadata"]["ownerReferences"] = json!([]);
    assert_eq!(unhealthy(&deployment(none(), none()), &[orphan]), None);
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
    // A resize in progress is healthy.
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
            deployment(
                none(),
                json!({"conditions": [{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                                                      "message": "Deployment does not have minimum availability."}]}),
            ),
            "Available=False (MinimumReplicasUnavailable): Deployment does not have minimum availability",
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
            "it is being deleted",
        ),
    ];
    for (object, sentence) in ill {
        let said = healthy_before(&object).expect_err(sentence);
        assert_eq!(said.to_string(), sentence);
    }
}

#[test]
fn pods_before_the_partition_and_those_updated_on_delete_are_not_stuck() {
    let broken = |name: &str| {
        let owner = json!({"metadata": {"ownerReferences": [{"controller": true, "kind": "StatefulSet", "uid": "u1"}]}});
        with(
            crash_looping(name, "r1"),
            &with(
                owner,
                &json!({"status": {"conditions": [condition("Ready", "False", "")]}}),
            ),
        )
    };
    let of = |strategy: Value| {
        with(
            stateful_set(json!({"updateStrategy": strategy}), none()),
            &json!({"metadata": {"uid": "u1"}}),
        )
    };
    let pods = shared(&[broken("db-0"), broken("db-2")]);
    let named = |object: &Value| -> Vec<String> {
        super::super::stuck(object, &pods)
            .into_iter()
            .map(|pod| pod.name)
            .collect()
    };
    assert_eq!(named(&of(json!({"type": "RollingUpdate"}))), ["db-0", "db-2"]);
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    assert_eq!(named(&of(partition)), ["db-2"]);
    assert_eq!(named(&of(json!({"type": "OnDelete"}))), Vec::<String>::new());
}

#[test]
fn a_target_is_well_since_enough_of_it_is_ready() {
    let at = |minute: i64| format!("2026-11-01T11:{minute:02}:00Z");
    let since = |object: &Value, ready: &[i64]| {
        let pods: Vec<Value> = ready
            .iter()
            .map(|minute| json!({"type": "Ready", "status": "True", "lastTransitionTime": at(*minute)}))
            .map(|ready| pod("p", "r2", &json!({"status": {"conditions": [ready]}})))
            .collect();
        super::super::well_since(object, &shared(&pods)).map(|at| at.to_string())
    };
    let available = json!({"type": "Available", "status": "True", "lastTransitionTime": at(7)});
    let of_deployment = deployment(none(), json!({"conditions": [available]}));
    assert_eq!(since(&of_deployment, &[30]), Some(at(7)));
    assert_eq!(since(&stateful_set(none(), none()), &[9, 30, 20]), Some(at(30)));
    assert_eq!(
        since(&stateful_set(none(), none()), &[9, 30]),
        None,
        "a third one is not observed yet"
    );
    assert_eq!(since(&stateful_set(json!({"replicas": 0}), none()), &[]), None);
    assert_eq!(
        since(&daemon_set(none(), none()), &[9, 30]),
        Some(at(9)),
        "it does without one"
    );
    assert_eq!(since(&object("v1", "Service", none(), none()), &[]), None);
}

#[test]
fn pods_of_another_template_that_are_ending_linger_until_their_grace_is_over() {
    let now = due(None).now;
    let ending = |name: &str, hash: &str, until: &str| {
        let over = json!({"metadata": {"labels": {"pod-template-hash": hash, "controller-revision-hash": hash},
                                       "deletionTimestamp": format!("2026-11-01T{until}Z"), "deletionGracePeriodSeconds": 30}});
        let mut pod = with(pod(name, hash, &none()), &over);
        pod["metadata"]["ownerReferences"][1]["name"] = json!(format!("ledger-{hash}"));
        pod
    };
    let lingering = |object: &Value, pods: &[Value]| {
        super::super::lingering(object, &shared(pods), now).map(|lingering| lingering.says())
    };
    let set = || stateful_set(json!({}), json!({"updateRevision": "h1"}));
    let here = || pod("new", "h1", &none());
    let pods = [
        here(),
        ending("a", "h0", "12:00:20"),
        ending("b", "h0", "12:00:30"),
        ending("c", "h1", "12:00:40"),
    ];
    for object in [deployment(none(), none()), set(), daemon_set(none(), none())] {
        let said =
            "2 pods of another version are still terminating, until 2026-11-01T12:00:30Z at the latest";
        assert_eq!(
            lingering(&object, &pods),
            Some(said.to_owned()),
            "{}",
            object["kind"]
        );
        let over = [here(), ending("a", "h0", "12:00:00")];
        assert_eq!(lingering(&object, &over), None, "its kubelet does not answer");
        let mut ended = ending("a", "h0", "12:00:20");
        ended["status"]["phase"] = json!("Failed");
        assert_eq!(lingering(&object, &[here(), ended]), None);
    }
    // There is nothing else to compare with.
    let mut old = ending("a", "h0", "12:00:20");
    old["spec"]["containers"][0]["image"] = json!("a:1");
    let said = "1 pod of another version is still terminating, until 2026-11-01T12:00:20Z at the latest";
    assert_eq!(
        lingering(&deployment(none(), none()), &[old]),
        Some(said.to_owned())
    );
    assert_eq!(lingering(&object("v1", "Service", none(), none()), &pods), None);
}
