//! The messages of a promotion and of its checks, joined. Conditions, the colour, the World's log and the command line all use
//! these texts. Every message is one or more complete sentences, so messages are joined by one blank.

use crate::api::release::state::State;
use crate::api::release::status::{Check, CheckState, ComponentState, ComponentStatus, Promotion};

/// A clause as a complete sentence: it ends with a full stop, unless it already ends as a sentence does.
#[must_use]
pub fn sentence(clause: &str) -> String {
    let clause = clause.trim_end();
    if clause.is_empty() || clause.ends_with(['.', '!', '?', '…']) {
        clause.to_owned()
    } else {
        format!("{clause}.")
    }
}

impl Check {
    /// Whether it keeps a promotion from entering.
    #[must_use]
    pub fn blocks(&self) -> bool {
        !self.advisory && self.state != CheckState::Satisfied
    }

    /// Its name and its message.
    #[must_use]
    pub fn says(&self) -> String {
        format!("{}: {}", self.name, self.message)
    }
}

impl Promotion {
    /// Its message, if it has one, then the Decisions that do not count.
    #[must_use]
    pub fn says(&self) -> Option<String> {
        let parts = [&self.message, &self.not_counted].into_iter().flatten();
        let parts: Vec<String> = parts.map(|part| sentence(part)).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// The checks that block its entry.
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

    /// Its environment, then the checks that block it, then its own message; or else its state.
    #[must_use]
    pub fn summary(&self) -> String {
        if let Some(inconclusive) = &self.inconclusive {
            return format!("{}: {}", self.name, sentence(&inconclusive.message));
        }
        // Without a message of its own, the checks say what blocks it. They come first.
        let blockers = self.held_by().filter(|_| self.message.is_none());
        let blockers = blockers.map(|check| sentence(&check.says()));
        let parts: Vec<String> = blockers.chain(self.says()).collect();
        if parts.is_empty() {
            return format!("{}: {}.", self.name, self.state.as_str());
        }
        format!("{}: {}", self.name, parts.join(" "))
    }
}
