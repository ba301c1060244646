//! What a Release changes on its targets: for each component the object as it would run, and the difference from what runs.

mod masking;

use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use crate::api::Release;
use crate::api::release::{Component, Target};
use crate::decide::licence::How;
use crate::decide::states::deploying;
use crate::domain::patches::Unsendable;
use crate::domain::text::printable;
use crate::domain::{digest, paths};
use crate::view::yaml::yaml;
use crate::world;
use masking::Masking;
pub use masking::shows_secrets;

/// Lines around a change.
const CONTEXT: usize = 3;
/// The annotation in which `kubectl apply` stores the whole manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Metadata that the API server writes.
const OF_THE_SERVER: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "selfLink",
];

/// What the components of a Release change in one environment, computed one after the other in the order of the Release: the stamp of
/// `restartOn` follows from the results of earlier components.
#[derive(Clone, Debug)]
pub struct Computation<'a> {
    release: &'a Release,
    environment: &'a str,
    stamps: Vec<(String, String)>,
}

impl<'a> Computation<'a> {
    /// No component is computed yet.
    #[must_use]
    pub fn new(release: &'a Release, environment: &'a str) -> Self {
        Self {
            release,
            environment,
            stamps: Vec::new(),
        }
    }

    /// What is sent to the API server for the component: `How::Patch` where its target exists, `How::Create` where it does not.
    ///
    /// # Errors
    /// The component does not fit its target.
    pub fn request(&self, component: &Component, live: Option<&Value>) -> Result<How, Unsendable> {
        let name = self.release.metadata.name.as_deref().unwrap_or_default();
        let attempt = self.release.promotion(self.environment).map_or(1, |p| p.attempt);
        let restarted_for = digest::restart_stamp(&component.restart_on, &self.stamps);
        deploying::change(
            name,
            self.environment,
            attempt,
            component,
            restarted_for.as_deref(),
            live,
        )
    }

    /// The target as it would run, after `result` was the answer to a dry run of `request`. What admission or the API server added to a
    /// target that exists is left out: the Release does not change it.
    pub fn answered(
        &mut self,
        component: &Component,
        live: Option<&Value>,
        request: &How,
        result: Value,
    ) -> Value {
        let result = match (live, request) {
            (Some(live), How::Patch { patch, .. }) => paths::stated(live, patch, &result),
            _ => result,
        };
        let stamp = digest::configuration_stamp(&result);
        self.stamps.push((component.name.clone(), stamp));
        result
    }

    /// The target as it would run, computed without the API server: without its defaults and without admission.
    ///
    /// # Errors
    /// The component does not fit its target.
    pub fn computed(&mut self, component: &Component, live: Option<&Value>) -> Result<Value, Unsendable> {
        let request = self.request(component, live)?;
        let result = match (&request, live) {
            (How::Patch { patch, .. }, Some(live)) => {
                let mut result = live.clone();
                world::merge(&mut result, patch);
                result
            }
            (How::Create { object }, _) => object.clone(),
            // Not a change forward.
            _ => live.cloned().unwrap_or_default(),
        };
        Ok(self.answered(component, live, &request, result))
    }
}

/// The difference that a Release makes on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `namespace/Kind/name`.
    pub target: String,
    /// Whether the target does not exist and is created.
    pub created: bool,
    /// Whether the Release changes anything on it.
    pub changed: bool,
    /// A unified diff of both as YAML; empty if nothing changes. It has no characters that move a cursor.
    pub text: String,
}

/// The difference between `live`, the target as it runs, and `result`, as it would run. Values that look secret are masked, unless
/// `show_values`; it stays visible that they change.
///
/// # Errors
/// The objects cannot be written as YAML.
pub fn difference(
    namespace: &str,
    target: &Target,
    live: Option<&Value>,
    result: &Value,
    show_values: bool,
) -> Result<Difference, serde_yaml_ng::Error> {
    let mut before = live.map(normalised);
    let mut after = normalised(result);
    let changed = before.as_ref() != Some(&after);
    if !show_values {
        let mut masking = Masking::default();
        before = before.map(|object| masking.live(&object));
        after = masking.result(&after);
    }
    let target = printable(&format!("{namespace}/{}/{}", target.kind, target.name));
    let text = if changed {
        let before = before.as_ref().map_or_else(|| Ok(String::new()), lines)?;
        let after = lines(&after)?;
        TextDiff::from_lines(&before, &after)
            .unified_diff()
            .context_radius(CONTEXT)
            .header(&format!("{target} (live)"), &format!("{target} (release)"))
            .to_string()
    } else {
        String::new()
    };
    Ok(Difference {
        target,
        created: live.is_none(),
        changed,
        text,
    })
}

/// The object without what the cluster writes into it, and without the namespace, which the target names.
fn normalised(object: &Value) -> Value {
    let mut object = object.clone();
    object.sort_all_objects();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return object;
    };
    for field in OF_THE_SERVER {
        metadata.remove(field);
    }
    metadata.remove("namespace");
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    if let Some(annotations) = annotations
        && annotations.remove(LAST_APPLIED).is_some()
        && annotations.is_empty()
    {
        metadata.remove("annotations");
    }
    object
}

/// YAML, with every line safe to print.
fn lines(object: &Value) -> Result<String, serde_yaml_ng::Error> {
    let yaml = yaml(object)?;
    let lines = yaml.trim_end_matches('\n').split('\n');
    Ok(lines.map(|line| printable(line) + "\n").collect())
}

#[cfg(test)]
mod tests;
