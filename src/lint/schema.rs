//! What the API server says of an object of ours: strict fields, defaults, OpenAPI and CEL, in its order and its words.
//!
//! The definitions are generated from the types, as `crds/` is; their CEL rules are evaluated by `kube-cel`. There is no
//! stored object to compare with, so that rules about changes do not apply.

use std::cell::OnceCell;
use std::collections::HashMap;

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Map, Value, json};

use crate::api;
use crate::manifests::{field, pointer, token};

/// Of `ObjectMeta`, as far as anybody may state it.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
const NAME: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// All definitions, ready to be asked.
pub(super) struct Definitions {
    validator: Validator,
    kinds: HashMap<String, Definition>,
}

struct Definition {
    plural: String,
    namespaced: bool,
    schema: Value,
    /// Once it is asked for: most pipelines have Releases only, and compiling takes longer than judging.
    compiled: OnceCell<CompiledSchema>,
}

/// What the API server refuses, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A JSON pointer into the object.
    pub at: String,
    pub sentence: String,
    /// Nothing can be said of what contains such a value.
    blocks: bool,
}

/// An object as the API server would store it, as far as it would, and what it says of it.
pub(super) struct Judged {
    pub object: Value,
    pub refusals: Vec<Refusal>,
}

impl Definitions {
    pub fn new() -> Self {
        let kinds = api::crds().into_iter().filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let schema = json!(version.schema?.open_api_v3_schema?);
            let definition = Definition {
                plural: crd.spec.names.plural,
                namespaced: crd.spec.scope == "Namespaced",
                compiled: OnceCell::new(),
                schema,
            };
            Some((crd.spec.names.kind, definition))
        });
        Self {
            kinds: kinds.collect(),
            validator: Validator::new(),
        }
    }

    /// The kinds that there are, in the order of their names.
    pub fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
        kinds.sort_unstable();
        kinds
    }

    /// What the kind is called in requests, and in the rules of admission policies.
    pub fn plural(&self, kind: &str) -> Option<&str> {
        self.kinds.get(kind).map(|definition| definition.plural.as_str())
    }

    /// Judges `object` as one that is created; `None` where there is no such kind.
    pub fn judge(&self, kind: &str, object: &Value) -> Option<Judged> {
        let definition = self.kinds.get(kind)?;
        let mut refusals = Vec::new();
        let mut object = object.clone();
        // What status says in a manifest the API server drops before it looks.
        if let Some(map) = object.as_object_mut() {
            map.remove("status");
        }
        metadata(&mut object, definition.namespaced, &mut refusals);
        let schema = &definition.schema;
        let compiled = definition.compiled.get_or_init(|| compile_schema(schema));
        settle(schema, &mut object, "", &mut refusals);
        validate(schema, &object, "", &mut refusals);
        shorten(schema, &mut object);
        self.rules(schema, compiled, &object, &mut refusals);
        Some(Judged { object, refusals })
    }

    fn rules(&self, schema: &Value, compiled: &CompiledSchema, object: &Value, refusals: &mut Vec<Refusal>) {
        let Err(errors) = self.validator.validate_compiled(compiled, object, None) else {
            return;
        };
        let mut broken = Vec::new();
        for error in errors {
            let at = pointer(object, &error.field_path);
            // The API server asks no rule before the object has its form. Here those of healthy parts are asked, so that
            // a person sees all at once.
            let blocked = refusals
                .iter()
                .any(|r| r.blocks && (r.at == at || r.at.starts_with(&format!("{at}/"))));
            if blocked {
                continue;
            }
            let sentence = match error.kind {
                ErrorKind::ValidationFailure => {
                    let own = node(schema, &at).is_some_and(|node| states(node, &error.rule));
                    match object.pointer(&at) {
                        Some(value) if own && !(value.is_object() || value.is_array()) => {
                            format!("Invalid value: {value}: {}", error.message)
                        }
                        _ => format!("Invalid value: {}", error.message),
                    }
                }
                _ => format!("a rule could not be evaluated: {}", error.message),
            };
            broken.push(Refusal {
                at,
                sentence,
                blocks: false,
            });
        }
        // The library keeps its properties in no order.
        broken.sort_by(|a, b| a.at.cmp(&b.at));
        refusals.extend(broken);
    }
}

