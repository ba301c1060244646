//! Ownership of fields: changes of other writers on a target do not stop a release or its backout, and stay.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::Action;
use signalbox::api::release::State;

use crate::acting::{LONG, UNREADY, audited, promotion};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, kubectl, wait_until};

/// The environment of the ledger's container, as names.
async fn env(stage: &Stage) -> Vec<String> {
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    let pod = ledger.spec.unwrap().template.spec.unwrap();
    let env = pod.containers[0].env.clone().unwrap_or_default();
    env.into_iter().map(|variable| variable.name).collect()
}

fn with_env(name: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "ledger", "env": [{ "name": name, "value": "1" }] },
    ] } } } })
}

async fn runs(stage: &Stage, image: &'static str) {
    wait_until(&stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
        let pod = d.spec.as_ref().and_then(|s| s.template.spec.as_ref());
        pod.is_some_and(|p| p.containers[0].image.as_deref() == Some(image))
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_a_reloader_adds_stops_neither_a_release_nor_its_backout_and_stays() {
    let stage = Stage::new("reloader").only(&["sit"]).await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .image("ledger", UNREADY)
                .ready_within("6s"),
        )
        .await;
    runs(&stage, UNREADY).await;
    stage
        .meddle::<Deployment>("sit", "ledger", "Reloader", with_env("RELOADED"))
        .await;
    let release = stage.reaches(&name, "sit", State::BackedOut).await;
    let message = promotion(&stage, &release, "sit")
        .message
        .clone()
        .unwrap_or_default();
    assert!(message.contains("ReadyTooLate"), "{message}");
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    assert_eq!(env(&stage).await, ["RELOADED"]);
    assert_eq!(stage.data("sit", "ledger-config").await["FEATURE_X"], "off");

    // And before the component is changed, with the restartOn of the README.
    let name = stage
        .submit(
            stage
                .release("1.1")
                .into(&["sit"])
                .config("config", "ledger-config", json!({ "FEATURE_X": "on" }))
                .image("ledger", IMAGE)
                .after(&["config"])
                .restart_on(&["config"]),
        )
        .await;
    wait_until(
        &stage.in_target::<ConfigMap>("sit"),
        "ledger-config",
        LONG,
        |map| map.data.as_ref().is_some_and(|data| data["FEATURE_X"] == "on"),
    )
    .await;
    stage
        .meddle::<Deployment>("sit", "ledger", "Reloader", with_env("AGAIN"))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    assert_eq!(stage.image("sit").await, IMAGE);
    let mut names = env(&stage).await;
    names.sort();
    assert_eq!(names, ["AGAIN", "RELOADED"]);
    stage.finish().await;
}

#[tokio::test]
async fn a_backout_takes_our_keys_out_and_leaves_those_that_others_added() {
    let stage = Stage::new("keys").only(&["sit"]).await;
    let maps = stage.in_target::<ConfigMap>("sit");
    let bare: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "bare" } })).unwrap();
    maps.create(&PostParams::default(), &bare).await.unwrap();
    let other: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "other" } })).unwrap();
    maps.create(&PostParams::default(), &other).await.unwrap();
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .config("bare", "bare", json!({ "A": "1" }))
                .config("other", "other", json!({ "A": "1" }))
                .image("ledger", IMAGE)
                .restart_on(&["bare"]),
        )
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage
        .meddle::<ConfigMap>("sit", "bare", "team", json!({ "data": { "B": "2" } }))
        .await;
    let restarted = json!({ "spec": { "template": { "metadata": { "annotations": { "example.com/restarted": "now" } } } } });
    stage
        .meddle::<Deployment>("sit", "ledger", "kubectl", restarted)
        .await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(stage.data("sit", "bare").await, json!({ "B": "2" }));
    assert_eq!(
        maps.get("other").await.unwrap().data,
        None,
        "nothing else was in it"
    );
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    let annotations = ledger
        .spec
        .unwrap()
        .template
        .metadata
        .unwrap()
        .annotations
        .unwrap();
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["example.com/restarted"]);
    stage.finish().await;
}

