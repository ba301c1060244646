//! EnvironmentAvailable: the namespace exists and is not going away, and the targets are healthy before we start.

use super::{Subject, Verdict};
use crate::api::reasons;
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
    // A retry mends what is broken: it cannot be asked to find it whole.
    if s.promotion.attempt == 1 && !s.place.unhealthy.is_empty() {
        let sentence = format!(
            "not healthy before anything is changed: {}; mend it first",
            s.place.unhealthy.join("; ")
        );
        return Verdict::waiting(reasons::TARGET_UNHEALTHY, sentence);
    }
    Verdict::satisfied(format!(
        "namespace {namespace} is there and its targets are healthy"
    ))
}
