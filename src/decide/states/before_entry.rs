//! Pending, Waiting and Queued: checks, the claim, the pre-state, and the entry. Only a promotion that has entered may change a
//! target.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::environment::{Permission, Require};
use crate::api::release::{
    self, Backout, BackoutState, ComponentState, ComponentStatus, Entered, Hold, Promotion, State, sentence,
};
use crate::api::{self, Action, Decision, Environment, reasons, time};
use crate::decide::accepted::Accepted;
use crate::decide::ask::{Ask, Moment};
use crate::decide::derive::forecast;
use crate::decide::facts::{
    self, Ahead, Claim, Inspected, Inspection, NamespaceState, Observed, Place, Setting,
};
use crate::decide::holdings::{self, give_back};
use crate::decide::moves::{moved, to};
use crate::decide::prestate::{self, Captured, PreState};
use crate::decide::rules::subject::Subject;
use crate::decide::rules::{self, Verdicts, targets_allowed};
use crate::decide::step::{Effect, Move, announce};
use crate::decide::{decisions, jobs, licence, newer, obeying, plan};
use crate::domain::paths::{self, FieldChange};
use crate::domain::readiness::Was;
use crate::domain::text::cut;
use crate::domain::time::earliest;

pub(crate) fn step(o: &Observed, p: &Promotion, accepted: &Accepted, now: Timestamp) -> Move {
    if let Some(withdrawn) = &o.release.spec.withdrawn {
        let reason = sentence(withdrawn.reason.as_deref().unwrap_or("no reason given"));
        if holdings::inherits(p) {
            // The previous attempt failed, and its changes are still on the targets.
            let mut next = moved(p, State::Failed, now);
            let says = format!(
                "Withdrawn before attempt {} entered; the target namespace is Unsettled. Reason: {reason}",
                p.attempt
            );
            let announcements = announce(&p.name, reasons::FAILED, &says);
            next.message = Some(cut(says));
            next.finished_at = Some(time(now));
            return to(next, announcements);
        }
        let mut next = moved(p, State::Withdrawn, now);
        let says = format!("Withdrawn before it entered. Reason: {reason}");
        let announcements = announce(&p.name, reasons::WITHDRAWN, &says);
        next.message = Some(cut(says));
        next.finished_at = Some(time(now));
        return to(next, announcements);
    }
    if let Some(newer) = newer::newer_stands(o, &p.name).filter(|_| p.attempt == 1) {
        let mut next = moved(p, State::Superseded, now);
        next.checks = rules::superseded(o, p, now);
        next.message = Some(cut(format!(
            "Version {} Succeeded here before this release entered{}{}.",
            newer.version(),
            newer.known_by(o),
            newer.misread(&o.release.spec.version)
        )));
        next.finished_at = Some(time(now));
        return to(
            next,
            announce(
                &p.name,
                reasons::SUPERSEDED,
                &format!("Superseded by version {}.", newer.version()),
            ),
        );
    }
    match ready_for_checks(o, p, accepted) {
        Err(why) => pending(o, p, why.to_string(), now),
        Ok(setting) => match licence::place(o, p) {
            None => Move::Rest(None),
            Some(place) => waiting(o, p, setting, place, now),
        },
    }
}

/// `None` while nothing needs to be read: the Release is not accepted, or an environment before this one is not finished.
pub(crate) fn looks_at(o: &Observed, p: &Promotion, accepted: bool) -> Option<String> {
    let environment = o.environment(&p.name).filter(|_| accepted)?;
    upstream_done(o, environment).ok()?;
    Some(environment.spec.target_namespace(o.namespace()))
}

/// How close it is to its entry, according to the watches.
#[must_use]
pub fn moment(o: &Observed, p: &Promotion, place: &Place) -> Moment {
    let holds = licence::own_claim(o, p, place).is_some();
    match (holds, place.has_pre_state) {
        (false, _) => Moment::Waiting,
        (true, false) => Moment::Capturing,
        (true, true) => Moment::Entering,
    }
}

