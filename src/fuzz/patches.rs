//! What a Release states about a target, and what is restored.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::domain::patches::{self, Stated, Target, lint_both, lint_patch, lint_remove, lint_replace};
use crate::domain::paths::{difference, get, restoration, stands, untouched};
use crate::fuzz::{fuzz, json_map, json_value, mistaken, soup};

const QUICK: Duration = Duration::from_secs(2);
const TARGET: Target<'static> = Target {
    api_version: "apps/v1",
    kind: "Deployment",
    name: "web",
};

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "uid": "u", "resourceVersion": "7", "labels": { "a/b": "c", "~": "d" } },
        "spec": {
            "replicas": 2,
            "template": {
                "metadata": { "annotations": { "x": "y" } },
                "spec": {
                    "containers": [{ "name": "web", "image": "web:1", "env": [{ "name": "A", "value": "1" }] }, { "name": "side", "image": "side:1" }],
                    "initContainers": [{ "name": "init", "image": "init:1" }],
                },
            },
        },
    })
}

fn applied_by_others(operations: &[Value], object: &Value) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).expect("a JSON Patch");
    let mut object = object.clone();
    json_patch::patch(&mut object, &patch).expect("every operation finds its place");
    object
}

/// The fields of an object that count, and those that the precondition touches.
fn counted(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        for ours in ["apiVersion", "kind", "status"] {
            map.remove(ours);
        }
        let metadata = map.remove("metadata").unwrap_or_default();
        map.insert(
            "labels".to_owned(),
            metadata.get("labels").cloned().unwrap_or_default(),
        );
        map.insert(
            "annotations".to_owned(),
            metadata.get("annotations").cloned().unwrap_or_default(),
        );
    }
    object
}

/// An absent map of labels, annotations or the like counts as an empty one, and so does an absent list with keys.
fn without_empty(mut value: Value) -> Value {
    let dictionaries = [
        "labels",
        "annotations",
        "data",
        "env",
        "containers",
        "initContainers",
    ];
    let empty = |value: &Value| {
        value.as_object().is_some_and(serde_json::Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty)
    };
    match &mut value {
        Value::Object(map) => {
            let inner = std::mem::take(map).into_iter();
            let inner = inner.map(|(key, value)| (key, without_empty(value)));
            *map = inner
                .filter(|(key, value)| {
                    !(dictionaries.contains(&key.as_str()) && (empty(value) || value.is_null()))
                })
                .collect();
        }
        Value::Array(list) => {
            for element in list {
                *element = without_empty(element.take());
            }
        }
        _ => {}
    }
    value
}

fn put_back(live: &Value, result: &Value) -> Result<(), TestCaseError> {
    let changes = difference(live, result);
    prop_assert_eq!(untouched(&changes, live), Ok(()));
    prop_assert_eq!(stands(&changes, result), Ok(()));
    let operations = restoration(&changes, result, "7");
    let restored = applied_by_others(&operations, result);
    prop_assert_eq!(without_empty(counted(&restored)), without_empty(counted(live)));
    prop_assert_eq!(
        restoration(&changes, &restored, "7"),
        Vec::<Value>::new(),
        "once is enough"
    );
    Ok(())
}

#[test]
fn what_was_changed_can_be_put_back() {
    // Every object has metadata with a resourceVersion, whatever else is wrong with it.
    let whole = |mut object: Value| {
        let metadata = object["metadata"].take();
        object["metadata"] = if metadata.is_object() { metadata } else { json!({}) };
        object["metadata"]["resourceVersion"] = json!("7");
        object
    };
    let pairs = prop_oneof![
        (json_map(), json_map()),
        (mistaken(deployment()), mistaken(deployment())),
    ];
    fuzz(300, QUICK, pairs, |(live, result)| {
        if live.is_object() && result.is_object() {
            put_back(&whole(live), &whole(result))?;
        }
        Ok(())
    });
}

