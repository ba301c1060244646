//! The pure core: what is observed goes in, one [`Step`] comes out. No client, no clock, no randomness.
//!
//! Read top to bottom: [`decide`] is the order of things, [`promotion`] one promotion's way through its states.

pub mod accepted;
pub mod backout;
pub mod before_entry;
pub mod calendar;
pub mod checks;
pub mod conditions;
pub mod decisions;
pub mod deletion;
pub mod deploying;
pub mod environment;
pub mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod forecast;
pub mod patches;
pub mod paths;
pub mod plan;
pub mod prestate;
pub mod promotion;
pub mod rag;
pub mod readiness;
pub mod review;
#[cfg(test)]
mod tests;
pub mod verifying;
pub mod version;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::release::{Promotion, STATE_VERSION};
use crate::api::{RELEASE_FINALIZER, ReleaseStatus, reasons};
use facts::{Claim, Holder, Observed};
use prestate::PreState;

/// What to do next; nothing else may be done.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this status, with the observed resourceVersion as precondition. Nothing else happens.
    Transition(Box<Transition>),
    /// Carry out what the persisted state calls for. Doing it twice changes nothing.
    Act(Vec<Action>),
    /// Nothing to do before this instant, or until something changes.
    Wait(Wait),
}

/// A status to persist, and what to announce once it is.
#[derive(Debug, PartialEq)]
pub struct Transition {
    pub status: ReleaseStatus,
    pub announcements: Vec<Announcement>,
}

/// An Event on the Release.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    pub warning: bool,
    pub environment: String,
    pub reason: &'static str,
    pub note: String,
}

#[derive(Debug, PartialEq)]
pub struct Wait {
    pub until: Option<Timestamp>,
}

/// One idempotent effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    AddFinalizer,
    /// The Release is let go.
    RemoveFinalizer,
    /// Create the Lease of the target namespace; somebody else's is left alone.
    Claim {
        environment: String,
        namespace: String,
        holder: Holder,
    },
    /// Update a Lease that is ours by decision, with its resourceVersion.
    TakeOver {
        environment: String,
        claim: Claim,
        holder: Holder,
    },
    MarkUnsettled {
        environment: String,
        claim: Claim,
    },
    /// Delete the Lease by uid and resourceVersion.
    ReleaseClaim {
        environment: String,
        claim: Claim,
    },
    /// Create-only.
    Capture {
        environment: String,
        name: String,
        pre_state: Box<PreState>,
    },
    DeletePreState {
        name: String,
        uid: String,
    },
    /// Change one target, forward or back, as the deployer.
    Change {
        environment: String,
        namespace: String,
        attempt: i64,
        component: String,
        change: Change,
    },
    /// Create a Job from the suspended CronJob `template`, as the deployer.
    StartJob {
        environment: String,
        namespace: String,
        attempt: i64,
        check: String,
        name: String,
        template: String,
        timeout_seconds: i64,
    },
    /// Make the Release the owner of this Decision.
    Adopt {
        decision: String,
        uid: String,
    },
}

impl Action {
    /// Whether nothing but the Release's status entitles to it: that the Release has moved on since would not be noticed.
    #[must_use]
    pub fn rests_on_status(&self) -> bool {
        matches!(
            self,
            Self::Change { .. } | Self::StartJob { .. } | Self::DeletePreState { .. }
        )
    }
}

/// How a target is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A patch that carries the observed resourceVersion.
    Patch {
        api_version: String,
        kind: String,
        name: String,
        patch: Value,
    },
    Create {
        object: Value,
    },
    /// JSON Patch whose first operation is the resourceVersion as precondition.
    Restore {
        api_version: String,
        kind: String,
        name: String,
        operations: Value,
    },
    Delete {
        api_version: String,
        kind: String,
        name: String,
        uid: String,
    },
}

/// What one promotion wants. [`decide`] unites them.
#[derive(Debug)]
pub(crate) enum Move {
    /// Persist this.
    To(Box<Promotion>, Vec<Announcement>),
    Do(Vec<Action>),
    Rest(Option<Timestamp>),
}

