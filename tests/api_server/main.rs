//! Tests that need a real API server: it accepts our kinds, refuses invalid objects with the right messages, fills in defaults and
//! prints columns. `cargo xtask test` starts one with the chart and the operator. Without it every test fails.

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
mod plugin;
mod policies;
mod printing;
mod promotion;
mod quotas;
mod release_rules;
mod release_transitions;
mod review_rules;
mod verdict;
