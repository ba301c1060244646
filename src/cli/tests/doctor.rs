//! `doctor`, against an API server in memory: a cluster in which all is well, one in which everything is wrong, and a user without rights.

use std::sync::Arc;

use serde_json::{Value, json};

use super::golden;
use super::people::{PIPE, Screen, run};
use super::server::Server;
use crate::api::crds;
use crate::observe::trust::Expected;

const ADMIN: &str = "admin@example.com";
const OPERATOR: &str = "system:serviceaccount:signalbox-system:signalbox";
const NARROW: Screen<'_> = Screen {
    width: Some(80),
    ..PIPE
};

/// What the chart installs, and the operator's Lease.
fn installed() -> Vec<Value> {
    let mut objects: Vec<Value> = crds().iter().map(|crd| json!(crd)).collect();
    let expected = Expected::new(OPERATOR, "signalbox-deployer").unwrap();
    objects.extend(expected.objects().map(|(kind, name, spec)| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": { "name": name }, "spec": spec,
        })
    }));
    let labels = json!({ "app.kubernetes.io/name": "signalbox", "app.kubernetes.io/version": env!("CARGO_PKG_VERSION") });
    let metadata = json!({ "name": "signalbox", "namespace": "signalbox-system", "labels": labels });
    objects.push(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "replicas": 1, "selector": {},
            "template": { "spec": {
                "serviceAccountName": "signalbox",
                "containers": [{ "name": "operator", "args": ["run"], "env": [
                    { "name": "SIGNALBOX_DEPLOYER_NAME", "value": "signalbox-deployer" },
                    { "name": "SIGNALBOX_REQUIRE_CONSENT", "value": "true" },
                ] }],
            } },
        },
        "status": { "availableReplicas": 1, "conditions": [{ "type": "Available", "status": "True" }] },
    }));
    objects.push(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "signalbox", "namespace": "signalbox-system" },
        "spec": {
            "holderIdentity": "signalbox-6d5f7", "leaseDurationSeconds": 15,
            "renewTime": "2026-11-28T13:04:55.000000Z",
        },
    }));
    objects
}

/// A cluster after the demo in which all is well.
fn well() -> Arc<Server> {
    let mut objects = installed();
    for text in [
        include_str!("cluster/releases.json"),
        include_str!("cluster/environments.json"),
        include_str!("cluster/targets.json"),
    ] {
        objects.extend(serde_json::from_str::<Vec<Value>>(text).unwrap());
    }
    let server = Server::with(ADMIN, objects);
    server.at("Sat, 28 Nov 2026 13:05:00 GMT");
    server
}

fn metadata(namespace: &str, name: &str) -> Value {
    json!({ "name": name, "namespace": namespace })
}

/// Breaks the installation.
fn break_installation(server: &Server) {
    server.at("Sat, 28 Nov 2026 13:07:00 GMT");
    server.remove("decisions.signalbox.dev");
    server.change("environments.signalbox.dev", |crd| {
        crd["spec"]["versions"][0]["served"] = json!(false);
    });
    server.change("releases.signalbox.dev", |crd| {
        let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let fields = spec["properties"].as_object_mut().unwrap();
        fields.remove("hold");
        fields.insert("pause".to_owned(), json!({ "type": "boolean" }));
    });
    server.change("releasereviews.signalbox.dev", |crd| {
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"] =
            json!("A description is no rule.");
    });
    server.remove("signalbox-decision");
    server.change("signalbox-plan", |policy| {
        policy["spec"]["validationActions"] = json!(["Audit"])
    });
    server.deny(OPERATOR, "list horizontalpodautoscalers");
    server.deny(OPERATOR, "impersonate serviceaccounts");
    server.change("signalbox", |object| {
        if object["kind"] == "Deployment" {
            object["metadata"]["annotations"] = json!({ "meta.helm.sh/release-name": "approvals" });
            object["spec"]["template"]["spec"]["containers"][0]["args"] =
                json!(["run", "--watch-namespace=payments,payments-sit", "--watch-namespace", "payments-prod"]);
            object["status"] = json!({ "conditions": [{
                "type": "Available", "status": "False", "message": "Deployment does not have minimum availability.",
            }] });
        }
    });
}

