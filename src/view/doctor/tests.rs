//! What is derived from the objects before they are judged. The findings are tested where they are printed.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::*;
use crate::api::release::State;
use crate::decide::fixtures::{environment, promotion, release};

fn deployment(container: &Value) -> Deployment {
    let object = json!({
        "metadata": { "name": "signalbox" },
        "spec": { "selector": {}, "template": { "spec": {
            "serviceAccountName": "operator", "containers": [{ "name": "sidecar", "args": ["--deployer-name=no"] }, container],
        } } },
    });
    serde_json::from_value(object).expect("a Deployment")
}

#[test]
fn settings_are_read_from_flags_and_variables_of_the_operator() {
    let read = |container: Value, stated: Option<&str>| {
        Settings::of("system", stated, Some(&deployment(&container)))
    };
    let with = |arguments: Value, variables: Value| json!({ "name": "operator", "args": arguments, "env": variables });
    let variables = json!([
        { "name": "SIGNALBOX_DEPLOYER_NAME", "value": "mover" },
        { "name": "SIGNALBOX_REQUIRE_CONSENT", "value": "false" },
        { "name": "SIGNALBOX_WATCH_NAMESPACE", "value": "a, b,," },
        { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
    ]);
    let settings = read(with(json!(["run"]), variables.clone()), None);
    assert_eq!(settings.username(), "system:serviceaccount:system:operator");
    assert_eq!(
        (settings.deployer.as_str(), settings.require_consent),
        ("mover", false)
    );
    assert_eq!(settings.watch, ["a", "b"]);
    let flags = json!([
        "run",
        "--watch-namespace",
        "c",
        "--watch-namespace=d",
        "--deployer-name=flag",
        "--require-consent=true"
    ]);
    let settings = read(with(flags, variables.clone()), None);
    assert_eq!(
        (settings.deployer.as_str(), settings.require_consent),
        ("flag", true)
    );
    assert_eq!(settings.watch, ["c", "d"]);
    assert_eq!(
        read(with(json!([]), variables), Some("stated")).deployer,
        "stated"
    );
    let default = Settings::of("system", None, None);
    assert_eq!(
        (default.deployer.as_str(), default.require_consent),
        ("signalbox-deployer", true)
    );
    assert_eq!(default.watch, Vec::<String>::new());
}

#[test]
fn a_release_is_unfinished_until_it_has_ended_or_is_withdrawn() {
    let mut release = release();
    let name = release.spec.environments[0].clone();
    assert!(!unfinished(&release, "elsewhere"));
    release.status = None;
    assert!(unfinished(&release, &name));
    for (state, wanted) in [
        (State::Waiting, true),
        (State::Deploying, true),
        (State::AwaitingDecision, true),
        (State::Failed, true),
        (State::Succeeded, false),
        (State::BackedOut, false),
        (State::Superseded, false),
        (State::Withdrawn, false),
    ] {
        let status = release.status.get_or_insert_default();
        status.environments = vec![promotion(&name, state)];
        assert_eq!(unfinished(&release, &name), wanted, "{state:?}");
    }
    release.status = None;
    release.spec.withdrawn = Some(crate::api::release::Because::default());
    assert!(!unfinished(&release, &name));
}

#[test]
fn a_deployer_needs_what_the_environment_lets_releases_change() {
    let rights = |spec: Value| -> Vec<String> {
        let rights = of_deployer(&environment("lab", spec).spec);
        rights
            .iter()
            .map(|right| format!("{} {}", right.verb, right.of()))
            .collect()
    };
    let kinds = json!([{ "apiVersion": "v1", "kind": "ConfigMap" }]);
    let base = json!({ "stage": "SIT", "namespace": "{namespace}-lab", "allowedKinds": kinds });
    let change = [
        "create configmaps",
        "delete configmaps",
        "get configmaps",
        "patch configmaps",
    ];
    assert_eq!(rights(base.clone()), change);
    let mut more = base;
    more["backout"] = json!({ "deleteStuckPods": "Allow" });
    more["verification"] = json!([{ "name": "smoke", "job": { "template": "smoke-test" } }]);
    let mut wanted = change.to_vec();
    wanted.push("delete pods");
    wanted.extend([
        "get cronjobs.batch",
        "create jobs.batch",
        "delete jobs.batch",
        "get jobs.batch",
    ]);
    assert_eq!(rights(more), wanted);
}
