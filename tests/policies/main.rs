//! What an operator makes of Decisions while the admission policies that vouch for people are not what they should be. The
//! policies are the whole cluster's: `cargo xtask test` runs this when no other test and no other operator is about, and one
//! test after another.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

mod forged;
