//! Decisions while the admission policies that verify their authors are missing or changed. The policies are cluster-scoped, so
//! `cargo xtask test` runs these tests one after another, when no other test and no other operator runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

mod forged;
