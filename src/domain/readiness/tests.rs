//! Every rule of readiness, and every known mistake of other tools.

use std::sync::Arc;

use serde_json::json;

use crate::domain::readiness::*;

mod health;
mod owed;
mod restarts;

/// A live object of a kind with the generation 3, observed unless the status says otherwise.
fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
    let mut object = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": "ledger", "uid": "u1", "generation": 3},
        "spec": {
            "selector": {"matchLabels": {"app": "ledger"}},
            "template": {
                "metadata": {"labels": {"app": "ledger"}},
                "spec": {"containers": [{"name": "app", "image": "a:2"}]},
            },
        },
        "status": {},
    });
    if api_version == "apps/v1" {
        object["status"]["observedGeneration"] = json!(3);
    }
    with(object, &json!({"spec": spec, "status": status}))
}

fn with(object: Value, over: &Value) -> Value {
    crate::domain::patches::overlay(Some(&object), Some(over)).expect("an object")
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "because"})
}

fn available() -> Value {
    condition("Available", "True", "MinimumReplicasAvailable")
}

fn deployment(spec: Value, status: Value) -> Value {
    let whole = json!({
        "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "conditions": [available(), condition("Progressing", "True", "NewReplicaSetAvailable")],
    });
    let object = object(
        "apps/v1",
        "Deployment",
        json!({"replicas": 2, "progressDeadlineSeconds": 600}),
        whole,
    );
    with(object, &json!({"spec": spec, "status": status}))
}

fn stateful_set(spec: Value, status: Value) -> Value {
    let whole = json!({
        "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "currentRevision": "r2", "updateRevision": "r2",
    });
    with(
        object("apps/v1", "StatefulSet", json!({"replicas": 3}), whole),
        &json!({"spec": spec, "status": status}),
    )
}

fn daemon_set(spec: Value, status: Value) -> Value {
    let whole = json!({
        "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2,
        "numberReady": 2, "numberAvailable": 2,
    });
    with(
        object("apps/v1", "DaemonSet", json!({}), whole),
        &json!({"spec": spec, "status": status}),
    )
}

fn job(conditions: Value) -> Value {
    object(
        "batch/v1",
        "Job",
        json!({}),
        json!({"startTime": "2026-11-01T10:00:00Z", "conditions": conditions}),
    )
}

/// A pod of either workload: its controller has the uid of one and the name of a ReplicaSet of the other.
fn pod(name: &str, revision: &str, over: &Value) -> Value {
    let pod = json!({
        "metadata": {
            "name": name,
            "uid": format!("uid-{name}"),
            "labels": {"app": "ledger", "controller-revision-hash": revision, "pod-template-hash": "h1"},
            "ownerReferences": [
                {"controller": false, "kind": "ReplicaSet", "name": "other-h1", "uid": "u9"},
                {"controller": true, "kind": "ReplicaSet", "name": "ledger-h1", "uid": "u1"},
            ],
        },
        "spec": {"containers": [{"name": "app", "image": "a:2"}]},
        "status": {"conditions": [condition("Ready", "True", "")]},
    });
    with(pod, over)
}