fn states(node: &Value, rule: &str) -> bool {
    let rules = node["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().any(|stated| stated["rule"] == rule)
}

/// The schema of what stands at `at`.
fn node<'a>(schema: &'a Value, at: &str) -> Option<&'a Value> {
    at.split('/').skip(1).try_fold(schema, |schema, token| {
        let key = token.replace("~1", "/").replace("~0", "~");
        let property = schema["properties"].get(&key);
        property
            .or_else(|| schema.get("items"))
            .or_else(|| schema.get("additionalProperties"))
    })
}

fn refuse(refusals: &mut Vec<Refusal>, at: &str, sentence: impl Into<String>) {
    refusals.push(Refusal {
        at: at.to_owned(),
        sentence: sentence.into(),
        blocks: false,
    });
}

fn block(refusals: &mut Vec<Refusal>, at: &str, sentence: impl Into<String>) {
    refusals.push(Refusal {
        at: at.to_owned(),
        sentence: sentence.into(),
        blocks: true,
    });
}

// ---------------------------------------------------------------------------------------------------------------

fn metadata(object: &mut Value, namespaced: bool, refusals: &mut Vec<Refusal>) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let mut metadata = match map.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        None | Some(Value::Null) => Map::new(),
        Some(other) => {
            mistyped(&other, "object", "/metadata", "metadata", refusals);
            Map::new()
        }
    };
    metadata.retain(|key, value| {
        let at = format!("/metadata/{}", token(key));
        if !METADATA.contains(&key.as_str()) {
            unknown(
                &at,
                &format!("metadata.{key}"),
                key,
                METADATA.into_iter(),
                refusals,
            );
            return false;
        }
        !value.is_null()
    });
    for key in ["labels", "annotations"] {
        texts(&mut metadata, key, refusals);
    }
    for key in ["name", "generateName", "namespace"] {
        if let Some(value) = metadata.get(key).filter(|value| !value.is_string()) {
            let (at, field) = (format!("/metadata/{key}"), format!("metadata.{key}"));
            mistyped(value, "string", &at, &field, refusals);
            metadata.remove(key);
        }
    }
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    let refused = refusals.iter().any(|r| r.at == "/metadata/name");
    match (text("name"), text("generateName")) {
        ("", "") if !refused => {
            let sentence = "Required value: name or generateName is required";
            refuse(refusals, "/metadata/name", sentence);
        }
        (name, _) if !name.is_empty() && !subdomain(name) => {
            refuse(
                refusals,
                "/metadata/name",
                format!("Invalid value: {name:?}: {NAME}"),
            );
        }
        _ => {}
    }
    if !namespaced && !text("namespace").is_empty() {
        refuse(
            refusals,
            "/metadata/namespace",
            "Forbidden: not allowed on this type",
        );
    }
    map.insert("metadata".to_owned(), Value::Object(metadata));
}

fn texts(metadata: &mut Map<String, Value>, key: &str, refusals: &mut Vec<Refusal>) {
    let Some(stated) = metadata.get_mut(key) else {
        return;
    };
    let Value::Object(stated) = stated else {
        let (at, field) = (format!("/metadata/{key}"), format!("metadata.{key}"));
        mistyped(stated, "object", &at, &field, refusals);
        metadata.remove(key);
        return;
    };
    stated.retain(|name, value| {
        let at = format!("/metadata/{key}/{}", token(name));
        let Value::String(text) = value else {
            if !value.is_null() {
                mistyped(value, "string", &at, &format!("metadata.{key}.{name}"), refusals);
            }
            return false;
        };
        if key == "labels" && !label(text) {
            refuse(refusals, &at, format!("Invalid value: {text:?}: {LABEL}"));
        }
        true
    });
}

fn subdomain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 253
        && name.split('.').all(|part| {
            !part.is_empty() && part.chars().all(plain) && !part.starts_with('-') && !part.ends_with('-')
        })
}

fn label(text: &str) -> bool {
    let end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && end(text.chars().next())
        && end(text.chars().next_back())
}

// ---------------------------------------------------------------------------------------------------------------

