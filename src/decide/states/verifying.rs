//! Verifying and Observing: what was deployed is verified, and has to stay healthy before it counts as Succeeded.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::release::{CheckState, ComponentState, Promotion, State, sentence};
use crate::api::{reasons, time};
use crate::decide::ask::Ask;
use crate::decide::drift::{self, Drift};

use crate::decide::facts::{self, Live, Observed, Place};
use crate::decide::health::{due, health_says, loss, until_alone};
use crate::decide::licence::Licence;
use crate::decide::moves::{await_decision, fail, inconclusive, moved, succeed, to};
use crate::decide::rules::subject::{Verdict, persisted};
use crate::decide::rules::{expression_ask, job_ask, job_verdict};
use crate::decide::standing::{Standing, gone, put_back_by, standing};
use crate::decide::states::after_entry::{self, after_entry, backout_asked};
use crate::decide::step::Move;
use crate::decide::{jobs, telling};
use crate::domain::readiness;
use crate::domain::time::{earliest, whole_second_after};

/// Nothing is left to verify: observe, or finish.
pub(crate) fn verified(o: &Observed, p: Promotion, licence: &Licence<'_>, now: Timestamp) -> Move {
    let entered = licence.entered;
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
    let done = Promotion { verified_at, ..p };
    end(o, &done, licence, now)
}

/// The questions of every state after entry, and of each item of the verification.
pub(crate) fn asks(p: &Promotion) -> Vec<Ask> {
    let verifies = p.state == State::Verifying;
    let entered = p.entered.iter().filter(|_| verifies);
    let items = entered
        .flat_map(|entered| &entered.verification)
        .flat_map(|item| {
            let check = format!("verification/{}", item.name);
            let job = item.job.as_ref().map(|template| job_ask(&check, template));
            let expression = item.expression.as_ref();
            let expression = expression.map(|expression| expression_ask(&check, expression));
            job.into_iter().chain(expression)
        });
    after_entry::asks(p).into_iter().chain(items).collect()
}

/// What both states check first: a BackOut, what every state after entry needs, and the targets. Else the time at which the messages
/// of the components have to be written.
///
/// # Errors
/// The move that is required.
fn undisturbed<'a>(
    o: &'a Observed,
    p: &'a Promotion,
    now: Timestamp,
) -> Result<(Licence<'a>, Option<Timestamp>), Move> {
    if let Some(asked) = backout_asked(o, p, now) {
        return Err(asked);
    }
    let licence = after_entry(o, p, now)?;
    let again = drift_or_loss(o, p, &licence, now)?;
    Ok((licence, again))
}

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    match undisturbed(o, p, now) {
        Ok((licence, again)) if p.state == State::Verifying => verify(o, p, &licence, again, now),
        Ok((licence, again)) => observe(o, p, &licence, again, now),
        Err(other) => other,
    }
}

