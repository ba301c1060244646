//! Which Releases have work to do, or wait, in which target namespace.

use std::collections::BTreeMap;

use crate::api::release::{Promotion, State};
use crate::api::{Action, Release};
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys, names};

impl Index {
    pub(crate) fn target_namespace(&self, release: &Release, promotion: &Promotion) -> Option<String> {
        if let Some(entered) = promotion
            .entered
            .as_ref()
            .filter(|_| !promotion.state.before_entry())
        {
            return Some(entered.target_namespace.clone());
        }
        let setting = self.environments.get(&promotion.name)?;
        Some(
            setting
                .environment
                .spec
                .target_namespace(release.metadata.namespace.as_deref().unwrap_or_default()),
        )
    }

    pub(crate) fn activate(&mut self, release: &Release) {
        let key = Key::of(release);
        self.deactivate(&key);
        let listed = release.spec.environments.iter().map(|name| {
            release.promotion(name).cloned().unwrap_or_else(|| Promotion {
                name: name.clone(),
                ..Promotion::default()
            })
        });
        let busy: Vec<String> = listed
            .filter(|p| !p.state.is_over() || self.backout_asked(release, p))
            .filter_map(|p| self.target_namespace(release, &p))
            .collect();
        for namespace in &busy {
            self.active
                .entry(namespace.clone())
                .or_default()
                .insert(key.clone());
        }
        if !busy.is_empty() {
            self.busy_in.insert(key, busy);
        }
    }

    pub(crate) fn deactivate(&mut self, key: &Key) {
        for namespace in self.busy_in.remove(key).into_iter().flatten() {
            if let Some(keys) = self.active.get_mut(&namespace) {
                keys.remove(key);
                if keys.is_empty() {
                    self.active.remove(&namespace);
                }
            }
        }
    }

    fn backout_asked(&self, release: &Release, promotion: &Promotion) -> bool {
        let decisions = self
            .decisions
            .get(&names(release))
            .into_iter()
            .flat_map(BTreeMap::values);
        promotion.state.ended_on_targets()
            && decisions
                .into_iter()
                .any(|d| d.spec.environment == promotion.name && d.spec.action == Action::BackOut)
    }

    /// The environments in which a finished promotion may still be backed out, because a Decision asks for it.
    #[must_use]
    pub fn backouts_asked(&self, release: &Release) -> Vec<String> {
        let promotions = release.status.iter().flat_map(|s| &s.environments);
        let asked = promotions.filter(|p| self.backout_asked(release, p));
        asked.map(|p| p.name.clone()).collect()
    }

    /// Releases that have work to do, or wait, in this target namespace.
    #[must_use]
    pub fn active_in(&self, namespace: &str) -> Keys {
        self.active
            .get(namespace)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    pub(crate) fn queued_in(&self, namespace: &str) -> Keys {
        let queued = |key: &&Key| match key {
            Key::Release { namespace, name } => self.release(namespace, name).is_some_and(|r| {
                r.status
                    .iter()
                    .flat_map(|s| &s.environments)
                    .any(|p| p.state == State::Queued)
            }),
            Key::Environment { .. } | Key::Orphans => false,
        };
        self.active
            .get(namespace)
            .into_iter()
            .flatten()
            .filter(queued)
            .cloned()
            .collect()
    }
}
