//! Which pods belong to a workload, which of them run its present template, and why they are not healthy.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::domain::patches;
use crate::domain::readiness::fields::{
    condition_text, count, has_observed_generation, is_terminating, is_true, number, text, unobserved,
    wanted_replicas,
};

const REVISION_LABEL: &str = "controller-revision-hash";
/// The pod's condition that its sandbox, with network and volumes, is ready.
const SANDBOX: &str = "PodReadyToStartContainers";
const TEMPLATE_LABEL: &str = "pod-template-hash";

/// The controller of a pod. Names of pods are truncated, and selectors of workloads may overlap, so neither identifies the workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controller {
    kind: String,
    name: String,
    uid: String,
    /// The pod's label `pod-template-hash`.
    template: String,
}

impl Controller {
    /// The controller of `pod`. A pod without a controller belongs to no workload.
    #[must_use]
    pub fn of(pod: &Value) -> Self {
        let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let controller = owners
            .into_iter()
            .flatten()
            .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
        let of = |field| controller.map_or("", |owner| text(owner, field)).to_owned();
        Self {
            kind: of("/kind"),
            name: of("/name"),
            uid: of("/uid"),
            template: label(pod, TEMPLATE_LABEL).unwrap_or_default().to_owned(),
        }
    }

    /// Whether it is `workload`, or a ReplicaSet of the Deployment `workload`. ReplicaSets are not watched, but the full name of each
    /// consists of the name of its Deployment and the hash of its template.
    #[must_use]
    pub fn is(&self, workload: &Value) -> bool {
        if text(workload, "/kind") != "Deployment" {
            return !self.uid.is_empty() && self.uid == text(workload, "/metadata/uid");
        }
        let of_deployment = || self.name.strip_prefix(text(workload, "/metadata/name"));
        self.kind == "ReplicaSet"
            && !self.template.is_empty()
            && of_deployment().and_then(|rest| rest.strip_prefix('-')) == Some(&self.template)
    }
}

/// What a workload owes while it is observed.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// How many pods were ready when the component became Ready. If unknown, as many as the spec asks for.
    pub ready: Option<i64>,
    /// When the component became Ready. If unknown, no exit of a container counts as later.
    pub since: Option<Timestamp>,
    /// A container that was restarted has recovered once it has run for this long.
    pub grace: SignedDuration,
    /// The instant at which the workload is evaluated.
    pub now: Timestamp,
}

/// Why a workload is unhealthy now; the caller applies the grace. Scaling, drained nodes and starting pods beyond
/// those that were ready before are not health loss, and finished Jobs have no health to lose.
#[must_use]
pub fn unhealthy(object: &Value, pods: &[Arc<Value>], due: &Due) -> Option<String> {
    if !has_observed_generation(text(object, "/kind")) {
        return None;
    }
    if is_terminating(object) {
        return Some("it is being deleted".to_owned());
    }
    let ours: Vec<&Value> = present(object, pods).collect();
    let looping: Vec<_> = ours
        .iter()
        .filter_map(|pod| Some(container(pod, crash_looping(pod, due)?)))
        .collect();
    if !looping.is_empty() {
        return Some(format!("crash-looping: {}", looping.join(", ")));
    }
    let asked = asked(object);
    let owed = due.ready.map_or(asked, |ready| ready.min(asked));
    let have = ready_pods(object);
    (have < least(object, owed)).then(|| format!("{have} of {owed} pods ready{}", ailing(&ours)))
}

/// Why a workload has permanently lost its health, whatever the present state of its pods and the grace: a container that should keep
/// running has failed twice since the component became Ready.
#[must_use]
pub fn crash_loop(object: &Value, pods: &[Arc<Value>], due: &Due) -> Option<String> {
    let failed = failed_since(object, pods, due).into_iter();
    let again: Vec<String> = failed.filter(|f| f.again).map(|f| f.says).collect();
    (!again.is_empty()).then(|| format!("crash-looping since it was Ready: {}", listed(again)))
}

/// Containers that were restarted because they failed since the component became Ready. A single restart is not a failure.
#[must_use]
pub fn restarted(object: &Value, pods: &[Arc<Value>], due: &Due) -> Option<String> {
    let failed = failed_since(object, pods, due).into_iter();
    let said: Vec<String> = failed.map(|f| f.says).collect();
    (!said.is_empty()).then(|| format!("restarted since it was Ready: {}", listed(said)))
}

/// A container that has failed since its component became Ready.
struct Failed {
    /// Pod, container and cause.
    says: String,
    /// It has failed before since then.
    again: bool,
}

