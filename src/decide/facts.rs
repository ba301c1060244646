//! The facts on which a decision about a Release is based. `observe` fills them in; nothing here reads anything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::{Action, Decision, Environment, Release, ReleaseReview};
use crate::decide::expressions::NoAnswer;
use crate::decide::plan;
use crate::decide::prestate::PreState;
use crate::domain::calendar::Calendar;
use crate::domain::paths::FieldChange;
use crate::domain::readiness::Was;

/// One Release and all facts that matter to it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Release as the watch shows it. Before entry, a live read must show the same resourceVersion.
    pub release: Arc<Release>,
    /// The settings of the operator, from its flags.
    pub settings: Arc<Settings>,
    /// Every Environment, by name.
    pub environments: Arc<BTreeMap<String, Setting>>,
    /// Cached plan hashes of this spec: every reconcile needs each of them.
    pub plan_hashes: Arc<BTreeMap<Planned, String>>,
    /// Other Releases of the same namespace, product and line.
    pub siblings: Vec<Arc<Release>>,
    /// Decisions that name this Release, and Rejects of its waiting plans, whichever Release those name; oldest
    /// first.
    pub decisions: Vec<Arc<Decision>>,
    /// Decisions that name this Release and do not count, because too many of the same author do.
    pub surplus: Vec<Arc<Decision>>,
    /// Reviews that name this Release, oldest first.
    pub reviews: Vec<Arc<ReleaseReview>>,
    /// What the API server's admission policies guarantee.
    pub trust: Trust,
    /// Labels of the Release's namespace.
    pub namespace_labels: BTreeMap<String, String>,
    /// What was observed of each of its environments, by environment name.
    pub places: BTreeMap<String, Place>,
    /// Pre-states in the operator's namespace that belong to this Release or, in an environment where it
    /// Succeeded, to older ones of its product.
    pub pre_states: Vec<StoredPreState>,
    /// Versions of this product and line that Succeeded and whose Releases were deleted.
    pub remembered: Vec<Remembered>,
    /// By environment in which this Release Succeeded: what no longer runs there as released.
    pub altered: BTreeMap<String, Altered>,
    /// Every claim that this Release holds.
    pub own_claims: Vec<Claim>,
    /// Random, and different in each reconcile: names that must not be predictable are derived from it and recorded in status.
    pub seed: String,
}

/// How many Decisions of one author count for one Release.
pub const MOST_OF_ONE_AUTHOR: usize = 100;

/// What a plan's hash depends on besides the Release's spec: environment, target namespace and attempt.
pub type Planned = (String, Option<String>, i64);

/// An Environment with its windows already parsed.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The Environment as the watch shows it, or as a live read found it changed.
    pub environment: Arc<Environment>,
    /// Its windows and `defaultWindow`, parsed.
    pub calendar: Arc<Calendar>,
}

/// The operator's own settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace of the operator's claims and pre-states. Flag `--namespace`.
    pub operator_namespace: String,
    /// The namespaces in which Releases and workloads are watched; empty: all.
    pub watch_namespaces: Vec<String>,
    /// Name of the ServiceAccount that is impersonated in each target namespace. Flag `--deployer-name`.
    pub deployer: String,
    /// Whether a target namespace without consent admits no Release.
    pub require_consent: bool,
    /// How long a workload may be not ready before it counts as unhealthy. Flag `--health-grace`.
    pub health_grace: SignedDuration,
    /// How long something may be impossible to evaluate before a Decision is required. Flag `--inconclusive-after`.
    pub inconclusive_after: SignedDuration,
    /// How long after the last change of its admission policy an object must be created to count. Flag `--policy-settle`.
    pub policy_settle: SignedDuration,
    /// Bytes that the pre-states of the Releases of one namespace may take in all.
    pub pre_state_limit: u64,
}

impl Settings {
    /// Whether `namespace` is watched.
    #[must_use]
    pub fn watches(&self, namespace: &str) -> bool {
        self.watch_namespaces.is_empty() || self.watch_namespaces.iter().any(|watched| watched == namespace)
    }
}

/// What admission guarantees.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// Policies and bindings are as expected.
    Verified {
        /// Decisions count from this instant on, plus the time that a policy takes to become effective.
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
    /// Name of the ControllerRevision in the operator's namespace.
    pub name: String,
    /// uid of the ControllerRevision, as a precondition of its deletion.
    pub uid: String,
    /// Of the Release; empty if v0.1.0 stored it.
    pub namespace: String,
    /// Name of the Release, from a label. The Release may no longer exist.
    pub release: String,
    /// uid of the Release, from a label.
    pub release_uid: String,
    /// Name of the Environment, from a label.
    pub environment: String,
    /// Of its content; zero if v0.1.0 stored it.
    pub bytes: u64,
}

