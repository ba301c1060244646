//! What people read about a Release, as data: `explain` for one status, `timeline` for a simulation, `calendar` for a stretch of time,
//! `history` for what has run, `notes` for what is new. Text, JSON, Markdown, iCalendar and SVG are made from it.

pub mod calendar;
mod drawing;
pub mod explain;
#[cfg(test)]
mod golden;
pub mod history;
pub mod layout;
pub mod notes;

pub mod timeline;