/// The containers of the present template that have failed since the component became Ready. A pod reports only
/// its last exit, and the number of exits. But a run that began after that instant was not the one that was Ready: the run before it has
/// ended since, too, unless it was the first. So nothing has to be cached, and a pod that replaced another one is judged by its own exits.
fn failed_since(object: &Value, pods: &[Arc<Value>], due: &Due) -> Vec<Failed> {
    let Some(since) = due
        .since
        .filter(|_| has_observed_generation(text(object, "/kind")))
    else {
        return vec![];
    };
    let failed = |pod: &Value, status: &Value| {
        let end = last_end(status).filter(|end| fails(end))?;
        let at = |field| text(end, field).parse::<Timestamp>().ok();
        let runs = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let ends = if status.pointer("/state/running").is_some() {
            runs
        } else {
            runs + 1
        };
        // A restart of the node ends every container once and creates a new sandbox for the pod: that exit is not a failure.
        let of_the_node = i64::from(
            condition_text(pod, SANDBOX, "lastTransitionTime")
                .parse::<Timestamp>()
                .is_ok_and(|at| at > since)
                && !is_younger(pod, since),
        );
        (at("/finishedAt")? > since).then(|| Failed {
            says: container(pod, status),
            again: ends - of_the_node >= 2 && at("/startedAt").is_some_and(|began| began > since),
        })
    };
    let mut all: Vec<Failed> = present(object, pods)
        .flat_map(|pod| running_on(pod).filter_map(move |status| failed(pod, status)))
        .collect();
    all.sort_by(|a, b| a.says.cmp(&b.says));
    all
}

/// Whether a pod was created after an instant.
fn is_younger(pod: &Value, than: Timestamp) -> bool {
    text(pod, "/metadata/creationTimestamp")
        .parse::<Timestamp>()
        .is_ok_and(|created| created > than)
}

/// How many pods of a workload are ready, by its status.
#[must_use]
pub fn ready_pods(object: &Value) -> i64 {
    match text(object, "/kind") {
        "DaemonSet" => count(object, "numberReady").max(count(object, "numberAvailable")),
        _ => count(object, "readyReplicas").max(count(object, "availableReplicas")),
    }
}

/// How many pods the workload asks for.
pub(crate) fn asked(object: &Value) -> i64 {
    match text(object, "/kind") {
        "DaemonSet" => count(object, "desiredNumberScheduled"),
        _ => wanted_replicas(object),
    }
}

/// How many of `owed` pods must be ready, by the tolerance of the workload itself. At least one: a workload that may lose all of its
/// pods at the same time in a rollout is still down without any.
pub(crate) fn least(object: &Value, owed: i64) -> i64 {
    (owed - tolerance(object, owed)).max(owed.min(1))
}

/// How many of `all` pods may be unavailable during an update, by the strategy of the workload.
pub(crate) fn tolerance(object: &Value, all: i64) -> i64 {
    match text(object, "/kind") {
        "Deployment" if text(object, "/spec/strategy/type") == "Recreate" => 0,
        "Deployment" => {
            let part = |name: &str, up| {
                let stated = object.pointer(&format!("/spec/strategy/rollingUpdate/{name}"));
                share(stated.unwrap_or(&Value::from("25%")), all, up)
            };
            // As the controller does it: without extra or missing pods the rollout would never finish.
            match (part("maxUnavailable", false), part("maxSurge", true)) {
                (0, 0) => 1,
                (unavailable, _) => unavailable,
            }
        }
        "DaemonSet" if text(object, "/spec/updateStrategy/type") == "OnDelete" => 0,
        "DaemonSet" => {
            let stated = object.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
            share(stated.unwrap_or(&Value::from(1)), all, true)
        }
        // 1 is the default of the API server, so it may not have been set on purpose.
        "StatefulSet" => {
            let stated = object.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
            let most = share(stated.unwrap_or(&Value::from(0)), all, true);
            if most > 1 { most } else { 0 }
        }
        _ => 0,
    }
}

/// A number, or a percentage of `all`.
fn share(stated: &Value, all: i64, up: bool) -> i64 {
    let percent = || {
        stated
            .as_str()
            .and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok())
    };
    let part = |percent: i64| (percent.clamp(0, 100) * all + if up { 99 } else { 0 }) / 100;
    stated.as_i64().or_else(|| percent().map(part)).unwrap_or(0)
}

/// Pods of the workload's present template that are running or starting, and are not being deleted.
fn present<'a>(object: &'a Value, pods: &'a [Arc<Value>]) -> impl Iterator<Item = &'a Value> {
    pods.iter()
        .map(|pod| &**pod)
        .filter(|pod| Controller::of(pod).is(object) && !is_terminating(pod) && !is_over(pod))
        .filter(|pod| runs_present_template(object, pod))
}

