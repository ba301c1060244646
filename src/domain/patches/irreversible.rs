//! Changes that the API server accepts but does not allow to be undone. It would refuse the backout, so such changes are refused
//! before entry. A dry run cannot find them: a dry run of the restoration would need the changed object.

use serde_json::Value;

use crate::domain::patches::target::{Target, names_in_full};
use crate::domain::paths::get;

/// A field whose change cannot be undone.
struct OneWay {
    kind: &'static str,
    path: &'static str,
    /// Whether the change from the first value to the second cannot be undone.
    sticks: fn(Option<&Value>, Option<&Value>) -> bool,
    because: &'static str,
    instead: &'static str,
}

/// Other fields that cannot be restored (a workload's selector, a StatefulSet's volume claims, a Job's template) cannot be changed
/// either, and the dry run reports that.
const ONE_WAY: [OneWay; 3] = [
    OneWay {
        kind: "ConfigMap",
        path: "/immutable",
        sticks: becomes_true,
        because: "an immutable ConfigMap can neither be changed nor made mutable again",
        instead: "create a ConfigMap with a new name that is immutable from the start, and refer to it",
    },
    OneWay {
        kind: "PersistentVolumeClaim",
        path: "/spec/resources/requests/storage",
        sticks: differ,
        because: "a PersistentVolumeClaim cannot shrink",
        instead: "resize it by hand, or create a PersistentVolumeClaim with a new name",
    },
    OneWay {
        kind: "PersistentVolumeClaim",
        path: "/spec/volumeAttributesClassName",
        sticks: is_first,
        because: "its volume attributes class can be changed, but not removed",
        instead: "set it by hand before the Release",
    },
];

fn becomes_true(before: Option<&Value>, after: Option<&Value>) -> bool {
    before != after && after == Some(&Value::Bool(true))
}

fn differ(before: Option<&Value>, after: Option<&Value>) -> bool {
    before != after
}

fn is_first(before: Option<&Value>, after: Option<&Value>) -> bool {
    before.is_none() && after.is_some()
}

/// Why the change from the live object to the dry run's result could not be backed out, and what to do instead.
pub fn irreversible(target: &Target<'_>, live: &Value, result: &Value) -> Option<String> {
    let fields = ONE_WAY.iter().filter(|field| field.kind == target.kind);
    let mut sticking = fields.filter(|field| (field.sticks)(get(live, field.path), get(result, field.path)));
    sticking
        .next()
        .map(|field| sentence(target, field, get(result, field.path)))
}

/// The fields of a patch that could not be restored, whatever the object is now, unless the patch creates it: pointers into the
/// patch, with clauses.
pub fn stated(target: &Target<'_>, patch: &Value) -> Vec<(&'static str, String)> {
    if names_in_full(target.api_version, target.kind, target.name, patch) {
        return vec![];
    }
    let fields = ONE_WAY.iter().filter(|field| field.kind == target.kind);
    let stated = fields.filter(|field| (field.sticks)(None, get(patch, field.path)));
    stated
        .map(|field| (field.path, sentence(target, field, get(patch, field.path))))
        .collect()
}

fn sentence(target: &Target<'_>, field: &OneWay, value: Option<&Value>) -> String {
    let value = value.map_or_else(|| "absent".to_owned(), Value::to_string);
    format!(
        "{}: {} becomes {value}, which a backout cannot restore: {}; {}",
        target.called(),
        field.path,
        field.because,
        field.instead
    )
}
