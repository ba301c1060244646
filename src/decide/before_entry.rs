//! Pending, Waiting and Queued: checks, the claim, the pre-state, and the entry that is the only licence to touch a
//! target.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use super::accepted::Accepted;
use super::checks::{self, Subject};
use super::facts::{Claim, Inspected, Inspection, Observed, Place, Setting};
use super::paths::{self, Change};
use super::prestate::{Captured, PreState};
use super::promotion::{self, await_decision, give_back, moved, to};
use super::{Action, Move, announce, cut, decisions, earliest, forecast, plan};
use crate::api::environment::Require;
use crate::api::release::{
    Backout, BackoutState, ComponentState, ComponentStatus, Entered, Promotion, State,
};
use crate::api::{Action as Act, Environment, reasons, time};
use crate::mutation::{self, Mutation};

pub(crate) fn step(o: &Observed, p: &Promotion, accepted: &Accepted, now: Timestamp) -> Move {
    if let Some(withdrawn) = &o.release.spec.withdrawn {
        let reason = withdrawn.reason.as_deref().unwrap_or("no reason given");
        if promotion::inherits(p) {
            // The attempt before it failed and still stands on the targets.
            let mut next = moved(p, State::Failed, now);
            let sentence = format!("withdrawn before attempt {} entered: {reason}", p.attempt);
            next.message = Some(cut(format!("{sentence}; the target is Unsettled")));
            next.finished_at = Some(time(now));
            return to(next, announce(reasons::FAILED, format!("{}: {sentence}", p.name)));
        }
        let mut next = moved(p, State::Withdrawn, now);
        next.message = Some(cut(format!("withdrawn before it entered: {reason}")));
        next.finished_at = Some(time(now));
        return to(
            next,
            announce(reasons::WITHDRAWN, format!("{}: {reason}", p.name)),
        );
    }
    if let Some(newer) = promotion::newer_succeeded(o, &p.name).filter(|_| p.attempt == 1) {
        let mut next = moved(p, State::Superseded, now);
        next.message = Some(format!(
            "{} Succeeded here before this one entered",
            newer.spec.version
        ));
        next.finished_at = Some(time(now));
        return to(
            next,
            announce(
                reasons::SUPERSEDED,
                format!("{}: by {}", p.name, newer.spec.version),
            ),
        );
    }
    match ready_for_checks(o, p, accepted) {
        Err(why) => pending(o, p, why, now),
        Ok(setting) => match promotion::place(o, p) {
            None => Move::Rest(None),
            Some(place) => waiting(o, p, setting, place, now),
        },
    }
}

/// The Environment, once the manifest makes sense and upstream is done; else why not, a sentence.
fn ready_for_checks<'a>(o: &'a Observed, p: &Promotion, accepted: &Accepted) -> Result<&'a Setting, String> {
    if !accepted.holds() {
        return Err(accepted.message());
    }
    let Some(setting) = o.environments.get(&p.name) else {
        return Err(format!("Environment {} does not exist", p.name));
    };
    upstream_done(o, &setting.environment)?;
    Ok(setting)
}

/// Whether what `promotesFrom` requires has Succeeded, by this very Release.
///
/// # Errors
/// A sentence that says what is waited for.
pub fn upstream_done(o: &Observed, environment: &Environment) -> Result<(), String> {
    let Some(from) = &environment.spec.promotes_from else {
        return Ok(());
    };
    let done = |name: &&String| {
        o.release
            .promotion(name)
            .is_some_and(|p| p.state == State::Succeeded)
    };
    let missing: Vec<&str> = from
        .environments
        .iter()
        .filter(|n| !done(n))
        .map(String::as_str)
        .collect();
    match from.require {
        _ if mutation::is(Mutation::UpstreamNotNeeded) => Ok(()),
        Require::All if missing.is_empty() => Ok(()),
        Require::Any if missing.len() < from.environments.len() => Ok(()),
        Require::All => Err(format!(
            "waits until this release has succeeded in {}",
            missing.join(" and ")
        )),
        Require::Any => Err(format!(
            "waits until this release has succeeded in {}",
            missing.join(" or ")
        )),
    }
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
    next.checks.clear();
    next.forecast = None;
    next.message = Some(why);
    to(next, vec![])
}

/// Whether Releases of this namespace may ask for this Environment at all.
///
/// # Errors
/// A sentence that names both.
pub fn may_ask(environment: &Environment, o: &Observed) -> Result<(), String> {
    let Some(selector) = &environment.spec.release_namespaces else {
        return Ok(());
    };
    if selects(selector, o) {
        return Ok(());
    }
    Err(format!(
        "releaseNamespaces of Environment {} does not select namespace {}: its labels do not match",
        environment.metadata.name.as_deref().unwrap_or_default(),
        o.namespace()
    ))
}

