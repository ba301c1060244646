//! What people read about a Release, as data: `explain` for one status, `timeline` for a simulation, `differences` for what it changes.
//! Text, JSON and SVG are made from it. `starter` and `next_release` write manifests.

pub mod differences;
pub mod explain;
pub mod remedy;
pub mod next_release;
pub mod starter;
pub mod timeline;
mod yaml;
