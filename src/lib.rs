//! Signalbox: a release manager's job, done in the cluster.
//!
//! ```text
//!  watches ─► observe ─► Observed ─► decide ─► Step ─► apply ─► Kubernetes
//!             reads        facts,     pure,     one       writes    │
//!                          no client  no I/O    of three            │
//!                ▲                                                  │
//!                └───────────────── watch events ───────────────────┘
//! ```
//!
//! The arrows go one way: [`api`] depends on nothing; [`domain`] contains Kubernetes and time; [`decide`] uses both; [`stored`] is the data that
//! Signalbox stores in the cluster, and [`cache`] the data that this process caches; [`observe`] answers what `decide` asks, and [`apply`] carries out
//! what it decides, both through [`cluster`]; [`reconcile`] is one reconcile, and [`operator`] runs them; [`world`] runs them in memory and virtual time;
//! [`manifests`] reads files, [`lint`] checks them, [`view`] is what users read; [`access`] reads RBAC; [`cli`] uses all of it.

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