/// How many pods of the present template are ready.
pub(crate) fn ready_of_present(object: &Value, pods: &[Arc<Value>]) -> i64 {
    length(present(object, pods).filter(|pod| is_true(pod, "Ready")))
}

/// Whether every unready pod of the present template waits for a node, and at least one pod is ready.
pub(crate) fn only_nodes_are_missing(object: &Value, pods: &[Arc<Value>]) -> bool {
    ready_of_present(object, pods) >= 1
        && present(object, pods)
            .filter(|pod| !is_true(pod, "Ready"))
            .all(|pod| ailment(pod) == UNSCHEDULABLE)
}

/// Whether a pod of the present template fails by itself, rather than because no node is available.
pub(crate) fn any_fails(object: &Value, pods: &[Arc<Value>]) -> bool {
    const BY_ITSELF: [&str; 9] = [
        "CrashLoopBackOff",
        // What a kubelet shows for the same loop between its back-offs.
        "Error",
        "OOMKilled",
        "StartError",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
    ];
    present(object, pods).any(|pod| BY_ITSELF.contains(&ailment(pod)))
}

/// Why pods are not ready, with their names: ": ledger-1 (ImagePullBackOff)".
fn ailing(pods: &[&Value]) -> String {
    let unready = pods.iter().filter(|pod| !is_true(pod, "Ready"));
    let mut named: Vec<String> = unready.map(|pod| named(pod)).collect();
    named.sort();
    match listed(named) {
        said if said.is_empty() => said,
        said => format!(": {said}"),
    }
}

/// The first few, and how many more there are.
fn listed(mut all: Vec<String>) -> String {
    const MOST: usize = 3;
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    match more {
        0 => all.join(", "),
        more => format!("{} and {more} more", all.join(", ")),
    }
}

/// `message`, with the pods of the present template that cannot become ready, and the reason of the kubelet or the scheduler:
/// ": ledger-1 (ImagePullBackOff)". Pods that are only starting are not named.
#[must_use]
pub fn with_pods(message: &str, object: &Value, pods: &[Arc<Value>]) -> String {
    let failing: Vec<&Value> = present(object, pods)
        .filter(|pod| !is_true(pod, "Ready") && ailment(pod) != NOT_READY)
        .collect();
    format!("{message}{}", ailing(&failing))
}

/// A pod and why it is not ready.
fn named(pod: &Value) -> String {
    format!("{} ({})", text(pod, "/metadata/name"), ailment(pod))
}

const UNSCHEDULABLE: &str = "Unschedulable";
/// No failure is known: it may only be starting.
const NOT_READY: &str = "NotReady";

/// Why a pod is not ready: the reason of the kubelet or the scheduler.
fn ailment(pod: &Value) -> &str {
    let waiting = statuses(pod)
        .map(|status| text(status, "/state/waiting/reason"))
        .find(|reason| !matches!(*reason, "" | "PodInitializing" | "ContainerCreating"));
    let ended = || {
        statuses(pod)
            .map(|status| text(status, "/state/terminated/reason"))
            .find(|reason| !matches!(*reason, "" | "Completed"))
    };
    let unscheduled = || {
        let reason = condition_text(pod, "PodScheduled", "reason");
        (condition_text(pod, "PodScheduled", "status") == "False" && !reason.is_empty()).then_some(reason)
    };
    waiting.or_else(ended).or_else(unscheduled).unwrap_or(NOT_READY)
}

/// Pods of another template that are terminating, and may still serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lingering {
    /// How many there are, at least 1.
    pub count: i64,
    /// When the first of them was deleted.
    pub since: Timestamp,
    /// When the kubelet kills the last of them: their grace has expired.
    pub until: Timestamp,
}

impl Lingering {
    /// A clause without the object's name.
    #[must_use]
    pub fn says(&self) -> String {
        let Self { count, until, .. } = self;
        let are = if *count == 1 {
            "pod of another version is"
        } else {
            "pods of another version are"
        };
        format!("{count} {are} still terminating, until {until} at the latest")
    }
}

