//! The health of components that were Ready, as messages, and when it is lost.

use jiff::Timestamp;

use crate::api::release::{ComponentState, Promotion, sentence};
use crate::decide::facts::{Live, LiveComponent, Observed, Place};
use crate::decide::moves::to;
use crate::decide::prestate::Captured;
use crate::decide::step::Move;
use crate::decide::telling::{self, Says};
use crate::domain::readiness::{self, Due};
use crate::domain::text::capitalized;
use crate::domain::time::{earliest, whole_second_after};

/// Until when pods of another version may still serve, of any component.
pub(crate) fn others_end(place: &Place, now: Timestamp) -> Option<Timestamp> {
    let lingering = place.components.iter().filter_map(|live| match &live.object {
        Live::Present(object) => readiness::lingering(object, &live.pods, now),
        _ => None,
    });
    lingering.map(|lingering| lingering.until).max()
}

/// A promotion counts as Succeeded only without pods of another version: those that are terminating are waited for and reported.
/// `next` is what there is to record until then.
pub(crate) fn until_alone(
    o: &Observed,
    p: &Promotion,
    next: &Promotion,
    place: &Place,
    now: Timestamp,
) -> Option<Move> {
    let until = others_end(place, now)?;
    let components = place.components.iter();
    let latched = components.filter(|live| {
        let status = next.components.iter().find(|c| c.name == live.name);
        status.is_some_and(|c| c.state == ComponentState::Ready)
    });
    let said = latched.map(|live| health_says(o, next, &live.name, live, now));
    let (told, again) = telling::tell(next, said.collect(), now);
    Some(match told {
        Some(told) => to(told, vec![]),
        None if next != p => to(next.clone(), vec![]),
        None => Move::Rest(earliest(Some(until), again)),
    })
}

/// Why a component that was Ready counts as unhealthy now: it has been unhealthy for the grace period, or is crash-looping. A sentence.
pub(crate) fn loss(
    o: &Observed,
    p: &Promotion,
    captured: &Captured,
    live: &LiveComponent,
    now: Timestamp,
) -> Option<String> {
    if let Live::Present(object) = &live.object
        && let Some(why) = readiness::crash_loop(object, &live.pods, &due(o, p, &live.name, now))
    {
        return Some(sentence(&format!("{} is unhealthy: {why}", captured.target)));
    }
    let since = live.unhealthy_since?;
    let over = whole_second_after(since + o.settings.health_grace);
    (now >= over).then(|| health_lost(o, p, captured, live, since, now))
}

/// Why health was lost, as a sentence.
pub(crate) fn health_lost(
    o: &Observed,
    p: &Promotion,
    captured: &Captured,
    live: &LiveComponent,
    since: Timestamp,
    now: Timestamp,
) -> String {
    let target = &captured.target;
    let why = match &live.object {
        Live::Present(object) => readiness::unhealthy(object, &live.pods, &due(o, p, &live.name, now)),
        _ => None,
    };
    let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
    match why {
        Some(why) => sentence(&format!("{target} has been unhealthy since {since}: {why}")),
        None => format!("{target} has been unhealthy since {since}."),
    }
}

/// What a component has to keep, according to what it had when it became Ready.
#[must_use]
pub fn due(o: &Observed, p: &Promotion, component: &str, now: Timestamp) -> Due {
    let latched = p.components.iter().find(|c| c.name == component);
    Due {
        ready: latched.and_then(|c| c.ready_pods),
        since: latched.and_then(|c| c.ready_at.as_ref()).map(|at| at.0),
        grace: o.settings.health_grace,
        now,
    }
}

/// The message of a component that was Ready: that it is unhealthy, or that other writers have changed it.
pub(crate) fn health_says<'c>(
    o: &Observed,
    p: &Promotion,
    component: &'c str,
    live: &LiveComponent,
    now: Timestamp,
) -> Says<'c> {
    let drift = p.components.iter().find(|c| c.name == component);
    let drift = drift
        .and_then(|c| c.drift.as_ref())
        .map(|drift| sentence(&format!("Drift: {drift}")));
    let well = Says::well(component, ComponentState::Ready);
    let Live::Present(object) = &live.object else {
        return Says {
            message: drift,
            ..well
        };
    };
    let due = due(o, p, component, now);
    let restarted = readiness::restarted(object, &live.pods, &due);
    let restarted = restarted.map(|restarted| sentence(&capitalized(&restarted)));
    let unhealthy = live.unhealthy_since.and_then(|since| {
        let why = readiness::unhealthy(object, &live.pods, &due)?;
        let shown = Timestamp::from_second(since.as_second()).unwrap_or(since);
        Some(sentence(&format!("Unhealthy since {shown}: {why}")))
    });
    let lingering = readiness::lingering(object, &live.pods, now);
    // What lasts only seconds is not worth a write. What has happened may be reported immediately.
    let since = match (live.unhealthy_since, &lingering) {
        (Some(since), _) => since,
        (None, Some(lingering)) if restarted.is_none() && drift.is_none() => lingering.since,
        _ => well.since,
    };
    let look_again = live.unhealthy_since.is_some() || lingering.is_some();
    let lingering = lingering.map(|lingering| sentence(&lingering.says()));
    let said = [unhealthy, restarted, lingering, drift].into_iter().flatten();
    let said: Vec<String> = said.collect();
    Says {
        message: (!said.is_empty()).then(|| said.join(" ")),
        since,
        look_again,
        ..well
    }
}
