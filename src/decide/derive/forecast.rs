//! The earliest entry that time-bound checks allow, and which check decides it. Approvals are assumed to be given immediately,
//! so this is a lower bound.

use jiff::Timestamp;

use crate::api::environment::{ControlName, Enforcement};
use crate::api::release::Forecast;
use crate::api::time;
use crate::decide::rules;
use crate::decide::rules::subject::Subject;
use crate::domain::time::whole_second_after;

/// Absent where no time-bound check holds this promotion.
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
    for (until, gate) in rules::foreseen(s) {
        later(until, gate);
    }
    if spec.enforcement(ControlName::WindowOpen) == Enforcement::Required {
        let planned = s.observed.release.planned_start(s.environment_name());
        let from = later(planned, "schedule");
        let needed = rules::window_needed(s.observed);
        match s.setting.calendar.earliest(from, needed) {
            Some(open) => {
                later(Some(open), "WindowOpen");
            }
            None => {
                return Some(Forecast {
                    earliest: None,
                    because: "WindowOpen: no opening is forecast".to_owned(),
                });
            }
        }
    }
    Some(Forecast {
        earliest: Some(time(whole_second_after(at))),
        because: because?,
    })
}