/// The pods of another template that a workload's controller no longer counts, or only in `terminatingReplicas`, and that exist until
/// their grace expires. A pod whose grace has expired waits for a kubelet that does not answer.
#[must_use]
pub fn lingering(object: &Value, pods: &[Arc<Value>], now: Timestamp) -> Option<Lingering> {
    let hash = match text(object, "/kind") {
        "Deployment" => TEMPLATE_LABEL,
        "StatefulSet" | "DaemonSet" => REVISION_LABEL,
        _ => return None,
    };
    let stays: Vec<Option<&str>> = present(object, pods).map(|pod| label(pod, hash)).collect();
    let is_of_another = |pod: &Value| match object.pointer("/spec/template") {
        Some(template) if stays.is_empty() => !matches_template(template, pod),
        _ => !stays.contains(&label(pod, hash)),
    };
    let ends = pods
        .iter()
        .filter(|pod| Controller::of(pod).is(object) && !is_over(pod))
        .filter_map(|pod| Some((pod, text(pod, "/metadata/deletionTimestamp").parse().ok()?)))
        .filter(|(pod, until): &(_, Timestamp)| *until > now && is_of_another(pod));
    let grace = |pod| number(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
    ends.fold(None, |all: Option<Lingering>, (pod, until)| {
        let since = until - SignedDuration::from_secs(grace(pod));
        let all = all.unwrap_or(Lingering {
            count: 0,
            since,
            until,
        });
        Some(Lingering {
            count: all.count + 1,
            since: all.since.min(since),
            until: all.until.max(until),
        })
    })
}

/// A broken pod of an old revision: a StatefulSet's controller waits until it is ready before it replaces it, which never happens
/// (kubernetes#67250).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Name of the pod.
    pub name: String,
    /// uid of the pod.
    pub uid: String,
    /// The reason, in one word.
    pub why: String,
    /// The last transition of its condition Ready. Absent if the pod has none yet.
    pub unready_since: Option<Timestamp>,
}

impl Stuck {
    /// No failure is known: it may be starting.
    #[must_use]
    pub fn is_only_unready(&self) -> bool {
        self.why == NOT_READY
    }
}

/// The pods of another revision that `object` waits for.
#[must_use]
pub fn stuck(object: &Value, pods: &[Arc<Value>]) -> Vec<Stuck> {
    let revision = text(object, "/status/updateRevision");
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let is_one = text(object, "/kind") == "StatefulSet" && !on_delete;
    if !is_one || revision.is_empty() || unobserved(object).is_some() {
        return vec![];
    }
    // Pods before the partition are not updated.
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    let updated = |pod: &&Arc<Value>| {
        let ordinal = text(pod, "/metadata/name").rsplit('-').next();
        ordinal
            .and_then(|ordinal| ordinal.parse::<i64>().ok())
            .is_none_or(|ordinal| ordinal >= partition)
    };
    let mut stuck: Vec<Stuck> = pods
        .iter()
        .filter(|pod| Controller::of(pod).is(object) && !is_terminating(pod))
        .filter(|pod| label(pod, REVISION_LABEL).is_some() && !has_revision(pod, revision))
        .filter(|pod| !is_true(pod, "Ready"))
        .filter(updated)
        .map(|pod| Stuck {
            name: text(pod, "/metadata/name").to_owned(),
            uid: text(pod, "/metadata/uid").to_owned(),
            why: ailment(pod).to_owned(),
            unready_since: condition_text(pod, "Ready", "lastTransitionTime").parse().ok(),
        })
        .collect();
    stuck.sort_by(|a, b| a.name.cmp(&b.name));
    stuck
}

fn length<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

/// How many pods of a StatefulSet's update revision are ready and not being deleted.
pub(crate) fn ready_of_update_revision(object: &Value, pods: &[Arc<Value>]) -> i64 {
    let revision = text(object, "/status/updateRevision");
    length(pods.iter().filter(|pod| {
        Controller::of(pod).is(object)
            && has_revision(pod, revision)
            && !is_terminating(pod)
            && is_true(pod, "Ready")
    }))
}

/// Whether pods of another template than the Deployment's present one run: a clause.
#[must_use]
pub fn others_run(object: &Value) -> Option<String> {
    let (all, updated) = (count(object, "replicas"), count(object, "updatedReplicas"));
    (text(object, "/kind") == "Deployment" && updated < all)
        .then(|| format!("{updated} of {all} pods run the restored template"))
}

/// Evicted, or ended with its node: a new pod replaces it, and its containers are not restarted.
fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Failed" | "Succeeded")
}

fn has_revision(pod: &Value, revision: &str) -> bool {
    !revision.is_empty() && label(pod, REVISION_LABEL) == Some(revision)
}

fn label<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// A StatefulSet reports the revision of its template. Other kinds do not: a Deployment's hash is on a ReplicaSet, which is not
/// watched, and a DaemonSet's template generation rises in a backout without a change of its pods. But once the controller counts
/// every pod as updated, all are. Until then, a pod is compared with the template.
fn runs_present_template(object: &Value, pod: &Value) -> bool {
    match text(object, "/kind") {
        "StatefulSet" => has_revision(pod, text(object, "/status/updateRevision")),
        "Deployment" if all_are(object, "replicas", "updatedReplicas") => true,
        "DaemonSet" if all_are(object, "currentNumberScheduled", "updatedNumberScheduled") => true,
        _ => object
            .pointer("/spec/template")
            .is_some_and(|template| matches_template(template, pod)),
    }
}

