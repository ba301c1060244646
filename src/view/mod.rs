//! What people read about a Release, as data: `explain` for one status, `timeline` for a simulation. Text, JSON and SVG are made from it.

pub mod explain;
pub mod remedy;
pub mod timeline;
