//! The first manifests: golden files, what they state, and that the first Release changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use serde_json::{Value, json};

use super::*;
use crate::api::{Environment, Release, environment};
use crate::decide::fixtures::DIGEST;
use crate::manifests::Manifests;
use crate::view::differences::{Computation, difference};

/// What runs in examples/payments, before its first Release.
pub(crate) fn payments() -> Plan {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/payments/namespaces.yaml");
    let manifests = Manifests::read(&[path], &mut std::io::empty());
    let stage = |(environment, namespace): (&str, &str)| Stage {
        environment: environment.to_owned(),
        namespace: namespace.to_owned(),
        objects: manifests
            .objects
            .iter()
            .filter(|object| object.namespace() == namespace)
            .map(|object| live(object.value.clone()))
            .collect(),
        pods: vec![],
    };
    let stages = [
        ("sit", "payments-sit"),
        ("uat", "payments-uat"),
        ("production", "payments-prod"),
    ];
    Plan {
        home: "payments".to_owned(),
        product: "payments".to_owned(),
        version: "2026.11.0".to_owned(),
        requester: "alice@example.com".to_owned(),
        approvers: vec!["bob@example.com".to_owned()],
        approver_groups: vec!["release-board".to_owned()],
        reviewer: Some("carol@example.com".to_owned()),
        stages: stages.map(stage).into(),
    }
}

fn live(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = json!("1");
    object
}

/// Names and values that YAML or a terminal could misread, tags, and objects that cannot become components.
pub(crate) fn hostile() -> Plan {
    let pods = |digest: &str| {
        vec![json!({
            "spec": { "containers": [{ "name": "yes", "image": "registry.example.com:5000/web:1" }] },
            "status": { "containerStatuses": [{ "name": "yes", "image": "registry.example.com:5000/web:1",
                                                "imageID": format!("registry.example.com:5000/web@{digest}") }] },
        })]
    };
    let objects = |namespace: &str, level: &str| {
        let workload = |kind: &str, name: &str, containers: Value| {
            live(json!({
                "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": namespace },
                "spec": { "replicas": 1, "template": {
                    "metadata": { "labels": { "app": name, "tier": "null" } },
                    "spec": { "containers": containers, "volumes": [{ "name": "ca", "configMap": { "name": "kube-root-ca.crt" } }] },
                } },
            }))
        };
        let map = |name: &str, data: Value| {
            live(
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": namespace }, "data": data }),
            )
        };
        let from = json!([{ "configMapRef": { "name": "web" } }, { "configMapRef": { "name": "levels" } },
                          { "configMapRef": { "name": "large" } }, { "configMapRef": { "name": "no" } }]);
        let mut owned = workload("StatefulSet", "owned", json!([{ "name": "a", "image": "a" }]));
        owned["metadata"]["ownerReferences"] = json!([{ "apiVersion": "x/v1", "kind": "Database", "name": "main", "uid": "u", "controller": true }]);
        vec![
            workload(
                "Deployment",
                "web",
                json!([{ "name": "yes", "image": "registry.example.com:5000/web:1", "envFrom": from },
                       { "name": "proxy", "image": "proxy:2" }]),
            ),
            workload(
                "DaemonSet",
                "web",
                json!([{ "name": "agent", "image": format!("agent:{namespace}") }]),
            ),
            owned,
            map(
                "web",
                json!({ "a\nb": "x", "PASSWORD": "hunter2", "text": "{{ \"': # !!null", "split": "\u{2028}", "url": "amqp://u:p@h" }),
            ),
            map("levels", json!({ "level": level })),
            map("large", json!({ "file": "x".repeat(300), "lines": "a\nb" })),
            map("no", json!({ "no": "null" })),
            map("kube-root-ca.crt", json!({ "ca.crt": "x" })),
        ]
    };
    let mut plan = payments();
    plan.product = "0x1F".to_owned();
    plan.requester = "x: #\"'{}[]&*!|>%@`".to_owned();
    plan.approvers = vec!["null".to_owned(), "- a".to_owned()];
    for (stage, level) in plan.stages.iter_mut().zip(["true", "1e3", "~"]) {
        stage.objects = objects(&stage.namespace, level);
        stage.pods = pods(DIGEST);
    }
    let alone =
        live(json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "smoke-test" } }));
    plan.stages[1].objects.push(alone);
    plan
}

/// One stage, with no approvers.
pub(crate) fn single() -> Plan {
    let mut plan = payments();
    plan.stages.truncate(1);
    plan.stages[0].environment = "main".to_owned();
    plan.stages[0].namespace = "payments".to_owned();
    plan.approvers.clear();
    plan.approver_groups.clear();
    plan
}

/// Asserts that `printed` is the content of the file. `GOLDEN=write` writes it there.
fn golden(name: &str, printed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/view/starter/tests")
        .join(name);
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, printed).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, wanted, "{name}");
}

fn file<'a>(files: &'a [File], name: &str) -> &'a str {
    &files.iter().find(|file| file.name == name).unwrap().text
}

fn release(files: &[File]) -> Release {
    serde_yaml_ng::from_str(file(files, "release.yaml")).unwrap()
}

fn environments(files: &[File]) -> Vec<Environment> {
    use serde::Deserialize;
    serde_yaml_ng::Deserializer::from_str(file(files, "environments.yaml"))
        .map(|document| Environment::deserialize(document).unwrap())
        .collect()
}