/// The stored pre-states of all Releases of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptInAll {
    /// The sum of all of them, as they are stored. Those of v0.1.0 count as zero.
    pub bytes: u64,
    /// Names of Releases and their bytes, the largest first.
    pub by: Vec<(String, u64)>,
}

/// A version that Succeeded in an environment, recorded beyond its Release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The object that records it.
    pub name: String,
    /// uid of that ControllerRevision; empty before it is created.
    pub uid: String,
    /// The namespace of the Release; product and line are the Release's too.
    pub namespace: String,
    /// `spec.product` of the Release.
    pub product: String,
    /// `spec.line` of the Release.
    pub line: String,
    /// Name of the Environment in which it Succeeded.
    pub environment: String,
    /// `spec.version` of the Release.
    pub version: String,
    /// The Release's name.
    pub release: String,
}

/// What does not run as it was released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Altered {
    /// Name of the component in the Release.
    pub component: String,
    /// A clause.
    pub says: String,
    /// Who wrote the target last, where that is known.
    pub by: Option<String>,
}

/// A newer Release of the same line that has not entered either, and is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// `namespace/name`.
    pub release: String,
    /// `spec.version` of that Release.
    pub version: String,
    /// If it was not reconciled yet: when it was created.
    pub unseen_since: Option<Timestamp>,
}

/// A running Job of this promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningJob {
    /// The gate, or `verification/` and the item.
    pub check: String,
    /// Name of the Job, in the target namespace.
    pub name: String,
    /// uid of the Job that runs, as the watch shows it.
    pub uid: String,
    /// It was started for another plan than the current one.
    pub other_plan: bool,
}

/// The holder of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// uid of the Release.
    pub release_uid: String,
    /// Name of the Environment.
    pub environment: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
}

impl Holder {
    /// `uid/environment/attempt`, as it is written to `spec.holderIdentity` of the Lease.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{}/{}/{}", self.release_uid, self.environment, self.attempt)
    }

    /// Reads what [`Self::identity`] has written; `None` unless it has three parts and the last one is a number.
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

/// The Lease that locks a target namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Name of the Lease in the operator's namespace: `claim-` and a hash of the target namespace.
    pub name: String,
    /// uid of the Lease, as a precondition of its deletion.
    pub uid: String,
    /// The observed version, as a precondition of every change and of the deletion.
    pub resource_version: String,
    /// The target namespace that it locks.
    pub namespace: String,
    /// Absent if another writer has written something that is not a holder.
    pub holder: Option<Holder>,
    /// `namespace/name` of the holding Release, for messages.
    pub release: String,
    /// The Lease has the annotation [`UNSETTLED`](crate::api::UNSETTLED): a Decision is required before another release enters.
    pub unsettled: bool,
    /// A live read has proved that the holding Release does not exist.
    pub holder_absent: bool,
}

/// A target namespace, and what this Release would do or has done there.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Whether the target namespace exists, from the watch.
    pub namespace: NamespaceState,
    /// The Lease that locks the target namespace. Absent if there is none.
    pub claim: Option<Claim>,
    /// `namespace/name` of another Release that is in progress here although its claim was deleted. Absent if there is none.
    pub unclaimed: Option<String>,
    /// The newer Release of this line that enters first.
    pub ahead: Option<Ahead>,
    /// Environments whose `namespace`, with a placeholder, leads Releases of other namespaces here.
    pub led_from_elsewhere: Vec<String>,
    /// Running Jobs of this promotion.
    pub jobs_running: Vec<RunningJob>,
    /// Other Releases Queued for the same target namespace, in the order of the queue.
    pub rivals: Vec<Rival>,
    /// Reads made as the deployer before entry.
    pub inspection: Option<Arc<Inspection>>,
    /// The watch shows a pre-state of this attempt.
    pub has_pre_state: bool,
    /// The pre-state of this attempt, read live. Absent if it does not exist or is not needed.
    pub pre_state: Option<LivePreState>,
    /// What is already stored for the namespace of the Release, if one more might exceed the limit. A Release whose pre-state is stored continues.
    pub kept_in_all: Option<KeptInAll>,
    /// It was read before and has been deleted since: it can still be stored again.
    pub pre_state_gone: bool,
    /// The pre-state of the previous attempt, whose values a Retry takes over. Absent in the first attempt.
    pub predecessor: Option<Arc<PreState>>,
    /// Targets, in component order; read once the promotion has entered.
    pub components: Vec<LiveComponent>,
    /// Jobs of gates and verification, by check name.
    pub jobs: BTreeMap<String, JobState>,
    /// Which Jobs those are, if they exist and the operator created them.
    pub own_jobs: BTreeMap<String, OwnJob>,
    /// Results of expressions of gates and verification, by check name.
    pub expressions: BTreeMap<String, Result<bool, NoAnswer>>,
    /// What is wrong with targets' health before anything is changed, from the watch.
    pub unhealthy: Vec<String>,
    /// Targets that are healthy and were not when EnvironmentAvailable was last evaluated: which, and since when.
    pub recovered: Vec<(String, Timestamp)>,
    /// The facts of this place were read live in this reconcile.
    pub live: bool,
}

