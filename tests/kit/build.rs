//! Builders for Releases, Decisions and gates. A field that a test does not set has a harmless default.

use serde_json::{Value, json};
use signalbox::api::environment::Gate;
use signalbox::api::{Action, Decision, Release};

use super::cluster::user_name;

/// The image that runs on every stage before any Release.
pub const IMAGE_BEFORE: &str =
    "registry.example.com/ledger@sha256:1111111111111111111111111111111111111111111111111111111111111111";
/// The default image of Releases.
pub const IMAGE: &str =
    "registry.example.com/ledger@sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// A builder for a Release. It stores JSON and not the type, so that a test can also build an invalid Release.
#[derive(Clone, Debug)]
pub struct ReleaseBuilder {
    prefix: String,
    value: Value,
}

/// A Release of `payments`, by alice, with both plans. It still needs `into` and its components.
#[must_use]
pub fn release(version: &str) -> ReleaseBuilder {
    ReleaseBuilder {
        prefix: String::new(),
        value: json!({
            "apiVersion": "signalbox.dev/v1alpha1",
            "kind": "Release",
            "metadata": {},
            "spec": {
                "product": "payments",
                "version": version,
                "requestedBy": user_name("alice"),
                "change": { "reference": "CHG0031337", "reason": "Quarterly ledger release" },
                "environments": [],
                "components": [],
                "deploymentPlan": {
                    "summary": "Config first, then ledger.",
                    "documentURL": "https://example.com/plans/ledger",
                    "owner": user_name("alice"),
                },
                "backoutPlan": { "summary": "Restore what ran before.", "owner": user_name("bob") },
            },
        }),
    }
}

impl ReleaseBuilder {
    /// After this, `into` accepts `sit` for `<stage>-sit`.
    #[must_use]
    pub(super) fn on_stage(mut self, stage: &str) -> Self {
        self.prefix = format!("{stage}-");
        self
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.value["metadata"]["name"] = name.into();
        self
    }

    #[must_use]
    pub fn product(self, product: &str) -> Self {
        self.with("/spec/product", product)
    }

    #[must_use]
    pub fn by(self, person: &str) -> Self {
        self.with("/spec/requestedBy", user_name(person))
    }

    #[must_use]
    pub fn into(self, environments: &[&str]) -> Self {
        let names: Vec<_> = environments
            .iter()
            .map(|e| format!("{}{e}", self.prefix))
            .collect();
        self.with("/spec/environments", names)
    }

    /// The component `name` sets the image of the container `name` in the Deployment `name`.
    #[must_use]
    pub fn image(self, name: &str, image: &str) -> Self {
        self.component(json!({
            "name": name,
            "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "images": [{ "container": name, "image": image }],
        }))
    }

    /// The component `name` sets these keys of the ConfigMap `config_map`.
    #[must_use]
    pub fn config(self, name: &str, config_map: &str, data: Value) -> Self {
        self.component(json!({
            "name": name,
            "target": { "apiVersion": "v1", "kind": "ConfigMap", "name": config_map },
            "patch": { "data": data },
        }))
    }

    #[must_use]
    pub fn component(mut self, component: Value) -> Self {
        if let Some(components) = self.value["spec"]["components"].as_array_mut() {
            components.push(component);
        }
        self
    }

    /// The last component is changed after these.
    #[must_use]
    pub fn after(self, components: &[&str]) -> Self {
        self.last("after", json!(components))
    }

    /// The last component restarts when these change.
    #[must_use]
    pub fn restart_on(self, components: &[&str]) -> Self {
        self.last("restartOn", json!(components))
    }

    /// The time that the last component may take.
    #[must_use]
    pub fn ready_within(self, duration: &str) -> Self {
        self.last("readyWithin", json!(duration))
    }

    fn last(mut self, field: &str, value: Value) -> Self {
        let last = self.value["spec"]["components"]
            .as_array_mut()
            .and_then(|c| c.last_mut());
        last.expect("a component comes first")[field] = value;
        self
    }

