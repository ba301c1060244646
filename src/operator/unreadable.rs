//! A Release or Environment that does not match its schema, or a Release that is too large, gets this reason in its own status. Nothing else
//! is known about it, and its locks are kept.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::{Environment, Release};
use crate::cache::index::Unreadable;
use crate::cluster::request_error::RequestError;
use crate::cluster::sent::{Sent, Shape};
use crate::domain::text::cut;

/// Writes Accepted=False once.
pub(crate) async fn say(
    client: &Client,
    namespace: &str,
    name: &str,
    unreadable: &Unreadable,
) -> Result<(), RequestError> {
    let api: Api<Sent<Release>> = Api::namespaced(client.clone(), namespace);
    write(
        &api,
        name,
        &[("Accepted", "False"), ("Stalled", "True")],
        unreadable,
    )
    .await
}

/// Writes Ready=False once.
pub(crate) async fn say_environment(
    client: &Client,
    name: &str,
    unreadable: &Unreadable,
) -> Result<(), RequestError> {
    let api: Api<Sent<Environment>> = Api::all(client.clone());
    write(&api, name, &[("Ready", "False"), ("Stalled", "True")], unreadable).await
}

/// The only part that has to be read: the rest may be unreadable.
static CONDITIONS: Shape = Shape {
    keep: |key| key == "status",
    inside: &[(
        "status",
        &Shape {
            keep: |key| key == "conditions",
            inside: &[],
        },
    )],
};

async fn write<K: Resource>(
    api: &Api<Sent<K>>,
    name: &str,
    conditions_to_write: &[(&str, &str)],
    unreadable: &Unreadable,
) -> Result<(), RequestError> {
    let Some(object) = api.get_opt(name).await? else {
        return Ok(());
    };
    let message = cut(unreadable.message.clone());
    let was = object
        .shaped(&CONDITIONS)
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let says_so = was
        .iter()
        .any(|c| c["type"] == conditions_to_write[0].0 && c["message"] == message.as_str());
    if says_so {
        return Ok(());
    }
    let mut conditions: Vec<Value> = was
        .into_iter()
        .filter(|c| conditions_to_write.iter().all(|(kind, _)| c["type"] != *kind))
        .collect();
    for (kind, status) in conditions_to_write {
        conditions.push(json!({
            "type": kind, "status": status, "reason": unreadable.reason, "message": message,
            "observedGeneration": unreadable.generation, "lastTransitionTime": crate::api::time(Timestamp::now()),
        }));
    }
    tracing::warn!(
        name,
        reason = unreadable.reason,
        says = message,
        "An object cannot be read and is not changed."
    );
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version() },
        // Tools that compare generations, such as kstatus, would otherwise wait forever.
        "status": { "observedGeneration": unreadable.generation, "conditions": conditions }
    });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
