//! What people read about Releases, as data: `explain` for one status, `remedy` for what clears it, `timeline` for a simulation, `calendar`
//! for a stretch of time, `history` for what has run, `notes` for what is new, `differences` for what a Release changes. Text, JSON,
//! Markdown, iCalendar and SVG are made from it. `starter` and `next_release` write manifests, and `doctor` says what keeps the operator from
//! its work.

pub mod calendar;
pub mod differences;
pub mod doctor;
mod drawing;
pub mod explain;
#[cfg(test)]
mod golden;
pub mod history;
pub mod layout;
pub mod next_release;
pub mod notes;
pub mod remedy;
pub mod starter;
pub mod timeline;
mod yaml;
