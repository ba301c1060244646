//! Data that this process caches between two reconciles. All of it may be lost: the next leader finds it out again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::Release;
use crate::api::release::{Promotion, State};
use crate::cache::kept;
use crate::decide::expressions::NoAnswer;
use crate::decide::facts::{BecameReady, Inspection, LivePreState, Observed, Planned, Restores, Trouble};
use crate::decide::plan;
use crate::decide::prestate::PreState;

/// Shortest and longest time between two reads of an unwatched fact that blocks a promotion.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(5);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// Shortest and longest time for which a failed evaluation is cached.
const FAILED_AGAIN: SignedDuration = SignedDuration::from_mins(1);
const FAILED_LAST: SignedDuration = SignedDuration::from_mins(8);

/// The number of tries to restore our entry in `managedFields`; then it is left unchanged.
pub const MOST_GIVEN_BACK: u32 = 3;

/// The key of a target in [`Memory::targets`].
#[must_use]
pub fn target_key(environment: &str, attempt: i64, component: &str) -> String {
    format!("{environment}/{attempt}/{component}")
}

/// The cached data of one Release.
#[derive(Default)]
pub struct Memory {
    /// The term of this process that it belongs to.
    pub term: u64,
    /// Whether the Release has been read live in it.
    pub seen_live: bool,
    /// Plan hashes of the spec as it was last seen.
    pub plan_hashes: PlanHashes,
    /// By environment.
    pub inspections: HashMap<String, CachedInspection>,
    /// By environment.
    pub captured: HashMap<String, CapturedInspection>,
    /// By pre-state name; content is immutable.
    pub pre_states: HashMap<String, LivePreState>,
    /// Pre-states of earlier attempts, by name.
    pub predecessors: HashMap<String, Arc<PreState>>,
    /// By `environment/attempt/component`.
    pub targets: HashMap<String, CachedTarget>,
    /// By `environment/check`: why a Job could not be started.
    pub jobs: HashMap<String, Retried>,
    /// By uid, Jobs that are ours and not recorded in status yet: the digest of the template that each was created from.
    pub jobs_made: HashMap<String, String>,
    /// Uids of Jobs that were stopped: the watch may still show them, and no second try is made.
    pub jobs_stopped: HashSet<String>,
    /// By `environment/check`.
    pub expressions: HashMap<String, Evaluated>,
    /// No expression for this Release is evaluated before this time, because earlier evaluations were slow.
    pub expressions_rest: Option<Timestamp>,
    /// The time that slow evaluations have taken since the last pause.
    pub expressions_work: Duration,
}

impl Memory {
    /// Keeps only the data that the next reconcile may need. The targets of a finished promotion are dropped, unless its backout is
    /// `asked` for.
    pub fn tidy(&mut self, release: &Release, asked: &[String]) {
        let uid = release.metadata.uid.as_deref().unwrap_or_default();
        let state = |name: &str| release.promotion(name).map_or(State::Pending, |p| p.state);
        self.inspections.retain(|name, _| state(name).before_entry());
        self.captured.retain(|name, _| state(name).before_entry());
        let asked = |name: &str| asked.iter().any(|asked| asked == name);
        self.targets.retain(|key, _| {
            let name = key.split('/').next();
            name.is_some_and(|name| state(name).under_way() || asked(name))
        });
        let promotions = release.status.iter().flat_map(|s| &s.environments);
        // Also of earlier attempts: a Retry that never enters is backed out with the pre-state of the attempt before.
        let kept: Vec<String> = promotions
            .filter(|p| !p.state.has_ended() || asked(&p.name))
            .flat_map(|p| (1..=p.attempt).map(|attempt| plan::pre_state_name(uid, &p.name, attempt)))
            .collect();
        self.pre_states.retain(|name, _| kept.contains(name));
        self.predecessors.retain(|name, _| kept.contains(name));
    }

    /// The next reconcile reads all targets in `environment` live.
    pub fn look_again(&mut self, environment: &str) {
        let there = |key: &str| {
            key.strip_prefix(environment)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        for (_, target) in self.targets.iter_mut().filter(|(key, _)| there(key)) {
            target.read_live = true;
            // Even if the last read failed a moment ago. A refused change keeps its pause.
            if let Some(retried) = target.trouble.as_mut().filter(|_| !target.refused) {
                retried.trouble.again_at = Timestamp::MIN;
            }
        }
    }
}

/// The result of an expression for certain inputs.
pub struct Evaluated {
    /// Hash of the text and of the identity of its inputs.
    pub asked: String,
    /// An error where the result is neither true nor false.
    pub result: Result<bool, NoAnswer>,
    /// When it was evaluated.
    pub at: Timestamp,
    /// Failures in a row with these inputs.
    pub tries: u32,
}

impl Evaluated {
    /// Whether the result is still valid: until the inputs change or, after a failure, for a minute, doubled with each failure up to
    /// eight minutes.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        self.result.is_ok() || now.duration_since(self.at) < self.failure_stands()
    }

