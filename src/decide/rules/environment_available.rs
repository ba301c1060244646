//! EnvironmentAvailable: the namespace exists and is not being deleted, and the targets are healthy before the release enters.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::decision::ENVIRONMENT_AVAILABLE;
use crate::api::environment::ControlName;
use crate::api::release::CheckState;
use crate::api::{GoDuration, reasons};
use crate::decide::decisions::accepted_as_it_is;
use crate::decide::facts::NamespaceState;
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};
use crate::domain::time::whole_second_after;

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::EnvironmentAvailable,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let namespace = s.target_namespace();
    if s.setting.environment.metadata.deletion_timestamp.is_some() {
        let sentence = format!(
            "Environment {} is being deleted, so no release can enter it. Ask {}.",
            s.environment_name(),
            s.owner()
        );
        return Verdict::failed(reasons::ENVIRONMENT_DELETED, sentence);
    }
    if namespace.len() > 63 {
        let sentence = format!(
            "The target namespace {namespace} has {} characters, but a namespace can have at most 63. Ask {} to shorten \
             spec.namespace of the Environment.",
            namespace.len(),
            s.owner()
        );
        return Verdict::failed(reasons::NAMESPACE_INVALID, sentence);
    }
    match s.place.namespace {
        NamespaceState::Missing => {
            let sentence = format!(
                "The target namespace {namespace} does not exist. Ask {} to create it.",
                s.owner()
            );
            return Verdict::failed(reasons::NAMESPACE_MISSING, sentence);
        }
        NamespaceState::Terminating => {
            let sentence = format!(
                "The target namespace {namespace} is being deleted. Wait until it is gone, then ask {} to create it again.",
                s.owner()
            );
            return Verdict::failed(reasons::NAMESPACE_TERMINATING, sentence);
        }
        NamespaceState::Present => {}
    }
    // A retry repairs what is broken, so its targets need not be healthy. Its message does not depend on them either: otherwise each
    // change of their health would be written.
    if s.promotion.attempt > 1 {
        let sentence =
            format!("Namespace {namespace} exists. On a retry the health of its targets is not checked.");
        return Verdict::satisfied(sentence);
    }
    let recovering = recovering(s);
    if s.place.unhealthy.is_empty() && recovering.is_none() {
        return Verdict::satisfied(format!(
            "Namespace {namespace} exists and its targets are healthy."
        ));
    }
    // The release that occupies the namespace is changing the targets right now. This one is queued, and is checked when it is its
    // turn. Until then the message does not change: otherwise a long queue would be written at each step of the first release.
    if occupied(s) {
        let said = s.prior.filter(|check| check.state == CheckState::Satisfied);
        let sentence =
            format!("Namespace {namespace} exists. Its targets are checked when it is this release's turn.");
        return Verdict::satisfied(said.map_or(sentence, |check| check.message.clone()));
    }
    let unhealthy = s.place.unhealthy.join("; ");
    let (unhealthy, what, until) = match recovering {
        Some((what, until)) if unhealthy.is_empty() => (what.clone(), what, Some(until)),
        _ => {
            let what = format!("The targets are not healthy before the release: {unhealthy}. Fix them first");
            (unhealthy, what, None)
        }
    };
    if let Some(accept) = accepted_as_it_is(s.observed, s.promotion) {
        let by = &accept.spec.by;
        let sentence = format!("{by} accepted the targets as they are: {unhealthy}.");
        return Verdict::satisfied(sentence).obeying(vec![Arc::clone(accept)]);
    }
    let sentence = format!(
        "{what}. To enter with the targets as they are, create a Decision with action Accept and subject {ENVIRONMENT_AVAILABLE} for {}, attempt {}.",
        s.environment_name(),
        s.promotion.attempt
    );
    Verdict::waiting(reasons::TARGET_UNHEALTHY, sentence).until(until)
}

/// A target that was not healthy must stay healthy for the grace period: between two crashes it looks healthy. The target, and until when.
fn recovering(s: &Subject<'_>) -> Option<(String, Timestamp)> {
    let (target, since) = s.place.recovered.iter().max_by_key(|(_, since)| *since)?;
    let grace = s.observed.settings.health_grace;
    let until = whole_second_after(*since + grace);
    (s.now < until).then(|| {
        let grace = GoDuration::from_secs(grace.as_secs());
        let what = format!("{target} recovered at {since} and must stay healthy for {grace} first");
        (what, until)
    })
}

/// Another Release holds the target namespace.
fn occupied(s: &Subject<'_>) -> bool {
    s.place.claim.as_ref().is_some_and(|claim| {
        let holder = claim.holder.as_ref().map(|holder| holder.release_uid.as_str());
        holder.is_some_and(|uid| uid != s.observed.uid()) && !claim.unsettled && !claim.holder_absent
    })
}
