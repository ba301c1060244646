//! What a release changes on a target, as paths. Only what it states is ours ([`stated`]). A change is stored as a path through
//! maps, in which a whole list is one value, in the format of v0.1.0. It is compared and restored by element and leaf
//! ([`leaves`]), so that changes of other writers in the same list or map stay.

use serde_json::Value;

mod change;
pub mod keyed;
mod leaves;
mod lookup;
mod pointer;
mod restoring;
mod stating;
pub mod writers;

pub use change::FieldChange;
use leaves::{After, Leaf, Leaves};
pub use lookup::get;
use lookup::{child, keys};
pub use pointer::{below, tokens};
pub use restoring::restoration;
pub use stating::{stated, stated_anew, taken_away};

/// Every difference that counts, sorted by path. Identity, `status` and what the API server writes into
/// `metadata` do not count: they are never stated, and they cannot be restored.
pub fn difference(live: &Value, result: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    for key in keys(Some(live), Some(result)) {
        match key {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for key in ["annotations", "labels"] {
                    let (before, after) = (
                        child(live.get("metadata"), key),
                        child(result.get("metadata"), key),
                    );
                    compare(&format!("/metadata/{key}"), before, after, &mut changes);
                }
            }
            key => compare(&below("", key), live.get(key), result.get(key), &mut changes),
        }
    }
    // Escaping and the separator sort differently from the keys themselves.
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(Value::Object(_)), Some(Value::Object(_))) => {
            for key in keys(before, after) {
                compare(&below(path, key), child(before, key), child(after, key), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(FieldChange {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            after_digest: None,
        }),
    }
}

/// The changes of a second attempt, from the state before the first one (in `first`) to `result`. Changes of other writers in the
/// same lists and maps since then are not included. `second` are the changes from the present state.
#[must_use]
pub fn inherited(first: &[FieldChange], second: &[FieldChange], result: &Value) -> Vec<FieldChange> {
    let within = |path: &str, of: &str| {
        path.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
    };
    let mut changes: Vec<FieldChange> = first
        .iter()
        .map(|change| {
            let mut leaves = Leaves::of(std::slice::from_ref(change)).all;
            let again = Leaves::of(second).all.into_iter();
            leaves.extend(again.filter(|leaf| within(&leaf.path, &change.path)));
            let paths = leaves.iter().map(|leaf| leaf.path.as_str());
            FieldChange {
                path: change.path.clone(),
                before: change.before.clone(),
                after: restoring::laid_over(&change.path, change.before.as_ref(), paths, result),
                after_digest: None,
            }
        })
        .collect();
    let covered = |path: &str| {
        let mut known = first.iter();
        known.any(|c| within(path, &c.path) || within(&c.path, path))
    };
    changes.extend(second.iter().filter(|c| !covered(&c.path)).cloned());
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

/// Does every changed field still have its value from before the change? The error names those that do not.
///
/// # Errors
/// The paths that differ.
pub fn untouched(changes: &[FieldChange], live: &Value) -> Result<(), Vec<String>> {
    differing(changes, |leaf| leaf.is_before(live))
}

/// Do the fields that the release set still have the released value? The error names those that do not.
///
/// # Errors
/// The paths that differ.
pub fn stands(changes: &[FieldChange], live: &Value) -> Result<(), Vec<String>> {
    differing(changes, |leaf| leaf.is_after(live))
}

/// The changed fields that have neither their previous value nor the released one: another writer changed them. This includes the
/// fields of an element that another writer removed.
#[must_use]
pub fn strange(changes: &[FieldChange], live: &Value) -> Vec<Strange> {
    let leaves = Leaves::of(changes);
    let strange = leaves
        .all
        .iter()
        .filter(|leaf| !leaf.is_before(live) && !leaf.is_after(live));
    strange
        .map(|leaf| {
            let lists = [leaf.live(live), leaf.before].into_iter().flatten();
            Strange {
                path: leaf.path.clone(),
                whole_list: lists.into_iter().any(Value::is_array) || !has_its_element(live, &leaf.path),
            }
        })
        .collect()
}

/// A field that another writer changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strange {
    /// A JSON pointer in which an element of a list is named by its key, as in `containers[name=web]`.
    pub path: String,
    /// It is a list that counts as one value, or is part of an element that no longer exists: the changes of another writer cannot be
    /// separated from the previous content.
    pub whole_list: bool,
}

/// Whether the list elements on the path exist.
fn has_its_element(live: &Value, path: &str) -> bool {
    let ends = path.match_indices('/').skip(1).map(|(end, _)| &path[..end]);
    ends.filter(|above| above.ends_with(']'))
        .all(|above| get(live, above).is_some())
}

/// Whether the field at `path` was captured: it, or something above or below it, is among the changes.
#[must_use]
pub fn covers(changes: &[FieldChange], path: &str) -> bool {
    let within = |path: &str, of: &str| {
        path.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
    };
    let leaves = Leaves::of(changes);
    let mut paths = leaves.all.iter().map(|leaf| leaf.path.as_str());
    paths.any(|leaf| within(path, leaf) || within(leaf, path))
}

/// Whether at least one field has the released value, and had another value before.
#[must_use]
pub fn bears(changes: &[FieldChange], live: &Value) -> bool {
    let leaves = Leaves::of(changes);
    let mut brings = leaves.all.iter().filter(|leaf| leaf.brings());
    brings.any(|leaf| leaf.is_after(live) && !leaf.is_before(live))
}

/// The first differing field with its expected and its actual value, for messages: the value before the change if `back`, else the one
/// after it.
#[must_use]
pub fn wanted_and_found(
    changes: &[FieldChange],
    live: &Value,
    back: bool,
) -> Option<(String, String, String)> {
    let shown = |value: Option<&Value>| {
        let text = value.map_or("absent".to_owned(), Value::to_string);
        if text.chars().count() > 120 {
            format!("{}…", text.chars().take(120).collect::<String>())
        } else {
            text
        }
    };
    let leaves = Leaves::of(changes);
    let leaf = leaves.all.iter().find(|leaf| {
        if back {
            !leaf.is_before(live)
        } else {
            !leaf.is_after(live)
        }
    })?;
    let wanted = match (back, leaf.after) {
        (true, _) => shown(leaf.before),
        (false, After::Value(after)) => shown(after),
        (false, After::Digest(digest)) => digest.to_owned(),
    };
    Some((leaf.path.clone(), wanted, shown(leaf.live(live))))
}

fn differing(changes: &[FieldChange], is_so: impl Fn(&Leaf<'_>) -> bool) -> Result<(), Vec<String>> {
    let leaves = Leaves::of(changes);
    let paths = leaves.all.iter().filter(|leaf| !is_so(leaf));
    let paths: Vec<String> = paths.map(|leaf| leaf.path.clone()).collect();
    if paths.is_empty() { Ok(()) } else { Err(paths) }
}

#[cfg(test)]
mod tests;
