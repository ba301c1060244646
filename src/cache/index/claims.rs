//! Claims, the Leases that lock target namespaces.

use crate::api::Release;
use crate::api::release::Promotion;
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys, names};
use crate::decide::facts::Claim;
use crate::decide::plan;
use crate::stored::claims;

impl Index {
    /// The claim of that target namespace.
    #[must_use]
    pub fn claim(&self, namespace: &str) -> Option<&Claim> {
        self.claims.get(&plan::claim_name(namespace))
    }

    /// All claims.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values()
    }

    /// A claim as a watch or an answer shows it. A version older than the cached one changes nothing.
    pub fn put_claim(&mut self, claim: Claim) -> Keys {
        if self
            .claims
            .get(&claim.name)
            .is_some_and(|k| claims::seen(k, &claim))
        {
            return vec![];
        }
        let mut keys = self.claim_keys(&claim);
        if let Some(holder) = &claim.holder {
            self.claims_of.insert(&holder.release_uid, &claim.name);
        }
        let uid = claim.holder.as_ref().map(|h| h.release_uid.clone());
        if let Some(before) = self.claims.insert(claim.name.clone(), claim) {
            keys.extend(self.claim_keys(&before));
            if let Some(holder) = before.holder.filter(|h| Some(&h.release_uid) != uid.as_ref()) {
                self.claims_of.remove(&holder.release_uid, &before.name);
            }
        }
        keys
    }

    /// Removes the claim of that name, unless another object has replaced it.
    pub fn remove_claim(&mut self, name: &str, uid: &str) -> Keys {
        match self.claims.get(name) {
            Some(known) if known.uid == uid => {}
            _ => return vec![],
        }
        let Some(claim) = self.claims.remove(name) else {
            return vec![];
        };
        if let Some(holder) = &claim.holder {
            self.claims_of.remove(&holder.release_uid, name);
        }
        self.claim_keys(&claim)
    }

    fn claim_keys(&self, claim: &Claim) -> Keys {
        let mut keys = self.active_in(&claim.namespace);
        if let Some(holder) = &claim.holder {
            keys.push(Key::environment(&holder.environment));
        }
        keys
    }

    /// Claims that the Release `uid` holds.
    pub fn claims_of(&self, uid: &str) -> impl Iterator<Item = &Claim> {
        self.claims_of.of(uid).filter_map(|name| self.claims.get(name))
    }

    /// Another Release that is in progress in `namespace`, according to its pre-state, although the namespace has no claim.
    #[must_use]
    pub fn unclaimed(&self, namespace: &str, uid: &str) -> Option<String> {
        if self.claim(namespace).is_some() {
            return None;
        }
        let keys = self.active.get(namespace).into_iter().flatten();
        let others = keys.filter_map(|key| match key {
            Key::Release { namespace, name } => self.release(namespace, name),
            Key::Environment { .. } | Key::Orphans => None,
        });
        let under_way = |release: &Release, p: &Promotion| {
            let uid = release.metadata.uid.as_deref().unwrap_or_default();
            let kept = plan::pre_state_name(uid, &p.name, p.attempt);
            p.state.under_way()
                && p.entered
                    .as_ref()
                    .is_some_and(|e| e.target_namespace == namespace)
                && self.pre_states.get(&kept).is_some_and(|s| s.release_uid == uid)
        };
        others
            .filter(|release| release.metadata.uid.as_deref() != Some(uid))
            .find(|release| {
                let promotions = release.status.iter().flat_map(|s| &s.environments);
                promotions.into_iter().any(|p| under_way(release, p))
            })
            .map(|release| {
                let (namespace, name) = names(release);
                format!("{namespace}/{name}")
            })
    }
}
