//! When a workload counts as deployed, healthy before we start, and unhealthy while it is observed
//! (readiness.md). Missing and stale observations are Progressing, never Ready. Deadlines and graces are the
//! caller's.

use std::sync::Arc;

use serde_json::Value;

mod pods;

pub use pods::unhealthy;

/// What a live object says about our change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    Progressing { reason: &'static str, message: String },
    Failed { reason: &'static str, message: String },
}

const NO_DEADLINE: i64 = i32::MAX as i64;

/// Is this a kind whose readiness is built in? Others need a `readyWhen` expression.
pub fn supported(api_version: &str, kind: &str) -> bool {
    match api_version {
        "apps/v1" => has_observed_generation(kind),
        "batch/v1" => matches!(kind, "Job" | "CronJob"),
        "v1" => matches!(kind, "ConfigMap" | "Service" | "PersistentVolumeClaim"),
        _ => false,
    }
}

/// Judges a live object. `pods` are those of its namespace, consulted only where updating waits for their
/// deletion; `floor` is the generation that our own patch returned: anything older was read before it.
pub fn judge(object: &Value, pods: &[Arc<Value>], floor: Option<i64>) -> Readiness {
    if !supported(text(object, "/apiVersion"), text(object, "/kind")) {
        return progressing("Unsupported", "readiness of this kind is not built in".to_owned());
    }
    if let Some(verdict) = judge_any_kind(object, floor) {
        return verdict;
    }
    match text(object, "/kind") {
        "Deployment" => judge_deployment(object),
        "StatefulSet" => judge_stateful_set(object, pods),
        "DaemonSet" => judge_daemon_set(object),
        "ReplicaSet" => judge_replica_set(object),
        "Job" => judge_job(object),
        "PersistentVolumeClaim" => judge_claim(object),
        // A CronJob, ConfigMap or Service that exists with our fields is all there is to wait for.
        _ => Readiness::Ready,
    }
}

/// What holds for every kind, and is asked first.
fn judge_any_kind(object: &Value, floor: Option<i64>) -> Option<Readiness> {
    if is_terminating(object) {
        return Some(progressing("Terminating", "it is being deleted".to_owned()));
    }
    let generation = number(object, "/metadata/generation");
    if let Some(floor) = floor
        && generation.is_none_or(|generation| generation < floor)
    {
        return Some(progressing(
            "Stale",
            format!("generation {floor} has not been read yet"),
        ));
    }
    if let Some(message) = unobserved(object) {
        return Some(progressing("NotObserved", message));
    }
    if is_true(object, "Stalled") {
        return Some(failed("Stalled", condition_says(object, "Stalled")));
    }
    is_true(object, "Reconciling").then(|| progressing("Reconciling", condition_says(object, "Reconciling")))
}

fn judge_deployment(object: &Value) -> Readiness {
    if flag(object, "/spec/paused") {
        return progressing("DeploymentPaused", "the rollout is paused".to_owned());
    }
    if deadline_exceeded(object) {
        return failed("ProgressDeadlineExceeded", condition_says(object, "Progressing"));
    }
    let wanted = wanted_replicas(object);
    let counts = ["updatedReplicas", "replicas", "availableReplicas"];
    if let Some(short) = first_unequal(object, &counts, wanted) {
        return progressing("RollingOut", with_replica_failure(object, short));
    }
    let unavailable = count(object, "unavailableReplicas");
    if unavailable != 0 {
        return progressing("RollingOut", format!("{unavailable} replicas are unavailable"));
    }
    if !is_true(object, "Available") {
        return progressing("NotAvailable", condition_says(object, "Available"));
    }
    if has_progress_deadline(object) && !has_new_replica_set(object) {
        return progressing("RollingOut", condition_says(object, "Progressing"));
    }
    Readiness::Ready
}

