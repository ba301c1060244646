//! The watch caches as one plain synchronous index: events go in, the keys of the objects to reconcile come out.
//! No client and no clock.

mod active;
mod claims;
mod decisions;
mod environments;
mod jobs;
mod kinds;
mod line;
mod names;
mod namespaces;
mod pods;
mod policies;
mod pre_states;
mod releases;
mod remembered;
mod reviews;
mod settled;
#[cfg(test)]
mod tests;
mod workloads;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::api::{Decision, ReleaseReview};
use crate::cache::index::names::{ByRelease, Names};
use crate::cache::index::settled::Known;
use crate::cache::kept::Kept;
use crate::decide::consent::Accepts;
use crate::decide::facts::{Claim, Remembered, Setting, StoredPreState};

pub(crate) use crate::cache::index::line::is_newer;
pub use crate::cache::index::names::{Key, Keys};

/// A custom resource that does not match its schema, or is too large to be cached.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// The resourceVersion of the unreadable object.
    pub resource_version: Option<String>,
    /// The generation of that object.
    pub generation: Option<i64>,
    /// One of [`crate::api::reasons`].
    pub reason: &'static str,
    /// What is wrong and what to do, a complete message.
    pub message: String,
}

/// A namespace as decisions need it.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It is being deleted.
    pub terminating: bool,
    /// Which Releases its annotation admits. Absent without the annotation.
    pub accepts: Option<Accepts>,
}

/// Everything watched.
#[derive(Default)]
pub struct Index {
    releases: HashMap<Names, Known>,
    unreadable: HashMap<Names, Unreadable>,
    unreadable_environments: HashMap<String, Unreadable>,
    /// The uids of all Releases.
    uids: HashSet<String>,
    by_product: HashMap<(String, String, String), BTreeSet<String>>,
    /// Releases that have work to do, or wait, in a target namespace.
    active: HashMap<String, HashSet<Key>>,
    /// The namespaces under which a Release is in `active`.
    busy_in: HashMap<Key, Vec<String>>,
    environments: Arc<BTreeMap<String, Setting>>,
    decisions: HashMap<Names, BTreeMap<String, Arc<Decision>>>,
    /// Rejects by namespace and plan hash: they outlive the Release that they name.
    rejects: HashMap<Names, BTreeMap<String, Arc<Decision>>>,
    reviews: HashMap<Names, BTreeMap<String, Arc<ReleaseReview>>>,
    claims: HashMap<String, Claim>,
    pre_states: HashMap<String, StoredPreState>,
    /// Bytes of pre-states by the namespace of their Releases.
    kept_bytes: HashMap<String, u64>,
    /// Versions that Succeeded and whose Release no longer exists, by the name of the object that records them.
    remembered: HashMap<String, Remembered>,
    claims_of: ByRelease,
    pre_states_of: ByRelease,
    workloads: HashMap<(&'static str, String, String), Kept>,
    pods: HashMap<String, HashMap<String, Kept>>,
    jobs: HashMap<Names, Kept>,
    namespaces: HashMap<String, Namespace>,
    policies: BTreeMap<(&'static str, String), Arc<Value>>,
    /// Counts changes of policies, so that the result of their check can be cached.
    policies_seen: u64,
}

impl Index {
    /// Every key, for a new leader.
    #[must_use]
    pub fn all(&self) -> Keys {
        let mut keys: Keys = self
            .environments
            .keys()
            .map(|name| Key::environment(name))
            .collect();
        keys.push(Key::Orphans);
        keys.extend(self.releases.values().map(|known| Key::of(&known.release)));
        keys.extend(
            self.unreadable
                .keys()
                .map(|(namespace, name)| Key::release(namespace, name)),
        );
        keys
    }
}
