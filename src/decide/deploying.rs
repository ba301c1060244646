//! Deploying: targets are changed in order and become ready; and what every state after entry looks at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::facts::{Live, LiveComponent, NamespaceState, Observed, Place};
use super::paths;
use super::prestate::{Captured, PreState};
use super::promotion::{self, await_decision, fail, inconclusive, moved, own_claim, to, whole_second_after};
use super::readiness::{self, Readiness};
use super::{Action, Change, Move, cut, decisions, earliest, patches, verifying};
use crate::api::release::{Component, ComponentState, Entered, Promotion, State};
use crate::api::{
    Action as Act, FIELD_MANAGER, LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_ENVIRONMENT, LABEL_RELEASE, reasons,
    time,
};
use crate::mutation::{self, Mutation};

/// How a target stands against what was captured.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    /// Not read.
    Unread,
    /// As it was captured.
    Untouched,
    /// Our fields stand.
    Applied,
    /// Somebody else changed our fields; which.
    Changed(Vec<String>),
    /// Deleted, or another object of the same name.
    Gone(String),
}

/// How `live` stands against `captured`.
pub(crate) fn standing(o: &Observed, environment: &str, captured: &Captured, live: &Live) -> Standing {
    let (target, created) = (&captured.target, captured.created());
    match live {
        Live::Unread => Standing::Unread,
        Live::Absent if created => Standing::Untouched,
        Live::Absent => Standing::Gone(format!(
            "{target} has been deleted: put it back by hand, then decide Accept or Abandon"
        )),
        Live::Present(object) if created && !is_ours(o, environment, object) => {
            Standing::Changed(vec![format!(
                "{target}, which somebody else has created meanwhile"
            )])
        }
        Live::Present(object) => {
            let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
            if !created && uid != captured.uid.as_deref() {
                return Standing::Gone(format!(
                    "{target} has been deleted and created again: it is not what was captured; look at it, then decide Accept or Abandon"
                ));
            }
            match paths::stands(&captured.changes, object) {
                Ok(()) => Standing::Applied,
                Err(_) if !created && paths::untouched(&captured.changes, object).is_ok() => {
                    Standing::Untouched
                }
                Err(fields) => {
                    Standing::Changed(fields.into_iter().map(|f| format!("{target} {f}")).collect())
                }
            }
        }
    }
}

/// Whether we created this object for this promotion, whichever attempt.
pub(crate) fn is_ours(o: &Observed, environment: &str, object: &Value) -> bool {
    let label = |name: &str| {
        object
            .pointer("/metadata/labels")
            .and_then(|l| l.get(name))
            .and_then(Value::as_str)
    };
    label(LABEL_RELEASE) == Some(o.name()) && label(LABEL_ENVIRONMENT) == Some(environment)
}

/// Everything that one step after entry looks at.
pub(super) struct Entry<'a> {
    pub(super) entered: &'a Entered,
    pub(super) place: &'a Place,
    pub(super) pre_state: &'a PreState,
}

/// What every state after entry needs; else the move that says what is missing.
pub(super) fn after_entry<'a>(o: &'a Observed, p: &'a Promotion, now: Timestamp) -> Result<Entry<'a>, Move> {
    let Some(entered) = &p.entered else {
        let sentence = "status says that it has entered, but not where: somebody else has written it; decide Accept or Abandon";
        return Err(await_decision(p, reasons::CONFLICT, sentence, now));
    };
    let Some(place) = promotion::place(o, p) else {
        return Err(Move::Rest(None));
    };
    // Status alone is no licence: anybody could have written it while the policy was unbound.
    let pre_state = match promotion::own_pre_state(o, p, place) {
        Ok(pre_state) => pre_state,
        Err(sentence) => return Err(await_decision(p, reasons::PRE_STATE_MISSING, &sentence, now)),
    };
    if own_claim(o, p, place).is_none() {
        let sentence = promotion::claim_lost(o, place, &entered.target_namespace);
        return Err(await_decision(p, reasons::CLAIM_LOST, &sentence, now));
    }
    let namespace = &entered.target_namespace;
    if place.namespace != NamespaceState::Present {
        let is = match place.namespace {
            NamespaceState::Terminating => "is being deleted",
            _ => "does not exist any more",
        };
        let sentence = format!(
            "the target namespace {namespace} {is}, and what was released with it: put both back by hand, then decide Accept or Abandon"
        );
        return Err(await_decision(p, reasons::TARGET_GONE, &sentence, now));
    }
    if place.pre_state_gone {
        return Err(promotion::keep_again(p, pre_state));
    }
    let planned = || o.plan_hash(&p.name, Some(&entered.target_namespace), p.attempt);
    if p.state == State::Deploying && planned() != pre_state.plan_hash {
        let sentence = "the plan is not the one whose pre-state was kept, so that nothing further is changed: decide BackOut, Accept or Abandon";
        return Err(await_decision(p, reasons::CONFLICT, sentence, now));
    }
    Ok(Entry {
        entered,
        place,
        pre_state,
    })
}

