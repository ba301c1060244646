//! The promotions of a Release, in order.

use crate::api::reasons;
use crate::api::release::{Promotion, State};
use crate::decide::facts::Observed;

/// Every promotion of this Release in promotion order, as persisted, with its current planHash.
#[must_use]
pub fn listed(o: &Observed) -> Vec<Promotion> {
    let status = o.release.status.as_ref();
    let gone = status
        .into_iter()
        .flat_map(|s| &s.environments)
        .filter(|p| p.entered.is_some() && !o.release.spec.environments.contains(&p.name));
    let mut names: Vec<String> = in_order(o);
    names.extend(gone.map(|p| p.name.clone()));
    names.into_iter().map(|name| current(o, name)).collect()
}

/// The listed environments, upstream before downstream, otherwise as listed.
pub(crate) fn in_order(o: &Observed) -> Vec<String> {
    let mut left: Vec<&String> = o.release.spec.environments.iter().collect();
    let mut ordered: Vec<String> = Vec::new();
    while !left.is_empty() {
        let free = left.iter().position(|name| {
            let upstream = o.environment(name).and_then(|e| e.spec.promotes_from.as_ref());
            !upstream.is_some_and(|f| f.environments.iter().any(|u| u != *name && left.contains(&u)))
        });
        // In a cycle none is free. Accepted reports that, and any order will do.
        ordered.push(left.remove(free.unwrap_or(0)).clone());
    }
    ordered
}

pub(crate) fn current(o: &Observed, name: String) -> Promotion {
    let mut promotion = o.release.promotion(&name).cloned().unwrap_or_else(|| Promotion {
        name: name.clone(),
        attempt: 1,
        ..Promotion::default()
    });
    if promotion.state.before_entry() {
        let namespace = o
            .environment(&name)
            .map(|e| e.spec.target_namespace(o.namespace()));
        let hash = o.plan_hash(&name, namespace.as_deref(), promotion.attempt);
        if hash != promotion.plan_hash {
            // The result of a Job belongs to another plan.
            promotion.checks.retain(|c| !reasons::is_of_job(&c.reason));
            promotion.plan_hash = hash;
        }
    }
    promotion
}

/// The last listed environment in order that Succeeded.
#[must_use]
pub fn furthest(_: &Observed, promotions: &[Promotion]) -> Option<String> {
    promotions
        .iter()
        .rev()
        .find(|p| p.state == State::Succeeded)
        .map(|p| p.name.clone())
}
