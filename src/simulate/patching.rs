//! Patches on plain JSON values, as the API server applies those that the operator sends: strategic merge, in which maps
//! merge, null deletes and lists of named things merge by name; and JSON Patch.

use serde_json::{Map, Value};

/// The lists of Kubernetes' own kinds that merge, and by which key. Every other list is replaced whole.
const MERGED: [(&str, &str); 9] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("imagePullSecrets", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("hostAliases", "ip"),
];

/// Lays a strategic merge patch upon `object`.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        object.clone_from(patch);
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(object) = object else { return };
    for (key, stated) in patch {
        match (stated, MERGED.iter().find(|(list, _)| list == key)) {
            (Value::Null, _) => {
                object.remove(key);
            }
            (Value::Array(stated), Some((_, by))) => {
                let list = object.entry(key).or_insert_with(|| Value::Array(vec![]));
                merge_list(list, stated, by);
            }
            _ => merge(object.entry(key).or_insert(Value::Null), stated),
        }
    }
}

/// Elements that are there already keep their place; new ones come first, as the API server puts them.
fn merge_list(list: &mut Value, stated: &[Value], by: &str) {
    let Value::Array(list) = list else {
        *list = Value::Array(stated.to_vec());
        return;
    };
    // A service's ports have no containerPort.
    let by = if stated.iter().all(|e| e.get(by).is_some()) {
        by
    } else {
        "port"
    };
    let mut new = Vec::new();
    for element in stated {
        match list.iter_mut().find(|e| e.get(by) == element.get(by)) {
            Some(known) => merge(known, element),
            None => {
                let mut element_alone = Value::Null;
                merge(&mut element_alone, element);
                new.push(element_alone);
            }
        }
    }
    list.splice(0..0, new);
}

/// Applies a JSON Patch.
///
/// # Errors
/// A sentence: an operation does not fit the object.
pub(super) fn operate(object: &mut Value, operations: &Value) -> Result<(), String> {
    let patch: json_patch::Patch = serde_json::from_value(operations.clone()).map_err(|e| e.to_string())?;
    json_patch::patch(object, &patch).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_merge_null_deletes_and_containers_merge_by_name() {
        let mut object = json!({ "spec": { "a": 1, "b": { "c": 2 }, "list": [1, 2], "containers": [
            { "name": "app", "image": "one", "env": [{ "name": "A", "value": "a" }] }, { "name": "side" }] } });
        let patch = json!({ "spec": { "a": null, "b": { "d": 3 }, "list": [3], "containers": [
            { "name": "app", "image": "two", "env": [{ "name": "B", "value": "b" }] }] } });
        merge(&mut object, &patch);
        let result = json!({ "spec": { "b": { "c": 2, "d": 3 }, "list": [3], "containers": [
            { "name": "app", "image": "two", "env": [{ "name": "B", "value": "b" }, { "name": "A", "value": "a" }] },
            { "name": "side" }] } });
        assert_eq!(object, result);
    }

    #[test]
    fn a_null_below_a_map_that_is_not_there_leaves_no_null_behind() {
        let mut object = json!({});
        merge(&mut object, &json!({ "data": { "gone": null, "new": "x" } }));
        assert_eq!(object, json!({ "data": { "new": "x" } }));
    }
}
