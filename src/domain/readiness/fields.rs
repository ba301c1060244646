//! Fields of a live object, and what it means if they are absent.

use serde_json::Value;

use crate::domain::text::clause;

/// The kinds with pods, whose status has the observed generation.
pub(crate) fn has_observed_generation(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
}

/// Why the status does not describe the present spec, if so.
pub(crate) fn unobserved(object: &Value) -> Option<String> {
    let generation = number(object, "/metadata/generation");
    let observed = number(object, "/status/observedGeneration");
    // Other kinds are judged only if the field is set.
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

/// How many pods the spec asks for; the default of the API server is 1.
pub(crate) fn wanted_replicas(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

/// A count of the status. The API server omits counts that are zero.
pub(crate) fn count(object: &Value, name: &str) -> i64 {
    object
        .get("status")
        .and_then(|status| status.get(name))
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

/// The first of `counts` that is not `wanted`, in words.
pub(crate) fn first_unequal(object: &Value, counts: &[&str], wanted: i64) -> Option<String> {
    let unequal = counts.iter().find(|name| count(object, name) != wanted)?;
    Some(format!("{unequal} is {} of {wanted}", count(object, unequal)))
}

fn condition<'a>(object: &'a Value, wanted: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(condition, "/type") == wanted)
}

/// A field of the condition `wanted`; empty if there is no such condition or field.
pub(crate) fn condition_text<'a>(object: &'a Value, wanted: &str, field: &str) -> &'a str {
    condition(object, wanted)
        .and_then(|condition| condition.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether the condition `wanted` is reported as True.
pub(crate) fn is_true(object: &Value, wanted: &str) -> bool {
    condition_text(object, wanted, "status") == "True"
}

/// The condition `wanted` in one clause, without a full stop: `Available=False (MinimumReplicasUnavailable): …`.
pub(crate) fn condition_says(object: &Value, wanted: &str) -> String {
    if condition(object, wanted).is_none() {
        return format!("condition {wanted} is not reported yet");
    }
    let of = |field| condition_text(object, wanted, field);
    format!(
        "{wanted}={} ({}): {}",
        of("status"),
        of("reason"),
        clause(of("message"))
    )
}

/// Whether it is being deleted.
pub(crate) fn is_terminating(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|at| !at.is_null())
}

/// A boolean; false if there is none.
pub(crate) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// A whole number, if there is one.
pub(crate) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// A text; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
