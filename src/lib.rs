//! A Kubernetes operator that does a release manager's job in the cluster.

pub mod decide;
