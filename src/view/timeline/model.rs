//! What happened, as data, from which text and chart are made.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::api::environment::Stage;
use crate::api::release::State;
use crate::view::explain::{Block, WaitsFor};
use crate::view::timeline::restores::Restored;

/// What happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// When the simulation starts (UTC).
    pub from: Timestamp,
    /// The last instant at which anything happened.
    pub to: Timestamp,
    /// Objects that were not in the files and were assumed to exist as the Releases need them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// The lanes of the chart, one for each Environment to which a Release promotes; in the order of first use.
    pub environments: Vec<Lane>,
    /// The Release that enters an environment first is the first.
    pub releases: Vec<Way>,
}

impl Timeline {
    /// Whether at least one Release reaches its goal, and no Release is blocked, in progress or too old.
    #[must_use]
    pub fn reached(&self) -> bool {
        let outcomes = || self.releases.iter().map(|way| way.outcome);
        outcomes().any(|outcome| outcome == Outcome::Reached)
            && !outcomes().any(|outcome| matches!(outcome, Outcome::Blocked | Outcome::UnderWay))
            && !self.releases.iter().any(|way| way.too_old)
    }
}

/// An Environment and its windows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    /// Name of the Environment.
    pub name: String,
    /// `spec.stage` of the Environment.
    pub stage: Stage,
    /// When no release may enter.
    pub closed: Vec<Span>,
}

/// `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its first instant (UTC).
    pub from: Timestamp,
    /// The instant after its last one (UTC).
    pub to: Timestamp,
}

/// The end of a Release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It has Succeeded in all its environments.
    Reached,
    /// A newer one replaces it.
    Superseded,
    /// Its requester has withdrawn it.
    Withdrawn,
    /// It cannot continue unless a user acts.
    Blocked,
    /// It was still in progress when the simulation ended.
    UnderWay,
}

/// A Release and its promotions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// Namespace of the Release.
    pub namespace: String,
    /// Name of the Release.
    pub name: String,
    /// `spec.product` of the Release.
    pub product: String,
    /// `spec.version` of the Release.
    pub version: String,
    /// `spec.requestedBy` of the Release, the user who requests it.
    pub requested_by: String,
    /// How it ends, or where it is when the simulation ends.
    pub outcome: Outcome,
    /// When it had Succeeded in all its environments (UTC). Absent unless the outcome is Reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What holds it, if it is not in progress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// Whether its author holds it.
    #[serde(skip)]
    pub(crate) held: bool,
    /// A newer Release has already Succeeded, so this one never enters an environment.
    #[serde(skip)]
    pub(crate) too_old: bool,
    /// One for each environment in its status, in promotion order.
    pub promotions: Vec<Leg>,
}

/// A Release in one environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    /// Name of the Environment.
    pub environment: String,
    /// `spec.stage` of the Environment.
    pub stage: Stage,
    /// The state at the end of the simulation.
    pub state: State,
    /// When its last attempt entered (UTC). Absent if it has not entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered_at: Option<Timestamp>,
    /// When it finished (UTC). Absent if it has not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// If it has not been entered: when it could enter if people approved immediately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Timestamp>,
    /// Its states in order of time, without those that took no time.
    pub steps: Vec<Step>,
    /// The checks that hold it until a user acts.
    #[serde(skip)]
    pub(crate) held_by: Vec<String>,
    /// What a backout would restore, a sentence each in JSON. Empty if nothing was entered.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "sentences")]
    pub restores: Vec<Restored>,
}

impl Leg {
    /// What holds it, without what time clears.
    pub(crate) fn blocks_for_good<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Block> {
        let named = |block: &&Block| self.held_by.iter().any(|name| name == block.subject());
        step.blocks
            .iter()
            .filter(move |block| self.held_by.is_empty() || named(block))
    }
}

/// A stretch of time in one state, for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// When it begins (UTC).
    pub from: Timestamp,
    /// Absent for the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// The state of the promotion in this step.
    pub state: State,
    /// A sentence each in JSON.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "sentences")]
    pub blocks: Vec<Block>,
    /// What it waits for. Absent if it waits for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// What else its status says at the beginning of the step. Absent if it says nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Each as people read it.
fn sentences<T: fmt::Display, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(T::to_string))
}
