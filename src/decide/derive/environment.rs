//! An Environment's status, all of it derived from Releases, claims and live workloads.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::{EnvironmentStatus, InventoryItem, Occupant, WindowStatus};
use crate::api::release::{Promotion, State, Target, sentence};
use crate::api::{Condition, OCCUPIED_FINALIZER, Release, reasons, time};
use crate::decide::derive::conditions::condition;
use crate::decide::facts::{Claim, Setting};
use crate::decide::shared_targets;
use crate::domain::time::whole_second_after;
use crate::domain::version::Version;

const MOST_OCCUPANTS: usize = 50;
const MOST_INVENTORY: usize = 200;
const MOST_SHARED: usize = 20;

/// What an Environment is derived from.
pub struct Seen<'a> {
    /// The Environment itself, with its windows.
    pub setting: &'a Setting,
    /// Every Environment, by name.
    pub environments: &'a BTreeMap<String, Setting>,
    /// Releases that have a promotion for this Environment in their status.
    pub releases: &'a [Arc<Release>],
    /// Claims whose holder entered, or wants to enter, this Environment.
    pub claims: &'a [Claim],
    /// Sentences about gates and verification whose expressions are invalid.
    pub expression_problems: &'a [String],
    /// Whether a component of a Release runs another image in an environment than the one that was released.
    pub drifted: &'a dyn Fn(&Release, &str, &str) -> bool,
}

/// What to do about an Environment.
#[derive(Debug, PartialEq)]
pub enum EnvironmentStep {
    /// Add the finalizer, so that the Environment is not deleted while promotions are in progress in it.
    AddFinalizer,
    /// Remove the finalizer: the Environment is being deleted and no promotion is in progress in it.
    RemoveFinalizer,
    /// Write this status, which differs from the present one.
    Write(Box<EnvironmentStatus>),
    /// Nothing to do before this instant, the next edge of its windows; absent: until something changes.
    Wait(Option<Timestamp>),
}

/// The one decision of a reconcile.
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

/// Whether a promotion is in progress. An abandoned one is not: its claim outlives the Environment and still blocks other Releases.
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
    let drifted_total =
        count(inventory.iter().filter(|item| item.drifted).count()) + under_way_drifted(seen, name);
    occupants.truncate(MOST_OCCUPANTS);
    inventory.truncate(MOST_INVENTORY);

    let shared = shared_targets::judge(environment, seen.environments);
    let conditions = conditions(seen, was, &shared, occupants_total, now);
    let mut shared_targets = shared.with;
    let shared_targets_total = count(shared_targets.len());
    shared_targets.truncate(MOST_SHARED);
    EnvironmentStatus {
        observed_generation: generation,
        window: Some(WindowStatus {
            open: summary.open,
            because: summary.because.chars().take(63).collect(),
            next_open: summary.next_open.map(|t| time(whole_second_after(t))),
            next_close: summary.next_close.map(|t| time(whole_second_after(t))),
            time_zone_database: seen.setting.calendar.time_zone_database().map(str::to_owned),
        }),
        occupants,
        occupants_total,
        inventory,
        inventory_total,
        drifted_total,
        shared_targets,
        shared_targets_total,
        conditions,
    }
}

/// Ready, Stalled and Available, and SharedTargets where there is something to say.
fn conditions(
    seen: &Seen<'_>,
    was: &EnvironmentStatus,
    shared: &shared_targets::Shared,
    occupants_total: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let environment = &seen.setting.environment;
    let generation = environment.metadata.generation;
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
        let notes = seen.setting.calendar.notes().iter();
        notes.fold(
            "All windows and expressions can be evaluated.".to_owned(),
            |said, note| format!("{said} {}", sentence(&note.sentence)),
        )
    } else {
        let problems: Vec<String> = problems.iter().map(|problem| sentence(problem)).collect();
        problems.join(" ")
    };
    let going = environment.metadata.deletion_timestamp.is_some();
    let (available_reason, available_message) = if going {
        (
            reasons::ENVIRONMENT_DELETED,
            format!("The Environment is being deleted. Promotions still in progress: {occupants_total}."),
        )
    } else {
        (
            reasons::AVAILABLE,
            "The Environment accepts promotions.".to_owned(),
        )
    };
    let write = |kind: &str, holds: bool, reason: &str, message: String| {
        condition(&was.conditions, kind, holds, reason, message, generation, now)
    };
    let valid = problems.is_empty();
    let mut conditions = vec![
        write("Ready", valid, reason, message.clone()),
        write("Stalled", !valid, reason, message),
        write("Available", !going, available_reason, available_message),
    ];
    // Only where namespaces are shared: most Environments share none.
    let shared = shared.condition();
    conditions.extend(shared.map(|(reason, message)| write("SharedTargets", true, reason, message)));
    conditions
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
            // Between the last write and the release of the claim, nothing is occupied any more.
            Some(p) if p.state.ended_whole() => continue,
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

fn under_way<'a>(
    seen: &Seen<'a>,
    environment: &str,
) -> impl Iterator<Item = (&'a Arc<Release>, &'a Promotion)> {
    let promotions = seen.releases.iter();
    let promotions = promotions.filter_map(move |r| Some((r, r.promotion(environment)?)));
    promotions.filter(|(_, p)| p.state.under_way())
}

/// Components of promotions in progress that other writers have changed.
fn under_way_drifted(seen: &Seen<'_>, environment: &str) -> i64 {
    let components = under_way(seen, environment).flat_map(|(_, p)| &p.components);
    count(components.filter(|c| c.drifted()).count())
}

/// What is deployed: for each component of each product, the Release that Succeeded last.
fn inventory(seen: &Seen<'_>, environment: &str) -> Vec<InventoryItem> {
    let mut stands: Vec<(&Arc<Release>, &Promotion)> = seen
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
        // If two finish in the same second, the newer version counts. The order is the same in every process.
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
    // A change that Signalbox itself makes is not drift: while a release in progress targets an object, that release reports what
    // other writers have changed.
    let changing: Vec<(&Arc<Release>, &Promotion)> = under_way(seen, environment).collect();
    let is_changing = |namespace: &str, target: &Target| {
        changing.iter().any(|(release, promotion)| {
            let there = promotion.entered.as_ref().map(|e| e.target_namespace.as_str());
            let mut targets = release.spec.components.iter().map(|c| &c.target);
            there == Some(namespace) && targets.any(|t| (&t.kind, &t.name) == (&target.kind, &target.name))
        })
    };
    let mut items = Vec::new();
    for (release, promotion) in stands {
        for component in &promotion.components {
            let stated = release.spec.components.iter().find(|c| c.name == component.name);
            let changing = match (&promotion.entered, stated) {
                (Some(entered), Some(stated)) => is_changing(&entered.target_namespace, &stated.target),
                _ => false,
            };
            items.push(InventoryItem {
                namespace: release.metadata.namespace.clone().unwrap_or_default(),
                component: component.name.clone(),
                image: component.to.clone(),
                release: release.metadata.name.clone().unwrap_or_default(),
                since: promotion.finished_at.clone(),
                drifted: !changing && (seen.drifted)(release, environment, &component.name),
            });
        }
    }
    items
}