fn judge_stateful_set(object: &Value, pods: &[Arc<Value>]) -> Readiness {
    let wanted = wanted_replicas(object);
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        let renewed = pods::ready_of_update_revision(object, pods);
        if renewed != wanted {
            let message = format!(
                "{renewed} of {wanted} pods are ready at the new revision; the others wait for deletion"
            );
            return progressing("OnDelete", message);
        }
        return first_unequal(object, &["availableReplicas"], wanted)
            .map_or(Readiness::Ready, |short| progressing("RollingOut", short));
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if partition > 0 {
        let (updated, due) = (count(object, "updatedReplicas"), (wanted - partition).max(0));
        if updated < due {
            return progressing(
                "RollingOut",
                format!("updatedReplicas is {updated} of {due} past the partition"),
            );
        }
        return first_unequal(object, &["availableReplicas"], wanted)
            .map_or(Readiness::Ready, |short| progressing("RollingOut", short));
    }
    let (update, current) = (
        text(object, "/status/updateRevision"),
        text(object, "/status/currentRevision"),
    );
    if update.is_empty() || update != current {
        return progressing(
            "RollingOut",
            format!("revision {update:?} has not replaced {current:?} yet"),
        );
    }
    first_unequal(object, &["updatedReplicas", "availableReplicas"], wanted)
        .map_or(Readiness::Ready, |short| progressing("RollingOut", short))
}

/// OnDelete too: the controller counts `updatedNumberScheduled` by the pods' revision whatever the strategy.
/// Counting the label `pod-template-generation` ourselves would never end after a backout, which raises the
/// template's generation while pods that were never deleted run the very template that was restored.
fn judge_daemon_set(object: &Value) -> Readiness {
    let Some(desired) = number(object, "/status/desiredNumberScheduled") else {
        return progressing("NotObserved", "desiredNumberScheduled is not set yet".to_owned());
    };
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let updating = if on_delete { "OnDelete" } else { "RollingOut" };
    if let Some(short) = first_unequal(object, &["updatedNumberScheduled"], desired) {
        return progressing(updating, short);
    }
    first_unequal(object, &["numberAvailable"], desired)
        .map_or(Readiness::Ready, |short| progressing("RollingOut", short))
}

/// Never Failed by itself: a ReplicaFailure may pass, and its deadline is the component's `readyWithin`.
fn judge_replica_set(object: &Value) -> Readiness {
    let counts = ["replicas", "availableReplicas", "fullyLabeledReplicas"];
    match first_unequal(object, &counts, wanted_replicas(object)) {
        None => Readiness::Ready,
        Some(_) if is_true(object, "ReplicaFailure") => {
            progressing("ReplicaFailure", condition_says(object, "ReplicaFailure"))
        }
        Some(short) => progressing("RollingOut", short),
    }
}

fn judge_job(object: &Value) -> Readiness {
    if is_true(object, "Failed") {
        return failed("JobFailed", condition_says(object, "Failed"));
    }
    if is_true(object, "Complete") {
        return Readiness::Ready;
    }
    if flag(object, "/spec/suspend") {
        return progressing("Suspended", "the Job is suspended".to_owned());
    }
    progressing("Running", "the Job is not complete yet".to_owned())
}

fn judge_claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Bound" => Readiness::Ready,
        "Lost" => failed(
            "Lost",
            "the volume that was bound does not exist any more".to_owned(),
        ),
        phase => progressing("NotBound", format!("phase is {phase:?}")),
    }
}

