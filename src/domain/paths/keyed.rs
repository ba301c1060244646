//! Lists whose elements Kubernetes tells apart by a key, as a strategic merge does, and how a path names one of them:
//! `/spec/template/spec/containers[name=ledger]/env[name=URL]`. Within the brackets a `/` is written `~1` and a `~` is
//! written `~0`, as everywhere in a JSON pointer.
//!
//! The keys are those of `patchMergeKey` in k8s.io/api v0.37: of core/v1 and apps/v1, what a pod template, a Service or a
//! ServiceAccount has. Lists that are not named here (`args`, `tolerations`, `envFrom`) are one value.

use serde_json::Value;

use crate::domain::paths::pointer::escaped;

/// The merge key of the elements of the list `list`, where it has one; several where the list's name has several meanings.
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

/// The key that tells the elements of `list` apart, in every one of `sides`: each has it, and no two of one side share it.
/// None where Kubernetes has no key for a list of that name, or where it does not tell them apart: then the list is one
/// value.
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

/// What the element's key says, as it stands in a path.
#[must_use]
pub fn identity(element: &Value, key: &str) -> Option<String> {
    match element.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The element of `list` that bears `value` as its `key`.
#[must_use]
pub fn find<'a>(list: &'a [Value], key: &str, value: &str) -> Option<&'a Value> {
    position(list, key, value).map(|at| &list[at])
}

/// Where the element of `list` that bears `value` as its `key` stands.
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

/// List, key and value of a token (already unescaped) that names an element; none where it names a key of a map.
#[must_use]
pub fn element(token: &str) -> Option<(&str, &str, &str)> {
    let (list, rest) = token.strip_suffix(']')?.split_once('[')?;
    let (key, value) = rest.split_once('=')?;
    (!list.is_empty() && !key.is_empty()).then_some((list, key, value))
}

/// The path of the element of the list at `list` that bears `value` as its `key`.
#[must_use]
pub fn below(list: &str, key: &str, value: &str) -> String {
    format!("{list}[{key}={}]", escaped(value))
}
