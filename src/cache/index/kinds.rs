//! Watch events that are handled alike for all of our kinds.

use crate::api::Kind;
use crate::cache::index::Index;
use crate::cache::index::names::Keys;

impl Index {
    /// The object of that kind and name was deleted. An Environment has no namespace.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> Keys {
        match kind {
            Kind::Release => self.remove_release(namespace, name),
            Kind::Environment => self.remove_environment(name),
            Kind::Decision => self.remove_decision(namespace, name),
            Kind::ReleaseReview => self.remove_review(namespace, name),
        }
    }
}
