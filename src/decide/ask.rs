//! What must be known of a promotion besides its status and what the watches show. States and rules declare it as data; `observe`
//! answers, one after the other, and reads nothing by itself.

use crate::api::environment::JobTemplate;

/// One question about one promotion. The answer is stored in its [`Place`](crate::decide::facts::Place) or, if it concerns more, in
/// [`Observed`](crate::decide::facts::Observed).
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Whether the Release that holds the claim is gone: read live if it is not in the index.
    Holder,
    /// The claim, read live unless the watch shows that this attempt holds it.
    OwnClaim,
    /// The claim, read live.
    Claim,
    /// The Environment, read live. The questions after it depend on it.
    Environment,
    /// Newer versions that may have Succeeded here, read live.
    Newer,
    /// The Decisions about this Release and this plan, read live.
    Decisions,
    /// The pre-state of this name, read live.
    LivePreState { name: String },
    /// The pre-state of this name; its content never changes, so it is read once.
    PreState { name: String },
    /// The pre-state of the previous attempt, by name; read once.
    Predecessor { name: String },
    /// What the deployer may do, and the result of a dry run of each target.
    Inspection(Moment),
    /// The targets that the pre-state names.
    Targets,
    /// The result of the Job of a gate, or of `verification/` and an item, and whether it is the operator's.
    Job { check: String, template: JobTemplate },
    /// The result of the expression of a gate, or of `verification/` and an item.
    Expression { check: String, text: String },
    /// Which Jobs of this promotion are running.
    RunningJobs,
    /// Whether the Release is still as it was observed, read live. It is the last question: all earlier answers are from before the
    /// entry of this promotion.
    Release,
}

/// How far a promotion is before its entry. Once it holds the claim, everything that is captured is read live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It does not hold the claim.
    Waiting,
    /// It holds the claim, and is about to capture the pre-state.
    Capturing,
    /// The pre-state is captured.
    Entering,
}

impl Ask {
    /// Whether the answer is read from the API server in every reconcile, whatever is cached.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::Claim
            | Self::Environment
            | Self::Newer
            | Self::Decisions
            | Self::LivePreState { .. }
            | Self::Release => true,
            Self::Inspection(moment) => *moment != Moment::Waiting,
            Self::Holder
            | Self::OwnClaim
            | Self::PreState { .. }
            | Self::Predecessor { .. }
            | Self::Targets
            | Self::Job { .. }
            | Self::Expression { .. }
            | Self::RunningJobs => false,
        }
    }

    /// Whether the questions after it in the list depend on the answer.
    #[must_use]
    pub fn leads_to_others(&self) -> bool {
        *self == Self::Environment
    }
}
