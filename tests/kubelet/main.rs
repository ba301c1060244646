//! Releases of real containers with real kubelets, with the operator's own image installed as by its users:
//! `cargo xtask test --rung kubelet`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "../kit/mod.rs"]
mod kit;

mod alone;
mod differences;
mod images;
mod loops;
mod nodes;
mod rollouts;
mod start;
mod workload;
