//! What is known of the world when a Release is decided on. `observe` fills it in; nothing here reads anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::calendar::Calendar;
use super::paths::Change;
use super::plan;
use super::prestate::PreState;
use crate::api::{Decision, Environment, Release, ReleaseReview};

/// One Release and all that decides about it.
#[derive(Clone, Debug)]
pub struct Observed {
    pub release: Arc<Release>,
    pub settings: Arc<Settings>,
    /// Every Environment, by name.
    pub environments: Arc<BTreeMap<String, Setting>>,
    /// Plan hashes of this very spec that were worked out before: every pass needs each of them.
    pub plan_hashes: Arc<BTreeMap<Planned, String>>,
    /// Other Releases of the same namespace, product and line.
    pub siblings: Vec<Arc<Release>>,
    /// Decisions that name this Release, oldest first.
    pub decisions: Vec<Arc<Decision>>,
    /// Reviews that name this Release, oldest first.
    pub reviews: Vec<Arc<ReleaseReview>>,
    /// What the API server's admission policies vouch for.
    pub trust: Trust,
    /// Labels of the Release's namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// What is known of each environment on the way, by environment name.
    pub places: BTreeMap<String, Place>,
    /// Pre-states in the operator's namespace that belong to this Release or, in an environment where it
    /// Succeeded, to older ones of its product.
    pub pre_states: Vec<StoredPreState>,
    /// Every claim that this Release holds.
    pub own_claims: Vec<Claim>,
}

/// What a plan's hash depends on besides the Release's spec: environment, target namespace and attempt.
pub type Planned = (String, Option<String>, i64);

/// An Environment with its windows already parsed.
#[derive(Clone, Debug)]
pub struct Setting {
    pub environment: Arc<Environment>,
    pub calendar: Arc<Calendar>,
}

/// The operator's own settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    pub operator_namespace: String,
    pub deployer: String,
    pub health_grace: SignedDuration,
    pub inconclusive_after: SignedDuration,
    pub policy_settle: SignedDuration,
}

/// What admission vouches for.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// Policies and bindings are as expected.
    Vouched {
        /// Decisions count from this instant on, less the time that a policy takes to settle.
        decisions_since: Timestamp,
        /// The author of a Release is known from this instant on.
        requests_since: Timestamp,
    },
    /// A sentence that names what is missing or differs.
    Broken(String),
}

/// A pre-state that exists, without its content.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPreState {
    pub name: String,
    pub uid: String,
    pub release_uid: String,
    pub environment: String,
}

/// Who holds a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub release_uid: String,
    pub environment: String,
    pub attempt: i64,
}

impl Holder {
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{}/{}/{}", self.release_uid, self.environment, self.attempt)
    }

    #[must_use]
    pub fn parse(identity: &str) -> Option<Self> {
        let mut parts = identity.split('/');
        let holder = Self {
            release_uid: parts.next()?.to_owned(),
            environment: parts.next()?.to_owned(),
            attempt: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(holder)
    }
}

/// The Lease of a target namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// The target namespace that it stands for.
    pub namespace: String,
    /// Absent where somebody else wrote something that is not a holder.
    pub holder: Option<Holder>,
    /// `namespace/name` of the holding Release, for messages.
    pub release: String,
    pub unsettled: bool,
    /// A live read has proved that the holding Release is gone.
    pub holder_absent: bool,
}

/// A target namespace, and what this Release would do or has done there.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub namespace: NamespaceState,
    pub claim: Option<Claim>,
    /// `namespace/name` of another Release that is under way here although its claim is gone.
    pub unclaimed: Option<String>,
    /// Why an upstream's success does not count, a sentence: nothing but status says so.
    pub unproved: Option<Refusal>,
    /// Other Releases Queued for the same target namespace, first in line first.
    pub rivals: Vec<Rival>,
    /// Reads made as the deployer before entry.
    pub inspection: Option<Arc<Inspection>>,
    /// The pre-state of this attempt, read live.
    pub pre_state: Option<KeptPreState>,
    /// It was read before and somebody has deleted it since: it can still be put back.
    pub pre_state_gone: bool,
    /// The pre-state of the attempt before, whose values a Retry takes over.
    pub predecessor: Option<Arc<PreState>>,
    /// Targets, in component order; read once the promotion has entered.
    pub components: Vec<LiveComponent>,
    /// Jobs of gates and verification, by check name.
    pub jobs: BTreeMap<String, JobState>,
    /// Results of expressions of gates and verification, by check name.
    pub expressions: BTreeMap<String, Result<bool, String>>,
    /// What is wrong with targets' health before anything is changed, from the watch.
    pub unhealthy: Vec<String>,
    /// Facts of this place were read live in this very pass.
    pub live: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceState {
    #[default]
    Missing,
    Terminating,
    Present,
}

