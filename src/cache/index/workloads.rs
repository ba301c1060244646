//! Watched kinds of targets.

use std::collections::{HashMap, HashSet};

use crate::api::Release;
use crate::api::release::{Component, Promotion, State};
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys};
use crate::cache::kept::Kept;

/// Namespace, product, line and environment.
type Line<'a> = (Option<&'a str>, &'a str, &'a str, &'a str);

impl Index {
    /// The workload, if its kind is watched and it exists.
    #[must_use]
    pub fn workload(&self, kind: &str, namespace: &str, name: &str) -> Option<&Kept> {
        let kind = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"]
            .into_iter()
            .find(|k| *k == kind)?;
        self.workloads.get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// A workload as a watch or an answer shows it.
    pub fn put_workload(&mut self, kind: &'static str, namespace: &str, name: &str, object: Kept) -> Keys {
        let generation = object.generation;
        let key = (kind, namespace.to_owned(), name.to_owned());
        let before = self.workloads.insert(key.clone(), object);
        let mut keys = self.active_in(namespace);
        // A change of the spec, not of the status, may be drift from an Environment's inventory.
        if let Some(before) = before.filter(|b| b.generation != generation) {
            keys.extend(self.environments_of(namespace));
            if self
                .workloads
                .get(&key)
                .is_some_and(|now| now.images() != before.images())
            {
                keys.extend(self.standing_on(kind, namespace, name));
            }
        }
        keys
    }

    /// Finished Releases that run on this target: the last of each line that Succeeded there, unless another Release of its line
    /// is in progress; and Releases with recorded drift, which may have ended.
    fn standing_on(&self, kind: &str, namespace: &str, name: &str) -> Keys {
        let there = |p: &&Promotion| {
            p.entered
                .as_ref()
                .is_some_and(|e| e.target_namespace == namespace)
        };
        let mut last: HashMap<Line<'_>, (&Promotion, &Release)> = HashMap::new();
        let mut busy = HashSet::new();
        let mut keys = Keys::new();
        for release in self.releases() {
            let targets = |c: &Component| c.target.kind == kind && c.target.name == name;
            if !release.spec.components.iter().any(targets) {
                continue;
            }
            let promotions = release.status.iter().flat_map(|s| &s.environments);
            for p in promotions.filter(there) {
                let line = release.spec.line.as_str();
                let of = release.metadata.namespace.as_deref();
                let line = (of, release.spec.product.as_str(), line, p.name.as_str());
                if p.state.under_way() {
                    busy.insert(line);
                }
                if p.state != State::Succeeded {
                    continue;
                }
                if p.components.iter().any(|c| c.drift.is_some()) {
                    keys.push(Key::of(release));
                }
                let older = last
                    .get(&line)
                    .is_none_or(|(l, _)| l.finished_at <= p.finished_at);
                if older {
                    last.insert(line, (p, release));
                }
            }
        }
        let standing = last.into_iter().filter(|(line, _)| !busy.contains(line));
        keys.extend(standing.map(|(_, (_, release))| Key::of(release)));
        keys
    }

    /// Environments whose target namespaces include this one.
    fn environments_of(&self, target: &str) -> Keys {
        let includes = |pattern: &str| match pattern.split_once("{namespace}") {
            Some((front, back)) => {
                target.len() > front.len() + back.len() && target.starts_with(front) && target.ends_with(back)
            }
            None => pattern == target,
        };
        let concerned = self
            .environments
            .iter()
            .filter(|(_, s)| includes(&s.environment.spec.namespace));
        concerned.map(|(name, _)| Key::environment(name)).collect()
    }

    /// The workload of that name was deleted.
    pub fn remove_workload(&mut self, kind: &'static str, namespace: &str, name: &str) -> Keys {
        self.workloads
            .remove(&(kind, namespace.to_owned(), name.to_owned()));
        self.active_in(namespace)
    }

    /// Whether a workload of this kind that is not cached in `namespace` does not exist: the namespace is deleted, or other objects
    /// in it are cached, so it is watched.
    #[must_use]
    pub fn is_gone(&self, kind: &str, namespace: &str) -> bool {
        let watched = ["Deployment", "StatefulSet", "DaemonSet", "CronJob"].contains(&kind);
        let seen = || {
            let mut known = self.workloads.keys();
            known.any(|(_, home, _)| home == namespace) || self.pods.contains_key(namespace)
        };
        watched && (self.namespaces.get(namespace).is_none_or(|n| n.terminating) || seen())
    }
}
