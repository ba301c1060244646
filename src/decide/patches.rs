//! What is sent to a target: the stated patch with images, removals and the restart stamp filled in.
//! What a component may state at all is judged in `lint`. Strategic merge is assumed: built-in kinds only.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::paths::{below, get, tokens};
use crate::mutation::{self, Mutation};

mod lint;

pub use lint::{Finding, lint_both, lint_patch, lint_remove};

/// The annotation that makes pods read a changed configuration.
pub const RESTARTED_FOR: &str = "signalbox.dev/restarted-for";

/// In the order in which a container is looked for. Names are unique across all three.
const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Which object a component changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
}

impl<'a> From<&'a crate::api::release::Target> for Target<'a> {
    fn from(target: &'a crate::api::release::Target) -> Self {
        Self {
            api_version: &target.api_version,
            kind: &target.kind,
            name: &target.name,
        }
    }
}

/// Where a kind keeps its pod template; `None` for kinds without one.
pub fn pod_template_pointer(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Does the patch carry the target's whole identity, so that a missing target may be created from it?
pub fn names_in_full(api_version: &str, kind: &str, name: &str, patch: &Value) -> bool {
    let says = |pointer, wanted| get(patch, pointer).and_then(Value::as_str) == Some(wanted);
    says("/apiVersion", api_version) && says("/kind", kind) && says("/metadata/name", name)
}

/// An environment's override upon the component's patch: maps merge, everything else replaces.
pub fn overlay(base: Option<&Value>, over: Option<&Value>) -> Option<Value> {
    match (base, over) {
        (Some(Value::Object(base)), Some(Value::Object(over))) => {
            let mut merged = base.clone();
            for (key, value) in over {
                merged.extend(overlay(base.get(key), Some(value)).map(|value| (key.clone(), value)));
            }
            Some(Value::Object(merged))
        }
        (base, over) => over.or(base).cloned(),
    }
}

/// The strategic merge patch that brings an existing target forward. It carries the resourceVersion it was
/// computed from, and nothing for a removal that has already happened. The error is a sentence.
pub fn forward(
    target: &Target<'_>,
    live: &Value,
    patch: Option<&Value>,
    images: &[(String, String)],
    remove: &[String],
    restarted_for: Option<&str>,
) -> Result<Value, String> {
    let resource_version = get(live, "/metadata/resourceVersion")
        .and_then(Value::as_str)
        .ok_or_else(|| {
            format!(
                "{} was read without a resourceVersion; read it again",
                target.called()
            )
        })?;
    let mut sent = patch.cloned().unwrap_or_else(|| json!({}));
    assign_images(target, live, &mut sent, images)?;
    stamp(target, &mut sent, restarted_for)?;
    for pointer in remove {
        remove_through_maps_only(pointer, live)?;
        // A null where there is nothing would leave its empty parents behind.
        if get(live, pointer).is_some() {
            put(&mut sent, pointer, Value::Null)?;
        }
    }
    if !mutation::is(Mutation::PatchWithoutVersion) {
        put(&mut sent, "/metadata/resourceVersion", json!(resource_version))?;
    }
    Ok(sent)
}

/// The object to create where the target is missing and the patch names it in full. The error is a sentence.
pub fn creation(
    target: &Target<'_>,
    patch: &Value,
    images: &[(String, String)],
    restarted_for: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> Result<Value, String> {
    if !names_in_full(target.api_version, target.kind, target.name, patch) {
        return Err(format!(
            "{} does not exist, and is created only if patch names its apiVersion, kind and metadata.name",
            target.called()
        ));
    }
    let mut object = patch.clone();
    assign_images(target, patch, &mut object, images)?;
    stamp(target, &mut object, restarted_for)?;
    for (key, value) in labels {
        put(&mut object, &below("/metadata/labels", key), json!(value))?;
    }
    Ok(object)
}

/// May this pointer be removed from the live object? A list on the way, or a scalar, has no key to remove.
pub fn remove_through_maps_only(pointer: &str, live: &Value) -> Result<(), String> {
    let mut value = live;
    let mut at = String::new();
    for key in tokens(pointer) {
        let Value::Object(map) = value else {
            let what = if value.is_array() { "a list" } else { "no map" };
            return Err(format!(
                "remove {pointer} does not go through maps only: {at} is {what}"
            ));
        };
        at = below(&at, &key);
        match map.get(&key) {
            Some(next) => value = next,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Container and image of every container, init and ephemeral too, of a pod, a pod template or a CronJob's.
/// A container without an image has the empty one, which no control takes for pinned.
pub fn images(object: &Value) -> Vec<(String, String)> {
    let pods = [
        "/spec",
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
    ];
    let lists = pods.iter().filter_map(|pod| get(object, pod));
    let containers = lists.flat_map(|pod| CONTAINER_LISTS.iter().flat_map(|list| elements(pod, list)));
    containers
        .map(|container| (text(container, "name"), text(container, "image")))
        .collect()
}

/// Is the image pinned by digest, so that nobody can move what it names?
pub fn pinned(image: &str) -> bool {
    digest(image).is_some()
}

/// The digest of a pinned image, `sha256:` included.
pub fn digest(image: &str) -> Option<&str> {
    let (repository, digest) = image.split_once('@')?;
    let hex = digest.strip_prefix("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && !repository.is_empty()).then_some(digest)
}

impl Target<'_> {
    fn called(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    fn pod_template(&self, what: &str) -> Result<&'static str, String> {
        pod_template_pointer(self.kind).ok_or_else(|| {
            format!(
                "{} has no pod template, so that {what} cannot be set",
                self.called()
            )
        })
    }
}

/// Sets images in `sent`, for containers that `known` (the live object, or the one to create) has.
fn assign_images(
    target: &Target<'_>,
    known: &Value,
    sent: &mut Value,
    images: &[(String, String)],
) -> Result<(), String> {
    if images.is_empty() {
        return Ok(());
    }
    let pod = format!("{}/spec", target.pod_template("images")?);
    let lists = CONTAINER_LISTS.map(|list| (list, names(known, &pod, list)));
    for (container, image) in images {
        let Some((list, order)) = lists
            .iter()
            .find(|(_, names)| names.iter().any(|name| name == container))
        else {
            let all: Vec<_> = lists
                .iter()
                .flat_map(|(_, names)| names)
                .map(String::as_str)
                .collect();
            return Err(format!(
                "container {container} is not in {}; it has {}",
                target.called(),
                if all.is_empty() {
                    "no containers".to_owned()
                } else {
                    all.join(", ")
                }
            ));
        };
        set_image(sent, &format!("{pod}/{list}"), container, image, order)?;
    }
    Ok(())
}

fn set_image(
    sent: &mut Value,
    pointer: &str,
    container: &str,
    image: &str,
    order: &[String],
) -> Result<(), String> {
    let stated = slot(sent, pointer)?;
    if stated.is_null() {
        *stated = json!([]);
    }
    let Value::Array(list) = stated else {
        return Err(format!("patch {pointer} is not a list"));
    };
    match list
        .iter_mut()
        .find(|element| element.get("name").and_then(Value::as_str) == Some(container))
    {
        Some(element) => element["image"] = json!(image),
        None => list.push(json!({"name": container, "image": image})),
    }
    // A strategic merge takes over the order in which the patch lists elements; another one would be a
    // change.
    list.sort_by_key(|element| order.iter().position(|name| *name == text(element, "name")));
    Ok(())
}

fn stamp(target: &Target<'_>, sent: &mut Value, restarted_for: Option<&str>) -> Result<(), String> {
    let Some(hash) = restarted_for else { return Ok(()) };
    let annotations = format!("{}/metadata/annotations", target.pod_template("restartOn")?);
    put(sent, &below(&annotations, RESTARTED_FOR), json!(hash))
}

fn put(object: &mut Value, pointer: &str, value: Value) -> Result<(), String> {
    *slot(object, pointer)? = value;
    Ok(())
}

/// The place a pointer names, with the maps on the way created; null where nothing was stated.
fn slot<'a>(object: &'a mut Value, pointer: &str) -> Result<&'a mut Value, String> {
    tokens(pointer).try_fold(object, |value, key| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        match value {
            Value::Object(map) => Ok(map.entry(key).or_insert(Value::Null)),
            _ => Err(format!(
                "patch states something that is no map on the way to {pointer}"
            )),
        }
    })
}

fn names(object: &Value, pod: &str, list: &str) -> Vec<String> {
    get(object, pod)
        .map(|pod| elements(pod, list).map(|element| text(element, "name")).collect())
        .unwrap_or_default()
}

fn elements<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    pod.get(list).and_then(Value::as_array).into_iter().flatten()
}

fn text(element: &Value, key: &str) -> String {
    element
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests;
