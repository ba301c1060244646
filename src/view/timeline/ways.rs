//! Makes the timeline of `model` from what `play` recorded.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::Stage;
use crate::api::release::State;
use crate::api::{Environment, Release};
use crate::view::explain::{Block, Explanation, InEnvironment, WaitsFor, explain};
use crate::view::timeline::log::Entry;
use crate::view::timeline::model::{Lane, Leg, Outcome, Span, Step, Timeline, Way};
use crate::view::timeline::play::Play;
use crate::view::timeline::rest::{path, rests};
use crate::view::timeline::restores::{Restored, restores};

/// The most closed spans of one Environment: a schedule may open every minute.
const MOST_CLOSINGS: usize = 400;

/// The result of `play`, for people.
pub(crate) fn timeline(play: &Play<'_>, from: Timestamp) -> Timeline {
    let entries = play.log.entries();
    let to = entries.last().map_or(from, |entry| entry.at);
    let environments = play.world.environments();
    let mut told: HashMap<(&str, &str), Vec<&Entry>> = HashMap::new();
    for entry in entries {
        let key = (entry.release.as_str(), entry.environment.as_str());
        told.entry(key).or_default().push(entry);
    }
    let mut releases: Vec<Way> = Vec::new();
    for release in play.world.releases() {
        let mut way = way(&release, &environments, &told, play);
        let at_once = |leg: &Leg| leg.state == State::Superseded && leg.finished_at == Some(from);
        way.too_old = way.outcome == Outcome::Superseded && way.promotions.iter().all(at_once);
        releases.push(way);
    }
    // The Release that enters an environment first is the first in the chart.
    releases.sort_by_key(|way| way.promotions.iter().filter_map(|leg| leg.entered_at).min());
    let order: Vec<&str> = releases
        .iter()
        .flat_map(|w| &w.promotions)
        .map(|l| l.environment.as_str())
        .collect();
    let mut lanes: Vec<Lane> = environments.iter().map(|e| lane(e, from, to)).collect();
    lanes.sort_by_key(|lane| order.iter().position(|name| *name == lane.name));
    lanes.retain(|lane| order.contains(&lane.name.as_str()));
    let assumed = play.assumed.iter().map(|(namespace, kind, name)| {
        let place = if namespace.is_empty() { "" } else { "/" };
        format!("{kind} {namespace}{place}{name}")
    });
    Timeline {
        from,
        to,
        assumed: assumed.collect(),
        environments: lanes,
        releases,
    }
}

/// The windows of an Environment between two instants.
pub(crate) fn lane(environment: &Environment, from: Timestamp, to: Timestamp) -> Lane {
    let calendar = crate::domain::windows::calendar_of(environment);
    let mut closed = Vec::new();
    let mut at = from;
    while at < to && closed.len() < MOST_CLOSINGS {
        let summary = calendar.summary(at);
        let until = if summary.open {
            summary.next_close
        } else {
            summary.next_open
        };
        let until = until
            .filter(|until| *until > at)
            .map_or(to, |until| until.min(to));
        if !summary.open {
            closed.push(Span { from: at, to: until });
        }
        at = until;
    }
    Lane {
        name: environment.metadata.name.clone().unwrap_or_default(),
        stage: environment.spec.stage,
        closed,
    }
}

fn way(
    release: &Release,
    environments: &[Arc<Environment>],
    told: &HashMap<(&str, &str), Vec<&Entry>>,
    play: &Play<'_>,
) -> Way {
    let explained = explain(release);
    let called = path(release);
    let all = &explained.environments;
    let legs: Vec<Leg> = all
        .iter()
        .map(|there| {
            let name = there.environment;
            let environment = environments
                .iter()
                .find(|e| e.metadata.name.as_deref() == Some(name));
            let stage = environment.map_or(Stage::Development, |e| e.spec.stage);
            let entries = told.get(&(called.as_str(), name));
            let kept = play.pre_states.get(&(called.clone(), name.to_owned()));
            let entries = entries.map(Vec::as_slice).unwrap_or_default();
            let restores = kept.map(|kept| restores(kept, &play.assumed)).unwrap_or_default();
            let held_by = there.blocks.iter().filter_map(Block::check).filter(|held| {
                let gate = (called.clone(), name.to_owned(), held.check.name.clone());
                there.state == State::Waiting && held.for_good() && !play.unsigned.contains(&gate)
            });
            Leg {
                held_by: held_by.map(|held| held.check.name.clone()).collect(),
                ..leg(there, stage, entries, restores)
            }
        })
        .collect();
    let any = |state| all.iter().any(|there| there.state == state);
    let over = !all.is_empty() && all.iter().all(|there| there.state.is_done());
    let goes_on = |there: &InEnvironment<'_>| {
        !rests(there)
            || play
                .later
                .contains(&(called.clone(), there.environment.to_owned()))
    };
    let outcome = if over && any(State::Withdrawn) {
        Outcome::Withdrawn
    } else if over && any(State::Superseded) {
        Outcome::Superseded
    } else if over {
        Outcome::Reached
    } else if all.iter().any(goes_on) {
        Outcome::UnderWay
    } else {
        Outcome::Blocked
    };
    let finished = legs.iter().filter_map(|leg| leg.finished_at).max();
    Way {
        namespace: explained.namespace.to_owned(),
        name: explained.name.to_owned(),
        product: explained.product.to_owned(),
        version: explained.version.to_owned(),
        requested_by: explained.requested_by.to_owned(),
        outcome,
        finished_at: finished.filter(|_| outcome == Outcome::Reached),
        blocked_by: blocked_by(&explained, &legs, over),
        held: explained.hold.is_some(),
        too_old: false,
        promotions: legs,
    }
}

