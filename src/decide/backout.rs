//! Backout: what stood before is put back in reverse order, becomes ready, and is compared over everything that was
//! changed. Windows and freezes do not hold it back.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deploying::is_ours;
use super::facts::{Live, LiveComponent, Observed, Place};
use super::paths;
use super::prestate::{Captured, PreState};
use super::promotion::{self, await_decision, moved, own_claim, to, whole_second_after};
use super::readiness::{self, Readiness};
use super::{Action, Change, Move, announce, cut, decisions, earliest};
use crate::api::release::{ArmedPlan, BackoutState, ComponentState, PlanState, Promotion, State};
use crate::api::{reasons, time};
use crate::mutation::{self, Mutation};

/// The backout plan as it stands on status: Documented, Armed once a pre-state is kept.
#[must_use]
pub fn plan(o: &Observed, promotions: &[Promotion]) -> Option<ArmedPlan> {
    let plan = o.release.spec.backout_plan.as_ref()?;
    let armed = promotions.iter().any(|p| p.backout.is_some());
    Some(ArmedPlan {
        state: if armed {
            PlanState::Armed
        } else {
            PlanState::Documented
        },
        summary: plan.summary.clone(),
        strategy: plan.strategy,
        trigger: plan.trigger,
        document_url: plan.document_url.clone(),
        max_duration: plan.max_duration.clone(),
    })
}

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let (Some(entered), Some(place)) = (&p.entered, promotion::place(o, p)) else {
        return Move::Rest(None);
    };
    let pre_state = match promotion::own_pre_state(o, p, place) {
        Ok(pre_state) => pre_state,
        Err(sentence) => return failed(p, reasons::PRE_STATE_MISSING, &sentence, now),
    };
    if own_claim(o, p, place).is_none() {
        // A person's BackOut is a licence of its own; without one only status would say that this was begun.
        if place.claim.is_none() && decisions::backout_decided(o, p) {
            return Move::Do(vec![Action::Claim {
                environment: p.name.clone(),
                namespace: entered.target_namespace.clone(),
                holder: o.holder(&p.name, p.attempt),
            }]);
        }
        // A Retry that never entered is backed out under the claim of the attempt before it.
        let earlier = place.claim.as_ref().filter(|c| {
            let holder = c.holder.as_ref();
            holder.is_some_and(|h| h.release_uid == o.uid() && h.environment == p.name)
        });
        if let Some(earlier) = earlier {
            return Move::Do(vec![Action::TakeOver {
                environment: p.name.clone(),
                claim: earlier.clone(),
                holder: o.holder(&p.name, p.attempt),
            }]);
        }
        let sentence = promotion::claim_lost(o, place, &entered.target_namespace);
        return await_decision(p, reasons::CLAIM_LOST, &sentence, now);
    }
    if mutation::is(Mutation::ClaimReleasedBeforeRestore) {
        return Move::Do(promotion::release_claims(o, p));
    }
    if place.pre_state_gone {
        return promotion::keep_again(p, pre_state);
    }
    Restoring {
        o,
        p,
        place,
        pre_state,
        namespace: &entered.target_namespace,
        now,
    }
    .step()
}

struct Restoring<'a> {
    o: &'a Observed,
    p: &'a Promotion,
    place: &'a Place,
    pre_state: &'a PreState,
    namespace: &'a str,
    now: Timestamp,
}