fn crash_looping(name: &str, revision: &str) -> Value {
    let waiting =
        json!({"name": "app", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    pod(
        name,
        revision,
        &json!({"status": {"containerStatuses": [waiting]}}),
    )
}

fn none() -> Value {
    json!({})
}

fn shared(pods: &[Value]) -> Vec<Arc<Value>> {
    pods.iter().cloned().map(Arc::new).collect()
}

fn unhealthy(object: &Value, pods: &[Value]) -> Option<String> {
    unhealthy_of(object, pods, None)
}

/// Where `ready` pods were ready when the component became Ready. It is noon, and the grace is half a minute.
fn unhealthy_of(object: &Value, pods: &[Value], ready: Option<i64>) -> Option<String> {
    super::unhealthy(object, &shared(pods), &due(ready))
}

/// What a component owes that became Ready at eleven.
fn due(ready: Option<i64>) -> Due {
    Due {
        ready,
        since: Some("2026-11-01T11:00:00Z".parse().expect("eleven")),
        grace: jiff::SignedDuration::from_secs(30),
        now: "2026-11-01T12:00:00Z".parse().expect("noon"),
    }
}

fn verdict(object: &Value, pods: &[Value]) -> &'static str {
    match judge(object, &shared(pods), None) {
        Readiness::Ready => "Ready",
        Readiness::Progressing { reason, .. } => reason,
        Readiness::Failed { reason, .. } => reason,
    }
}

fn is_failed(object: &Value) -> bool {
    matches!(judge(object, &[], None), Readiness::Failed { .. })
}

#[test]
fn whole_workloads_are_ready() {
    assert_eq!(verdict(&deployment(none(), none()), &[]), "Ready");
    assert_eq!(verdict(&stateful_set(none(), none()), &[]), "Ready");
    assert_eq!(verdict(&daemon_set(none(), none()), &[]), "Ready");
    let status = json!({"replicas": 1, "availableReplicas": 1, "fullyLabeledReplicas": 1});
    assert_eq!(
        verdict(&object("apps/v1", "ReplicaSet", none(), status), &[]),
        "Ready"
    );
}

#[test]
fn kinds_without_a_rollout_are_ready_once_they_exist() {
    for (api_version, kind) in [("batch/v1", "CronJob"), ("v1", "ConfigMap"), ("v1", "Service")] {
        assert_eq!(
            verdict(&object(api_version, kind, none(), none()), &[]),
            "Ready",
            "{kind}"
        );
    }
}

#[test]
fn any_other_kind_is_never_ready_by_itself() {
    for (api_version, kind) in [
        ("argoproj.io/v1alpha1", "Rollout"),
        ("apps/v1beta1", "Deployment"),
        ("v1", "Pod"),
    ] {
        assert!(!supported(api_version, kind));
        assert_eq!(
            verdict(&object(api_version, kind, none(), none()), &[]),
            "Unsupported",
            "{kind}"
        );
    }
}

#[test]
fn replicas_are_not_trusted_without_the_generation() {
    for whole in [
        deployment(none(), none()),
        stateful_set(none(), none()),
        daemon_set(none(), none()),
    ] {
        let stale = with(whole.clone(), &json!({"status": {"observedGeneration": 2}}));
        assert_eq!(verdict(&stale, &[]), "NotObserved");
        let mut unobserved = whole;
        unobserved["status"]
            .as_object_mut()
            .expect("a map")
            .remove("observedGeneration");
        assert_eq!(verdict(&unobserved, &[]), "NotObserved");
    }
}

#[test]
fn an_object_read_before_our_own_patch_is_not_ready() {
    let object = deployment(none(), none());
    assert_eq!(judge(&object, &[], Some(3)), Readiness::Ready);
    assert!(matches!(
        judge(&object, &[], Some(4)),
        Readiness::Progressing { reason: "Stale", .. }
    ));
    // An autoscaler may have raised the generation since.
    assert_eq!(judge(&object, &[], Some(2)), Readiness::Ready);
}

#[test]
fn general_conditions_come_before_those_of_the_kind() {
    let over = |conditions: Value| json!({"status": {"conditions": conditions}});
    let whole = deployment(none(), none());
    let terminating = with(
        whole.clone(),
        &json!({"metadata": {"deletionTimestamp": "2026-11-01T10:00:00Z"}}),
    );
    assert_eq!(verdict(&terminating, &[]), "Terminating");
    let stalled = with(whole.clone(), &over(json!([condition("Stalled", "True", "X")])));
    assert!(is_failed(&stalled));
    assert_eq!(
        verdict(
            &with(whole, &over(json!([condition("Reconciling", "True", "X")]))),
            &[]
        ),
        "Reconciling"
    );
    // A stale Stalled condition is about another spec.
    let stale = with(stalled, &json!({"metadata": {"generation": 4}}));
    assert_eq!(verdict(&stale, &[]), "NotObserved");
}

#[test]
fn ready_replicas_are_not_trusted_where_min_ready_seconds_holds_availability_back() {
    let status = json!({"readyReplicas": 2, "availableReplicas": 1, "unavailableReplicas": 1});
    assert_eq!(
        verdict(&deployment(json!({"minReadySeconds": 30}), status), &[]),
        "RollingOut"
    );
    assert_eq!(
        verdict(&stateful_set(none(), json!({"availableReplicas": 2})), &[]),
        "RollingOut"
    );
    assert_eq!(
        verdict(
            &daemon_set(none(), json!({"numberReady": 2, "numberAvailable": 1})),
            &[]
        ),
        "RollingOut"
    );
}

#[test]
fn a_deployment_without_a_new_replica_set_does_not_pass_because_the_old_one_is_whole() {
    assert_eq!(
        verdict(&deployment(none(), json!({"updatedReplicas": 0})), &[]),
        "RollingOut"
    );
    let conditions =
        json!({"conditions": [available(), condition("Progressing", "True", "FoundNewReplicaSet")]});
    assert_eq!(verdict(&deployment(none(), conditions), &[]), "RollingOut");
    let conditions = json!({"conditions": [available()]});
    assert_eq!(
        verdict(&deployment(none(), conditions.clone()), &[]),
        "RollingOut"
    );
    // Without a deadline the controller reports no progress.
    assert_eq!(
        verdict(
            &deployment(json!({"progressDeadlineSeconds": i32::MAX}), conditions),
            &[]
        ),
        "Ready"
    );
}

#[test]
fn a_deployment_is_not_ready_while_old_replicas_remain_or_availability_is_missing() {
    assert_eq!(
        verdict(&deployment(none(), json!({"replicas": 3})), &[]),
        "RollingOut"
    );
    assert_eq!(
        verdict(&deployment(none(), json!({"unavailableReplicas": 1})), &[]),
        "RollingOut"
    );
    let progressing = condition("Progressing", "True", "NewReplicaSetAvailable");
    for conditions in [
        json!([progressing]),
        json!([progressing, condition("Available", "False", "X")]),
    ] {
        assert_eq!(
            verdict(&deployment(none(), json!({"conditions": conditions})), &[]),
            "NotAvailable"
        );
    }
}

#[test]
fn a_deployment_fails_by_its_progress_deadline_but_never_while_paused() {
    let exceeded = json!({"conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded")]});
    let failed = deployment(none(), exceeded.clone());
    assert!(is_failed(&failed));
    assert_eq!(verdict(&failed, &[]), "ProgressDeadlineExceeded");
    assert_eq!(
        verdict(&deployment(json!({"paused": true}), exceeded), &[]),
        "DeploymentPaused"
    );
    assert_eq!(
        verdict(&deployment(json!({"paused": true}), none()), &[]),
        "DeploymentPaused"
    );
}

