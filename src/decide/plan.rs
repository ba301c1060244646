//! What a Decision binds to: the hash of an explicit projection of the plan, and names derived from it.

use serde_json::{Value, json};

use crate::api::Release;
use crate::api::release::{BackoutPlan, Change, Component, DeploymentPlan, Image, Source};
use crate::domain::digest::{canonical, hex};
use crate::domain::patches;

/// The prefix of the names of Jobs of gates and verification.
pub const JOB_PREFIX: &str = "signalbox-";

/// `v1:sha256:…` of version, change, source, components as they go into `environment`, plans and attempt.
///
/// Absent means default, keys are sorted and integers exact, so that the same plan has the same hash wherever it is
/// computed. `namespace` is the target namespace, if the Environment exists: a change of its namespace voids the
/// approvals.
#[must_use]
pub fn hash(release: &Release, environment: &str, namespace: Option<&str>, attempt: i64) -> String {
    let text = canonical(&projection(release, environment, namespace, attempt));
    format!("v1:sha256:{}", hex(&text, 64))
}

/// [`hash`] as v0.1.0 computed it, without `source`: promotions that entered under v0.1.0 continue.
#[must_use]
pub fn hash_without_source(
    release: &Release,
    environment: &str,
    namespace: Option<&str>,
    attempt: i64,
) -> String {
    let mut projection = projection(release, environment, namespace, attempt);
    if let Some(map) = projection.as_object_mut() {
        map.remove("source");
    }
    format!("v1:sha256:{}", hex(&canonical(&projection), 64))
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
        // A plan without a source has the same hash as before `source` was covered.
        "source": spec.source.as_ref().map(source).filter(|source| *source != json!({})),
        "environment": environment,
        "namespace": namespace,
        "components": components,
        "deploymentPlan": spec.deployment_plan.as_deref().map(deployment_plan),
        "backoutPlan": spec.backout_plan.as_deref().map(backout_plan),
        "attempt": attempt,
    }))
}

fn source(source: &Source) -> Value {
    let Source {
        revision,
        committed_at,
        notes_url,
    } = source;
    stated(json!({ "revision": revision, "committedAt": committed_at, "notesURL": notes_url }))
}

fn component(component: &Component, environment: &str) -> Value {
    // Destructured, so that a new field does not compile until it is handled here: is it part of what is approved?
    let Component {
        name,
        target,
        patch,
        remove,
        replace,
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
        "replace": replace,
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
/// Only one level deep: inside a patch an empty list is a statement, and an approval of `args` as they are is no approval of their
/// removal.
fn stated(mut map: Value) -> Value {
    if let Some(map) = map.as_object_mut() {
        map.retain(|_, v| !(v.is_null() || v.as_array().is_some_and(Vec::is_empty)));
    }
    map
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

/// The name of the object that records what Succeeded last.
#[must_use]
pub fn remembered_name(namespace: &str, product: &str, line: &str, environment: &str) -> String {
    format!(
        "succeeded-{}",
        hex(&format!("{namespace}/{product}/{line}/{environment}"), 16)
    )
}

/// The name of the Job of a gate or verification: the hash of its purpose and of a random seed. It is recorded in status before the
/// Job is created, so that the Job exists once.
#[must_use]
pub fn job_name(
    seed: &str,
    uid: &str,
    environment: &str,
    attempt: i64,
    check: &str,
    plan_hash: &str,
) -> String {
    let before = job_name_before(uid, environment, attempt, check, plan_hash);
    format!("{JOB_PREFIX}{}", hex(&format!("{seed}/{before}"), 16))
}

/// The name that v0.1.0 gave such a Job: the hash of its purpose.
#[must_use]
pub fn job_name_before(uid: &str, environment: &str, attempt: i64, check: &str, plan_hash: &str) -> String {
    format!(
        "{JOB_PREFIX}{}",
        hex(&format!("{uid}/{environment}/{attempt}/{check}/{plan_hash}"), 16)
    )
}

#[cfg(test)]
mod tests;
