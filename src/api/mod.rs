//! The kinds, one file or folder each: the spec that users write, and the status that the operator writes.
//!
//! There is no client and no clock in this module. The YAML in `crds/` is generated from these types by `cargo xtask crds`.

#![allow(
    clippy::duplicated_attributes,
    reason = "kube's printer columns repeat their type, which clippy reports as a duplicated attribute"
)]

mod crds;
pub mod decision;
pub mod environment;
mod go_duration;
mod kinds;
mod meta;
mod names;
pub mod reasons;
pub mod release;
pub mod review;
mod rules;

pub use crds::crds;
pub use decision::{Action, Decision, DecisionSpec};
pub use environment::{Environment, EnvironmentSpec, EnvironmentStatus};
pub use go_duration::GoDuration;
pub use kinds::Kind;
pub use meta::{Condition, LabelSelector, Time, time};
pub use names::{
    ACCEPT, FIELD_MANAGER, GROUP, LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_ENVIRONMENT, LABEL_RELEASE,
    LABEL_RELEASE_UID, NOT_OBSERVED, OCCUPIED_FINALIZER, ON_DELETE, RELEASE_FINALIZER, RESTARTED_FOR,
    UNSETTLED,
};
pub use release::{Release, ReleaseSpec, ReleaseStatus};
pub use review::{ReleaseReview, ReleaseReviewSpec};