fn verify(
    o: &Observed,
    p: &Promotion,
    licence: &Licence<'_>,
    again: Option<Timestamp>,
    now: Timestamp,
) -> Move {
    let (mut checks, mut actions, mut until, mut trouble) = (Vec::new(), Vec::new(), again, None);
    let mut next = p.clone();
    for item in &licence.entered.verification {
        let key = format!("verification/{}", item.name);
        let prior = p.verification.iter().find(|c| c.name == item.name);
        let namespace = &licence.entered.target_namespace;
        let verdict = match &item.job {
            Some(job) => job_verdict(o, p, licence.place, namespace, &key, job, prior, now),
            None => evaluated(licence.place, &key),
        };
        actions.extend(verdict.action);
        if let Some(run) = verdict.run {
            jobs::record(&mut next, licence.place, run);
        }
        until = earliest(until, verdict.until);
        let (state, reason, message) = (verdict.state, verdict.reason, verdict.message);
        match state {
            CheckState::Failed => {
                let why = sentence(&format!("{}: {message}", item.name));
                let mut failed = next;
                failed.verification.retain(|c| c.name != item.name);
                failed.verification.push(persisted(
                    &item.name, prior, false, state, reason, message, None, now,
                ));
                return fail(o, &failed, reasons::VERIFICATION_FAILED, &why, now);
            }
            CheckState::Unknown => {
                trouble.get_or_insert((reason, format!("Verification {}: {message}", item.name)));
            }
            CheckState::Satisfied => {
                checks.push(persisted(
                    &item.name, prior, false, state, reason, message, None, now,
                ));
            }
            CheckState::Waiting => {}
        }
    }
    if checks.len() == licence.entered.verification.len() {
        let done = Promotion {
            verification: checks,
            inconclusive: None,
            ..next
        };
        if licence.entered.observation.is_none()
            && let Some(waits) = until_alone(o, p, &done, licence.place, now)
        {
            return waits;
        }
        return verified(o, done, licence, now);
    }
    next.verification = checks;
    if next != *p {
        return to(next, vec![]);
    }
    let (other, edge) = inconclusive(o, p, trouble.as_ref().map(|(r, m)| (*r, m.as_str())), now);
    if let Some(other) = other {
        return other;
    }
    let again = licence.place.jobs.values().filter_map(|j| match j {
        facts::JobState::Trouble(t) => Some(t.again_at),
        _ => None,
    });
    let until = [edge, again.min()].into_iter().fold(until, earliest);
    if actions.is_empty() {
        Move::Rest(until)
    } else {
        Move::Do(actions)
    }
}

/// The result of the expression of an item of the verification.
fn evaluated(place: &Place, key: &str) -> Verdict {
    match place.expressions.get(key) {
        Some(Ok(true)) => Verdict::satisfied("The expression is true."),
        Some(Ok(false)) => Verdict::failed(reasons::EXPRESSION_FALSE, "The expression is false."),
        Some(Err(why)) => {
            let why = sentence(&format!("The expression has no result: {why}"));
            Verdict::unknown(reasons::EXPRESSION_UNKNOWN, why)
        }
        None => Verdict::unknown(
            reasons::NOT_READ_YET,
            "The expression has not been evaluated yet.",
        ),
    }
}

fn observe(
    o: &Observed,
    p: &Promotion,
    licence: &Licence<'_>,
    again: Option<Timestamp>,
    now: Timestamp,
) -> Move {
    let start = p
        .verified_at
        .as_ref()
        .or(p.deployed_at.as_ref())
        .map_or(now, |t| t.0);
    let observation = licence
        .entered
        .observation
        .as_ref()
        .map_or(jiff::SignedDuration::ZERO, |d| d.get());
    let over = whole_second_after(start + observation);
    let suspicious = licence
        .place
        .components
        .iter()
        .filter_map(|c| c.unhealthy_since)
        .min();
    if now < over {
        let grace = suspicious.map(|s| whole_second_after(s + o.settings.health_grace));
        return Move::Rest([Some(over), grace].into_iter().fold(again, earliest));
    }
    // Not while something is unhealthy: it may be on its way down.
    match suspicious {
        Some(since) => {
            let grace = whole_second_after(since + o.settings.health_grace);
            Move::Rest(earliest(Some(grace), again))
        }
        None => until_alone(o, p, p, licence.place, now).unwrap_or_else(|| end(o, p, licence, now)),
    }
}

/// At the end of the observation it counts as Succeeded only if what runs is still what was released.
fn end(o: &Observed, p: &Promotion, licence: &Licence<'_>, now: Timestamp) -> Move {
    still_stands(o, p, licence, now).unwrap_or_else(|| succeed(o, p, &remarks(o, p, licence, now), now))
}

