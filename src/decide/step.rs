//! What may be done next: the three forms of a [`Step`], the effects of an Act, and what one promotion wants.

use jiff::Timestamp;

use crate::api::release::Promotion;
use crate::api::{ReleaseStatus, reasons};
use crate::decide::facts::{self, Claim, Holder};
use crate::decide::job_start;
use crate::decide::licence::TargetChange;
use crate::decide::prestate::PreState;
use crate::domain::text::cut;

/// What to do next; nothing else may be done.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Write this status, with the observed resourceVersion as precondition. Nothing else happens.
    Transition(Box<Transition>),
    /// Carry out what the persisted state requires. Doing it twice changes nothing.
    Act(Vec<Effect>),
    /// Nothing to do before this instant, or until something changes.
    Wait(Wait),
}

/// A status to persist, and what to announce once it is.
#[derive(Debug, PartialEq)]
pub struct Transition {
    /// The whole new status. It replaces the observed one.
    pub status: ReleaseStatus,
    /// The Events to create once the status is written. A failure to create one is only logged.
    pub announcements: Vec<Announcement>,
}

/// An Event on the Release.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// Whether its type is Warning; otherwise it is Normal.
    pub warning: bool,
    /// Name of the Environment, for the `action` of the Event.
    pub environment: String,
    /// A reason from [`reasons`].
    pub reason: &'static str,
    /// A complete message that begins with the environment; at most 1,024 bytes.
    pub note: String,
}

/// When to decide again, if nothing changes before.
#[derive(Debug, PartialEq)]
pub struct Wait {
    /// Absent: only a change is a reason to decide again.
    pub until: Option<Timestamp>,
}

/// One idempotent effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Add the finalizer to the Release.
    AddFinalizer,
    /// Remove the finalizer of the Release.
    RemoveFinalizer,
    /// Create the Lease that locks the target namespace. An existing Lease of another holder is not changed.
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
    /// Set the annotation on our Lease that a Decision is required before another release enters.
    MarkUnsettled { environment: String, claim: Claim },
    /// Delete the Lease by uid and resourceVersion.
    ReleaseClaim { environment: String, claim: Claim },
    /// Create-only.
    Capture {
        environment: String,
        name: String,
        pre_state: Box<PreState>,
    },
    /// Delete the ControllerRevision of that name, with its uid as precondition.
    DeletePreState { name: String, uid: String },
    /// Create-only: what Succeeded is recorded beyond its Release.
    Remember(Box<facts::Remembered>),
    /// Change one target, forward or back, as the deployer.
    Change(TargetChange),
    /// Create a Job from its suspended CronJob, as the deployer.
    StartJob(job_start::Start),
    /// Delete a Job by uid, as the deployer: its result is no longer needed.
    StopJob {
        environment: String,
        namespace: String,
        attempt: i64,
        name: String,
        uid: String,
    },
    /// Make the Release the owner of this Decision.
    Adopt { decision: String, uid: String },
    /// Remove the Release from the owners of this Decision.
    Disown { decision: String, uid: String },
}

impl Effect {
    /// Whether it depends only on the Release's status: without a precondition, a newer status would not be noticed.
    #[must_use]
    pub fn rests_on_status(&self) -> bool {
        matches!(
            self,
            Self::Change(_)
                | Self::StartJob(_)
                | Self::StopJob { .. }
                | Self::DeletePreState { .. }
                | Self::Remember(_)
        )
    }
}

/// What one promotion wants. [`decide`] unites them.
#[derive(Debug)]
pub(crate) enum Move {
    /// Persist this.
    To(Box<Promotion>, Vec<Announcement>),
    Do(Vec<Effect>),
    Rest(Option<Timestamp>),
}

/// An Event about the promotion into `environment`, whose note begins with that name.
pub(crate) fn announce(environment: &str, reason: &'static str, says: &str) -> Vec<Announcement> {
    vec![Announcement {
        warning: reasons::is_warning(reason),
        environment: environment.to_owned(),
        reason,
        note: cut(format!("{environment}: {says}")),
    }]
}
