//! Backout: what stood before is put back in reverse order, becomes ready, and is compared over everything that was
//! changed. Windows and freezes do not hold it back.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{BackoutState, ComponentState, Entered, Promotion, State};
use crate::api::{FIELD_MANAGER, GoDuration, reasons, time};
use crate::decide::facts::{Live, LiveComponent, Observed, Place};
use crate::decide::licence::{self, Change, Licence, Unlicensed};
use crate::decide::moves::{await_decision, moved, to};
use crate::decide::owned::{is_ours, our_entry};
use crate::decide::prestate::Captured;
use crate::decide::standing::written_by;
use crate::decide::step::{Action, Move, announce};
use crate::decide::telling::{self, Says};
use crate::decide::{decisions, health, holdings, jobs, occupancy};
use crate::domain::paths;
use crate::domain::readiness::{self, Readiness, Stuck, Was};
use crate::domain::text::{clause, cut};
use crate::domain::time::{earliest, whole_second_after};

/// Restores of one target in one backout that the API server accepts and that do not last, after which people decide.
const MOST_RESTORES: u32 = 5;

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let licence = match Licence::of(o, p) {
        Ok(licence) => licence,
        Err(Unlicensed::NotEntered | Unlicensed::NotRead) => return Move::Rest(None),
        Err(Unlicensed::NoPreState(none)) => {
            return failed(p, reasons::PRE_STATE_MISSING, &none.to_string(), now);
        }
        Err(Unlicensed::NoClaim(entered, place)) => return without_claim(o, p, entered, place, now),
    };
    if licence.place.pre_state_gone {
        return holdings::keep_again(p, licence.pre_state);
    }
    if let Some(stops) = jobs::stop_first(o, p, licence.place) {
        return Move::Do(stops);
    }
    Restoring { o, p, licence, now }.step()
}

/// The claim is not this attempt's: it is taken where that is lawful, and else people decide.
fn without_claim(o: &Observed, p: &Promotion, entered: &Entered, place: &Place, now: Timestamp) -> Move {
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
    let sentence = licence::claim_lost(o, place, &entered.target_namespace);
    await_decision(p, reasons::CLAIM_LOST, &sentence, now)
}

struct Restoring<'a> {
    o: &'a Observed,
    p: &'a Promotion,
    licence: Licence<'a>,
    now: Timestamp,
}

