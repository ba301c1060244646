//! TargetsAllowed: the kinds are allowed, the deployer exists and may do it, a dry run of the forward patch is
//! accepted, and the pre-state can be kept.

use super::{Subject, Verdict};
use crate::api::reasons;
use crate::decide::before_entry::may_ask;
use crate::decide::prestate::MOST_BYTES;

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let spec = &s.setting.environment.spec;
    if let Err(sentence) = may_ask(&s.setting.environment, s.observed) {
        return Verdict::failed(reasons::RELEASE_NAMESPACE_NOT_ALLOWED, sentence);
    }
    if let Some(refusal) = &s.place.unproved {
        return Verdict::failed(refusal.reason, refusal.message.clone());
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
    Verdict::satisfied(format!("{} targets may be changed", inspection.components.len()))
}
