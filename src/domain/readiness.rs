//! When a workload counts as deployed, as healthy before a release starts, and as unhealthy while it is observed.
//! Missing and stale observations are Progressing, never Ready. The caller applies deadlines and
//! graces.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

mod fields;
mod pods;
mod was;

use fields::{
    condition_says, condition_text, count, first_unequal, flag, has_observed_generation, is_terminating,
    is_true, number, text, unobserved, wanted_replicas,
};
pub use pods::{
    Controller, Due, Lingering, Stuck, crash_loop, lingering, others_run, ready_pods, restarted, stuck,
    unhealthy, with_pods,
};
pub use was::Was;

/// What a live object reports about our change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The change is applied, and the workload is ready as its kind defines it.
    Ready,
    /// It is not ready yet, or what was read is missing or older than our change.
    Progressing { reason: &'static str, message: String },
    /// Its status reports a failure: of its rollout, of the Job, or a volume that is lost.
    Failed { reason: &'static str, message: String },
}

/// Why a target is unhealthy before a release: a clause without the object's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illness {
    #[error("it is being deleted")]
    Terminating,
    /// Its status does not describe the present spec, and why.
    #[error("{0}")]
    NotObserved(String),
    #[error("it is paused: resume it (kubectl rollout resume)")]
    Paused,
    #[error(
        "it has 0 replicas because an Argo Rollout runs its pods (workloadRef): do not target this Deployment"
    )]
    RunByArgo,
    /// The message of its condition.
    #[error("its last rollout failed: {0}")]
    RolloutFailed(String),
    /// The message of its condition.
    #[error("{0}")]
    NotAvailable(String),
    /// A count of its status, its value and the expected value.
    #[error("{count} is {have} of {wanted}")]
    Short {
        count: &'static str,
        have: i64,
        wanted: i64,
    },
    #[error("its status is not known yet")]
    StatusUnknown,
    #[error("its volume is lost")]
    VolumeLost,
}

const NO_DEADLINE: i64 = i32::MAX as i64;

/// Whether there is a readiness check for this kind. Other kinds are not supported.
pub fn supported(api_version: &str, kind: &str) -> bool {
    match api_version {
        "apps/v1" => has_observed_generation(kind),
        "batch/v1" => matches!(kind, "Job" | "CronJob"),
        "v1" => matches!(kind, "ConfigMap" | "Service" | "PersistentVolumeClaim"),
        _ => false,
    }
}

/// Judges a component's object by what its spec asks for now. See [`judge_release`].
#[must_use]
pub fn judge(object: &Value, pods: &[Arc<Value>], floor: Option<i64>) -> Readiness {
    judge_release(object, pods, floor, &Was::default())
}

/// Judges a live object by what a release owes. `pods` are its own pods. They are read if an update waits for their
/// deletion, or if another user raised the replicas. `floor` is the generation that our own patch returned: an older one is stale.
/// `was` is the health of the target before the release.
#[must_use]
pub fn judge_release(object: &Value, pods: &[Arc<Value>], floor: Option<i64>, was: &Was) -> Readiness {
    if !supported(text(object, "/apiVersion"), text(object, "/kind")) {
        return progressing(
            "Unsupported",
            "Signalbox has no readiness check for this kind".to_owned(),
        );
    }
    if let Some(verdict) = judge_any_kind(object, floor) {
        return verdict;
    }
    match text(object, "/kind") {
        "Deployment" => judge_deployment(object, pods, was),
        "StatefulSet" if was.is_met(object, pods) => Readiness::Ready,
        "StatefulSet" => judge_stateful_set(object, pods),
        "DaemonSet" => judge_daemon_set(object, was),
        "ReplicaSet" => judge_replica_set(object),
        "Job" => judge_job(object),
        "PersistentVolumeClaim" => judge_claim(object),
        // A CronJob, ConfigMap or Service is Ready once it exists with our fields.
        _ => Readiness::Ready,
    }
}

