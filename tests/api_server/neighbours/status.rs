//! Status while a promotion waits, is refused, or its targets are changed by others.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::{Colour, ComponentState, State};

use crate::acting::{LONG, SLOW, UNREADY, observed};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, some, wait_until};

const MISSING: &str = "registry.example.com/ledger-missing@sha256:8888888888888888888888888888888888888888888888888888888888888888";

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_named_while_deploying() {
    let stage = Stage::new("says-why").only(&["sit"]).await;
    let started = std::time::Instant::now();
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", MISSING)
                .ready_within("40s"),
        )
        .await;
    let release = stage
        .until(&name, "sit", |p| {
            p.components.iter().any(|c| {
                c.state == ComponentState::Progressing
                    && c.message
                        .as_ref()
                        .is_some_and(|m| m.contains("(ImagePullBackOff)"))
            })
        })
        .await;
    let environment = stage.environment("sit");
    assert_eq!(
        release.promotion(&environment).map(|p| p.state),
        Some(State::Deploying)
    );
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    stage.finish().await;
}

/// A policy that refuses the previous image.
async fn freeze(stage: &Stage, name: &str) {
    let namespace = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    let namespace = namespace.metadata.namespace.unwrap_or_default();
    let expression = format!("object.spec.template.spec.containers[0].image != '{IMAGE_BEFORE}'");
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
                "resourceRules": [{ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                                    "resources": ["deployments"] }],
            },
            "validations": [{ "expression": expression, "message": "change freeze: ask the platform team" }],
        },
    }))
    .expect("a policy");
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": { "name": name }, "spec": { "policyName": name, "validationActions": ["Deny"] },
    }))
    .expect("a binding");
    let create = PostParams::default();
    let policies = Api::<ValidatingAdmissionPolicy>::all(stage.client());
    policies
        .create(&create, &policy)
        .await
        .expect("the admin is allowed to");
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(stage.client());
    bindings
        .create(&create, &binding)
        .await
        .expect("the admin is allowed to");
}

#[tokio::test]
async fn a_restore_that_a_policy_refuses_is_on_status_with_its_words() {
    let stage = Stage::new("refused-restore").only(&["sit"]).await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", UNREADY)
                .ready_within("12s"),
        )
        .await;
    stage.reaches(&name, "sit", State::Deploying).await;
    let policy = stage.environment("sit");
    freeze(&stage, &policy).await;
    stage
        .until(&name, "sit", |p| {
            let said = |text: &Option<String>| {
                text.as_ref()
                    .is_some_and(|m| m.contains("change freeze: ask the platform team"))
            };
            p.state == State::BackingOut && said(&p.message) && p.components.iter().any(|c| said(&c.message))
        })
        .await;
    let delete = DeleteParams::default();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(stage.client());
    bindings
        .delete(&policy, &delete)
        .await
        .expect("the admin is allowed to");
    let policies = Api::<ValidatingAdmissionPolicy>::all(stage.client());
    policies
        .delete(&policy, &delete)
        .await
        .expect("the admin is allowed to");
    stage.reaches(&name, "sit", State::BackedOut).await;
    stage.finish().await;
}

/// The time is over, and the request is still refused: it is retried less and less often, and then Failed with the text of the refusal.
#[tokio::test]
async fn a_restore_that_is_refused_to_the_end_fails_and_is_not_tried_in_a_loop() {
    let stage = Stage::new("refused-for-good").only(&["sit"]).await;
    let name = stage
        .submit(
            stage
                .release("1.0")
                .into(&["sit"])
                .image("ledger", UNREADY)
                .ready_within("12s")
                .with("/spec/backoutPlan/maxDuration", "8s"),
        )
        .await;
    stage.reaches(&name, "sit", State::Deploying).await;
    let policy = stage.environment("sit");
    freeze(&stage, &policy).await;
    let release = stage.reaches(&name, "sit", State::Failed).await;
    let message = crate::acting::promotion(&stage, &release, "sit").message.clone();
    let message = message.unwrap_or_default();
    assert!(
        message.contains("change freeze: ask the platform team") && message.contains(". Cause: "),
        "{message}"
    );
    let deployer = format!("system:serviceaccount:{}:signalbox-deployer", stage.target("sit"));
    let lines = crate::acting::audited();
    let tries = lines.iter().filter(|line| {
        line.contains(&deployer)
            && line.contains("\"verb\":\"patch\"")
            && line.contains("\"stage\":\"ResponseComplete\"")
            && !line.contains("dryRun=All")
    });
    let tries = tries.count();
    assert!(lines.is_empty() || (2..=6).contains(&tries), "{tries} patches");
    let delete = DeleteParams::default();
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(stage.client());
    bindings
        .delete(&policy, &delete)
        .await
        .expect("the admin is allowed to");
    let policies = Api::<ValidatingAdmissionPolicy>::all(stage.client());
    policies
        .delete(&policy, &delete)
        .await
        .expect("the admin is allowed to");
    stage.finish().await;
}

fn of_ledger(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "ledger", "image": image }] } } } })
}

#[tokio::test]
async fn a_writer_who_comes_back_is_told_of_once_and_the_release_is_amber_after_it_succeeded() {
    let stage = Stage::new("amber").with("sit", observed(1)).await;
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).image("ledger", IMAGE))
        .await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    for image in [SLOW, UNREADY, IMAGE_BEFORE] {
        stage
            .meddle::<Deployment>("sit", "ledger", "midnight-fixer", of_ledger(image))
            .await;
        // Each of them is in status, and is not reported again.
        stage
            .until(&name, "sit", |p| {
                let drift = p.components[0].drift.as_ref();
                drift.is_some_and(|d| d.contains(image) && d.contains("midnight-fixer"))
            })
            .await;
    }
    let colour = |release: &Release| {
        let rag = release.status.as_ref().and_then(|s| s.rag.as_ref());
        rag.map(|r| r.colour)
    };
    let releases = stage.api::<Release>();
    wait_until(&releases, &name, LONG, |r| colour(r) == Some(Colour::Amber)).await;
    let environments: Api<signalbox::api::Environment> = Api::all(stage.client());
    wait_until(&environments, &stage.environment("sit"), LONG, |environment| {
        environment.status.as_ref().is_some_and(|s| s.drifted_total == 1)
    })
    .await;
    let of_drift = |event: &Event| event.reason.as_deref() == Some("Drift");
    some(&stage.api::<Event>(), LONG, of_drift).await;
    let events = stage.api::<Event>().list(&ListParams::default()).await.unwrap();
    let drift = events.items.iter().filter(|event| of_drift(event));
    let told: i32 = drift.map(|e| e.count.unwrap_or(1)).sum();
    assert_eq!(told, 1, "{:#?}", events.items);

    // Restored by hand, it is Green again.
    stage
        .meddle::<Deployment>("sit", "ledger", "midnight-fixer", of_ledger(IMAGE))
        .await;
    wait_until(&releases, &name, LONG, |r| colour(r) == Some(Colour::Green)).await;
    stage.finish().await;
}
