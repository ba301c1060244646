//! The earliest entry that time-bound checks allow, and which one binds. People's answers are taken as given at once,
//! so that it is a lower bound.

use jiff::Timestamp;

use super::checks::Subject;
use super::promotion::whole_second_after;
use crate::api::environment::{ControlName, Enforcement};
use crate::api::release::{Forecast, State};
use crate::api::time;

/// Absent where nothing time-bound holds this promotion back.
#[must_use]
pub(crate) fn of(s: &Subject<'_>) -> Option<Forecast> {
    let spec = &s.setting.environment.spec;
    let mut at = s.now;
    let mut because = None;
    let mut later = |candidate: Option<Timestamp>, name: &str| {
        if let Some(candidate) = candidate.filter(|c| *c > at) {
            at = candidate;
            because = Some(name.to_owned());
        }
        at
    };
    for gate in &spec.gates {
        let Some(soak) = &gate.soak else { continue };
        let there = s
            .observed
            .release
            .promotion(&soak.environment)
            .filter(|p| p.state == State::Succeeded);
        let finished = there.and_then(|p| p.finished_at.as_ref());
        later(finished.map(|f| f.0 + soak.duration.get()), &gate.name);
    }
    if spec.enforcement(ControlName::WindowOpen) == Enforcement::Required {
        let planned = s
            .observed
            .release
            .planned(s.environment_name())
            .and_then(|p| p.start.as_ref());
        let from = later(planned.map(|t| t.0), "schedule");
        let needed = super::checks::window_needed(s.observed);
        match s.setting.calendar.earliest(from, needed) {
            Some(open) => {
                later(Some(open), "WindowOpen");
            }
            None => {
                return Some(Forecast {
                    earliest: None,
                    because: "WindowOpen: no opening is in sight".to_owned(),
                });
            }
        }
    }
    Some(Forecast {
        earliest: Some(time(whole_second_after(at))),
        because: because?,
    })
}