/// How far one target is on its way back.
enum Back {
    /// As captured, and ready.
    Done,
    /// As captured, not ready yet. Why.
    Settling(String),
    Act(Change),
    /// Could not be read or changed. Why, and when to try again.
    Trouble(String, Option<Timestamp>),
    /// A person has to look.
    Ask(&'static str, String),
}

impl Restoring<'_> {
    fn step(&self) -> Move {
        let (mut actions, mut until, mut waiting_for) = (Vec::new(), None, Vec::new());
        let mut unfinished: Vec<&str> = Vec::new();
        for component in self.o.release.spec.components.iter().rev() {
            let name = component.name.as_str();
            let (Some(captured), Some(live)) = (
                self.pre_state.component(name),
                self.place.components.iter().find(|c| c.name == name),
            ) else {
                continue;
            };
            // What came after this one goes back before it.
            let later = self
                .o
                .release
                .spec
                .components
                .iter()
                .filter(|c| c.after.iter().any(|a| a == name));
            let blocked = later.map(|c| c.name.as_str()).any(|l| unfinished.contains(&l));
            match self.back(captured, live) {
                Back::Done => continue,
                Back::Ask(reason, sentence) => return await_decision(self.p, reason, &sentence, self.now),
                Back::Settling(why) => waiting_for.push(why),
                Back::Trouble(why, again) => {
                    waiting_for.push(why);
                    until = earliest(until, again);
                }
                Back::Act(_) if blocked => {
                    waiting_for.push(format!("{} waits for its turn", captured.target))
                }
                Back::Act(change) => actions.push(Action::Change {
                    environment: self.p.name.clone(),
                    namespace: self.namespace.to_owned(),
                    attempt: self.p.attempt,
                    component: name.to_owned(),
                    change,
                }),
            }
            unfinished.push(name);
        }
        if unfinished.is_empty() {
            return self.verified();
        }
        let deadline = self.deadline();
        if self.now >= deadline {
            let what = if waiting_for.is_empty() {
                "not everything is put back".to_owned()
            } else {
                waiting_for.join("; ")
            };
            let sentence = format!("not restored in time: {what}");
            return failed(self.p, reasons::FAILED, &sentence, self.now);
        }
        if actions.is_empty() {
            Move::Rest(earliest(until, Some(deadline)))
        } else {
            Move::Do(actions)
        }
    }

    fn deadline(&self) -> Timestamp {
        let started = self
            .p
            .backout
            .as_ref()
            .and_then(|b| b.started_at.as_ref())
            .map_or(self.now, |t| t.0);
        let most = self.o.release.spec.backout_plan.as_ref();
        let most = most.map_or(jiff::SignedDuration::from_mins(15), |b| b.max_duration.get());
        whole_second_after(started + most)
    }

    fn by_decision(&self) -> bool {
        self.p.backout.as_ref().is_some_and(|b| b.by.is_some())
    }

    fn back(&self, captured: &Captured, live: &LiveComponent) -> Back {
        let target = &captured.target;
        let skipped = captured.name == "config" && mutation::is(Mutation::RestoreSkipsOne);
        if skipped || captured.changes.is_empty() && !captured.created() {
            return Back::Done;
        }
        if let Some(t) = live
            .trouble
            .as_ref()
            .filter(|t| self.now < t.again_at && t.reason != reasons::PROGRESSING)
            && (!matches!(live.object, Live::Present(_)) || !self.is_back(captured, live))
        {
            return Back::Trouble(t.message.clone(), Some(t.again_at));
        }
        match &live.object {
            Live::Unread => Back::Trouble(
                format!("{target} could not be read"),
                live.trouble.as_ref().map(|t| t.again_at),
            ),
            Live::Absent if captured.created() => Back::Done,
            Live::Absent => Back::Ask(
                reasons::TARGET_GONE,
                format!(
                    "{target} has been deleted, so that there is nothing to restore: put it back by hand, then decide Accept or Abandon"
                ),
            ),
            Live::Present(object) if captured.created() => self.uncreate(captured, object),
            Live::Present(object) => {
                let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
                if uid != captured.uid.as_deref() {
                    let sentence = format!(
                        "{target} has been deleted and created again: it is not what was captured; put it right by hand, then decide Accept or Abandon"
                    );
                    return Back::Ask(reasons::TARGET_GONE, sentence);
                }
                self.restore(captured, live, object)
            }
        }
    }