    /// `Automatic` or `OnDecision`.
    #[must_use]
    pub fn backout(self, trigger: &str) -> Self {
        self.with("/spec/backoutPlan/trigger", trigger)
    }

    /// Sets any field, by JSON pointer. Its parent must exist.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let (parent, field) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = self
            .value
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("there is no {parent}"));
        match parent {
            Value::Array(list) => list[field.parse::<usize>().expect("an index")] = value.into(),
            other => other[field] = value.into(),
        }
        self
    }

    #[must_use]
    pub fn without(mut self, pointer: &str) -> Self {
        let (parent, field) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = self.value.pointer_mut(parent).and_then(Value::as_object_mut);
        parent.expect("the parent exists").remove(field);
        self
    }

    /// The JSON that is sent, whether or not it is a valid Release.
    #[must_use]
    pub fn json(mut self) -> Value {
        if self.value["metadata"]["name"].is_null() {
            let spec = &self.value["spec"];
            let of = |field: &str| spec[field].as_str().unwrap_or("none").to_lowercase();
            self.value["metadata"]["name"] = format!("{}-{}", of("product"), of("version")).into();
        }
        self.value
    }

    /// # Panics
    /// If it is invalid.
    #[must_use]
    pub fn build(self) -> Release {
        serde_json::from_value(self.json()).expect("a Release")
    }
}

/// A builder for a Decision.
#[derive(Clone, Debug)]
pub struct DecisionBuilder(Value);

/// `action` on the Release `release` in `environment` (its full name), in the name of bob.
#[must_use]
pub fn decision(action: Action, release: &str, environment: &str) -> DecisionBuilder {
    DecisionBuilder(json!({
        "apiVersion": "signalbox.dev/v1alpha1",
        "kind": "Decision",
        "metadata": { "generateName": format!("{}-", action.as_str().to_lowercase()) },
        "spec": {
            "release": release,
            "environment": environment,
            "action": action,
            "by": user_name("bob"),
        },
    }))
}

impl DecisionBuilder {
    #[must_use]
    pub fn by(self, person: &str) -> Self {
        self.with("by", user_name(person))
    }

    /// The gate that is approved or rejected, in this role, for this plan.
    #[must_use]
    pub fn at_gate(self, gate: &str, role: &str, plan_hash: &str) -> Self {
        self.with("subject", gate)
            .with("role", role)
            .with("planHash", plan_hash)
    }

    #[must_use]
    pub fn attempt(self, attempt: i64) -> Self {
        self.with("attempt", attempt)
    }

    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        self.with("reason", reason)
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.0["metadata"] = json!({ "name": name });
        self
    }

    /// Sets any field of the spec.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0["spec"][field] = value.into();
        self
    }

    #[must_use]
    pub fn json(self) -> Value {
        self.0
    }

    /// # Panics
    /// If it is invalid.
    #[must_use]
    pub fn build(self) -> Decision {
        serde_json::from_value(self.0).expect("a Decision")
    }
}

fn gate(value: Value) -> Gate {
    serde_json::from_value(value).expect("a gate")
}

#[must_use]
pub fn approval_gate(name: &str, role: &str, minimum: i64) -> Gate {
    gate(json!({ "name": name, "approval": { "role": role, "minimum": minimum } }))
}

/// `environment` is a full name.
#[must_use]
pub fn soak_gate(name: &str, environment: &str, duration: &str) -> Gate {
    gate(json!({ "name": name, "soak": { "environment": environment, "duration": duration } }))
}

#[must_use]
pub fn expression_gate(name: &str, pass_when: &str) -> Gate {
    gate(json!({ "name": name, "expression": { "passWhen": pass_when } }))
}

#[must_use]
pub fn job_gate(name: &str, template: &str, timeout: &str) -> Gate {
    gate(json!({ "name": name, "job": { "template": template, "timeout": timeout } }))
}
