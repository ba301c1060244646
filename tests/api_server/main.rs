//! What only a real API server can tell: that it accepts our kinds, what it refuses and in which words, what it fills in and
//! what it prints. `cargo xtask test` brings one up, with the chart and the operator; without it every test fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

mod access;
mod acting;
mod backout;
mod bad_input;
mod consent;
mod decision_rules;
mod defaults;
mod environment_rules;
mod forgetting;
mod four_eyes;
mod gitops;
mod judges;
mod neighbours;
mod occupancy;
mod owners;
mod people;
mod policies;
mod printing;
mod promotion;
mod quotas;
mod release_rules;
mod release_transitions;
mod review_rules;
mod verdict;