/// The rules for every kind, which come first.
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

impl Was {
    /// How many pods were owed, if more are asked for since.
    fn raised_from(&self, object: &Value) -> Option<i64> {
        self.replicas.filter(|owed| *owed < wanted_replicas(object))
    }

    /// Replicas have been raised, and at least as many pods of the new template as were owed are ready.
    fn is_met(&self, object: &Value, pods: &[Arc<Value>]) -> bool {
        self.raised_from(object).is_some_and(|owed| {
            // The available pods that are not of an older template are of the new one.
            let older = count(object, "replicas") - count(object, "updatedReplicas");
            let by_status = match text(object, "/kind") {
                "Deployment" => count(object, "availableReplicas") - older,
                _ => 0,
            };
            by_status.max(pods::ready_of_present(object, pods)) >= owed
        })
    }
}

/// Whether a component that exceeded its deadline counts as Ready nevertheless, because the release cannot provide what is missing:
/// replicas that another user raised and for which there are no nodes, or nodes that a DaemonSet tolerates to lose.
#[must_use]
pub fn good_enough(object: &Value, pods: &[Arc<Value>], floor: Option<i64>, was: &Was) -> bool {
    if judge_any_kind(object, floor).is_some() || flag(object, "/spec/paused") {
        return false;
    }
    match text(object, "/kind") {
        // More cannot be proved: each scheduled pod is ready, and no fewer pods serve than before.
        "Deployment" | "StatefulSet" => was.raised_from(object).is_some_and(|owed| {
            count(object, "availableReplicas") >= owed && pods::only_nodes_are_missing(object, pods)
        }),
        "DaemonSet" => {
            let desired = pods::asked(object);
            count(object, "updatedNumberScheduled") == desired
                && count(object, "numberAvailable") >= pods::least(object, desired)
                && !pods::any_fails(object, pods)
        }
        _ => false,
    }
}

/// The health of a target before a release: `live` is the live object, `result` the result of the dry run.
#[must_use]
pub fn was(live: Option<&Value>, result: &Value) -> Was {
    let replicas = matches!(text(result, "/kind"), "Deployment" | "StatefulSet" | "ReplicaSet")
        .then(|| wanted_replicas(result));
    let away = live.map_or(0, |live| {
        let desired = pods::asked(live);
        let missing = (desired - count(live, "numberAvailable")).max(0);
        match text(live, "/kind") {
            "DaemonSet" => missing.min(desired - pods::least(live, desired)),
            _ => 0,
        }
    });
    // A rollout or a resize in progress does not count here, and neither do pods that wait for their deletion.
    let unready = live.is_some_and(|live| healthy_before(live).is_err());
    Was {
        replicas,
        away,
        unready,
    }
}

