//! Signalbox: a release manager's job, done in the cluster.
//!
//! ```text
//!  watches ─► observe ─► Observed ─► decide ─► Step ─► apply ─► Kubernetes
//!             only         facts,     pure,     one       only      │
//!             reader       no client  no I/O    of three  writer    │
//!                ▲                                                  │
//!                └───────────────── watch events ───────────────────┘
//! ```
//!
//! The arrows run one way: [`api`] knows nobody; [`decide`] knows `api`; [`observe`] and [`apply`] know both and speak
//! through [`cluster`]; [`operator`] ties them; [`simulate`] lets them run in memory and virtual time; [`manifests`]
//! are what people keep in files, [`lint`] judges them, [`timeline`] plays them forward; [`cli`] stands on top.

pub mod api;
pub mod apply;
pub mod cli;
pub mod cluster;
pub mod decide;
pub mod expressions;
#[cfg(test)]
mod fuzz;
pub mod lint;
pub mod manifests;
mod mutation;
pub mod observe;
pub mod operator;
pub mod simulate;
pub mod timeline;