/// What holds a Release, a sentence each: why it is not accepted, or else what holds it in each environment that it has reached,
/// and its hold.
fn blocked_by(explained: &Explanation<'_>, legs: &[Leg], over: bool) -> Vec<String> {
    if let Some(refused) = explained.refused {
        return vec![refused.to_owned()];
    }
    if over {
        return vec![];
    }
    let held = legs
        .iter()
        .filter(|leg| leg.state != State::Pending && !leg.state.is_done());
    let hold = explained
        .hold
        .map(|hold| match hold.reason.as_deref().unwrap_or_default().trim() {
            "" => "held".to_owned(),
            reason => format!("held: {reason}"),
        });
    held.flat_map(why).chain(hold).collect()
}

/// What holds a promotion, beginning with its environment.
fn why(leg: &Leg) -> Vec<String> {
    let Some(last) = leg.steps.last() else {
        return vec![];
    };
    let begin = format!("{} is {}", leg.environment, leg.state.as_str());
    let blocks = leg.blocks_for_good(last);
    let mut said: Vec<String> = blocks.map(|block| format!("{begin}: {block}")).collect();
    if said.is_empty() {
        said.extend(last.message.iter().map(|message| format!("{begin}: {message}")));
    }
    if said.is_empty() {
        said.push(begin);
    }
    said
}

fn leg(there: &InEnvironment<'_>, stage: Stage, entries: &[&Entry], restores: Vec<Restored>) -> Leg {
    let steps = steps(entries);
    // Once it waits for approvals only, time does not delay it any more.
    let asked = entries
        .iter()
        .find(|e| e.state == State::Waiting && e.waits_for == Some(WaitsFor::Approval));
    let earliest = [asked.map(|e| e.at), there.earliest].into_iter().flatten().max();
    let waits = there.state == State::Waiting;
    Leg {
        environment: there.environment.to_owned(),
        stage,
        state: there.state,
        entered_at: there.entered_at,
        finished_at: there.finished_at,
        earliest: earliest.filter(|_| waits && there.entered_at.is_none()),
        restores,
        steps,
        held_by: vec![],
    }
}

/// The entries as steps, each until the next one. Entries that took no time are skipped, and entries in the same state for the
/// same reason are one step.
pub(crate) fn steps(entries: &[&Entry]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let next = entries.get(index + 1).map(|next| next.at);
        if next == Some(entry.at) {
            continue;
        }
        let step = Step {
            from: entry.at,
            to: next,
            attempt: entry.attempt,
            state: entry.state,
            blocks: entry.blocks.clone(),
            waits_for: entry.waits_for,
            message: entry.message.clone(),
        };
        match steps.last_mut() {
            Some(last) if goes_on(last, &step) => last.to = step.to,
            _ => steps.push(step),
        }
    }
    steps
}

/// Whether both are one step. A state that changes targets is one step, whichever component becomes ready when. In other states each
/// reason is a step of its own.
fn goes_on(last: &Step, next: &Step) -> bool {
    let subjects = |step: &Step| -> Vec<String> {
        let subject = |block: &Block| block.subject().to_owned();
        step.blocks.iter().map(subject).collect()
    };
    last.state == next.state
        && last.attempt == next.attempt
        && (next.state.changes_targets() || subjects(last) == subjects(next))
}
