//! WindowOpen: the environment's windows allow an entry now, with enough time left to deploy and to back out.

use jiff::SignedDuration;

use crate::api::environment::ControlName;
use crate::api::reasons;
use crate::decide::facts::Observed;
use crate::decide::rules::rule::Control;
use crate::decide::rules::subject::{Subject, Verdict};
use crate::domain::calendar::Opening;

/// The control.
pub(crate) const RULE: Control = Control {
    name: ControlName::WindowOpen,
    judge: check,
};

fn check(s: &Subject<'_>) -> Verdict {
    let planned = s.observed.release.planned_start(s.environment_name());
    if let Some(start) = planned.filter(|start| s.now < *start) {
        return Verdict::waiting(reasons::NOT_BEFORE, format!("Planned to start at {start}."))
            .until(Some(start));
    }
    match s.setting.calendar.at(s.now, needed(s.observed)) {
        Opening::Open { because, until } => Verdict::satisfied(format!("Open: {because}.")).until(until),
        Opening::Closed {
            reason,
            message,
            next,
        } => Verdict::waiting(reason, message).until(next),
    }
}

/// How long the window must stay open: for the planned deployment and a backout after it.
pub(crate) fn needed(observed: &Observed) -> SignedDuration {
    let spec = &observed.release.spec;
    let minutes = SignedDuration::from_mins;
    let deploy = spec
        .deployment_plan
        .as_ref()
        .map_or(minutes(10), |p| p.expected_duration.get());
    let back = spec
        .backout_plan
        .as_ref()
        .map_or(minutes(15), |p| p.max_duration.get());
    deploy + back
}
