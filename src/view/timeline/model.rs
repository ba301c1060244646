//! What happened, as data: text and picture stand on it.

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
    pub from: Timestamp,
    /// The last instant at which anything happened.
    pub to: Timestamp,
    /// What was not said to be there, and was taken to be as a Release needs it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    pub environments: Vec<Lane>,
    pub releases: Vec<Way>,
}

impl Timeline {
    /// Whether something reaches its goal, and nothing that still has one does not.
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
    pub name: String,
    pub stage: Stage,
    /// When no release may enter.
    pub closed: Vec<Span>,
}

/// `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// How a Release ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It stands wherever it is to go.
    Reached,
    /// A newer one goes in its place.
    Superseded,
    /// Whoever asked for it has taken it back.
    Withdrawn,
    /// It cannot go on unless somebody does something.
    Blocked,
    /// It was still on its way when the play ended.
    UnderWay,
}

/// A Release's way through its environments.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    pub namespace: String,
    pub name: String,
    pub product: String,
    pub version: String,
    pub requested_by: String,
    pub outcome: Outcome,
    /// When it had Succeeded wherever it is to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What holds it, where it is not on its way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// By whoever wrote it.
    #[serde(skip)]
    pub(crate) held: bool,
    /// Something newer has Succeeded already: it goes nowhere from the first instant.
    #[serde(skip)]
    pub(crate) too_old: bool,
    pub promotions: Vec<Leg>,
}

/// A Release in one environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    pub environment: String,
    pub stage: Stage,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Where it has not been entered: when time alone would let it in, if people answered at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Timestamp>,
    pub steps: Vec<Step>,
    /// The checks that hold it for good, unless somebody does something.
    #[serde(skip)]
    pub(crate) held_by: Vec<String>,
    /// What a backout would put back, a sentence each in JSON; empty where nothing was entered.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "sentences")]
    pub restores: Vec<Restored>,
}

impl Leg {
    /// What holds it, but for what ends by itself.
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
    pub from: Timestamp,
    /// Absent for the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    pub attempt: i64,
    pub state: State,
    /// A sentence each in JSON.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "sentences")]
    pub blocks: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Each as people read it.
fn sentences<T: fmt::Display, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(T::to_string))
}