/// A BackOut by an entitled person, from any state that can be backed out.
pub(super) fn backout_asked(o: &Observed, p: &Promotion, now: Timestamp) -> Option<Move> {
    let (decision, _) = decisions::pending(o, p, &[Act::BackOut]);
    decision.map(|decision| decisions::back_out(p, &decision, now))
}

pub(crate) fn deploying(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    if let Some(asked) = backout_asked(o, p, now) {
        return asked;
    }
    match after_entry(o, p, now) {
        Ok(entry) => Deploy { o, p, entry, now }.step(),
        Err(other) => other,
    }
}

struct Deploy<'a> {
    o: &'a Observed,
    p: &'a Promotion,
    entry: Entry<'a>,
    now: Timestamp,
}

/// What one component needs.
enum Need {
    Nothing,
    /// Ready, not yet latched.
    Latch,
    Wait(Option<Timestamp>),
    /// And what went wrong when it was last tried.
    Act(Box<Action>, Option<(&'static str, String)>),
    Trouble(&'static str, String, Timestamp),
    Move(Move),
}

impl Deploy<'_> {
    fn step(&self) -> Move {
        let components = &self.o.release.spec.components;
        let (mut actions, mut until, mut ready, mut trouble) = (Vec::new(), None, Vec::new(), None);
        let mut all_ready = true;
        for component in components {
            match self.need(component) {
                Need::Nothing => {}
                Need::Latch => ready.push(component.name.as_str()),
                Need::Wait(edge) => {
                    all_ready = false;
                    until = earliest(until, edge);
                }
                Need::Act(action, before) => {
                    all_ready = false;
                    // A try that is due is not a success: only that clears what is persisted.
                    if let Some(before) = before {
                        trouble.get_or_insert(before);
                    }
                    actions.push(*action);
                }
                Need::Trouble(reason, message, again_at) => {
                    all_ready = false;
                    until = earliest(until, Some(again_at));
                    trouble.get_or_insert((reason, message));
                }
                Need::Move(other) => return other,
            }
        }
        if all_ready {
            return self.deployed();
        }
        let (other, edge) = inconclusive(
            self.o,
            self.p,
            trouble.as_ref().map(|(r, m)| (*r, m.as_str())),
            self.now,
        );
        if let Some(other) = other {
            return other;
        }
        if ready.iter().any(|name| self.somebody_waits_for(name)) {
            return to(self.latched(&ready), vec![]);
        }
        if actions.is_empty() {
            Move::Rest(earliest(until, edge))
        } else {
            Move::Do(actions)
        }
    }

    fn state_of(&self, name: &str) -> Option<ComponentState> {
        self.p.components.iter().find(|c| c.name == name).map(|c| c.state)
    }

    fn somebody_waits_for(&self, name: &str) -> bool {
        self.o.release.spec.components.iter().any(|c| {
            c.after.iter().any(|a| a == name) && self.state_of(&c.name) != Some(ComponentState::Ready)
        })
    }

    fn latched(&self, ready: &[&str]) -> Promotion {
        let mut next = self.p.clone();
        for status in next
            .components
            .iter_mut()
            .filter(|c| ready.contains(&c.name.as_str()))
        {
            if status.state != ComponentState::Ready {
                status.state = ComponentState::Ready;
                status.ready_at = Some(time(self.now));
            }
        }
        next
    }

    fn need(&self, component: &Component) -> Need {
        let name = &component.name;
        let (Some(captured), Some(live)) = (
            self.entry.pre_state.component(name),
            self.entry.place.components.iter().find(|c| c.name == *name),
        ) else {
            return Need::Wait(None);
        };
        if is_stale(live) {
            // Read before our own patch: it says nothing about who changed what.
            return Need::Wait(None);
        }
        let is_latched = self.state_of(name) == Some(ComponentState::Ready);
        match standing(self.o, &self.p.name, captured, &live.object) {
            Standing::Unread => match &live.trouble {
                Some(t) => Need::Trouble(t.reason, t.message.clone(), t.again_at),
                None => Need::Wait(None),
            },
            Standing::Gone(sentence) => {
                Need::Move(await_decision(self.p, reasons::TARGET_GONE, &sentence, self.now))
            }
            Standing::Changed(fields) => self.changed(live, &fields),
            Standing::Untouched if captured.changes.is_empty() && !captured.created() => Need::Nothing,
            Standing::Untouched if is_latched || live.patched => {
                let sentence = format!("somebody reverted {}", captured.target);
                Need::Move(fail(self.o, self.p, reasons::FIELDS_CHANGED, &sentence, self.now))
            }
            Standing::Untouched => self.untouched(component, captured, live),
            Standing::Applied if is_latched => Need::Nothing,
            Standing::Applied => self.applied(component, captured, live),
        }
    }

    /// Our fields are neither as captured nor as released.
    fn changed(&self, live: &LiveComponent, fields: &[String]) -> Need {
        let fields = fields.join(", ");
        if live.patched {
            let sentence = format!("another writer changed {fields}{}", writer(live));
            return Need::Move(fail(self.o, self.p, reasons::FIELDS_CHANGED, &sentence, self.now));
        }
        // Who cannot tell whether something was changed neither goes back nor asks people: it looks again.
        let hidden = |live: &&LiveComponent| live.unsure || matches!(live.object, Live::Unread);
        if let Some(live) = self.entry.place.components.iter().find(hidden) {
            return match &live.trouble {
                Some(t) => Need::Trouble(t.reason, t.message.clone(), t.again_at),
                None => Need::Wait(None),
            };
        }
        // What a Retry's predecessor has left counts as a patch: going back would forget what stood before it.
        if self.anything_applied() || self.p.attempt > 1 {
            let sentence = format!(
                "somebody changed {fields}{} before it was this component's turn",
                writer(live)
            );
            return Need::Move(await_decision(
                self.p,
                reasons::FIELDS_CHANGED,
                &sentence,
                self.now,
            ));
        }
        // Nothing is touched: what was captured is thrown away and everything is asked again.
        let mut next = moved(self.p, State::Waiting, self.now);
        next.message = Some(cut(format!(
            "somebody changed {fields} between capture and change: captured again"
        )));
        next.backout = None;
        Need::Move(to(next, vec![]))
    }

    fn anything_applied(&self) -> bool {
        self.entry.place.components.iter().any(|live| {
            let captured = self.entry.pre_state.component(&live.name);
            captured.is_some_and(|c| self.touched(c, live))
        })
    }

    /// Whether we have changed this target in this attempt, as far as this process, status or the target can tell.
    fn touched(&self, captured: &Captured, live: &LiveComponent) -> bool {
        if captured.changes.is_empty() && !captured.created() {
            return false;
        }
        let latched = self.state_of(&live.name) == Some(ComponentState::Ready);
        let Live::Present(object) = &live.object else {
            return live.patched || latched;
        };
        let bears_ours = captured.changes.iter().any(|c| {
            c.after != c.before && c.after.is_some() && paths::get(object, &c.path) == c.after.as_ref()
        });
        let began = self.p.started_at.as_ref().map_or(self.now, |t| t.0);
        let wrote = last_written(object).is_some_and(|at| at >= began);
        live.patched
            || latched
            || bears_ours
            || wrote
            || (captured.created() && is_ours(self.o, &self.p.name, object))
    }

    fn untouched(&self, component: &Component, captured: &Captured, live: &LiveComponent) -> Need {
        if component
            .after
            .iter()
            .any(|a| self.state_of(a) != Some(ComponentState::Ready))
            && !mutation::is(Mutation::AfterIgnored)
        {
            return Need::Wait(None);
        }
        if let Some(t) = live.trouble.as_ref().filter(|t| self.now < t.again_at) {
            return Need::Trouble(t.reason, t.message.clone(), t.again_at);
        }
        match forward(
            self.o,
            &self.p.name,
            self.p.attempt,
            component,
            captured,
            &live.object,
        ) {
            Ok(change) => Need::Act(
                Box::new(Action::Change {
                    environment: self.p.name.clone(),
                    namespace: self.entry.entered.target_namespace.clone(),
                    attempt: self.p.attempt,
                    component: component.name.clone(),
                    change,
                }),
                live.trouble.as_ref().map(|t| (t.reason, t.message.clone())),
            ),
            Err(sentence) => Need::Move(fail(self.o, self.p, reasons::CONFLICT, &sentence, self.now)),
        }
    }

    fn applied(&self, component: &Component, captured: &Captured, live: &LiveComponent) -> Need {
        let Live::Present(object) = &live.object else {
            return Need::Wait(None);
        };
        let deadline = whole_second_after(self.began(component, object) + component.ready_within.get());
        match readiness::judge(object, &live.pods, live.floor) {
            Readiness::Ready => Need::Latch,
            Readiness::Failed { reason, message } => {
                let sentence = format!("{}: {reason}: {message}", captured.target);
                Need::Move(fail(self.o, self.p, reasons::FAILED, &sentence, self.now))
            }
            Readiness::Progressing { message, .. } if self.now >= deadline => {
                let sentence = format!(
                    "{} is not ready within {}: {message}",
                    captured.target, component.ready_within
                );
                Need::Move(fail(self.o, self.p, reasons::READY_TOO_LATE, &sentence, self.now))
            }
            Readiness::Progressing { .. } => {
                // Kinds that are not watched are read again while they are what is waited for.
                let again = live.trouble.as_ref().map(|t| t.again_at);
                Need::Wait(earliest(Some(deadline), again))
            }
        }
    }

    /// From when on it has to become ready: its turn, or our own write where that came later because nobody was there
    /// to make it.
    fn began(&self, component: &Component, object: &Value) -> Timestamp {
        last_written(object).map_or_else(|| self.turn(component), |at| at.max(self.turn(component)))
    }

    /// When this component's turn came: at entry, or when the last of those it waits for was ready.
    fn turn(&self, component: &Component) -> Timestamp {
        let entry = self.p.started_at.as_ref().map_or(self.now, |t| t.0);
        let awaited = self
            .p
            .components
            .iter()
            .filter(|c| component.after.contains(&c.name));
        awaited
            .filter_map(|c| c.ready_at.as_ref())
            .map(|t| t.0)
            .fold(entry, Timestamp::max)
    }

    fn deployed(&self) -> Move {
        let names: Vec<&str> = self.p.components.iter().map(|c| c.name.as_str()).collect();
        let mut next = self.latched(&names);
        next.inconclusive = None;
        next.deployed_at = Some(time(self.now));
        if self.entry.entered.verification.is_empty() {
            return verifying::verified(self.o, next, self.entry.entered, self.now);
        }
        let next = Promotion {
            verification: vec![],
            ..moved(&next, State::Verifying, self.now)
        };
        to(next, vec![])
    }
}

/// Whether this is older than the generation that our own patch returned.
fn is_stale(live: &LiveComponent) -> bool {
    let (Some(floor), Live::Present(object)) = (live.floor, &live.object) else {
        return false;
    };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    generation.is_some_and(|generation| generation < floor)
}

/// Who wrote last, for messages.
pub(super) fn writer(live: &LiveComponent) -> String {
    let Live::Present(object) = &live.object else {
        return String::new();
    };
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let last = entries
        .into_iter()
        .flatten()
        .filter(|e| {
            e.get("subresource").is_none() && e.get("manager").and_then(Value::as_str) != Some("signalbox")
        })
        .max_by_key(|e| {
            e.get("time")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        });
    match last.and_then(|e| e.get("manager")).and_then(Value::as_str) {
        Some(manager) => format!(" (last written by {manager})"),
        None => String::new(),
    }
}

/// When we last wrote this object, by its managed fields.
fn last_written(object: &Value) -> Option<Timestamp> {
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let ours = entries.into_iter().flatten().filter(|e| {
        e.get("subresource").is_none() && e.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER)
    });
    ours.filter_map(|e| e.get("time")?.as_str()?.parse().ok()).max()
}

/// The change that takes a target from what was captured to what is released.
///
/// # Errors
/// A sentence: the container is not there any more.
pub(crate) fn forward(
    o: &Observed,
    environment: &str,
    attempt: i64,
    component: &Component,
    captured: &Captured,
    live: &Live,
) -> Result<Change, String> {
    let target = &component.target;
    let stated = patches::overlay(component.patch.as_ref(), component.override_for(environment));
    let stated_target = patches::Target::from(&component.target);
    match live {
        Live::Present(object) => {
            let patch = patches::forward(
                &stated_target,
                object,
                stated.as_ref(),
                &component.image_pairs(),
                &component.remove,
                captured.restarted_for.as_deref(),
            )?;
            Ok(Change::Patch {
                api_version: target.api_version.clone(),
                kind: target.kind.clone(),
                name: target.name.clone(),
                patch,
            })
        }
        _ => {
            let labels = labels(o, environment, attempt, &component.name);
            let stated = stated.unwrap_or_else(|| json!({}));
            let object = patches::creation(
                &stated_target,
                &stated,
                &component.image_pairs(),
                captured.restarted_for.as_deref(),
                &labels,
            )?;
            Ok(Change::Create { object })
        }
    }
}

/// Labels of what the operator creates for a component.
pub(crate) fn labels(
    o: &Observed,
    environment: &str,
    attempt: i64,
    component: &str,
) -> BTreeMap<String, String> {
    [
        (LABEL_RELEASE, o.name().to_owned()),
        (LABEL_ENVIRONMENT, environment.to_owned()),
        (LABEL_ATTEMPT, attempt.to_string()),
        (LABEL_COMPONENT, component.to_owned()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}