/// A place in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rival {
    /// Planned start, absent last.
    pub planned: (bool, Timestamp),
    pub created: Timestamp,
    pub uid: String,
    pub release: String,
}

/// The pre-state object and its content.
#[derive(Clone, Debug)]
pub struct KeptPreState {
    pub name: String,
    pub uid: String,
    pub content: Arc<PreState>,
}

/// What the deployer may do, and what a dry run of each component says.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Why nothing could be asked at all, a sentence: no deployer, no rights.
    pub refusal: Option<Refusal>,
    pub components: Vec<Inspected>,
    /// Bytes that the pre-state would take.
    pub size: usize,
    /// When unwatched facts are read again, only while they are the blocker.
    pub again_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub reason: &'static str,
    pub message: String,
    /// It could not be found out, rather than a definite no.
    pub unknown: bool,
}

/// One component as a dry run shows it.
#[derive(Clone, Debug)]
pub struct Inspected {
    pub name: String,
    pub refusal: Option<Refusal>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub changes: Vec<Change>,
    /// Stamp of the configuration that the pods are restarted for.
    pub restarted_for: Option<String>,
    /// The dry run's result, in live reads.
    pub result: Option<Arc<Value>>,
    /// `(container, image)` before and after.
    pub images_before: Vec<(String, String)>,
    pub images_after: Vec<(String, String)>,
}

/// A target after entry.
#[derive(Clone, Debug)]
pub struct LiveComponent {
    pub name: String,
    pub object: Live,
    /// Pods of the target, where its readiness or health asks for them.
    pub pods: Vec<Arc<Value>>,
    /// The generation that our own patch returned, in this process.
    pub floor: Option<i64>,
    /// This process has patched it in this attempt.
    pub patched: bool,
    /// A change of ours was sent, and nobody knows whether it took place: what is shown may be older.
    pub unsure: bool,
    /// Unhealthy since, in this process.
    pub unhealthy_since: Option<Timestamp>,
    /// Why it could not be read or changed, and when to try again.
    pub trouble: Option<Trouble>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Live {
    /// Not read, or could not be.
    Unread,
    Absent,
    Present(Arc<Value>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub reason: &'static str,
    pub message: String,
    pub again_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    Absent,
    Running {
        started: Option<Timestamp>,
    },
    Succeeded,
    Failed(String),
    /// It could not be created.
    Trouble(Trouble),
}

impl Observed {
    /// `namespace/name`.
    #[must_use]
    pub fn release_path(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        self.release.metadata.namespace.as_deref().unwrap_or_default()
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.release.metadata.name.as_deref().unwrap_or_default()
    }

    #[must_use]
    pub fn uid(&self) -> &str {
        self.release.metadata.uid.as_deref().unwrap_or_default()
    }

    #[must_use]
    pub fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.get(name).map(|s| &*s.environment)
    }

    /// [`plan::hash`] of this Release.
    #[must_use]
    pub fn plan_hash(&self, environment: &str, namespace: Option<&str>, attempt: i64) -> String {
        let planned = (environment.to_owned(), namespace.map(str::to_owned), attempt);
        let known = self.plan_hashes.get(&planned).cloned();
        known.unwrap_or_else(|| plan::hash(&self.release, environment, namespace, attempt))
    }

    #[must_use]
    pub fn holder(&self, environment: &str, attempt: i64) -> Holder {
        Holder {
            release_uid: self.uid().to_owned(),
            environment: environment.to_owned(),
            attempt,
        }
    }
}
