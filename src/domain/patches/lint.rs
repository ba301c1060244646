//! The rules for a component's `patch` and `remove`, as clauses that name the field (docs/reference.md, "Release"). CEL cannot look inside a
//! patch, so they are checked here. Checks judge what depends on the live objects.

use serde_json::{Number, Value, json};

use crate::domain::patches::lists;
use crate::domain::patches::pods::CONTAINER_LISTS;
use crate::domain::paths::{below, get, keyed, tokens};

const OURS: &str = "signalbox.dev/";
/// The API server reads numbers as doubles, which round integers beyond this one.
const GREATEST_INTEGER: u64 = 1 << 53;
/// Far deeper than any target. A much deeper patch could not even be parsed.
const MOST_DEPTH: usize = 64;
const REMOVABLE: [&str; 5] = [
    "/spec",
    "/data",
    "/binaryData",
    "/metadata/labels",
    "/metadata/annotations",
];

/// What is not allowed, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A JSON pointer into what was judged: the patch, or the list of removals.
    pub at: String,
    /// A clause, without a full stop: others compose it.
    pub sentence: String,
}

/// Everything in a stated patch that is not allowed.
pub fn lint_patch(api_version: &str, kind: &str, target_name: &str, patch: &Value) -> Vec<Finding> {
    let Value::Object(map) = patch else {
        return vec![finding("", "patch is not a map")];
    };
    let mut findings = Vec::new();
    for (key, wanted) in [("apiVersion", api_version), ("kind", kind)] {
        differs(&format!("/{key}"), map.get(key), wanted, &mut findings);
    }
    if map.contains_key("status") {
        findings.push(finding(
            "/status",
            "patch /status is not allowed: the cluster writes status",
        ));
    }
    match map.get("metadata") {
        None => {}
        Some(Value::Object(metadata)) => {
            for key in metadata
                .keys()
                .filter(|key| !["labels", "annotations", "name"].contains(&key.as_str()))
            {
                let at = below("/metadata", key);
                findings.push(finding(
                    &at,
                    format!("patch {at} is not allowed: in metadata only labels, annotations and name are"),
                ));
            }
            differs("/metadata/name", metadata.get("name"), target_name, &mut findings);
        }
        Some(_) => findings.push(finding("/metadata", "patch /metadata is not a map")),
    }
    walk("", patch, 0, &mut findings);
    findings
}

fn finding(at: &str, sentence: impl Into<String>) -> Finding {
    Finding {
        at: at.to_owned(),
        sentence: sentence.into(),
    }
}

fn differs(at: &str, stated: Option<&Value>, wanted: &str, findings: &mut Vec<Finding>) {
    if let Some(stated) = stated
        && stated.as_str() != Some(wanted)
    {
        findings.push(finding(
            at,
            format!("patch {at} is {stated}, but the target's is {wanted:?}"),
        ));
    }
}

/// What is not allowed at any depth.
fn walk(at: &str, value: &Value, depth: usize, findings: &mut Vec<Finding>) {
    if depth > MOST_DEPTH {
        let end = at.match_indices('/').nth(3).map_or(at.len(), |(end, _)| end);
        findings.push(finding(
            at,
            format!(
                "patch {}/… is nested more than {MOST_DEPTH} levels deep",
                &at[..end]
            ),
        ));
        return;
    }
    match value {
        Value::Null => findings.push(finding(
            at,
            format!("patch {at} is null; use remove to remove a field"),
        )),
        Value::Number(number) if beyond(number) => findings.push(finding(
            at,
            format!(
                "patch {at} is {number}, which the API server would round: integers beyond 2^53 are not exact; use a string"
            ),
        )),
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                walk(&format!("{at}/{index}"), element, depth + 1, findings);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let at = below(at, key);
                key_alone(&at, key, value, findings);
                walk(&at, value, depth + 1, findings);
            }
        }
        _ => {}
    }
}

fn key_alone(at: &str, key: &str, value: &Value, findings: &mut Vec<Finding>) {
    if key.starts_with('$') {
        findings.push(finding(
            at,
            format!("patch {at} is a directive; a patch states maps and values only"),
        ));
    }
    if ["labels", "annotations"].contains(&key) {
        for name in value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .filter(|n| n.starts_with(OURS))
        {
            let at = below(at, name);
            findings.push(finding(&at, format!("patch {at} is set by Signalbox only")));
        }
    }
    keyless(at, key, value, findings);
    // An image volume adds an image, like a container.
    if CONTAINER_LISTS.contains(&key) || key == "volumes" {
        for (index, element) in value.as_array().into_iter().flatten().enumerate() {
            if element.get("image").is_some() {
                findings.push(finding(
                    &format!("{at}/{index}/image"),
                    format!("patch {at}/{index}/image is not allowed: images are set by images only"),
                ));
            }
        }
    }
}

/// For an element without its key, the API server returns an internal error instead of a refusal.
fn keyless(at: &str, key: &str, value: &Value, findings: &mut Vec<Finding>) {
    // Ports have one of several keys.
    let Some(by) = keyed::merge_key(key, &[]).filter(|_| key != "ports") else {
        return;
    };
    for (index, element) in value.as_array().into_iter().flatten().enumerate() {
        if element.is_object() && keyed::identity(element, by).is_none() {
            let at = format!("{at}/{index}");
            let sentence =
                format!("patch {at} has no {by}, which is the key of the elements of {key}: state it");
            findings.push(finding(&at, sentence));
        }
    }
}

