//! Which writer has written which field, as in `managedFields`, and in which fields two states of an object differ.

#![cfg_attr(not(test), allow(dead_code, reason = "only histories have such neighbours"))]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::domain::paths::{self, keyed};

/// A writer.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    /// `manager` of its entry in `managedFields`.
    pub manager: &'a str,
    /// `subresource` of that entry, such as `status`; empty for the object itself.
    pub subresource: &'a str,
}

impl<'a> From<&'a str> for Writer<'a> {
    fn from(manager: &'a str) -> Self {
        Self {
            manager,
            subresource: "",
        }
    }
}

/// Adds an element to a list whose elements are identified by name.
pub(crate) fn put_element(list: &mut Value, element: Value) {
    if !list.is_array() {
        *list = json!([]);
    }
    let Value::Array(list) = list else { return };
    let there = element["name"]
        .as_str()
        .and_then(|name| keyed::position(list, "name", name));
    match there {
        Some(at) => list[at] = element,
        None => list.push(element),
    }
}

/// A field, or an element of a list, in which two states of an object differ.
#[derive(Clone, Debug)]
pub(crate) struct Differs {
    /// As [`keyed`] writes it.
    pub path: String,
    /// The earlier value. Absent if the field or element did not exist.
    pub before: Option<Value>,
    /// The later value. Absent if the field or element no longer exists.
    pub after: Option<Value>,
}

/// All differences, field by field, except status and the fields that only the API server writes.
pub(crate) fn differing(before: Option<&Value>, after: Option<&Value>) -> Vec<Differs> {
    let mut all = Vec::new();
    for key in keys(before, after) {
        let at = |side: Option<&'_ Value>| side.and_then(|o| o.get(&key)).cloned();
        let (before, after) = (at(before), at(after));
        match key.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for key in ["annotations", "labels"] {
                    let of = |side: &Option<Value>| side.as_ref().and_then(|m| m.get(key)).cloned();
                    compare(
                        key,
                        &format!("/metadata/{key}"),
                        of(&before).as_ref(),
                        of(&after).as_ref(),
                        &mut all,
                    );
                }
            }
            key => compare(
                key,
                &paths::below("", key),
                before.as_ref(),
                after.as_ref(),
                &mut all,
            ),
        }
    }
    all
}

/// The same of two values at `path`.
pub(crate) fn compare(
    name: &str,
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    all: &mut Vec<Differs>,
) {
    if before == after {
        return;
    }
    let is_map = |side: Option<&Value>| side.is_none_or(Value::is_object);
    let is_list = |side: Option<&Value>| side.is_none_or(Value::is_array);
    let list = |side: Option<&Value>| side.and_then(Value::as_array).cloned().unwrap_or_default();
    if is_map(before) && is_map(after) {
        for key in keys(before, after) {
            let of = |side: Option<&Value>| side.and_then(|m| m.get(&key)).cloned();
            compare(
                &key,
                &paths::below(path, &key),
                of(before).as_ref(),
                of(after).as_ref(),
                all,
            );
        }
        return;
    }
    let (was, is) = (list(before), list(after));
    if is_list(before)
        && is_list(after)
        && let Some(key) = keyed::merge_key(name, &[&was, &is])
    {
        let ids: BTreeSet<String> = was
            .iter()
            .chain(&is)
            .filter_map(|e| keyed::identity(e, key))
            .collect();
        for id in ids {
            let at = keyed::below(path, key, &id);
            match (keyed::find(&was, key, &id), keyed::find(&is, key, &id)) {
                (Some(was), Some(is)) => compare("", &at, Some(was), Some(is), all),
                (before, after) => all.push(Differs {
                    path: at,
                    before: before.cloned(),
                    after: after.cloned(),
                }),
            }
        }
        return;
    }
    all.push(Differs {
        path: path.to_owned(),
        before: before.cloned(),
        after: after.cloned(),
    });
}

