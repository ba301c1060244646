//! What happened and when: the changes of every promotion, with what holds it and what it waits for, as its status says.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::api::Release;
use crate::api::release::{Promotion, State};
use crate::view::explain::{self, Block, WaitsFor};
use crate::world::Deed;

/// A change of a promotion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// When the status was written, in simulated time.
    pub at: Timestamp,
    /// `namespace/name`.
    pub release: String,
    /// Name of the Environment.
    pub environment: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// The state of the promotion after the change.
    pub state: State,
    /// What holds it.
    pub blocks: Vec<Block>,
    /// Absent once it waits for nothing.
    pub waits_for: Option<WaitsFor>,
    /// What else its status says. Absent if it says nothing else.
    pub message: Option<String>,
}

impl Entry {
    /// Whether both read the same to people, regardless of their times.
    fn reads_as(&self, other: &Self) -> bool {
        let sentences = |entry: &Self| entry.blocks.iter().map(Block::to_string).collect::<Vec<_>>();
        (self.attempt, self.state, self.waits_for) == (other.attempt, other.state, other.waits_for)
            && self.message == other.message
            && sentences(self) == sentences(other)
    }
}

/// The entries, and the last one of each promotion.
#[derive(Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    last: HashMap<(String, String), usize>,
}

impl Log {
    /// Oldest first.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Records what `deed` changed in promotions.
    pub(crate) fn note(&mut self, now: Timestamp, deed: &Deed) {
        let Deed::Status { after, .. } = deed else { return };
        for promotion in after.status.iter().flat_map(|s| &s.environments) {
            let entry = entry(now, after, promotion);
            let key = (entry.release.clone(), entry.environment.clone());
            let known = self.last.get(&key).and_then(|at| self.entries.get(*at));
            if !known.is_some_and(|known| known.reads_as(&entry)) {
                self.last.insert(key, self.entries.len());
                self.entries.push(entry);
            }
        }
    }
}

fn entry(at: Timestamp, release: &Release, p: &Promotion) -> Entry {
    let metadata = &release.metadata;
    let name = |part: &Option<String>| part.clone().unwrap_or_default();
    let there = explain::in_environment(release, p);
    Entry {
        at,
        release: format!("{}/{}", name(&metadata.namespace), name(&metadata.name)),
        environment: p.name.clone(),
        attempt: there.attempt,
        state: there.state,
        blocks: there.blocks,
        waits_for: there.waits_for,
        message: there.says,
    }
}
