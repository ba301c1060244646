//! SameArtifact: the images that would go in are those that Succeeded in each upstream.

use super::{Subject, Verdict};
use crate::api::environment::Require;
use crate::api::reasons;
use crate::api::release::State;

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let Some(from) = &s.setting.environment.spec.promotes_from else {
        return Verdict::satisfied("an entry point: there is no upstream");
    };
    let readable = |i: &&std::sync::Arc<crate::decide::facts::Inspection>| {
        i.refusal.is_none() && i.components.iter().all(|c| c.refusal.is_none())
    };
    let Some(inspection) = s.place.inspection.as_ref().filter(readable) else {
        return Verdict::unknown(
            reasons::NOT_READ_YET,
            "the images are not known before the targets can be read",
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
                let sentence =
                    format!("{upstream} has not Succeeded, so that there is nothing to compare with");
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
            if here.as_deref() != there {
                let sentence = format!(
                    "component {} would run {} but {} Succeeded with {}: the same artifact must go in",
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
            "none of {} has Succeeded, so that there is nothing to compare with",
            from.environments.join(", ")
        );
        return Verdict::unknown(reasons::NOT_READ_YET, sentence);
    }
    Verdict::satisfied(format!("the same images Succeeded in {}", compared.join(", ")))
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

/// Longer ones stand on status as their hash: a status that its schema refuses could never be written.
const MOST_CHARACTERS: usize = 512;

/// The stated containers' images as they stand on status: one image alone, several as `container=image`.
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
                Some(format!("sha256:{}", crate::decide::plan::hex(&text, 64)))
            }
        }
    }
}