/// Why it must not count as Succeeded: a target was reverted or changed since, or cannot be read.
fn still_stands(o: &Observed, p: &Promotion, licence: &Licence<'_>, now: Timestamp) -> Option<Move> {
    for live in &licence.place.components {
        let Some(captured) = licence.pre_state.component(&live.name) else {
            continue;
        };
        let target = &captured.target;
        let changed = match standing(o, &p.name, captured, live) {
            Standing::Applied => continue,
            Standing::Untouched if captured.changes.is_empty() && !captured.created() => continue,
            Standing::Unread => return Some(Move::Rest(live.trouble.as_ref().map(|t| t.again_at))),
            Standing::Gone(why) => return Some(await_decision(p, reasons::TARGET_GONE, &gone(&why), now)),
            Standing::Untouched => {
                let by = put_back_by(captured, live);
                format!("{target} was reverted to its previous state{by}")
            }
            Standing::Changed(fields) => format!("Another writer changed {}", fields.join(", ")),
        };
        let why = format!(
            "{changed}. What runs is not what was released. A Decision is required (BackOut, Accept or Abandon)."
        );
        return Some(await_decision(p, reasons::FIELDS_CHANGED, &why, now));
    }
    None
}

/// What is missing but tolerated, and what was restarted, for the message of the success.
fn remarks(o: &Observed, p: &Promotion, licence: &Licence<'_>, now: Timestamp) -> String {
    let said = licence.place.components.iter().flat_map(|live| {
        let captured = licence.pre_state.component(&live.name);
        let (Some(captured), Live::Present(object)) = (captured, &live.object) else {
            return vec![];
        };
        let due = due(o, p, &live.name, now);
        let said = [
            readiness::tolerated(object),
            readiness::restarted(object, &live.pods, &due),
        ];
        let said = said.into_iter().flatten();
        said.map(|said| sentence(&format!("{}: {said}", captured.target)))
            .collect()
    });
    said.collect::<Vec<_>>().join(" ")
}

/// What can fail after everything was ready: a target is deleted, is unhealthy for too long, or drifts. Else the time at which the
/// messages of the components have to be written.
///
/// # Errors
/// The move that is required.
fn drift_or_loss(
    o: &Observed,
    p: &Promotion,
    licence: &Licence<'_>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Move> {
    let mut drifted: BTreeMap<&str, Drift> = BTreeMap::new();
    for live in &licence.place.components {
        let Some(captured) = licence.pre_state.component(&live.name) else {
            continue;
        };
        if let Some(why) = loss(o, p, captured, live, now) {
            let mut p = p.clone();
            let failed = ComponentState::Failed;
            telling::set(&mut p, &live.name, failed, Some(why.clone()), now);
            return Err(fail(o, &p, reasons::HEALTH_LOST, &why, now));
        }
        let gone = match standing(o, &p.name, captured, live) {
            Standing::Gone(why) => Some(gone(&why)),
            Standing::Untouched if captured.created() => Some(format!(
                "{}, which this release created, was deleted. A Decision is required (BackOut, Accept or Abandon).",
                captured.target
            )),
            _ => None,
        };
        if let Some(why) = gone {
            return Err(await_decision(p, reasons::TARGET_GONE, &why, now));
        }
        // For a target that cannot be read, the recorded drift stays.
        match drift::of(o, &p.name, captured, live) {
            Some(found) => {
                drifted.insert(&live.name, found);
            }
            None if live.object == Live::Unread => {
                let known = p.components.iter().find(|c| c.name == live.name);
                if let Some(says) = known.and_then(|c| c.drift.clone()) {
                    drifted.insert(&live.name, Drift { says, by: None });
                }
            }
            None => {}
        }
    }
    let mut next = p.clone();
    let mut announcements = Vec::new();
    let noted = drift::due(p, &drifted, now);
    if noted.is_ok() {
        announcements = drift::note(&mut next, &drifted, now);
    }
    let says = |p: &Promotion| {
        let components = licence.place.components.iter();
        components
            .filter(|live| p.components.iter().any(|c| c.name == live.name))
            .map(|live| health_says(o, p, &live.name, live, now))
            .collect::<Vec<_>>()
    };
    if next != *p {
        for says in says(&next) {
            telling::set(&mut next, says.component, says.state, says.message, now);
        }
        return Err(to(next, announcements));
    }
    let (told, again) = telling::tell(p, says(p), now);
    match told {
        Some(told) => Err(to(told, vec![])),
        None => Ok(earliest(again, noted.err().flatten())),
    }
}
