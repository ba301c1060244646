//! An Environment's status: derived whole from Releases, claims and live workloads.

use std::sync::Arc;

use jiff::Timestamp;

use super::conditions::condition;
use super::facts::{Claim, Setting};
use super::version::Version;
use crate::api::environment::{EnvironmentStatus, InventoryItem, Occupant, WindowStatus};
use crate::api::release::State;
use crate::api::{OCCUPIED_FINALIZER, Release, reasons, time};

const MOST_OCCUPANTS: usize = 50;
const MOST_INVENTORY: usize = 200;

/// What an Environment is derived from.
pub struct Seen<'a> {
    pub setting: &'a Setting,
    pub releases: &'a [Arc<Release>],
    /// Claims whose holder entered, or wants to enter, this Environment.
    pub claims: &'a [Claim],
    /// Sentences about gates and verification whose expressions cannot be right.
    pub expression_problems: &'a [String],
    /// Whether a released image still runs: `(release, component)` pairs that drifted.
    pub drifted: &'a dyn Fn(&Release, &str, &str) -> bool,
}

/// What to do about an Environment.
#[derive(Debug, PartialEq)]
pub enum EnvironmentStep {
    AddFinalizer,
    RemoveFinalizer,
    Write(Box<EnvironmentStatus>),
    Wait(Option<Timestamp>),
}

/// The one decision of a pass.
#[must_use]
pub fn decide(seen: &Seen<'_>, now: Timestamp) -> EnvironmentStep {
    let environment = &seen.setting.environment;
    let finalizers = environment.metadata.finalizers.as_deref().unwrap_or_default();
    let held = finalizers.iter().any(|f| f == OCCUPIED_FINALIZER);
    let going = environment.metadata.deletion_timestamp.is_some();
    if !held && !going {
        return EnvironmentStep::AddFinalizer;
    }
    let was = environment.status.clone().unwrap_or_default();
    let status = derive(seen, &was, now);
    if going && held && !occupied(&status) {
        return EnvironmentStep::RemoveFinalizer;
    }
    if going && !held {
        return EnvironmentStep::Wait(None);
    }
    let edge = [
        status.window.as_ref().and_then(|w| w.next_open.as_ref()),
        status.window.as_ref().and_then(|w| w.next_close.as_ref()),
    ]
    .into_iter()
    .flatten()
    .map(|t| t.0)
    .filter(|t| *t > now)
    .min();
    if status == was {
        EnvironmentStep::Wait(edge)
    } else {
        EnvironmentStep::Write(Box::new(status))
    }
}

/// Whether a promotion is under way. What was abandoned is not: its claim outlives the Environment and still keeps others out.
fn occupied(status: &EnvironmentStatus) -> bool {
    let listed = status
        .occupants
        .iter()
        .any(|o| o.state != reasons::UNSETTLED && o.state != reasons::FAILED);
    listed || status.occupants_total > count(status.occupants.len())
}