/// Whether a namespace exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceState {
    /// The watch shows no namespace of that name.
    #[default]
    Missing,
    /// It is being deleted.
    Terminating,
    /// It exists and is not being deleted.
    Present,
}

/// A place in the queue. A Release without a planned start counts from its creation, so that a start in the future does not pass
/// Releases that have waited longer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rival {
    /// Planned start, or creation.
    pub from: Timestamp,
    /// When the Release was created; the latest possible instant if that is unknown.
    pub created: Timestamp,
    /// uid of the Release. It decides between equal times.
    pub uid: String,
    /// `namespace/name` of the Release.
    pub release: String,
}

/// The pre-state object and its content.
#[derive(Clone, Debug)]
pub struct LivePreState {
    /// Name of the ControllerRevision in the operator's namespace.
    pub name: String,
    /// uid of the ControllerRevision, as a precondition of its deletion.
    pub uid: String,
    /// Its `data`, expanded. One that cannot be read counts as missing.
    pub content: Arc<PreState>,
}

/// What the deployer may do, and the result of a dry run of each component.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Why nothing could be read at all, a sentence: no deployer, no permissions. Absent if it was read.
    pub refusal: Option<Refusal>,
    /// One for each component of the Release, in its order. Empty if `refusal` is present.
    pub components: Vec<Inspected>,
    /// Bytes that the pre-state would take.
    pub size: usize,
    /// When unwatched facts are read again, only while they are the blocker.
    pub again_at: Option<Timestamp>,
}

/// Why an inspection admits no entry: of the whole namespace, or of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// A reason from [`crate::api::reasons`].
    pub reason: &'static str,
    /// A complete message.
    pub message: String,
    /// It could not be determined, rather than refused.
    pub unknown: bool,
}

/// One component as a dry run shows it.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Name of the component in the Release.
    pub name: String,
    /// Why this component cannot be changed. Absent if the dry run succeeded.
    pub refusal: Option<Refusal>,
    /// What could not be determined and refuses nothing, a sentence. Absent if there is nothing.
    pub note: Option<String>,
    /// uid of the target. Absent if it does not exist, or was refused.
    pub uid: Option<String>,
    /// Version of the target that the dry run was computed from. Absent like `uid`.
    pub resource_version: Option<String>,
    /// The fields that the dry run changes. Empty also in a cached inspection, which keeps no content.
    pub changes: Vec<FieldChange>,
    /// Its health.
    pub was: Was,
    /// Stamp of the configuration that the pods are restarted for. Absent without `restartOn`, and if refused.
    pub restarted_for: Option<String>,
    /// The target as it will be: the fields that this release states from the dry run's result, all others as they are. Only in live
    /// reads.
    pub result: Option<Arc<Value>>,
    /// Our own entry in `managedFields`, with its fields. Absent if there is none, and in a cached inspection.
    pub ours: Option<Value>,
    /// `(container, image)` before and after.
    pub images_before: Vec<(String, String)>,
    /// As the dry run shows them, in the order of the containers. Empty if it was refused.
    pub images_after: Vec<(String, String)>,
}

/// A target after entry.
#[derive(Clone, Debug)]
pub struct LiveComponent {
    /// Name of the component in the Release.
    pub name: String,
    /// The target, from the watch or a live read.
    pub object: Live,
    /// Pods of the target, if its readiness or health needs them.
    pub pods: Vec<Arc<Value>>,
    /// The generation that our own patch returned, in this process. Absent if it sent none.
    pub floor: Option<i64>,
    /// This process has patched it in this attempt.
    pub patched: bool,
    /// A change of ours was sent, and it is unknown whether it was applied: what was read may be older.
    pub unsure: bool,
    /// `managedFields` with all fields, read if another writer has changed ours.
    pub managed_fields: Option<Arc<Value>>,
    /// Restores that the API server has accepted, in this process. Absent if there were none.
    pub restores: Option<Restores>,
    /// Our entry in `managedFields` was restored, or cannot be, in this process.
    pub given_back: bool,
    /// This process has seen it ready as released, while the promotion is Deploying.
    pub became_ready: Option<BecameReady>,
    /// Unhealthy since, in this process. Absent while it is healthy.
    pub unhealthy_since: Option<Timestamp>,
    /// Why it could not be read or changed, and when to try again. Absent if nothing failed.
    pub trouble: Option<Trouble>,
}

