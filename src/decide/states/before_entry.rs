//! Pending, Waiting and Queued: checks, the claim, the pre-state, and the entry that is the only licence to touch a
//! target.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::environment::{Permission, Require};
use crate::api::release::{
    self, Backout, BackoutState, ComponentState, ComponentStatus, Entered, Hold, Promotion, State,
};
use crate::api::{self, Action as Act, Decision, Environment, reasons, time};
use crate::decide::accepted::Accepted;
use crate::decide::ask::{Ask, Moment};
use crate::decide::derive::forecast;
use crate::decide::facts::{
    self, Ahead, Claim, Inspected, Inspection, NamespaceState, Observed, Place, Setting,
};
use crate::decide::holdings::{self, give_back};
use crate::decide::moves::{await_decision, moved, to};
use crate::decide::prestate::{self, Captured, PreState};
use crate::decide::rules::subject::Subject;
use crate::decide::rules::{self, Verdicts, targets_allowed};
use crate::decide::step::{Action, Move, announce};
use crate::decide::{decisions, jobs, licence, newer, obeying, plan};
use crate::domain::paths::{self, Change};
use crate::domain::readiness::Was;
use crate::domain::text::{clause, cut};
use crate::domain::time::earliest;

pub(crate) fn step(o: &Observed, p: &Promotion, accepted: &Accepted, now: Timestamp) -> Move {
    if let Some(withdrawn) = &o.release.spec.withdrawn {
        let reason = withdrawn.reason.as_deref().map_or("no reason given", clause);
        if holdings::inherits(p) {
            // The attempt before it failed and still stands on the targets.
            let mut next = moved(p, State::Failed, now);
            let sentence = format!("withdrawn before attempt {} entered: {reason}", p.attempt);
            next.message = Some(cut(format!("{sentence}; the target is Unsettled")));
            next.finished_at = Some(time(now));
            return to(next, announce(&p.name, reasons::FAILED, &sentence));
        }
        let mut next = moved(p, State::Withdrawn, now);
        next.message = Some(cut(format!("withdrawn before it entered: {reason}")));
        next.finished_at = Some(time(now));
        return to(next, announce(&p.name, reasons::WITHDRAWN, reason));
    }
    if let Some(newer) = newer::newer_stands(o, &p.name).filter(|_| p.attempt == 1) {
        let mut next = moved(p, State::Superseded, now);
        next.checks = rules::superseded(o, p, now);
        next.message = Some(cut(format!(
            "{} Succeeded here before this one entered{}{}",
            newer.version(),
            newer.known_by(o),
            newer.misread(&o.release.spec.version)
        )));
        next.finished_at = Some(time(now));
        return to(
            next,
            announce(&p.name, reasons::SUPERSEDED, &format!("by {}", newer.version())),
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

/// Nothing where no question is worth its cost yet: the Release is not accepted, or an environment before this one is not done.
pub(crate) fn looks_at(o: &Observed, p: &Promotion, accepted: bool) -> Option<String> {
    let environment = o.environment(&p.name).filter(|_| accepted)?;
    upstream_done(o, environment).ok()?;
    Some(environment.spec.target_namespace(o.namespace()))
}

/// How far it is on its way in, by what the watches show.
#[must_use]
pub fn moment(o: &Observed, p: &Promotion, place: &Place) -> Moment {
    let holds = licence::own_claim(o, p, place).is_some();
    match (holds, place.has_pre_state) {
        (false, _) => Moment::Waiting,
        (true, false) => Moment::Capturing,
        (true, true) => Moment::Entering,
    }
}

/// First what stands in the way of the claim; then, about to enter, all that a stale read could get wrong; then the targets and the
/// gates; and the Release last of all.
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

/// What is waited for before the checks are asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotYet {
    /// What `Accepted` says.
    #[error("{0}")]
    NotAccepted(String),
    /// There is no Environment of this name.
    #[error("Environment {0} does not exist")]
    NoEnvironment(String),
    /// This very Release has not Succeeded in what `promotesFrom` requires, or does not stand there any more.
    #[error("waits until this release {} in {}{}", owed(altered), missing.join(if *any { " or " } else { " and " }), put_back(altered))]
    Upstream {
        /// The environments in which it has to.
        missing: Vec<String>,
        /// One of them is enough.
        any: bool,
        /// What others have changed in them, sentences.
        altered: Vec<String>,
    },
}

fn owed(altered: &[String]) -> &'static str {
    if altered.is_empty() {
        "has succeeded"
    } else {
        "stands again"
    }
}

fn put_back(altered: &[String]) -> String {
    if altered.is_empty() {
        return String::new();
    }
    format!(
        ": {}; put it back there, or release a new version",
        altered.join("; ")
    )
}

/// The Environment, once the manifest makes sense and upstream is done.
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

/// Whether what `promotesFrom` requires has Succeeded, by this very Release.
///
/// # Errors
/// [`NotYet::Upstream`].
pub fn upstream_done(o: &Observed, environment: &Environment) -> Result<(), NotYet> {
    let Some(from) = &environment.spec.promotes_from else {
        return Ok(());
    };
    // Where a gate asks how long it has stood there, that gate holds, and remembers that it was disturbed.
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
    // What a Job said of this plan stands: it would run again when this one's turn comes.
    next.checks.retain(jobs::is_said);
    next.forecast = None;
    next.message = Some(why);
    next.not_counted = None;
    to(next, vec![])
}

/// What stands in the way of the claim.
enum Way {
    /// Nobody holds the target namespace.
    Free,
    /// This attempt holds it.
    Mine,
    /// It may be taken over: an earlier attempt's, or one that a person who may has accepted, by that Decision.
    TakeOver(Box<Claim>, Option<Arc<Decision>>),
    /// Another release is in there, or is first in line. A sentence.
    Occupied(String),
    /// A decision is owed before anybody else may enter. A sentence.
    Unsettled(String),
}

/// How long a newer Release that nobody has looked at yet holds the older ones: it may be of no use.
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
            return Way::Occupied(format!("{} occupies {}", claim.release, claim.namespace));
        }
        let (accepted, _) = decisions::pending(o, p, &[Act::Accept]);
        if let Some(accepted) = accepted {
            return Way::TakeOver(Box::new(claim.clone()), Some(accepted));
        }
        return Way::Unsettled(format!(
            "{} left {} Unsettled: retry or back out that release, or create a Decision with action Accept for {} of this one, attempt {}, which also lets it into targets that are not healthy",
            claim.release, claim.namespace, p.name, p.attempt
        ));
    }
    if let Some(other) = &place.unclaimed {
        return Way::Occupied(format!(
            "{other} is under way in the target namespace, but its claim is gone: somebody has to decide there first"
        ));
    }
    if let Some(ahead) = ahead(place, now) {
        return Way::Occupied(format!(
            "{} ({}) is newer and goes first",
            ahead.release, ahead.version
        ));
    }
    match place.rivals.first() {
        Some(first) if *first < rank(o, &p.name) => {
            Way::Occupied(format!("{} is first in line", first.release))
        }
        _ => Way::Free,
    }
}

