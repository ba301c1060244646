//! Whether the admission policies that verify the authors of Decisions and Releases exist exactly as the chart installs them.
//!
//! The texts are the chart's own files, so that there is only one source.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cache::index::Index;
use crate::decide::facts::Trust;

/// The kind under which the index keeps policies.
pub const POLICY: &str = "ValidatingAdmissionPolicy";
/// The kind under which the index keeps bindings.
pub const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// Policies that the requests of users must have passed, and the chart's text of each.
const TEXTS: [(&str, &str); 11] = [
    (
        "signalbox-request",
        include_str!("../../charts/signalbox/files/policies/signalbox-request.yaml"),
    ),
    (
        "signalbox-plan",
        include_str!("../../charts/signalbox/files/policies/signalbox-plan.yaml"),
    ),
    (
        "signalbox-hold",
        include_str!("../../charts/signalbox/files/policies/signalbox-hold.yaml"),
    ),
    (
        "signalbox-on-delete",
        include_str!("../../charts/signalbox/files/policies/signalbox-on-delete.yaml"),
    ),
    (
        "signalbox-forget",
        include_str!("../../charts/signalbox/files/policies/signalbox-forget.yaml"),
    ),
    (
        "signalbox-forget-decided",
        include_str!("../../charts/signalbox/files/policies/signalbox-forget-decided.yaml"),
    ),
    (
        "signalbox-decision",
        include_str!("../../charts/signalbox/files/policies/signalbox-decision.yaml"),
    ),
    (
        "signalbox-decision-keep",
        include_str!("../../charts/signalbox/files/policies/signalbox-decision-keep.yaml"),
    ),
    (
        "signalbox-decision-clear",
        include_str!("../../charts/signalbox/files/policies/signalbox-decision-clear.yaml"),
    ),
    (
        "signalbox-review",
        include_str!("../../charts/signalbox/files/policies/signalbox-review.yaml"),
    ),
    (
        "signalbox-status",
        include_str!("../../charts/signalbox/files/policies/signalbox-status.yaml"),
    ),
];

/// The chart's text of each policy.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(_, text)| *text)
}

/// What the chart installs, for the operator that runs as `username`.
#[derive(Clone)]
pub struct Expected {
    objects: Arc<Vec<(&'static str, &'static str, Value)>>,
}

impl Expected {
    /// Fills both names into the chart's texts.
    ///
    /// # Errors
    /// A text that is not YAML, which a test rules out.
    pub fn new(username: &str, deployer: &str) -> Result<Self, serde_yaml_ng::Error> {
        let mut objects = Vec::new();
        for (name, text) in TEXTS {
            let text = text
                .replace("OPERATOR_USERNAME", username)
                .replace("DEPLOYER_NAME", deployer);
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                let object = Value::deserialize(document)?;
                let kind = if object["kind"] == POLICY { POLICY } else { BINDING };
                objects.push((kind, name, object["spec"].clone()));
            }
        }
        Ok(Self {
            objects: Arc::new(objects),
        })
    }

    /// Kind, name and spec of each policy and binding.
    pub fn objects(&self) -> impl Iterator<Item = (&'static str, &'static str, &Value)> {
        self.objects.iter().map(|(kind, name, spec)| (*kind, *name, spec))
    }

    /// What can be trusted, and since when.
    #[must_use]
    pub fn judge(&self, index: &Index) -> Trust {
        let mut decisions_since = Timestamp::MIN;
        let mut requests_since = Timestamp::MIN;
        for (kind, name, spec) in self.objects.iter() {
            let Some(live) = index.policy(kind, name) else {
                return Trust::Broken(format!(
                    "{kind} {name} is missing, so the author of a Decision cannot be verified and no Decision counts. Reinstall the chart's policies."
                ));
            };
            if live.pointer("/metadata/deletionTimestamp").is_some() || live.get("spec") != Some(spec) {
                return Trust::Broken(format!(
                    "{kind} {name} differs from the chart, so the author of a Decision cannot be verified and no Decision counts. Reinstall the chart's policies."
                ));
            }
            if *name == "signalbox-request" {
                requests_since = requests_since.max(last_changed(live));
            }
            if *name == "signalbox-decision" || *name == "signalbox-decision-keep" {
                decisions_since = decisions_since.max(last_changed(live));
            }
        }
        Trust::Verified {
            decisions_since,
            requests_since,
        }
    }
}

/// When its spec was last written: at creation while it has the first generation, otherwise at the last write by any
/// writer. Too late is safe, too early is not.
fn last_changed(live: &Value) -> Timestamp {
    let created = instant(live.pointer("/metadata/creationTimestamp"));
    if live.pointer("/metadata/generation").and_then(Value::as_i64) == Some(1) {
        return created;
    }
    let writes = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let writes = writes.into_iter().flatten().map(|w| instant(w.get("time")));
    // Any writer can empty the list: then the time is unknown, and nothing so far is trusted.
    writes.max().map_or(Timestamp::MAX, |last| last.max(created))
}

fn instant(value: Option<&Value>) -> Timestamp {
    // An unreadable time counts as now, so that nothing older is trusted.
    value
        .and_then(Value::as_str)
        .and_then(|t| t.parse().ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_of_the_chart_is_compared() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/signalbox/files/policies");
        let files = std::fs::read_dir(folder).expect("the chart's policies");
        let names = files.map(|file| {
            file.expect("a file")
                .path()
                .file_stem()
                .expect("a name")
                .to_owned()
        });
        let files: std::collections::BTreeSet<_> = names.collect();
        assert_eq!(files, TEXTS.iter().map(|(name, _)| (*name).into()).collect());
    }

    /// The operator takes a Release for one whose requester is verified if it is younger than the last change of this policy's spec.
    #[test]
    fn an_upgrade_does_not_change_the_policy_that_verifies_requesters() {
        let was = include_str!("../../tests/fixtures/v0.1.0/signalbox-request.yaml");
        let (_, is) = TEXTS
            .iter()
            .find(|(name, _)| *name == "signalbox-request")
            .expect("it");
        let specs = |text: &str| {
            serde_yaml_ng::Deserializer::from_str(text)
                .map(|document| Value::deserialize(document).expect("YAML")["spec"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            specs(is),
            specs(was),
            "every Release that waits for an approval would have to be created again"
        );
    }

    #[test]
    fn no_field_of_a_release_but_hold_is_an_environment_owners_to_change() {
        use kube::CustomResourceExt as _;
        let definition = serde_json::to_value(crate::api::Release::crd()).expect("a definition");
        let spec = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties");
        let fields = spec.and_then(Value::as_object).expect("a schema").keys();
        let (_, text) = TEXTS
            .iter()
            .find(|(name, _)| *name == "signalbox-hold")
            .expect("it");
        let open: Vec<&String> = fields
            .filter(|field| !text.contains(&format!("['spec.{field}']")))
            .collect();
        assert_eq!(open, ["hold"]);
    }

    #[test]
    fn the_charts_texts_are_policies_and_bindings_with_every_placeholder_filled_in() {
        let expected =
            Expected::new("system:serviceaccount:a:signalbox", "signalbox-deployer").expect("YAML");
        assert_eq!(expected.objects.len(), 2 * TEXTS.len());
        for (kind, name, spec) in expected.objects.iter() {
            assert!(spec.is_object(), "{kind} {name} has a spec");
            assert!(!spec.to_string().contains("OPERATOR_USERNAME"), "{kind} {name}");
        }
    }
}