/// First what blocks the claim. Then, just before the entry, everything for which a stale read could give a wrong answer. Then the
/// targets and the gates, and last the Release.
pub(crate) fn asks(o: &Observed, p: &Promotion, place: &Place, moment: Moment) -> Vec<Ask> {
    let entering = moment == Moment::Entering;
    let mut asks = vec![Ask::Holder];
    if entering {
        asks.extend([Ask::Claim, Ask::Environment]);
    }
    let Some(environment) = o.environment(&p.name) else {
        return asks;
    };
    if entering {
        asks.push(Ask::Newer);
        let approvals = environment.spec.gates.iter().any(|gate| gate.approval.is_some());
        asks.extend(approvals.then_some(Ask::Decisions));
        asks.push(Ask::LivePreState {
            name: plan::pre_state_name(o.uid(), &p.name, p.attempt),
        });
    }
    asks.extend(decisions::predecessor(o, p).map(|name| Ask::Predecessor { name }));
    if place.namespace == NamespaceState::Present && targets_allowed::may_ask(environment, o).is_ok() {
        asks.push(Ask::Inspection(moment));
    }
    asks.extend(environment.spec.gates.iter().filter_map(rules::asks));
    asks.push(Ask::RunningJobs);
    asks.extend(entering.then_some(Ask::Release));
    asks
}

/// What has to happen before the checks are evaluated. Each is a complete message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// What `Accepted` says.
    #[error("{0}")]
    NotAccepted(String),
    /// There is no Environment of this name.
    #[error("Environment {0} does not exist. Create it, or correct spec.environments.")]
    NoEnvironment(String),
    /// This Release has not Succeeded in the environments that `promotesFrom` requires, or no longer runs there as released.
    #[error("Waits until this release {} in {}{}", owed(altered), missing.join(if *any { " or " } else { " and " }), put_back(altered))]
    Upstream {
        /// The environments in which it must have Succeeded.
        missing: Vec<String>,
        /// One of them is enough.
        any: bool,
        /// What other writers have changed in them, as clauses.
        altered: Vec<String>,
    },
}

fn owed(altered: &[String]) -> &'static str {
    if altered.is_empty() {
        "has succeeded"
    } else {
        "runs as released again"
    }
}

fn put_back(altered: &[String]) -> String {
    if altered.is_empty() {
        return ".".to_owned();
    }
    let altered = sentence(&altered.join("; "));
    format!(": {altered} Restore it there, or release a new version.")
}

/// The Environment, once the Release spec is valid and upstream is finished.
fn ready_for_checks<'a>(o: &'a Observed, p: &Promotion, accepted: &Accepted) -> Result<&'a Setting, NotYet> {
    if !accepted.holds() {
        return Err(NotYet::NotAccepted(accepted.message()));
    }
    let Some(setting) = o.environments.get(&p.name) else {
        return Err(NotYet::NoEnvironment(p.name.clone()));
    };
    upstream_done(o, &setting.environment)?;
    Ok(setting)
}

/// Whether this Release has Succeeded in the environments that `promotesFrom` requires.
///
/// # Errors
/// [`NotYet::Upstream`].
pub fn upstream_done(o: &Observed, environment: &Environment) -> Result<(), NotYet> {
    let Some(from) = &environment.spec.promotes_from else {
        return Ok(());
    };
    // A soak gate over that environment holds by itself, and records that the soak was interrupted.
    let soaks = |name: &String| {
        let mut gates = environment.spec.gates.iter();
        gates.any(|gate| gate.soak.as_ref().is_some_and(|soak| soak.environment == *name))
    };
    let done = |name: &&String| {
        let stands = !o.altered.contains_key(*name) || soaks(name);
        o.release
            .promotion(name)
            .is_some_and(|p| p.state == State::Succeeded && stands)
    };
    let environments = from.environments.iter();
    let missing: Vec<String> = environments.filter(|n| !done(n)).cloned().collect();
    let any = from.require == Require::Any;
    let holds = match from.require {
        Require::All => missing.is_empty(),
        Require::Any => missing.len() < from.environments.len(),
    };
    if holds {
        return Ok(());
    }
    let altered = from.environments.iter().filter_map(|n| o.altered.get(n));
    let altered = altered.map(|a| a.says.clone()).collect();
    Err(NotYet::Upstream {
        missing,
        any,
        altered,
    })
}