fn derive(seen: &Seen<'_>, was: &EnvironmentStatus, now: Timestamp) -> EnvironmentStatus {
    let environment = &seen.setting.environment;
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    let generation = environment.metadata.generation;
    let summary = seen.setting.calendar.summary(now);
    let mut occupants = occupants(seen, name);
    let mut inventory = inventory(seen, name);
    let (occupants_total, inventory_total) = (count(occupants.len()), count(inventory.len()));
    occupants.truncate(MOST_OCCUPANTS);
    inventory.truncate(MOST_INVENTORY);

    let problems: Vec<String> = seen
        .setting
        .calendar
        .problems()
        .iter()
        .map(|p| p.sentence.clone())
        .chain(seen.expression_problems.iter().cloned())
        .collect();
    let reason = match (
        seen.setting.calendar.problems().is_empty(),
        seen.expression_problems.is_empty(),
    ) {
        (true, true) => reasons::READY,
        (false, _) => reasons::WINDOW_INVALID,
        (true, false) => reasons::EXPRESSION_INVALID,
    };
    let message = if problems.is_empty() {
        "everything can be evaluated".to_owned()
    } else {
        problems.join("; ")
    };
    let going = environment.metadata.deletion_timestamp.is_some();
    let (available_reason, available_message) = if going {
        (
            reasons::ENVIRONMENT_DELETED,
            format!("being deleted; {occupants_total} promotions are still under way"),
        )
    } else {
        (reasons::AVAILABLE, "releases may ask to enter".to_owned())
    };
    EnvironmentStatus {
        observed_generation: generation,
        window: Some(WindowStatus {
            open: summary.open,
            because: summary.because.chars().take(63).collect(),
            next_open: summary
                .next_open
                .map(|t| time(super::promotion::whole_second_after(t))),
            next_close: summary
                .next_close
                .map(|t| time(super::promotion::whole_second_after(t))),
        }),
        occupants,
        occupants_total,
        inventory,
        inventory_total,
        conditions: vec![
            condition(
                &was.conditions,
                "Ready",
                problems.is_empty(),
                reason,
                message,
                generation,
                now,
            ),
            condition(
                &was.conditions,
                "Available",
                !going,
                available_reason,
                available_message,
                generation,
                now,
            ),
        ],
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn occupants(seen: &Seen<'_>, environment: &str) -> Vec<Occupant> {
    let mut occupants = Vec::new();
    for claim in seen.claims {
        let Some(holder) = claim.holder.as_ref().filter(|h| h.environment == environment) else {
            continue;
        };
        let release = seen
            .releases
            .iter()
            .find(|r| r.metadata.uid.as_ref() == Some(&holder.release_uid));
        let promotion = release.and_then(|r| r.promotion(environment));
        let state = match promotion {
            _ if claim.unsettled => reasons::UNSETTLED,
            None => reasons::UNSETTLED,
            // Between the last write and the claim's end there is nothing left to occupy.
            Some(p) if matches!(p.state, State::Succeeded | State::BackedOut) => continue,
            Some(p) if p.state.before_entry() => continue,
            Some(p) => p.state.as_str(),
        };
        let (namespace, name) = claim.release.split_once('/').unwrap_or(("", &claim.release));
        occupants.push(Occupant {
            namespace: namespace.to_owned(),
            release: name.to_owned(),
            since: promotion.and_then(|p| p.started_at.clone()),
            state: state.to_owned(),
        });
    }
    occupants.sort_by(|a, b| (&a.namespace, &a.release).cmp(&(&b.namespace, &b.release)));
    occupants
}

/// What stands there: for each component of each product the Release that Succeeded last.
fn inventory(seen: &Seen<'_>, environment: &str) -> Vec<InventoryItem> {
    let mut stands: Vec<(&Arc<Release>, &crate::api::release::Promotion)> = seen
        .releases
        .iter()
        .filter_map(|r| {
            r.promotion(environment)
                .filter(|p| p.state == State::Succeeded)
                .map(|p| (r, p))
        })
        .collect();
    stands.sort_by(|(a, pa), (b, pb)| {
        let key = |r: &Release| {
            (
                r.metadata.namespace.clone(),
                r.spec.product.clone(),
                r.spec.line.clone(),
            )
        };
        // Two that finish in the same second: the newer version stands, and what is equal keeps its place in every process.
        let version = |r: &Release| r.spec.version.parse::<Version>().ok();
        key(a)
            .cmp(&key(b))
            .then_with(|| pb.finished_at.cmp(&pa.finished_at))
            .then_with(|| version(b).cmp(&version(a)))
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    stands.dedup_by(|(later, _), (kept, _)| {
        later.metadata.namespace == kept.metadata.namespace
            && later.spec.product == kept.spec.product
            && later.spec.line == kept.spec.line
    });
    stands
        .into_iter()
        .flat_map(|(release, promotion)| {
            promotion.components.iter().map(move |component| InventoryItem {
                namespace: release.metadata.namespace.clone().unwrap_or_default(),
                component: component.name.clone(),
                image: component.to.clone(),
                release: release.metadata.name.clone().unwrap_or_default(),
                since: promotion.finished_at.clone(),
                drifted: (seen.drifted)(release, environment, &component.name),
            })
        })
        .collect()
}
