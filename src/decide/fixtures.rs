//! Builders for tests: one product, payments, promoted through SIT, UAT and Production.
//!
//! Specs are read from JSON as people write them, so that every default is the API's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{Promotion, State};
use crate::api::{self, Decision, Environment, RELEASE_FINALIZER, Release, ReleaseReview, environment, time};
use crate::decide::facts::{
    Claim, Holder, Inspected, Inspection, NamespaceState, Observed, Place, Setting, Settings, Trust,
};
use crate::decide::plan;
use crate::domain::calendar::{Calendar, DefaultWindow, Window};
use crate::domain::{digest, patches, paths, readiness};

pub(crate) const REQUESTER: &str = "rita@example.com";
pub(crate) const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// When every test begins: a Monday morning.
pub(crate) fn morning() -> Timestamp {
    at("2026-11-23T09:00:00Z")
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

pub(crate) fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub(crate) fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

pub(crate) fn image(tag: &str) -> String {
    format!("registry/ledger:{tag}@{DIGEST}")
}

/// payments 2026.11.1: a ConfigMap, and a Deployment that comes after it and is restarted by it.
pub(crate) fn release() -> Release {
    release_of(&json!({}))
}

/// The same with `over` laid over its spec.
pub(crate) fn release_of(over: &Value) -> Release {
    let spec = json!({
        "product": "payments", "version": "2026.11.1", "requestedBy": REQUESTER, "change": {},
        "environments": ["sit", "uat", "production"],
        "components": [config(), ledger()],
        "deploymentPlan": { "summary": "roll", "owner": "olga@example.com", "documentURL": "https://wiki/plan" },
        "backoutPlan": { "summary": "put back", "owner": "olga@example.com" },
    });
    let spec = patches::overlay(Some(&spec), Some(over)).expect("a spec");
    let mut release: Release = serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
        "metadata": {
            "name": "payments-2026.11.1", "namespace": "payments", "uid": "r1", "generation": 1,
            "creationTimestamp": "2026-11-23T08:00:00Z", "finalizers": [RELEASE_FINALIZER],
        },
        "spec": without_nulls(spec),
    }))
    .expect("a release");
    release.metadata.resource_version = Some("1".to_owned());
    release
}

/// In `over` a null removes a field.
fn without_nulls(mut spec: Value) -> Value {
    if let Some(map) = spec.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
    spec
}

pub(crate) fn config() -> Value {
    json!({ "name": "config", "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": "ledger" },
            "patch": { "data": { "limit": "20" } } })
}

pub(crate) fn ledger() -> Value {
    json!({ "name": "ledger", "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ledger" },
            "images": [{ "container": "app", "image": image("2") }], "after": ["config"] })
}

/// Another release of the product, further or not.
pub(crate) fn sibling(version: &str, uid: &str, environments: &[(&str, State)]) -> Arc<Release> {
    let mut other = release_of(&json!({ "version": version }));
    other.metadata.name = Some(format!("payments-{version}"));
    other.metadata.uid = Some(uid.to_owned());
    let promotions = environments.iter().map(|(name, state)| promotion(name, *state));
    other.status = Some(api::ReleaseStatus {
        environments: promotions.collect(),
        ..Default::default()
    });
    Arc::new(other)
}

pub(crate) fn promotion(name: &str, state: State) -> Promotion {
    Promotion {
        name: name.to_owned(),
        state,
        attempt: 1,
        since: Some(time(morning())),
        ..Promotion::default()
    }
}

/// One that Succeeded with the image of [`release`].
pub(crate) fn succeeded(name: &str, finished: Timestamp) -> Promotion {
    let component = json!({ "name": "ledger", "state": "Ready", "to": image("2") });
    Promotion {
        components: vec![
            serde_json::from_value(json!({ "name": "config", "state": "Ready" })).expect("a component"),
            serde_json::from_value(component).expect("a component"),
        ],
        finished_at: Some(time(finished)),
        ..promotion(name, State::Succeeded)
    }
}

pub(crate) fn environment(name: &str, spec: Value) -> Environment {
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Environment",
        "metadata": { "name": name, "generation": 1 }, "spec": spec,
    }))
    .expect("an environment")
}

pub(crate) fn sit() -> Environment {
    environment("sit", json!({ "stage": "SIT", "namespace": "{namespace}-sit" }))
}

