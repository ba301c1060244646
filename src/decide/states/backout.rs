//! Backout: the captured pre-state is restored in reverse order, becomes ready, and every changed field is compared. Windows do
//! not hold it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{BackoutState, ComponentState, Entered, Promotion, State, sentence};
use crate::api::{FIELD_MANAGER, GoDuration, reasons, time};
use crate::decide::facts::{Live, LiveComponent, Observed, Place};
use crate::decide::licence::{self, How, Licence, Unlicensed};
use crate::decide::moves::{await_decision, moved, to};
use crate::decide::owned::{is_ours, our_entry};
use crate::decide::prestate::Captured;
use crate::decide::standing::written_by;
use crate::decide::step::{Effect, Move, announce};
use crate::decide::telling::{self, Says};
use crate::decide::{decisions, health, holdings, jobs, occupancy};
use crate::domain::paths;
use crate::domain::readiness::{self, Readiness, Stuck, Was};
use crate::domain::text::{capitalized, clause, cut};
use crate::domain::time::{earliest, whole_second_after};

/// After this many restores that the API server accepts but that do not last, a Decision is required.
const MOST_RESTORES: u32 = 5;

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    let licence = match Licence::of(o, p) {
        Ok(licence) => licence,
        Err(Unlicensed::NotRead) => return Move::Rest(None),
        // Nothing could be read of it ever after, nor would its Release be let go.
        Err(Unlicensed::NotEntered) => {
            let why = "Status says that a backout is in progress, but not which namespace was entered: another writer has changed status.";
            return failed(p, reasons::CONFLICT, why, now);
        }
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

/// The claim is not this attempt's: it is taken where that is allowed, else a Decision is required.
fn without_claim(o: &Observed, p: &Promotion, entered: &Entered, place: &Place, now: Timestamp) -> Move {
    // A BackOut of an entitled user is enough to claim again. Without one, only status would say that the backout was started.
    if place.claim.is_none() && decisions::backout_decided(o, p) {
        return Move::Do(vec![Effect::Claim {
            environment: p.name.clone(),
            namespace: entered.target_namespace.clone(),
            holder: o.holder(&p.name, p.attempt),
        }]);
    }
    // A Retry that never entered is backed out under the claim of the previous attempt.
    let earlier = place.claim.as_ref().filter(|c| {
        let holder = c.holder.as_ref();
        holder.is_some_and(|h| h.release_uid == o.uid() && h.environment == p.name)
    });
    if let Some(earlier) = earlier {
        return Move::Do(vec![Effect::TakeOver {
            environment: p.name.clone(),
            claim: earlier.clone(),
            holder: o.holder(&p.name, p.attempt),
        }]);
    }
    let lost = licence::claim_lost(o, place, &entered.target_namespace);
    await_decision(p, reasons::CLAIM_LOST, &lost, now)
}

struct Restoring<'a> {
    o: &'a Observed,
    p: &'a Promotion,
    licence: Licence<'a>,
    now: Timestamp,
}

