//! Unions: an object has at most one of these fields, so a stated field replaces the other one, as in `kubectl apply`. A strategic
//! merge alone would leave both, which the API server refuses.

use serde_json::{Map, Value};

use crate::domain::patches::lists::{same, told_apart};

const PROBE: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const LIFECYCLE: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];
const VARIABLE: [&str; 2] = ["value", "valueFrom"];
const SOURCE: [&str; 5] = [
    "fieldRef",
    "resourceFieldRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fileKeyRef",
];

/// Adds a null for every field of `live` that a stated field replaces.
pub(crate) fn settle(sent: &mut Value, live: &Value) {
    if let (Value::Object(sent), Value::Object(live)) = (sent, live) {
        fields(sent, live);
    }
}

fn fields(stated: &mut Map<String, Value>, there: &Map<String, Value>) {
    for (key, value) in stated.iter_mut() {
        match (value, there.get(key)) {
            (Value::Object(stated), Some(Value::Object(there))) => {
                one_of(key, stated, there);
                strategy(key, stated, there);
                fields(stated, there);
            }
            (Value::Array(stated), Some(Value::Array(there))) => elements(key, stated, there),
            _ => {}
        }
    }
}

fn elements(list: &str, stated: &mut [Value], there: &[Value]) {
    let Some(by) = told_apart(list, there, stated) else {
        return;
    };
    for element in stated {
        if let (Some(Value::Object(there)), Value::Object(stated)) = (same(there, by, element), &mut *element)
        {
            one_of(list, stated, there);
            fields(stated, there);
        }
    }
}

/// `key` is the field with the map, or the list that contains the map as an element.
fn one_of(key: &str, stated: &mut Map<String, Value>, there: &Map<String, Value>) {
    let belongs = |field: &str| match key {
        "livenessProbe" | "readinessProbe" | "startupProbe" => PROBE.contains(&field),
        "postStart" | "preStop" => LIFECYCLE.contains(&field),
        "env" => VARIABLE.contains(&field),
        "valueFrom" => SOURCE.contains(&field),
        // Every other field is a kind of volume.
        "volumes" => field != "name" && !field.starts_with('$'),
        _ => false,
    };
    if stated
        .iter()
        .any(|(field, value)| belongs(field) && !value.is_null())
    {
        let others = there.keys().filter(|field| belongs(field));
        for other in others {
            stated.entry(other.clone()).or_insert(Value::Null);
        }
    }
}

/// `rollingUpdate` belongs to one type, and the API server adds it for that type.
fn strategy(key: &str, stated: &mut Map<String, Value>, there: &Map<String, Value>) {
    let another = stated.get("type").and_then(Value::as_str);
    let leaves =
        ["strategy", "updateStrategy"].contains(&key) && another.is_some_and(|t| t != "RollingUpdate");
    if leaves && there.contains_key("rollingUpdate") {
        stated.entry("rollingUpdate").or_insert(Value::Null);
    }
}
