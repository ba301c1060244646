//! Rights in the cluster: those that a deployer needs for an Environment, and those that the operator itself needs.

use std::collections::BTreeSet;

use kube::api::{ApiResource, GroupVersionKind};

use super::settings::Settings;
use crate::api::environment::{EnvironmentSpec, Permission};
use crate::api::release::Target;
use crate::api::{GROUP, Kind};

/// A right of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group. Empty for the core group.
    pub group: String,
    /// The resource in the plural, with `/` and the subresource if there is one.
    pub resource: String,
    /// The verb.
    pub verb: &'static str,
    /// The name of the object. Empty for any.
    pub name: String,
}

impl Right {
    fn new(group: &str, resource: &str, verb: &'static str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
            verb,
            name: String::new(),
        }
    }

    /// The resource as `kubectl create role --resource` takes it.
    #[must_use]
    pub fn of(&self) -> String {
        match (self.group.as_str(), self.resource.split_once('/')) {
            ("", _) => self.resource.clone(),
            (group, None) => format!("{}.{group}", self.resource),
            (group, Some((resource, sub))) => format!("{resource}.{group}/{sub}"),
        }
    }
}

/// Group, version and plural of a kind.
#[must_use]
pub fn resource(target: &Target) -> ApiResource {
    let (group, version) = target
        .api_version
        .split_once('/')
        .unwrap_or(("", &target.api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &target.kind))
}

/// What the deployer needs in every target namespace of an Environment.
#[must_use]
pub fn of_deployer(spec: &EnvironmentSpec) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let mut add = |group: &str, resource: &str, verbs: &[&'static str]| {
        rights.extend(verbs.iter().map(|verb| Right::new(group, resource, verb)));
    };
    for kind in &spec.allowed_kinds {
        let of = resource(&Target {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
            name: String::new(),
        });
        add(&of.group, &of.plural, &["get", "create", "patch", "delete"]);
    }
    if spec.judges().next().is_some() {
        add("batch", "jobs", &["get", "create", "delete"]);
        add("batch", "cronjobs", &["get"]);
    }
    if spec
        .backout
        .is_some_and(|backout| backout.delete_stuck_pods == Permission::Allow)
    {
        add("", "pods", &["delete"]);
    }
    rights
}

/// What the operator itself needs, with the namespace of each; none is the whole cluster.
#[must_use]
pub fn of_operator(settings: &Settings) -> BTreeSet<(Option<String>, Right)> {
    let mut rights = BTreeSet::new();
    let mut add = |namespace: Option<&str>, group: &str, resource: &str, verbs: &[&'static str]| {
        let right = |verb: &&'static str| (namespace.map(str::to_owned), Right::new(group, resource, verb));
        rights.extend(verbs.iter().map(right));
    };
    for kind in Kind::ALL {
        add(None, GROUP, kind.plural(), &["list", "watch"]);
        if kind.is_reconciled() {
            add(None, GROUP, kind.plural(), &["patch"]);
            add(None, GROUP, &format!("{}/status", kind.plural()), &["patch"]);
        }
    }
    add(None, "", "namespaces", &["list", "watch"]);
    add(None, "autoscaling", "horizontalpodautoscalers", &["list"]);
    let admission = "admissionregistration.k8s.io";
    for resource in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
        add(None, admission, resource, &["list", "watch"]);
    }
    add(None, "events.k8s.io", "events", &["create"]);
    let own = Some(settings.namespace.as_str());
    let writes = ["get", "list", "watch", "create", "update", "delete"];
    add(own, "coordination.k8s.io", "leases", &writes);
    let keeps = ["get", "list", "watch", "create", "delete"];
    add(own, "apps", "controllerrevisions", &keeps);
    let watched: Vec<Option<&str>> = match settings.watch.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    for namespace in watched {
        for (group, resource) in [
            ("apps", "deployments"),
            ("apps", "statefulsets"),
            ("apps", "daemonsets"),
            ("batch", "jobs"),
            ("batch", "cronjobs"),
            ("", "pods"),
        ] {
            add(namespace, group, resource, &["list", "watch"]);
        }
    }
    for verb in ["get", "impersonate"] {
        let mut right = Right::new("", "serviceaccounts", verb);
        right.name.clone_from(&settings.deployer);
        rights.insert((None, right));
    }
    rights
}
