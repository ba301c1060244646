//! Objects that a cluster would have although the files do not contain them: namespaces, running targets, templates of Jobs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::api::release::Component;
use crate::api::{Environment, Release};
use crate::cache::index::Namespace;
use crate::domain::digest;
use crate::domain::patches;
use crate::world::changes::{Change, Spot};
use crate::world::objects::Objects;

/// Adds the missing objects and returns them. A Namespace has no namespace.
pub(crate) fn fill_in(objects: &mut Objects) -> BTreeSet<Spot> {
    let mut assumed = BTreeSet::new();
    let releases: Vec<_> = objects.releases.values().cloned().collect();
    for release in releases {
        let home = release.metadata.namespace.clone().unwrap_or_default();
        let listed: Vec<_> = release
            .spec
            .environments
            .iter()
            .filter_map(|name| objects.environments.get(name).cloned())
            .collect();
        let labels = labels_asked_for(listed.iter().map(|e| &**e));
        assumed.extend(namespace(objects, &home, labels));
        for environment in listed {
            let target = environment.spec.target_namespace(&home);
            assumed.extend(namespace(objects, &target, BTreeMap::new()));
            for component in &release.spec.components {
                let spot = spot(&target, &component.target.kind, &component.target.name);
                if !objects.targets.contains_key(&spot)
                    && let Some(object) = running(&release, &environment, component)
                {
                    objects.place_target(&target, object);
                    assumed.insert(spot);
                }
            }
            for template in templates(&environment) {
                let spot = spot(&target, "CronJob", template);
                if !objects.targets.contains_key(&spot) {
                    objects.place_target(&target, cron_job(template));
                    assumed.insert(spot);
                }
            }
        }
    }
    assumed
}

fn spot(namespace: &str, kind: &str, name: &str) -> Spot {
    (namespace.to_owned(), kind.to_owned(), name.to_owned())
}

fn namespace(objects: &mut Objects, name: &str, labels: BTreeMap<String, String>) -> Option<Spot> {
    if objects.namespaces.contains_key(name) {
        return None;
    }
    let namespace = labelled(name, labels);
    objects.namespaces.insert(name.to_owned(), namespace.clone());
    objects.changed(Change::Namespace(name.to_owned(), namespace));
    Some(spot("", "Namespace", name))
}

/// A namespace as the API server stores it, with the label of its name.
pub(crate) fn labelled(name: &str, mut labels: BTreeMap<String, String>) -> Namespace {
    labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
    Namespace {
        labels,
        terminating: false,
        accepts: None,
    }
}

/// The labels that `releaseNamespaces` of these Environments require by equality.
fn labels_asked_for<'a>(environments: impl Iterator<Item = &'a Environment>) -> BTreeMap<String, String> {
    environments
        .filter_map(|e| e.spec.release_namespaces.as_ref())
        .flat_map(|selector| selector.match_labels.clone().unwrap_or_default())
        .collect()
}

fn templates(environment: &Environment) -> impl Iterator<Item = &String> {
    let gates = environment.spec.gates.iter().filter_map(|g| g.job.as_ref());
    let verification = environment
        .spec
        .verification
        .iter()
        .filter_map(|v| v.job.as_ref());
    gates.chain(verification).map(|job| &job.template)
}

/// The target as it may run before the Release; `None` where the Release itself creates it.
fn running(release: &Release, environment: &Environment, component: &Component) -> Option<Value> {
    let target = &component.target;
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    let stated = patches::overlay(component.patch.as_ref(), component.override_for(name));
    let created = stated
        .as_ref()
        .is_some_and(|s| patches::names_in_full(&target.api_version, &target.kind, &target.name, s));
    if created {
        return None;
    }
    let mut object = json!({
        "apiVersion": target.api_version, "kind": target.kind, "metadata": { "name": target.name },
    });
    let Some(template) = patches::pod_template_pointer(&target.kind) else {
        if target.kind == "ConfigMap" {
            object["data"] = json!({});
        }
        return Some(object);
    };
    let labels = json!({ "app": target.name });
    let pod = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers(release, component, template, stated.as_ref()) } });
    object["spec"] = if target.kind == "CronJob" {
        json!({ "schedule": "0 0 * * *", "jobTemplate": { "spec": { "template": pod } } })
    } else {
        json!({ "selector": { "matchLabels": labels }, "template": pod })
    };
    if matches!(target.kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet") {
        object["spec"]["replicas"] = json!(1);
    }
    Some(object)
}

/// Every container that the component names, with an image from before the Release, pinned like the new ones.
fn containers(
    release: &Release,
    component: &Component,
    template: &str,
    stated: Option<&Value>,
) -> Vec<Value> {
    let listed = stated.and_then(|s| s.pointer(&format!("{template}/spec/containers")));
    let patched = listed
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|c| c["name"].as_str());
    let mut names: Vec<&str> = component.images.iter().map(|i| i.container.as_str()).collect();
    for name in patched {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        names.push("app");
    }
    let digest = digest::hex(&format!("before {}", release.spec.product), 64);
    let image = |name: &str| {
        let stated = component.images.iter().find(|i| i.container == name);
        let repository = stated.map_or("registry.example/before", |i| {
            let tagged = i.image.split('@').next().unwrap_or_default();
            let slash = tagged.rfind('/').map_or(0, |at| at + 1);
            tagged[slash..]
                .find(':')
                .map_or(tagged, |colon| &tagged[..slash + colon])
        });
        format!("{repository}@sha256:{digest}")
    };
    names
        .into_iter()
        .map(|name| json!({ "name": name, "image": image(name) }))
        .collect()
}

fn cron_job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": name },
        "spec": { "schedule": "0 0 * * *", "suspend": true, "jobTemplate": { "spec": { "template": {
            "spec": { "containers": [{ "name": "job", "image": "registry.example/job" }], "restartPolicy": "Never" } } } } },
    })
}
