//! The patch that is sent to a target: the stated patch with images, removals and the restart stamp filled in.
//! `lint` checks what a component may state. Strategic merge is assumed, so only built-in kinds are supported.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::paths::{below, get, keyed, tokens};

mod error;
mod irreversible;
mod lint;
mod lists;
mod pods;
mod replacing;
mod target;
mod unions;
mod variables;

pub use crate::domain::image::{digest, pinned, same_image};
pub use error::Unsendable;
pub use irreversible::{irreversible, stated as states_irreversible};
pub use lint::{Finding, lint_both, lint_patch, lint_remove, lint_replace};
pub use lists::{by_key, position};
use pods::{CONTAINER_LISTS, names};
pub use pods::{images, pod_template_pointer, runs_as};
pub use target::{Target, names_in_full};
pub use variables::undefined;

/// The annotation that restarts pods so that they read a changed configuration.
pub const RESTARTED_FOR: &str = "signalbox.dev/restarted-for";

/// The limit in bytes of JSON for all patches of one Release.
pub const MOST_BYTES: usize = 256 * 1024;

/// An environment's override merged over the component's patch: maps are merged, everything else is replaced.
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

/// What a component states about a target that exists.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stated<'a> {
    /// With the environment's override merged over it. Absent if the component states neither.
    pub patch: Option<&'a Value>,
    /// `(container, image)`: the image to set on each container.
    pub images: &'a [(String, String)],
    /// Paths of fields and list elements to remove: JSON pointers in which `[name=web]` names an element.
    pub remove: &'a [String],
    /// Paths of maps in `patch` that replace the live map instead of being merged into it.
    pub replace: &'a [String],
    /// The value of the annotation [`RESTARTED_FOR`] on the pod template. Absent: it is not stated.
    pub restarted_for: Option<&'a str>,
}

/// The strategic merge patch that applies a release to an existing target. It has the resourceVersion that it was
/// computed from, and nothing for a removal that has already happened.
///
/// Besides the stated fields it has what `kubectl apply` would send: the order of lists whose elements have a key
/// (`$setElementOrder/…`), and null for fields that a stated field of the same union replaces.
///
/// # Errors
/// The target lacks something that the component refers to, or it was read without its version.
pub fn forward(target: &Target<'_>, live: &Value, stated: &Stated<'_>) -> Result<Value, Unsendable> {
    let resource_version = get(live, "/metadata/resourceVersion")
        .and_then(Value::as_str)
        .ok_or_else(|| Unsendable::NoVersion(target.called()))?;
    let mut sent = stated.patch.cloned().unwrap_or_else(|| json!({}));
    assign_images(target, live, &mut sent, stated.images)?;
    stamp(target, &mut sent, stated.restarted_for)?;
    for path in stated.replace {
        let missing = || Unsendable::ReplacesNothing(path.clone());
        let stated = find_mut(&mut sent, path).ok_or_else(missing)?;
        replacing::replace(stated, path, live)?;
    }
    for pointer in stated.remove {
        let path = by_key(pointer, live)?;
        // A null for an absent field would leave empty parents behind.
        if get(live, &path).is_some() {
            take_out(&mut sent, live, &path)?;
        }
    }
    unions::settle(&mut sent, live);
    lists::order(&mut sent, live);
    put(&mut sent, "/metadata/resourceVersion", json!(resource_version))?;
    Ok(sent)
}

/// What to do if the API server refuses a dry run in these words because a merge keeps fields that the patch does not state.
pub fn hint(refused: &str) -> &'static str {
    const CLASHES: [&str; 5] = [
        "may not be specified when",
        "may not have more than",
        "may not specify more than",
        "must be specified for",
        "merge key",
    ];
    if CLASHES.iter().any(|words| refused.contains(words)) {
        "; the merge keeps fields that patch does not state: list the other field or element in remove, or list the map in replace to replace it as a whole"
    } else {
        ""
    }
}

/// Null for a field, a directive for an element of a list.
fn take_out(sent: &mut Value, live: &Value, path: &str) -> Result<(), Unsendable> {
    let place = place(sent, Some(live), path)?;
    let last = tokens(path).last().unwrap_or_default();
    match (keyed::element(&last), place) {
        (Some(_), Value::Object(element)) if element.len() == 1 => {
            element.insert("$patch".to_owned(), json!("delete"));
            Ok(())
        }
        (Some(_), _) => Err(Unsendable::RemovesWhatIsSet(path.to_owned())),
        (None, place) => {
            *place = Value::Null;
            Ok(())
        }
    }
}

