//! EnvironmentAvailable: the namespace exists and is not going away, and the targets are healthy before we start.

use super::{Subject, Verdict};
use crate::api::reasons;
use crate::api::release::CheckState;
use crate::decide::facts::NamespaceState;

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let namespace = s.target_namespace();
    if s.setting.environment.metadata.deletion_timestamp.is_some() {
        let sentence = format!(
            "Environment {} is being deleted: nothing enters any more",
            s.environment_name()
        );
        return Verdict::failed(reasons::ENVIRONMENT_DELETED, sentence);
    }
    if namespace.len() > 63 {
        let sentence = format!(
            "the target namespace {namespace} has {} characters, more than the 63 of a namespace; ask {}",
            namespace.len(),
            s.owner()
        );
        return Verdict::failed(reasons::NAMESPACE_INVALID, sentence);
    }
    match s.place.namespace {
        NamespaceState::Missing => {
            let sentence = format!(
                "the target namespace {namespace} does not exist; ask {} to create it",
                s.owner()
            );
            return Verdict::failed(reasons::NAMESPACE_MISSING, sentence);
        }
        NamespaceState::Terminating => {
            let sentence = format!("the target namespace {namespace} is being deleted");
            return Verdict::failed(reasons::NAMESPACE_TERMINATING, sentence);
        }
        NamespaceState::Present => {}
    }
    let healthy = format!("namespace {namespace} is there and its targets are healthy");
    if s.place.unhealthy.is_empty() {
        return Verdict::satisfied(healthy);
    }
    // A retry mends what is broken: it cannot be asked to find it whole.
    if s.promotion.attempt > 1 {
        return Verdict::satisfied(healthy);
    }
    // Whoever is in there is changing the targets right now. This one stands in line, and is asked once it is its turn; what was
    // said until then stands, because a long queue would else write with each step of whoever is first.
    if occupied(s) {
        let said = s.prior.filter(|check| check.state == CheckState::Satisfied);
        let sentence =
            format!("namespace {namespace} is there; its targets are looked at when it is this one's turn");
        return Verdict::satisfied(said.map_or(sentence, |check| check.message.clone()));
    }
    let sentence = format!(
        "not healthy before anything is changed: {}; mend it first",
        s.place.unhealthy.join("; ")
    );
    Verdict::waiting(reasons::TARGET_UNHEALTHY, sentence)
}

/// Another Release holds the target namespace.
fn occupied(s: &Subject<'_>) -> bool {
    s.place.claim.as_ref().is_some_and(|claim| {
        let holder = claim.holder.as_ref().map(|holder| holder.release_uid.as_str());
        holder.is_some_and(|uid| uid != s.observed.uid()) && !claim.unsettled && !claim.holder_absent
    })
}