/// How far the restore of one target is. The texts of `Ask` are complete sentences. All others follow a colon and have no full stop at
/// their end.
enum Back {
    /// As captured, and ready.
    Done,
    /// As captured, not ready yet. Why.
    Settling(String),
    Act(How),
    /// As captured, and its controller waits for pods that have to be deleted by hand. Which.
    Stuck(String),
    /// The same, and the operator deletes them.
    Delete(String, Vec<Stuck>),
    /// Could not be read or changed. Why, and when to try again.
    Trouble(String, Option<Timestamp>),
    /// A Decision is required.
    Ask(&'static str, String),
}

impl Restoring<'_> {
    fn step(&self) -> Move {
        let (mut actions, mut until, mut waiting_for) = (Vec::new(), None, Vec::new());
        let mut deletions = Vec::new();
        let (mut unfinished, mut said): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
        let mut told: Vec<Says<'_>> = Vec::new();
        // The time has expired: everything that can still be written is written, whatever it waits for.
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
            // Components that depend on this one are restored before it.
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
                Back::Ask(reason, message) => {
                    let mut p = self.p.clone();
                    let state = self.ended(name);
                    telling::set(&mut p, name, state, Some(message.clone()), self.now);
                    return await_decision(&p, reason, &message, self.now);
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
                Back::Act(_) if blocked && !over => waiting_for.push(format!(
                    "{} waits until components that depend on it are restored",
                    captured.target
                )),
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

    /// Every target is restored: field ownership is given back, and pods of the version that was backed out are waited for.
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

    /// The time has expired, and nothing more can be written.
    fn not_in_time(&self, waiting_for: &[String], told: Vec<Says<'_>>) -> Move {
        let what = if waiting_for.is_empty() {
            "not all targets are restored".to_owned()
        } else {
            let clauses: Vec<&str> = waiting_for.iter().map(|why| clause(why)).collect();
            clauses.join("; ")
        };
        let late = sentence(&format!("Not restored within {}: {what}", self.most()));
        let mut p = self.p.clone();
        let unrestored = told
            .into_iter()
            .filter(|says| says.state != ComponentState::Restored);
        for says in unrestored {
            let state = self.ended(says.component);
            telling::set(&mut p, says.component, state, says.message, self.now);
        }
        failed(&p, reasons::FAILED, &late, self.now)
    }

    /// How far the restore of one target is, for its component's status.
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
                    lingering.map(|lingering| sentence(&lingering.says())),
                )
            }
            Back::Act(_) if blocked => {
                let said = "Waits until components that depend on it are restored.";
                (ComponentState::Progressing, Some(said.to_owned()))
            }
            Back::Act(_) => (ComponentState::Progressing, None),
            Back::Settling(why)
            | Back::Stuck(why)
            | Back::Delete(why, _)
            | Back::Trouble(why, _)
            | Back::Ask(_, why) => (not_restored, Some(sentence(&capitalized(why)))),
        };
        Says {
            component,
            state,
            message,
            since: began.map_or(self.now, |t| t.0),
            look_again: !matches!(back, Back::Done) && telling::unnoticed(live),
        }
    }

    /// The state of a component that cannot be restored yet. One that was never changed stays Pending, so that a later reconcile knows it.
    fn not_restored(&self, component: &str) -> ComponentState {
        let status = self.p.components.iter().find(|c| c.name == component);
        match status {
            Some(status) if status.state == ComponentState::Pending => ComponentState::Pending,
            _ => ComponentState::Progressing,
        }
    }

    /// The state of the component that ends the backout.
    fn ended(&self, component: &str) -> ComponentState {
        match self.not_restored(component) {
            ComponentState::Pending => ComponentState::Pending,
            _ => ComponentState::Failed,
        }
    }

    fn change(&self, component: &str, change: How) -> Effect {
        Effect::Change(self.licence.change(component, change))
    }

    /// Refusals, and pods that have to be deleted, are recorded in status immediately, not only when the time has expired.
    fn says(&self, said: &[String], told: &[Says<'_>]) -> Option<Move> {
        if said.is_empty() {
            return None;
        }
        let clauses: Vec<&str> = said.iter().map(|said| clause(said)).collect();
        let message = cut(format!(
            "Not restored yet: {}{}",
            sentence(&clauses.join("; ")),
            cause(self.p)
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

    /// How long it may take: the plan's maxDuration, but no longer than the Environment lets a Release occupy it.
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
                    "{target} was deleted, so there is nothing to restore. Create it again by hand, then create a Decision (Accept or Abandon)."
                ),
            ),
            Live::Present(object) if captured.created() => self.uncreate(captured, object),
            Live::Present(object) => {
                let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
                if uid != captured.uid.as_deref() {
                    let replaced = format!(
                        "{target} was deleted and created again, so it is not the captured object. Correct it by hand, then create a Decision (Accept or Abandon)."
                    );
                    return Back::Ask(reasons::TARGET_GONE, replaced);
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
                format!(
                    "{target} did not exist before the entry, and this release did not create it. Check it, then create a Decision (Accept or Abandon)."
                ),
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
        Back::Act(How::Delete {
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
            let changed = format!(
                "{target}: another writer has changed {} since, and a backout would overwrite that. Restore these fields by hand, then \
                 create a Decision (Accept or Abandon).",
                foreign.join(", ")
            );
            return Back::Ask(reasons::FIELDS_CHANGED, changed);
        }
        if let Some(reverted) = self.reverted(captured, live, object) {
            return reverted;
        }
        let operations = paths::restoration(&captured.changes, object, version_of(object));
        if operations.is_empty() {
            // The fields that differ belong to an element that no longer exists.
            let fields = paths::untouched(&captured.changes, object)
                .err()
                .unwrap_or_default();
            let lost = format!(
                "{target}: {} cannot be restored, because the element that contains it was removed. Restore these fields by hand, \
                 then create a Decision (Accept or Abandon).",
                fields.join(", ")
            );
            return Back::Ask(reasons::FIELDS_CHANGED, lost);
        }
        let (api_version, kind, name) = (
            target.api_version.clone(),
            target.kind.clone(),
            target.name.clone(),
        );
        Back::Act(How::Restore {
            api_version,
            kind,
            name,
            operations: json!(operations),
        })
    }

    /// Whether the restored target is also as healthy as it was.
    fn settled(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Back {
        let target = &captured.target;
        // Only a release that states replicas changes how many are required now.
        let stated = captured.changes.iter().any(|c| c.path == "/spec/replicas");
        let was = Was {
            replicas: captured.was.replicas.filter(|_| !stated),
            ..captured.was.clone()
        };
        let message = match readiness::judge_release(object, &live.pods, live.floor, &was) {
            // Enough pods are healthy. Pods of the version that was backed out must not run beside them.
            Readiness::Ready => match readiness::others_run(object) {
                Some(message) if !was.unready => message,
                _ => return Back::Done,
            },
            Readiness::Progressing { reason, .. } if reason == readiness::WAITS_FOR_CONSUMER => {
                return Back::Done;
            }
            // A target that was not ready before cannot become ready by a restore. Its controller has to observe it all the same.
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

    /// How to handle pods that a StatefulSet waits for and never replaces by itself.
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

    /// A pod that is only not ready may be starting: it gets the same grace as a workload before it counts as unhealthy.
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

    /// A restore that the API server accepted but that did not last, because another writer or admission undoes it. It is retried
    /// after growing pauses; then a Decision is required.
    fn reverted(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Option<Back> {
        let began = self.p.backout.as_ref()?.started_at.as_ref().map(|t| t.0);
        let restores = live
            .restores
            .as_ref()
            .filter(|r| r.began == began && r.count > 0)?;
        let (path, wanted, found) = paths::wanted_and_found(&captured.changes, object, true)?;
        let differs = format!(
            "{}: {path} does not keep its restored value. It was restored {} and is now {found}, not {wanted}{}",
            captured.target,
            match restores.count {
                1 => "once".to_owned(),
                count => format!("{count} times"),
            },
            written_by(live, &path)
        );
        if restores.count >= MOST_RESTORES {
            let message = format!(
                "{differs}. Stop the writer or admission policy that changes it, then create a Decision (BackOut, Accept or Abandon)."
            );
            return Some(Back::Ask(reasons::FIELDS_CHANGED, message));
        }
        let pause = SignedDuration::from_secs(1 << restores.count.min(8));
        let again = whole_second_after(restores.last + pause);
        (self.now < again).then_some(Back::Trouble(differs, Some(again)))
    }

    /// Whether this attempt is known to have changed the target. A target that it has not started to change must not be overwritten.
    fn has_changed(&self, live: &LiveComponent, object: &Value) -> bool {
        let status = self.p.components.iter().find(|c| c.name == live.name);
        // Restored says that nothing of this attempt is on the target, also where nothing ever was.
        let began =
            status.is_some_and(|c| !matches!(c.state, ComponentState::Pending | ComponentState::Restored));
        let entered = self.p.started_at.as_ref().map(|t| t.0);
        let wrote = our_entry(object).and_then(|(_, entry)| entry.get("time")?.as_str()?.parse().ok());
        live.patched || began || self.p.deployed_at.is_some() || wrote >= entered && wrote.is_some()
    }

    /// Paths that are neither as captured nor as applied, with their writer. A BackOut by a Decision overwrites single values;
    /// lists that another writer changed are never overwritten.
    fn foreign(&self, captured: &Captured, live: &LiveComponent, object: &Value) -> Vec<String> {
        let strange = paths::strange(&captured.changes, object).into_iter();
        strange
            .filter(|field| field.whole_list || !self.by_decision() || !self.has_changed(live, object))
            .map(|field| format!("{}{}", field.path, written_by(live, &field.path)))
            .collect()
    }

    /// Once everything is restored, our entries in `managedFields` are restored too, so that the previous owner of the fields can write
    /// them without force. This is best effort: the backout is complete without it.
    fn give_back(&self) -> Vec<Effect> {
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
                // No resourceVersion, because others may write in between. If that moves our entry in the list, it is searched again.
                let operations = json!([
                    {"op": "test", "path": format!("{at}/manager"), "value": FIELD_MANAGER},
                    {"op": "test", "path": format!("{at}/time"), "value": entry.get("time")},
                    back,
                ]);
                let target = captured.target.clone();
                Some(self.change(
                    &live.name,
                    How::GiveBack {
                        api_version: target.api_version,
                        kind: target.kind,
                        name: target.name,
                        operations,
                    },
                ))
            })
            .collect()
    }

    /// Everything that was changed is restored, compared path by path, and ready.
    fn verified(&self) -> Move {
        let mut next = moved(self.p, State::BackedOut, self.now);
        let says = "Backout complete: every changed field matches the captured pre-state.";
        next.message = Some(cut(format!("{says}{}", cause(self.p))));
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
        to(next, announce(&self.p.name, reasons::BACKED_OUT, says))
    }
}

fn version_of(object: &Value) -> &str {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn delete_pod(pod: Stuck) -> How {
    How::Delete {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: pod.name,
        uid: pod.uid,
    }
}

/// Why the backout was started, as a sentence that follows another one.
fn cause(p: &Promotion) -> String {
    let cause = p.backout.as_ref().and_then(|b| b.reason.as_deref());
    cause.map_or_else(String::new, |cause| format!(" Cause: {}", sentence(cause)))
}

/// The backout failed: Red and Stalled. The claim is retained, so that no other release builds on that state.
fn failed(p: &Promotion, reason: &'static str, why: &str, now: Timestamp) -> Move {
    let mut next = moved(p, State::Failed, now);
    let reason = Some(reason).filter(|reason| *reason != reasons::FAILED);
    let reason = reason.map_or_else(String::new, |reason| format!("{reason}: "));
    next.message = Some(cut(format!("{reason}Backout failed. {why}{}", cause(p))));
    next.finished_at = Some(time(now));
    if let Some(backout) = &mut next.backout {
        backout.state = BackoutState::Failed;
        backout.finished_at = Some(time(now));
    }
    to(
        next,
        announce(&p.name, reasons::FAILED, &format!("Backout failed. {why}")),
    )
}
