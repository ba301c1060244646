//! TargetsAllowed: the kinds are allowed, no target is the template of a Job that judges, the deployer exists, the target namespace accepts
//! the Release, the deployer may do it, a dry run of the forward patch is accepted, and the pre-state can be kept.

use crate::api::environment::ControlName;
use crate::api::release::State;
use crate::api::{Environment, reasons};
use crate::decide::facts::Observed;
use crate::decide::plan::JOB_PREFIX;
use crate::decide::prestate::MOST_BYTES;
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};
use crate::decide::{decisions, holdings};
use crate::domain::selector::selects;

/// How many Releases a sentence names where there may be many.
const MOST_NAMED: usize = 5;

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::TargetsAllowed,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let spec = &s.setting.environment.spec;
    if let Err(not_selected) = may_ask(&s.setting.environment, s.observed) {
        return Verdict::failed(reasons::RELEASE_NAMESPACE_NOT_ALLOWED, not_selected.to_string());
    }
    let namespace = spec.target_namespace(s.observed.namespace());
    if !s.observed.settings.watches(&namespace) {
        let sentence = format!(
            "namespace {namespace} is not watched by the operator, which would not see the workloads there: add it to the chart's \
             value watch.namespaces"
        );
        return Verdict::failed(reasons::NAMESPACE_NOT_WATCHED, sentence);
    }
    if let Some(verdict) = no_predecessor(s).or_else(|| unproved_upstream(s)) {
        return verdict;
    }
    for component in &s.observed.release.spec.components {
        let target = &component.target;
        if !spec
            .allowed_kinds
            .iter()
            .any(|k| k.api_version == target.api_version && k.kind == target.kind)
        {
            let sentence = format!(
                "component {} targets a {} {}, which {} does not list in allowedKinds; ask {}",
                component.name,
                target.api_version,
                target.kind,
                s.environment_name(),
                s.owner()
            );
            return Verdict::failed(reasons::KIND_NOT_ALLOWED, sentence);
        }
    }
    if let Some(sentence) = template_targeted(s, &namespace) {
        return Verdict::failed(reasons::TEMPLATE_TARGETED, sentence);
    }
    let Some(inspection) = &s.place.inspection else {
        return Verdict::unknown(reasons::NOT_READ_YET, "the targets have not been read yet");
    };
    let refusals = inspection
        .refusal
        .iter()
        .chain(inspection.components.iter().filter_map(|c| c.refusal.as_ref()));
    let refusals: Vec<_> = refusals.collect();
    if let Some(first) = refusals.first() {
        let message = refusals
            .iter()
            .map(|r| r.message.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        return if refusals.iter().all(|r| r.unknown) {
            Verdict::unknown(first.reason, message)
        } else {
            Verdict::failed(first.reason, message)
        };
    }
    if inspection.size > MOST_BYTES {
        let sentence = format!(
            "what would have to be kept for a backout takes {} KiB, at most {} KiB can be kept: split the Release",
            inspection.size / 1024,
            MOST_BYTES / 1024
        );
        return Verdict::failed(reasons::PRE_STATE_TOO_LARGE, sentence);
    }
    if let Some(sentence) = no_room(s, &namespace, inspection.size as u64) {
        return Verdict::failed(reasons::PRE_STATE_TOO_LARGE, sentence);
    }
    let mut said = vec![format!("{} targets may be changed", inspection.components.len())];
    said.extend(inspection.components.iter().filter_map(|c| c.note.clone()));
    Verdict::satisfied(said.join("; "))
}

/// The pre-state of the attempt before is not there.
fn no_predecessor(s: &Subject<'_>) -> Option<Verdict> {
    let name = decisions::predecessor(s.observed, s.promotion).filter(|_| s.place.predecessor.is_none())?;
    let sentence = format!(
        "the pre-state {name} of the attempt before is missing: what stood before that attempt is not known, so \
         that a retry could not be backed out; put the targets right by hand, then release a new version"
    );
    Some(Verdict::failed(reasons::PRE_STATE_MISSING, sentence))
}

/// What Succeeded in an environment before this one proves nothing.
fn unproved_upstream(s: &Subject<'_>) -> Option<Verdict> {
    let o = s.observed;
    let upstream = s.setting.environment.spec.promotes_from.iter();
    let mut succeeded = upstream.flat_map(|from| &from.environments).filter(|name| {
        let upstream = o.release.promotion(name);
        upstream.is_some_and(|p| p.state == State::Succeeded)
    });
    let sentence = succeeded.find_map(|name| holdings::unproved(o, name))?;
    Some(Verdict::failed(reasons::NOT_VOUCHED_FOR, sentence))
}