/// This promotion's own place in the queue: since when it could have entered by its own plan, age, uid.
#[must_use]
pub fn rank(o: &Observed, environment: &str) -> facts::Rival {
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
    // An Accept is what lets a release into an Unsettled target: it stands until the entry.
    let (_, ignored) = decisions::pending(o, p, &[Act::Accept]);
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

/// What stands in the way besides the checks.
fn blocker(p: &Promotion, held: Option<&Hold>, way: &Way, go: bool) -> Option<String> {
    match (held, way) {
        (Some(hold), _) => {
            let reason = hold.reason.as_deref().map_or("no reason given", clause);
            Some(format!("held: {reason}"))
        }
        (None, Way::Unsettled(sentence)) => Some(sentence.clone()),
        // Whoever is ahead changes often in a long queue; only the first is worth a write.
        _ if p.state == State::Queued && go => p.message.clone(),
        (None, Way::Occupied(sentence)) if go => Some(sentence.clone()),
        _ => None,
    }
}

/// Something holds it. A Retry keeps what the attempt before it left; anybody else stands in nobody's way.
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

/// Nothing holds it: it enters as soon as the claim is its own.
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
        Way::Free => Move::Do(vec![Action::Claim {
            environment,
            namespace: s.target_namespace(),
            holder,
        }]),
        Way::TakeOver(claim, _) => Move::Do(vec![Action::TakeOver {
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
    // The next attempt is another plan, which nobody has rejected.
    let rejected = |c: &release::Check| c.reason == reasons::REJECTED;
    if !p.checks.iter().any(failed) || p.checks.iter().any(rejected) {
        return None;
    }
    let (retry, _) = decisions::pending(o, p, &[Act::Retry]);
    retry.map(|retry| obeying::retry(p, &retry, now))
}

/// Everything holds and the claim is ours: keep the pre-state, then enter.
fn enter(o: &Observed, p: &Promotion, setting: &Setting, place: &Place, now: Timestamp) -> Move {
    let Some(inspection) = place.inspection.as_ref().filter(|_| place.live) else {
        // Read live first; the pass after the claim does.
        return Move::Rest(Some(now));
    };
    let captured = capture(o, p, setting, place, inspection);
    let name = plan::pre_state_name(o.uid(), &p.name, p.attempt);
    match &place.pre_state {
        None => Move::Do(vec![Action::Capture {
            environment: p.name.clone(),
            name,
            pre_state: Box::new(captured),
        }]),
        Some(kept)
            if (&kept.content.namespace, &kept.content.plan_hash)
                == (&captured.namespace, &captured.plan_hash)
                && kept.content.components.len() == captured.components.len()
                && kept
                    .content
                    .components
                    .iter()
                    .zip(&captured.components)
                    .all(|(k, c)| k.same_content(c)) =>
        {
            entry(o, p, setting, inspection, &kept.content, name, now)
        }
        Some(kept) => Move::Do(vec![Action::DeletePreState {
            name: kept.name.clone(),
            uid: kept.uid.clone(),
        }]),
    }
}

/// What stands on the targets now; for a Retry, what stood there before the attempt that failed.
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

/// A Retry's own pre-state: the values that its predecessor's held for the paths in it, live values for the others.
fn inherit(fresh: Captured, before: &Captured, inspected: &Inspected) -> Captured {
    let empty = Value::Null;
    let result = inspected.result.as_deref().unwrap_or(&empty);
    let changes = paths::inherited(&before.changes, &fresh.changes, result);
    // What the failed attempt created did not exist before it: restoring still deletes it.
    let uid = if before.created() { None } else { fresh.uid.clone() };
    // How it was doing before the first attempt is what going back leads to.
    let was = Was {
        replicas: fresh.was.replicas,
        ..before.was.clone()
    };
    Captured {
        uid,
        // The entry that stands there now is the failed attempt's.
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
    pre_state: &PreState,
    pre_state_name: String,
    now: Timestamp,
) -> Move {
    let environment = &setting.environment;
    let namespace = environment.spec.target_namespace(o.namespace());
    // The plan was hashed with this namespace; anything else would be a promotion nobody approved.
    if o.plan_hash(&p.name, Some(&namespace), p.attempt) != p.plan_hash || pre_state.namespace != namespace {
        return await_decision(
            p,
            reasons::CONFLICT,
            "the plan changed while it was entering",
            now,
        );
    }
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
    let says = format!("entered {namespace}, attempt {}, backout armed", p.attempt);
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

/// The changes of a target that does not exist yet: every field that we state, as the dry run shows it. What the API server
/// or a webhook fills in besides is not ours, and may differ from one request to the next.
#[must_use]
pub fn creation_changes(change: &licence::Change, result: &Value) -> Vec<Change> {
    fn leaves(stated: &Value, path: &str, result: &Value, changes: &mut Vec<Change>) {
        match stated.as_object().filter(|map| !map.is_empty()) {
            Some(map) => {
                for (key, inner) in map {
                    leaves(inner, &paths::below(path, key), result, changes);
                }
            }
            None => changes.push(Change {
                path: path.to_owned(),
                before: None,
                after: paths::get(result, path).cloned(),
                after_digest: None,
            }),
        }
    }
    let licence::Change::Create { object } = change else {
        return vec![];
    };
    let Some(result) = paths::stated_anew(object, result) else {
        return vec![];
    };
    let mut changes = Vec::new();
    leaves(object, "", &result, &mut changes);
    // Its identity is what it is found by; the API server adds the namespace.
    changes.retain(|c| {
        !matches!(
            c.path.as_str(),
            "/apiVersion" | "/kind" | "/metadata/name" | "/metadata/namespace"
        )
    });
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}