pub(crate) fn uat() -> Environment {
    environment(
        "uat",
        json!({ "stage": "UAT", "namespace": "{namespace}-uat", "promotesFrom": { "environments": ["sit"] },
                "observation": "10m", "owner": { "team": "Testing", "contact": "uat@example.com" } }),
    )
}

pub(crate) fn production() -> Environment {
    environment(
        "production",
        json!({ "stage": "Production", "namespace": "{namespace}", "promotesFrom": { "environments": ["uat"] },
                "defaultWindow": "Open" }),
    )
}

pub(crate) fn with_gates(mut environment: Environment, gates: Value) -> Environment {
    environment.spec.gates = serde_json::from_value(gates).expect("gates");
    environment
}

pub(crate) fn open_at_all_times() -> Calendar {
    Calendar::new(&[], DefaultWindow::Open)
}

/// One Decision of one person.
pub(crate) fn decision(
    action: &str,
    by: &str,
    environment: &str,
    created: Timestamp,
    over: Value,
) -> Decision {
    let spec =
        json!({ "release": "payments-2026.11.1", "environment": environment, "action": action, "by": by });
    let spec = patches::overlay(Some(&spec), Some(&over)).expect("a spec");
    let name = format!("{action}-{by}-{environment}-{}", created.as_second()).to_lowercase();
    let uid = format!("uid-{}", digest::hex(&format!("{name}{spec}"), 8));
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "Decision",
        "metadata": {
            "name": name, "namespace": "payments", "uid": uid, "creationTimestamp": time(created),
            "ownerReferences": [{ "apiVersion": "signalbox.dev/v1alpha1", "kind": "Release",
                                  "name": "payments-2026.11.1", "uid": "r1" }],
        },
        "spec": spec,
    }))
    .expect("a decision")
}

pub(crate) fn review(reviewer: &str, over: Value) -> ReleaseReview {
    let spec = json!({ "release": "payments-2026.11.1", "reviewer": reviewer });
    let spec = patches::overlay(Some(&spec), Some(&over)).expect("a spec");
    serde_json::from_value(json!({
        "apiVersion": "signalbox.dev/v1alpha1", "kind": "ReleaseReview",
        "metadata": { "name": "review", "namespace": "payments" }, "spec": spec,
    }))
    .expect("a review")
}

pub(crate) fn claim(namespace: &str, uid: &str, environment: &str, attempt: i64) -> Claim {
    Claim {
        name: plan::claim_name(namespace),
        uid: format!("lease-{namespace}"),
        resource_version: "1".to_owned(),
        namespace: namespace.to_owned(),
        holder: Some(Holder {
            release_uid: uid.to_owned(),
            environment: environment.to_owned(),
            attempt,
        }),
        release: if uid == "r1" {
            "payments/payments-2026.11.1".to_owned()
        } else {
            format!("payments/{uid}")
        },
        unsettled: false,
        holder_absent: false,
    }
}

/// The targets as they run before the release, in every target namespace.
pub(crate) fn running() -> BTreeMap<String, Value> {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "ledger", "uid": "u-ledger", "generation": 1, "resourceVersion": "10" },
        "spec": {
            "replicas": 2, "progressDeadlineSeconds": 600,
            "template": { "spec": { "containers": [{ "name": "app", "image": image("1") }] } },
        },
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "ledger", "uid": "u-config", "resourceVersion": "10" },
        "data": { "limit": "10", "other": "x" },
    });
    [
        ("config".to_owned(), config),
        ("ledger".to_owned(), rolled_out(deployment)),
    ]
    .into()
}

/// The Deployment once its rollout is complete.
pub(crate) fn rolled_out(mut object: Value) -> Value {
    if object["kind"] == "Deployment" {
        object["status"] = json!({
            "observedGeneration": object["metadata"]["generation"],
            "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
            "conditions": [
                { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "" },
                { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "" },
            ],
        });
    }
    object
}

/// The Deployment once its progress deadline has passed.
pub(crate) fn stuck(mut object: Value) -> Value {
    if object["kind"] == "Deployment" {
        object["status"] = json!({
            "observedGeneration": object["metadata"]["generation"], "replicas": 2, "updatedReplicas": 1,
            "conditions": [{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                             "message": "timed out" }],
        });
    }
    object
}