fn pending(o: &Observed, p: &Promotion, why: String, now: Timestamp) -> Move {
    let why = cut(why);
    if p.state == State::Pending && p.message.as_ref() == Some(&why) {
        return give_back(o, p);
    }
    let mut next = p.clone();
    if p.state != State::Pending || p.since.is_none() {
        next.since = Some(time(now));
    }
    next.state = State::Pending;
    // The result of a Job for this plan is retained. Otherwise the Job would run again at this promotion's turn.
    next.checks.retain(jobs::is_said);
    next.forecast = None;
    next.message = Some(why);
    next.not_counted = None;
    to(next, vec![])
}

/// What blocks the claim.
enum Way {
    /// The target namespace is not claimed.
    Free,
    /// This attempt holds it.
    Mine,
    /// It may be taken over: it belongs to an earlier attempt, or an entitled user has accepted that with this Decision.
    TakeOver(Box<Claim>, Option<Arc<Decision>>),
    /// Another release occupies the namespace, or is first in the queue. A sentence.
    Occupied(String),
    /// A Decision is required before another release may enter. A sentence.
    Unsettled(String),
}

/// How long a newer Release that was not reconciled yet holds the older ones: it may turn out to be invalid.
const UNSEEN: SignedDuration = SignedDuration::from_secs(30);

/// The newer Release of this line that goes first.
fn ahead(place: &Place, now: Timestamp) -> Option<&Ahead> {
    let waits = |ahead: &&Ahead| ahead.unseen_since.is_none_or(|since| now < since + UNSEEN);
    place.ahead.as_ref().filter(waits)
}

fn way(o: &Observed, p: &Promotion, place: &Place, now: Timestamp) -> Way {
    let mine = o.holder(&p.name, p.attempt);
    if let Some(claim) = &place.claim {
        if claim.holder.as_ref() == Some(&mine) {
            return Way::Mine;
        }
        let earlier_attempt = claim
            .holder
            .as_ref()
            .is_some_and(|h| h.release_uid == mine.release_uid && h.environment == mine.environment);
        if earlier_attempt {
            return Way::TakeOver(Box::new(claim.clone()), None);
        }
        if !(claim.unsettled || claim.holder_absent) {
            return Way::Occupied(format!(
                "Release {} occupies namespace {}.",
                claim.release, claim.namespace
            ));
        }
        let (accepted, _) = decisions::pending(o, p, &[Action::Accept]);
        if let Some(accepted) = accepted {
            return Way::TakeOver(Box::new(claim.clone()), Some(accepted));
        }
        return Way::Unsettled(format!(
            "Namespace {} is unsettled: release {} failed there and was not backed out. Retry or back out {}, or create a Decision \
             (action Accept, environment {}, attempt {}) for this release. That Decision also admits it to targets that are not healthy.",
            claim.namespace, claim.release, claim.release, p.name, p.attempt
        ));
    }
    if let Some(other) = &place.unclaimed {
        return Way::Occupied(format!(
            "Release {other} is in progress in this namespace, but its lock (a Lease) was deleted. Resolve {other} first with a Decision."
        ));
    }
    if let Some(ahead) = ahead(place, now) {
        return Way::Occupied(format!(
            "Release {} ({}) is newer and enters first.",
            ahead.release, ahead.version
        ));
    }
    match place.rivals.first() {
        Some(first) if *first < place_in_queue(o, &p.name) => {
            Way::Occupied(format!("Release {} is first in the queue.", first.release))
        }
        _ => Way::Free,
    }
}

/// This promotion's place in the queue: since when it could have entered by its own plan, its age, its uid.
#[must_use]
pub fn place_in_queue(o: &Observed, environment: &str) -> facts::Rival {
    facts::Rival::of(&o.release, environment)
}

impl facts::Rival {
    /// The place in the queue of `release` for `environment`.
    #[must_use]
    pub fn of(release: &api::Release, environment: &str) -> Self {
        let created = release
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::MAX, |t| t.0);
        Self {
            from: release.planned_start(environment).unwrap_or(created),
            created,
            uid: release.metadata.uid.clone().unwrap_or_default(),
            release: format!(
                "{}/{}",
                release.metadata.namespace.as_deref().unwrap_or_default(),
                release.metadata.name.as_deref().unwrap_or_default()
            ),
        }
    }
}

