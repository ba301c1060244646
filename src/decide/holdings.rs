//! What a promotion holds besides its status: the claim of the target namespace and the pre-state.

use crate::api;
use crate::api::release::{Promotion, State};
use crate::decide::facts::Observed;
use crate::decide::licence::place;
use crate::decide::newer::newer_stands;
use crate::decide::prestate::PreState;
use crate::decide::step::{Effect, Move};
use crate::decide::{plan, trust};

/// Pre-states that can no longer be restored, because this Release Succeeded in their environment.
pub(crate) fn obsolete_pre_states(o: &Observed) -> Vec<Effect> {
    let succeeded = |environment: &str| {
        o.release
            .promotion(environment)
            .filter(|p| p.state == State::Succeeded)
    };
    o.pre_states
        .iter()
        .filter(|stored| {
            succeeded(&stored.environment).is_some_and(|p| {
                if stored.release_uid == o.uid() {
                    return p.backout.as_ref().is_none_or(|b| b.pre_state != stored.name);
                }
                let namespace = p.entered.as_ref().map(|e| e.target_namespace.as_str());
                overtaken(o, &p.name, namespace, &stored.release_uid)
            })
        })
        .map(|stored| Effect::DeletePreState {
            name: stored.name.clone(),
            uid: stored.uid.clone(),
        })
        .collect()
}

/// Bytes of the pre-states that are deleted once `p`, which has not entered yet, has Succeeded in `namespace`: those of its own earlier
/// attempts, and of older Releases.
pub(crate) fn freed_by_success(o: &Observed, p: &Promotion, namespace: &str) -> u64 {
    o.pre_states
        .iter()
        .filter(|stored| stored.environment == p.name && stored.namespace == o.namespace())
        .filter(|stored| {
            let uid = &stored.release_uid;
            uid == o.uid() || overtaken(o, &p.name, Some(namespace), uid)
        })
        .map(|stored| stored.bytes)
        .sum()
}

/// Whether the older Release `uid` is finished with the targets, in `namespace`, on which this one succeeds.
pub(crate) fn overtaken(o: &Observed, environment: &str, namespace: Option<&str>, uid: &str) -> bool {
    let older = o.siblings.iter().find(|s| s.metadata.uid.as_deref() == Some(uid));
    let Some(theirs) = older.and_then(|s| s.promotion(environment)) else {
        return false;
    };
    let entered = theirs.entered.as_ref();
    theirs.state.is_over() && entered.map(|e| e.target_namespace.as_str()) == namespace
}

/// Claims and pre-states of environments that were removed from `spec.environments` before the entry.
pub(crate) fn strays(o: &Observed) -> Vec<Effect> {
    let listed = |environment: &str| {
        o.release.promotion(environment).is_some()
            || o.release.spec.environments.iter().any(|e| e == environment)
    };
    let claims = o.own_claims.iter().filter_map(|claim| {
        let environment = &claim.holder.as_ref()?.environment;
        (!listed(environment)).then(|| Effect::ReleaseClaim {
            environment: environment.clone(),
            claim: claim.clone(),
        })
    });
    let unused = o
        .pre_states
        .iter()
        .filter(|s| s.release_uid == o.uid() && !listed(&s.environment));
    let pre_states = unused.map(|s| Effect::DeletePreState {
        name: s.name.clone(),
        uid: s.uid.clone(),
    });
    pre_states.chain(claims).collect()
}

/// A pre-state that was deleted is stored again as it was read.
pub(crate) fn keep_again(p: &Promotion, pre_state: &PreState) -> Move {
    Move::Do(vec![Effect::Capture {
        environment: p.name.clone(),
        name: plan::pre_state_name(&pre_state.release_uid, &p.name, pre_state.attempt),
        pre_state: Box::new(pre_state.clone()),
    }])
}

/// A claim that was deleted by hand is created again while a Decision is required, so that no other release enters. Only if the
/// pre-state of this attempt proves that it has entered.
pub(crate) fn reclaim(o: &Observed, p: &Promotion) -> Option<Move> {
    let entered = p.entered.as_ref()?;
    place(o, p).filter(|place| place.claim.is_none())?;
    let name = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    let kept = |s: &super::facts::StoredPreState| s.name == name && s.release_uid == o.uid();
    o.pre_states.iter().any(kept).then(|| {
        Move::Do(vec![Effect::Claim {
            environment: p.name.clone(),
            namespace: entered.target_namespace.clone(),
            holder: o.holder(&p.name, p.attempt),
        }])
    })
}

/// Why the success of `upstream` does not count, as sentences. Status alone proves nothing. A promotion that has entered has a
/// pre-state until a newer release succeeds there, and an Accept remains as a Decision.
#[must_use]
pub fn unproved(o: &Observed, upstream: &str) -> Option<String> {
    let p = o.release.promotion(upstream)?;
    let name = plan::pre_state_name(o.uid(), upstream, p.attempt);
    let kept = o
        .pre_states
        .iter()
        .any(|s| s.name == name && s.release_uid == o.uid());
    let accepted = p.decided.as_ref().is_some_and(|decided| {
        o.decisions.iter().any(|d| {
            d.metadata.uid.as_ref() == Some(&decided.uid)
                && d.spec.environment == upstream
                && d.spec.action == api::Action::Accept
                && trust::distrust(o, d).is_none()
        })
    });
    (!kept && !accepted && newer_stands(o, upstream).is_none()).then(|| {
        format!(
            "Status says that {upstream} Succeeded, but pre-state {name} in namespace {} is missing and nothing else proves it. Another \
             writer may have changed status. Create a Release of a new version.",
            o.settings.operator_namespace
        )
    })
}

/// Whether this is a Retry that has not entered: the changes of the previous attempt are still on the targets.
pub(crate) fn inherits(p: &Promotion) -> bool {
    p.state.before_entry() && p.backout.is_some()
}

/// Everything that this promotion still holds is released: none of its changes is on a target.
pub(crate) fn give_back(o: &Observed, p: &Promotion) -> Move {
    let mut actions = Vec::new();
    if inherits(p) {
        // The claim stays, so that no other release builds on this state, and so does the pre-state of the failed attempt.
        return Move::Rest(None);
    }
    if !p.state.ended_whole() {
        let unused = o
            .pre_states
            .iter()
            .filter(|s| s.release_uid == o.uid() && s.environment == p.name);
        actions.extend(unused.map(|s| Effect::DeletePreState {
            name: s.name.clone(),
            uid: s.uid.clone(),
        }));
    }
    actions.extend(release_claims(o, p));
    if actions.is_empty() {
        Move::Rest(None)
    } else {
        Move::Do(actions)
    }
}

pub(crate) fn release_claims(o: &Observed, p: &Promotion) -> Vec<Effect> {
    o.own_claims
        .iter()
        .filter(|c| c.holder.as_ref().is_some_and(|h| h.environment == p.name))
        .map(|c| Effect::ReleaseClaim {
            environment: p.name.clone(),
            claim: c.clone(),
        })
        .collect()
}
