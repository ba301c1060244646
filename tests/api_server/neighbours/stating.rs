//! What a component can set (b09, b14), and what is refused because no backout could restore it (b17).

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container};
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::State;

use crate::acting::{LONG, check};
use crate::kit::{ReleaseBuilder, Stage, wait_until};

const CONTAINER: &str = "/spec/template/spec/containers[name=ledger]";

fn pod(container: Value) -> Value {
    let mut all = json!({ "name": "ledger" });
    all.as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    json!({ "spec": { "template": { "spec": { "containers": [all] } } } })
}

fn stating(stage: &Stage, version: &str, fields: Value) -> ReleaseBuilder {
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" });
    let mut component = json!({ "name": "ledger", "target": target });
    component
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    stage.release(version).into(&["sit"]).component(component)
}

async fn container(stage: &Stage) -> Container {
    let ledger = stage.in_target::<Deployment>("sit").get("ledger").await.unwrap();
    ledger.spec.unwrap().template.spec.unwrap().containers.remove(0)
}

async fn before(stage: &Stage, fields: Value) {
    stage
        .meddle::<Deployment>("sit", "ledger", "team", pod(fields))
        .await;
    wait_until(&stage.in_target::<Deployment>("sit"), "ledger", LONG, |d| {
        d.status.as_ref().is_some_and(|s| {
            s.observed_generation == d.metadata.generation
                && s.updated_replicas == Some(2)
                && s.available_replicas == Some(2)
        })
    })
    .await;
}

fn names(container: &Container) -> Vec<&str> {
    container.env.iter().flatten().map(|e| e.name.as_str()).collect()
}

/// b09
#[tokio::test]
async fn a_new_variable_stands_behind_those_that_are_there() {
    let stage = Stage::new("order").only(&["sit"]).await;
    before(
        &stage,
        json!({ "env": [{ "name": "HOST", "value": "db" }, { "name": "OLD", "value": "x" }] }),
    )
    .await;
    let env = json!([{ "name": "URL", "value": "http://$(HOST)/" }, { "name": "ALL", "value": "$(URL)" }]);
    let remove = json!([format!("{CONTAINER}/env[name=OLD]")]);
    let fields = json!({ "patch": pod(json!({ "env": env })), "remove": remove });
    let name = stage.submit(stating(&stage, "1.0", fields)).await;
    stage.reaches(&name, "sit", State::Succeeded).await;
    assert_eq!(names(&container(&stage).await), ["HOST", "URL", "ALL"]);
    stage.finish().await;
}

/// b14
#[tokio::test]
async fn what_a_merge_leaves_is_replaced_or_taken_out() {
    let stage = Stage::new("stating").only(&["sit"]).await;
    let http = json!({ "httpGet": { "path": "/", "port": 80 } });
    let limits = json!({ "cpu": "1", "memory": "1Gi" });
    before(
        &stage,
        json!({ "env": [{ "name": "PW", "value": "x" }], "readinessProbe": http, "resources": { "limits": limits } }),
    )
    .await;
    let reference = json!({ "name": "PW", "valueFrom": { "secretKeyRef": { "name": "db", "key": "pw" } } });
    let tcp = json!({ "tcpSocket": { "port": 80 } });
    let steps = [
        json!({ "patch": pod(json!({ "env": [reference] })) }),
        json!({ "patch": pod(json!({ "readinessProbe": tcp })) }),
        json!({ "remove": ["/spec/template/spec/containers/0/env/0"] }),
        json!({
            "patch": pod(json!({ "resources": { "limits": { "cpu": "2" } } })),
            "replace": [format!("{CONTAINER}/resources")],
        }),
    ];
    for (step, fields) in steps.into_iter().enumerate() {
        let name = stage.submit(stating(&stage, &format!("1.{step}"), fields)).await;
        stage.reaches(&name, "sit", State::Succeeded).await;
        let now = container(&stage).await;
        let said = serde_json::to_value(&now).unwrap();
        match step {
            0 => {
                assert_eq!(said["env"][0]["value"], Value::Null);
                assert_eq!(said["env"][0]["valueFrom"], reference["valueFrom"]);
            }
            1 => {
                assert_eq!(said["readinessProbe"]["httpGet"], Value::Null);
                assert_eq!(said["readinessProbe"]["tcpSocket"], tcp["tcpSocket"]);
            }
            2 => assert_eq!(names(&now), Vec::<&str>::new()),
            _ => assert_eq!(said["resources"], json!({ "limits": { "cpu": "2" } })),
        }
    }
    stage.finish().await;
}

/// b17
#[tokio::test]
async fn a_change_that_nothing_could_put_back_is_refused_before_entry() {
    let stage = Stage::new("forgood").only(&["sit"]).await;
    let component = json!({
        "name": "config",
        "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger-config" },
        "patch": { "immutable": true, "data": { "FEATURE_X": "on" } },
    });
    let name = stage
        .submit(stage.release("1.0").into(&["sit"]).component(component))
        .await;
    let environment = stage.environment("sit");
    let release = wait_until(&stage.api::<Release>(), &name, LONG, |release| {
        let promotion = release.promotion(&environment);
        promotion.is_some_and(|p| p.checks.iter().any(|c| c.reason == "ChangeIrreversible"))
    })
    .await;
    let promotion = release.promotion(&environment).unwrap();
    let said = &check(promotion, "TargetsAllowed").unwrap().message;
    assert_eq!(
        said,
        "Component config: ConfigMap ledger-config: /immutable becomes true, which a backout cannot restore: an immutable \
         ConfigMap can neither be changed nor made mutable again; create a ConfigMap with a new name that is immutable from \
         the start, and refer to it."
    );
    let map = stage
        .in_target::<ConfigMap>("sit")
        .get("ledger-config")
        .await
        .unwrap();
    assert_eq!(map.immutable, None);
    stage.finish().await;
}