fn selects(selector: &LabelSelector, o: &Observed) -> bool {
    let labels = &o.namespace_labels;
    let all_labels = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v));
    all_labels
        && selector.match_expressions.iter().flatten().all(|e| {
            let value = labels.get(&e.key);
            let listed = || value.is_some_and(|v| e.values.iter().flatten().any(|w| w == v));
            match e.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// What stands in the way of the claim.
enum Way {
    /// Nobody holds the target namespace.
    Free,
    /// This attempt holds it.
    Mine,
    /// It may be taken over: an earlier attempt's, or one that somebody entitled has accepted.
    TakeOver(Box<Claim>),
    /// Another release is in there, or is first in line. A sentence.
    Occupied(String),
    /// A decision is owed before anybody else may enter. A sentence.
    Unsettled(String),
}

fn way(o: &Observed, p: &Promotion, place: &Place) -> Way {
    let mine = o.holder(&p.name, p.attempt);
    if let Some(claim) = &place.claim {
        if claim.holder.as_ref() == Some(&mine) || mutation::is(Mutation::ClaimNotNeeded) {
            return Way::Mine;
        }
        let earlier_attempt = claim
            .holder
            .as_ref()
            .is_some_and(|h| h.release_uid == mine.release_uid && h.environment == mine.environment);
        if earlier_attempt {
            return Way::TakeOver(Box::new(claim.clone()));
        }
        if !(claim.unsettled || claim.holder_absent) {
            return Way::Occupied(format!("{} occupies {}", claim.release, claim.namespace));
        }
        let (accepted, _) = decisions::pending(o, p, &[Act::Accept]);
        if accepted.is_some() {
            return Way::TakeOver(Box::new(claim.clone()));
        }
        return Way::Unsettled(format!(
            "{} left {} Unsettled: retry or back out that release, or create a Decision with action Accept for {} of this one, attempt {}",
            claim.release, claim.namespace, p.name, p.attempt
        ));
    }
    if let Some(other) = &place.unclaimed {
        return Way::Occupied(format!(
            "{other} is under way in the target namespace, but its claim is gone: somebody has to decide there first"
        ));
    }
    match place.rivals.first() {
        Some(first) if *first < rank(o, &p.name) => {
            Way::Occupied(format!("{} is first in line", first.release))
        }
        _ => Way::Free,
    }
}

/// This promotion's own place in the queue: planned start, age, uid.
#[must_use]
pub fn rank(o: &Observed, environment: &str) -> super::facts::Rival {
    super::facts::Rival::of(&o.release, environment)
}

impl super::facts::Rival {
    /// The place in the queue of `release` for `environment`.
    #[must_use]
    pub fn of(release: &crate::api::Release, environment: &str) -> Self {
        let planned = release
            .planned(environment)
            .and_then(|p| p.start.as_ref())
            .map(|t| t.0);
        let created = release
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::MAX, |t| t.0);
        Self {
            planned: (planned.is_none(), planned.unwrap_or(Timestamp::MAX)),
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
    let verdicts = checks::evaluate(&subject);
    let held = o.release.spec.hold.as_ref();
    let held = held.filter(|_| !mutation::is(Mutation::HoldIgnored));
    let go = verdicts.hold() && held.is_none();
    let way = way(o, p, place);

    let mut next = p.clone();
    next.checks = verdicts.checks.clone();
    next.forecast = forecast::of(&subject);
    next.state = if go && (matches!(way, Way::Occupied(_)) || p.state == State::Queued) {
        State::Queued
    } else {
        State::Waiting
    };
    next.message = match (held, &way) {
        (Some(hold), _) => Some(format!(
            "held: {}",
            hold.reason.as_deref().unwrap_or("no reason given")
        )),
        (None, Way::Unsettled(sentence)) => Some(sentence.clone()),
        // Whoever is ahead changes often in a long queue; only the first is worth a write.
        (None, Way::Occupied(_)) if p.state == State::Queued && go => p.message.clone(),
        (None, Way::Occupied(sentence)) if go => Some(sentence.clone()),
        _ if p.state == State::Queued && go => p.message.clone(),
        _ => not_counted(o, p),
    }
    .map(cut);
    if next.state != p.state {
        next.since = Some(time(now));
    }
    if next != *o.release.promotion(&p.name).unwrap_or(&Promotion::default()) {
        return to(next, vec![]);
    }

    if !go {
        // A Retry keeps what the attempt before it left; anybody else stands in nobody's way.
        if !promotion::inherits(p) && !promotion::release_claims(o, p).is_empty() {
            return give_back(o, p);
        }
        return if verdicts.actions.is_empty() {
            Move::Rest(earliest(verdicts.until(), again(place)))
        } else {
            Move::Do(verdicts.actions)
        };
    }
    let holder = o.holder(&p.name, p.attempt);
    let environment = p.name.clone();
    match way {
        Way::Occupied(_) | Way::Unsettled(_) => Move::Rest(verdicts.until()),
        Way::Free => Move::Do(vec![Action::Claim {
            environment,
            namespace: subject.target_namespace(),
            holder,
        }]),
        Way::TakeOver(claim) => Move::Do(vec![Action::TakeOver {
            environment,
            claim: *claim,
            holder,
        }]),
        Way::Mine => enter(o, p, setting, place, now),
    }
}

/// When unwatched facts that block are read again.
fn again(place: &Place) -> Option<Timestamp> {
    let jobs = place.jobs.values().filter_map(|j| match j {
        super::facts::JobState::Trouble(t) => Some(t.again_at),
        _ => None,
    });
    jobs.chain(place.inspection.as_ref().and_then(|i| i.again_at))
        .min()
}

/// Decisions on this environment, other than answers to gates, that do not count, with the reason.
fn not_counted(o: &Observed, p: &Promotion) -> Option<String> {
    // An Accept is what lets a release into an Unsettled target: it stands until the entry.
    let (_, ignored) = decisions::pending(o, p, &[Act::Accept]);
    (!ignored.is_empty()).then(|| ignored.join("; "))
}

/// A Retry also acts on Waiting, when a job gate failed.
fn retry_after_failed_job(o: &Observed, p: &Promotion, now: Timestamp) -> Option<Move> {
    let failed = |c: &crate::api::release::Check| {
        matches!(c.reason.as_str(), reasons::JOB_FAILED | reasons::JOB_TIMED_OUT)
    };
    if !p.checks.iter().any(failed) {
        return None;
    }
    let (retry, _) = decisions::pending(o, p, &[Act::Retry]);
    retry.map(|retry| decisions::retry(p, &retry, now))
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
                    changes: inspected.changes.clone(),
                };
                match place
                    .predecessor
                    .as_ref()
                    .filter(|_| !mutation::is(Mutation::PreStateOverwritten))
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
    let mut changes: Vec<Change> = before
        .changes
        .iter()
        .map(|c| Change {
            path: c.path.clone(),
            before: c.before.clone(),
            after: result.pointer(&c.path).cloned(),
        })
        .collect();
    let covered = |path: &str| {
        before.changes.iter().any(|c| {
            path == c.path
                || path.starts_with(&format!("{}/", c.path))
                || c.path.starts_with(&format!("{path}/"))
        })
    };
    changes.extend(fresh.changes.iter().filter(|c| !covered(&c.path)).cloned());
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    // What the failed attempt created did not exist before it: restoring still deletes it.
    let uid = if before.created() { None } else { fresh.uid.clone() };
    Captured {
        uid,
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
    next.entered = Some(Entered {
        generation: environment.metadata.generation.unwrap_or_default(),
        stage: environment.spec.stage,
        target_namespace: namespace.clone(),
        verification: environment.spec.verification.clone(),
        observation: environment.spec.observation.clone(),
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
    let note = format!(
        "{}: entered {namespace}, attempt {}, backout armed",
        p.name, p.attempt
    );
    to(next, announce(reasons::ENTERED, note))
}

fn components(o: &Observed, inspection: &Inspection) -> Vec<ComponentStatus> {
    let pairs = o.release.spec.components.iter().zip(&inspection.components);
    pairs
        .map(|(component, inspected)| {
            let stated: Vec<String> = component.images.iter().map(|i| i.container.clone()).collect();
            ComponentStatus {
                name: component.name.clone(),
                state: ComponentState::Pending,
                from: checks::images_text(&inspected.images_before, &stated),
                to: checks::images_text(&inspected.images_after, &stated),
                ready_at: None,
                message: None,
            }
        })
        .collect()
}

/// Bytes that the pre-state of `components` takes.
#[must_use]
pub fn size(components: &[Inspected]) -> usize {
    components
        .iter()
        .map(|c| json!(c.changes).to_string().len() + 256)
        .sum()
}

/// The changes of a target that does not exist yet: every field that we state, as the dry run shows it. What the API server
/// or a webhook fills in besides is not ours, and may differ from one request to the next.
#[must_use]
pub fn creation_changes(change: &super::Change, result: &Value) -> Vec<Change> {
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
            }),
        }
    }
    let super::Change::Create { object } = change else {
        return vec![];
    };
    let mut changes = Vec::new();
    leaves(object, "", result, &mut changes);
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
