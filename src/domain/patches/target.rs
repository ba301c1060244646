//! Which object a component changes.

use serde_json::Value;

use crate::api::release;
use crate::domain::patches::error::Unsendable;
use crate::domain::patches::pods::pod_template_pointer;
use crate::domain::paths::get;

/// Which object a component changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// API group and version, such as `apps/v1`.
    pub api_version: &'a str,
    /// The kind, such as `Deployment`.
    pub kind: &'a str,
    /// Name of the object in the target namespace.
    pub name: &'a str,
}

impl<'a> From<&'a release::Target> for Target<'a> {
    fn from(target: &'a release::Target) -> Self {
        Self {
            api_version: &target.api_version,
            kind: &target.kind,
            name: &target.name,
        }
    }
}

impl Target<'_> {
    /// As messages name it: `Deployment ledger`.
    pub(crate) fn called(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The pointer of its pod template, where `what` has to be set.
    ///
    /// # Errors
    /// The kind has none.
    pub(crate) fn pod_template(&self, what: &'static str) -> Result<&'static str, Unsendable> {
        pod_template_pointer(self.kind).ok_or_else(|| Unsendable::NoPodTemplate {
            target: self.called(),
            what,
        })
    }
}

/// Does the patch state the target's full identity, so that a missing target may be created from it?
pub fn names_in_full(api_version: &str, kind: &str, name: &str, patch: &Value) -> bool {
    let says = |pointer, wanted| get(patch, pointer).and_then(Value::as_str) == Some(wanted);
    says("/apiVersion", api_version) && says("/kind", kind) && says("/metadata/name", name)
}
