//! Soak: this very Release has stood in another environment long enough.

use super::{Subject, Verdict};
use crate::api::reasons;
use crate::api::release::State;

pub(super) fn check(s: &Subject<'_>) -> Verdict {
    let Some(soak) = s.gate.and_then(|g| g.soak.as_ref()) else {
        return Verdict::unknown(reasons::SOAK_NOT_POSSIBLE, "this gate does not say where to soak");
    };
    let there = &soak.environment;
    if !s.observed.release.spec.environments.contains(there) {
        let sentence = format!(
            "must stand in {there} for {} first: add {there} to spec.environments",
            soak.duration
        );
        return Verdict::failed(reasons::SOAK_NOT_POSSIBLE, sentence);
    }
    let finished = s
        .observed
        .release
        .promotion(there)
        .filter(|p| p.state == State::Succeeded)
        .and_then(|p| p.finished_at.as_ref());
    let Some(finished) = finished else {
        let sentence = format!(
            "must stand in {there} for {} first; it has not Succeeded there",
            soak.duration
        );
        return Verdict::waiting(reasons::SOAKING, sentence);
    };
    let over = finished.0 + soak.duration.get();
    if s.now < over {
        Verdict::waiting(reasons::SOAKING, format!("stands in {there} until {over}")).until(Some(over))
    } else {
        Verdict::satisfied(format!("stood in {there} for {}", soak.duration))
    }
}
