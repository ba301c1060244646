//! Which pods are a workload's, which of those run its present template, and which of those are
//! crash-looping.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{condition_says, condition_text, count, is_terminating, is_true, text};

const REVISION_LABEL: &str = "controller-revision-hash";

/// Why a workload is unhealthy now; the caller applies the grace. Scaling, node drains and pods that start
/// are not health loss, and finished Jobs have no health to lose.
pub fn unhealthy(object: &Value, pods: &[Arc<Value>]) -> Option<String> {
    let kind = text(object, "/kind");
    if !super::has_observed_generation(kind) {
        return None;
    }
    if kind == "Deployment" && condition_text(object, "Available", "status") == "False" {
        return Some(condition_says(object, "Available"));
    }
    let ours = pods
        .iter()
        .filter(|pod| belongs(object, pod) && !is_terminating(pod) && !is_over(pod));
    let looping: Vec<_> = ours
        .filter(|pod| runs_present_template(object, pod))
        .filter_map(|pod| Some((text(pod, "/metadata/name"), crash_looping(pod)?)))
        .map(|(pod, container)| format!("{pod} (container {container})"))
        .collect();
    (!looping.is_empty()).then(|| format!("crash-looping: {}", looping.join(", ")))
}

/// How many pods of a StatefulSet's update revision are there, stay, and are ready.
pub(super) fn ready_of_update_revision(object: &Value, pods: &[Arc<Value>]) -> i64 {
    let revision = text(object, "/status/updateRevision");
    let renewed = pods.iter().filter(|pod| {
        belongs(object, pod) && has_revision(pod, revision) && !is_terminating(pod) && is_true(pod, "Ready")
    });
    i64::try_from(renewed.count()).unwrap_or(i64::MAX)
}

/// Evicted, or ended with its node: a new pod takes its place, and nothing restarts its containers.
fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Failed" | "Succeeded")
}

fn has_revision(pod: &Value, revision: &str) -> bool {
    !revision.is_empty() && label(pod, REVISION_LABEL) == Some(revision)
}

/// Selected by the workload and not controlled by another one: selectors of two workloads may overlap. A
/// Deployment's pods are controlled by a ReplicaSet, which is not watched; of them only the selector is
/// known.
fn belongs(object: &Value, pod: &Value) -> bool {
    let Some(selector) = object.pointer("/spec/selector") else {
        return false;
    };
    if !selects(selector, pod) {
        return false;
    }
    let owners = pod
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut controllers = owners.filter(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    controllers.all(|owner| match text(object, "/kind") {
        "Deployment" => text(owner, "/kind") == "ReplicaSet",
        _ => text(owner, "/uid") == text(object, "/metadata/uid"),
    })
}

/// A label selector of `apps/v1`. There an empty one is refused, so that here it selects nothing.
fn selects(selector: &Value, pod: &Value) -> bool {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let (labels, expressions) = (labels.into_iter().flatten(), expressions.into_iter().flatten());
    let mut requirements = labels
        .map(|(key, value)| label(pod, key).is_some_and(|label| value == label))
        .chain(expressions.map(|expression| holds(expression, pod)))
        .peekable();
    requirements.peek().is_some() && requirements.all(|holds| holds)
}

fn holds(expression: &Value, pod: &Value) -> bool {
    let value = label(pod, text(expression, "/key"));
    let listed = |value: &str| {
        let values = expression.get("values").and_then(Value::as_array);
        values.is_some_and(|values| values.iter().any(|one| one == value))
    };
    match text(expression, "/operator") {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

fn label<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    pod.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// A StatefulSet names the revision of its template. The others do not: a Deployment's hash is on a
/// ReplicaSet, which is not watched, and a DaemonSet's template generation rises in a backout without its
/// pods changing. But once the controller counts every pod as updated, every pod is; until then a pod is
/// compared with the template.
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

/// Counts of an older generation say nothing about the present template.
fn all_are(object: &Value, all: &str, updated: &str) -> bool {
    super::unobserved(object).is_none() && count(object, all) == count(object, updated)
}

/// Labels, annotations and images: what a pod takes over from its template and what a release usually
/// changes. Everything else is defaulted or injected into on the way. More containers than the template's are
/// injected ones.
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
    let same_images = |list: &str| {
        elements(template, list).all(|container| {
            elements(pod, list).any(|running| {
                ["name", "image"]
                    .iter()
                    .all(|f| running.get(f) == container.get(f))
            })
        })
    };
    takes_over("/metadata/labels")
        && takes_over("/metadata/annotations")
        && same_images("/spec/containers")
        && same_images("/spec/initContainers")
}

/// The first container that keeps crashing: one that waits out its back-off, and one between two such waits,
/// running again but not ready or just ended, which would otherwise look as if it had recovered.
fn crash_looping(pod: &Value) -> Option<&str> {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let looping = |status: &&Value| {
        let failed = |pointer| {
            status
                .pointer(pointer)
                .and_then(Value::as_i64)
                .is_some_and(|code| code != 0)
        };
        let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let ready = status.get("ready") == Some(&Value::Bool(true));
        text(status, "/state/waiting/reason") == "CrashLoopBackOff"
            || restarts >= 1 && failed("/state/terminated/exitCode")
            || restarts >= 2 && !ready && failed("/lastState/terminated/exitCode")
    };
    let container = statuses
        .into_iter()
        .flat_map(|list| elements(pod, list))
        .find(looping)?;
    Some(text(container, "/name"))
}

fn elements<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