/// How often a target was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restores {
    /// In the backout that started then.
    pub began: Option<Timestamp>,
    /// How many of them, from 1.
    pub count: u32,
    /// When the API server accepted the last one, by the operator's clock.
    pub last: Timestamp,
}

/// When a component was Ready, and with how many pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BecameReady {
    /// When a reconcile first saw it ready, by the operator's clock.
    pub at: Timestamp,
    /// Absent for kinds without pods.
    pub pods: Option<i64>,
}

/// A target as far as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Live {
    /// Not read, or could not be.
    Unread,
    /// A live read found that it does not exist.
    Absent,
    /// The object as JSON, from the watch or a live read.
    Present(Arc<Value>),
}

impl Live {
    /// The object, if it was read and exists.
    #[must_use]
    pub fn present(&self) -> Option<&Value> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unread | Self::Absent => None,
        }
    }
}

impl LiveComponent {
    /// A target as it was read, with nothing cached about it.
    #[must_use]
    pub fn seen(name: &str, object: Live) -> Self {
        Self {
            name: name.to_owned(),
            object,
            pods: vec![],
            floor: None,
            patched: false,
            unsure: false,
            managed_fields: None,
            restores: None,
            given_back: false,
            became_ready: None,
            unhealthy_since: None,
            trouble: None,
        }
    }
}

/// A failed read or change, and when it is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// A reason from [`crate::api::reasons`].
    pub reason: &'static str,
    /// A complete message.
    pub message: String,
    /// The next try is not before this instant. Each failure in a row doubles the time, from 5 s to 5 min.
    pub again_at: Timestamp,
}

/// A Job that the operator created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnJob {
    /// Name of the Job, in the target namespace.
    pub name: String,
    /// uid of the Job that exists.
    pub uid: String,
    /// Of the template that it was created from; absent if that is no longer known.
    pub template_digest: Option<String>,
}

/// The Job of a check, from its status and from whether the operator created it.
#[derive(Clone, Debug, PartialEq)]
pub enum JobState {
    /// No Job of that name exists.
    Absent,
    /// It has neither the condition Complete nor Failed. `started` is its creation, absent if that cannot be read.
    Running { started: Option<Timestamp> },
    /// It has the condition Complete.
    Succeeded,
    /// It has the condition Failed: the reason and message of that condition, a clause.
    Failed(String),
    /// It could not be created, or its creator cannot be determined.
    Trouble(Trouble),
    /// Another user has created a Job of that name.
    Forged {
        uid: String,
        /// What differs, a clause.
        why: &'static str,
        /// It may still be ours: it does not count, and is stopped.
        may_be_ours: bool,
    },
}

impl Observed {
    /// Adds Decisions that are not included yet. [`MOST_OF_ONE_AUTHOR`] of one author count: those that were obeyed, then Rejects,
    /// then the oldest. So a new Decision never displaces an earlier one, of the same author or of others.
    pub fn know(&mut self, decisions: impl IntoIterator<Item = Arc<Decision>>) {
        let promotions = self.release.status.iter().flat_map(|s| &s.environments);
        let obeyed: HashSet<&String> = promotions
            .flat_map(|p| p.obeyed.iter().chain(p.decided.iter().map(|d| &d.uid)))
            .collect();
        let age = |d: &Arc<Decision>| (d.metadata.creation_timestamp.clone(), d.metadata.uid.clone());
        let rank = |d: &Arc<Decision>| {
            let uid = d.metadata.uid.as_ref();
            let obeyed = uid.is_some_and(|uid| obeyed.contains(uid));
            (!obeyed, d.spec.action != Action::Reject, age(d))
        };
        let mut all: Vec<Arc<Decision>> = self.decisions.drain(..).chain(decisions).collect();
        let mut seen = HashSet::new();
        all.retain(|d| seen.insert(d.metadata.uid.clone()));
        all.sort_by_cached_key(rank);
        let mut of_author: HashMap<String, usize> = HashMap::new();
        let counts = |d: &Arc<Decision>| {
            let number = of_author.entry(d.spec.by.clone()).or_default();
            *number += 1;
            *number <= MOST_OF_ONE_AUTHOR
        };
        (self.decisions, self.surplus) = all.into_iter().partition(counts);
        self.decisions.sort_by_cached_key(age);
    }

    /// `namespace/name`.
    #[must_use]
    pub fn release_path(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    /// The namespace of the Release; empty if it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.release.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The name of the Release; empty if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.release.metadata.name.as_deref().unwrap_or_default()
    }

    /// The uid of the Release; empty if it has none, as in a manifest.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.release.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The Environment of that name; `None` if the watch shows none.
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

    /// This Release as the holder of a claim, in that environment and attempt.
    #[must_use]
    pub fn holder(&self, environment: &str, attempt: i64) -> Holder {
        Holder {
            release_uid: self.uid().to_owned(),
            environment: environment.to_owned(),
            attempt,
        }
    }
}