/// How far one target is on its way back.
enum Back {
    /// As captured, and ready.
    Done,
    /// As captured, not ready yet. Why.
    Settling(String),
    Act(Change),
    /// As captured, and its controller waits for pods that a person has to delete. Which.
    Stuck(String),
    /// The same, and we delete them.
    Delete(String, Vec<Stuck>),
    /// Could not be read or changed. Why, and when to try again.
    Trouble(String, Option<Timestamp>),
    /// A person has to look.
    Ask(&'static str, String),
}

impl Restoring<'_> {
    fn step(&self) -> Move {
        let (mut actions, mut until, mut waiting_for) = (Vec::new(), None, Vec::new());
        let mut deletions = Vec::new();
        let (mut unfinished, mut said): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
        let mut told: Vec<Says<'_>> = Vec::new();
        // The time is over: what can still be written is written, whatever waits.
        let deadline = self.deadline();
        let over = self.now >= deadline;
        for component in self.o.release.spec.components.iter().rev() {
            let name = component.name.as_str();
            let (Some(captured), Some(live)) = (
                self.licence.pre_state.component(name),
                self.licence.place.components.iter().find(|c| c.name == name),
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
            let back = self.back(captured, live);
            told.push(self.component_says(name, live, &back, blocked));
            match back {
                Back::Done => continue,
                Back::Ask(reason, sentence) => {
                    let mut p = self.p.clone();
                    let state = self.ended(name);
                    telling::set(&mut p, name, state, Some(sentence.clone()), self.now);
                    return await_decision(&p, reason, &sentence, self.now);
                }
                Back::Settling(why) => waiting_for.push(why),
                Back::Trouble(why, again) => {
                    said.push(why.clone());
                    waiting_for.push(why);
                    until = earliest(until, again);
                }
                Back::Stuck(why) => {
                    said.push(why.clone());
                    waiting_for.push(why);
                }
                Back::Delete(why, pods) => {
                    waiting_for.push(why);
                    deletions.extend(pods.into_iter().map(|pod| self.change(name, delete_pod(pod))));
                }
                Back::Act(_) if blocked && !over => {
                    waiting_for.push(format!("{} waits for its turn", captured.target))
                }
                Back::Act(change) => actions.push(self.change(name, change)),
            }
            unfinished.push(name);
        }
        if unfinished.is_empty() {
            return self.all_back(told, deadline);
        }
        if over && actions.is_empty() {
            return self.not_in_time(&waiting_for, told);
        }
        if let Some(said) = self.says(&said, &told) {
            return said;
        }
        actions.extend(deletions);
        if !actions.is_empty() {
            return Move::Do(actions);
        }
        match telling::tell(self.p, told, self.now) {
            (Some(next), _) => to(next, vec![]),
            (None, again) => Move::Rest([Some(deadline), again].into_iter().fold(until, earliest)),
        }
    }

    /// Every target is as it was: what the fields were owned by is given back, and pods of what is taken back are waited for.
    fn all_back(&self, told: Vec<Says<'_>>, deadline: Timestamp) -> Move {
        let given_back = self.give_back();
        if !given_back.is_empty() {
            return Move::Do(given_back);
        }
        let Some(alone) = health::others_end(self.licence.place, self.now).filter(|_| self.now < deadline)
        else {
            return self.verified();
        };
        match telling::tell(self.p, told, self.now) {
            (Some(next), _) => to(next, vec![]),
            (None, again) => Move::Rest([Some(deadline), again].into_iter().fold(Some(alone), earliest)),
        }
    }

    /// The time is over, and nothing more can be written.
    fn not_in_time(&self, waiting_for: &[String], told: Vec<Says<'_>>) -> Move {
        let what = if waiting_for.is_empty() {
            "not everything is put back".to_owned()
        } else {
            waiting_for.join("; ")
        };
        let sentence = format!("not restored within {}: {what}", self.most());
        let mut p = self.p.clone();
        let unrestored = told
            .into_iter()
            .filter(|says| says.state != ComponentState::Restored);
        for says in unrestored {
            let state = self.ended(says.component);
            telling::set(&mut p, says.component, state, says.message, self.now);
        }
        failed(&p, reasons::FAILED, &sentence, self.now)
    }

    /// How far one target is, for people.
    fn component_says<'c>(
        &self,
        component: &'c str,
        live: &LiveComponent,
        back: &Back,
        blocked: bool,
    ) -> Says<'c> {
        let began = self.p.backout.as_ref().and_then(|b| b.started_at.as_ref());
        let not_restored = self.not_restored(component);
        let (state, message) = match back {
            Back::Done => {
                let lingering = match &live.object {
                    Live::Present(object) => readiness::lingering(object, &live.pods, self.now),
                    _ => None,
                };
                (
                    ComponentState::Restored,
                    lingering.map(|lingering| lingering.says()),
                )
            }
            Back::Act(_) if blocked => {
                let said = "waits for its turn: what comes after it is restored first";
                (ComponentState::Progressing, Some(said.to_owned()))
            }
            Back::Act(_) => (ComponentState::Progressing, None),
            Back::Settling(why)
            | Back::Stuck(why)
            | Back::Delete(why, _)
            | Back::Trouble(why, _)
            | Back::Ask(_, why) => (not_restored, Some(why.clone())),
        };
        Says {
            component,
            state,
            message,
            since: began.map_or(self.now, |t| t.0),
            look_again: !matches!(back, Back::Done) && telling::unnoticed(live),
        }
    }

    /// What a component is that cannot be put back yet. What was never changed stays Pending: that is how a later pass knows.
    fn not_restored(&self, component: &str) -> ComponentState {
        let status = self.p.components.iter().find(|c| c.name == component);
        match status {
            Some(status) if status.state == ComponentState::Pending => ComponentState::Pending,
            _ => ComponentState::Progressing,
        }
    }

    /// What a component is because of which the backout ends.
    fn ended(&self, component: &str) -> ComponentState {
        match self.not_restored(component) {
            ComponentState::Pending => ComponentState::Pending,
            _ => ComponentState::Failed,
        }
    }

    fn change(&self, component: &str, change: Change) -> Action {
        Action::Change(self.licence.change(component, change))
    }

    /// What was refused, and which pods have to be deleted, is on status at once, not only when time is up.
    fn says(&self, said: &[String], told: &[Says<'_>]) -> Option<Move> {
        if said.is_empty() {
            return None;
        }
        let cause = self.p.backout.as_ref().and_then(|b| b.reason.clone());
        let message = cut(format!(
            "{}; it is backed out because: {}",
            said.iter()
                .map(|said| clause(said))
                .collect::<Vec<_>>()
                .join("; "),
            cause.unwrap_or_default()
        ));
        (self.p.message.as_ref() != Some(&message)).then(|| {
            let mut next = self.p.clone();
            next.message = Some(message);
            for says in told {
                telling::set(
                    &mut next,
                    says.component,
                    says.state,
                    says.message.clone(),
                    self.now,
                );
            }
            to(next, vec![])
        })
    }

    /// How long it may take: what the plan says, and no longer than the Environment lets a Release occupy it.
    fn most(&self) -> GoDuration {
        let plan = self.o.release.spec.backout_plan.as_ref();
        let planned = plan.map_or_else(|| GoDuration::from_secs(15 * 60), |b| b.max_duration.clone());
        let allowed = self.p.entered.as_ref().and_then(|e| e.max_occupancy.as_ref());
        match allowed {
            Some(allowed) if allowed.after.get() < planned.get() => allowed.after.clone(),
            _ => planned,
        }
    }

    fn deadline(&self) -> Timestamp {
        let started = self
            .p
            .backout
            .as_ref()
            .and_then(|b| b.started_at.as_ref())
            .map_or(self.now, |t| t.0);
        whole_second_after(started + self.most().get())
    }

    fn by_decision(&self) -> bool {
        let backout = self.p.backout.as_ref();
        backout.is_some_and(|b| b.by.is_some() && !occupancy::began(b))
    }

    fn back(&self, captured: &Captured, live: &LiveComponent) -> Back {
        let target = &captured.target;
        if captured.changes.is_empty() && !captured.created() {
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
            return self.settled(captured, live, object);
        }
        let foreign = self.foreign(captured, live, object);
        if !foreign.is_empty() {
            let sentence = format!(
                "{target}: another writer changed {} since, and a backout would overwrite it: put it back by hand, then decide \
                 Accept or Abandon",
                foreign.join(", ")
            );
            return Back::Ask(reasons::FIELDS_CHANGED, sentence);
        }
        if let Some(reverted) = self.reverted(captured, live, object) {
            return reverted;
        }
        let operations = paths::restoration(&captured.changes, object, version_of(object));
        if operations.is_empty() {
            // What differs lies in an element that is not there any more.
            let fields = paths::untouched(&captured.changes, object)
                .err()
                .unwrap_or_default();
            let sentence = format!(
                "{target}: {} cannot be put back, because what it belongs to has been removed: put it back by hand, then \
                 decide Accept or Abandon",
                fields.join(", ")
            );
            return Back::Ask(reasons::FIELDS_CHANGED, sentence);
        }
        let (api_version, kind, name) = (
            target.api_version.clone(),
            target.kind.clone(),
            target.name.clone(),
        );
        Back::Act(Change::Restore {
            api_version,
            kind,
            name,
            operations: json!(operations),
        })
    }

    /// Whether what is put back is also as well as it was.
    fn settled(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Back {
        let target = &captured.target;
        // Only where the release states them do the replicas that it asked for differ from those that are owed now.
        let stated = captured.changes.iter().any(|c| c.path == "/spec/replicas");
        let was = Was {
            replicas: captured.was.replicas.filter(|_| !stated),
            ..captured.was.clone()
        };
        let message = match readiness::judge_release(object, &live.pods, live.floor, &was) {
            // Enough pods are well; those of what is taken back must not run beside them.
            Readiness::Ready => match readiness::others_run(object) {
                Some(message) if !was.unready => message,
                _ => return Back::Done,
            },
            Readiness::Progressing { reason, .. } if reason == readiness::WAITS_FOR_CONSUMER => {
                return Back::Done;
            }
            // Going back to what was not ready cannot make it ready. Its controller has to have seen it all the same.
            Readiness::Progressing { reason, .. } | Readiness::Failed { reason, .. }
                if was.unready && !matches!(reason, "NotObserved" | "Stale" | "Terminating") =>
            {
                return Back::Done;
            }
            Readiness::Progressing { message, .. } | Readiness::Failed { message, .. } => message,
        };
        match readiness::stuck(object, &live.pods) {
            stuck if stuck.is_empty() => {
                let message = readiness::with_pods(&message, object, &live.pods);
                Back::Settling(format!("{target}: {message}"))
            }
            stuck => self.unstick(captured, live, &stuck),
        }
    }

    /// What becomes of pods that a StatefulSet waits for and never replaces by itself.
    fn unstick(&self, captured: &Captured, live: &LiveComponent, stuck: &[Stuck]) -> Back {
        let named: Vec<String> = stuck
            .iter()
            .map(|pod| format!("{} ({})", pod.name, pod.why))
            .collect();
        let waits = format!("{} waits for its pods {}", captured.target, named.join(", "));
        if !self.licence.entered.delete_stuck_pods {
            let names: Vec<&str> = stuck.iter().map(|pod| pod.name.as_str()).collect();
            return Back::Stuck(format!(
                "{waits}: delete them (kubectl -n {} delete pod {})",
                self.licence.entered.target_namespace,
                names.join(" ")
            ));
        }
        match live.trouble.as_ref().filter(|t| self.now < t.again_at) {
            Some(trouble) => Back::Trouble(format!("{waits}: {}", trouble.message), Some(trouble.again_at)),
            None => self.delete(waits, stuck),
        }
    }

    /// One that is merely not ready may be starting: it is given the time that a workload has until it counts as unhealthy.
    fn delete(&self, waits: String, stuck: &[Stuck]) -> Back {
        let grace = self.o.settings.health_grace;
        let over = |pod: &Stuck| match pod.unready_since {
            Some(since) if pod.is_only_unready() => since + grace,
            _ => self.now,
        };
        let due: Vec<Stuck> = stuck
            .iter()
            .filter(|pod| over(pod) <= self.now)
            .cloned()
            .collect();
        if due.is_empty() {
            return Back::Trouble(waits, stuck.iter().map(over).min().map(whole_second_after));
        }
        Back::Delete(waits, due)
    }

    /// A restore that the API server has accepted and that did not last: another writer or admission undoes it. It is tried
    /// again after growing pauses, and then left to people.
    fn reverted(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Option<Back> {
        let began = self.p.backout.as_ref()?.started_at.as_ref().map(|t| t.0);
        let restores = live
            .restores
            .as_ref()
            .filter(|r| r.began == began && r.count > 0)?;
        let (path, wanted, found) = paths::wanted_and_found(&captured.changes, object, true)?;
        let differs = format!(
            "{}: {path} does not stay as it was: restored {} times, each accepted by the API server; wanted {wanted}, found \
             {found}{}",
            captured.target,
            restores.count,
            written_by(live, &path)
        );
        if restores.count >= MOST_RESTORES {
            let sentence = format!(
                "{differs}: stop that writer or admission policy, then decide BackOut, Accept or Abandon"
            );
            return Some(Back::Ask(reasons::FIELDS_CHANGED, sentence));
        }
        let pause = SignedDuration::from_secs(1 << restores.count.min(8));
        let again = whole_second_after(restores.last + pause);
        (self.now < again).then_some(Back::Trouble(differs, Some(again)))
    }

    /// Whether this attempt is known to have changed the target: what it has not even begun with is not its to overwrite.
    fn has_changed(&self, live: &LiveComponent, object: &Value) -> bool {
        let status = self.p.components.iter().find(|c| c.name == live.name);
        // Restored says that nothing of it stands there any more, also where nothing ever did.
        let began =
            status.is_some_and(|c| !matches!(c.state, ComponentState::Pending | ComponentState::Restored));
        let entered = self.p.started_at.as_ref().map(|t| t.0);
        let wrote = our_entry(object).and_then(|(_, entry)| entry.get("time")?.as_str()?.parse().ok());
        live.patched || began || self.p.deployed_at.is_some() || wrote >= entered && wrote.is_some()
    }

    /// Paths that are neither as captured nor as applied, with their writer. A person who decided on the backout overwrites
    /// single values; lists that somebody else changed are never put back unseen.
    fn foreign(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Vec<String> {
        let strange = paths::strange(&captured.changes, object).into_iter();
        strange
            .filter(|field| field.whole_list || !self.by_decision() || !self.has_changed(live, object))
            .map(|field| format!("{}{}", field.path, written_by(live, &field.path)))
            .collect()
    }

    /// Once everything is as it was: our entries in `managedFields` go back too, so that whoever owned the fields before may
    /// write them without force. Tried, and not insisted on: the backout is complete without it.
    fn give_back(&self) -> Vec<Action> {
        let components = self
            .licence
            .place
            .components
            .iter()
            .filter(|live| !live.given_back);
        components
            .filter_map(|live| {
                let captured = self.licence.pre_state.component(&live.name)?;
                let Live::Present(object) = &live.object else {
                    return None;
                };
                if captured.created() || captured.changes.is_empty() {
                    return None;
                }
                let (place, entry) = our_entry(object)?;
                let as_it_was = captured
                    .ours
                    .as_ref()
                    .is_some_and(|ours| ours.get("time") == entry.get("time"));
                if as_it_was {
                    return None;
                }
                let at = format!("/metadata/managedFields/{place}");
                let back = match &captured.ours {
                    Some(ours) => json!({"op": "replace", "path": at, "value": ours}),
                    None => json!({"op": "remove", "path": at}),
                };
                // No resourceVersion: others may write in between. Where that moves our entry in the list, it is looked for again.
                let operations = json!([
                    {"op": "test", "path": format!("{at}/manager"), "value": FIELD_MANAGER},
                    {"op": "test", "path": format!("{at}/time"), "value": entry.get("time")},
                    back,
                ]);
                let target = captured.target.clone();
                Some(self.change(
                    &live.name,
                    Change::GiveBack {
                        api_version: target.api_version,
                        kind: target.kind,
                        name: target.name,
                        operations,
                    },
                ))
            })
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
            component.since = Some(time(self.now));
            component.message = None;
            component.drift = None;
        }
        let says = "what ran before runs again, compared equal";
        to(next, announce(&self.p.name, reasons::BACKED_OUT, says))
    }
}

fn version_of(object: &Value) -> &str {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn delete_pod(pod: Stuck) -> Change {
    Change::Delete {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.name,
        uid: pod.uid,
    }
}

/// The backout failed: Red, Stalled, and the claim is kept so that nothing is built on sand.
fn failed(p: &Promotion, reason: &'static str, sentence: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Failed, now);
    // Why it was begun is what the reader looks for next.
    let cause = p.backout.as_ref().and_then(|b| b.reason.as_deref());
    let cause = cause.map_or_else(String::new, |cause| format!("; it began because {cause}"));
    next.message = Some(cut(format!("backout failed: {reason}: {sentence}{cause}")));
    next.finished_at = Some(time(now));
    if let Some(backout) = &mut next.backout {
        backout.state = BackoutState::Failed;
        backout.finished_at = Some(time(now));
    }
    to(
        next,
        announce(&p.name, reasons::FAILED, &format!("backout failed: {sentence}")),
    )
}
