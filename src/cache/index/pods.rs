//! Pods of target namespaces.

use crate::api::Release;
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys};
use crate::cache::kept::Kept;

impl Index {
    /// Pods of a namespace by name.
    pub fn pods(&self, namespace: &str) -> impl Iterator<Item = (&String, &Kept)> {
        self.pods.get(namespace).into_iter().flatten()
    }

    /// A pod as a watch shows it.
    pub fn put_pod(&mut self, namespace: &str, name: &str, pod: Kept) -> Keys {
        self.pods
            .entry(namespace.to_owned())
            .or_default()
            .insert(name.to_owned(), pod);
        self.looking_at_pods_in(namespace, false)
    }

    /// The pod of that name was deleted.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) -> Keys {
        if let Some(pods) = self.pods.get_mut(namespace) {
            pods.remove(name);
            if pods.is_empty() {
                self.pods.remove(namespace);
            }
        }
        self.looking_at_pods_in(namespace, true)
    }

    /// Releases that depend on pods there: for health once deployed, for readiness only where the controller may not replace
    /// pods itself. A rollout causes many events. At the end of each rollout, Releases wait until a pod is `gone`.
    fn looking_at_pods_in(&self, namespace: &str, gone: bool) -> Keys {
        let looks = |release: &Release| {
            let by_hand = || {
                release
                    .spec
                    .components
                    .iter()
                    .any(|c| c.target.kind == "StatefulSet")
            };
            release
                .status
                .iter()
                .flat_map(|s| &s.environments)
                .any(|p| p.state.is_deployed() || p.state.changes_targets() && (gone || by_hand()))
        };
        let keys = self.active.get(namespace).into_iter().flatten();
        keys.filter(|key| match key {
            Key::Release { namespace, name } => self.release(namespace, name).is_some_and(|r| looks(r)),
            Key::Environment { .. } | Key::Orphans => false,
        })
        .cloned()
        .collect()
    }
}