/// Takes out what the schema does not know, as a refusal each, and what is null; fills in defaults.
fn settle(schema: &Value, value: &mut Value, at: &str, refusals: &mut Vec<Refusal>) {
    match value {
        Value::Object(map) => {
            if let Some(properties) = schema["properties"].as_object() {
                let preserves = schema["x-kubernetes-preserve-unknown-fields"] == true;
                let root = |key: &str| at.is_empty() && ["apiVersion", "kind", "metadata"].contains(&key);
                let whole = Value::Null;
                map.retain(|key, value| {
                    if root(key) || preserves {
                        return true;
                    }
                    if !properties.contains_key(key) {
                        let at = format!("{at}/{}", token(key));
                        let called = field(&whole, &at);
                        let known = properties.keys().map(String::as_str);
                        unknown(&at, &dotted(&called), key, known, refusals);
                        return false;
                    }
                    !value.is_null()
                });
                for (key, property) in properties {
                    if let Some(default) = property.get("default") {
                        map.entry(key.clone()).or_insert_with(|| default.clone());
                    }
                    if let Some(inner) = map.get_mut(key) {
                        settle(property, inner, &format!("{at}/{}", token(key)), refusals);
                    }
                }
            } else if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
                for (key, inner) in map {
                    settle(values, inner, &format!("{at}/{}", token(key)), refusals);
                }
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter_mut().enumerate() {
                settle(&schema["items"], inner, &format!("{at}/{index}"), refusals);
            }
        }
        _ => {}
    }
}

/// Without the object at hand indices look like keys; the API server writes them in brackets.
fn dotted(called: &str) -> String {
    let mut text = String::new();
    for part in called.split('.') {
        if !text.is_empty() && !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(part);
        }
    }
    text
}

fn unknown<'a>(
    at: &str,
    called: &str,
    key: &str,
    known: impl Iterator<Item = &'a str>,
    refusals: &mut Vec<Refusal>,
) {
    let near = known
        .map(|name| (distance(&name.to_lowercase(), &key.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len());
    let hint = near.map_or(String::new(), |(_, name)| format!("; did you mean {name}?"));
    refuse(refusals, at, format!("unknown field \"{called}\"{hint}"));
}

/// How many letters have to be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

// ---------------------------------------------------------------------------------------------------------------

/// Takes away what a list has too much of, once that has been refused: rules are made for lists of the length that is allowed,
/// and take their time over longer ones. The API server does not ask them at all then.
fn shorten(schema: &Value, value: &mut Value) {
    match value {
        Value::Array(list) => {
            if let Some(most) = schema["maxItems"].as_u64() {
                list.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            }
            list.iter_mut().for_each(|inner| shorten(&schema["items"], inner));
        }
        Value::Object(map) => {
            for (key, inner) in map {
                let property = schema["properties"].get(key);
                if let Some(property) = property.or_else(|| schema.get("additionalProperties")) {
                    shorten(property, inner);
                }
            }
        }
        _ => {}
    }
}

fn validate(schema: &Value, value: &Value, at: &str, refusals: &mut Vec<Refusal>) {
    let called = || dotted(&field(&Value::Null, at));
    if let Some(wanted) = schema["type"].as_str()
        && !is(value, wanted)
    {
        mistyped(value, wanted, at, &called(), refusals);
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let sentence = format!(
            "Unsupported value: {value}: supported values: {}",
            allowed.join(", ")
        );
        block(refusals, at, sentence);
        return;
    }
    match value {
        Value::String(text) => string(schema, text, at, &called, refusals),
        Value::Number(number) => {
            for (bound, word) in [("minimum", "greater"), ("maximum", "less")] {
                let (Some(limit), Some(is)) = (schema[bound].as_f64(), number.as_f64()) else {
                    continue;
                };
                if (bound == "minimum" && is < limit) || (bound == "maximum" && is > limit) {
                    let sentence = format!(
                        "Invalid value: {number}: {} in body should be {word} than or equal to {limit}",
                        called()
                    );
                    refuse(refusals, at, sentence);
                }
            }
        }
        Value::Array(list) => array(schema, list, at, &called, refusals),
        Value::Object(map) => object(schema, map, at, refusals),
        Value::Null | Value::Bool(_) => {}
    }
}

fn string(schema: &Value, text: &str, at: &str, called: &dyn Fn() -> String, refusals: &mut Vec<Refusal>) {
    let characters = text.chars().count() as u64;
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| characters > *most) {
        let sentence = format!("Too long: may not be more than {most} bytes");
        block(refusals, at, sentence);
    }
    if let Some(least) = schema["minLength"].as_u64().filter(|least| characters < *least) {
        let sentence = format!(
            "Invalid value: {text:?}: {} in body should be at least {least} chars long",
            called()
        );
        refuse(refusals, at, sentence);
    }
    if schema["format"] == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
        let sentence = format!(
            "Invalid value: {text:?}: {} in body must be of type date-time: {text:?}",
            called()
        );
        block(refusals, at, sentence);
    }
}

