//! Patches on plain JSON values, as the API server applies those that the operator sends: strategic merge, in which maps
//! merge, null deletes and lists of named things merge by name; and JSON Patch.

use serde_json::{Map, Value};

use crate::domain::paths::keyed;

/// The directive of a patch that sets the order of a list's elements.
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to `object`.
pub(crate) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        object.clone_from(patch);
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(object) = object else { return };
    for (key, stated) in patch.iter().filter(|(key, _)| !key.starts_with(ORDER)) {
        match stated {
            Value::Null => {
                object.remove(key);
            }
            Value::Array(stated) => {
                let order = patch.get(&format!("{ORDER}{key}")).and_then(Value::as_array);
                let list = object.entry(key).or_insert_with(|| Value::Array(vec![]));
                merge_list(key, list, stated, order.map_or(&[], Vec::as_slice));
            }
            _ => merge(object.entry(key).or_insert(Value::Null), stated),
        }
    }
}

/// Elements that are there already keep their place; new ones come first, as the API server puts them where no order is
/// stated. A list without a key for its elements is replaced whole.
fn merge_list(name: &str, list: &mut Value, stated: &[Value], order: &[Value]) {
    let there = list.as_array().map_or(&[][..], Vec::as_slice);
    let by = keyed::merge_key(name, &[there, stated]);
    let (Value::Array(list), Some(by)) = (&mut *list, by) else {
        *list = Value::Array(stated.to_vec());
        return;
    };
    let mut new = Vec::new();
    for element in stated {
        let known = keyed::identity(element, by).and_then(|name| keyed::position(list, by, &name));
        match known {
            Some(at) if element.get("$patch").is_some_and(|said| said == "delete") => {
                list.remove(at);
            }
            Some(at) => merge(&mut list[at], element),
            None => {
                let mut element_alone = Value::Null;
                merge(&mut element_alone, element);
                new.push(element_alone);
            }
        }
    }
    list.splice(0..0, new);
    let place = |element: &Value| {
        order
            .iter()
            .position(|ordered| ordered.get(by) == element.get(by))
    };
    if !order.is_empty() {
        list.sort_by_key(|element| place(element).unwrap_or(usize::MAX));
    }
}

/// Applies a JSON Patch.
///
/// # Errors
/// A sentence: an operation does not fit the object.
pub(crate) fn operate(object: &mut Value, operations: &Value) -> Result<(), String> {
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
    fn elements_are_put_in_order_and_taken_out_where_the_patch_says_so() {
        let mut object = json!({ "env": [{ "name": "A", "value": "a" }, { "name": "B", "value": "b" }] });
        let patch = json!({
            "env": [{ "name": "A", "$patch": "delete" }, { "name": "C", "value": "$(B)" }],
            "$setElementOrder/env": [{ "name": "B" }, { "name": "C" }],
        });
        merge(&mut object, &patch);
        let result = json!({ "env": [{ "name": "B", "value": "b" }, { "name": "C", "value": "$(B)" }] });
        assert_eq!(object, result);
    }

    #[test]
    fn a_null_below_a_map_that_is_not_there_leaves_no_null_behind() {
        let mut object = json!({});
        merge(&mut object, &json!({ "data": { "gone": null, "new": "x" } }));
        assert_eq!(object, json!({ "data": { "new": "x" } }));
    }
}