/// Breaks the Environments and their target namespaces.
fn break_environments(server: &Server) {
    let condition = |kind: &str, status: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": "Said", "message": message,
            "lastTransitionTime": "2026-11-28T13:00:30Z",
        })
    };
    server.change("production", |environment| {
        environment["status"]["conditions"] =
            json!([condition("Ready", "False", "Window \x1b[2Jnights is invalid.")]);
    });
    server.change("sit", |environment| {
        let shared = "Environment lab admits Releases of other namespaces.";
        environment["status"]["conditions"] = json!([
            condition("Ready", "True", "Fine."),
            condition("SharedTargets", "True", shared)
        ]);
    });
    server.change("uat", |environment| {
        environment["status"] = json!({ "observedGeneration": -1 });
        environment["spec"]["gates"] = json!([{ "name": "load", "job": { "template": "load-test" } }]);
    });
    server.remove("payments-sit");
    server.change("smoke-test", |job| job["spec"]["suspend"] = json!(false));
    let deployer = "system:serviceaccount:payments-uat:signalbox-deployer";
    for right in [
        "patch deployments",
        "delete configmaps",
        "create jobs",
        "get cronjobs",
        "patch cronjobs",
    ] {
        server.deny(deployer, right);
    }
    // One by one, because their names are the same.
    server.change(
        "signalbox-deployer",
        |account| match account["metadata"]["namespace"].as_str() {
            Some("payments-uat") => account["metadata"]["annotations"] = json!({}),
            Some("payments-prod") => account["metadata"]["name"] = json!("another"),
            _ => {}
        },
    );
    for (namespace, accepts) in [("billing-sit", "billing"), ("ledgers-uat", "ledgers/uat")] {
        server.add(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
        let mut metadata = metadata(namespace, "signalbox-deployer");
        metadata["annotations"] = json!({ "signalbox.dev/accept": accepts });
        server.add(json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }));
    }
    for namespace in ["billing", "ledgers"] {
        server.add(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
    }
}

/// Breaks the targets of Releases that are not finished.
fn break_targets(server: &Server) {
    server.change("payments-2026.12.1", |release| {
        release["spec"]["components"][1]["patch"]["spec"]["replicas"] = json!(3);
    });
    server.add(json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata("payments-prod", "ledger-load"),
        "spec": {
            "maxReplicas": 9,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
        },
    }));
    server.change("ledger", |deployment| match deployment["metadata"]["namespace"].as_str() {
        Some("payments-prod") => {
            deployment["metadata"]["annotations"] =
                json!({ "argocd.argoproj.io/tracking-id": "ledger;reboot:apps/Deployment:payments-prod/ledger" });
        }
        _ => {
            deployment["metadata"]["annotations"] = json!({
                "meta.helm.sh/release-name": "ledger", "meta.helm.sh/release-namespace": "payments-uat",
            });
        }
    });
    server.change("ledger-config", |config| match config["metadata"]["namespace"].as_str() {
        Some("payments-prod") => {
            config["metadata"]["labels"] = json!({
                "kustomize.toolkit.fluxcd.io/name": "payments", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            });
        }
        _ => config["metadata"]["managedFields"] = json!([{ "manager": "helm-controller", "operation": "Apply" }]),
    });
    for name in ["billing-1", "billing-2"] {
        let text = include_str!("cluster/releases.json");
        let mut release = serde_json::from_str::<Vec<Value>>(text).unwrap().remove(3);
        release["metadata"]["name"] = json!(name);
        release["metadata"]["namespace"] = json!("billing");
        release["spec"]["environments"] = json!(["sit"]);
        release["status"]["environments"] = json!([{
            "name": "sit", "state": "Waiting", "attempt": 1,
            "checks": [{
                "name": "TargetsAllowed", "state": "Failed", "reason": "NotPermitted", "since": "2026-11-28T13:00:00Z",
                "message": "An admission webhook denies it.",
            }],
        }]);
        server.add(release);
    }
}

