//! What the API server reports about an object of ours: strict fields, defaults, OpenAPI and CEL, in its order and its words.
//!
//! The definitions are generated from the types, as `crds/` is; their CEL rules are evaluated by `kube-cel`. There is no
//! stored object to compare with, so rules about changes do not apply.

use std::cell::OnceCell;
use std::collections::HashMap;

use jiff::Timestamp;
use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Map, Value, json};

use crate::api::{Kind, crds};
use crate::lint::date_time;
use crate::manifests::{field, pointer, token};

/// The fields of `ObjectMeta` that a manifest may state.
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

/// All definitions, ready for validation.
pub(crate) struct Definitions {
    validator: Validator,
    kinds: HashMap<Kind, Definition>,
}

struct Definition {
    namespaced: bool,
    schema: Value,
    /// Compiled on first use: most pipelines have Releases only, and compiling takes longer than validating.
    compiled: OnceCell<CompiledSchema>,
}

/// What the API server refuses, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A JSON pointer into the object.
    pub at: String,
    /// In the words of the API server where it reports the same, without the field.
    pub sentence: String,
    /// Rules about a parent of this value cannot be evaluated.
    blocks: bool,
}

/// An object as the API server would store it, and what the API server would refuse in it.
pub(crate) struct Judged {
    /// With defaults, and without unknown fields and status.
    pub object: Value,
    /// Empty if the API server would accept the object.
    pub refusals: Vec<Refusal>,
}

impl Definitions {
    /// Those of [`crds`].
    pub fn new() -> Self {
        let kinds = crds().into_iter().filter_map(|crd| {
            let version = crd.spec.versions.into_iter().next()?;
            let schema = json!(version.schema?.open_api_v3_schema?);
            let definition = Definition {
                namespaced: crd.spec.scope == "Namespaced",
                compiled: OnceCell::new(),
                schema,
            };
            Some((Kind::named(&crd.spec.names.kind)?, definition))
        });
        Self {
            kinds: kinds.collect(),
            validator: Validator::new(),
        }
    }

    /// Validates the creation of `object`; `None` if the kind has no definition.
    pub fn judge(&self, kind: Kind, object: &Value) -> Option<Judged> {
        let definition = self.kinds.get(&kind)?;
        let mut refusals = Vec::new();
        let mut object = object.clone();
        // The API server drops the status of a manifest before validation.
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
        let mut compared = object.clone();
        canonical(schema, &mut compared);
        let Err(errors) = self.validator.validate_compiled(compiled, &compared, None) else {
            return;
        };
        let mut broken = Vec::new();
        for error in errors {
            let at = pointer(object, &error.field_path);
            // The API server evaluates no rule before the object fits its schema. Here the rules of valid parts are evaluated, so that
            // the user sees all problems together.
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
                _ => format!("A rule could not be evaluated: {}", error.message),
            };
            broken.push(Refusal {
                at,
                sentence,
                blocks: false,
            });
        }
        // The library has no order of properties.
        broken.sort_by(|a, b| a.at.cmp(&b.at));
        refusals.extend(broken);
    }
}

fn states(node: &Value, rule: &str) -> bool {
    let rules = node["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().any(|stated| stated["rule"] == rule)
}

/// The schema of the value at `at`.
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

/// Removes unknown fields, with a refusal for each, and nulls, and sets defaults.
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
                map.retain(|_, value| !value.is_null() || values["nullable"] == true);
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

/// Without the object, indices look like keys. The API server writes them in brackets.
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

/// How many letters must be inserted, removed or changed.
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

/// Truncates lists that are too long, after they have been refused: rules are designed for lists of the allowed length, and are slow for
/// longer ones. The API server does not evaluate rules at all in that case.
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

/// Writes date-times as `kube-cel` reads them, which accepts fewer spellings than the API server.
fn canonical(schema: &Value, value: &mut Value) {
    match value {
        Value::String(text) if schema["format"] == "date-time" => {
            if let Ok(instant) = text.parse::<Timestamp>() {
                *text = instant.to_string();
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|inner| canonical(&schema["items"], inner)),
        Value::Object(map) => {
            for (key, inner) in map {
                if let Some(property) = schema["properties"].get(key) {
                    canonical(property, inner);
                }
            }
        }
        _ => {}
    }
}

fn validate(schema: &Value, value: &Value, at: &str, refusals: &mut Vec<Refusal>) {
    let called = || dotted(&field(&Value::Null, at));
    if schema["format"] == "date-time" {
        date_time(value, at, &called(), refusals);
        return;
    }
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
}

/// In the API server's words if it refuses the value, and in our own if it stores a value that the operator cannot read.
fn date_time(value: &Value, at: &str, called: &str, refusals: &mut Vec<Refusal>) {
    // It describes the value in a format of its own, and accepts lists.
    let found = match value {
        Value::String(text) if date_time::is_stored(text) => None,
        Value::String(text) => Some(text.as_str()),
        Value::Array(_) => None,
        Value::Number(number) if number.is_f64() => Some("float64"),
        Value::Number(_) => Some("int64"),
        Value::Null | Value::Bool(_) | Value::Object(_) => Some(""),
    };
    if let Some(found) = found {
        let sentence =
            format!("Invalid value: {found:?}: {called} in body must be of type date-time: {found:?}");
        block(refusals, at, sentence);
    } else if let Some(why) = date_time::unreadable(value) {
        block(refusals, at, why);
    }
}

/// Date-times that the API server stores, but cannot compare in a rule. All fields of the rule must be present.
fn incomparable(schema: &Value, map: &Map<String, Value>, at: &str, refusals: &mut Vec<Refusal>) {
    let rules = schema["x-kubernetes-validations"].as_array();
    let rules = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["rule"].as_str());
    let mut compared: Vec<&String> = Vec::new();
    for rule in rules {
        let properties = schema["properties"].as_object();
        let named: Vec<&String> = properties
            .into_iter()
            .flatten()
            .filter(|(key, property)| {
                property["format"] == "date-time"
                    && (rule.contains(&format!("self.{key} <")) || rule.ends_with(&format!("< self.{key}")))
            })
            .map(|(key, _)| key)
            .collect();
        if named.iter().all(|key| map.contains_key(*key)) {
            compared.extend(named);
        }
    }
    for key in compared {
        let Some(text) = map[key].as_str() else {
            continue;
        };
        let at = format!("{at}/{}", token(key));
        if date_time::is_stored(text)
            && !date_time::is_comparable(text)
            && !refusals.iter().any(|refusal| refusal.at == at)
        {
            let sentence = format!(
                "The API server refuses {text:?}, because its rule cannot compare it. Write it like 2026-12-01T18:00:00Z, with a \
                 capital T and Z."
            );
            block(refusals, &at, sentence);
        }
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
    incomparable(schema, map, at, refusals);
}

fn is(value: &Value, wanted: &str) -> bool {
    match wanted {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        // JSON has one kind of number: 1.0 is an integer too.
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
    // YAML reads `on`, `2026.11` and the like as booleans and numbers.
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
mod tests;
