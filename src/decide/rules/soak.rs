//! Soak: this Release has run in another environment long enough.

use jiff::Timestamp;

use crate::api::environment::Gate;
use crate::api::reasons;
use crate::api::release::{CheckState, Promotion, State};
use crate::decide::rules::rule::{GateType, Tier, asks_nothing};
use crate::decide::rules::subject::{Subject, Verdict};
use crate::domain::text::clause;
use crate::domain::time::whole_second_after;
use crate::domain::version::Version;

/// The type of gate.
pub(crate) const RULE: GateType = GateType {
    tier: Tier::Time,
    is: |gate| gate.soak.is_some(),
    asks: asks_nothing,
    judge: check,
    asks_as_much,
    foreseen: true,
};

/// At least as long, in the same environment.
fn asks_as_much(other: &Gate, gate: &Gate) -> bool {
    let soaks = other.soak.as_ref().zip(gate.soak.as_ref());
    soaks.is_some_and(|(other, gate)| {
        other.environment == gate.environment && other.duration.get() >= gate.duration.get()
    })
}

fn check(s: &Subject<'_>) -> Verdict {
    let Some(soak) = s.gate.and_then(|g| g.soak.as_ref()) else {
        return Verdict::unknown(reasons::SOAK_NOT_POSSIBLE, "This gate has no soak settings.");
    };
    let there = &soak.environment;
    if !s.observed.release.spec.environments.contains(there) {
        let sentence = format!(
            "The release must soak in {there} for {} first. Add {there} to spec.environments.",
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
            "The release must soak in {there} for {} first. It has not Succeeded there.",
            soak.duration
        );
        return Verdict::waiting(reasons::SOAKING, sentence);
    };
    if let Some(altered) = s.observed.altered.get(there) {
        let sentence = format!(
            "The release no longer runs in {there}: {}. Restore it there; the soak then starts again.",
            clause(&altered.says)
        );
        return Verdict::waiting(reasons::SOAK_INTERRUPTED, sentence);
    }
    let begun = finished.0.max(put_back(s, there).unwrap_or(finished.0));
    // An interrupted soak starts again once the released images run again. The time is recorded in status.
    let again = s.prior.and_then(|prior| match prior.reason.as_str() {
        reasons::SOAK_INTERRUPTED => Some(whole_second_after(s.now)),
        _ => prior.anew_since.as_ref().map(|t| t.0),
    });
    // Never before the soak has begun, also if the gate names another environment by now.
    let over = again.unwrap_or(begun).max(begun) + soak.duration.get();
    if let Some((version, entered)) = overtaken(s, there) {
        if soaked(s) || entered.is_some_and(|entered| entered >= over) {
            return Verdict::satisfied(format!("The release soaked in {there} for {}.", soak.duration));
        }
        let sentence = format!(
            "The release must soak in {there} for {}, but {version} has entered there since. Continue with that version, or back \
             it out there to continue with this one.",
            soak.duration
        );
        return Verdict::waiting(reasons::SOAK_INTERRUPTED, sentence);
    }
    if s.now < over {
        let soaks = match again {
            Some(_) => format!("The release soaks in {there} again until {over}."),
            None => format!("The release soaks in {there} until {over}."),
        };
        Verdict::waiting(reasons::SOAKING, soaks)
            .until(Some(over))
            .anew_since(again)
    } else {
        Verdict::satisfied(format!("The release soaked in {there} for {}.", soak.duration))
    }
}

/// Whether this check was already Satisfied for this plan.
fn soaked(s: &Subject<'_>) -> bool {
    s.prior.is_some_and(|prior| prior.state == CheckState::Satisfied)
}

/// The first newer version that has entered there after this one and was not backed out, and when it entered, if that is known.
fn overtaken(s: &Subject<'_>, there: &str) -> Option<(String, Option<Timestamp>)> {
    let o = s.observed;
    let ours: Option<Version> = o.release.spec.version.parse().ok();
    let newer = |version: &str| version.parse::<Version>().ok() > ours;
    let gone_in = |p: &&Promotion| p.state.on_targets();
    let siblings = o
        .siblings
        .iter()
        .filter(|r| newer(&r.spec.version))
        .filter_map(|r| {
            let p = r.promotion(there).filter(gone_in)?;
            Some((r.spec.version.clone(), p.started_at.as_ref().map(|t| t.0)))
        });
    let remembered = o
        .remembered
        .iter()
        .filter(|r| r.environment == there && newer(&r.version));
    let remembered = remembered.map(|r| (r.version.clone(), None));
    // The first one that entered ended the soak.
    siblings
        .min_by_key(|(_, entered)| *entered)
        .or_else(|| remembered.min())
}

/// When the last sibling that had entered there was backed out: since then this one runs there again.
fn put_back(s: &Subject<'_>, there: &str) -> Option<Timestamp> {
    let siblings = s.observed.siblings.iter();
    let backed_out = siblings.filter_map(|r| r.promotion(there).filter(|p| p.state == State::BackedOut));
    backed_out
        .filter_map(|p| p.finished_at.as_ref())
        .map(|t| t.0)
        .max()
}
