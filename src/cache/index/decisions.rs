//! Decisions, by the Release that they name and, for Rejects, by the plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{Action, Decision};
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys, remove_named};
use crate::cache::index::settled::unsettled;

impl Index {
    /// Oldest first.
    #[must_use]
    pub fn decisions(&self, namespace: &str, release: &str) -> Vec<Arc<Decision>> {
        let names = (namespace.to_owned(), release.to_owned());
        let mut decisions: Vec<_> = self
            .decisions
            .get(&names)
            .into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect();
        decisions.sort_by_key(|d| (d.metadata.creation_timestamp.clone(), d.metadata.uid.clone()));
        decisions
    }

    /// Rejects of that plan, whichever Release they name.
    pub fn rejects(&self, namespace: &str, plan_hash: &str) -> impl Iterator<Item = &Arc<Decision>> {
        let plan = (namespace.to_owned(), plan_hash.to_owned());
        self.rejects.get(&plan).into_iter().flat_map(BTreeMap::values)
    }

    /// A Decision: its Release is requeued; for a Reject, also all Releases that wait with that plan.
    pub fn put_decision(&mut self, decision: Arc<Decision>) -> Keys {
        let namespace = decision.metadata.namespace.clone().unwrap_or_default();
        let name = decision.metadata.name.clone().unwrap_or_default();
        let names = (namespace, decision.spec.release.clone());
        let mut keys = vec![Key::release(&names.0, &names.1)];
        if let (Action::Reject, Some(plan_hash)) = (decision.spec.action, &decision.spec.plan_hash) {
            keys.extend(self.waiting_with(&names.0, plan_hash));
            let plan = (names.0.clone(), plan_hash.clone());
            let rejects = self.rejects.entry(plan).or_default();
            rejects.insert(name.clone(), Arc::clone(&decision));
        }
        self.decisions
            .entry(names.clone())
            .or_default()
            .insert(name, decision);
        if let Some(release) = self.release(&names.0, &names.1).cloned() {
            self.activate(&release);
        }
        keys
    }

    /// The Decision of that name was deleted.
    pub fn remove_decision(&mut self, namespace: &str, name: &str) -> Keys {
        let mut keys = remove_named(&mut self.decisions, namespace, name);
        let mut plans = Vec::new();
        self.rejects.retain(|(home, plan_hash), named| {
            if home == namespace && named.remove(name).is_some() {
                plans.push(plan_hash.clone());
            }
            !named.is_empty()
        });
        keys.extend(plans.iter().flat_map(|plan| self.waiting_with(namespace, plan)));
        keys
    }

    /// Releases of a namespace that have not entered somewhere with this very plan.
    fn waiting_with(&self, namespace: &str, plan_hash: &str) -> Keys {
        let waits = |key: &&Key| match key {
            Key::Release {
                namespace: home,
                name,
            } if home == namespace => self.release(home, name).is_some_and(|r| {
                let mut promotions = r.status.iter().flat_map(|s| &s.environments);
                promotions.any(|p| p.state.before_entry() && p.plan_hash == plan_hash)
            }),
            _ => false,
        };
        self.busy_in.keys().filter(waits).cloned().collect()
    }

    /// Trust has changed: unsettled Releases are requeued.
    pub(crate) fn with_decisions(&self) -> Keys {
        self.releases()
            .filter(|r| unsettled(r))
            .map(|r| Key::of(r))
            .collect()
    }
}