#[test]
fn a_quota_that_refuses_pods_is_named() {
    let conditions = json!([available(), condition("ReplicaFailure", "True", "FailedCreate")]);
    let object = deployment(none(), json!({"updatedReplicas": 1, "conditions": conditions}));
    let message = "updatedReplicas is 1 of 2; ReplicaFailure=True (FailedCreate): because".to_owned();
    assert_eq!(
        judge(&object, &[], None),
        Readiness::Progressing {
            reason: "RollingOut",
            message
        }
    );
}

#[test]
fn zero_replicas_asked_for_are_ready_with_zero() {
    let none_there = json!({"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0});
    let zero = json!({"replicas": 0});
    assert_eq!(
        verdict(&deployment(zero.clone(), none_there.clone()), &[]),
        "Ready"
    );
    assert_eq!(verdict(&stateful_set(zero.clone(), none_there), &[]), "Ready");
    assert_eq!(
        verdict(&object("apps/v1", "ReplicaSet", zero.clone(), none()), &[]),
        "Ready"
    );
    assert_eq!(verdict(&deployment(zero, none()), &[]), "RollingOut");
    let on_no_node = json!({"desiredNumberScheduled": 0, "updatedNumberScheduled": 0, "numberAvailable": 0});
    assert_eq!(verdict(&daemon_set(none(), on_no_node), &[]), "Ready");
}

#[test]
fn pods_of_the_previous_revision_do_not_make_a_stateful_set_ready() {
    assert_eq!(
        verdict(&stateful_set(none(), json!({"updateRevision": "r3"})), &[]),
        "RollingOut"
    );
    assert_eq!(
        verdict(&stateful_set(none(), json!({"updatedReplicas": 1})), &[]),
        "RollingOut"
    );
    assert_eq!(
        verdict(
            &stateful_set(none(), json!({"updateRevision": "", "currentRevision": ""})),
            &[]
        ),
        "RollingOut"
    );
}

#[test]
fn a_stateful_set_never_fails_by_itself() {
    let broken = stateful_set(
        none(),
        json!({"updateRevision": "r3", "readyReplicas": 0, "availableReplicas": 0}),
    );
    assert!(!is_failed(&broken));
}

#[test]
fn a_partition_holds_the_first_replicas_back() {
    let partition = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    let at = |updated: i64, available: i64| {
        let status =
            json!({"updateRevision": "r3", "updatedReplicas": updated, "availableReplicas": available});
        stateful_set(partition.clone(), status)
    };
    assert_eq!(verdict(&at(1, 3), &[]), "Ready");
    assert_eq!(verdict(&at(0, 3), &[]), "RollingOut");
    assert_eq!(verdict(&at(1, 2), &[]), "RollingOut");
}

#[test]
fn a_stateful_set_updated_on_delete_counts_ready_pods_of_the_new_revision() {
    let object = stateful_set(
        json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}),
        json!({"updateRevision": "r3", "availableReplicas": 2}),
    );
    let new = |name| pod(name, "r3", &none());
    assert_eq!(verdict(&object, &[new("p0"), new("p1")]), "Ready");
    assert_eq!(verdict(&object, &[]), "OnDelete");
    let insufficient = [
        pod("p1", "r2", &none()),
        pod(
            "p1",
            "r3",
            &json!({"metadata": {"deletionTimestamp": "2026-11-01T10:00:00Z"}}),
        ),
        pod(
            "p1",
            "r3",
            &json!({"metadata": {"ownerReferences": [{"controller": true, "kind": "StatefulSet", "name": "ledger", "uid": "u2"}]}}),
        ),
        pod(
            "p1",
            "r3",
            &json!({"status": {"conditions": [condition("Ready", "False", "")]}}),
        ),
    ];
    for second in insufficient {
        assert_eq!(
            verdict(&object, &[new("p0"), second.clone()]),
            "OnDelete",
            "{second}"
        );
    }
}