/// Objects of a kind for which the client has no type.
fn cluster_wide(stage: &Stage, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let plural = format!("{}s", kind.kind.to_lowercase());
    let plural = plural.replace("policys", "policies");
    Api::all_with(stage.client(), &ApiResource::from_gvk_with_plural(&kind, &plural))
}

/// An admission policy that writes a different value in each request, also in a dry run.
async fn stamped(stage: &Stage) -> String {
    let name = format!("{}-stamp", stage.namespace());
    let namespace = stage.target("sit");
    let expression = "[JSONPatch{op: \"add\", path: \"/metadata/annotations/audit.example.com~1change\", \
                      value: request.dryRun ? \"dry\" : oldObject.metadata.resourceVersion}]";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "reinvocationPolicy": "Never", "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
                "resourceRules": [{ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"] }],
            },
            "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": expression } }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": { "name": name }, "spec": { "policyName": name },
    });
    for (kind, object) in [
        ("MutatingAdmissionPolicy", policy),
        ("MutatingAdmissionPolicyBinding", binding),
    ] {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let created = cluster_wide(stage, kind)
            .create(&PostParams::default(), &object)
            .await;
        created.expect("the admin is allowed to");
    }
    // It takes effect a moment after its creation. There is no event for that.
    let ledgers = stage.in_target::<Deployment>("sit");
    let stamps = async {
        for n in 0.. {
            let touch = json!({ "metadata": { "annotations": { "touch": n.to_string() } } });
            let touched = ledgers
                .patch("ledger", &PatchParams::default(), &Patch::Merge(touch))
                .await
                .unwrap();
            if touched.annotations().contains_key("audit.example.com/change") {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, stamps)
        .await
        .expect("the policy takes effect");
    name
}

#[tokio::test]
async fn admission_that_stamps_every_write_is_no_change_and_no_target_is_written_in_a_loop() {
    let stage = Stage::new("stamps").only(&["sit"]).await;
    let policy = stamped(&stage).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(stage.image("sit").await, IMAGE_BEFORE);
    for kind in ["MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"] {
        let deleted = cluster_wide(&stage, kind)
            .delete(&policy, &DeleteParams::default())
            .await;
        deleted.expect("the admin is allowed to");
    }
    let deployer = format!("system:serviceaccount:{}:signalbox-deployer", stage.target("sit"));
    let lines = audited();
    let writes = lines.iter().filter(|line| {
        line.contains(&deployer)
            && line.contains("\"verb\":\"patch\"")
            && line.contains("\"stage\":\"ResponseComplete\"")
            && !line.contains("dryRun=All")
    });
    let writes = writes.count();
    assert!(lines.is_empty() || (2..=4).contains(&writes), "{writes} writes");
    stage.finish().await;
}

#[tokio::test]
async fn a_daemon_set_is_backed_out() {
    let stage = Stage::new("daemons").only(&["sit"]).await;
    let sets = stage.in_target::<DaemonSet>("sit");
    let agent: DaemonSet = serde_json::from_value(json!({
        "metadata": { "name": "agent" },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "template": {
                "metadata": { "labels": { "app": "agent" } },
                "spec": { "containers": [{ "name": "agent", "image": IMAGE_BEFORE }] },
            },
        },
    }))
    .unwrap();
    sets.create(&PostParams::default(), &agent).await.unwrap();
    let whole = |set: &DaemonSet| {
        set.status.as_ref().is_some_and(|s| {
            s.desired_number_scheduled > 0 && s.number_available == Some(s.desired_number_scheduled)
        })
    };
    wait_until(&sets, "agent", LONG, whole).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).component(json!({
            "name": "agent",
            "target": { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent" },
            "images": [{ "container": "agent", "image": UNREADY }],
            "readyWithin": "3s",
        })))
        .await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    let after = sets.get("agent").await.unwrap();
    assert!(whole(&after));
    let pod = after.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].image.as_deref(), Some(IMAGE_BEFORE));
    stage.finish().await;
}

