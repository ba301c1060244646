//! A status written by another user: the policy refuses it. A status that was written while no policy existed does not allow any change
//! of targets, and is reported.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::State;
use signalbox::decide::plan;

use super::{LONG, another_goes_on, check, promotion_says};
use crate::kit::{IMAGE, IMAGE_BEFORE, Stage, as_operator, gone, operator_namespace, operator_user, refused};

/// Writes the promotion into `short`, which only the operator may do. Other fields stay.
async fn forge(stage: &Stage, release: &str, short: &str, change: Value) {
    let releases: Api<Release> = Api::namespaced(as_operator().await, stage.namespace());
    let mut status = json!(releases.get(release).await.unwrap().status);
    let environment = stage.environment(short);
    let promotions = status["environments"].as_array_mut().unwrap();
    let promotion = promotions
        .iter_mut()
        .find(|p| p["name"] == environment.as_str())
        .unwrap();
    for (field, value) in change.as_object().unwrap() {
        promotion[field] = value.clone();
    }
    let patch = Patch::Merge(json!({ "status": { "environments": promotions } }));
    releases
        .patch_status(release, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn entered(stage: &Stage, short: &str) -> Value {
    json!({ "generation": 1, "stage": "SIT", "targetNamespace": stage.target(short) })
}

fn armed(pre_state: &str) -> Value {
    json!({ "state": "Armed", "preState": pre_state })
}

async fn ledger(stage: &Stage, short: &str) -> (String, Option<i64>) {
    let deployments: Api<Deployment> = stage.in_target(short);
    let ledger = deployments.get("ledger").await.unwrap();
    let template = ledger.spec.unwrap().template.spec.unwrap();
    (
        template.containers[0].image.clone().unwrap(),
        ledger.metadata.generation,
    )
}

/// A Release that would change the ledger in `sit`, but is held.
async fn held(stage: &Stage) -> String {
    let release = stage.release("2").into(&["sit", "uat"]).image("ledger", IMAGE);
    let name = stage
        .submit(release.with("/spec/hold", json!({ "reason": "not yet" })))
        .await;
    stage.reaches(&name, "sit", State::Waiting).await;
    name
}

#[tokio::test]
async fn nobody_but_the_operator_writes_status() {
    let stage = Stage::new("forgers").await;
    let name = held(&stage).await;
    let forged = Patch::Merge(json!({ "status": { "furthest": stage.environment("prod") } }));
    let by_admin = stage
        .api::<Release>()
        .patch_status(&name, &PatchParams::default(), &forged)
        .await;
    let message = refused(by_admin);
    let sentence = format!(
        "cannot update the status of {name}: only {} writes status. Change spec, or create a Decision.",
        operator_user()
    );
    assert!(message.contains(&sentence), "{message}");
    stage.finish().await;
}

#[tokio::test]
async fn a_forged_deploying_changes_nothing_and_takes_no_claim() {
    let stage = Stage::new("forged-in")
        .with("prod", |prod| prod.promotes_from = None)
        .await;
    let name = held(&stage).await;
    let target = stage.target("sit");
    forge(
        &stage,
        &name,
        "sit",
        json!({ "state": "Deploying", "entered": entered(&stage, "sit"), "backout": armed("prestate-0123456789abcdef") }),
    )
    .await;
    let said = promotion_says(&stage, &name, "sit", "PreStateMissing: ").await;
    let promotion = said.promotion(&stage.environment("sit")).unwrap().clone();
    assert_eq!(promotion.state, State::AwaitingDecision);
    let own = plan::pre_state_name(said.metadata.uid.as_deref().unwrap(), &promotion.name, 1);
    assert_eq!(
        promotion.message.unwrap(),
        format!(
            "PreStateMissing: Pre-state {own} in namespace {} is missing or belongs to another attempt. Nothing can be restored \
             without it, so nothing is changed. Correct the targets by hand, then create a Decision (Accept or Abandon).",
            operator_namespace()
        )
    );
    another_goes_on(&stage, "sit").await;
    let leases: Api<Lease> = Api::namespaced(stage.client(), &operator_namespace());
    gone(&leases, &plan::claim_name(&target), LONG).await;
    assert_eq!(ledger(&stage, "sit").await, (IMAGE_BEFORE.to_owned(), Some(1)));
    stage.finish().await;
}

#[tokio::test]
async fn another_releases_pre_state_is_no_licence() {
    let stage = Stage::new("borrowed")
        .with("prod", |prod| prod.promotes_from = None)
        .await;
    let victim =
        stage
            .release("1")
            .product("victim")
            .into(&["sit"])
            .config("c", "ledger-config", json!({ "V": "1" }));
    let victim = stage.submit(victim).await;
    let victim = stage.reaches(&victim, "sit", State::Succeeded).await;
    let theirs = victim
        .promotion(&stage.environment("sit"))
        .unwrap()
        .backout
        .clone()
        .unwrap()
        .pre_state;
    let name = held(&stage).await;
    for state in ["Deploying", "BackingOut"] {
        let mut backout = armed(&theirs);
        backout["startedAt"] = json!("2026-01-01T00:00:00Z");
        forge(
            &stage,
            &name,
            "sit",
            json!({ "state": state, "entered": entered(&stage, "sit"), "backout": backout, "message": "forged" }),
        )
        .await;
        promotion_says(&stage, &name, "sit", "is missing or belongs to another attempt").await;
    }
    assert_eq!(ledger(&stage, "sit").await, (IMAGE_BEFORE.to_owned(), Some(1)));
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = stage.in_target("sit");
    let map = maps.get("ledger-config").await.unwrap();
    assert_eq!(map.data.unwrap().get("V").map(String::as_str), Some("1"));
    another_goes_on(&stage, "prod").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_forged_success_upstream_lets_nothing_in() {
    let stage = Stage::new("forged-up")
        .with("prod", |prod| prod.promotes_from = None)
        .await;
    let name = held(&stage).await;
    forge(
        &stage,
        &name,
        "sit",
        json!({
            "state": "Succeeded", "entered": entered(&stage, "sit"), "backout": armed("prestate-0123456789abcdef"),
            "components": [{ "name": "ledger", "state": "Ready", "to": IMAGE_BEFORE }],
        }),
    )
    .await;
    stage.merge(&name, json!({ "spec": { "hold": null } })).await;
    let refused = check(&stage, &name, "uat", "TargetsAllowed", "NotVouchedFor").await;
    let release = stage.api::<Release>().get(&name).await.unwrap();
    let sit = stage.environment("sit");
    let own = plan::pre_state_name(release.metadata.uid.as_deref().unwrap(), &sit, 1);
    assert_eq!(
        refused.message,
        format!(
            "Status says that {sit} Succeeded, but pre-state {own} in namespace {} is missing and nothing else proves it. \
             Another writer may have changed status. Create a Release of a new version.",
            operator_namespace()
        )
    );
    another_goes_on(&stage, "prod").await;
    assert_eq!(ledger(&stage, "uat").await, (IMAGE_BEFORE.to_owned(), Some(1)));
    stage.finish().await;
}

#[tokio::test]
async fn a_forged_backout_of_what_succeeded_restores_nothing() {
    let stage = Stage::new("forged-back")
        .with("prod", |prod| prod.promotes_from = None)
        .await;
    let name = stage
        .submit(stage.release("2").into(&["sit"]).image("ledger", IMAGE))
        .await;
    let done = stage.reaches(&name, "sit", State::Succeeded).await;
    let own = done
        .promotion(&stage.environment("sit"))
        .unwrap()
        .backout
        .clone()
        .unwrap()
        .pre_state;
    let before = ledger(&stage, "sit").await;
    assert_eq!(before.0, IMAGE);
    let backout = json!({
        "state": "InProgress", "preState": own, "trigger": "Decision forged", "by": "mallory@example.com",
        "startedAt": "2026-01-01T00:00:00Z",
    });
    // The claim was released after the success, so there is none to act with.
    let leases: Api<Lease> = Api::namespaced(stage.client(), &operator_namespace());
    gone(&leases, &plan::claim_name(&stage.target("sit")), LONG).await;
    forge(
        &stage,
        &name,
        "sit",
        json!({ "state": "BackingOut", "backout": backout, "message": "forged" }),
    )
    .await;
    promotion_says(&stage, &name, "sit", "ClaimLost: ").await;
    assert_eq!(ledger(&stage, "sit").await, before);
    another_goes_on(&stage, "prod").await;
    stage.finish().await;
}
