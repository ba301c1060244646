//! What scenarios against a real API server are written with: a stage to play on, people to act as, builders that read
//! like sentences, and waiting by watching. Each test program includes this folder with `#[path]`.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test program uses its part of the kit, and a test that cannot go on ends"
)]

mod build;
mod cluster;
mod killer;
mod operator;
mod stage;
mod wait;

pub use build::{
    DecisionBuilder, IMAGE, IMAGE_BEFORE, ReleaseBuilder, approval_gate, decision, expression_gate, job_gate,
    release, soak_gate,
};
pub use cluster::{
    admin, as_operator, as_person, audit_log, kubectl, operator_namespace, operator_user, user_name,
};
pub use killer::{Kill, Killer, Ledger, Side, Write};
pub use operator::{Operator, Process};
pub use stage::{Stage, StageBuilder};
pub use wait::{gone, refused, state_of, wait_until};
