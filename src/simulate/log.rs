//! What happened when: every promotion's way, with what blocks it and who is waited for, as its status says.

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;

use super::objects::Deed;
use crate::api::release::{Check, CheckState, ComponentState, Promotion, State};
use crate::api::{Release, reasons};
use crate::decide::calendar::WINDOW_TOO_SHORT;

/// Something about a promotion that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: Timestamp,
    /// `namespace/name`.
    pub release: String,
    pub environment: String,
    pub attempt: i64,
    pub state: State,
    /// What holds it, a sentence each, beginning with the check's name where it is one.
    pub blocks: Vec<String>,
    /// Absent where nothing is waited for any more.
    pub waits_for: Option<WaitsFor>,
    /// What else its status says.
    pub message: Option<String>,
}

/// Who or what goes on next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// What it promotes from.
    Upstream,
    /// The clock, until then where that is known.
    Time(Option<Timestamp>),
    /// Somebody's approval.
    Approval,
    /// A Job of a gate or of verification.
    Job,
    /// Another release, which has the target namespace.
    Queue,
    /// Targets that have to become ready.
    Workloads,
    /// Somebody's Decision on what failed.
    Decision,
    /// Somebody who mends or changes what a check finds fault with.
    Mending,
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream => f.write_str("an earlier environment"),
            Self::Time(None) => f.write_str("time"),
            Self::Time(Some(until)) => write!(f, "time, until {until}"),
            Self::Approval => f.write_str("an approval"),
            Self::Job => f.write_str("a Job"),
            Self::Queue => f.write_str("the release before it"),
            Self::Workloads => f.write_str("workloads"),
            Self::Decision => f.write_str("a Decision"),
            Self::Mending => f.write_str("somebody who mends it"),
        }
    }
}

/// The entries, and what each promotion was last said to be.
#[derive(Default)]
pub(super) struct Log {
    entries: Vec<Entry>,
    last: HashMap<(String, String), usize>,
}

impl Log {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn note(&mut self, now: Timestamp, deed: &Deed) {
        let Deed::Status { after, .. } = deed else { return };
        for promotion in after.status.iter().flat_map(|s| &s.environments) {
            let entry = entry(now, after, promotion);
            let key = (entry.release.clone(), entry.environment.clone());
            let known = self.last.get(&key).and_then(|at| self.entries.get(*at));
            let same = known.is_some_and(|known| {
                Entry {
                    at: now,
                    ..known.clone()
                } == entry
            });
            if !same {
                self.last.insert(key, self.entries.len());
                self.entries.push(entry);
            }
        }
    }
}

fn entry(at: Timestamp, release: &Release, p: &Promotion) -> Entry {
    let metadata = &release.metadata;
    let name = |part: &Option<String>| part.clone().unwrap_or_default();
    let held: Vec<&Check> = p
        .checks
        .iter()
        .filter(|c| p.state.before_entry() && !c.advisory && c.state != CheckState::Satisfied)
        .collect();
    let mut blocks: Vec<String> = held
        .iter()
        .map(|c| format!("{}: {}", c.name, c.message))
        .collect();
    if p.state == State::Deploying {
        let waiting = p.components.iter().filter(|c| c.state != ComponentState::Ready);
        blocks.extend(waiting.map(|c| format!("{} is not ready yet", c.name)));
    }
    if let Some(trouble) = &p.inconclusive {
        blocks.push(format!("{}: {}", trouble.reason, trouble.message));
    }
    Entry {
        at,
        release: format!("{}/{}", name(&metadata.namespace), name(&metadata.name)),
        environment: p.name.clone(),
        attempt: p.attempt,
        state: p.state,
        blocks,
        waits_for: waits_for(p, &held),
        message: p.message.clone(),
    }
}

fn waits_for(p: &Promotion, held: &[&Check]) -> Option<WaitsFor> {
    Some(match p.state {
        State::Pending => WaitsFor::Upstream,
        State::Queued => WaitsFor::Queue,
        State::Waiting => return held.iter().map(|c| asks(c)).next(),
        State::Deploying | State::BackingOut => WaitsFor::Workloads,
        State::Verifying => WaitsFor::Job,
        State::Observing => {
            let began = p.verified_at.as_ref().or(p.deployed_at.as_ref());
            let observation = p.entered.as_ref().and_then(|e| e.observation.as_ref());
            WaitsFor::Time(began.zip(observation).map(|(began, d)| began.0 + d.get()))
        }
        State::AwaitingDecision | State::Failed => WaitsFor::Decision,
        State::Succeeded | State::BackedOut | State::Superseded | State::Withdrawn => return None,
    })
}

fn asks(check: &Check) -> WaitsFor {
    let until = check.until.as_ref().map(|t| t.0);
    match check.reason.as_str() {
        reasons::APPROVALS_MISSING => WaitsFor::Approval,
        reasons::JOB_PENDING | reasons::JOB_RUNNING => WaitsFor::Job,
        reasons::SOAKING | reasons::NOT_BEFORE => WaitsFor::Time(until),
        WINDOW_TOO_SHORT => WaitsFor::Mending,
        _ if check.state == CheckState::Waiting && until.is_some() => WaitsFor::Time(until),
        _ => WaitsFor::Mending,
    }
}
