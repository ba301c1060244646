//! Releases of real containers under real kubelets, with the operator's own image as its users install it:
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
