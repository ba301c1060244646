//! What a Decision binds to: the hash of an explicit projection of the plan, and names derived from it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::patches;
use crate::api::Release;
use crate::api::release::{BackoutPlan, Change, Component, DeploymentPlan, Image};

/// Hex of the SHA-256 of `text`, cut to `digits`.
#[must_use]
pub fn hex(text: &str, digits: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .take(digits)
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

/// `v1:sha256:…` of version, change, components as they go into `environment`, plans and attempt.
///
/// Absent means default, keys are sorted and integers exact, so that the same plan has the same hash wherever it is
/// computed. `namespace` is the target namespace where the Environment is known: an Environment that is redirected
/// voids what was approved.
#[must_use]
pub fn hash(release: &Release, environment: &str, namespace: Option<&str>, attempt: i64) -> String {
    let text = canonical(&projection(release, environment, namespace, attempt));
    format!("v1:sha256:{}", hex(&text, 64))
}

fn projection(release: &Release, environment: &str, namespace: Option<&str>, attempt: i64) -> Value {
    let spec = &release.spec;
    let Change {
        model,
        reference,
        reason,
    } = &spec.change;
    let components: Vec<Value> = spec
        .components
        .iter()
        .map(|c| component(c, environment))
        .collect();
    stated(json!({
        "product": spec.product,
        "version": spec.version,
        "line": spec.line,
        "requestedBy": spec.requested_by,
        "change": stated(json!({ "model": model, "reference": reference, "reason": reason })),
        "environment": environment,
        "namespace": namespace,
        "components": components,
        "deploymentPlan": spec.deployment_plan.as_deref().map(deployment_plan),
        "backoutPlan": spec.backout_plan.as_deref().map(backout_plan),
        "attempt": attempt,
    }))
}

fn component(component: &Component, environment: &str) -> Value {
    // Destructured, so that a new field does not compile until somebody has decided whether it is approved.
    let Component {
        name,
        target,
        patch,
        remove,
        images,
        overrides: _,
        after,
        restart_on,
        ready_within,
    } = component;
    let images: Vec<Value> = images
        .iter()
        .map(|Image { container, image }| json!({ "container": container, "image": image }))
        .collect();
    stated(json!({
        "name": name,
        "target": target,
        "patch": patches::overlay(patch.as_ref(), component.override_for(environment)),
        "remove": remove,
        "images": images,
        "after": after,
        "restartOn": restart_on,
        "readyWithin": ready_within.get().as_secs(),
    }))
}

fn deployment_plan(plan: &DeploymentPlan) -> Value {
    let DeploymentPlan {
        summary,
        document_url,
        owner,
        expected_duration,
    } = plan;
    stated(
        json!({ "summary": summary, "documentURL": document_url, "owner": owner,
                   "expectedDuration": expected_duration.get().as_secs() }),
    )
}

fn backout_plan(plan: &BackoutPlan) -> Value {
    let BackoutPlan {
        summary,
        document_url,
        strategy,
        trigger,
        owner,
        max_duration,
        data_reversible,
    } = plan;
    stated(
        json!({ "summary": summary, "documentURL": document_url, "strategy": strategy, "trigger": trigger,
                   "owner": owner, "maxDuration": max_duration.get().as_secs(), "dataReversible": data_reversible }),
    )
}

/// `map` without what is absent: nulls, and lists with nothing in them.
///
/// Only one level deep: inside a patch an empty list is a statement, and whoever approved `args` as they are has not
/// approved that they are taken away.
fn stated(mut map: Value) -> Value {
    if let Some(map) = map.as_object_mut() {
        map.retain(|_, v| !(v.is_null() || v.as_array().is_some_and(Vec::is_empty)));
    }
    map
}

/// JSON with sorted keys and without white space.
#[must_use]
pub fn canonical(value: &Value) -> String {
    // Written straight into one string: this runs for every environment at every pass.
    fn write(value: &Value, text: &mut String) {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                text.push('{');
                for (index, (key, value)) in entries.into_iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    scalar(key, text);
                    text.push(':');
                    write(value, text);
                }
                text.push('}');
            }
            Value::Array(list) => {
                text.push('[');
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    write(value, text);
                }
                text.push(']');
            }
            other => scalar(other, text),
        }
    }
    fn scalar(value: &impl serde::Serialize, text: &mut String) {
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
    let mut text = String::with_capacity(1024);
    write(value, &mut text);
    text
}

/// Stamp of a target's configuration, for `restartOn`: its content without metadata and status.
#[must_use]
pub fn configuration_stamp(object: &Value) -> String {
    let mut content = object.clone();
    if let Some(map) = content.as_object_mut() {
        map.remove("metadata");
        map.remove("status");
    }
    hex(&canonical(&content), 16)
}

/// `prestate-<16 hex of uid, environment, attempt>`.
#[must_use]
pub fn pre_state_name(uid: &str, environment: &str, attempt: i64) -> String {
    format!("prestate-{}", hex(&format!("{uid}/{environment}/{attempt}"), 16))
}

/// `claim-<16 hex of the target namespace>`.
#[must_use]
pub fn claim_name(namespace: &str) -> String {
    format!("claim-{}", hex(namespace, 16))
}

/// The name of the Job of a gate or verification: what it is for, hashed, so that it exists once.
#[must_use]
pub fn job_name(uid: &str, environment: &str, attempt: i64, check: &str, plan_hash: &str) -> String {
    format!(
        "signalbox-{}",
        hex(&format!("{uid}/{environment}/{attempt}/{check}/{plan_hash}"), 16)
    )
}

#[cfg(test)]
mod tests;