fn everything_wrong() -> Arc<Server> {
    let server = well();
    break_installation(&server);
    break_environments(&server);
    break_targets(&server);
    server
}

#[test]
fn each_finding_names_the_object_and_the_commands_that_fix_it() {
    let mut text = run(&well(), "doctor", NARROW).transcript("doctor");
    let server = everything_wrong();
    text.push('\n');
    text.push_str(&run(&server, "doctor", NARROW).transcript("doctor"));
    assert!(!text.contains('\x1b'), "{text}");
    golden("doctor.txt", &text);
    golden("doctor.json", &run(&server, "doctor -o json", PIPE).output);
    let yaml = run(&server, "doctor -o yaml", PIPE).output;
    let yaml: Value = serde_yaml_ng::from_str(&yaml).unwrap();
    let json: Value = serde_json::from_str(&run(&server, "doctor -o json", PIPE).output).unwrap();
    assert_eq!(yaml, json);
    assert_eq!(*server.writes.lock().unwrap(), [], "it only reads");
}

#[test]
fn what_the_user_may_not_read_is_a_note() {
    let server = well();
    for start in [
        "GET /apis/apiextensions.k8s.io",
        "GET /apis/apps/v1/namespaces/signalbox-system",
        "GET /apis/apps/v1/namespaces/payments-prod",
        "GET /apis/coordination.k8s.io",
        "GET /apis/admissionregistration.k8s.io",
        "GET /apis/signalbox.dev/v1alpha1/releases",
        "GET /api/v1/namespaces/payments-uat",
        "GET /api/v1/serviceaccounts",
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
    ] {
        server.refuse(start, 403, "it is forbidden to you");
    }
    let ran = run(&server, "doctor", NARROW);
    assert_eq!(ran.exit, Ok(2));
    golden("unread.txt", &ran.transcript("doctor"));
    assert!(!ran.output.contains("error:") && !ran.output.contains("warning:"));
}

#[test]
fn without_an_operator_the_leader_decides_whether_one_runs() {
    let server = well();
    server.change("signalbox", |object| {
        if object["kind"] == "Deployment" {
            object["spec"]["replicas"] = json!(0);
        }
    });
    let ran = run(&server, "doctor", PIPE);
    assert!(
        ran.output.contains("The leader signalbox-6d5f7 runs elsewhere."),
        "{}",
        ran.output
    );
    assert_eq!(ran.exit, Ok(0));
    for (renewed, found) in [
        ("2026-11-28T13:04:44Z", Some("has last renewed it 16s before")),
        ("2026-11-28T13:04:45Z", None),
        ("2026-11-28T13:05:05Z", None),
        ("2026-11-28T13:05:06Z", Some("has renewed it 6s after")),
    ] {
        let server = well();
        server.change("signalbox", |object| {
            if object["kind"] == "Lease" {
                object["spec"]["renewTime"] = json!(renewed);
            }
        });
        let ran = run(&server, "doctor", PIPE);
        assert_eq!(
            ran.exit,
            Ok(if found.is_some() { 2 } else { 0 }),
            "{renewed}: {}",
            ran.output
        );
        assert!(
            ran.output.contains(found.unwrap_or("All is well")),
            "{renewed}: {}",
            ran.output
        );
    }
}

#[test]
fn no_operator_is_an_error() {
    let server = well();
    server.remove("signalbox");
    let ran = run(&server, "doctor --operator-namespace elsewhere -o yaml", PIPE);
    assert!(ran.output.contains("use --operator-namespace"), "{}", ran.output);
    assert!(ran.output.contains("Lease elsewhere/signalbox"), "{}", ran.output);
    assert!(!ran.output.contains("differ"), "{}", ran.output);
    assert_eq!((ran.exit, ran.errors.as_str()), (Ok(2), ""));
}
