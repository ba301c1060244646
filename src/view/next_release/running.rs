//! Which artifacts run: the digests of images, as the status of pods reports them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::domain::patches;

/// The images of containers that run, by the name under which they were started.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// The digests of each image, by its full name with a tag.
    digests: BTreeMap<String, BTreeSet<String>>,
}

/// Why the digest of an image is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    #[error(
        "No running container has the image {0:?}, so its digest is not known. Name the image by digest (name@sha256:…)."
    )]
    NotRunning(String),
    #[error(
        "Running containers have the image {image:?} with several digests ({}). Name the image by one of them (name@sha256:…).",
        digests.join(", ")
    )]
    Several { image: String, digests: Vec<String> },
}

impl Running {
    /// What the containers of `pods` run. A container that has no image ID with a digest of a registry is passed over.
    #[must_use]
    pub fn of<'a>(pods: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut running = Self::default();
        for pod in pods {
            for (statuses, containers) in [
                ("/status/containerStatuses", "/spec/containers"),
                ("/status/initContainerStatuses", "/spec/initContainers"),
            ] {
                for status in elements(pod, statuses) {
                    let stated = elements(pod, containers).find(|c| c["name"] == status["name"]);
                    running.note(status, stated);
                }
            }
        }
        running
    }

    /// A runtime may report another name than the one in the spec: with its registry, or without its tag.
    fn note(&mut self, status: &Value, stated: Option<&Value>) {
        let id = status["imageID"].as_str().unwrap_or_default();
        let id = id.rsplit_once("://").map_or(id, |(_, id)| id);
        let Some(digest) = patches::digest(id) else {
            return;
        };
        let reported = status["image"].as_str();
        let stated = stated.and_then(|container| container["image"].as_str());
        for image in [reported, stated].into_iter().flatten() {
            let digests = self.digests.entry(full(image)).or_default();
            digests.insert(digest.to_owned());
        }
    }

    /// `repository@sha256:…` for `repository:tag`, if exactly one such artifact runs. A pinned image is returned as it is.
    ///
    /// # Errors
    /// Nothing that runs has this tag, or several artifacts have.
    pub fn resolve(&self, image: &str) -> Result<String, Unresolved> {
        if patches::pinned(image) {
            return Ok(image.to_owned());
        }
        let digests = self.digests.get(&full(image)).into_iter().flatten();
        match digests.collect::<Vec<_>>().as_slice() {
            [] => Err(Unresolved::NotRunning(image.to_owned())),
            [digest] => Ok(format!("{}@{digest}", parts(image).0)),
            several => Err(Unresolved::Several {
                image: image.to_owned(),
                digests: several.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

fn elements<'a>(pod: &'a Value, at: &str) -> impl Iterator<Item = &'a Value> {
    pod.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

/// Repository and tag of an image that is not pinned. A port of a registry is not a tag.
fn parts(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

/// The image with its registry and tag, as container runtimes complete it.
fn full(image: &str) -> String {
    let (repository, tag) = parts(image);
    let tag = tag.unwrap_or("latest");
    let registry = repository.split_once('/').map(|(first, _)| first);
    let named = registry.is_some_and(|first| first.contains(['.', ':']) || first == "localhost");
    match (named, registry) {
        (true, _) => format!("{repository}:{tag}"),
        (false, Some(_)) => format!("docker.io/{repository}:{tag}"),
        (false, None) => format!("docker.io/library/{repository}:{tag}"),
    }
}
