//! Signalbox: a release manager's job, done in the cluster.

pub mod api;
