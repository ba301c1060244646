//! The operator dies at every write, and at moments that are worse than others; its network and its API server fail in every
//! way that a script can name; and nobody can tell afterwards. Run by `cargo xtask test` once no other operator is about.

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
