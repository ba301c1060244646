//! Custom resources that no longer fit their type, as after a CRD was loosened, or after a rollback of the operator. CRDs are
//! cluster-scoped, so this program needs the cluster for itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt};
use serde_json::{Value, json};
use signalbox::api::release::State;
use signalbox::api::{Environment, Release};

use kit::{Stage, admin, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// Allows any string at `field` of the kind's schema, and returns the schema to restore.
async fn loosen<K: CustomResourceExt>(client: &Client, field: &str) -> Value {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = K::crd_name();
    let definition = definitions.get(name).await.unwrap();
    let mut spec = json!(definition.spec);
    let was = json!({ "spec": spec });
    let at = format!("/versions/0/schema/openAPIV3Schema{field}");
    *spec.pointer_mut(&at).expect(field) = json!({ "type": "string" });
    replace(client, name, &json!({ "spec": spec })).await;
    was
}

async fn replace(client: &Client, name: &str, definition: &Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let patch = Patch::Merge(definition);
    definitions
        .patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Creates an object that only the loosened CRD allows, when the API server uses it. There is no event for that.
async fn store(api: &Api<DynamicObject>, object: Value) -> DynamicObject {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let stored = async {
        loop {
            match api.create(&PostParams::default(), &object).await {
                Ok(stored) => break stored,
                Err(kube::Error::Api(status)) if status.code == 422 => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(LONG, stored)
        .await
        .expect("the CRD is loosened")
}

/// The message of the condition `kind` with this status.
async fn says(api: &Api<DynamicObject>, name: &str, kind: &str, status: &str) -> String {
    let message = |object: &DynamicObject| {
        let conditions = object.data.pointer("/status/conditions")?.as_array()?;
        let found = conditions
            .iter()
            .find(|c| c["type"] == kind && c["status"] == status)?;
        Some(found["message"].as_str()?.to_owned())
    };
    let said = async {
        loop {
            if let Some(message) = api.get(name).await.ok().as_ref().and_then(message) {
                break message;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, said)
        .await
        .expect("it is reported in status")
}

/// One after the other, because both change CRDs.
#[tokio::test]
async fn what_does_not_fit_its_type_is_said_on_its_status_and_stops_nobody_else() {
    let client = admin().await;
    let stage = Stage::new("misfit").await;
    a_release(&client, &stage).await;
    an_environment(&client, &stage).await;
    stage.finish().await;
}

async fn a_release(client: &Client, stage: &Stage) {
    let field = "/properties/spec/properties/components/items/properties/readyWithin";
    let was = loosen::<Release>(client, field).await;
    let api: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        stage.namespace(),
        &ApiResource::erase::<Release>(&()),
    );
    let misfit = stage.release("1").product("misfit").into(&["sit"]);
    let misfit = misfit
        .config("config", "ledger-config", json!({ "A": "b" }))
        .ready_within("soon");
    store(&api, misfit.json()).await;
    let message = says(&api, "misfit-1", "Accepted", "False").await;
    replace(client, Release::crd_name(), &was).await;
    assert!(
        message.starts_with("This Release does not match its schema ("),
        "{message}"
    );
    assert!(message.contains("soon"), "{message}");
    assert!(
        message.ends_with("Correct that field. Until then the operator does not act on this object."),
        "{message}"
    );

    let sound = stage.release("1").product("sound").into(&["sit"]);
    let sound = stage
        .submit(sound.config("config", "ledger-config", json!({ "A": "b" })))
        .await;
    stage.reaches(&sound, "sit", State::Succeeded).await;
    let fixed = json!({ "spec": { "components": misfit_mended() } });
    api.patch("misfit-1", &PatchParams::default(), &Patch::Merge(fixed))
        .await
        .unwrap();
    stage.reaches("misfit-1", "sit", State::Succeeded).await;
}

fn misfit_mended() -> Value {
    json!([{
        "name": "config", "readyWithin": "1m",
        "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger-config" },
        "patch": { "data": { "A": "c" } },
    }])
}

async fn an_environment(client: &Client, stage: &Stage) {
    let was = loosen::<Environment>(client, "/properties/spec/properties/observation").await;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<Environment>(&()));
    let name = format!("{}-misfit", stage.namespace());
    let misfit = json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment", "metadata": { "name": name },
        "spec": { "stage": "SIT", "namespace": "{namespace}-sit", "observation": "a while" },
    });
    store(&api, misfit).await;
    let message = says(&api, &name, "Ready", "False").await;
    replace(client, Environment::crd_name(), &was).await;
    assert!(
        message.starts_with("This Environment does not match its schema ("),
        "{message}"
    );
    assert!(message.contains("a while"), "{message}");
    let fixed = json!({ "spec": { "observation": "1s" } });
    api.patch(&name, &PatchParams::default(), &Patch::Merge(fixed))
        .await
        .unwrap();
    let environments: Api<Environment> = Api::all(client.clone());
    wait_until(&environments, &name, LONG, |environment| {
        let conditions = environment.status.iter().flat_map(|s| &s.conditions);
        conditions
            .into_iter()
            .any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
    environments.delete(&name, &Default::default()).await.unwrap();
    kit::gone(&environments, &name, LONG).await;
}