    fn is_back(&self, captured: &Captured, live: &LiveComponent) -> bool {
        match &live.object {
            Live::Present(object) => {
                !captured.created() && paths::untouched(&captured.changes, object).is_ok()
            }
            Live::Absent => captured.created(),
            Live::Unread => false,
        }
    }

    fn uncreate(&self, captured: &Captured, object: &Value) -> Back {
        let target = &captured.target;
        if !is_ours(self.o, &self.p.name, object) {
            return Back::Ask(
                reasons::FIELDS_CHANGED,
                format!("{target} did not exist before and is not the one that this release created"),
            );
        }
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Back::Settling(format!("{target} is being deleted"));
        }
        let uid = object
            .pointer("/metadata/uid")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let (api_version, kind, name) = (
            target.api_version.clone(),
            target.kind.clone(),
            target.name.clone(),
        );
        Back::Act(Change::Delete {
            api_version,
            kind,
            name,
            uid,
        })
    }

    fn restore(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Back {
        let target = &captured.target;
        if paths::untouched(&captured.changes, object).is_ok() {
            return match readiness::judge(object, &live.pods, live.floor) {
                Readiness::Ready => Back::Done,
                Readiness::Progressing { message, .. } | Readiness::Failed { message, .. } => {
                    Back::Settling(format!("{target}: {message}"))
                }
            };
        }
        let foreign = self.foreign(captured, object);
        if !foreign.is_empty() {
            let sentence = format!(
                "{target}: somebody changed {} meanwhile, which a backout would overwrite: put it back by hand, then Accept or Abandon",
                foreign.join(", ")
            );
            return Back::Ask(reasons::FIELDS_CHANGED, sentence);
        }
        let version = object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let operations = json!(paths::restoration(&captured.changes, object, version));
        let (api_version, kind, name) = (
            target.api_version.clone(),
            target.kind.clone(),
            target.name.clone(),
        );
        Back::Act(Change::Restore {
            api_version,
            kind,
            name,
            operations,
        })
    }

    /// Paths that are neither as captured nor as applied. A person who decided on the backout overwrites single
    /// values; lists that somebody else changed are never put back unseen.
    fn foreign(&self, captured: &Captured, object: &Value) -> Vec<String> {
        captured
            .changes
            .iter()
            .filter(|c| {
                let live = object.pointer(&c.path);
                let known = live == c.before.as_ref() || live == c.after.as_ref();
                let list = [live, c.before.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(Value::is_array);
                !known && (list || !self.by_decision())
            })
            .map(|c| c.path.clone())
            .collect()
    }

    /// Everything that was changed is as it was, compared path by path, and ready.
    fn verified(&self) -> Move {
        let mut next = moved(self.p, State::BackedOut, self.now);
        let why = self
            .p
            .backout
            .as_ref()
            .and_then(|b| b.reason.clone())
            .unwrap_or_default();
        next.message = Some(cut(format!(
            "backed out and compared equal to what ran before; {why}"
        )));
        next.finished_at = Some(time(self.now));
        if let Some(backout) = &mut next.backout {
            backout.state = BackoutState::Verified;
            backout.finished_at = Some(time(self.now));
        }
        for component in &mut next.components {
            component.state = ComponentState::Restored;
        }
        let note = format!("{}: what ran before runs again, compared equal", self.p.name);
        to(next, announce(reasons::BACKED_OUT, note))
    }
}

/// The backout failed: Red, Stalled, and the claim is kept so that nothing is built on sand.
fn failed(p: &Promotion, reason: &'static str, sentence: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Failed, now);
    next.message = Some(cut(format!("backout failed: {reason}: {sentence}")));
    next.finished_at = Some(time(now));
    if let Some(backout) = &mut next.backout {
        backout.state = BackoutState::Failed;
        backout.finished_at = Some(time(now));
    }
    to(
        next,
        announce(reasons::FAILED, format!("{}: backout failed: {sentence}", p.name)),
    )
}
