//! What the watches have shown, as one plain synchronous index: events go in, the keys that they concern come out.
//! No client and no clock.

mod settled;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::claims;
use super::kept::Kept;
use crate::api::release::{Promotion, STATE_VERSION, State};
use crate::api::{Action, Decision, Environment, Release, ReleaseReview};
use crate::decide::calendar::Calendar;
use crate::decide::facts::{Claim, Setting, StoredPreState};
use crate::decide::plan;
use crate::mutation::{self, Mutation};
use settled::{Packed, outline};

/// What is reconciled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Release { namespace: String, name: String },
    Environment { name: String },
}

impl Key {
    #[must_use]
    pub fn release(namespace: &str, name: &str) -> Self {
        Self::Release {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[must_use]
    pub fn of(release: &Release) -> Self {
        Self::release(
            release.metadata.namespace.as_deref().unwrap_or_default(),
            release.metadata.name.as_deref().unwrap_or_default(),
        )
    }

    #[must_use]
    pub fn environment(name: &str) -> Self {
        Self::Environment {
            name: name.to_owned(),
        }
    }

    /// For metrics: never an object's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Release { .. } => "Release",
            Self::Environment { .. } => "Environment",
        }
    }
}

/// A custom resource that does not fit its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    pub resource_version: Option<String>,
    pub generation: Option<i64>,
    pub error: String,
}

/// A namespace as decisions need it.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    pub labels: BTreeMap<String, String>,
    pub terminating: bool,
}

type Names = (String, String);

