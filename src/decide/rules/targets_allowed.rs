//! TargetsAllowed: the kinds are allowed, no target is the template of a Job of a gate or verification, the deployer exists, the target
//! namespace accepts the Release, the deployer has the permissions, a dry run of the patch succeeds, and the pre-state can be stored.

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

/// How many Releases a message names at most.
const MOST_NAMED: usize = 5;

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::TargetsAllowed,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let spec = &s.setting.environment.spec;
    if let Err(not_selected) = may_ask(&s.setting.environment, s.observed) {
        return Verdict::failed(
            reasons::RELEASE_NAMESPACE_NOT_ALLOWED,
            format!("{not_selected}. Add the labels that it selects to the namespace."),
        );
    }
    let namespace = spec.target_namespace(s.observed.namespace());
    if !s.observed.settings.watches(&namespace) {
        let sentence = format!(
            "The operator does not watch namespace {namespace}, so it cannot see the workloads there. Add the namespace to the chart's \
             value watch.namespaces."
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
                "Component {} targets {} {}, which Environment {} does not list in allowedKinds. Ask {} to add it, or remove the \
                 component.",
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
        return Verdict::unknown(reasons::NOT_READ_YET, "The targets have not been read yet.");
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
            .join(" ");
        return if refusals.iter().all(|r| r.unknown) {
            Verdict::unknown(first.reason, message)
        } else {
            Verdict::failed(first.reason, message)
        };
    }
    if inspection.size > MOST_BYTES {
        let sentence = format!(
            "The pre-state for a backout takes {} KiB, but at most {} KiB can be stored. Split the Release.",
            inspection.size / 1024,
            MOST_BYTES / 1024
        );
        return Verdict::failed(reasons::PRE_STATE_TOO_LARGE, sentence);
    }
    if let Some(sentence) = no_room(s, &namespace, inspection.size as u64) {
        return Verdict::failed(reasons::PRE_STATE_TOO_LARGE, sentence);
    }
    let changed = match inspection.components.len() {
        1 => "1 target can be changed.".to_owned(),
        count => format!("{count} targets can be changed."),
    };
    let mut said = vec![changed];
    said.extend(inspection.components.iter().filter_map(|c| c.note.clone()));
    Verdict::satisfied(said.join(" "))
}

/// The pre-state of the previous attempt does not exist.
fn no_predecessor(s: &Subject<'_>) -> Option<Verdict> {
    let name = decisions::predecessor(s.observed, s.promotion).filter(|_| s.place.predecessor.is_none())?;
    let sentence = format!(
        "The pre-state {name} of the previous attempt is missing: the state before that attempt is not known, so a retry could \
         not be backed out. Fix the targets by hand, then release a new version."
    );
    Some(Verdict::failed(reasons::PRE_STATE_MISSING, sentence))
}

/// The success in an upstream environment is not proved.
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

/// Why `size` more bytes cannot be stored for the Releases of this namespace, which share one limit. If the limit is reached, the next
/// version can still enter if its success frees as much: until then the limit is exceeded by one pre-state at most.
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
        "The pre-state for a backout needs {}. Of the {} for all Releases of namespace {}, {} are in use ({}). Ask \
         a user with the verb forget on releases to delete finished Releases that need no backout, or ask the administrator of \
         Signalbox for a higher preStateLimit in the chart's values.",
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

/// The component whose target is the template of a Job that judges Releases in this namespace, or such a Job itself: a Release that could
/// change it would judge itself or others. It makes no difference that the target does not exist yet: the Release would create it.
fn template_targeted(s: &Subject<'_>, namespace: &str) -> Option<String> {
    let leads_here = |name: &String, environment: &Environment| {
        let spec = &environment.spec;
        let own = spec.target_namespace(s.observed.namespace()) == namespace;
        let own =
            own && (!spec.namespace.contains("{namespace}") || may_ask(environment, s.observed).is_ok());
        own || s.place.led_from_elsewhere.contains(name)
    };
    // This setting may be newer than the one among all observed Environments.
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
                format!("whose name is reserved for Jobs of gates and verifications. Choose a name without the prefix {JOB_PREFIX}.")
            }
            ("batch/v1", "CronJob") => {
                let mut named = judges.iter().filter(|(_, (_, template))| *template == target.name);
                let (environment, (judge, _)) = named.next()?;
                format!(
                    "the template of the Job of {judge} in {environment}. A Release cannot change what judges Releases in \
                     {namespace}. Remove the component, or ask {} for a template of another name.",
                    s.owner_of(environment)
                )
            }
            _ => return None,
        };
        Some(format!("Component {} targets {target}, {why}", component.name))
    })
}

/// The Environment does not accept Releases of that namespace.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("releaseNamespaces of Environment {environment} does not select namespace {namespace}")]
pub struct NotSelected {
    environment: String,
    namespace: String,
}

/// Whether Releases of this namespace may use this Environment at all.
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
