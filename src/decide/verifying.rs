//! Verifying and Observing: what was deployed is verified and has to stay healthy before it counts as Succeeded.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::checks::{job_verdict, persisted};
use super::deploying::{Entry, Standing, after_entry, backout_asked, standing, writer};
use super::facts::Observed;
use super::promotion::{await_decision, fail, inconclusive, moved, to, whole_second_after};
use super::{Move, announce, cut, earliest};
use crate::api::release::{CheckState, Entered, Promotion, State};
use crate::api::{reasons, time};

/// Nothing is left to verify: observe, or be done.
pub(super) fn verified(o: &Observed, p: Promotion, entered: &Entered, now: Timestamp) -> Move {
    let verified_at = (!entered.verification.is_empty()).then(|| time(now));
    if entered.observation.is_some() {
        return to(
            Promotion {
                verified_at,
                ..moved(&p, State::Observing, now)
            },
            vec![],
        );
    }
    succeed(o, &Promotion { verified_at, ..p }, "", now)
}

pub(crate) fn succeed(_: &Observed, p: &Promotion, how: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Succeeded, now);
    next.finished_at = Some(time(now));
    next.message = (!how.is_empty()).then(|| cut(how.to_owned()));
    let took = p
        .started_at
        .as_ref()
        .map_or(0, |s| now.duration_since(s.0).as_secs());
    let note = format!(
        "{}: succeeded after {took} s{}{how}",
        p.name,
        if how.is_empty() { "" } else { "; " }
    );
    to(next, announce(reasons::SUCCEEDED, note))
}

pub(crate) fn verifying(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    if let Some(asked) = backout_asked(o, p, now) {
        return asked;
    }
    let entry = match after_entry(o, p, now) {
        Ok(entry) => entry,
        Err(other) => return other,
    };
    if let Some(lost) = drift_or_loss(o, p, &entry, now) {
        return lost;
    }
    let (mut checks, mut actions, mut until, mut trouble) = (Vec::new(), Vec::new(), None, None);
    for item in &entry.entered.verification {
        let key = format!("verification/{}", item.name);
        let prior = p.verification.iter().find(|c| c.name == item.name);
        let namespace = &entry.entered.target_namespace;
        let (state, reason, message) = match (&item.job, &item.expression) {
            (Some(job), _) => {
                let verdict = job_verdict(o, p, entry.place, namespace, &key, job, prior, now);
                actions.extend(verdict.action);
                until = earliest(until, verdict.until);
                (verdict.state, verdict.reason, verdict.message)
            }
            (None, _) => match entry.place.expressions.get(&key) {
                Some(Ok(true)) => (CheckState::Satisfied, reasons::SATISFIED, "holds".to_owned()),
                Some(Ok(false)) => (
                    CheckState::Failed,
                    reasons::EXPRESSION_FALSE,
                    "does not hold".to_owned(),
                ),
                Some(Err(why)) => (CheckState::Unknown, reasons::EXPRESSION_UNKNOWN, why.clone()),
                None => (
                    CheckState::Unknown,
                    reasons::NOT_READ_YET,
                    "has not been evaluated".to_owned(),
                ),
            },
        };
        match state {
            CheckState::Failed => {
                let sentence = format!("{}: {message}", item.name);
                let mut failed = p.clone();
                failed.verification.retain(|c| c.name != item.name);
                failed.verification.push(persisted(
                    &item.name, prior, false, state, reason, message, None, now,
                ));
                return fail(o, &failed, reasons::VERIFICATION_FAILED, &sentence, now);
            }
            CheckState::Unknown => {
                trouble.get_or_insert((reason, format!("verification {}: {message}", item.name)));
            }
            CheckState::Satisfied => {
                checks.push(persisted(
                    &item.name, prior, false, state, reason, message, None, now,
                ));
            }
            CheckState::Waiting => {}
        }
    }
    if checks.len() == entry.entered.verification.len() {
        let done = Promotion {
            verification: checks,
            inconclusive: None,
            ..p.clone()
        };
        return verified(o, done, entry.entered, now);
    }
    if checks != p.verification {
        return to(
            Promotion {
                verification: checks,
                ..p.clone()
            },
            vec![],
        );
    }
    let (other, edge) = inconclusive(o, p, trouble.as_ref().map(|(r, m)| (*r, m.as_str())), now);
    if let Some(other) = other {
        return other;
    }
    let again = entry.place.jobs.values().filter_map(|j| match j {
        super::facts::JobState::Trouble(t) => Some(t.again_at),
        _ => None,
    });
    let until = [edge, again.min()].into_iter().fold(until, earliest);
    if actions.is_empty() {
        Move::Rest(until)
    } else {
        Move::Do(actions)
    }
}