#[test]
fn a_daemon_set_waits_for_its_first_count_and_for_every_node() {
    let mut uncounted = daemon_set(none(), none());
    uncounted["status"]
        .as_object_mut()
        .expect("a map")
        .remove("desiredNumberScheduled");
    assert_eq!(verdict(&uncounted, &[]), "NotObserved");
    assert_eq!(
        verdict(&daemon_set(none(), json!({"updatedNumberScheduled": 1})), &[]),
        "RollingOut"
    );
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    assert_eq!(
        verdict(
            &daemon_set(on_delete.clone(), json!({"updatedNumberScheduled": 1})),
            &[]
        ),
        "OnDelete"
    );
    assert_eq!(verdict(&daemon_set(on_delete, none()), &[]), "Ready");
}

#[test]
fn a_replica_set_waits_for_its_labels_and_does_not_fail_before_the_deadline() {
    let status = json!({"replicas": 1, "availableReplicas": 1, "fullyLabeledReplicas": 0});
    assert_eq!(
        verdict(&object("apps/v1", "ReplicaSet", none(), status), &[]),
        "RollingOut"
    );
    let refused = json!({"conditions": [condition("ReplicaFailure", "True", "FailedCreate")]});
    let refused = object("apps/v1", "ReplicaSet", none(), refused);
    assert_eq!(verdict(&refused, &[]), "ReplicaFailure");
    assert!(!is_failed(&refused));
}

#[test]
fn a_job_is_ready_only_when_it_is_complete() {
    assert_eq!(verdict(&job(json!([])), &[]), "Running");
    assert_eq!(
        verdict(&job(json!([condition("Complete", "False", "")])), &[]),
        "Running"
    );
    assert_eq!(
        verdict(&job(json!([condition("Complete", "True", "")])), &[]),
        "Ready"
    );
    assert!(is_failed(&job(json!([condition(
        "Failed",
        "True",
        "BackoffLimitExceeded"
    )]))));
}

#[test]
fn a_suspended_and_a_resumed_job_are_not_ready() {
    let suspended = with(
        job(json!([condition("Suspended", "True", "")])),
        &json!({"spec": {"suspend": true}}),
    );
    assert_eq!(verdict(&suspended, &[]), "Suspended");
    let resumed = job(json!([condition("Suspended", "False", "JobResumed")]));
    assert_eq!(verdict(&resumed, &[]), "Running");
}

#[test]
fn a_volume_claim_is_ready_when_it_is_bound() {
    let claim = |status: Value| object("v1", "PersistentVolumeClaim", none(), status);
    assert_eq!(verdict(&claim(json!({"phase": "Bound"})), &[]), "Ready");
    assert_eq!(verdict(&claim(json!({"phase": "Pending"})), &[]), "NotBound");
    assert_eq!(verdict(&claim(none()), &[]), "NotBound");
    let of_class = |over: Value| {
        let pending = with(
            claim(json!({"phase": "Pending"})),
            &json!({"spec": {"storageClassName": "local"}}),
        );
        verdict(&with(pending, &over), &[])
    };
    assert_eq!(of_class(none()), "WaitForFirstConsumer");
    assert_eq!(of_class(json!({"spec": {"volumeName": "v"}})), "NotBound");
    assert_eq!(of_class(json!({"spec": {"storageClassName": ""}})), "NotBound");
    for begun in ["selected-node", "storage-provisioner"] {
        let annotations = json!({format!("volume.kubernetes.io/{begun}"): "x"});
        assert_eq!(
            of_class(json!({"metadata": {"annotations": annotations}})),
            "NotBound",
            "{begun}"
        );
    }
    assert!(is_failed(&claim(json!({"phase": "Lost"}))));
}