fn keys(one: Option<&Value>, other: Option<&Value>) -> BTreeSet<String> {
    let maps = [one, other].into_iter().flatten().filter_map(Value::as_object);
    maps.flat_map(|map| map.keys().cloned()).collect()
}

/// Records in `managedFields` that `writer` has written the differences. It becomes the only owner of these fields.
pub(crate) fn note_owner(entries: &mut Vec<Value>, writer: Writer<'_>, time: &Value, differs: &[Differs]) {
    let is = |entry: &Value| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        text("manager") == writer.manager && text("subresource") == writer.subresource
    };
    if !entries.iter().any(is) {
        let mut entry = json!({ "manager": writer.manager, "operation": "Update", "fieldsType": "FieldsV1",
                                "fieldsV1": {} });
        if !writer.subresource.is_empty() {
            entry["subresource"] = json!(writer.subresource);
        }
        entries.push(entry);
    }
    for entry in entries.iter_mut() {
        let mine = is(entry);
        if mine {
            entry["time"] = time.clone();
        }
        let Some(fields) = entry.get_mut("fieldsV1").and_then(Value::as_object_mut) else {
            continue;
        };
        for one in differs {
            let steps = field_steps(&one.path);
            if mine && one.after.is_some() {
                add(fields, &steps);
            } else {
                take_out(fields, &steps);
            }
        }
    }
    // A writer that owns nothing any more is not listed.
    entries.retain(|entry| {
        is(entry)
            || entry["fieldsV1"]
                .as_object()
                .is_none_or(|fields| !fields.is_empty())
    });
}

/// A path in the form of `fieldsV1`.
fn field_steps(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    for token in paths::tokens(path) {
        match keyed::element(&token) {
            Some((list, key, id)) => steps.extend([format!("f:{list}"), format!("k:{}", json!({ key: id }))]),
            None => steps.push(format!("f:{token}")),
        }
    }
    steps
}

fn add(fields: &mut Map<String, Value>, steps: &[String]) {
    let Some((first, rest)) = steps.split_first() else {
        return;
    };
    let below = fields.entry(first.clone()).or_insert_with(|| json!({}));
    if let Value::Object(below) = below {
        add(below, rest);
    }
}

fn take_out(fields: &mut Map<String, Value>, steps: &[String]) {
    let Some((first, rest)) = steps.split_first() else {
        return;
    };
    let Some(Value::Object(below)) = fields.get_mut(first) else {
        return;
    };
    if !rest.is_empty() {
        take_out(below, rest);
    }
    if rest.is_empty() || below.is_empty() {
        fields.remove(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_a_field_last_owns_it_and_nobody_else() {
        let of = |image: &str, env: Value| json!({ "spec": { "containers": [{ "name": "app", "image": image, "env": env }] } });
        let (one, two) = (
            of("a", json!([])),
            of("b", json!([{ "name": "X", "value": "1" }])),
        );
        let mut entries = Vec::new();
        note_owner(
            &mut entries,
            "kubectl".into(),
            &json!("1"),
            &differing(None, Some(&one)),
        );
        note_owner(
            &mut entries,
            "signalbox".into(),
            &json!("2"),
            &differing(Some(&one), Some(&two)),
        );
        let owner = |entries: &[Value], path: &str| paths::writers::of(entries, path, "none");
        let image = "/spec/containers[name=app]/image";
        assert_eq!(owner(&entries, image).as_deref(), Some("signalbox"));
        let three = of("c", json!([{ "name": "X", "value": "1" }]));
        note_owner(
            &mut entries,
            "gitops".into(),
            &json!("3"),
            &differing(Some(&two), Some(&three)),
        );
        assert_eq!(owner(&entries, image).as_deref(), Some("gitops"));
        let env = "/spec/containers[name=app]/env[name=X]";
        assert_eq!(owner(&entries, env).as_deref(), Some("signalbox"));
    }
}
