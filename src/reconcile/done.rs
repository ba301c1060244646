//! What a pass comes to.

use jiff::Timestamp;

use crate::api::environment::Stage;
use crate::api::release::State;

/// What a pass wants next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing until something changes.
    Rest,
    At(Timestamp),
    /// As soon as others that are due have had their turn.
    Turn,
    Soon,
}

/// What a pass over a Release has done, and what it wants next.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) next: Next,
    /// Promotions that have ended with it.
    pub(crate) ended: Vec<Ended>,
}

impl From<Next> for Done {
    fn from(next: Next) -> Self {
        Self { next, ended: vec![] }
    }
}

/// A promotion that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Of the environment, as it was at the entry.
    pub(crate) stage: Option<Stage>,
    pub(crate) state: State,
}
