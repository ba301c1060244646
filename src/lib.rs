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
//! The arrows run one way: [`api`] knows nobody; [`domain`] knows Kubernetes and time; [`decide`] stands on both; [`stored`] is what is
//! kept in the cluster, and [`cache`] what this process knows; [`observe`] answers what `decide` asks, and [`apply`] carries out what it says, both through [`cluster`];
//! [`reconcile`] is one pass, and [`operator`] runs passes; [`world`] lets them run in memory and virtual time; [`manifests`]
//! are what people keep in files, [`lint`] judges them, [`view`] is what people read; [`access`] reads RBAC; [`cli`]
//! stands on top.

pub mod access;
pub mod api;
pub mod apply;
pub mod cache;
pub mod cli;
pub mod cluster;
pub mod decide;
pub mod domain;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod gitops;
#[cfg(test)]
mod house;
#[cfg(test)]
mod kinds;
pub mod lint;
pub mod manifests;
pub mod observe;
pub mod operator;
pub mod reconcile;
pub mod stored;
pub mod view;
pub mod world;
