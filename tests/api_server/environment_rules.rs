//! Validation of Environments.

use serde_json::{Value, json};
use signalbox::api::Environment;

use crate::kit::admin;
use crate::verdict::Verdict;

fn sound() -> Value {
    json!({
        "apiVersion": "signalbox.dev/v1alpha1",
        "kind": "Environment",
        "metadata": { "name": "production" },
        "spec": { "stage": "Production", "namespace": "{namespace}-prod" },
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut environment = sound();
    environment["spec"][field] = value;
    environment
}

#[tokio::test]
async fn a_namespace_is_a_label_or_has_one_placeholder() {
    let environments = Verdict::on::<Environment>(admin().await, None);
    for namespace in [
        "{namespace}",
        "{namespace}-prod",
        "prod-{namespace}",
        "a-{namespace}-b",
    ] {
        environments.accepts(with("namespace", json!(namespace))).await;
    }
    let mut literal = with("namespace", json!("shared"));
    environments
        .refuses(
            literal.clone(),
            "releaseNamespaces is required if namespace is a literal",
        )
        .await;
    literal["spec"]["releaseNamespaces"] = json!({});
    environments.accepts(literal).await;
    for namespace in [
        "{namespace}{namespace}",
        "-{namespace}",
        "{namespace}-",
        "{name}",
        "Prod-{namespace}",
        "a.b",
    ] {
        let mut environment = with("namespace", json!(namespace));
        environment["spec"]["releaseNamespaces"] = json!({});
        environments
            .refuses(
                environment,
                "spec.namespace: Invalid value: namespace must be a DNS label, or one {namespace} with letters, digits and dashes",
            )
            .await;
    }
}

#[tokio::test]
async fn a_gate_has_one_type_and_a_name_of_its_own() {
    let environments = Verdict::on::<Environment>(admin().await, None);
    let soak = json!({ "environment": "uat", "duration": "24h" });
    for gate in [
        json!({ "name": "board", "approval": { "role": "release-board", "minimum": 2, "validFor": "72h" } }),
        json!({ "name": "soak", "soak": soak }),
        json!({ "name": "smoke", "job": { "template": "smoke-test" } }),
        json!({ "name": "policy", "expression": { "passWhen": "size(release.spec.components) < 9" } }),
    ] {
        environments.accepts(with("gates", json!([gate]))).await;
    }
    for (gate, sentence) in [
        (
            json!({ "name": "both", "soak": soak, "job": { "template": "smoke" } }),
            "spec.gates[0]: Invalid value: a gate has exactly one of approval, soak, expression and job",
        ),
        (
            json!({ "name": "none" }),
            "spec.gates[0]: Invalid value: a gate has exactly one of approval, soak, expression and job",
        ),
        (
            json!({ "name": "WindowOpen", "soak": soak }),
            "spec.gates[0].name: Invalid value: a gate cannot have the name of a control",
        ),
        (
            json!({ "name": "Board", "approval": { "role": "board" } }),
            r#"spec.gates[0].name: Invalid value: "Board": must be lower-case letters"#,
        ),
        (
            json!({ "name": "board", "approval": { "role": "*" } }),
            r#"spec.gates[0].approval.role: Invalid value: "*": must be lower-case letters"#,
        ),
        (
            json!({ "name": "board", "approval": { "role": "board", "minimum": 0 } }),
            "spec.gates[0].approval.minimum",
        ),
        (
            json!({ "name": "soak", "soak": { "environment": "uat", "duration": "3d" } }),
            r#"spec.gates[0].soak.duration: Invalid value: "3d": must be a duration from 1s to 720h"#,
        ),
    ] {
        let message = environments.refusal(with("gates", json!([gate]))).await;
        assert!(message.contains(sentence), "{message}");
    }
    let twice = json!([{ "name": "soak", "soak": soak }, { "name": "soak", "soak": soak }]);
    environments
        .refuses(
            with("gates", twice),
            r#"spec.gates[1]: Duplicate value: {"name":"soak"}"#,
        )
        .await;
}

#[tokio::test]
async fn a_window_recurs_or_stands_once() {
    let environments = Verdict::on::<Environment>(admin().await, None);
    let recurring = json!({
        "name": "tuesdays", "kind": "Allow", "schedule": "0 18 * * TUE", "duration": "4h", "timeZone": "Europe/London",
    });
    let once = json!({ "name": "year-end", "kind": "Deny", "from": "2026-12-18T00:00:00Z", "to": "2027-01-04T00:00:00Z" });
    environments
        .accepts(with("windows", json!([recurring, once])))
        .await;
    for schedule in [
        "@daily",
        "5/15 9 * * MON/2",
        "0 18 * * TUE#1",
        " 0\t18 * *  TUE\n",
    ] {
        let mut window = recurring.clone();
        window["schedule"] = json!(schedule);
        environments.accepts(with("windows", json!([window]))).await;
    }

    let changed = |window: &Value, field: &str, value: Value| {
        let mut window = window.clone();
        match value {
            Value::Null => drop(window.as_object_mut().unwrap().remove(field)),
            value => window[field] = value,
        }
        with("windows", json!([window]))
    };
    let either =
        "spec.windows[0]: Invalid value: a window has either schedule, duration and timeZone, or from and to";
    for (window, sentence) in [
        (changed(&recurring, "timeZone", Value::Null), either),
        (changed(&recurring, "duration", Value::Null), either),
        (changed(&recurring, "to", json!("2027-01-04T00:00:00Z")), either),
        (changed(&once, "to", Value::Null), either),
        (
            changed(&once, "to", json!("2026-12-18T00:00:00Z")),
            "spec.windows[0]: Invalid value: a window's from must be before its to",
        ),
        (
            changed(&recurring, "schedule", json!("0 18 * *")),
            r#"spec.windows[0].schedule: Invalid value: "0 18 * *": must be five fields of cron"#,
        ),
        (
            changed(&recurring, "schedule", json!("TZ=Asia/Tokyo 0 9 * * *")),
            r#"spec.windows[0].schedule: Invalid value: "TZ=Asia/Tokyo 0 9 * * *": must not contain a time zone: use the window's timeZone"#,
        ),
        (
            changed(&recurring, "schedule", json!("@every 1h30m")),
            r#"spec.windows[0].schedule: Invalid value: "@every 1h30m": must be a clock time"#,
        ),
        (
            changed(&once, "to", json!("2027-01-04 00:00:00Z")),
            r#"spec.windows[0].to: Invalid value: "2027-01-04 00:00:00Z": spec.windows[0].to in body must be of type date-time: "2027-01-04 00:00:00Z""#,
        ),
        (
            changed(&once, "to", json!(20_270_104)),
            r#"spec.windows[0].to: Invalid value: "int64": spec.windows[0].to in body must be of type date-time: "int64""#,
        ),
        (
            changed(&recurring, "duration", json!("1w")),
            r#"spec.windows[0].duration: Invalid value: "1w": must be a duration from 1s to 720h"#,
        ),
    ] {
        environments.refuses(window, sentence).await;
    }
}

#[tokio::test]
async fn what_is_never_a_target_cannot_be_allowed() {
    let environments = Verdict::on::<Environment>(admin().await, None);
    for (api_version, kind) in [
        ("v1", "Secret"),
        ("v1", "Namespace"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        ("signalbox.dev/v1alpha1", "Release"),
    ] {
        let kinds = json!([{ "apiVersion": api_version, "kind": kind }]);
        environments
            .refuses(
                with("allowedKinds", kinds),
                "spec.allowedKinds[0]: Invalid value: Secrets, ServiceAccounts, Namespaces, Nodes",
            )
            .await;
    }
    environments
        .refuses(
            with(
                "controls",
                json!([{ "name": "TargetsAllowed", "enforcement": "Off" }]),
            ),
            "spec.controls[0]: Invalid value: TargetsAllowed is always Required",
        )
        .await;
    environments
        .refuses(
            with("verification", json!([{ "name": "smoke" }])),
            "spec.verification[0]: Invalid value: a verification has exactly one of job and expression",
        )
        .await;
}

/// 32 gates and 64 windows are within the API server's cost budget for validation rules.
#[tokio::test]
async fn the_largest_environment_is_accepted() {
    let environments = Verdict::on::<Environment>(admin().await, None);
    let long = |prefix: &str, i: usize| format!("{prefix}-{i:02}-{}", "x".repeat(50));
    let gates: Vec<_> = (0..32)
        .map(|i| json!({ "name": long("gate", i), "expression": { "passWhen": "x".repeat(1024) } }))
        .collect();
    let windows: Vec<_> = (0..64)
        .map(|i| {
            json!({
                "name": long("win", i), "kind": "Allow", "timeZone": "America/Argentina/ComodRivadavia",
                "schedule": format!("0 {} * * *", vec!["18"; 80].join(",")), "duration": "719h59m59s",
            })
        })
        .collect();
    let mut environment = with("gates", json!(gates));
    environment["spec"]["windows"] = json!(windows);
    environments.accepts(environment.clone()).await;

    for (field, item) in [("gates", "gate-33"), ("windows", "window-65")] {
        let mut more = environment.clone();
        let list = more["spec"][field].as_array_mut().unwrap();
        let mut last = list[0].clone();
        last["name"] = item.into();
        list.push(last);
        let message = environments.refusal(more).await;
        assert!(message.contains(&format!("spec.{field}: Too many")), "{message}");
    }
}