/// The result of a dry run of every component over `objects`, as the API server would answer.
pub(crate) fn inspection(
    release: &Release,
    environment: &str,
    objects: &BTreeMap<String, Value>,
) -> Inspection {
    let components = release.spec.components.iter().map(|component| {
        let live = objects.get(&component.name);
        let stated = patches::overlay(component.patch.as_ref(), component.override_for(environment));
        let mut result = patches::overlay(live, stated.as_ref()).unwrap_or_else(|| json!({}));
        for image in &component.images {
            let containers = result.pointer_mut("/spec/template/spec/containers");
            for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
                if container["name"] == image.container.as_str() {
                    container["image"] = json!(image.image);
                }
            }
        }
        let text = |pointer: &str| live.and_then(|l| l.pointer(pointer)?.as_str().map(str::to_owned));
        Inspected {
            name: component.name.clone(),
            refusal: None,
            note: None,
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            changes: paths::difference(live.unwrap_or(&json!({})), &result),
            was: readiness::was(live, &result),
            restarted_for: None,
            images_before: live.map(patches::images).unwrap_or_default(),
            images_after: patches::images(&result),
            result: Some(Arc::new(result)),
            ours: None,
        }
    });
    Inspection {
        refusal: None,
        components: components.collect(),
        size: 1024,
        again_at: None,
    }
}

/// Everything exists and nothing blocks.
pub(crate) fn place(release: &Release, environment: &str) -> Place {
    Place {
        namespace: NamespaceState::Present,
        inspection: Some(Arc::new(inspection(release, environment, &running()))),
        live: true,
        ..Place::default()
    }
}

pub(crate) fn setting(environment: Environment, calendar: Calendar) -> Setting {
    Setting {
        environment: Arc::new(environment),
        calendar: Arc::new(calendar),
    }
}

/// [`release`] before SIT, UAT and Production.
pub(crate) fn observed() -> Observed {
    observed_of(release())
}

pub(crate) fn observed_of(release: Release) -> Observed {
    let settings = [sit(), uat(), production()].map(|e| {
        let name = e.metadata.name.clone().unwrap_or_default();
        (name, setting(e, open_at_all_times()))
    });
    let places = ["sit", "uat", "production"].map(|e| (e.to_owned(), place(&release, e)));
    Observed {
        release: Arc::new(release),
        settings: Arc::new(Settings {
            operator_namespace: "signalbox".to_owned(),
            watch_namespaces: vec![],
            deployer: "signalbox-deployer".to_owned(),
            require_consent: true,
            health_grace: minutes(2),
            inconclusive_after: minutes(30),
            policy_settle: minutes(1),
            pre_state_limit: 64 << 20,
        }),
        environments: Arc::new(settings.into()),
        plan_hashes: Arc::default(),
        surplus: Vec::new(),
        siblings: vec![],
        decisions: vec![],
        reviews: vec![],
        trust: Trust::Verified {
            decisions_since: at("2026-01-01T00:00:00Z"),
            requests_since: at("2026-01-01T00:00:00Z"),
        },
        namespace_labels: BTreeMap::new(),
        places: places.into(),
        pre_states: vec![],
        remembered: vec![],
        altered: BTreeMap::new(),
        own_claims: vec![],
        seed: "seed".to_owned(),
    }
}

impl Observed {
    /// With this Environment instead of the one of its name, open as `windows` say.
    pub(crate) fn with_environment(mut self, environment: Environment, windows: &[Window]) -> Self {
        let default = match environment.spec.default_window() {
            environment::DefaultWindow::Open => DefaultWindow::Open,
            environment::DefaultWindow::Closed => DefaultWindow::Closed,
        };
        let name = environment.metadata.name.clone().unwrap_or_default();
        let calendar = Calendar::new(windows, default);
        Arc::make_mut(&mut self.environments).insert(name, setting(environment, calendar));
        self
    }

    /// With these promotions on status.
    pub(crate) fn with_promotions(mut self, promotions: Vec<Promotion>) -> Self {
        let status = Arc::make_mut(&mut self.release).status.get_or_insert_default();
        status.environments = promotions;
        self
    }

    pub(crate) fn with_decisions(mut self, decisions: Vec<Decision>) -> Self {
        self.decisions = decisions.into_iter().map(Arc::new).collect();
        self
    }
}
