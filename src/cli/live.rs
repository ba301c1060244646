//! What a cluster contains, read as the user of a kubeconfig. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::release::{State, Target};
use crate::api::{Decision, Environment, Release, ReleaseReview};
use crate::cli::session::{Session, failed};
use crate::view::timeline::Cast;

/// Adds the cluster's objects to those of the files. An object that is in both has the spec of the file and the status of the
/// cluster.
pub(crate) async fn join(cast: &mut Cast, session: &Session) -> Result<(), String> {
    let client = &session.client;

    let environments: Vec<Environment> = list(session, &Api::all(client.clone())).await?;
    let known: BTreeSet<String> = cast.environments.iter().map(ResourceExt::name_any).collect();
    let unknown = |e: &Environment| !known.contains(&e.name_any());
    cast.environments.extend(environments.into_iter().filter(unknown));

    let homes: BTreeSet<String> = cast
        .releases
        .iter_mut()
        .map(|r| {
            r.metadata
                .namespace
                .get_or_insert_with(|| "default".to_owned())
                .clone()
        })
        .collect();
    for home in &homes {
        releases(cast, session, home).await?;
        let decisions: Vec<Decision> = list(session, &Api::namespaced(client.clone(), home)).await?;
        cast.decisions.extend(decisions);
        let reviews: Vec<ReleaseReview> = list(session, &Api::namespaced(client.clone(), home)).await?;
        cast.reviews.extend(reviews);
    }
    targets(cast, session, &homes).await?;
    cast.verified_since = policies(client).await;
    Ok(())
}

async fn releases(cast: &mut Cast, session: &Session, home: &str) -> Result<(), String> {
    let live: Vec<Release> = list(session, &Api::namespaced(session.client.clone(), home)).await?;
    for release in live {
        let under_way = release.status.iter().flat_map(|s| &s.environments);
        let moving: Vec<&str> = under_way
            .filter(|p| p.state.under_way() || p.state == State::Queued)
            .map(|p| p.name.as_str())
            .collect();
        if !moving.is_empty() {
            return Err(format!(
                "Release {home}/{} is in progress in {}. Only the operator can read its lock (a Lease) and its pre-state. Simulate again once it has finished there.",
                release.name_any(),
                moving.join(", ")
            ));
        }
        let stated = cast.releases.iter_mut().find(|r| {
            r.metadata.namespace.as_deref() == Some(home) && r.metadata.name == release.metadata.name
        });
        match stated {
            Some(stated) => {
                stated.metadata = release.metadata;
                stated.status = release.status;
            }
            None => cast.releases.push(release),
        }
    }
    Ok(())
}

/// Namespaces, and every object in them that a Release or a gate names.
async fn targets(cast: &mut Cast, session: &Session, homes: &BTreeSet<String>) -> Result<(), String> {
    let client = &session.client;
    let mut wanted: BTreeMap<String, BTreeSet<Target>> = BTreeMap::new();
    for release in &cast.releases {
        let home = release.metadata.namespace.clone().unwrap_or_default();
        for name in &release.spec.environments {
            let environment = cast.environments.iter().find(|e| e.name_any() == *name);
            let Some(spec) = environment.map(|e| &e.spec) else {
                continue;
            };
            let there = wanted.entry(spec.target_namespace(&home)).or_default();
            there.extend(release.spec.components.iter().map(|c| c.target.clone()));
            let gates = spec.gates.iter().filter_map(|g| g.job.as_ref());
            let verification = spec.verification.iter().filter_map(|v| v.job.as_ref());
            there.extend(gates.chain(verification).map(|job| Target {
                api_version: "batch/v1".to_owned(),
                kind: "CronJob".to_owned(),
                name: job.template.clone(),
            }));
        }
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in wanted.keys().chain(homes) {
        if let Some(namespace) = found(
            session,
            namespaces.get_opt(name).await,
            &format!("namespace {name}"),
        )? {
            let labels = namespace.metadata.labels.unwrap_or_default();
            cast.namespaces.insert(name.clone(), labels);
        }
    }
    cast.targets
        .retain(|(namespace, _)| !wanted.contains_key(namespace));
    cast.fill_in = false;
    for (namespace, targets) in wanted {
        for target in targets {
            let (group, version) = target
                .api_version
                .split_once('/')
                .unwrap_or(("", &target.api_version));
            let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &target.kind));
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind);
            let what = format!("{target} in namespace {namespace}");
            if let Some(object) = found(session, api.get_opt(&target.name).await, &what)? {
                cast.targets.push((namespace.clone(), json!(object)));
            }
        }
    }
    Ok(())
}

/// When the admission policies were created. Where the user may not read them, they are assumed to exist.
async fn policies(client: &Client) -> Option<jiff::Timestamp> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let policy = policies.get_opt("signalbox-decision").await.ok()??;
    policy.metadata.creation_timestamp.map(|created| created.0)
}

async fn list<K>(session: &Session, api: &Api<K>) -> Result<Vec<K>, String>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let listed = api.list(&ListParams::default()).await;
    listed
        .map(|list| list.items)
        .map_err(|e| failed(&session.server, &format!("Cannot list {}", K::plural(&())), &e))
}

fn found<T>(session: &Session, answer: kube::Result<Option<T>>, what: &str) -> Result<Option<T>, String> {
    answer.map_err(|e| failed(&session.server, &format!("Cannot read {what}"), &e))
}