/// Counts of an older generation do not describe the present template.
fn all_are(object: &Value, all: &str, updated: &str) -> bool {
    unobserved(object).is_none() && count(object, all) == count(object, updated)
}

/// Compares labels, annotations and images: a pod copies them from its template, and a release usually changes them. Everything else
/// may be defaulted or injected. Containers that the template does not have are injected ones.
fn matches_template(template: &Value, pod: &Value) -> bool {
    let takes_over = |pointer| {
        let stated = template
            .pointer(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        let have = pod.pointer(pointer).and_then(Value::as_object);
        stated
            .into_iter()
            .all(|(key, value)| have.and_then(|have: &Map<_, _>| have.get(key)) == Some(value))
    };
    let running = patches::images(pod);
    takes_over("/metadata/labels")
        && takes_over("/metadata/annotations")
        && patches::images(template)
            .iter()
            .all(|image| running.contains(image))
}

/// The first container that keeps crashing: one in back-off, one between two back-offs that is not ready or has just exited, or one that
/// is ready for some seconds between two exits. In the last case the exit code does not matter: a container that serves does not exit.
fn crash_looping<'a>(pod: &'a Value, due: &Due) -> Option<&'a Value> {
    let looping = |status: &&Value| {
        let failed = |pointer| {
            status
                .pointer(pointer)
                .and_then(Value::as_i64)
                .is_some_and(|code| code != 0)
        };
        let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let ready = status.get("ready") == Some(&Value::Bool(true));
        let ended = status.pointer("/lastState/terminated").is_some();
        let started = text(status, "/state/running/startedAt").parse::<Timestamp>();
        let young = started.is_ok_and(|at| due.now.duration_since(at) < due.grace);
        text(status, "/state/waiting/reason") == "CrashLoopBackOff"
            || restarts >= 1 && failed("/state/terminated/exitCode")
            || restarts >= 2 && !ready && failed("/lastState/terminated/exitCode")
            || restarts >= 2 && ended && young
    };
    statuses(pod).find(looping)
}

/// A pod and its container, and how the container failed, if it did: "ledger-1 (container app: OOMKilled)".
fn container(pod: &Value, status: &Value) -> String {
    let cause = last_end(status).filter(|end| fails(end)).map(cause);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    let (pod, name) = (text(pod, "/metadata/name"), text(status, "/name"));
    format!("{pod} (container {name}{cause})")
}

/// How a container exited. A failed liveness probe is in an Event only. Here only the signal shows that the kubelet sends then, and others
/// send it too.
fn cause(end: &Value) -> String {
    let (reason, code) = (text(end, "/reason"), exit_code(end));
    if reason == "OOMKilled" {
        return reason.to_owned();
    }
    let reason = if reason.is_empty() {
        String::new()
    } else {
        format!("{reason}, ")
    };
    let signal = match code {
        137 => ", SIGKILL, as after a failed liveness probe",
        143 => ", SIGTERM, as after a failed liveness probe",
        _ => "",
    };
    format!("{reason}exit code {code}{signal}")
}

/// The last exit of a container that its pod reports.
fn last_end(status: &Value) -> Option<&Value> {
    let ended = status.pointer("/state/terminated");
    ended.or_else(|| status.pointer("/lastState/terminated"))
}

/// Whether a container failed by itself: not if it completed, and not if it was lost with its node and the kubelet does not know how it
/// ended.
fn fails(end: &Value) -> bool {
    exit_code(end) != 0 && !matches!(text(end, "/reason"), "ContainerStatusUnknown" | "Unknown")
}

fn exit_code(end: &Value) -> i64 {
    number(end, "/exitCode").unwrap_or(0)
}

/// The states of containers that should run as long as their pod: regular containers, and sidecars.
fn running_on(pod: &Value) -> impl Iterator<Item = &Value> {
    let is_sidecar = |status: &&Value| {
        elements(pod, "/spec/initContainers").any(|container| {
            text(container, "/name") == text(status, "/name") && text(container, "/restartPolicy") == "Always"
        })
    };
    let sidecars = elements(pod, "/status/initContainerStatuses").filter(is_sidecar);
    sidecars.chain(elements(pod, "/status/containerStatuses"))
}

/// The states of a pod's containers, init containers first.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|list| elements(pod, list))
}

fn elements<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
