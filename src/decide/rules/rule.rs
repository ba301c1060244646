//! What every file of this folder says of itself, and `mod.rs` lists.

use crate::api::environment::{ControlName, Gate};
use crate::decide::ask::Ask;
use crate::decide::rules::subject::{Subject, Verdict};

/// How a rule judges.
pub(crate) type Judge = fn(&Subject<'_>) -> Verdict;

/// A control.
pub(crate) struct Control {
    /// As it stands on the API.
    pub(crate) name: ControlName,
    /// How it judges.
    pub(crate) judge: Judge,
}

/// A type of gate.
pub(crate) struct GateType {
    /// When it is judged.
    pub(crate) tier: Tier,
    /// Whether the gate is of this type.
    pub(crate) is: fn(&Gate) -> bool,
    /// What it has to know, kept under the gate's name.
    pub(crate) asks: fn(&Gate) -> Option<Ask>,
    /// How it judges.
    pub(crate) judge: Judge,
    /// Whether the first holds up whatever the second does, as far as their settings show.
    pub(crate) asks_as_much: fn(&Gate, &Gate) -> bool,
    /// Whether the verdict's `until` is an earliest entry that can be foreseen.
    pub(crate) foreseen: bool,
}

/// When a gate is judged: people are asked once time and policy hold, and Jobs are started once people have answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Time and policy.
    Time,
    /// People.
    People,
    /// Jobs.
    Probe,
}

/// For types of gates that look at nothing but facts that are there anyway.
pub(crate) fn asks_nothing(_: &Gate) -> Option<Ask> {
    None
}