/// Why `size` bytes more cannot be kept for the Releases of this namespace, which share what there is. Where all is taken, the next version
/// enters all the same if its success frees as much: what is kept beyond the limit meanwhile is one pre-state, however many were to go.
fn no_room(s: &Subject<'_>, namespace: &str, size: u64) -> Option<String> {
    let kept = s.place.kept_in_all.as_ref()?;
    let limit = s.observed.settings.pre_state_limit;
    let freed = holdings::freed_by_success(s.observed, s.promotion, namespace).min(size);
    if kept.bytes.saturating_add(size).saturating_sub(freed) <= limit {
        return None;
    }
    let mut named: Vec<String> = kept
        .by
        .iter()
        .take(MOST_NAMED)
        .map(|(release, bytes)| format!("{release} {}", kibibytes(*bytes)))
        .collect();
    if kept.by.len() > MOST_NAMED {
        named.push(format!("{} others", kept.by.len() - MOST_NAMED));
    }
    Some(format!(
        "what would have to be kept for a backout takes {}, and of the {} that may be kept for the Releases of {} together {} are taken \
         ({}): have Releases that are over and need no backout deleted by somebody with the verb forget on releases, or ask who runs \
         Signalbox for a higher preStateLimit in the chart's values",
        kibibytes(size),
        kibibytes(limit),
        s.observed.namespace(),
        kibibytes(kept.bytes),
        named.join(", ")
    ))
}

fn kibibytes(bytes: u64) -> String {
    format!("{} KiB", bytes.div_ceil(1024))
}

/// The component whose target is the template of a Job that judges Releases in this namespace, or such a Job itself: whoever could change it
/// would be his own judge, or another's. That it does not exist yet makes no difference: the Release would create it.
fn template_targeted(s: &Subject<'_>, namespace: &str) -> Option<String> {
    let leads_here = |name: &String, environment: &Environment| {
        let spec = &environment.spec;
        let own = spec.target_namespace(s.observed.namespace()) == namespace;
        let own =
            own && (!spec.namespace.contains("{namespace}") || may_ask(environment, s.observed).is_ok());
        own || s.place.led_from_elsewhere.contains(name)
    };
    // The setting at hand may be younger than what is observed of all.
    let at_hand = std::iter::once((&s.promotion.name, &*s.setting.environment));
    let all = s.observed.environments.iter();
    let others = all.map(|(name, setting)| (name, &*setting.environment));
    let others = others.filter(|(name, environment)| leads_here(name, environment));
    let judges: Vec<_> = at_hand
        .chain(others)
        .flat_map(|(name, environment)| environment.spec.judges().map(move |judge| (name, judge)))
        .collect();
    s.observed.release.spec.components.iter().find_map(|component| {
        let target = &component.target;
        let why = match (&*target.api_version, &*target.kind) {
            ("batch/v1", "Job") if target.name.starts_with(JOB_PREFIX) => {
                format!("whose name is one of those that Signalbox gives to Jobs that judge; choose one without {JOB_PREFIX}")
            }
            ("batch/v1", "CronJob") => {
                let mut named = judges.iter().filter(|(_, (_, template))| *template == target.name);
                let (environment, (judge, _)) = named.next()?;
                format!(
                    "the template of the Job of {judge} in {environment}: a Release cannot change what judges Releases in \
                     {namespace}; take the component out, or ask {} for a template of another name",
                    s.owner_of(environment)
                )
            }
            _ => return None,
        };
        Some(format!("component {} targets {target}, {why}", component.name))
    })
}

/// The Environment is not for Releases of that namespace.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "releaseNamespaces of Environment {environment} does not select namespace {namespace}: its labels do not match"
)]
pub struct NotSelected {
    environment: String,
    namespace: String,
}

/// Whether Releases of this namespace may ask for this Environment at all.
///
/// # Errors
/// [`NotSelected`].
pub fn may_ask(environment: &Environment, o: &Observed) -> Result<(), NotSelected> {
    let Some(selector) = &environment.spec.release_namespaces else {
        return Ok(());
    };
    if selects(selector, &o.namespace_labels) {
        return Ok(());
    }
    Err(NotSelected {
        environment: environment.metadata.name.clone().unwrap_or_default(),
        namespace: o.namespace().to_owned(),
    })
}
