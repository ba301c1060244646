//! Red, amber, green or grey: the worst of controls, schedule, environment, backout and an owed review, with reasons.
//! The same facts give the same colour.

use jiff::{SignedDuration, Timestamp};

use crate::api::environment::ControlName;
use crate::api::release::{CheckState, Colour, Promotion, Rag, ReviewStatus, State, sentence};
use crate::decide::accepted::{self, Accepted};
use crate::decide::facts::Observed;
use crate::domain::text::cut;
use crate::domain::time::earliest;

/// Reasons that are listed at most.
const MOST_REASONS: usize = 16;
/// Evidence that expires this soon turns Amber.
const ABOUT_TO_EXPIRE: SignedDuration = SignedDuration::from_hours(1);

/// The colour, and when time alone changes it.
#[must_use]
pub fn derive(
    o: &Observed,
    promotions: &[Promotion],
    review: &ReviewStatus,
    accepted: &Accepted,
    now: Timestamp,
) -> (Rag, Option<Timestamp>) {
    let mut found: Vec<(Colour, String)> = Vec::new();
    let mut edge = None;
    for accepted::Problem { sentence, .. } in &accepted.problems {
        found.push((Colour::Red, sentence.clone()));
    }
    for p in promotions {
        state(p, &mut found);
        if p.state.before_entry() {
            checks(p, now, &mut found, &mut edge);
        }
        schedule(o, p, now, &mut found, &mut edge);
    }
    if review.overdue {
        found.push((
            Colour::Red,
            "The post-implementation review is overdue.".to_owned(),
        ));
    }
    let colour = found.iter().map(|(c, _)| *c).max().unwrap_or_else(|| {
        let begun = promotions.iter().any(|p| p.state != State::Pending);
        if begun { Colour::Green } else { Colour::Grey }
    });
    let mut reasons: Vec<String> = found
        .into_iter()
        .filter(|(c, _)| *c == colour)
        .map(|(_, reason)| cut(reason))
        .collect();
    if reasons.is_empty() {
        reasons = quiet(promotions);
    }
    reasons.truncate(MOST_REASONS);
    (Rag { colour, reasons }, edge)
}

fn state(p: &Promotion, found: &mut Vec<(Colour, String)>) {
    if p.state.went_wrong() {
        let message = sentence(p.message.as_deref().unwrap_or_default());
        found.push((
            Colour::Red,
            format!("{}: {}: {message}", p.name, p.state.as_str()),
        ));
    }
    if p.state.watches_targets() {
        let drifted = p
            .components
            .iter()
            .filter_map(|c| Some((&c.name, c.drift.as_ref()?)));
        found.extend(drifted.map(|(component, drift)| {
            let drifted = format!("{}: {component} has drifted: {drift}", p.name);
            (Colour::Amber, sentence(&drifted))
        }));
    }
    if let Some(inconclusive) = &p.inconclusive {
        found.push((
            Colour::Red,
            format!("{}: {}", p.name, sentence(&inconclusive.message)),
        ));
    }
}

fn checks(p: &Promotion, now: Timestamp, found: &mut Vec<(Colour, String)>, edge: &mut Option<Timestamp>) {
    for check in p.checks.iter().filter(|c| !c.advisory) {
        // A window that closes belongs to the schedule. Anything else that expires is evidence.
        let lapses = check.until.as_ref().filter(|_| {
            check.state == CheckState::Satisfied && check.name != ControlName::WindowOpen.as_str()
        });
        if let Some(lapses) = lapses {
            let soon = lapses.0 - ABOUT_TO_EXPIRE;
            if now >= soon {
                let expires = format!("{}: {} expires at {}.", p.name, check.name, lapses.0);
                found.push((Colour::Amber, expires));
            } else {
                *edge = earliest(*edge, Some(soon));
            }
        }
        let colour = match check.state {
            CheckState::Failed => Colour::Red,
            CheckState::Unknown => Colour::Amber,
            CheckState::Waiting | CheckState::Satisfied => continue,
        };
        found.push((colour, format!("{}: {}", p.name, sentence(&check.says()))));
    }
}

/// Past its planned end, or forecast to miss it.
fn schedule(
    o: &Observed,
    p: &Promotion,
    now: Timestamp,
    found: &mut Vec<(Colour, String)>,
    edge: &mut Option<Timestamp>,
) {
    let Some(end) = o
        .release
        .planned(&p.name)
        .and_then(|s| s.end.as_ref())
        .filter(|_| !p.state.has_ended())
    else {
        return;
    };
    let forecast = p.forecast.as_ref().and_then(|f| f.earliest.as_ref());
    if now >= end.0 {
        found.push((
            Colour::Red,
            format!("{}: The planned end {} has passed.", p.name, end.0),
        ));
        return;
    }
    *edge = earliest(*edge, Some(end.0));
    if forecast.is_some_and(|f| f.0 >= end.0) {
        found.push((
            Colour::Red,
            format!(
                "{}: The planned end {} will be missed, according to the forecast.",
                p.name, end.0
            ),
        ));
    }
}

/// What a release that is progressing normally is doing.
fn quiet(promotions: &[Promotion]) -> Vec<String> {
    promotions
        .iter()
        .filter(|p| !p.state.goes_without_saying())
        .map(|p| {
            match p
                .forecast
                .as_ref()
                .and_then(|f| f.earliest.as_ref().map(|e| (e, &f.because)))
            {
                Some((earliest, because)) => {
                    format!("{}: Enters {} at the earliest ({because}).", p.name, earliest.0)
                }
                None => format!("{}: {}.", p.name, p.state.as_str()),
            }
        })
        .collect()
}
