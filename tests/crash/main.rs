//! The operator dies at every write, and at moments that are worse than others, and nobody can tell afterwards. Run by
//! `cargo xtask test` once no other operator is about; one test after another, because two operators would share the Lease.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

mod audit;
mod deletion;
mod deployer;
mod end;
mod every_write;
mod play;
mod processes;