fn waiting(o: &Observed, p: &Promotion, setting: &Setting, place: &Place, now: Timestamp) -> Move {
    if let Some(retry) = retry_after_failed_job(o, p, now) {
        return retry;
    }
    let subject = Subject {
        observed: o,
        setting,
        promotion: p,
        place,
        now,
        gate: None,
        prior: None,
        probing: false,
    };
    let verdicts = rules::evaluate(&subject);
    let held = o.release.held_from(&p.name);
    let go = verdicts.hold() && held.is_none();
    let way = way(o, p, place, now);

    let mut next = p.clone();
    next.checks = verdicts.checks.clone();
    for run in verdicts.runs.iter().cloned() {
        jobs::record(&mut next, place, run);
    }
    next.forecast = forecast::of(&subject);
    next.state = if go && (matches!(way, Way::Occupied(_)) || p.state == State::Queued) {
        State::Queued
    } else {
        State::Waiting
    };
    // An Accept admits a release to an Unsettled target namespace, and counts until the entry.
    let (_, ignored) = decisions::pending(o, p, &[Action::Accept]);
    next.message = blocker(p, held, &way, go).map(cut);
    next.not_counted = decisions::named(&ignored);
    let mut obeyed = verdicts.obeyed.clone();
    if let (true, Way::TakeOver(_, Some(accept))) = (go, &way) {
        obeyed.push(Arc::clone(accept));
    }
    let announcements = decisions::obeyed_before_entry(&mut next, &obeyed);
    if next.state != p.state {
        next.since = Some(time(now));
    }
    if next != *o.release.promotion(&p.name).unwrap_or(&Promotion::default()) {
        return to(next, announcements);
    }

    if go {
        to_enter(&subject, &verdicts, way)
    } else {
        held_back(o, p, place, verdicts)
    }
}

/// What blocks it besides the checks.
fn blocker(p: &Promotion, held: Option<&Hold>, way: &Way, go: bool) -> Option<String> {
    match (held, way) {
        (Some(hold), _) => {
            let reason = hold.reason.as_deref().unwrap_or("no reason given");
            Some(format!(
                "Held by spec.hold. Remove it to continue. Reason: {}",
                sentence(reason)
            ))
        }
        (None, Way::Unsettled(sentence)) => Some(sentence.clone()),
        // The release ahead changes often in a long queue. Only the first one is written.
        _ if p.state == State::Queued && go => p.message.clone(),
        (None, Way::Occupied(sentence)) if go => Some(sentence.clone()),
        _ => None,
    }
}

/// Something holds it. A Retry retains what the previous attempt left; any other promotion releases its claim, and blocks no one.
fn held_back(o: &Observed, p: &Promotion, place: &Place, verdicts: Verdicts) -> Move {
    if !holdings::inherits(p) && !holdings::release_claims(o, p).is_empty() {
        return give_back(o, p);
    }
    if verdicts.actions.is_empty() {
        Move::Rest(earliest(verdicts.until(), again(place)))
    } else {
        Move::Do(verdicts.actions)
    }
}

/// Nothing holds it: it enters as soon as it has the claim.
fn to_enter(s: &Subject<'_>, verdicts: &Verdicts, way: Way) -> Move {
    let (o, p, place, now) = (s.observed, s.promotion, s.place, s.now);
    let holder = o.holder(&p.name, p.attempt);
    let environment = p.name.clone();
    match way {
        Way::Occupied(_) | Way::Unsettled(_) => {
            let unseen = ahead(place, now)
                .and_then(|a| a.unseen_since)
                .map(|since| since + UNSEEN);
            Move::Rest(earliest(verdicts.until(), unseen))
        }
        Way::Free => Move::Do(vec![Effect::Claim {
            environment,
            namespace: s.target_namespace(),
            holder,
        }]),
        Way::TakeOver(claim, _) => Move::Do(vec![Effect::TakeOver {
            environment,
            claim: *claim,
            holder,
        }]),
        Way::Mine => enter(o, p, s.setting, place, now),
    }
}

