//! Others that write in target namespaces: admission that stamps or rewrites, a reloader, an owner that reverts. They act by rule, on
//! whatever is written.

#![cfg_attr(not(test), allow(dead_code, reason = "only histories have such neighbours"))]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::world::changes::Spot;

/// What admission puts on an object: another value with each write.
pub(crate) const STAMP: &str = "stamped.example/at";
/// Where the containers of a workload stand.
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

/// Somebody who puts an image back whenever the operator has changed it.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) image: Value,
    pub(crate) left: u32,
}

/// By namespace, or target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    pub(crate) admission: BTreeMap<String, Admission>,
    pub(crate) reloaders: BTreeMap<String, Reloader>,
    pub(crate) owners: BTreeMap<Spot, Owner>,
    /// Pods that find a node, where there is not room for all.
    pub(crate) room: BTreeMap<String, i64>,
    /// How many more dry runs of a target its controller comes before, with a write of its status.
    pub(crate) comes_between: BTreeMap<Spot, u32>,
    /// Where pods take a while to end.
    pub(crate) lingering: BTreeSet<String>,
}
