//! Lists whose elements Kubernetes identifies by a key, as a strategic merge does, and how a path names one of them:
//! `/spec/template/spec/containers[name=ledger]/env[name=URL]`. Within the brackets a `/` is written `~1` and a `~` is
//! written `~0`, as everywhere in a JSON pointer.
//!
//! The keys are those of `patchMergeKey` in k8s.io/api v0.37: from core/v1 and apps/v1, the lists of a pod template, a Service or a
//! ServiceAccount. Other lists (`args`, `tolerations`, `envFrom`) are one value.

use serde_json::Value;

use crate::domain::paths::pointer::escaped;

/// The merge key of the elements of a list; several if the list's name has several meanings.
const MERGE_KEYS: [(&str, &[&str]); 13] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("imagePullSecrets", &["name"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
    ("ports", &["containerPort", "port"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey"]),
];

/// The key that identifies the elements of `list` in each of `sides`: every element has it, and no two of one side share it.
/// None if Kubernetes has no key for a list of that name, or if the key is not unique: then the list is one value.
#[must_use]
pub fn merge_key(list: &str, sides: &[&[Value]]) -> Option<&'static str> {
    let (_, keys) = MERGE_KEYS.iter().find(|(name, _)| *name == list)?;
    let tells_apart = |key: &&&str| sides.iter().all(|side| unique(side, key));
    keys.iter().find(tells_apart).copied()
}

fn unique(list: &[Value], key: &str) -> bool {
    let identities: Option<Vec<String>> = list.iter().map(|element| identity(element, key)).collect();
    identities.is_some_and(|all| all.iter().enumerate().all(|(i, one)| !all[..i].contains(one)))
}

/// The value of the element's key, as a path has it.
#[must_use]
pub fn identity(element: &Value, key: &str) -> Option<String> {
    match element.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The element of `list` that has `value` as its `key`.
#[must_use]
pub fn find<'a>(list: &'a [Value], key: &str, value: &str) -> Option<&'a Value> {
    position(list, key, value).map(|at| &list[at])
}

/// The index of the element of `list` that has `value` as its `key`.
#[must_use]
pub fn position(list: &[Value], key: &str, value: &str) -> Option<usize> {
    list.iter()
        .position(|element| identity(element, key).as_deref() == Some(value))
}

/// `list[key=value]`, not escaped yet: one token of a path.
#[must_use]
pub fn token(list: &str, key: &str, value: &str) -> String {
    format!("{list}[{key}={value}]")
}

/// List, key and value of a token (already unescaped) that names an element; none if it names a key of a map.
#[must_use]
pub fn element(token: &str) -> Option<(&str, &str, &str)> {
    let (list, rest) = token.strip_suffix(']')?.split_once('[')?;
    let (key, value) = rest.split_once('=')?;
    (!list.is_empty() && !key.is_empty()).then_some((list, key, value))
}

/// The path of the element of the list at `list` that has `value` as its `key`.
#[must_use]
pub fn below(list: &str, key: &str, value: &str) -> String {
    format!("{list}[{key}={}]", escaped(value))
}
