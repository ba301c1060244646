//! What has to be known of a promotion beside its status and what the watches show. States and rules say it as data; `observe`
//! answers, one after the other, and asks nothing by itself.

use crate::api::environment::JobTemplate;

/// One question about one promotion. The answer goes into its [`Place`](crate::decide::facts::Place), or, where it concerns more,
/// into [`Observed`](crate::decide::facts::Observed).
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Whether the Release that holds the claim is gone: read live where the index does not know it.
    Holder,
    /// The claim, read live unless the watch shows it as this attempt's.
    OwnClaim,
    /// The claim, read live.
    Claim,
    /// The Environment, read live. What follows is asked by it.
    Environment,
    /// Newer versions that may have Succeeded here, read live.
    Newer,
    /// The Decisions about this Release and this plan, read live.
    Decisions,
    /// The pre-state of this name, read live.
    LivePreState { name: String },
    /// The pre-state of this name; its content never changes, so that it is read once.
    PreState { name: String },
    /// The pre-state of the attempt before, by name; read once.
    Predecessor { name: String },
    /// What the deployer may do and what a dry run of each target shows.
    Inspection(Moment),
    /// The targets that the pre-state names.
    Targets,
    /// What the Job of a gate, or of `verification/` and an item, says, and whether it is the operator's.
    Job { check: String, template: JobTemplate },
    /// What the expression of a gate, or of `verification/` and an item, says.
    Expression { check: String, text: String },
    /// Which Jobs of this promotion run.
    RunningJobs,
    /// Whether the Release is still as it was observed, read live. The last of all: what was answered before it was answered
    /// while this promotion had not entered.
    Release,
}

/// How far a promotion is on its way in. With the claim in hand everything that is captured is read live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It does not hold the claim.
    Waiting,
    /// It holds the claim, and is about to keep the pre-state.
    Capturing,
    /// The pre-state is kept.
    Entering,
}

impl Ask {
    /// Whether the answer is read from the API server in every pass, whatever is known.
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

    /// Whether what comes after it in the list depends on the answer.
    #[must_use]
    pub fn leads_to_others(&self) -> bool {
        *self == Self::Environment
    }
}
