//! Reviews of Releases.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::ReleaseReview;
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys, remove_named};

impl Index {
    /// Oldest first.
    #[must_use]
    pub fn reviews(&self, namespace: &str, release: &str) -> Vec<Arc<ReleaseReview>> {
        let names = (namespace.to_owned(), release.to_owned());
        let mut reviews: Vec<_> = self
            .reviews
            .get(&names)
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect();
        reviews.sort_by_key(|r| (r.metadata.creation_timestamp.clone(), r.metadata.uid.clone()));
        reviews
    }

    /// A review: its Release is requeued.
    pub fn put_review(&mut self, review: Arc<ReleaseReview>) -> Keys {
        let names = (
            review.metadata.namespace.clone().unwrap_or_default(),
            review.spec.release.clone(),
        );
        let key = Key::release(&names.0, &names.1);
        self.reviews
            .entry(names)
            .or_default()
            .insert(review.metadata.name.clone().unwrap_or_default(), review);
        vec![key]
    }

    /// The review of that name was deleted.
    pub fn remove_review(&mut self, namespace: &str, name: &str) -> Keys {
        remove_named(&mut self.reviews, namespace, name)
    }
}
