//! The target namespaces of the Environments: those of existing Releases, and those whose owners have consented.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::ResourceExt;

use crate::api::{Environment, Release};
use crate::decide::consent::Accepts;

/// A target namespace of one Environment.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The Environment.
    pub environment: &'a Environment,
    /// Name of the target namespace.
    pub target: String,
    /// The namespaces whose Releases are promoted there, and whether any of these Releases is not finished there.
    pub homes: BTreeMap<String, bool>,
}

impl Place<'_> {
    /// Whether a Release that is not finished needs it.
    #[must_use]
    pub fn needed(&self) -> bool {
        self.homes.values().any(|needed| *needed)
    }
}

/// Whether the Release still enters `environment`, or has entered it and is not finished there.
#[must_use]
pub fn unfinished(release: &Release, environment: &str) -> bool {
    let lists = release.spec.environments.iter().any(|name| name == environment);
    let withdrawn = release.spec.withdrawn.is_some();
    let state = release.promotion(environment).map(|p| p.state);
    lists && state.map_or(!withdrawn, |state| !state.is_over())
}

/// All target namespaces, by Environment and name.
#[must_use]
pub fn places<'a>(
    environments: &'a [Environment],
    releases: &[Release],
    namespaces: &BTreeMap<String, Option<Namespace>>,
    deployers: &BTreeMap<String, Option<ServiceAccount>>,
) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    for environment in environments {
        let name = environment.name_any();
        let spec = &environment.spec;
        let mut targets: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        if !spec.namespace.contains("{namespace}") {
            targets.insert(spec.namespace.clone(), BTreeMap::new());
        }
        for release in releases.iter().filter(|r| r.spec.environments.contains(&name)) {
            let home = release.namespace().unwrap_or_default();
            let there = targets.entry(spec.target_namespace(&home)).or_default();
            *there.entry(home).or_default() |= unfinished(release, &name);
        }
        let of_namespaces = namespaces
            .iter()
            .filter_map(|(name, namespace)| Some((name, namespace.as_ref()?.metadata.annotations.as_ref())));
        let of_deployers = deployers
            .iter()
            .filter_map(|(name, account)| Some((name, account.as_ref()?.metadata.annotations.as_ref())));
        for (target, annotations) in of_namespaces.chain(of_deployers) {
            let accepts = Accepts::read(annotations);
            if let (Some(accepts), Some(home)) = (accepts, spec.release_namespace_of(target))
                && accepts.admits(home, &name)
                && namespaces.get(home).is_none_or(Option::is_some)
            {
                let there = targets.entry(target.clone()).or_default();
                there.entry(home.to_owned()).or_default();
            }
        }
        found.extend(targets.into_iter().map(|(target, homes)| Place {
            environment,
            target,
            homes,
        }));
    }
    found
}