/// Everything watched.
#[derive(Default)]
pub struct Index {
    releases: HashMap<Names, Known>,
    unreadable: HashMap<Names, Unreadable>,
    unreadable_environments: HashMap<String, Unreadable>,
    by_product: HashMap<(String, String, String), BTreeSet<String>>,
    /// Releases that have something to do, or to wait for, in a target namespace.
    active: HashMap<String, HashSet<Key>>,
    /// The namespaces under which a Release stands in `active`.
    busy_in: HashMap<Key, Vec<String>>,
    environments: Arc<BTreeMap<String, Setting>>,
    decisions: HashMap<Names, BTreeMap<String, Arc<Decision>>>,
    reviews: HashMap<Names, BTreeMap<String, Arc<ReleaseReview>>>,
    claims: HashMap<String, Claim>,
    pre_states: HashMap<String, StoredPreState>,
    claims_of: ByRelease,
    pre_states_of: ByRelease,
    workloads: HashMap<(&'static str, String, String), Kept>,
    pods: HashMap<String, HashMap<String, Kept>>,
    jobs: HashMap<Names, Kept>,
    namespaces: HashMap<String, Namespace>,
    policies: BTreeMap<(&'static str, String), Arc<Value>>,
    /// Counts changes of policies, so that what follows from them is worked out once.
    policies_seen: u64,
}

/// A Release that has been seen.
struct Known {
    /// In outline where it is over.
    release: Arc<Release>,
    /// Then this is the whole.
    packed: Option<Packed>,
}

type Keys = Vec<Key>;

impl Index {
    // ---- Releases -------------------------------------------------------------------------------------------

    #[must_use]
    pub fn release(&self, namespace: &str, name: &str) -> Option<&Arc<Release>> {
        let known = self.releases.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(&known.release)
    }

    /// The Release with everything in it; [`Self::release`] has only an outline of one that is over.
    #[must_use]
    pub fn whole(&self, namespace: &str, name: &str) -> Option<Arc<Release>> {
        let known = self.releases.get(&(namespace.to_owned(), name.to_owned()))?;
        match &known.packed {
            Some(packed) => packed.whole().map(Arc::new),
            None => Some(Arc::clone(&known.release)),
        }
    }

    #[must_use]
    pub fn unreadable(&self, namespace: &str, name: &str) -> Option<&Unreadable> {
        self.unreadable.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether the object of that uid and resourceVersion, or a newer one, is known already.
    #[must_use]
    pub fn has_release(&self, namespace: &str, name: &str, meta: &ObjectMeta) -> bool {
        self.release(namespace, name).is_some_and(|known| {
            known.metadata.uid == meta.uid && seen(&known.metadata.resource_version, &meta.resource_version)
        })
    }

    /// How many Releases there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.releases.len()
    }

    pub fn releases(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.releases.values().map(|known| &known.release)
    }

    /// Others of the same namespace, product and line.
    #[must_use]
    pub fn siblings(&self, release: &Release) -> Vec<Arc<Release>> {
        let (namespace, name) = names(release);
        let siblings = self
            .by_product
            .get(&product(release))
            .into_iter()
            .flatten()
            .filter(|other| **other != name);
        siblings
            .filter_map(|other| self.release(&namespace, other))
            .cloned()
            .collect()
    }

    pub fn put_release(&mut self, release: Arc<Release>) -> Keys {
        let names = names(&release);
        if self.release(&names.0, &names.1).is_some_and(|known| {
            seen(
                &known.metadata.resource_version,
                &release.metadata.resource_version,
            )
        }) {
            return vec![];
        }
        // The answer to our own write may come after somebody's edit that made it unreadable.
        if let Some(unreadable) = self.unreadable.get(&names) {
            if seen(&unreadable.resource_version, &release.metadata.resource_version) {
                return vec![];
            }
            self.unreadable.remove(&names);
        }
        // One that was deleted and created again may be of another product.
        if let Some(before) = self.releases.get(&names).map(|known| Arc::clone(&known.release)) {
            self.forget_product(&before);
        }
        self.by_product
            .entry(product(&release))
            .or_default()
            .insert(names.1.clone());
        let packed = if unsettled(&release) {
            None
        } else {
            Packed::of(&release)
        };
        let release = match packed {
            Some(_) => Arc::new(outline(&release)),
            None => release,
        };
        let known = Known {
            release: Arc::clone(&release),
            packed,
        };
        let before = self.releases.insert(names, known).map(|known| known.release);
        self.activate(&release);
        let mut keys = vec![Key::of(&release)];
        let changed = |p: &Promotion| {
            before
                .as_ref()
                .and_then(|b| b.promotion(&p.name))
                .map(|b| b.state)
                != Some(p.state)
        };
        let moved: Vec<&Promotion> = release
            .status
            .iter()
            .flat_map(|s| &s.environments)
            .filter(|p| changed(p))
            .collect();
        if !moved.is_empty() || before.is_none() {
            // Supersede, NoDowngrade and the queue look at what others have reached.
            keys.extend(
                self.siblings(&release)
                    .iter()
                    .filter(|s| unsettled(s))
                    .map(|s| Key::of(s)),
            );
        }
        for promotion in moved {
            keys.push(Key::environment(&promotion.name));
            if let Some(namespace) = self.target_namespace(&release, promotion) {
                keys.extend(self.queued_in(&namespace));
            }
        }
        keys
    }

    /// Forgets that very Release: another of the same name may have taken its place already.
    pub fn remove_release_of(&mut self, namespace: &str, name: &str, uid: &str) -> Keys {
        let known = self.release(namespace, name);
        if known.is_some_and(|r| r.metadata.uid.as_deref() == Some(uid)) {
            self.remove_release(namespace, name)
        } else {
            vec![]
        }
    }

    pub fn remove_release(&mut self, namespace: &str, name: &str) -> Keys {
        let names = (namespace.to_owned(), name.to_owned());
        self.unreadable.remove(&names);
        let Some(Known { release, .. }) = self.releases.remove(&names) else {
            return vec![];
        };
        self.forget_product(&release);
        self.deactivate(&Key::of(&release));
        let mut keys: Keys = self.siblings(&release).iter().map(|s| Key::of(s)).collect();
        keys.extend(release.spec.environments.iter().map(|e| Key::environment(e)));
        for claim in self.claims.values() {
            if claim
                .holder
                .as_ref()
                .is_some_and(|h| Some(&h.release_uid) == release.metadata.uid.as_ref())
            {
                keys.extend(self.active_in(&claim.namespace));
            }
        }
        keys
    }

    fn forget_product(&mut self, release: &Release) {
        let product = product(release);
        if let Some(all) = self.by_product.get_mut(&product) {
            all.remove(release.metadata.name.as_deref().unwrap_or_default());
            if all.is_empty() {
                self.by_product.remove(&product);
            }
        }
    }

    pub fn put_unreadable(&mut self, namespace: &str, name: &str, unreadable: Unreadable) -> Keys {
        self.unreadable
            .insert((namespace.to_owned(), name.to_owned()), unreadable);
        // Those who stand behind it in a queue look again.
        let busy = self
            .busy_in
            .get(&Key::release(namespace, name))
            .cloned()
            .unwrap_or_default();
        let mut behind: Keys = busy.iter().flat_map(|target| self.queued_in(target)).collect();
        behind.push(Key::release(namespace, name));
        behind
    }

    fn target_namespace(&self, release: &Release, promotion: &Promotion) -> Option<String> {
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

    fn activate(&mut self, release: &Release) {
        let key = Key::of(release);
        self.deactivate(&key);
        let listed = release.spec.environments.iter().map(|name| {
            release.promotion(name).cloned().unwrap_or_else(|| Promotion {
                name: name.clone(),
                ..Promotion::default()
            })
        });
        let busy: Vec<String> = listed
            .filter(|p| {
                p.state.before_entry()
                    || p.state.under_way()
                    || p.state == State::Failed
                    || self.backout_asked(release, p)
            })
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

    fn deactivate(&mut self, key: &Key) {
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
        matches!(promotion.state, State::Succeeded | State::Failed)
            && decisions
                .into_iter()
                .any(|d| d.spec.environment == promotion.name && d.spec.action == Action::BackOut)
    }

    /// The environments in which what is over may still be backed out, because somebody has decided so.
    #[must_use]
    pub fn backouts_asked(&self, release: &Release) -> Vec<String> {
        let promotions = release.status.iter().flat_map(|s| &s.environments);
        let asked = promotions.filter(|p| self.backout_asked(release, p));
        asked.map(|p| p.name.clone()).collect()
    }

    #[must_use]
    pub fn active_in(&self, namespace: &str) -> Keys {
        self.active
            .get(namespace)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    fn queued_in(&self, namespace: &str) -> Keys {
        let queued = |key: &&Key| match key {
            Key::Release { namespace, name } => self.release(namespace, name).is_some_and(|r| {
                r.status
                    .iter()
                    .flat_map(|s| &s.environments)
                    .any(|p| p.state == State::Queued)
            }),
            Key::Environment { .. } => false,
        };
        self.active
            .get(namespace)
            .into_iter()
            .flatten()
            .filter(queued)
            .cloned()
            .collect()
    }

    fn moves(&self, release: &Release) -> bool {
        let newer = release.status.as_ref().and_then(|s| s.state_version);
        release.metadata.deletion_timestamp.is_none()
            && release.spec.hold.is_none()
            && release.spec.withdrawn.is_none()
            && newer.is_none_or(|v| v <= STATE_VERSION)
            && !self.unreadable.contains_key(&names(release))
    }

    /// Releases that are Queued for `namespace`, with the environment each is Queued in.
    #[must_use]
    pub fn queue(&self, namespace: &str) -> Vec<(Arc<Release>, String)> {
        let mut queue = Vec::new();
        for key in self.active.get(namespace).into_iter().flatten() {
            let Key::Release {
                namespace: home,
                name,
            } = key
            else {
                continue;
            };
            // Whoever cannot move, or must not, keeps nobody else from going first.
            let Some(release) = self.release(home, name).filter(|r| self.moves(r)) else {
                continue;
            };
            for promotion in release.status.iter().flat_map(|s| &s.environments) {
                let here = promotion.state == State::Queued
                    && self.target_namespace(release, promotion).as_deref() == Some(namespace);
                if here {
                    queue.push((Arc::clone(release), promotion.name.clone()));
                }
            }
        }
        queue
    }

    /// Another Release that is under way in `namespace`, as what was kept for it shows, while nobody holds the claim.
    #[must_use]
    pub fn unclaimed(&self, namespace: &str, uid: &str) -> Option<String> {
        if self.claim(namespace).is_some() {
            return None;
        }
        let keys = self.active.get(namespace).into_iter().flatten();
        let others = keys.filter_map(|key| match key {
            Key::Release { namespace, name } => self.release(namespace, name),
            Key::Environment { .. } => None,
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

    // ---- Environments ---------------------------------------------------------------------------------------

    #[must_use]
    pub fn environments(&self) -> Arc<BTreeMap<String, Setting>> {
        Arc::clone(&self.environments)
    }

    pub fn put_environment(&mut self, environment: Arc<Environment>) -> Keys {
        let name = environment.metadata.name.clone().unwrap_or_default();
        self.unreadable_environments.remove(&name);
        let known = self.environments.get(&name);
        if known.is_some_and(|k| {
            seen(
                &k.environment.metadata.resource_version,
                &environment.metadata.resource_version,
            )
        }) {
            return vec![];
        }
        let same_spec = known.filter(|k| k.environment.spec == environment.spec);
        let same_life = same_spec
            .filter(|k| k.environment.metadata.deletion_timestamp == environment.metadata.deletion_timestamp);
        let only_status = same_life.is_some();
        let calendar =
            same_spec.map_or_else(|| Arc::new(calendar(&environment)), |k| Arc::clone(&k.calendar));
        Arc::make_mut(&mut self.environments).insert(
            name.clone(),
            Setting {
                environment,
                calendar,
            },
        );
        let mut keys = vec![Key::environment(&name)];
        if !only_status {
            keys.extend(self.environment_changed(&name));
        }
        keys
    }

    /// Whether the object of that uid and resourceVersion, or a newer one, is known already.
    #[must_use]
    pub fn has_environment(&self, name: &str, meta: &ObjectMeta) -> bool {
        self.environments
            .get(name)
            .map(|known| &known.environment.metadata)
            .is_some_and(|known| {
                known.uid == meta.uid && seen(&known.resource_version, &meta.resource_version)
            })
    }

    /// It counts as absent, and is told so.
    pub fn put_unreadable_environment(&mut self, name: &str, unreadable: Unreadable) -> Keys {
        let mut keys = self.remove_environment(name);
        self.unreadable_environments.insert(name.to_owned(), unreadable);
        keys.push(Key::environment(name));
        keys
    }

    #[must_use]
    pub fn unreadable_environment(&self, name: &str) -> Option<&Unreadable> {
        self.unreadable_environments.get(name)
    }

    pub fn remove_environment(&mut self, name: &str) -> Keys {
        self.unreadable_environments.remove(name);
        Arc::make_mut(&mut self.environments).remove(name);
        self.environment_changed(name)
    }

    fn environment_changed(&mut self, name: &str) -> Keys {
        let concerned: Vec<Arc<Release>> = self
            .releases()
            .filter(|r| unsettled(r) && r.spec.environments.iter().any(|e| e == name))
            .cloned()
            .collect();
        for release in &concerned {
            self.activate(release);
        }
        concerned.iter().map(|r| Key::of(r)).collect()
    }

    // ---- What people write ----------------------------------------------------------------------------------

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

    pub fn put_decision(&mut self, decision: Arc<Decision>) -> Keys {
        let namespace = decision.metadata.namespace.clone().unwrap_or_default();
        let names = (namespace, decision.spec.release.clone());
        let key = Key::release(&names.0, &names.1);
        self.decisions
            .entry(names.clone())
            .or_default()
            .insert(decision.metadata.name.clone().unwrap_or_default(), decision);
        if let Some(release) = self.release(&names.0, &names.1).cloned() {
            self.activate(&release);
        }
        vec![key]
    }

    pub fn remove_decision(&mut self, namespace: &str, name: &str) -> Keys {
        remove_named(&mut self.decisions, namespace, name)
    }

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

    pub fn remove_review(&mut self, namespace: &str, name: &str) -> Keys {
        remove_named(&mut self.reviews, namespace, name)
    }

    // ---- What the operator keeps ----------------------------------------------------------------------------

    #[must_use]
    pub fn claim(&self, namespace: &str) -> Option<&Claim> {
        self.claims.get(&crate::decide::plan::claim_name(namespace))
    }

    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values()
    }

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

    /// Forgets the claim of that name, unless another object has taken its place.
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
        if mutation::is(Mutation::NobodyWoken) {
            return vec![];
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

    pub fn pre_states(&self) -> impl Iterator<Item = &StoredPreState> {
        self.pre_states.values()
    }

    /// Claims that the Release `uid` holds.
    pub fn claims_of(&self, uid: &str) -> impl Iterator<Item = &Claim> {
        self.claims_of.of(uid).filter_map(|name| self.claims.get(name))
    }

    #[must_use]
    pub fn has_pre_state(&self, name: &str) -> bool {
        self.pre_states.contains_key(name)
    }

    /// Pre-states that belong to the Release `uid`.
    pub fn pre_states_of(&self, uid: &str) -> impl Iterator<Item = &StoredPreState> {
        let names = self.pre_states_of.of(uid);
        names.filter_map(|name| self.pre_states.get(name))
    }

    pub fn put_pre_state(&mut self, stored: StoredPreState) -> Keys {
        let (name, uid) = (stored.name.clone(), stored.release_uid.clone());
        if let Some(before) = self.pre_states.insert(name.clone(), stored) {
            self.pre_states_of.remove(&before.release_uid, &name);
        }
        self.pre_states_of.insert(&uid, &name);
        vec![]
    }

    pub fn remove_pre_state(&mut self, name: &str, uid: &str) -> Keys {
        let Some(known) = self.pre_states.get(name).filter(|known| known.uid == uid) else {
            return vec![];
        };
        let release = known.release_uid.clone();
        self.pre_states.remove(name);
        self.pre_states_of.remove(&release, name);
        // Whoever is under way puts it back.
        let owner = self
            .releases()
            .find(|r| r.metadata.uid.as_ref() == Some(&release));
        owner.map(|r| Key::of(r)).into_iter().collect()
    }

    // ---- Target namespaces ----------------------------------------------------------------------------------

    #[must_use]
    pub fn workload(&self, kind: &str, namespace: &str, name: &str) -> Option<&Kept> {
        let kind = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"]
            .into_iter()
            .find(|k| *k == kind)?;
        self.workloads.get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    pub fn put_workload(&mut self, kind: &'static str, namespace: &str, name: &str, object: Kept) -> Keys {
        let generation = object.generation;
        let key = (kind, namespace.to_owned(), name.to_owned());
        let before = self.workloads.insert(key, object);
        let mut keys = self.active_in(namespace);
        // A change of what runs, not of how it is doing, may be drift from what an Environment's inventory says.
        if before.is_some_and(|b| b.generation != generation) {
            keys.extend(self.environments_of(namespace));
        }
        keys
    }

    /// Environments whose target namespaces include this one.
    fn environments_of(&self, target: &str) -> Keys {
        let includes = |pattern: &str| match pattern.split_once("{namespace}") {
            Some((front, back)) => {
                target.len() > front.len() + back.len() && target.starts_with(front) && target.ends_with(back)
            }
            None => pattern == target,
        };
        let concerned = self
            .environments
            .iter()
            .filter(|(_, s)| includes(&s.environment.spec.namespace));
        concerned.map(|(name, _)| Key::environment(name)).collect()
    }

    pub fn remove_workload(&mut self, kind: &'static str, namespace: &str, name: &str) -> Keys {
        self.workloads
            .remove(&(kind, namespace.to_owned(), name.to_owned()));
        self.active_in(namespace)
    }

    /// Pods of a namespace by name.
    pub fn pods(&self, namespace: &str) -> impl Iterator<Item = (&String, &Kept)> {
        self.pods.get(namespace).into_iter().flatten()
    }

    pub fn put_pod(&mut self, namespace: &str, name: &str, pod: Kept) -> Keys {
        self.pods
            .entry(namespace.to_owned())
            .or_default()
            .insert(name.to_owned(), pod);
        self.looking_at_pods_in(namespace)
    }

    pub fn remove_pod(&mut self, namespace: &str, name: &str) -> Keys {
        if let Some(pods) = self.pods.get_mut(namespace) {
            pods.remove(name);
            if pods.is_empty() {
                self.pods.remove(namespace);
            }
        }
        self.looking_at_pods_in(namespace)
    }

    /// Those who look at pods there: for health once deployed, for readiness only where a controller may leave the
    /// renewal of pods to others. A rollout makes many events.
    fn looking_at_pods_in(&self, namespace: &str) -> Keys {
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
                .any(|p| match p.state {
                    State::Verifying | State::Observing => true,
                    State::Deploying | State::BackingOut => by_hand(),
                    _ => false,
                })
        };
        let keys = self.active.get(namespace).into_iter().flatten();
        keys.filter(|key| match key {
            Key::Release { namespace, name } => self.release(namespace, name).is_some_and(|r| looks(r)),
            Key::Environment { .. } => false,
        })
        .cloned()
        .collect()
    }

    #[must_use]
    pub fn job(&self, namespace: &str, name: &str) -> Option<&Kept> {
        self.jobs.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub fn put_job(&mut self, namespace: &str, name: &str, job: Kept) -> Keys {
        self.jobs.insert((namespace.to_owned(), name.to_owned()), job);
        self.active_in(namespace)
    }

    pub fn remove_job(&mut self, namespace: &str, name: &str) -> Keys {
        self.jobs.remove(&(namespace.to_owned(), name.to_owned()));
        self.active_in(namespace)
    }

    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    pub fn put_namespace(&mut self, name: &str, namespace: Namespace) -> Keys {
        self.namespaces.insert(name.to_owned(), namespace);
        self.namespace_keys(name)
    }

    pub fn remove_namespace(&mut self, name: &str) -> Keys {
        self.namespaces.remove(name);
        self.namespace_keys(name)
    }

    fn namespace_keys(&self, name: &str) -> Keys {
        let mut keys = self.active_in(name);
        let at_home = self
            .releases()
            .filter(|r| r.metadata.namespace.as_deref() == Some(name) && unsettled(r));
        keys.extend(at_home.map(|r| Key::of(r)));
        keys
    }

    // ---- Admission ------------------------------------------------------------------------------------------

    #[must_use]
    pub fn policy(&self, kind: &'static str, name: &str) -> Option<&Arc<Value>> {
        self.policies.get(&(kind, name.to_owned()))
    }

    pub fn put_policy(&mut self, kind: &'static str, name: &str, policy: Arc<Value>) -> Keys {
        self.policies_seen += 1;
        self.policies.insert((kind, name.to_owned()), policy);
        self.with_decisions()
    }

    pub fn remove_policy(&mut self, kind: &'static str, name: &str) -> Keys {
        self.policies_seen += 1;
        self.policies.remove(&(kind, name.to_owned()));
        self.with_decisions()
    }

    #[must_use]
    pub fn policies_seen(&self) -> u64 {
        self.policies_seen
    }

    /// Trust has changed: whoever counts on people is asked again.
    fn with_decisions(&self) -> Keys {
        self.releases()
            .filter(|r| unsettled(r))
            .map(|r| Key::of(r))
            .collect()
    }

    /// Every key, for a new leader.
    #[must_use]
    pub fn all(&self) -> Keys {
        let mut keys: Keys = self
            .environments
            .keys()
            .map(|name| Key::environment(name))
            .collect();
        keys.extend(self.releases().map(|r| Key::of(r)));
        keys.extend(
            self.unreadable
                .keys()
                .map(|(namespace, name)| Key::release(namespace, name)),
        );
        keys
    }
}

/// Names of objects by the uid of the Release that they belong to.
#[derive(Default)]
struct ByRelease(HashMap<String, BTreeSet<String>>);

impl ByRelease {
    fn insert(&mut self, uid: &str, name: &str) {
        self.0.entry(uid.to_owned()).or_default().insert(name.to_owned());
    }

    fn remove(&mut self, uid: &str, name: &str) {
        if let Some(names) = self.0.get_mut(uid) {
            names.remove(name);
            if names.is_empty() {
                self.0.remove(uid);
            }
        }
    }

    fn of(&self, uid: &str) -> impl Iterator<Item = &String> {
        self.0.get(uid).into_iter().flatten()
    }
}

fn names(release: &Release) -> Names {
    (
        release.metadata.namespace.clone().unwrap_or_default(),
        release.metadata.name.clone().unwrap_or_default(),
    )
}

/// Namespace, product and line.
fn product(release: &Release) -> (String, String, String) {
    let (namespace, _) = names(release);
    (namespace, release.spec.product.clone(), release.spec.line.clone())
}

/// Takes what is called `name` off the Release in `namespace` that it names.
fn remove_named<K>(all: &mut HashMap<Names, BTreeMap<String, Arc<K>>>, namespace: &str, name: &str) -> Keys {
    let mut keys = Vec::new();
    all.retain(|(home, release), named| {
        if home == namespace && named.remove(name).is_some() {
            keys.push(Key::release(home, release));
        }
        !named.is_empty()
    });
    keys
}

/// Something may still happen to it.
fn unsettled(release: &Release) -> bool {
    release.status.as_ref().is_none_or(|s| {
        s.environments.len() < release.spec.environments.len()
            || s.environments.iter().any(|p| {
                p.state.before_entry()
                    || p.state.under_way()
                    || matches!(p.state, State::Failed | State::BackedOut)
            })
    })
}

/// Whether `known` is `other` or newer. The API server's resourceVersions are ordered (KEP-5504).
fn seen(known: &Option<String>, other: &Option<String>) -> bool {
    let number = |v: &Option<String>| v.as_deref().and_then(|v| v.parse::<u64>().ok());
    matches!((number(known), number(other)), (Some(known), Some(other)) if known >= other)
}

fn calendar(environment: &Environment) -> Calendar {
    crate::observe::calendar_of(environment)
}
