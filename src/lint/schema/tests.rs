//! The definitions' rules, and the API server's words for violations.

#![allow(clippy::unwrap_used)]

use crate::lint::schema::*;

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
    let kind = Kind::named(object["kind"].as_str().unwrap()).unwrap();
    let judged = DEFINITIONS.with(|definitions| definitions.judge(kind, &object).unwrap());
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

/// The messages of the API server's own tests.
/// One table: a row for each thing that the API server refuses.
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
            json!(["missing"]),
            "spec.components: Invalid value: after can name only components that are earlier in the list",
        ),
        (
            "/spec/components/1/restartOn",
            json!(["ledger"]),
            "spec.components: Invalid value: restartOn can name only components that are earlier",
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

/// One table: a row for each thing that the API server refuses.
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
    let either =
        "spec.windows[0]: Invalid value: a window has either schedule, duration and timeZone, or from and to";
    for (at, value, sentence) in [
        (
            "/spec/namespace",
            json!("shared"),
            "spec: Invalid value: releaseNamespaces is required if namespace is a literal",
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
            "spec.allowedKinds[0]: Invalid value: Secrets, ServiceAccounts",
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
    // The rule that `after` names earlier components cannot be evaluated for a number.
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
    let judged = Definitions::new().judge(Kind::Release, &object).unwrap();
    let spec = &judged.object["spec"];
    assert_eq!(spec["line"], "main");
    assert_eq!(spec["components"][0]["readyWithin"], "10m");
    assert_eq!(spec["review"]["dueWithin"], "120h");
    assert!(spec.get("more").is_none() && spec.get("hold").is_none());
    let typed: Result<crate::api::Release, _> = serde_json::from_value(judged.object);
    assert!(typed.is_ok(), "{typed:?}");
}