#[test]
fn the_files_are_as_people_review_them() {
    for file in starter(&payments()).unwrap() {
        golden(file.name, &file.text);
    }
    golden(
        "hostile.yaml",
        file(&starter(&hostile()).unwrap(), "release.yaml"),
    );
    golden(
        "without-approvers.yaml",
        file(&starter(&single()).unwrap(), "access.yaml"),
    );
}

#[test]
fn the_first_release_changes_nothing() {
    for plan in [payments(), hostile(), single()] {
        let release = release(&starter(&plan).unwrap());
        assert!(!release.spec.components.is_empty());
        for stage in &plan.stages {
            let mut computation = Computation::new(&release, &stage.environment);
            for component in &release.spec.components {
                let target = &component.target;
                let is = |o: &&Value| {
                    o["kind"] == target.kind.as_str() && o["metadata"]["name"] == target.name.as_str()
                };
                let live = stage.objects.iter().find(is);
                let result = computation.computed(component, live).unwrap();
                let difference = difference(&stage.namespace, target, live, &result, false).unwrap();
                assert!(!difference.changed, "{}: {}", stage.environment, difference.text);
            }
        }
    }
}

#[test]
fn what_the_user_named_is_read_back_as_it_was() {
    let plan = hostile();
    let files = starter(&plan).unwrap();
    let release = release(&files);
    assert_eq!(release.spec.product, "0x1F");
    assert_eq!(release.spec.requested_by, plan.requester);
    assert_eq!(release.spec.environments, ["sit", "uat", "production"]);
    let names: Vec<&str> = release.spec.components.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["levels", "no", "web", "web-deployment", "web-daemonset"]);
    assert_eq!(release.spec.components[3].after, ["levels", "no", "web"]);
    assert_eq!(release.spec.components[0].overrides.len(), 3);
    let text = file(&files, "release.yaml");
    for secret in ["hunter2", "amqp"] {
        assert!(!text.contains(secret), "{secret}");
    }
    for why in [
        "# - ConfigMap large: it has no short value",
        "# - CronJob smoke-test: it is not in payments-sit, payments-prod.",
        "# - StatefulSet owned: Database main controls it",
    ] {
        assert!(text.contains(why), "{why}: {text}");
    }
    assert!(!text.contains(['\u{202e}', '\u{2028}']));
    let access = file(&files, "access.yaml");
    let read: Vec<Value> = serde_yaml_ng::Deserializer::from_str(access)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect();
    let board = read
        .iter()
        .find(|o| o["kind"] == "RoleBinding" && o["metadata"]["name"] == "release-board")
        .unwrap();
    let subjects: Vec<&Value> = board["subjects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(subjects, ["null", "- a", "release-board"]);
}

#[test]
fn each_stage_is_an_environment_after_the_one_before() {
    let files = starter(&hostile()).unwrap();
    let environments = environments(&files);
    let from: Vec<Option<&str>> = environments
        .iter()
        .map(|e| e.spec.promotes_from.as_ref().map(|f| f.environments[0].as_str()))
        .collect();
    assert_eq!(from, [None, Some("sit"), Some("uat")]);
    let gates: Vec<usize> = environments.iter().map(|e| e.spec.gates.len()).collect();
    assert_eq!(gates, [0, 0, 2]);
    let loose: Vec<usize> = environments.iter().map(|e| e.spec.controls.len()).collect();
    assert_eq!(loose, [0, 1, 1], "images are not pinned");
    let kinds = |names: &[&str]| -> Vec<environment::Stage> {
        let mut plan = payments();
        plan.stages = names
            .iter()
            .map(|name| Stage {
                environment: (*name).to_owned(),
                ..Stage::default()
            })
            .collect();
        plan.kinds().map(|(_, kind)| kind).collect()
    };
    use environment::Stage as S;
    assert_eq!(
        kinds(&["dev", "first", "qa", "staging", "prod-eu"]),
        [S::Development, S::Sit, S::Uat, S::PreProduction, S::Production]
    );
    assert_eq!(kinds(&["blue"]), [S::Production]);
}

#[test]
fn what_cannot_be_named_is_refused() {
    let change = |change: fn(&mut Plan)| {
        let mut plan = payments();
        change(&mut plan);
        starter(&plan).unwrap_err().to_string()
    };
    for (said, begins) in [
        (change(|p| p.stages.clear()), "Name between 1 and 8 stages"),
        (
            change(|p| p.home = "Pay".to_owned()),
            "Namespace \"Pay\" must be a DNS label",
        ),
        (
            change(|p| p.stages[0].environment = "a: b".to_owned()),
            "Environment \"a: b\" must be",
        ),
        (
            change(|p| p.stages[1].environment = "sit".to_owned()),
            "Environment \"sit\" is named twice",
        ),
        (
            change(|p| p.product = "a\nb".to_owned()),
            "Product \"a\\nb\" must have",
        ),
        (
            change(|p| p.requester = "a\u{1b}".to_owned()),
            "User name \"a\\u{1b}\" must have",
        ),
        (
            change(|p| p.approvers = vec![String::new()]),
            "User name \"\" must have",
        ),
        (
            change(|p| p.version = "v1".to_owned()),
            "The Release is not valid: version \"v1\"",
        ),
        (
            change(|p| p.stages.iter_mut().for_each(|s| s.objects.clear())),
            "No Deployment, StatefulSet, DaemonSet, CronJob or ConfigMap can become a component of a Release (the namespaces have none).",
        ),
    ] {
        assert!(said.starts_with(begins), "{said}");
    }
}
