//! Targets that cannot be changed: TargetsAllowed reports why before anything is changed.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::release::State;

use super::{another_goes_on, check, harmless};
use crate::kit::{IMAGE, ReleaseBuilder, Stage};

fn deployment(name: &str, target: &str) -> Value {
    json!({ "name": name, "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target } })
}

fn with(mut component: Value, field: &str, value: Value) -> Value {
    component[field] = value;
    component
}

#[tokio::test]
async fn a_target_that_cannot_be_changed_holds_its_release_and_no_other() {
    let stage = Stage::new("targets")
        .with("sit", |sit| {
            sit.controls =
                serde_json::from_value(json!([{ "name": "DigestPinned", "enforcement": "Required" }]))
                    .unwrap();
            sit.allowed_kinds.retain(|k| k.kind != "DaemonSet");
            sit.owner =
                serde_json::from_value(json!({ "team": "platform", "contact": "#platform" })).unwrap();
        })
        .await;
    let (sit, target) = (stage.environment("sit"), stage.target("sit"));
    let deployments: Api<Deployment> = stage.in_target("sit");
    let mut scaled = deployments.get("ledger").await.unwrap();
    scaled.metadata = serde_json::from_value(json!({ "name": "scaled" })).unwrap();
    deployments.create(&PostParams::default(), &scaled).await.unwrap();
    let autoscaler = json!({
        "metadata": { "name": "by-load" },
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled" }, "maxReplicas": 9 },
    });
    let autoscalers: Api<HorizontalPodAutoscaler> = stage.in_target("sit");
    let autoscaler = serde_json::from_value(autoscaler).unwrap();
    autoscalers
        .create(&PostParams::default(), &autoscaler)
        .await
        .unwrap();
    let maps: Api<ConfigMap> = stage.in_target("sit");
    // Characters that do not compress.
    let letters = |seed: u64| -> String {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + u8::try_from((state >> 40) % 26).unwrap())
        };
        (0..300_000).map(|_| next()).collect()
    };
    let large = json!({ "metadata": { "name": "large" }, "data": { "a": letters(1), "b": letters(2) } });
    maps.create(&PostParams::default(), &serde_json::from_value(large).unwrap())
        .await
        .unwrap();

    let of = |product: &str| stage.release("1").product(product).into(&["sit"]);
    let cases: Vec<(ReleaseBuilder, &str, &str, String)> = vec![
        (
            of("mistyped").image("leger", crate::kit::IMAGE),
            "TargetsAllowed",
            "TargetMissing",
            format!(
                "Deployment leger does not exist in {target}. Correct the name, or, to create it, set apiVersion, kind and metadata.name in the patch of component leger."
            ),
        ),
        (
            of("kind").component(json!({
                "name": "agent",
                "target": { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent" },
                "patch": { "spec": { "minReadySeconds": 1 } },
            })),
            "TargetsAllowed",
            "KindNotAllowed",
            format!("Component agent targets apps/v1 DaemonSet, which Environment {sit} does not list in allowedKinds. Ask platform (#platform) to add it, or remove the component."),
        ),
        (
            of("container").component(with(
                deployment("ledger", "ledger"),
                "images",
                json!([{ "container": "leger", "image": crate::kit::IMAGE }]),
            )),
            "TargetsAllowed",
            "ContainerMissing",
            "Component ledger: container leger is not in Deployment ledger; it has ledger. Correct its images.".into(),
        ),
        (
            of("tag").image("ledger", "registry.example.com/ledger:1.2.3"),
            "DigestPinned",
            "ImageNotPinned",
            "registry.example.com/ledger:1.2.3".into(),
        ),
        (
            of("type").component(with(
                deployment("ledger", "ledger"),
                "patch",
                json!({ "spec": { "minReadySeconds": "many" } }),
            )),
            "TargetsAllowed",
            "PatchRefused",
            "The API server rejected Deployment ledger in".into(),
        ),
        (
            of("rule").component(with(
                deployment("ledger", "ledger"),
                "patch",
                json!({ "spec": { "template": { "spec": { "restartPolicy": "Never" } } } }),
            )),
            "TargetsAllowed",
            "PatchRefused",
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\"".into(),
        ),
        (
            of("list").component(with(
                deployment("ledger", "ledger"),
                "remove",
                json!(["/spec/template/spec/containers/1"]),
            )),
            "TargetsAllowed",
            "PatchNotAllowed",
            "Component ledger: remove /spec/template/spec/containers/1 names an element by its position, which changes when another writer adds an element: name the element by its key, as in /spec/template/spec/containers[name=…]".into(),
        ),
        (
            of("replicas").component(with(
                deployment("scaled", "scaled"),
                "patch",
                json!({ "spec": { "replicas": 5 } }),
            )),
            "TargetsAllowed",
            "ReplicasAutoscaled",
            "Component scaled states spec.replicas, but HorizontalPodAutoscaler by-load scales Deployment scaled. Remove spec.replicas from `patch`.".into(),
        ),
        (
            of("large").config("large", "large", json!({ "a": "small", "b": "small" })),
            "TargetsAllowed",
            "PreStateTooLarge",
            "The pre-state for a backout takes 784 KiB, but at most 512 KiB can be stored. Split the Release.".into(),
        ),
    ];
    let mut names = Vec::new();
    for (release, name, reason, sentence) in cases {
        names.push((stage.submit(release).await, name, reason, sentence));
    }
    another_goes_on(&stage, "sit").await;
    for (release, name, reason, sentence) in names {
        let check = check(&stage, &release, "sit", name, reason).await;
        assert!(check.message.contains(&sentence), "{release}: {}", check.message);
        let ledger = deployments.get("ledger").await.unwrap();
        assert_eq!(
            ledger.metadata.generation,
            Some(1),
            "{release} changed the ledger"
        );
    }
    stage.finish().await;
}

#[tokio::test]
async fn pods_that_would_run_as_the_deployer_hold_their_release() {
    let stage = Stage::new("runs-as").only(&["sit"]).await;
    let pods =
        |account: &str| json!({ "spec": { "template": { "spec": { "serviceAccountName": account } } } });
    let component = |account: &str| {
        json!({
            "name": "ledger",
            "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
            "patch": pods(account),
        })
    };
    let release = |version: &str| stage.release(version).into(&["sit"]);
    let name = stage
        .submit(release("1.0").component(component("signalbox-deployer")))
        .await;
    let check = stage
        .until_check(&name, "sit", "TargetsAllowed", "RunsAsDeployer")
        .await;
    assert!(
        check
            .message
            .starts_with("Component ledger: pods of Deployment ledger would run as signalbox-deployer"),
        "{}",
        check.message
    );
    // The older name of the same field, and an object that does not exist yet.
    let nightly = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "nightly" },
        "spec": { "schedule": "* * * * *", "jobTemplate": { "spec": { "template": { "spec": {
            "restartPolicy": "Never", "serviceAccount": "signalbox-deployer", "containers": [{ "name": "main" }],
        } } } } },
    });
    let created = release("2.0").product("nightly").component(json!({
        "name": "nightly",
        "target": { "apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly" },
        "images": [{ "container": "main", "image": IMAGE }],
        "patch": nightly,
    }));
    let created = stage.submit(created).await;
    stage
        .until_check(&created, "sit", "TargetsAllowed", "RunsAsDeployer")
        .await;
    // The image can run as any other user.
    let other = stage.submit(release("1.1").component(component("default"))).await;
    stage.reaches(&other, "sit", State::Succeeded).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_namespace_that_is_not_prepared_for_releases_is_named_with_what_it_lacks() {
    let stage = Stage::new("unprepared")
        .with("uat", |uat| uat.promotes_from = None)
        .with("prod", |prod| prod.promotes_from = None)
        .await;
    let bindings: Api<RoleBinding> = stage.in_target("uat");
    bindings
        .delete("signalbox-deployer", &Default::default())
        .await
        .unwrap();
    let accounts: Api<ServiceAccount> = stage.in_target("prod");
    accounts
        .delete("signalbox-deployer", &Default::default())
        .await
        .unwrap();
    let powerless = stage.submit(harmless(&stage, "powerless", "uat")).await;
    let absent = stage.submit(harmless(&stage, "absent", "prod")).await;
    let check_of = check(&stage, &powerless, "uat", "TargetsAllowed", "NotPermitted").await;
    let sentence = format!(
        "ServiceAccount signalbox-deployer may not get ConfigMap ledger-config in {}. Add the verb to its Role there and check the RoleBinding.",
        stage.target("uat")
    );
    assert!(check_of.message.contains(&sentence), "{}", check_of.message);
    // The RoleBinding still exists, so the rights alone do not show that the ServiceAccount is missing.
    let check_of = check(&stage, &absent, "prod", "TargetsAllowed", "DeployerMissing").await;
    let sentence = format!(
        "ServiceAccount signalbox-deployer does not exist in {0}. Create it with its Role and RoleBinding, or add {0} to the chart's deployer.namespaces.",
        stage.target("prod")
    );
    assert_eq!(check_of.message, sentence);
    another_goes_on(&stage, "sit").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_namespace_that_is_not_there_or_that_nobody_may_ask_for_is_named() {
    let stage = Stage::new("unselected")
        .with("uat", |uat| {
            uat.promotes_from = None;
            uat.namespace = "{namespace}-nowhere".into();
        })
        .with("prod", |prod| {
            prod.promotes_from = None;
            prod.release_namespaces =
                serde_json::from_value(json!({ "matchLabels": { "signalbox.dev/tenant": "true" } })).unwrap();
        })
        .await;
    let lost = stage.submit(harmless(&stage, "lost", "uat")).await;
    let stranger = stage.submit(harmless(&stage, "stranger", "prod")).await;
    let missing = check(&stage, &lost, "uat", "EnvironmentAvailable", "NamespaceMissing").await;
    assert_eq!(
        missing.message,
        format!(
            "The target namespace {}-nowhere does not exist. Ask the environment's owner to create it.",
            stage.namespace()
        )
    );
    let refused = check(
        &stage,
        &stranger,
        "prod",
        "TargetsAllowed",
        "ReleaseNamespaceNotAllowed",
    )
    .await;
    assert_eq!(
        refused.message,
        format!(
            "releaseNamespaces of Environment {} does not select namespace {}. Add the labels that it selects to the namespace.",
            stage.environment("prod"),
            stage.namespace()
        )
    );
    another_goes_on(&stage, "sit").await;
    // The owner of the namespace sets its labels. They have effect immediately.
    let namespaces: Api<Namespace> = Api::all(stage.client());
    let labelled = json!({ "metadata": { "labels": { "signalbox.dev/tenant": "true" } } });
    namespaces
        .patch(
            stage.namespace(),
            &PatchParams::default(),
            &Patch::Merge(labelled),
        )
        .await
        .unwrap();
    stage.reaches(&stranger, "prod", State::Succeeded).await;
    stage.finish().await;
}
