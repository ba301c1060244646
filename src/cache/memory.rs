//! What this process remembers between two passes. All of it may be lost: a successor finds out again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::Release;
use crate::api::release::{Promotion, State};
use crate::cache::kept;
use crate::decide::expressions::NoAnswer;
use crate::decide::facts::{BecameReady, Inspection, KeptPreState, Observed, Planned, Restores, Trouble};
use crate::decide::plan;
use crate::decide::prestate::PreState;

/// Shortest and longest time between two reads of an unwatched fact that blocks.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(5);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// Shortest and longest time for which a failed evaluation is believed.
const FAILED_AGAIN: SignedDuration = SignedDuration::from_mins(1);
const FAILED_LAST: SignedDuration = SignedDuration::from_mins(8);

/// Tries to give our entry in `managedFields` back, after which it is left.
pub const MOST_GIVEN_BACK: u32 = 3;

/// Where a target is remembered, in [`Memory::targets`].
#[must_use]
pub fn target_key(environment: &str, attempt: i64, component: &str) -> String {
    format!("{environment}/{attempt}/{component}")
}

/// What is remembered of one Release.
#[derive(Default)]
pub struct Memory {
    /// Of which term of this process.
    pub term: u64,
    /// Whether the Release has been read live in it.
    pub seen_live: bool,
    /// Of the spec as it was last seen.
    pub plan_hashes: PlanHashes,
    /// By environment.
    pub inspections: HashMap<String, Remembered>,
    /// By environment.
    pub captured: HashMap<String, Captured>,
    /// By pre-state name; content is immutable.
    pub pre_states: HashMap<String, KeptPreState>,
    /// Pre-states of the attempts before, by name.
    pub predecessors: HashMap<String, Arc<PreState>>,
    /// By `environment/attempt/component`.
    pub targets: HashMap<String, RememberedTarget>,
    /// By `environment/check`: why a Job could not be started.
    pub jobs: HashMap<String, Retried>,
    /// By uid, Jobs that are ours and are not on status yet: the digest of the template that each was made from.
    pub jobs_made: HashMap<String, String>,
    /// Uids of Jobs that were told to stop: what the watch still shows of them is old, or cannot be helped.
    pub jobs_stopped: HashSet<String>,
    /// By `environment/check`.
    pub expressions: HashMap<String, Evaluated>,
    /// No expression over this Release is evaluated before: those that were have taken long.
    pub expressions_rest: Option<Timestamp>,
    /// What slow ones have taken since the last rest.
    pub expressions_work: Duration,
}

impl Memory {
    /// Keeps only what the next pass may ask for: of a promotion that is over, nothing of its targets, unless it is among
    /// those that are `asked` to be backed out.
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
        // Of earlier attempts too: a Retry that never enters is backed out with what the one before it has kept.
        let kept: Vec<String> = promotions
            .filter(|p| !p.state.has_ended() || asked(&p.name))
            .flat_map(|p| (1..=p.attempt).map(|attempt| plan::pre_state_name(uid, &p.name, attempt)))
            .collect();
        self.pre_states.retain(|name, _| kept.contains(name));
        self.predecessors.retain(|name, _| kept.contains(name));
    }

    /// The next pass reads all targets in `environment` live.
    pub fn look_again(&mut self, environment: &str) {
        let there = |key: &str| {
            key.strip_prefix(environment)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        for (_, target) in self.targets.iter_mut().filter(|(key, _)| there(key)) {
            target.read_live = true;
            // Even where the last read went wrong a moment ago. A change that was refused keeps its pause.
            if let Some(retried) = target.trouble.as_mut().filter(|_| !target.refused) {
                retried.trouble.again_at = Timestamp::MIN;
            }
        }
    }
}

/// What an expression said of certain inputs.
pub struct Evaluated {
    /// Hash of the text and of what tells what it was given.
    pub asked: String,
    /// A sentence where it says neither yes nor no.
    pub result: Result<bool, NoAnswer>,
    /// When it was evaluated.
    pub at: Timestamp,
    /// Failures in a row with these inputs.
    pub tries: u32,
}

impl Evaluated {
    /// Until what is given changes, or, where it failed, until it may be the machine's turn to do better: a minute, doubled each
    /// time, to eight minutes.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        self.result.is_ok() || now.duration_since(self.at) < self.failure_stands()
    }

    /// How long it stands where it failed.
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
    /// What is known of this very spec.
    #[must_use]
    pub fn of(&self, release: &Release) -> Arc<BTreeMap<Planned, String>> {
        if self.generation == release.metadata.generation {
            Arc::clone(&self.known)
        } else {
            Arc::default()
        }
    }

    /// Keeps what the pass has worked out: one hash an environment, for as long as the spec is the same.
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
pub struct Remembered {
    /// Of the plan, the Environment, the target namespace's consent and the targets that were inspected.
    pub fingerprint: String,
    /// Without the content of the targets.
    pub inspection: Arc<Inspection>,
    /// How often it has refused.
    pub tries: u32,
}

/// What was inspected to keep the pre-state, under which claim (its uid), and when.
pub struct Captured {
    /// When.
    pub at: Timestamp,
    /// Its uid.
    pub claim: String,
    /// As in [`Remembered`].
    pub fingerprint: String,
    /// The whole, with the content of the targets.
    pub inspection: Arc<Inspection>,
}

/// A target after entry.
#[derive(Default)]
pub struct RememberedTarget {
    /// What our last read or change returned; of a watched kind, until the watch has it.
    pub object: Option<Arc<Value>>,
    /// The newest resourceVersion that was seen.
    pub version: u64,
    /// The generation that our last change gave it: what is observed of an older one says nothing of that change.
    pub floor: Option<i64>,
    /// Our last change went forward, and has arrived.
    pub patched: bool,
    /// A change was sent, and neither its answer nor the object has been seen since.
    pub unsure: bool,
    /// Who owns which field, and of which fields that was asked.
    pub writers: Option<(Vec<String>, Option<Arc<Value>>)>,
    /// How often it has been put back by the backout that is under way.
    pub restores: Option<Restores>,
    /// Tries to give our entry in `managedFields` back.
    pub gave_back: u32,
    /// Since when, where it is unhealthy.
    pub unhealthy_since: Option<Timestamp>,
    /// It was Ready as released while its promotion is Deploying.
    pub became_ready: Option<BecameReady>,
    /// What went wrong with the last read or change.
    pub trouble: Option<Retried>,
    /// That trouble is the answer to a change: a read that goes well says nothing against it.
    pub refused: bool,
    /// The next pass reads it live.
    pub read_live: bool,
    /// A read has found nothing.
    pub absent: bool,
}

impl RememberedTarget {
    /// What a read or a change has returned.
    pub fn has_returned(&mut self, object: Arc<Value>) {
        self.version = kept::version(&object);
        self.unsure = false;
        self.object = Some(object);
        self.absent = false;
    }
}

/// A trouble with the number of tries.
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