/// Another writer changed the object in between: restored fields have their previous values, whatever else the object contains.
#[test]
fn what_was_changed_can_be_put_back_over_what_others_did() {
    let objects = (
        mistaken(deployment()),
        mistaken(deployment()),
        mistaken(deployment()),
    );
    fuzz(200, QUICK, objects, |(before, after, now)| {
        let mut now = now;
        if !now["metadata"].is_object() || !now.is_object() {
            return Ok(());
        }
        now["metadata"]["resourceVersion"] = json!("7");
        let changes = difference(&before, &after);
        let restored = applied_by_others(&restoration(&changes, &now, "7"), &now);
        // Only fields in an element that another writer removed cannot be restored.
        for path in untouched(&changes, &restored).err().unwrap_or_default() {
            let (element, _) = path.rsplit_once("]/").unwrap_or_default();
            prop_assert!(!element.is_empty(), "{path} is in no element");
            prop_assert_eq!(get(&restored, &format!("{element}]")), None, "{}", path);
        }
        Ok(())
    });
}

/// Whether a value exists at a pointer that may name elements by position or by key.
fn found(live: &Value, pointer: &str) -> bool {
    live.pointer(pointer).is_some() || get(live, pointer).is_some()
}

#[test]
fn any_patch_is_sent_or_refused() {
    let words = &[
        "/",
        "spec",
        "metadata",
        "labels",
        "annotations",
        "template",
        "containers",
        "containers[name=web]",
        "env[name=A]",
        "env[name=]",
        "[=]",
        "0",
        "~1",
        "$",
        "data",
        "a",
    ];
    let remove = proptest::collection::vec(soup(words, 8), 0..4);
    let replace = proptest::collection::vec(soup(words, 8), 0..2);
    let container = prop_oneof![Just("web".to_owned()), Just("init".to_owned()), any::<String>()];
    let images = proptest::collection::vec((container, "[a-z:@]{0,9}"), 0..3);
    let inputs = (
        mistaken(deployment()),
        prop_oneof![json_value(), mistaken(deployment())],
        images,
        remove,
        replace,
        any::<bool>(),
    );
    fuzz(
        200,
        QUICK,
        inputs,
        |(live, patch, images, remove, replace, restarts)| {
            let stamp = restarts.then_some("0123456789abcdef");
            let _ = lint_patch("apps/v1", "Deployment", "web", &patch);
            let _ = (lint_remove(&remove), lint_both(&patch, &remove));
            let _ = (lint_replace(Some(&patch), &replace), patches::images(&live));
            let _ = patches::undefined("Deployment", &patch, Some(&live));
            let _ = patches::irreversible(&TARGET, &live, &patch);
            for pointer in &remove {
                if let Ok(named) = patches::by_key(pointer, &live) {
                    prop_assert_eq!(patches::by_key(&named, &live), Ok(named.clone()), "twice is once");
                    prop_assert_eq!(get(&live, &named).is_some(), found(&live, pointer), "{}", pointer);
                }
            }
            let _ = patches::creation(
                &TARGET,
                &patch,
                &images,
                stamp,
                &std::collections::BTreeMap::new(),
            );
            let stated = Stated {
                patch: Some(&patch),
                images: &images,
                remove: &remove,
                replace: &replace,
                restarted_for: stamp,
            };
            if let Ok(sent) = patches::forward(&TARGET, &live, &stated) {
                let version = live.pointer("/metadata/resourceVersion");
                prop_assert_eq!(sent.pointer("/metadata/resourceVersion"), version);
            }
            Ok(())
        },
    );
}

#[test]
fn an_override_says_what_it_says_and_leaves_the_rest() {
    fuzz(200, QUICK, (json_value(), json_value()), |(base, over)| {
        let both = patches::overlay(Some(&base), Some(&over)).expect("two make one");
        prop_assert_eq!(
            patches::overlay(Some(&both), Some(&over)),
            Some(both.clone()),
            "twice is once"
        );
        prop_assert_eq!(patches::overlay(None, Some(&over)), Some(over.clone()));
        if !(base.is_object() && over.is_object()) {
            prop_assert_eq!(both, over);
        }
        Ok(())
    });
}