fn beyond(number: &Number) -> bool {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer.unsigned_abs() > GREATEST_INTEGER,
        // Above that, every double is an integer, even if it was written with a point or an exponent.
        (None, Some(double)) => double.abs() > GREATEST_INTEGER as f64,
        (None, None) => true,
    }
}

/// Everything that is wrong with the pointers of `remove`.
pub fn lint_remove(pointers: &[String]) -> Vec<Finding> {
    let mut findings: Vec<_> = pointers
        .iter()
        .enumerate()
        .filter_map(|(index, pointer)| Some(finding(&format!("/{index}"), refused("remove", pointer, &[])?)))
        .collect();
    for (index, pointer) in pointers.iter().enumerate() {
        for (other_index, other) in pointers.iter().enumerate() {
            if pointer == other && index < other_index {
                findings.push(finding(
                    &format!("/{other_index}"),
                    format!("remove {pointer} is listed twice"),
                ));
            } else if within(other, pointer) {
                findings.push(finding(
                    &format!("/{other_index}"),
                    format!("remove {other} lies within {pointer}, which is removed as a whole"),
                ));
            }
        }
    }
    findings
}

fn within(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.starts_with(['/', '[']))
}

fn refused(field: &str, pointer: &str, roots: &[&str]) -> Option<String> {
    if !is_pointer(pointer) {
        return Some(format!(
            "{field} {pointer:?} is not a JSON pointer (RFC 6901), such as /spec/minReadySeconds"
        ));
    }
    if !REMOVABLE.iter().any(|root| {
        pointer
            .strip_prefix(root)
            .is_some_and(|rest| rest.starts_with('/'))
    }) && !roots.contains(&pointer)
    {
        let allowed = REMOVABLE.join(", ");
        return Some(format!(
            "{field} {pointer} is not allowed: only fields below {allowed} are"
        ));
    }
    let keys: Vec<_> = tokens(pointer).collect();
    if keys.iter().any(|key| key.is_empty() || key.starts_with('$')) {
        return Some(format!("{field} {pointer} names an empty key or a directive"));
    }
    if let Some((list, key)) = keys.iter().find_map(|token| not_told_apart(token)) {
        return Some(format!(
            "{field} {pointer} names an element of {list} by {key}, which is not the key of that list: {}",
            match keyed::merge_key(list, &[]) {
                Some(key) => format!("write {list}[{key}=…]"),
                None => "state the whole list in patch".to_owned(),
            }
        ));
    }
    let ours = keys
        .windows(2)
        .any(|pair| ["labels", "annotations"].contains(&pair[0].as_str()) && pair[1].starts_with(OURS));
    ours.then(|| format!("{field} {pointer} is set by Signalbox only"))
}

/// The list and key of a token that names an element by a field that is not the key of that list.
fn not_told_apart(token: &str) -> Option<(&str, &str)> {
    let (list, key, name) = keyed::element(token)?;
    let known = keyed::merge_key(list, &[&[json!({ key: name })]]) == Some(key);
    (!known).then_some((list, key))
}

/// Everything that is wrong with the paths of `replace`: each must lead to a map that `patch` states.
pub fn lint_replace(patch: Option<&Value>, paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let at = format!("/{index}");
        let sentence = refused("replace", path, &["/data", "/binaryData"])
            .or_else(|| lists::position("replace", path))
            .or_else(|| not_a_stated_map(patch, path));
        if let Some(sentence) = sentence {
            findings.push(finding(&at, sentence));
        }
        if paths.iter().any(|other| within(path, other)) {
            let sentence = format!("replace {path} lies within another one, which is replaced as a whole");
            findings.push(finding(&at, sentence));
        }
    }
    findings
}

fn not_a_stated_map(patch: Option<&Value>, path: &str) -> Option<String> {
    match patch.and_then(|patch| get(patch, path)) {
        Some(Value::Object(_)) => None,
        Some(Value::Array(_)) => Some(format!(
            "replace {path} is a list: name its elements by their key, or remove some with remove"
        )),
        Some(_) => Some(format!(
            "replace {path} is a single value, which patch replaces when it states it"
        )),
        None => Some(format!(
            "replace {path} is not stated by patch: state the map that replaces the live one"
        )),
    }
}

/// RFC 6901, 3: a tilde is followed by 0 or 1.
fn is_pointer(pointer: &str) -> bool {
    pointer.starts_with('/')
        && pointer
            .split('~')
            .skip(1)
            .all(|rest| rest.starts_with(['0', '1']))
}

/// What `remove` removes although `patch` sets it, or something above or below it.
pub fn lint_both(patch: &Value, remove: &[String]) -> Vec<Finding> {
    let sets = |pointer: &String| {
        let ends = pointer.match_indices('/').skip(1).map(|(end, _)| &pointer[..end]);
        let scalar_above = ends
            .into_iter()
            .any(|above| get(patch, above).is_some_and(|value| !value.is_object()));
        scalar_above || get(patch, pointer).is_some()
    };
    remove
        .iter()
        .enumerate()
        .filter(|(_, pointer)| sets(pointer))
        .map(|(index, pointer)| {
            finding(
                &format!("/{index}"),
                format!("remove {pointer} removes what patch sets"),
            )
        })
        .collect()
}