/// The one decision of a pass: at most one Transition for the whole object, else the union of Acts, else the
/// earliest Wait, so that a waiting environment never masks an acting one.
#[must_use]
pub fn decide(observed: &Observed, now: Timestamp) -> Step {
    let release = &observed.release;
    if release
        .status
        .as_ref()
        .and_then(|s| s.state_version)
        .is_some_and(|v| v > STATE_VERSION)
    {
        return Step::Wait(Wait { until: None });
    }
    let going = release.metadata.deletion_timestamp.is_some();
    let has_finalizer = release
        .metadata
        .finalizers
        .as_ref()
        .is_some_and(|f| f.iter().any(|f| f == RELEASE_FINALIZER));
    if going && !has_finalizer {
        return Step::Wait(Wait { until: None });
    }
    if !has_finalizer {
        return Step::Act(vec![Action::AddFinalizer]);
    }

    let verdict = accepted::judge(observed);
    let mut outcome = Outcome::default();
    for promotion in promotion::listed(observed) {
        let next = if going {
            deletion::step(observed, &promotion, now)
        } else {
            promotion::step(observed, &promotion, &verdict, now)
        };
        outcome.take(promotion, next);
    }
    outcome.finish(observed, &verdict, going, now)
}

/// What all promotions of a Release want together.
#[derive(Default)]
struct Outcome {
    promotions: Vec<Promotion>,
    announcements: Vec<Announcement>,
    actions: Vec<Action>,
    until: Option<Timestamp>,
}

impl Outcome {
    fn take(&mut self, was: Promotion, next: Move) {
        match next {
            Move::To(promotion, announcements) => {
                self.promotions.push(*promotion);
                self.announcements.extend(announcements);
            }
            Move::Do(actions) => {
                self.promotions.push(was);
                self.actions.extend(actions);
            }
            Move::Rest(until) => {
                self.promotions.push(was);
                self.until = earliest(self.until, until);
            }
        }
    }

    fn finish(
        mut self,
        observed: &Observed,
        accepted: &accepted::Accepted,
        going: bool,
        now: Timestamp,
    ) -> Step {
        let nothing = ReleaseStatus::default();
        let was = observed.release.status.as_ref().unwrap_or(&nothing);
        let (review, review_edge) = review::derive(observed, &self.promotions, was.review.as_deref(), now);
        let (rag, rag_edge) = rag::derive(observed, &self.promotions, &review, accepted, now);
        let status = ReleaseStatus {
            observed_generation: observed.release.metadata.generation,
            state_version: Some(STATE_VERSION),
            furthest: promotion::furthest(observed, &self.promotions),
            rag: Some(rag),
            backout_plan: backout::plan(observed, &self.promotions).map(Box::new),
            review: Some(Box::new(review)),
            conditions: conditions::derive(observed, &self.promotions, accepted, &was.conditions, now),
            environments: self.promotions,
        };
        if status != *was {
            return Step::Transition(Box::new(Transition {
                status,
                announcements: self.announcements,
            }));
        }
        self.actions.extend(promotion::strays(observed));
        self.actions.extend(decisions::adoptions(observed));
        if going && self.actions.is_empty() {
            self.actions.extend(deletion::let_go(observed));
        }
        self.actions.extend(promotion::obsolete_pre_states(observed));
        if !self.actions.is_empty() {
            return Step::Act(self.actions);
        }
        let until = [review_edge, rag_edge].into_iter().fold(self.until, earliest);
        Step::Wait(Wait { until })
    }
}

/// The earlier of two instants, where absent means never.
#[must_use]
pub fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Cuts a message at 1,024 bytes, on a character's boundary: a longer one would be refused by the schema.
#[must_use]
pub fn cut(mut message: String) -> String {
    const MOST: usize = 1024;
    if message.len() > MOST {
        let mut end = MOST - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

/// An Event whose note begins with the environment's name.
pub(crate) fn announce(reason: &'static str, note: String) -> Vec<Announcement> {
    vec![Announcement {
        warning: reasons::is_warning(reason),
        environment: note.split(": ").next().unwrap_or_default().to_owned(),
        reason,
        note: cut(note),
    }]
}
