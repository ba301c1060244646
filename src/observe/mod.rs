//! The reader of a reconcile: the watch caches, and live reads where a stale one could do harm, become
//! [`Observed`](crate::decide::facts::Observed).

mod altered;
mod answers;
mod expressions;
mod inspection;
mod jobs;
pub mod leader;
mod live;
mod observer;
mod place;
mod pre_states;
mod release;
mod targets;
pub mod trust;

pub(crate) use altered::altered_component;
pub use observer::Observer;