fn array(schema: &Value, list: &[Value], at: &str, called: &dyn Fn() -> String, refusals: &mut Vec<Refusal>) {
    let length = list.len() as u64;
    if let Some(most) = schema["maxItems"].as_u64().filter(|most| length > *most) {
        block(
            refusals,
            at,
            format!("Too many: {length}: must have at most {most} items"),
        );
    }
    if let Some(least) = schema["minItems"].as_u64().filter(|least| length < *least) {
        let sentence = format!(
            "Invalid value: {length}: {} in body should have at least {least} items",
            called()
        );
        refuse(refusals, at, sentence);
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    let identity = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(item.clone()),
        Some("map") => {
            let keys = keys?.iter().filter_map(Value::as_str);
            let named: Map<String, Value> = keys
                .filter_map(|key| Some((key.to_owned(), item.get(key)?.clone())))
                .collect();
            (!named.is_empty()).then_some(Value::Object(named))
        }
        _ => None,
    };
    let mut seen = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let at = format!("{at}/{index}");
        validate(&schema["items"], item, &at, refusals);
        if let Some(identity) = identity(item) {
            if seen.contains(&identity) {
                refuse(refusals, &at, format!("Duplicate value: {identity}"));
            }
            seen.push(identity);
        }
    }
}

fn object(schema: &Value, map: &Map<String, Value>, at: &str, refusals: &mut Vec<Refusal>) {
    let length = map.len() as u64;
    if let Some(most) = schema["maxProperties"].as_u64().filter(|most| length > *most) {
        block(
            refusals,
            at,
            format!("Too many: {length}: must have at most {most} items"),
        );
    }
    let required = schema["required"].as_array();
    for key in required.into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            block(refusals, &format!("{at}/{}", token(key)), "Required value");
        }
    }
    let properties = schema["properties"].as_object();
    let others = schema.get("additionalProperties").filter(|v| v.is_object());
    for (key, inner) in map {
        let known = properties.and_then(|properties| properties.get(key)).or(others);
        if let Some(schema) = known {
            validate(schema, inner, &format!("{at}/{}", token(key)), refusals);
        }
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match wanted {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        // JSON knows one kind of number: 1.0 is an integer too.
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        _ => true,
    }
}

