//! Which neighbours write in target namespaces: admission that stamps or rewrites, a reloader, an owner that reverts. What they write is
//! in `interference`.

#![cfg_attr(not(test), allow(dead_code, reason = "only histories have such neighbours"))]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::world::changes::Spot;

/// What admission adds to an object: another value with each write.
pub(crate) const STAMP: &str = "stamped.example/at";
/// The path of the containers of a workload.
pub(crate) const CONTAINERS: &str = "/spec/template/spec/containers";

/// A mutating webhook, for workloads and ConfigMaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// An annotation on the object.
    StampsObjects,
    /// An annotation in the pod template, so that each write is a rollout.
    StampsTemplates,
    /// Images come from a mirror.
    RewritesImages,
}

/// What a reloader writes into the pod template once a ConfigMap has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reloader {
    Annotation,
    Env,
}

/// A writer that restores an image whenever the operator has changed it.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) image: Value,
    pub(crate) left: u32,
}

/// The neighbours, by namespace or target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) admission: BTreeMap<String, Admission>,
    pub(crate) reloaders: BTreeMap<String, Reloader>,
    pub(crate) owners: BTreeMap<Spot, Owner>,
    /// The number of pods that find a node, if there is not room for all.
    pub(crate) room: BTreeMap<String, i64>,
    /// The number of dry runs of a target before which its controller still writes its status.
    pub(crate) comes_between: BTreeMap<Spot, u32>,
    /// The namespaces in which pods take a while to terminate.
    pub(crate) lingering: BTreeSet<String>,
}
