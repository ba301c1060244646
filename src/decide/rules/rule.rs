//! What the file of every control and gate declares, and `mod.rs` lists.

use crate::api::environment::{ControlName, Gate};
use crate::decide::ask::Ask;
use crate::decide::rules::subject::{Subject, Verdict};

/// How a rule judges.
pub(crate) type Judge = fn(&Subject<'_>) -> Verdict;

/// A control.
pub(crate) struct Control {
    /// Its name in the API.
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
    /// What it has to know, stored under the gate's name.
    pub(crate) asks: fn(&Gate) -> Option<Ask>,
    /// How it judges.
    pub(crate) judge: Judge,
    /// Whether the first blocks whatever the second blocks, as far as their settings show.
    pub(crate) asks_as_much: fn(&Gate, &Gate) -> bool,
    /// Whether the verdict's `until` is an earliest entry that can be foreseen.
    pub(crate) foreseen: bool,
}

/// When a gate is judged: approvals are requested once time and policy are satisfied, and Jobs start once all approvals are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Time and policy.
    Time,
    /// People.
    People,
    /// Jobs.
    Probe,
}

/// For types of gates that need no facts beyond those that are always observed.
pub(crate) fn asks_nothing(_: &Gate) -> Option<Ask> {
    None
}
