//! The operator is killed at every write and at the worst moments, and its network and its API server fail in every way that a script
//! can express. The result must be the same. `cargo xtask test` runs this when no other operator runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

mod audit;
mod deployer;
mod end;
mod follow;
mod history;
mod kinds;
mod load;
mod memory;
mod outages;
mod play;
mod poison;
mod processes;
mod sweep;
mod upgrade;
mod waves;