/// When unwatched facts that block are read again.
fn again(place: &Place) -> Option<Timestamp> {
    let jobs = place.jobs.values().filter_map(|j| match j {
        facts::JobState::Trouble(t) => Some(t.again_at),
        _ => None,
    });
    jobs.chain(place.inspection.as_ref().and_then(|i| i.again_at))
        .min()
}

/// A Retry also acts on Waiting, when a job gate failed.
fn retry_after_failed_job(o: &Observed, p: &Promotion, now: Timestamp) -> Option<Move> {
    let failed =
        |c: &release::Check| matches!(c.reason.as_str(), reasons::JOB_FAILED | reasons::JOB_TIMED_OUT);
    // The next attempt is another plan, which has not been rejected.
    let rejected = |c: &release::Check| c.reason == reasons::REJECTED;
    if !p.checks.iter().any(failed) || p.checks.iter().any(rejected) {
        return None;
    }
    let (retry, _) = decisions::pending(o, p, &[Action::Retry]);
    retry.map(|retry| obeying::retry(p, &retry, now))
}

/// All checks are satisfied and the claim is ours: capture the pre-state, then enter.
fn enter(o: &Observed, p: &Promotion, setting: &Setting, place: &Place, now: Timestamp) -> Move {
    let Some(inspection) = place.inspection.as_ref().filter(|_| place.live) else {
        // Read live first: the reconcile after the claim does.
        return Move::Rest(Some(now));
    };
    let captured = capture(o, p, setting, place, inspection);
    let name = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    match &place.pre_state {
        None => Move::Do(vec![Effect::Capture {
            environment: p.name.clone(),
            name,
            pre_state: Box::new(captured),
        }]),
        // Another plan, or another namespace than the one that the plan was hashed with, would be a promotion without approval.
        Some(kept)
            if o.plan_hash(&p.name, Some(&captured.namespace), p.attempt) == p.plan_hash
                && (&kept.content.namespace, &kept.content.plan_hash)
                    == (&captured.namespace, &captured.plan_hash)
                && kept.content.components.len() == captured.components.len()
                && kept
                    .content
                    .components
                    .iter()
                    .zip(&captured.components)
                    .all(|(k, c)| k.same_content(c)) =>
        {
            entry(o, p, setting, inspection, name, now)
        }
        Some(kept) => Move::Do(vec![Effect::DeletePreState {
            name: kept.name.clone(),
            uid: kept.uid.clone(),
        }]),
    }
}

/// The current state of the targets; for a Retry, their state before the attempt that failed.
fn capture(
    o: &Observed,
    p: &Promotion,
    setting: &Setting,
    place: &Place,
    inspection: &Inspection,
) -> PreState {
    let components = o.release.spec.components.iter().zip(&inspection.components);
    PreState {
        version: 1,
        release: o.release_path(),
        release_uid: o.uid().to_owned(),
        environment: p.name.clone(),
        attempt: p.attempt,
        namespace: setting.environment.spec.target_namespace(o.namespace()),
        plan_hash: p.plan_hash.clone(),
        components: components
            .map(|(component, inspected)| {
                let fresh = Captured {
                    name: component.name.clone(),
                    target: component.target.clone(),
                    uid: inspected.uid.clone(),
                    resource_version: inspected.resource_version.clone(),
                    restarted_for: inspected.restarted_for.clone(),
                    ours: inspected.ours.clone(),
                    was: inspected.was.clone(),
                    changes: inspected.changes.clone(),
                };
                match place
                    .predecessor
                    .as_ref()
                    .and_then(|pre| pre.component(&component.name))
                {
                    Some(before) => inherit(fresh, before, inspected),
                    None => fresh,
                }
            })
            .collect(),
    }
}

