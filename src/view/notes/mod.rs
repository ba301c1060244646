//! The notes of one Release: what it changes against the one before it, where it is, who approved it, and how to back it out.

mod changes;
mod gather;
mod markdown;

#[cfg(test)]
mod tests;

pub use changes::{Changed, Difference};
pub use gather::{Notes, notes};
pub use markdown::markdown;