/// The object to create where the target is missing and the patch names it in full.
///
/// # Errors
/// The patch does not name it in full, or has no container for an image.
pub fn creation(
    target: &Target<'_>,
    patch: &Value,
    images: &[(String, String)],
    restarted_for: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> Result<Value, Unsendable> {
    if !names_in_full(target.api_version, target.kind, target.name, patch) {
        return Err(Unsendable::NotNamedInFull(target.called()));
    }
    let mut object = patch.clone();
    assign_images(target, patch, &mut object, images)?;
    stamp(target, &mut object, restarted_for)?;
    for (key, value) in labels {
        put(&mut object, &below("/metadata/labels", key), json!(value))?;
    }
    Ok(object)
}

/// Sets images in `sent`, for the containers of `known` (the live object, or the one to create).
fn assign_images(
    target: &Target<'_>,
    known: &Value,
    sent: &mut Value,
    images: &[(String, String)],
) -> Result<(), Unsendable> {
    if images.is_empty() {
        return Ok(());
    }
    let pod = format!("{}/spec", target.pod_template("images")?);
    let lists = CONTAINER_LISTS.map(|list| (list, names(known, &pod, list)));
    for (container, image) in images {
        let Some((list, _)) = lists
            .iter()
            .find(|(_, names)| names.iter().any(|name| name == container))
        else {
            let all: Vec<_> = lists
                .iter()
                .flat_map(|(_, names)| names)
                .map(String::as_str)
                .collect();
            return Err(Unsendable::NoContainer {
                container: container.clone(),
                target: target.called(),
                known: if all.is_empty() {
                    "no containers".to_owned()
                } else {
                    all.join(", ")
                },
            });
        };
        set_image(sent, &format!("{pod}/{list}"), container, image)?;
    }
    Ok(())
}

fn set_image(sent: &mut Value, pointer: &str, container: &str, image: &str) -> Result<(), Unsendable> {
    let stated = slot(sent, pointer)?;
    if stated.is_null() {
        *stated = json!([]);
    }
    let Value::Array(list) = stated else {
        return Err(Unsendable::NotAList(pointer.to_owned()));
    };
    match list
        .iter_mut()
        .find(|element| element.get("name").and_then(Value::as_str) == Some(container))
    {
        Some(element) => element["image"] = json!(image),
        None => list.push(json!({"name": container, "image": image})),
    }
    Ok(())
}

fn stamp(target: &Target<'_>, sent: &mut Value, restarted_for: Option<&str>) -> Result<(), Unsendable> {
    let Some(hash) = restarted_for else { return Ok(()) };
    let annotations = format!("{}/metadata/annotations", target.pod_template("restartOn")?);
    put(sent, &below(&annotations, RESTARTED_FOR), json!(hash))
}

fn put(object: &mut Value, pointer: &str, value: Value) -> Result<(), Unsendable> {
    *slot(object, pointer)? = value;
    Ok(())
}

/// The value at a pointer, with missing parent maps created; null if nothing was stated there.
fn slot<'a>(object: &'a mut Value, pointer: &str) -> Result<&'a mut Value, Unsendable> {
    place(object, None, pointer)
}

/// The same, also through elements of lists. An element that is not stated yet is added with its key only, written as in
/// `live`.
fn place<'a>(
    object: &'a mut Value,
    live: Option<&Value>,
    pointer: &str,
) -> Result<&'a mut Value, Unsendable> {
    let mut there = live;
    tokens(pointer).try_fold(object, |value, token| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        let Value::Object(map) = value else {
            return Err(Unsendable::NoMapOnTheWay(pointer.to_owned()));
        };
        there = there.and_then(|there| get(there, &below("", &token)));
        match keyed::element(&token) {
            Some((list, key, name)) => {
                let stated = map.entry(list).or_insert(Value::Null);
                element_place(stated, there, key, name).ok_or_else(|| Unsendable::NoListOnTheWay {
                    list: list.to_owned(),
                    pointer: pointer.to_owned(),
                })
            }
            None => Ok(map.entry(token).or_insert(Value::Null)),
        }
    })
}

fn element_place<'a>(
    stated: &'a mut Value,
    live: Option<&Value>,
    key: &str,
    name: &str,
) -> Option<&'a mut Value> {
    if stated.is_null() {
        *stated = json!([]);
    }
    let list = stated.as_array_mut()?;
    let at = keyed::position(list, key, name).unwrap_or(list.len());
    if at == list.len() {
        list.push(live.map_or_else(|| json!({ key: name }), |live| lists::key_alone(live, key)));
    }
    list.get_mut(at)
}

/// The value at a path, which may lead through elements of lists.
fn find_mut<'a>(object: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    tokens(path).try_fold(object, |value, token| match keyed::element(&token) {
        Some((list, key, name)) => {
            let list = value.get_mut(list)?.as_array_mut()?;
            let at = keyed::position(list, key, name)?;
            list.get_mut(at)
        }
        None => value.as_object_mut()?.get_mut(&token),
    })
}

#[cfg(test)]
mod tests;
