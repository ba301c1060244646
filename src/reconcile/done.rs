//! The result of a reconcile.

use jiff::Timestamp;

use crate::api::environment::Stage;
use crate::api::release::State;

/// When the next reconcile is due.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing until something changes.
    Rest,
    At(Timestamp),
    /// As soon as other due objects have had their turn.
    Turn,
    Soon,
}

/// What a reconcile has done, and when the next one is due.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) next: Next,
    /// Promotions that finished with it.
    pub(crate) ended: Vec<Ended>,
}

impl From<Next> for Done {
    fn from(next: Next) -> Self {
        Self { next, ended: vec![] }
    }
}

/// A promotion that has finished.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The stage of the environment at the entry.
    pub(crate) stage: Option<Stage>,
    pub(crate) state: State,
}
