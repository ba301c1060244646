//! What is planned when: for each Environment when it is open and what denies entries, and what Releases plan, foresee and occupy.
//!
//! The windows are evaluated as the operator evaluates them. This module has no client and no clock: time is an argument.

mod gather;
mod ics;
mod model;
mod range;
mod svg;
mod text;

#[cfg(test)]
mod tests;

pub use gather::calendar;
pub use ics::ics;
pub use model::{Calendar, Entry, Kind, Lane};
pub use range::{NoRange, Range};
pub use svg::svg;
pub use text::text;
