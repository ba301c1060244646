//! What this process remembers between two passes. All of it may be lost: a successor finds out again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::kept;
use crate::api::Release;
use crate::api::release::{Promotion, State};
use crate::decide::facts::{Inspection, KeptPreState, Observed, Planned, Trouble};
use crate::decide::plan;
use crate::decide::prestate::PreState;

/// Shortest and longest time between two reads of an unwatched fact that blocks.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(5);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// Shortest and longest time for which a failed evaluation is believed.
const FAILED_AGAIN: SignedDuration = SignedDuration::from_mins(1);
const FAILED_LAST: SignedDuration = SignedDuration::from_mins(8);

/// What is remembered of one Release.
#[derive(Default)]
pub struct Memory {
    /// Of which term of this process.
    pub term: u64,
    /// Whether the Release has been read live in it.
    pub seen_live: bool,
    pub plan_hashes: PlanHashes,
    /// By environment.
    pub inspections: HashMap<String, Remembered>,
    /// By environment.
    pub captured: HashMap<String, Captured>,
    /// By pre-state name; content is immutable.
    pub pre_states: HashMap<String, KeptPreState>,
    pub predecessors: HashMap<String, Arc<PreState>>,
    /// By `environment/attempt/component`.
    pub targets: HashMap<String, RememberedTarget>,
    /// By `environment/check`: why a Job could not be started.
    pub jobs: HashMap<String, Retried>,
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
            .filter(|p| p.state.before_entry() || p.state.under_way() || asked(&p.name))
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
            // Even where the last try went wrong a moment ago.
            if let Some(retried) = &mut target.trouble {
                retried.trouble.again_at = Timestamp::MIN;
            }
        }
    }
}

/// What an expression said of certain inputs.
pub struct Evaluated {
    /// Hash of the text and of what tells what it was given.
    pub asked: String,
    pub result: Result<bool, String>,
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
    pub fingerprint: String,
    pub inspection: Arc<Inspection>,
    pub tries: u32,
}

/// What was inspected to keep the pre-state, under which claim (its uid), and when.
pub struct Captured {
    pub at: Timestamp,
    pub claim: String,
    pub fingerprint: String,
    pub inspection: Arc<Inspection>,
}

/// A target after entry.
#[derive(Default)]
pub struct RememberedTarget {
    /// What our last read or change returned; of a watched kind, until the watch has it.
    pub object: Option<Arc<Value>>,
    /// The newest resourceVersion that was seen.
    pub version: u64,
    pub floor: Option<i64>,
    pub patched: bool,
    /// A change was sent, and neither its answer nor the object has been seen since.
    pub unsure: bool,
    pub unhealthy_since: Option<Timestamp>,
    pub trouble: Option<Retried>,
    /// The next pass reads it live.
    pub read_live: bool,
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
    pub tries: u32,
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