fn judge_deployment(object: &Value, pods: &[Arc<Value>], was: &Was) -> Readiness {
    if flag(object, "/spec/paused") {
        return progressing(
            "DeploymentPaused",
            "the rollout is paused: resume it (kubectl rollout resume)".to_owned(),
        );
    }
    if was.is_met(object, pods) {
        return Readiness::Ready;
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
                "{renewed} of {wanted} pods are ready at the new revision; the update strategy is OnDelete: delete the pods of other revisions"
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
/// Counting the label `pod-template-generation` ourselves would never finish after a backout, which raises the
/// template's generation while pods that were never deleted run exactly the restored template.
fn judge_daemon_set(object: &Value, was: &Was) -> Readiness {
    let Some(desired) = number(object, "/status/desiredNumberScheduled") else {
        return progressing("NotObserved", "desiredNumberScheduled is not set yet".to_owned());
    };
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let updating = if on_delete { "OnDelete" } else { "RollingOut" };
    if let Some(short) = first_unequal(object, &["updatedNumberScheduled"], desired) {
        return progressing(updating, short);
    }
    // Nodes that were missing before the release are not waited for: a rollout does not bring a node back.
    if count(object, "numberAvailable") >= (desired - was.away).max(desired.min(1)) {
        return Readiness::Ready;
    }
    first_unequal(object, &["numberAvailable"], desired)
        .map_or(Readiness::Ready, |short| progressing("RollingOut", short))
}

/// How many pods of a DaemonSet are missing within its tolerance: a clause without the object's name.
#[must_use]
pub fn tolerated(object: &Value) -> Option<String> {
    let (desired, available) = (pods::asked(object), count(object, "numberAvailable"));
    (text(object, "/kind") == "DaemonSet" && available < desired)
        .then(|| format!("{available} of {desired} pods are available, within its maxUnavailable"))
}

/// Never Failed by itself: a ReplicaFailure may be temporary, and its deadline is the component's `readyWithin`.
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

/// The reason of a PersistentVolumeClaim that is not bound before a pod uses it.
pub const WAITS_FOR_CONSUMER: &str = "WaitForFirstConsumer";

/// Whether a PersistentVolumeClaim waits for its first consumer. Its class is not read, but the claim shows what the controller has
/// done: one that binds immediately gets a provisioner or a volume, and one that waits gets neither before the scheduler has chosen a
/// node.
#[must_use]
pub fn waits_for_consumer(object: &Value) -> bool {
    const BEGUN: [&str; 3] = [
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
    ];
    let annotation = |key: &&str| object.pointer("/metadata/annotations").and_then(|a| a.get(*key));
    text(object, "/kind") == "PersistentVolumeClaim"
        && text(object, "/status/phase") == "Pending"
        && !text(object, "/spec/storageClassName").is_empty()
        && text(object, "/spec/volumeName").is_empty()
        && !BEGUN.iter().any(|key| annotation(key).is_some())
}

/// Whether the workload has pods, and they use the PersistentVolumeClaim `name`.
#[must_use]
pub fn uses_claim(object: &Value, name: &str) -> bool {
    let volumes = object
        .pointer("/spec/template/spec/volumes")
        .and_then(Value::as_array);
    let uses = |volume: &Value| text(volume, "/persistentVolumeClaim/claimName") == name;
    volumes.into_iter().flatten().any(uses) && ready_pods(object) > 0
}

/// How many pods of a component are ready, for kinds with pods.
#[must_use]
pub fn pods_when_ready(object: &Value) -> Option<i64> {
    has_observed_generation(text(object, "/kind")).then(|| ready_pods(object))
}

fn judge_claim(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Bound" => Readiness::Ready,
        "Lost" => failed("Lost", "the volume it was bound to no longer exists".to_owned()),
        _ if waits_for_consumer(object) => {
            progressing(WAITS_FOR_CONSUMER, "it is bound once a pod uses it".to_owned())
        }
        phase => progressing("NotBound", format!("phase is {phase:?}")),
    }
}

/// Is a target healthy before we start (control EnvironmentAvailable)? A rollout or a resize in
/// progress is not unhealthy. Kinds without health are healthy.
///
/// # Errors
/// Why it is unhealthy.
pub fn healthy_before(object: &Value) -> Result<(), Illness> {
    if is_terminating(object) {
        return Err(Illness::Terminating);
    }
    let kind = text(object, "/kind");
    if let Some(message) = unobserved(object) {
        return Err(Illness::NotObserved(message));
    }
    match kind {
        "Deployment" if flag(object, "/spec/paused") => Err(Illness::Paused),
        "Deployment" if wanted_replicas(object) == 0 && is_behind_a_rollout(object) => {
            Err(Illness::RunByArgo)
        }
        "Deployment" if deadline_exceeded(object) => {
            Err(Illness::RolloutFailed(condition_says(object, "Progressing")))
        }
        "Deployment" if !is_true(object, "Available") => {
            Err(Illness::NotAvailable(condition_says(object, "Available")))
        }
        // If its strategy tolerates the loss of every pod, it is Available without any.
        "Deployment" => at_least(object, "availableReplicas", Some(wanted_replicas(object).min(1))),
        "StatefulSet" | "ReplicaSet" => at_least(object, "availableReplicas", Some(wanted_replicas(object))),
        // A missing node is no reason to block a release that the DaemonSet itself would roll out.
        "DaemonSet" => {
            let desired = number(object, "/status/desiredNumberScheduled");
            let least = desired.map(|desired| pods::least(object, desired));
            at_least(object, "numberAvailable", least).map_err(|short| {
                desired.map_or(short, |wanted| Illness::Short {
                    count: "numberAvailable",
                    have: count(object, "numberAvailable"),
                    wanted,
                })
            })
        }
        "PersistentVolumeClaim" if text(object, "/status/phase") == "Lost" => Err(Illness::VolumeLost),
        _ => Ok(()),
    }
}

/// Since when as much of a target is ready as [`healthy_before`] asks for, if that is known: a Deployment reports it, for others their
/// pods do.
#[must_use]
pub fn well_since(object: &Value, pods: &[Arc<Value>]) -> Option<Timestamp> {
    let at = |object: &Value, wanted| condition_text(object, wanted, "lastTransitionTime").parse().ok();
    let least = match text(object, "/kind") {
        "Deployment" => return at(object, "Available"),
        "StatefulSet" | "ReplicaSet" => wanted_replicas(object),
        "DaemonSet" => pods::least(object, pods::asked(object)),
        _ => return None,
    };
    let ready = pods
        .iter()
        .filter(|pod| is_true(pod, "Ready") && !is_terminating(pod));
    let mut since: Vec<Timestamp> = ready.filter_map(|pod| at(pod, "Ready")).collect();
    since.sort_unstable();
    let last = usize::try_from(least).ok()?.checked_sub(1)?;
    since.get(last).copied()
}

/// The traces of Argo Rollouts on a Deployment that a Rollout refers to and scales down. The Rollout itself is of another kind, which is
/// not read.
fn is_behind_a_rollout(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let managers = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let annotated = annotations
        .into_iter()
        .flatten()
        .any(|(key, _)| key.starts_with("rollout.argoproj.io/"));
    let managed = managers
        .into_iter()
        .flatten()
        .any(|entry| matches!(text(entry, "/manager"), "rollouts-controller" | "argo-rollouts"));
    annotated || managed
}

fn at_least(object: &Value, name: &'static str, wanted: Option<i64>) -> Result<(), Illness> {
    let have = count(object, name);
    match wanted {
        Some(wanted) if have >= wanted => Ok(()),
        Some(wanted) => Err(Illness::Short {
            count: name,
            have,
            wanted,
        }),
        None => Err(Illness::StatusUnknown),
    }
}

fn has_progress_deadline(object: &Value) -> bool {
    number(object, "/spec/progressDeadlineSeconds").is_some_and(|seconds| seconds != NO_DEADLINE)
}

fn has_new_replica_set(object: &Value) -> bool {
    is_true(object, "Progressing")
        && condition_text(object, "Progressing", "reason") == "NewReplicaSetAvailable"
}

/// Whether a Deployment reports that its rollout has not progressed in time.
pub(crate) fn deadline_exceeded(object: &Value) -> bool {
    condition_text(object, "Progressing", "reason") == "ProgressDeadlineExceeded"
}

/// If a quota or an admission webhook refuses pods, only this condition shows it, and the reader needs to know.
fn with_replica_failure(object: &Value, message: String) -> String {
    if is_true(object, "ReplicaFailure") {
        format!("{message}; {}", condition_says(object, "ReplicaFailure"))
    } else {
        message
    }
}

fn progressing(reason: &'static str, message: String) -> Readiness {
    Readiness::Progressing { reason, message }
}

fn failed(reason: &'static str, message: String) -> Readiness {
    Readiness::Failed { reason, message }
}

#[cfg(test)]
mod tests;