pub(crate) fn observing(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    if let Some(asked) = backout_asked(o, p, now) {
        return asked;
    }
    let entry = match after_entry(o, p, now) {
        Ok(entry) => entry,
        Err(other) => return other,
    };
    if let Some(lost) = drift_or_loss(o, p, &entry, now) {
        return lost;
    }
    let start = p
        .verified_at
        .as_ref()
        .or(p.deployed_at.as_ref())
        .map_or(now, |t| t.0);
    let observation = entry
        .entered
        .observation
        .as_ref()
        .map_or(jiff::SignedDuration::ZERO, |d| d.get());
    let over = whole_second_after(start + observation);
    let suspicious = entry
        .place
        .components
        .iter()
        .filter_map(|c| c.unhealthy_since)
        .min();
    if now < over {
        let grace = suspicious.map(|s| whole_second_after(s + o.settings.health_grace));
        return Move::Rest(earliest(Some(over), grace));
    }
    // Not while something is unhealthy: it may be on its way down.
    match suspicious {
        Some(since) => Move::Rest(Some(whole_second_after(since + o.settings.health_grace))),
        None => succeed(o, p, "", now),
    }
}

/// What may go wrong once everything was ready: a target is gone, unhealthy for too long, or drifts.
fn drift_or_loss(o: &Observed, p: &Promotion, entry: &Entry<'_>, now: Timestamp) -> Option<Move> {
    let mut drifted: BTreeMap<&str, String> = BTreeMap::new();
    for live in &entry.place.components {
        let Some(captured) = entry.pre_state.component(&live.name) else {
            continue;
        };
        if let Some(since) = live
            .unhealthy_since
            .filter(|s| now.duration_since(*s) >= o.settings.health_grace)
        {
            let sentence = format!("{} is unhealthy since {since}", captured.target);
            return Some(fail(o, p, reasons::HEALTH_LOST, &sentence, now));
        }
        match standing(o, &p.name, captured, &live.object) {
            Standing::Gone(sentence) => return Some(await_decision(p, reasons::TARGET_GONE, &sentence, now)),
            Standing::Untouched if captured.created() => {
                let sentence = format!(
                    "{}, which this release created, has been deleted",
                    captured.target
                );
                return Some(await_decision(p, reasons::TARGET_GONE, &sentence, now));
            }
            Standing::Changed(fields) => {
                drifted.insert(
                    &live.name,
                    format!("drift: {}{}", fields.join(", "), writer(live)),
                );
            }
            Standing::Untouched if !captured.changes.is_empty() => {
                drifted.insert(
                    &live.name,
                    format!("drift: {} was put back{}", captured.target, writer(live)),
                );
            }
            _ => {}
        }
    }
    let mut next = p.clone();
    let mut announcements = Vec::new();
    for status in &mut next.components {
        let says = drifted.get(status.name.as_str());
        // Once reported it stays: the review asks for it.
        if let (Some(says), None) = (says, &status.message) {
            status.message = Some(cut(says.clone()));
            announcements.extend(announce(reasons::DRIFT, format!("{}: {says}", p.name)));
        }
    }
    (next != *p).then(|| to(next, announcements))
}
