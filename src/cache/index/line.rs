//! The order of Releases that wait for the same target namespace, and which of two versions is newer.

use std::sync::Arc;

use crate::api::Release;
use crate::api::release::{Check, Hold, Promotion, STATE_VERSION, State};
use crate::cache::index::Index;
use crate::cache::index::names::{Key, names, product};
use crate::decide::facts::Ahead;
use crate::domain::version::Version;

impl Index {
    fn moves(&self, release: &Release) -> bool {
        let newer = release.status.as_ref().and_then(|s| s.state_version);
        release.metadata.deletion_timestamp.is_none()
            && release.spec.withdrawn.is_none()
            && newer.is_none_or(|v| v <= STATE_VERSION)
            && !self.unreadable.contains_key(&names(release))
    }

    /// Newer Releases of the same line go before older ones. The one that goes before `release` in `environment`, because it
    /// could enter now, or because it has not been reconciled yet.
    #[must_use]
    pub fn ahead(&self, release: &Release, environment: &str) -> Option<Ahead> {
        let siblings = self.siblings(release);
        let mut newer = siblings
            .iter()
            .filter(|s| is_newer(s, release) && self.moves(s))
            .filter_map(|s| Some((s, self.wants_in(s, environment)?)));
        let (found, unseen) = newer.next()?;
        let (namespace, name) = names(found);
        Some(Ahead {
            release: format!("{namespace}/{name}"),
            version: found.spec.version.clone(),
            unseen_since: unseen
                .then(|| found.metadata.creation_timestamp.as_ref().map(|t| t.0))
                .flatten(),
        })
    }

    /// Whether `release` could enter `environment` now; `Some(true)`: only because it has not been reconciled yet.
    fn wants_in(&self, release: &Release, environment: &str) -> Option<bool> {
        if release.held_from(environment).is_some() {
            return None;
        }
        if let Some(p) = release.promotion(environment) {
            return could_enter(p).then_some(false);
        }
        let entry = self
            .environments
            .get(environment)
            .is_some_and(|s| s.environment.spec.promotes_from.is_none());
        let unseen = !release.is_observed()
            && release.metadata.creation_timestamp.is_some()
            && release.spec.environments.iter().any(|e| e == environment);
        (entry && unseen).then_some(true)
    }

    /// What other Releases of its line depend on: whether it moves, its hold, and where it could enter.
    pub(crate) fn stands_in_line(&self, release: &Release) -> (bool, Option<Hold>, Vec<bool>) {
        let promotions = release.status.iter().flat_map(|s| &s.environments);
        let could_enter = promotions.map(could_enter).collect();
        (self.moves(release), release.spec.hold.clone(), could_enter)
    }

    /// Releases that are Queued for `namespace`, with the environment each is Queued in.
    #[must_use]
    pub fn queue(&self, namespace: &str) -> Vec<(Arc<Release>, String)> {
        let mut queue = Vec::new();
        for key in self.active.get(namespace).into_iter().flatten() {
            let Key::Release {
                namespace: home,
                name,
            } = key
            else {
                continue;
            };
            // A Release that cannot or must not move does not block others.
            let Some(release) = self.release(home, name).filter(|r| self.moves(r)) else {
                continue;
            };
            for promotion in release.status.iter().flat_map(|s| &s.environments) {
                let here = promotion.state == State::Queued
                    && release.held_from(&promotion.name).is_none()
                    && self.target_namespace(release, promotion).as_deref() == Some(namespace);
                if here {
                    queue.push((Arc::clone(release), promotion.name.clone()));
                }
            }
        }
        // An older version waits behind the newer one of its line, whenever it was queued.
        let all = queue.clone();
        queue.retain(|(release, environment)| {
            let overtakes = |(other, place): &(Arc<Release>, String)| {
                place == environment && product(other) == product(release) && is_newer(other, release)
            };
            !all.iter().any(overtakes)
        });
        queue
    }
}

/// Whether only a lock of the target namespace prevents this promotion from entering.
fn could_enter(p: &Promotion) -> bool {
    let lets_in = || !p.checks.iter().any(Check::blocks);
    p.state == State::Queued || p.state == State::Waiting && !p.checks.is_empty() && lets_in()
}

/// Whether `a` is a newer version than `b`; false if one of them is not a valid version.
pub(crate) fn is_newer(a: &Release, b: &Release) -> bool {
    let version = |r: &Release| r.spec.version.parse::<Version>().ok();
    matches!((version(a), version(b)), (Some(a), Some(b)) if a > b)
}
