//! What is said of a promotion and of its checks. Conditions, the colour, the World's log and whatever else is printed say it
//! in these words.

use crate::api::release::state::State;
use crate::api::release::status::{Check, CheckState, ComponentState, ComponentStatus, Promotion};

impl Check {
    /// Whether it keeps a promotion from entering.
    #[must_use]
    pub fn blocks(&self) -> bool {
        !self.advisory && self.state != CheckState::Satisfied
    }

    /// Its name, and what it says.
    #[must_use]
    pub fn says(&self) -> String {
        format!("{}: {}", self.name, self.message)
    }
}

impl Promotion {
    /// What is told of it: its message, if it has one, and then the Decisions that do not count.
    #[must_use]
    pub fn says(&self) -> Option<String> {
        match (&self.message, &self.not_counted) {
            (Some(message), Some(not_counted)) => Some(format!("{message} — Not counted: {not_counted}")),
            (None, Some(not_counted)) => Some(format!("Not counted: {not_counted}")),
            (message, None) => message.clone(),
        }
    }

    /// The checks that hold it before its entry.
    pub fn held_by(&self) -> impl Iterator<Item = &Check> {
        let before_entry = self.state.before_entry();
        self.checks
            .iter()
            .filter(move |check| before_entry && check.blocks())
    }

    /// The components that are being changed and are not ready yet.
    pub fn not_ready(&self) -> impl Iterator<Item = &ComponentStatus> {
        let deploying = self.state == State::Deploying;
        self.components
            .iter()
            .filter(move |component| deploying && component.state != ComponentState::Ready)
    }

    /// In one sentence, beginning with its environment: what it says, or what holds it.
    #[must_use]
    pub fn summary(&self) -> String {
        if let Some(inconclusive) = &self.inconclusive {
            return format!("{}: {}", self.name, inconclusive.message);
        }
        // What blocks is in the checks where the message is silent: it comes first.
        let blocks = self.message.is_none().then(|| self.blockers()).flatten();
        let says = match (blocks, self.says()) {
            (Some(blocks), Some(says)) => format!("{blocks} — {says}"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => self.state.as_str().to_owned(),
        };
        format!("{}: {says}", self.name)
    }

    /// The checks that hold it before its entry, in words, if any do.
    fn blockers(&self) -> Option<String> {
        let blockers: Vec<String> = self.held_by().map(Check::says).collect();
        (!blockers.is_empty()).then(|| blockers.join("; "))
    }
}