/// Is a target healthy before we start (control EnvironmentAvailable)? A rollout or a resize that is under
/// way is not unhealthy; kinds without health are healthy. The error is a sentence without the object's name.
pub fn healthy_before(object: &Value) -> Result<(), String> {
    if is_terminating(object) {
        return Err("is being deleted".to_owned());
    }
    let kind = text(object, "/kind");
    if let Some(message) = unobserved(object) {
        return Err(message);
    }
    match kind {
        "Deployment" if deadline_exceeded(object) => Err(format!(
            "its last rollout failed: {}",
            condition_says(object, "Progressing")
        )),
        "Deployment" if !is_true(object, "Available") => Err(condition_says(object, "Available")),
        "StatefulSet" | "ReplicaSet" => at_least(object, "availableReplicas", Some(wanted_replicas(object))),
        "DaemonSet" => at_least(
            object,
            "numberAvailable",
            number(object, "/status/desiredNumberScheduled"),
        ),
        "PersistentVolumeClaim" if text(object, "/status/phase") == "Lost" => {
            Err("its volume is lost".to_owned())
        }
        _ => Ok(()),
    }
}

fn at_least(object: &Value, name: &str, wanted: Option<i64>) -> Result<(), String> {
    let have = count(object, name);
    match wanted {
        Some(wanted) if have >= wanted => Ok(()),
        Some(wanted) => Err(format!("{name} is {have} of {wanted}")),
        None => Err("its status is not known yet".to_owned()),
    }
}

fn has_observed_generation(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
}

/// Why the status says nothing about the present spec, if it does not.
fn unobserved(object: &Value) -> Option<String> {
    let generation = number(object, "/metadata/generation");
    let observed = number(object, "/status/observedGeneration");
    // Kinds without the field are judged only if somebody set it.
    let asked = has_observed_generation(text(object, "/kind")) || observed.is_some();
    (asked && (observed.is_none() || observed != generation)).then(|| {
        let shown = |number: Option<i64>| number.map_or("no".to_owned(), |number| number.to_string());
        format!(
            "generation {} is not observed yet: status shows {}",
            shown(generation),
            shown(observed)
        )
    })
}

fn has_progress_deadline(object: &Value) -> bool {
    number(object, "/spec/progressDeadlineSeconds").is_some_and(|seconds| seconds != NO_DEADLINE)
}

fn has_new_replica_set(object: &Value) -> bool {
    is_true(object, "Progressing")
        && condition_text(object, "Progressing", "reason") == "NewReplicaSetAvailable"
}

fn deadline_exceeded(object: &Value) -> bool {
    condition_text(object, "Progressing", "reason") == "ProgressDeadlineExceeded"
}

/// A quota or an admission webhook that refuses pods shows only there, and is what the reader has to know.
fn with_replica_failure(object: &Value, message: String) -> String {
    if is_true(object, "ReplicaFailure") {
        format!("{message}; {}", condition_says(object, "ReplicaFailure"))
    } else {
        message
    }
}

fn wanted_replicas(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

/// The API server leaves out counts that are zero.
fn count(object: &Value, name: &str) -> i64 {
    object
        .get("status")
        .and_then(|status| status.get(name))
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

fn first_unequal(object: &Value, counts: &[&str], wanted: i64) -> Option<String> {
    let unequal = counts.iter().find(|name| count(object, name) != wanted)?;
    Some(format!("{unequal} is {} of {wanted}", count(object, unequal)))
}

fn condition<'a>(object: &'a Value, wanted: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(condition, "/type") == wanted)
}

fn condition_text<'a>(object: &'a Value, wanted: &str, field: &str) -> &'a str {
    condition(object, wanted)
        .and_then(|condition| condition.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn is_true(object: &Value, wanted: &str) -> bool {
    condition_text(object, wanted, "status") == "True"
}

fn condition_says(object: &Value, wanted: &str) -> String {
    if condition(object, wanted).is_none() {
        return format!("condition {wanted} is not reported yet");
    }
    let of = |field| condition_text(object, wanted, field);
    format!("{wanted}={} ({}): {}", of("status"), of("reason"), of("message"))
}

fn is_terminating(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|at| !at.is_null())
}

fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn progressing(reason: &'static str, message: String) -> Readiness {
    Readiness::Progressing { reason, message }
}

fn failed(reason: &'static str, message: String) -> Readiness {
    Readiness::Failed { reason, message }
}

#[cfg(test)]
mod tests;