fn mistyped(value: &Value, wanted: &str, at: &str, called: &str, refusals: &mut Vec<Refusal>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    // YAML takes `on`, `2026.11` and the like for what they are not meant to be.
    let hint = if wanted == "string" && (value.is_boolean() || value.is_number()) {
        "; put it in quotes"
    } else {
        ""
    };
    let sentence =
        format!("Invalid value: {kind:?}: {called} in body must be of type {wanted}: {kind:?}{hint}");
    block(refusals, at, sentence);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn release() -> Value {
        json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
            "metadata": { "name": "payments-2026.11.1", "namespace": "payments" },
            "spec": {
                "product": "payments", "version": "2026.11.1", "requestedBy": "alice@example.com", "change": {},
                "environments": ["sit", "uat"],
                "components": [
                    {
                        "name": "config", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger" },
                        "patch": { "data": { "A": "b" } },
                    },
                    {
                        "name": "ledger", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
                        "images": [{ "container": "ledger", "image": "ledger:1" }],
                        "after": ["config"], "restartOn": ["config"],
                    },
                ],
            },
        })
    }

    fn environment() -> Value {
        json!({
            "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment",
            "metadata": { "name": "production" },
            "spec": { "stage": "Production", "namespace": "{namespace}-prod" },
        })
    }

    /// `field: sentence` of each refusal.
    fn said(mut object: Value, changes: &[(&str, Value)]) -> Vec<String> {
        for (at, value) in changes {
            let (above, key) = at.rsplit_once('/').unwrap();
            let above = object.pointer_mut(above).expect(at);
            match (above, value) {
                (Value::Object(map), Value::String(gone)) if gone == "(absent)" => drop(map.remove(key)),
                (Value::Array(list), value) => match key.parse::<usize>() {
                    Ok(index) => list[index] = value.clone(),
                    Err(_) => list.push(value.clone()),
                },
                (above, value) => above[key] = value.clone(),
            }
        }
        thread_local! {
            static DEFINITIONS: Definitions = Definitions::new();
        }
        let kind = object["kind"].as_str().unwrap().to_owned();
        let judged = DEFINITIONS.with(|definitions| definitions.judge(&kind, &object).unwrap());
        let refusals = judged.refusals.iter();
        refusals
            .map(|r| format!("{}: {}", field(&object, &r.at), r.sentence))
            .collect()
    }

    fn refused(object: &Value, at: &str, value: Value, sentence: &str) {
        let said = said(object.clone(), &[(at, value)]);
        assert!(
            said.len() == 1 && said[0].contains(sentence),
            "wanted: {sentence}\nsaid: {said:#?}"
        );
    }

    #[test]
    fn what_the_api_server_accepts_is_accepted() {
        assert_eq!(said(release(), &[]), Vec::<String>::new());
        assert_eq!(said(environment(), &[]), Vec::<String>::new());
        for (at, value) in [
            ("/spec/hold", Value::Null),
            ("/spec/line", Value::Null),
            ("/spec/backoutPlan", json!({})),
            ("/spec/version", json!("1.4.0-rc.1")),
            ("/status", json!({ "anything": "at all" })),
            ("/spec/components/0/patch", json!({ "any": [{ "thing": 1.5 }] })),
        ] {
            assert_eq!(said(release(), &[(at, value)]), Vec::<String>::new(), "{at}");
        }
        for (at, value) in [
            ("/spec/namespace", json!("a-{namespace}-b")),
            (
                "/spec/releaseNamespaces",
                json!({ "matchLabels": { "signalbox.dev/tenant": "true" } }),
            ),
            (
                "/spec/gates",
                json!([{ "name": "smoke", "job": { "template": "smoke-test" } }]),
            ),
            (
                "/spec/windows",
                json!([
                    { "name": "t", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London" },
                    { "name": "y", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2027-01-04T00:00:00Z" },
                ]),
            ),
        ] {
            assert_eq!(said(environment(), &[(at, value)]), Vec::<String>::new(), "{at}");
        }
    }

    /// The sentences of the API server's own tests.
    #[test]
    fn a_release_is_refused_in_the_words_of_the_api_server() {
        for version in ["v1", "1.", "1.2.3.4.5.6.7", "1.0 ", "latest", "1-"] {
            let sentence = format!(
                "spec.version: Invalid value: {version:?}: must be dotted numbers with an optional pre-release, like 2026.11.1"
            );
            refused(&release(), "/spec/version", json!(version), &sentence);
        }
        for duration in ["0s", "721h", "10", "1d", "5m1h", "-5m", ""] {
            let sentence = "must be a duration from 1s to 720h, like 90s, 10m or 1h30m";
            let at = "/spec/components/1/readyWithin";
            assert!(
                said(release(), &[(at, json!(duration))])
                    .iter()
                    .any(|said| said.contains(sentence)),
                "{duration}"
            );
        }
        let config = release()["spec"]["components"][0].clone();
        let long = |n: usize| json!("x".repeat(n));
        let many = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>();
        for (at, value, sentence) in [
            (
                "/spec/product",
                json!("pay ments"),
                r#"spec.product: Invalid value: "pay ments": must be letters, digits"#,
            ),
            (
                "/spec/line",
                json!("-main"),
                r#"spec.line: Invalid value: "-main": must be letters, digits"#,
            ),
            (
                "/spec/components/1/after",
                json!(["nobody"]),
                "spec.components: Invalid value: after may only name components that stand earlier in the list",
            ),
            (
                "/spec/components/1/restartOn",
                json!(["ledger"]),
                "spec.components: Invalid value: restartOn may only name components that stand earlier",
            ),
            (
                "/spec/components/-",
                config,
                r#"spec.components[2]: Duplicate value: {"name":"config"}"#,
            ),
            (
                "/spec/environments",
                json!(["sit", "sit"]),
                r#"spec.environments[1]: Duplicate value: "sit""#,
            ),
            (
                "/spec/environments",
                json!([]),
                "spec.environments: Invalid value: 0: spec.environments in body should have at least 1 items",
            ),
            (
                "/spec/environments",
                json!(many(9)),
                "spec.environments: Too many: 9: must have at most 8 items",
            ),
            (
                "/spec/schedule",
                json!([{ "environment": "sit" }, { "environment": "sit" }]),
                r#"spec.schedule[1]: Duplicate value: {"environment":"sit"}"#,
            ),
            (
                "/spec/components/0/patch",
                json!("(absent)"),
                "spec.components[0]: Invalid value: a component must say what changes: patch, images, remove, overrides or restartOn",
            ),
            (
                "/spec/schedule",
                json!([{ "environment": "sit", "start": "2026-11-24T20:00:00Z", "end": "2026-11-24T18:00:00Z" }]),
                "spec.schedule[0]: Invalid value: schedule: start must be before end",
            ),
            (
                "/spec/schedule",
                json!([{ "environment": "sit", "start": "tomorrow" }]),
                r#"spec.schedule[0].start: Invalid value: "tomorrow": spec.schedule[0].start in body must be of type date-time: "tomorrow""#,
            ),
            (
                "/spec/components/0/remove",
                json!(many(33)),
                "spec.components[0].remove: Too many: 33",
            ),
            (
                "/spec/product",
                long(64),
                "spec.product: Too long: may not be more than 63 bytes",
            ),
            ("/spec/product", json!("(absent)"), "spec.product: Required value"),
            (
                "/spec/change",
                json!({ "reason": "x".repeat(5_000) }),
                "spec.change.reason: Too long: may not be more than",
            ),
            (
                "/spec/change",
                json!({ "model": "Emergency" }),
                r#"spec.change.model: Unsupported value: "Emergency": supported values: "Normal""#,
            ),
            (
                "/spec/version",
                json!(2026.11),
                r#"spec.version: Invalid value: "number": spec.version in body must be of type string: "number"; put it in quotes"#,
            ),
            (
                "/spec/environments",
                json!("sit"),
                r#"spec.environments: Invalid value: "string": spec.environments in body must be of type array: "string""#,
            ),
            (
                "/spec/enviroments",
                json!(["sit"]),
                r#"spec.enviroments: unknown field "spec.enviroments"; did you mean environments?"#,
            ),
            (
                "/spec/components/1/images/0/tag",
                json!("1"),
                r#"spec.components[1].images[0].tag: unknown field "spec.components[1].images[0].tag""#,
            ),
            ("/data", json!({}), r#"data: unknown field "data""#),
            (
                "/metadata/labes",
                json!({}),
                r#"metadata.labes: unknown field "metadata.labes"; did you mean labels?"#,
            ),
            (
                "/metadata/name",
                json!("(absent)"),
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                "/metadata/name",
                json!("Payments"),
                r#"metadata.name: Invalid value: "Payments": a lowercase RFC 1123 subdomain"#,
            ),
            (
                "/metadata/labels",
                json!({ "a": true }),
                r#"metadata.labels.a: Invalid value: "boolean""#,
            ),
            (
                "/metadata/labels",
                json!({ "a": "b c" }),
                r#"metadata.labels.a: Invalid value: "b c": a valid label"#,
            ),
        ] {
            refused(&release(), at, value, sentence);
        }
    }

    #[test]
    fn an_environment_is_refused_in_the_words_of_the_api_server() {
        let soak = json!({ "environment": "uat", "duration": "24h" });
        let recurring = |over: Value| {
            let mut window = json!({ "name": "t", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London" });
            for (key, value) in over.as_object().unwrap() {
                window[key] = value.clone();
            }
            let window = window.as_object().unwrap().clone();
            let window: Map<String, Value> = window.into_iter().filter(|(_, v)| !v.is_null()).collect();
            json!([window])
        };
        let either = "spec.windows[0]: Invalid value: a window has either schedule, duration and timeZone, or from and to";
        for (at, value, sentence) in [
            (
                "/spec/namespace",
                json!("shared"),
                "spec: Invalid value: releaseNamespaces is required where namespace is a literal",
            ),
            (
                "/spec/namespace",
                json!("-{namespace}"),
                "spec.namespace: Invalid value: namespace must be a DNS label, or one {namespace} with letters, digits and dashes",
            ),
            (
                "/spec/gates",
                json!([{ "name": "both", "soak": soak, "job": { "template": "smoke" } }]),
                "spec.gates[0]: Invalid value: a gate has exactly one of approval, soak, expression and job",
            ),
            (
                "/spec/gates",
                json!([{ "name": "none" }]),
                "spec.gates[0]: Invalid value: a gate has exactly one of",
            ),
            (
                "/spec/gates",
                json!([{ "name": "Board", "soak": soak }]),
                r#"spec.gates[0].name: Invalid value: "Board": must be lower-case letters"#,
            ),
            (
                "/spec/gates",
                json!([{ "name": "board", "approval": { "role": "*" } }]),
                r#"spec.gates[0].approval.role: Invalid value: "*": must be lower-case letters"#,
            ),
            (
                "/spec/gates",
                json!([{ "name": "board", "approval": { "role": "b", "minimum": 0 } }]),
                "spec.gates[0].approval.minimum: Invalid value: 0: spec.gates[0].approval.minimum in body should be greater than or equal to 1",
            ),
            (
                "/spec/gates",
                json!([{ "name": "s", "soak": { "environment": "uat", "duration": "3d" } }]),
                r#"spec.gates[0].soak.duration: Invalid value: "3d": must be a duration from 1s to 720h"#,
            ),
            (
                "/spec/gates",
                json!([{ "name": "s", "soak": soak }, { "name": "s", "soak": soak }]),
                r#"spec.gates[1]: Duplicate value: {"name":"s"}"#,
            ),
            ("/spec/windows", recurring(json!({ "timeZone": null })), either),
            (
                "/spec/windows",
                recurring(json!({ "to": "2027-01-04T00:00:00Z" })),
                either,
            ),
            (
                "/spec/windows",
                recurring(json!({ "schedule": "0 18 * *" })),
                r#"spec.windows[0].schedule: Invalid value: "0 18 * *": must be five fields of cron"#,
            ),
            (
                "/spec/windows",
                json!([{ "name": "y", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2026-12-18T00:00:00Z" }]),
                "spec.windows[0]: Invalid value: a window's from must be before its to",
            ),
            (
                "/spec/allowedKinds",
                json!([{ "apiVersion": "v1", "kind": "Secret" }]),
                "spec.allowedKinds[0]: Invalid value: Secrets, RBAC, ServiceAccounts",
            ),
            (
                "/spec/controls",
                json!([{ "name": "TargetsAllowed", "enforcement": "Off" }]),
                "spec.controls[0]: Invalid value: TargetsAllowed is always Required",
            ),
            (
                "/spec/controls",
                json!([{ "name": "DigestPinned", "enforcement": false }]),
                r#"spec.controls[0].enforcement: Invalid value: "boolean": spec.controls[0].enforcement in body must be of type string: "boolean"; put it in quotes"#,
            ),
            (
                "/spec/stage",
                json!("Prod"),
                r#"spec.stage: Unsupported value: "Prod": supported values: "Development""#,
            ),
            (
                "/metadata/namespace",
                json!("payments"),
                "metadata.namespace: Forbidden: not allowed on this type",
            ),
        ] {
            refused(&environment(), at, value, sentence);
        }
        let name = "spec.gates[0].name: Invalid value: a gate cannot have the name of a control";
        let gate = json!([{ "name": "WindowOpen", "soak": soak }]);
        assert!(
            said(environment(), &[("/spec/gates", gate)])
                .iter()
                .any(|said| said == name)
        );
    }

    #[test]
    fn what_has_no_form_does_not_hide_what_is_wrong_elsewhere() {
        let said = said(
            release(),
            &[
                ("/spec/version", json!(1)),
                ("/spec/components/0/target/name", json!("Ledger")),
                ("/spec/components/1/after", json!(7)),
            ],
        );
        let fields: Vec<_> = said.iter().map(|s| s.split(": ").next().unwrap()).collect();
        // Whether `after` names earlier components cannot be asked of a number.
        assert_eq!(
            fields,
            [
                "spec.components[1].after",
                "spec.version",
                "spec.components[0].target.name"
            ],
            "{said:#?}"
        );
    }

    #[test]
    fn defaults_are_filled_in_and_what_is_unknown_taken_out() {
        let mut object = release();
        object["spec"]["more"] = json!(1);
        object["spec"]["hold"] = Value::Null;
        let judged = Definitions::new().judge("Release", &object).unwrap();
        let spec = &judged.object["spec"];
        assert_eq!(spec["line"], "main");
        assert_eq!(spec["components"][0]["readyWithin"], "10m");
        assert_eq!(spec["review"]["dueWithin"], "120h");
        assert!(spec.get("more").is_none() && spec.get("hold").is_none());
        let typed: Result<crate::api::Release, _> = serde_json::from_value(judged.object);
        assert!(typed.is_ok(), "{typed:?}");
    }
}
