//! SameArtifact: the images of this release are those that Succeeded in each upstream.

use crate::api::environment::{ControlName, Require};
use crate::api::reasons;
use crate::api::release::State;
use crate::decide::facts;
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};
use crate::domain::{digest, patches};

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::SameArtifact,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let Some(from) = &s.setting.environment.spec.promotes_from else {
        return Verdict::satisfied("This environment is an entry point: it has no upstream to compare with.");
    };
    let readable = |i: &&std::sync::Arc<facts::Inspection>| {
        i.refusal.is_none() && i.components.iter().all(|c| c.refusal.is_none())
    };
    let Some(inspection) = s.place.inspection.as_ref().filter(readable) else {
        return Verdict::unknown(
            reasons::NOT_READ_YET,
            "The images are not known until the targets can be read.",
        );
    };
    let mut compared = Vec::new();
    for upstream in &from.environments {
        let Some(promotion) = s
            .observed
            .release
            .promotion(upstream)
            .filter(|p| p.state == State::Succeeded)
        else {
            if from.require == Require::All {
                let sentence = format!("{upstream} has not Succeeded, so there is nothing to compare with.");
                return Verdict::unknown(reasons::NOT_READ_YET, sentence);
            }
            continue;
        };
        for component in &inspection.components {
            let there = promotion
                .components
                .iter()
                .find(|c| c.name == component.name)
                .and_then(|c| c.to.as_deref());
            let here = images_text(&component.images_after, &s.stated(&component.name));
            if !same(here.as_deref(), there) {
                let sentence = format!(
                    "Component {} would run {}, but {} Succeeded with {}. Release the same images in both.",
                    component.name,
                    here.as_deref().unwrap_or("nothing"),
                    upstream,
                    there.unwrap_or("nothing")
                );
                return Verdict::failed(reasons::DIGEST_DIFFERS, sentence);
            }
        }
        compared.push(upstream.as_str());
    }
    if compared.is_empty() {
        let sentence = format!(
            "None of {} has Succeeded, so there is nothing to compare with.",
            from.environments.join(", ")
        );
        return Verdict::unknown(reasons::NOT_READ_YET, sentence);
    }
    Verdict::satisfied(format!("The same images Succeeded in {}.", compared.join(", ")))
}

/// Whether two texts of images as recorded in status name the same artifacts. Texts that were too long to record are compared as
/// a whole.
pub(crate) fn same(here: Option<&str>, there: Option<&str>) -> bool {
    let (Some(here), Some(there)) = (here, there) else {
        return here == there;
    };
    let one = |text: &str| -> (Option<String>, String) {
        // An image has no `=`, and a container's name has neither `/` nor `@`.
        match text.split_once('=') {
            Some((container, image)) => (Some(container.to_owned()), image.to_owned()),
            None => (None, text.to_owned()),
        }
    };
    let (here, there): (Vec<_>, Vec<_>) = (
        here.split(',').map(one).collect(),
        there.split(',').map(one).collect(),
    );
    here.len() == there.len()
        && here
            .iter()
            .zip(&there)
            .all(|((c, image), (d, other))| c == d && patches::same_image(image, other))
}

impl Subject<'_> {
    /// Containers whose image this component states.
    fn stated(&self, component: &str) -> Vec<String> {
        let found = self
            .observed
            .release
            .spec
            .components
            .iter()
            .find(|c| c.name == component);
        found
            .map(|c| c.images.iter().map(|i| i.container.clone()).collect())
            .unwrap_or_default()
    }
}

/// Longer texts are recorded in status as their hash: a status that its schema refuses could never be written.
const MOST_CHARACTERS: usize = 512;

/// The images of the stated containers as recorded in status: one image alone, several as `container=image`.
pub(crate) fn images_text(images: &[(String, String)], stated: &[String]) -> Option<String> {
    let stated: Vec<&(String, String)> = images.iter().filter(|(c, _)| stated.contains(c)).collect();
    match stated.as_slice() {
        [] => None,
        [(_, image)] if image.len() <= MOST_CHARACTERS => Some(image.clone()),
        several => {
            let text = several
                .iter()
                .map(|(c, i)| format!("{c}={i}"))
                .collect::<Vec<_>>()
                .join(",");
            if text.len() <= MOST_CHARACTERS {
                Some(text)
            } else {
                Some(format!("sha256:{}", digest::hex(&text, 64)))
            }
        }
    }
}
