//! Admission policies and their bindings.

use std::sync::Arc;

use serde_json::Value;

use crate::cache::index::Index;
use crate::cache::index::names::Keys;

impl Index {
    /// The policy or binding of that name.
    #[must_use]
    pub fn policy(&self, kind: &'static str, name: &str) -> Option<&Arc<Value>> {
        self.policies.get(&(kind, name.to_owned()))
    }

    /// A policy or binding as its watch shows it: unsettled Releases are requeued.
    pub fn put_policy(&mut self, kind: &'static str, name: &str, policy: Arc<Value>) -> Keys {
        self.policies_seen += 1;
        self.policies.insert((kind, name.to_owned()), policy);
        self.with_decisions()
    }

    /// The policy or binding of that name was deleted.
    pub fn remove_policy(&mut self, kind: &'static str, name: &str) -> Keys {
        self.policies_seen += 1;
        self.policies.remove(&(kind, name.to_owned()));
        self.with_decisions()
    }

    /// How often a policy or binding has changed so far.
    #[must_use]
    pub fn policies_seen(&self) -> u64 {
        self.policies_seen
    }
}