    /// How long a failure is valid.
    #[must_use]
    pub fn failure_stands(&self) -> SignedDuration {
        let factor = 1_i32
            .checked_shl(self.tries.saturating_sub(1).min(8))
            .unwrap_or(i32::MAX);
        (FAILED_AGAIN * factor).min(FAILED_LAST)
    }
}

/// Plan hashes of one generation of a Release's spec.
#[derive(Default)]
pub struct PlanHashes {
    generation: Option<i64>,
    known: Arc<BTreeMap<Planned, String>>,
}

impl PlanHashes {
    /// The cached hashes of exactly this spec.
    #[must_use]
    pub fn of(&self, release: &Release) -> Arc<BTreeMap<Planned, String>> {
        if self.generation == release.metadata.generation {
            Arc::clone(&self.known)
        } else {
            Arc::default()
        }
    }

    /// Caches the result of the reconcile: one hash for each environment, as long as the spec is the same.
    pub fn keep(&mut self, o: &Observed, listed: &[Promotion]) {
        if self.generation != o.release.metadata.generation {
            self.generation = o.release.metadata.generation;
            self.known = Arc::default();
        }
        for p in listed.iter().filter(|p| p.state.before_entry()) {
            let namespace = o
                .environment(&p.name)
                .map(|e| e.spec.target_namespace(o.namespace()));
            let planned = (p.name.clone(), namespace, p.attempt);
            if !self.known.contains_key(&planned) {
                let known = Arc::make_mut(&mut self.known);
                known.retain(|(name, _, _), _| *name != p.name);
                known.insert(planned, p.plan_hash.clone());
            }
        }
    }
}

/// An inspection and what it depends on.
pub struct CachedInspection {
    /// A fingerprint of the plan, the Environment, the target namespace's consent and the inspected targets.
    pub fingerprint: String,
    /// Without the content of the targets.
    pub inspection: Arc<Inspection>,
    /// How often it has refused.
    pub tries: u32,
}

/// The inspection for the pre-state, the uid of its claim, and its time.
pub struct CapturedInspection {
    /// When.
    pub at: Timestamp,
    /// The claim's uid.
    pub claim: String,
    /// As in [`CachedInspection`].
    pub fingerprint: String,
    /// The whole, with the content of the targets.
    pub inspection: Arc<Inspection>,
}

/// A target after entry.
#[derive(Default)]
pub struct CachedTarget {
    /// The object that our last read or change returned; for a watched kind, until the watch has it.
    pub object: Option<Arc<Value>>,
    /// The newest resourceVersion that was seen.
    pub version: u64,
    /// The generation after our last change: an older observedGeneration says nothing about that change.
    pub floor: Option<i64>,
    /// Our last change went forward and was applied.
    pub patched: bool,
    /// A change was sent, and neither its answer nor the object has been seen since.
    pub unsure: bool,
    /// The owners of fields, and the fields for which they were read.
    pub writers: Option<(Vec<String>, Option<Arc<Value>>)>,
    /// How often the backout in progress has restored it. Absent if it has not.
    pub restores: Option<Restores>,
    /// Tries to restore our entry in `managedFields`.
    pub gave_back: u32,
    /// Since when, where it is unhealthy.
    pub unhealthy_since: Option<Timestamp>,
    /// When it became Ready as released, while its promotion is Deploying. Absent until then.
    pub became_ready: Option<BecameReady>,
    /// What went wrong with the last read or change. Absent if nothing did.
    pub trouble: Option<Retried>,
    /// That trouble is the answer to a change, so a successful read does not clear it.
    pub refused: bool,
    /// The next reconcile reads it live.
    pub read_live: bool,
    /// A read has shown that it does not exist.
    pub absent: bool,
}

impl CachedTarget {
    /// Stores the object that a read or a change has returned.
    pub fn has_returned(&mut self, object: Arc<Value>) {
        self.version = kept::version(&object);
        self.unsure = false;
        self.object = Some(object);
        self.absent = false;
    }
}

/// An error with the number of tries.
#[derive(Clone)]
pub struct Retried {
    /// Failures in a row before this one.
    pub tries: u32,
    /// What went wrong, and when it is tried again.
    pub trouble: Trouble,
}

impl Retried {
    /// The next try after `before`, 5 s to 5 min away.
    #[must_use]
    pub fn after(before: Option<&Self>, reason: &'static str, message: String, now: Timestamp) -> Self {
        let tries = before.map_or(0, |b| b.tries + 1);
        Self {
            tries,
            trouble: Trouble {
                reason,
                message,
                again_at: now + backoff(tries),
            },
        }
    }
}

/// 5 s, doubled with each try, to 5 min.
#[must_use]
pub fn backoff(tries: u32) -> SignedDuration {
    let factor = 1_i32.checked_shl(tries.min(8)).unwrap_or(i32::MAX);
    (FIRST_RETRY * factor).min(LAST_RETRY)
}