/// The pre-state of a Retry: the previous attempt's captured values for the paths that it has, live values for the others.
fn inherit(fresh: Captured, before: &Captured, inspected: &Inspected) -> Captured {
    let empty = Value::Null;
    let result = inspected.result.as_deref().unwrap_or(&empty);
    let changes = paths::inherited(&before.changes, &fresh.changes, result);
    // What the failed attempt created did not exist before it: restoring still deletes it.
    let uid = if before.created() { None } else { fresh.uid.clone() };
    // A backout leads back to the health before the first attempt.
    let was = Was {
        replicas: fresh.was.replicas,
        ..before.was.clone()
    };
    Captured {
        uid,
        // The current entry belongs to the failed attempt.
        ours: before.ours.clone(),
        was,
        changes,
        ..fresh
    }
}

fn entry(
    o: &Observed,
    p: &Promotion,
    setting: &Setting,
    inspection: &Inspection,
    pre_state_name: String,
    now: Timestamp,
) -> Move {
    let environment = &setting.environment;
    let namespace = environment.spec.target_namespace(o.namespace());
    let mut next = moved(p, State::Deploying, now);
    jobs::forget_others(&mut next);
    next.entered = Some(Entered {
        generation: environment.metadata.generation.unwrap_or_default(),
        stage: environment.spec.stage,
        target_namespace: namespace.clone(),
        verification: environment.spec.verification.clone(),
        observation: environment.spec.observation.clone(),
        max_occupancy: environment.spec.max_occupancy.clone(),
        delete_stuck_pods: environment
            .spec
            .backout
            .is_some_and(|rules| rules.delete_stuck_pods == Permission::Allow),
        planned_end: o.release.planned(&p.name).and_then(|s| s.end.clone()),
    });
    next.components = components(o, inspection);
    next.verification.clear();
    next.backout = Some(Box::new(Backout {
        state: BackoutState::Armed,
        pre_state: pre_state_name,
        trigger: None,
        by: None,
        reason: None,
        started_at: None,
        finished_at: None,
    }));
    next.started_at = Some(time(now));
    (next.deployed_at, next.verified_at, next.finished_at) = (None, None, None);
    let says = format!(
        "Entered namespace {namespace}, attempt {}. Backout is armed.",
        p.attempt
    );
    to(next, announce(&p.name, reasons::ENTERED, &says))
}

fn components(o: &Observed, inspection: &Inspection) -> Vec<ComponentStatus> {
    let pairs = o.release.spec.components.iter().zip(&inspection.components);
    pairs
        .map(|(component, inspected)| {
            let stated: Vec<String> = component.images.iter().map(|i| i.container.clone()).collect();
            ComponentStatus {
                name: component.name.clone(),
                state: ComponentState::Pending,
                from: rules::images_text(&inspected.images_before, &stated),
                to: rules::images_text(&inspected.images_after, &stated),
                ready_at: None,
                ready_pods: None,
                since: None,
                drift: None,
                message: None,
            }
        })
        .collect()
}

/// Bytes that the pre-state of `components` takes.
#[must_use]
pub fn size(components: &[Inspected]) -> usize {
    prestate::stored_bytes(components.iter().map(|c| c.changes.as_slice()))
}

/// The changes of a target that does not exist yet: every field that the release states, as the dry run shows it. Fields that the API
/// server or a webhook adds are not ours, and may differ between requests.
#[must_use]
pub fn creation_changes(change: &licence::How, result: &Value) -> Vec<FieldChange> {
    fn leaves(stated: &Value, path: &str, result: &Value, changes: &mut Vec<FieldChange>) {
        match stated.as_object().filter(|map| !map.is_empty()) {
            Some(map) => {
                for (key, inner) in map {
                    leaves(inner, &paths::below(path, key), result, changes);
                }
            }
            None => changes.push(FieldChange {
                path: path.to_owned(),
                before: None,
                after: paths::get(result, path).cloned(),
                after_digest: None,
            }),
        }
    }
    let licence::How::Create { object } = change else {
        return vec![];
    };
    let Some(result) = paths::stated_anew(object, result) else {
        return vec![];
    };
    let mut changes = Vec::new();
    leaves(object, "", &result, &mut changes);
    // These fields identify it; the API server adds the namespace.
    changes.retain(|c| {
        !matches!(
            c.path.as_str(),
            "/apiVersion" | "/kind" | "/metadata/name" | "/metadata/namespace"
        )
    });
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}
