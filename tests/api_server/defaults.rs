//! The defaults that the API server fills in. Users can read them, and the operator does not need its own.

use serde_json::json;
use signalbox::api::{Environment, Release};

use crate::kit::{IMAGE, Stage, admin, release};
use crate::verdict::Verdict;

#[tokio::test]
async fn a_release_that_says_little_says_it_all_once_stored() {
    let stage = Stage::new("defaults").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    let said_little = release("1")
        .into(&["sit"])
        .image("ledger", IMAGE)
        .with("/spec/change", json!({}))
        .with("/spec/backoutPlan", json!({}))
        .with("/spec/deploymentPlan", json!({}))
        .json();
    let stored = releases.accepts(said_little).await;
    assert_eq!(
        stored["spec"],
        json!({
            "product": "payments",
            "version": "1",
            "line": "main",
            "requestedBy": "alice@example.com",
            "change": { "model": "Normal" },
            "environments": ["sit"],
            "components": [{
                "name": "ledger",
                "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
                "images": [{ "container": "ledger", "image": IMAGE }],
                "readyWithin": "10m",
            }],
            "deploymentPlan": { "expectedDuration": "10m" },
            "backoutPlan": {
                "strategy": "Restore", "trigger": "Automatic", "maxDuration": "15m", "dataReversible": true,
            },
            "review": { "required": "WhenNeeded", "dueWithin": "120h" },
        })
    );
    stage.finish().await;
}

#[tokio::test]
async fn no_plan_is_made_up() {
    let stage = Stage::new("no-plan").bare().await;
    let releases = Verdict::on::<Release>(stage.client(), Some(stage.namespace()));
    let without = release("1")
        .into(&["sit"])
        .image("ledger", IMAGE)
        .without("/spec/backoutPlan")
        .without("/spec/deploymentPlan")
        .json();
    let stored = releases.accepts(without).await;
    assert!(stored["spec"].get("backoutPlan").is_none());
    assert!(stored["spec"].get("deploymentPlan").is_none());
    stage.finish().await;
}

#[tokio::test]
async fn an_environment_allows_the_usual_kinds() {
    let environments = Verdict::on::<Environment>(admin().await, None);
    let stored = environments
        .accepts(json!({
            "apiVersion": "signalbox.dev/v1alpha1",
            "kind": "Environment",
            "metadata": { "name": "sit" },
            "spec": {
                "stage": "SIT",
                "namespace": "{namespace}-sit",
                "promotesFrom": { "environments": ["dev"] },
                "gates": [
                    { "name": "board", "approval": { "role": "board" } },
                    { "name": "smoke", "job": { "template": "smoke" } },
                ],
            },
        }))
        .await;
    assert_eq!(
        stored["spec"],
        json!({
            "stage": "SIT",
            "namespace": "{namespace}-sit",
            "promotesFrom": { "environments": ["dev"], "require": "All" },
            "allowedKinds": [
                { "apiVersion": "apps/v1", "kind": "Deployment" },
                { "apiVersion": "apps/v1", "kind": "StatefulSet" },
                { "apiVersion": "apps/v1", "kind": "DaemonSet" },
                { "apiVersion": "batch/v1", "kind": "CronJob" },
                { "apiVersion": "v1", "kind": "ConfigMap" },
            ],
            "gates": [
                { "name": "board", "approval": { "role": "board", "minimum": 1, "serviceAccounts": "Deny" } },
                { "name": "smoke", "job": { "template": "smoke", "timeout": "15m" } },
            ],
        })
    );
}
