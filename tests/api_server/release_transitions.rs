//! Which fields of a Release can still be changed, and which cannot.

use serde_json::{Value, json};
use signalbox::api::Release;

use crate::kit::{IMAGE, IMAGE_BEFORE, Stage};
use crate::release_rules::largest;
use crate::verdict::Verdict;

#[tokio::test]
async fn identity_never_changes_and_withdrawn_stays() {
    let stage = Stage::new("release-same").bare().await;
    let name = stage
        .submit_as_admin(
            stage
                .release("2026.11.1")
                .into(&["sit", "uat"])
                .image("ledger", IMAGE),
        )
        .await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));

    for (field, value) in [
        ("product", json!("other")),
        ("version", json!("2026.11.2")),
        ("line", json!("next")),
        ("requestedBy", json!("bob@example.com")),
        ("change", json!({ "reference": "CHG2" })),
    ] {
        let sentence = format!("spec.{field}: Invalid value: {field} is immutable: create another Release");
        releases
            .refuses_change(&name, json!({ "spec": { field: value } }), &sentence)
            .await;
    }
    // No environment has been entered: everything else can change.
    for change in [
        json!({ "environments": ["elsewhere"] }),
        json!({ "components": [config()] }),
        json!({ "backoutPlan": null }),
        json!({ "deploymentPlan": { "summary": "Another." } }),
        json!({ "source": { "revision": "4f2a9c1" } }),
    ] {
        releases.accepts_change(&name, json!({ "spec": change })).await;
    }

    stage
        .merge(
            &name,
            json!({ "spec": { "withdrawn": { "reason": "Not needed" } } }),
        )
        .await;
    releases
        .refuses_change(
            &name,
            json!({ "spec": { "withdrawn": null } }),
            "withdrawn cannot be removed: create another Release",
        )
        .await;
    stage.forget(&name).await;
    stage.finish().await;
}

fn config() -> Value {
    json!({
        "name": "config",
        "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger-config" },
        "patch": { "data": { "FEATURE_X": "on" } },
    })
}

fn entered(environment: &str) -> Value {
    json!({
        "environments": [{
            "name": environment,
            "state": "Succeeded",
            "entered": { "generation": 1, "stage": "SIT", "targetNamespace": environment },
        }],
    })
}

#[tokio::test]
async fn after_entry_only_what_steers_it_may_change() {
    let stage = Stage::new("release-in").bare().await;
    let [sit, uat] = ["sit", "uat"].map(|short| stage.environment(short));
    let name = stage
        .submit_as_admin(
            stage
                .release("2026.11.1")
                .into(&["sit", "uat"])
                .component(config())
                .image("ledger", IMAGE)
                .with("/spec/source", json!({ "revision": "4f2a9c1" })),
        )
        .await;
    stage.forge_status(&name, entered(&sit)).await.unwrap();
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));

    let ledger = |image: &str| {
        json!({
            "name": "ledger",
            "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
            "images": [{ "container": "ledger", "image": image }],
        })
    };
    let mut edited = config();
    edited["patch"]["data"]["FEATURE_X"] = "off".into();
    let components =
        "spec.components: Invalid value: components are immutable once an environment has been entered";
    let plan = "plan is immutable once an environment has been entered";
    for (change, sentence) in [
        (
            json!({ "components": [config(), ledger(IMAGE_BEFORE)] }),
            components,
        ),
        (json!({ "components": [edited, ledger(IMAGE)] }), components),
        (json!({ "components": [ledger(IMAGE), config()] }), components),
        (json!({ "components": [config()] }), components),
        (
            json!({ "environments": [uat] }),
            "spec.environments: Invalid value: an environment that has been entered cannot be removed from the list",
        ),
        (json!({ "deploymentPlan": { "summary": "Another." } }), plan),
        (json!({ "deploymentPlan": null }), plan),
        (json!({ "backoutPlan": { "trigger": "OnDecision" } }), plan),
        (json!({ "backoutPlan": null }), plan),
        (
            json!({ "source": { "revision": "0000000" } }),
            "the source is immutable once an environment has been entered",
        ),
        (
            json!({ "source": null }),
            "the source is immutable once an environment has been entered",
        ),
    ] {
        releases
            .refuses_change(&name, json!({ "spec": change }), sentence)
            .await;
    }
    for change in [
        json!({ "hold": {} }),
        json!({ "withdrawn": { "reason": "Not needed" } }),
        json!({ "schedule": [{ "environment": uat, "start": "2026-11-24T18:00:00Z" }] }),
        json!({ "review": { "required": "Always" } }),
        json!({ "environments": [sit] }),
        json!({ "environments": ["another", sit, uat] }),
    ] {
        releases.accepts_change(&name, json!({ "spec": change })).await;
    }
    stage.forget(&name).await;
    stage.finish().await;
}

/// The transition rules have the highest cost on the largest Release. Beyond the budget it could not be changed at all.
#[tokio::test]
async fn the_largest_release_can_be_held_after_entry() {
    let stage = Stage::new("release-held").bare().await;
    let release = largest();
    let environments = release.clone().build().spec.environments;
    let name = stage.submit_as_admin(release).await;
    let promotions: Vec<_> = environments
        .iter()
        .map(|environment| entered(environment)["environments"][0].clone())
        .collect();
    stage
        .forge_status(&name, json!({ "environments": promotions }))
        .await
        .unwrap();
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    releases
        .accepts_change(&name, json!({ "spec": { "hold": { "reason": "Wait" } } }))
        .await;
    stage.forget(&name).await;
    stage.finish().await;
}
