//! DigestPinned: every image in the result of the dry run is pinned by digest, whatever it was before.

use crate::api::environment::ControlName;
use crate::api::reasons;
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};
use crate::domain::patches;

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::DigestPinned,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let Some(inspection) = s.place.inspection.as_ref().filter(|i| i.refusal.is_none()) else {
        return Verdict::unknown(
            reasons::NOT_READ_YET,
            "The images are not known until the targets can be read.",
        );
    };
    if inspection.components.iter().any(|c| c.refusal.is_some()) {
        return Verdict::unknown(
            reasons::NOT_READ_YET,
            "The images are not known until the targets can be read.",
        );
    }
    let loose: Vec<String> = inspection
        .components
        .iter()
        .flat_map(|c| {
            c.images_after
                .iter()
                .map(move |(container, image)| (&c.name, container, image))
        })
        .filter(|(_, _, image)| !patches::pinned(image))
        .map(|(component, container, image)| {
            let image = if image.is_empty() {
                "an empty image"
            } else {
                image.as_str()
            };
            format!("{component}/{container} would run {image}")
        })
        .collect();
    if loose.is_empty() {
        Verdict::satisfied("Every image is pinned by digest.")
    } else {
        let status = s.observed.release.status.as_ref();
        let fixed = status.is_some_and(|s| s.environments.iter().any(|p| p.entered.is_some()));
        let how = if fixed {
            " in a new version: components are fixed once an environment has been entered"
        } else {
            ""
        };
        let sentence = format!(
            "{}. Pin each image by digest (name@sha256:…){how}.",
            loose.join(", ")
        );
        Verdict::failed(reasons::IMAGE_NOT_PINNED, sentence)
    }
}
