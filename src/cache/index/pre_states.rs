//! Pre-states: their existence and size, never their content.

use std::collections::BTreeMap;

use crate::api::{Release, reasons};
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys};
use crate::decide::facts::{KeptInAll, StoredPreState};

impl Index {
    /// Pre-states whose Release no longer exists, according to the watch caches.
    pub fn orphans(&self) -> impl Iterator<Item = &StoredPreState> {
        let stored = self.pre_states.values();
        stored.filter(|stored| !self.uids.contains(&stored.release_uid))
    }

    /// Whether a pre-state of that name is stored.
    #[must_use]
    pub fn has_pre_state(&self, name: &str) -> bool {
        self.pre_states.contains_key(name)
    }

    /// Pre-states that belong to the Release `uid`.
    pub fn pre_states_of(&self, uid: &str) -> impl Iterator<Item = &StoredPreState> {
        let names = self.pre_states_of.of(uid);
        names.filter_map(|name| self.pre_states.get(name))
    }

    /// A pre-state is stored.
    pub fn put_pre_state(&mut self, stored: StoredPreState) -> Keys {
        let (name, uid) = (stored.name.clone(), stored.release_uid.clone());
        *self.kept_bytes.entry(stored.namespace.clone()).or_default() += stored.bytes;
        if let Some(before) = self.pre_states.insert(name.clone(), stored) {
            self.pre_states_of.remove(&before.release_uid, &name);
            self.no_longer_kept(&before);
        }
        self.pre_states_of.insert(&uid, &name);
        let orphan = !self.uids.contains(&uid);
        orphan.then_some(Key::Orphans).into_iter().collect()
    }

    /// The object of that name and uid was deleted: a pre-state, or the record of a version that Succeeded.
    pub fn remove_pre_state(&mut self, name: &str, uid: &str) -> Keys {
        if let Some(known) = self
            .remembered
            .get(name)
            .filter(|known| known.uid == uid)
            .cloned()
        {
            self.remembered.remove(name);
            return self.of_line(&known);
        }
        let Some(known) = self.pre_states.get(name).filter(|known| known.uid == uid) else {
            return vec![];
        };
        let gone = known.clone();
        self.pre_states.remove(name);
        self.pre_states_of.remove(&gone.release_uid, name);
        self.no_longer_kept(&gone);
        // Its own Release is requeued, and so are Releases that had no room.
        let owns = |r: &Release| r.metadata.uid.as_ref() == Some(&gone.release_uid);
        let woken = self.releases().filter(|r| {
            let at_home = r.metadata.namespace.as_ref() == Some(&gone.namespace);
            owns(r) || at_home && lacks_room(r)
        });
        woken.map(|r| Key::of(r)).collect()
    }

    fn no_longer_kept(&mut self, stored: &StoredPreState) {
        if let Some(bytes) = self.kept_bytes.get_mut(&stored.namespace) {
            *bytes = bytes.saturating_sub(stored.bytes);
            if *bytes == 0 {
                self.kept_bytes.remove(&stored.namespace);
            }
        }
    }

    /// The size of all pre-states for the Releases of `namespace`, if `more` bytes would exceed `limit`.
    #[must_use]
    pub fn kept_beyond(&self, namespace: &str, more: u64, limit: u64) -> Option<KeptInAll> {
        let bytes = self.kept_bytes.get(namespace).copied().unwrap_or(0);
        if bytes.saturating_add(more) <= limit {
            return None;
        }
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        for stored in self.pre_states.values().filter(|s| s.namespace == namespace) {
            *by.entry(&stored.release).or_default() += stored.bytes;
        }
        let mut by: Vec<(String, u64)> = by.into_iter().map(|(r, bytes)| (r.to_owned(), bytes)).collect();
        by.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Some(KeptInAll { bytes, by })
    }
}

/// Whether it cannot enter because the pre-states are too large.
fn lacks_room(release: &Release) -> bool {
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    let mut checks = promotions.flat_map(|p| &p.checks);
    checks.any(|c| c.reason == reasons::PRE_STATE_TOO_LARGE)
}
