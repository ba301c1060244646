//! The kit for scenarios against a real API server: a stage, users, builders for objects, and waiting by watching. Each test program
//! includes this folder with `#[path]`.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test program uses its part of the kit, and a test that cannot go on ends"
)]

mod api_server;
mod build;
mod cluster;
mod faults;
mod network;
mod operator;
mod stage;
mod wait;

pub use api_server::ApiServer;
pub use build::{
    DecisionBuilder, IMAGE, IMAGE_BEFORE, ReleaseBuilder, approval_gate, decision, expression_gate, job_gate,
    release, soak_gate,
};
pub use cluster::{
    User, admin, as_operator, as_person, audit_log, kubeconfig, kubectl, nameless, operator_namespace,
    operator_user, user_name,
};
pub use faults::{Counts, Fault, Faults, Kill, Ledger, Meets, Script, Side, Told, Watching, Write};
pub use network::Network;
pub use operator::{Operator, Process, Scope, Version};
pub use stage::{Stage, StageBuilder};
pub use wait::{gone, refused, some, state_of, wait_until};
