//! How an object in a target namespace is recognized as ours.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::{FIELD_MANAGER, LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_ENVIRONMENT, LABEL_RELEASE};
use crate::decide::facts::Observed;

/// Our own entry in `managedFields`, and its index.
#[must_use]
pub(crate) fn our_entry(object: &Value) -> Option<(usize, &Value)> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let says = |entry: &Value, key: &str, value: &str| entry.get(key).and_then(Value::as_str) == Some(value);
    // An Apply by another user under our name is not ours.
    entries.iter().enumerate().find(|(_, entry)| {
        entry.get("subresource").is_none()
            && says(entry, "manager", FIELD_MANAGER)
            && says(entry, "operation", "Update")
    })
}

/// Whether we created this object for this promotion, whichever attempt.
pub(crate) fn is_ours(o: &Observed, environment: &str, object: &Value) -> bool {
    let label = |name: &str| {
        object
            .pointer("/metadata/labels")
            .and_then(|l| l.get(name))
            .and_then(Value::as_str)
    };
    label(LABEL_RELEASE) == Some(o.name()) && label(LABEL_ENVIRONMENT) == Some(environment)
}

/// Labels of what the operator creates for a component.
pub(crate) fn labels(
    release: &str,
    environment: &str,
    attempt: i64,
    component: &str,
) -> BTreeMap<String, String> {
    [
        (LABEL_RELEASE, release.to_owned()),
        (LABEL_ENVIRONMENT, environment.to_owned()),
        (LABEL_ATTEMPT, attempt.to_string()),
        (LABEL_COMPONENT, component.to_owned()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}