#[tokio::test]
async fn one_large_value_is_released_and_backed_out() {
    let stage = Stage::new("large").only(&["sit"]).await;
    let maps = stage.in_target::<ConfigMap>("sit");
    // Poorly compressible, as certificates and images are.
    let mut seed = 7_u64;
    let mut blob = || {
        let mut text = String::with_capacity(200 * 1024);
        while text.len() < 200 * 1024 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push(char::from(b'a' + u8::try_from((seed >> 40) % 26).unwrap()));
        }
        text
    };
    let (before, after) = (blob(), blob());
    let big: ConfigMap =
        serde_json::from_value(json!({ "metadata": { "name": "big" }, "data": { "blob": before } })).unwrap();
    maps.create(&PostParams::default(), &big).await.unwrap();
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .config("big", "big", json!({ "blob": after })),
        )
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    assert_eq!(stage.data("sit", "big").await["blob"], json!(after));
    stage.decide("bob", Action::BackOut, &name, "sit").await;
    stage.reaches(&name, "sit", State::BackedOut).await;
    assert_eq!(stage.data("sit", "big").await["blob"], json!(before));
    stage.finish().await;
}

/// The request of helm 4: a server-side apply of the whole object, without force.
async fn applied(stage: &Stage, image: &str) -> kube::Result<Deployment> {
    let ledger = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "chart" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "chart" } },
            "template": {
                "metadata": { "labels": { "app": "chart" } },
                "spec": { "containers": [{ "name": "chart", "image": image }] },
            },
        },
    });
    let parameters = PatchParams::apply("helm");
    let deployments = stage.in_target::<Deployment>("sit");
    deployments
        .patch("chart", &parameters, &Patch::Apply(ledger))
        .await
}

#[tokio::test]
async fn after_a_backout_whoever_owned_the_fields_writes_them_without_force() {
    let stage = Stage::new("owners").only(&["sit"]).await;
    applied(&stage, IMAGE_BEFORE).await.expect("the first one");
    wait_until(&stage.in_target::<Deployment>("sit"), "chart", LONG, |d| {
        d.status.as_ref().and_then(|s| s.available_replicas) == Some(1)
    })
    .await;
    let good = stage
        .submit(stage.release("1.0").into(&["sit"]).image("chart", IMAGE))
        .await;
    stage.reaches(&good, "sit", State::Succeeded).await;
    // While it is deployed, the conflict protects it.
    let refused = applied(&stage, IMAGE_BEFORE).await.expect_err("a conflict");
    assert!(
        refused.to_string().contains("conflict with \"signalbox\""),
        "{refused}"
    );
    // A backout of the next one leaves the first one's fields protected.
    let bad = stage
        .submit(
            stage
                .release("1.1")
                .into(&["sit"])
                .image("chart", UNREADY)
                .ready_within("3s"),
        )
        .await;
    stage.reaches(&bad, "sit", State::BackedOut).await;
    let refused = applied(&stage, IMAGE_BEFORE).await.expect_err("a conflict");
    assert!(
        refused.to_string().contains("conflict with \"signalbox\""),
        "{refused}"
    );
    stage.decide("bob", Action::BackOut, &good, "sit").await;
    stage.reaches(&good, "sit", State::BackedOut).await;
    applied(&stage, IMAGE)
        .await
        .expect("no field of the release is left");
    let (_, fields) = kubectl(&[
        "get",
        "deployment",
        "chart",
        "-n",
        &stage.target("sit"),
        "--show-managed-fields",
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
    ]);
    assert!(!fields.contains("signalbox"), "{fields}");
    stage.finish().await;
}
