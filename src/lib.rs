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
//! [`api`] knows nobody; [`decide`] knows `api`.

pub mod api;
pub mod decide;
pub mod expressions;
