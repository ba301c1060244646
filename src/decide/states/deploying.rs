//! Deploying: targets are changed in order and become ready.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::release::{Component, ComponentState, Promotion, State, sentence};
use crate::api::{reasons, time};

use crate::decide::facts::{Live, LiveComponent, Observed};
use crate::decide::licence::{How, Licence};
use crate::decide::moves::{await_decision, fail, inconclusive, moved, to};
use crate::decide::owned::{is_ours, labels};
use crate::decide::prestate::Captured;
use crate::decide::standing::{Standing, gone, is_stale, last_written, put_back_by, standing};
use crate::decide::states::after_entry::{after_entry, backout_asked};
use crate::decide::states::verifying;
use crate::decide::step::{Effect, Move};
use crate::decide::telling::{self, Says};
use crate::decide::{health, jobs};
use crate::domain::readiness::{self, Readiness};
use crate::domain::text::cut;
use crate::domain::time::{earliest, whole_second_after};
use crate::domain::{patches, paths};

/// How long a ready component waits, so that others are latched with it by one write.
const TOGETHER: SignedDuration = SignedDuration::from_secs(1);

/// A controller has observed a new object by then.
const SEEN_BY_CONTROLLER: SignedDuration = SignedDuration::from_secs(6);

pub(crate) fn step(o: &Observed, p: &Promotion, now: Timestamp) -> Move {
    if let Some(asked) = backout_asked(o, p, now) {
        return asked;
    }
    match after_entry(o, p, now) {
        Ok(licence) => Deploy { o, p, licence, now }.step(),
        Err(other) => other,
    }
}

struct Deploy<'a> {
    o: &'a Observed,
    p: &'a Promotion,
    licence: Licence<'a>,
    now: Timestamp,
}

/// What one component needs.
enum Need {
    Nothing,
    /// Ready, not yet latched: by when it is.
    Latch(Timestamp),
    /// It was Ready and is no longer: that it was is recorded immediately, so that it is not required again.
    LatchNow,
    Wait(Option<Timestamp>),
    /// With the reason and message of the last failure, if there was one.
    Act(Box<Effect>, Option<(&'static str, String)>),
    Trouble(&'static str, String, Timestamp),
    Move(Move),
}

impl Need {
    fn is_ready(&self) -> bool {
        matches!(self, Self::Latch(_) | Self::LatchNow)
    }
}

impl Deploy<'_> {
    fn step(&self) -> Move {
        let components = &self.o.release.spec.components;
        let needs: Vec<(&Component, Need)> = components.iter().map(|c| (c, self.need(c))).collect();
        let ready = needs.iter().filter(|(_, need)| need.is_ready());
        let ready: Vec<&str> = ready.map(|(component, _)| component.name.as_str()).collect();
        let (mut actions, mut until, mut trouble) = (Vec::new(), None, None);
        let (mut all_ready, mut at_once, mut due) = (true, false, None);
        let mut said = Vec::new();
        for (component, need) in needs {
            said.extend(self.says(component, &need));
            match need {
                Need::Nothing => {}
                Need::Latch(by) => due = earliest(due, Some(by)),
                Need::LatchNow => at_once = true,
                Need::Wait(edge) => {
                    all_ready = false;
                    until = earliest(until, edge);
                }
                Need::Act(action, before) => {
                    all_ready = false;
                    // A retry that is due is not a success, and only a success clears what is persisted.
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
                Need::Move(other) => return self.with_latches(other, &ready),
            }
        }
        if all_ready && !at_once {
            return self.deployed();
        }
        let (other, edge) = inconclusive(
            self.o,
            self.p,
            trouble.as_ref().map(|(r, m)| (*r, m.as_str())),
            self.now,
        );
        if let Some(other) = other {
            return self.with_latches(other, &ready);
        }
        if at_once || due.is_some_and(|due| self.now >= due) {
            return to(self.latch(self.p.clone(), &ready), vec![]);
        }
        if !actions.is_empty() {
            return Move::Do(actions);
        }
        let (told, again) = telling::tell(self.p, said, self.now);
        match told {
            // Components that are Ready by then are latched with it.
            Some(told) => to(self.latch(told, &ready), vec![]),
            None => Move::Rest([edge, again, due].into_iter().fold(until, earliest)),
        }
    }

    /// By when a ready component is latched: immediately if another one waits for it, else after the time in which others may become
    /// ready with it.
    fn latched_by(&self, live: &LiveComponent) -> Timestamp {
        let became = live.became_ready.filter(|_| !self.somebody_waits_for(&live.name));
        became.map_or(self.now, |became| whole_second_after(became.at + TOGETHER))
    }

    /// The same move, with every component latched that is ready by now: after Deploying, nothing is latched any more.
    fn with_latches(&self, other: Move, ready: &[&str]) -> Move {
        match other {
            Move::To(next, announcements) if !next.state.before_entry() => {
                to(self.latch(*next, ready), announcements)
            }
            other => other,
        }
    }

    /// The state and message of a component, if there is anything to report.
    fn says<'c>(&self, component: &'c Component, need: &Need) -> Option<Says<'c>> {
        let name = component.name.as_str();
        let live = self.licence.place.components.iter().find(|c| c.name == *name)?;
        let captured = self.licence.pre_state.component(name)?;
        let status = self.p.components.iter().find(|c| c.name == name)?;
        if status.state == ComponentState::Ready {
            return Some(health::health_says(self.o, self.p, name, live, self.now));
        }
        match (need, &live.object) {
            // Latched with the next write, which comes soon if its current message is out of date.
            (need, _) if need.is_ready() && status.message.is_some() => {
                Some(Says::well(name, ComponentState::Ready))
            }
            (Need::Wait(_), _) if self.blocked_by(component).is_some() => Some(Says {
                component: name,
                state: ComponentState::Pending,
                message: self
                    .blocked_by(component)
                    .map(|after| format!("Waits until {after} is Ready.")),
                since: self.p.started_at.as_ref().map_or(self.now, |t| t.0),
                look_again: false,
            }),
            (Need::Wait(_), Live::Present(object)) if !is_stale(live) => {
                match readiness::judge_release(object, &live.pods, live.floor, &captured.was) {
                    Readiness::Ready => None,
                    Readiness::Progressing { message, .. } | Readiness::Failed { message, .. } => {
                        Some(Says {
                            component: name,
                            state: ComponentState::Progressing,
                            message: Some(not_ready(&readiness::with_pods(&message, object, &live.pods))),
                            since: self.began(component, object),
                            look_again: telling::unnoticed(live),
                        })
                    }
                }
            }
            _ => None,
        }
    }

    /// What has to be Ready before this component is changed.
    fn blocked_by<'c>(&self, component: &'c Component) -> Option<&'c str> {
        let mut awaited = component.after.iter().map(String::as_str);
        awaited.find(|after| self.state_of(after) != Some(ComponentState::Ready))
    }

    /// `p` as failed because of one component.
    fn failed_by(&self, name: &str, message: &str) -> Promotion {
        let mut p = self.p.clone();
        telling::set(
            &mut p,
            name,
            ComponentState::Failed,
            Some(message.to_owned()),
            self.now,
        );
        p
    }

    fn state_of(&self, name: &str) -> Option<ComponentState> {
        self.p.components.iter().find(|c| c.name == name).map(|c| c.state)
    }

    fn somebody_waits_for(&self, name: &str) -> bool {
        self.o.release.spec.components.iter().any(|c| {
            c.after.iter().any(|a| a == name) && self.state_of(&c.name) != Some(ComponentState::Ready)
        })
    }

    /// `next` with these components Ready.
    fn latch(&self, mut next: Promotion, ready: &[&str]) -> Promotion {
        for status in next
            .components
            .iter_mut()
            .filter(|c| ready.contains(&c.name.as_str()))
        {
            if status.ready_at.is_none() {
                let live = self
                    .licence
                    .place
                    .components
                    .iter()
                    .find(|c| c.name == status.name);
                let became = live.and_then(|live| live.became_ready);
                status.state = ComponentState::Ready;
                status.message = None;
                status.since = Some(time(self.now));
                status.ready_at = Some(time(became.map_or(self.now, |became| became.at)));
                status.ready_pods = match became {
                    Some(became) => became.pods,
                    None => live.and_then(|live| readiness::pods_when_ready(live.object.present()?)),
                };
            }
        }
        next
    }

    fn need(&self, component: &Component) -> Need {
        let name = &component.name;
        let (Some(captured), Some(live)) = (
            self.licence.pre_state.component(name),
            self.licence.place.components.iter().find(|c| c.name == *name),
        ) else {
            return Need::Wait(None);
        };
        if is_stale(live) {
            // Read before our own patch, so it does not show who changed what.
            return Need::Wait(None);
        }
        let is_latched = self.state_of(name) == Some(ComponentState::Ready);
        match standing(self.o, &self.p.name, captured, live) {
            Standing::Unread => match &live.trouble {
                Some(t) => Need::Trouble(t.reason, t.message.clone(), t.again_at),
                None => Need::Wait(None),
            },
            Standing::Gone(why) => Need::Move(await_decision(
                self.p,
                reasons::TARGET_GONE,
                &gone(&why),
                self.now,
            )),
            Standing::Changed(fields) => self.changed(live, &fields),
            Standing::Untouched if captured.changes.is_empty() && !captured.created() => Need::Nothing,
            Standing::Untouched if is_latched || live.patched => {
                let by = put_back_by(captured, live);
                let why = format!("{} was reverted to its previous state{by}.", captured.target);
                Need::Move(fail(self.o, self.p, reasons::FIELDS_CHANGED, &why, self.now))
            }
            Standing::Untouched => self.untouched(component, captured, live),
            Standing::Applied if is_latched => self.latched_before(component, captured, live),
            Standing::Applied => self.applied(component, captured, live),
        }
    }

    /// Our fields are neither as captured nor as released.
    fn changed(&self, live: &LiveComponent, fields: &[String]) -> Need {
        let fields = fields.join(", ");
        if live.patched {
            let why = format!("Another writer changed {fields}.");
            return Need::Move(fail(self.o, self.p, reasons::FIELDS_CHANGED, &why, self.now));
        }
        // While it is unknown whether this release has changed anything, it neither goes back nor asks for a Decision: it reads again.
        let hidden = |live: &&LiveComponent| live.unsure || matches!(live.object, Live::Unread);
        if let Some(live) = self.licence.place.components.iter().find(hidden) {
            return match &live.trouble {
                Some(t) => Need::Trouble(t.reason, t.message.clone(), t.again_at),
                None => Need::Wait(None),
            };
        }
        // What the previous attempt of a Retry left counts as a patch: a new capture would lose the state before it.
        if self.anything_applied() || self.p.attempt > 1 {
            let why = format!(
                "Another writer changed {fields} before this component was patched. A Decision is required (BackOut, Accept or Abandon)."
            );
            return Need::Move(await_decision(self.p, reasons::FIELDS_CHANGED, &why, self.now));
        }
        // Nothing is changed yet: the captured pre-state is discarded and all checks are evaluated again.
        let mut next = moved(self.p, State::Waiting, self.now);
        next.message = Some(cut(format!(
            "Another writer changed {fields} after the pre-state was captured. The pre-state is captured again."
        )));
        next.backout = None;
        Need::Move(to(next, vec![]))
    }

    fn anything_applied(&self) -> bool {
        self.licence.place.components.iter().any(|live| {
            let captured = self.licence.pre_state.component(&live.name);
            captured.is_some_and(|c| self.touched(c, live))
        })
    }

    /// Whether this attempt has changed the target, as far as this process, status or the target show.
    fn touched(&self, captured: &Captured, live: &LiveComponent) -> bool {
        if captured.changes.is_empty() && !captured.created() {
            return false;
        }
        let latched = self.state_of(&live.name) == Some(ComponentState::Ready);
        let Live::Present(object) = &live.object else {
            return live.patched || latched;
        };
        let bears_ours = paths::bears(&captured.changes, object);
        let began = self.p.started_at.as_ref().map_or(self.now, |t| t.0);
        let wrote = last_written(object).is_some_and(|at| at >= began);
        live.patched
            || latched
            || bears_ours
            || wrote
            || (captured.created() && is_ours(self.o, &self.p.name, object))
    }

    fn untouched(&self, component: &Component, captured: &Captured, live: &LiveComponent) -> Need {
        if self.blocked_by(component).is_some() {
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
            Ok(change) if takes_uncaptured(&change, captured, &live.object) => self.changed(
                live,
                &[format!(
                    "{} (the pre-state does not contain all fields that would be removed)",
                    captured.target
                )],
            ),
            Ok(change) => Need::Act(
                Box::new(Effect::Change(self.licence.change(&component.name, change))),
                live.trouble.as_ref().map(|t| (t.reason, t.message.clone())),
            ),
            Err(why) => Need::Move(fail(
                self.o,
                self.p,
                reasons::CONFLICT,
                &sentence(&why.to_string()),
                self.now,
            )),
        }
    }

    fn applied(&self, component: &Component, captured: &Captured, live: &LiveComponent) -> Need {
        let Live::Present(object) = &live.object else {
            return Need::Wait(None);
        };
        let began = self.began(component, object);
        let deadline = whole_second_after(began + component.ready_within.get());
        let (floor, was) = (live.floor, &captured.was);
        match readiness::judge_release(object, &live.pods, floor, was) {
            Readiness::Ready => Need::Latch(self.latched_by(live)),
            // Its controller has not observed a resize yet, which does no harm.
            Readiness::Progressing {
                reason: "NotObserved",
                ..
            } if live.became_ready.is_some() => Need::Latch(self.latched_by(live)),
            _ if live.became_ready.is_some() => Need::LatchNow,
            Readiness::Progressing { reason, .. } if reason == readiness::WAITS_FOR_CONSUMER => {
                // Whether a PersistentVolumeClaim binds immediately shows only once its controller has observed it.
                let told = whole_second_after(began + SEEN_BY_CONTROLLER);
                if self.now < told {
                    Need::Wait(Some(told))
                } else if self.somebody_waits_for(&component.name) {
                    Need::Latch(self.now)
                } else {
                    // Nothing waits for it, but it is not ready either.
                    Need::Nothing
                }
            }
            Readiness::Failed { .. } | Readiness::Progressing { .. }
                if self.is_over(deadline, object)
                    && readiness::good_enough(object, &live.pods, floor, was) =>
            {
                Need::Latch(self.now)
            }
            Readiness::Failed { reason, message } => {
                let message = readiness::with_pods(&message, object, &live.pods);
                let why = sentence(&format!("{}: {reason}: {message}", captured.target));
                let failed = self.failed_by(&component.name, &not_ready(&message));
                Need::Move(fail(self.o, &failed, reasons::FAILED, &why, self.now))
            }
            Readiness::Progressing { message, .. } if self.now >= deadline => {
                let message = readiness::with_pods(&message, object, &live.pods);
                let why = sentence(&format!(
                    "{} is not ready within {}: {message}",
                    captured.target, component.ready_within
                ));
                let failed = self.failed_by(&component.name, &not_ready(&message));
                Need::Move(fail(self.o, &failed, reasons::READY_TOO_LATE, &why, self.now))
            }
            Readiness::Progressing { .. } => {
                // Kinds that are not watched are read again while they are what is waited for.
                let again = live.trouble.as_ref().map(|t| t.again_at);
                Need::Wait(earliest(Some(deadline), again))
            }
        }
    }

    /// It is not going to become ready: its time has expired, or its controller has given up.
    fn is_over(&self, deadline: Timestamp, object: &Value) -> bool {
        self.now >= deadline || readiness::deadline_exceeded(object)
    }

    /// A component that was Ready is not waited for again, but one that has become unhealthy stops the rollout.
    fn latched_before(&self, component: &Component, captured: &Captured, live: &LiveComponent) -> Need {
        if let Some(why) = health::loss(self.o, self.p, captured, live, self.now) {
            let failed = self.failed_by(&component.name, &why);
            return Need::Move(fail(self.o, &failed, reasons::HEALTH_LOST, &why, self.now));
        }
        if let Some(since) = live.unhealthy_since {
            return Need::Wait(Some(whole_second_after(since + self.o.settings.health_grace)));
        }
        self.bound(component, captured, live)
    }

    /// A PersistentVolumeClaim that waited for its consumer has to be bound once a component that uses it is Ready.
    fn bound(&self, component: &Component, captured: &Captured, live: &LiveComponent) -> Need {
        let Live::Present(object) = &live.object else {
            return Need::Nothing;
        };
        if !readiness::waits_for_consumer(object) {
            return Need::Nothing;
        }
        let used = |other: &&LiveComponent| match &other.object {
            Live::Present(user) => readiness::uses_claim(user, &captured.target.name),
            _ => false,
        };
        let users = self.licence.place.components.iter().filter(used);
        let ready_at = users.filter_map(|user| {
            let status = self.p.components.iter().find(|c| c.name == user.name)?;
            let persisted = status.ready_at.as_ref().map(|at| at.0);
            persisted.or(user.became_ready.map(|became| became.at))
        });
        let Some(since) = ready_at.max() else {
            return Need::Nothing;
        };
        let deadline = whole_second_after(since + component.ready_within.get());
        if self.now < deadline {
            let again = live.trouble.as_ref().map(|t| t.again_at);
            return Need::Wait(earliest(Some(deadline), again));
        }
        let why = format!(
            "{} is not bound within {} although its consumer is ready.",
            captured.target, component.ready_within
        );
        Need::Move(fail(self.o, self.p, reasons::READY_TOO_LATE, &why, self.now))
    }

    /// The start of its time to become ready: its turn, or our own write if that came later, because no operator was running.
    fn began(&self, component: &Component, object: &Value) -> Timestamp {
        last_written(object).map_or_else(|| self.turn(component), |at| at.max(self.turn(component)))
    }

    /// When this component's turn came: at the entry, or when the last component that it waits for was ready.
    fn turn(&self, component: &Component) -> Timestamp {
        let entered = self.p.started_at.as_ref().map_or(self.now, |t| t.0);
        let awaited = self
            .p
            .components
            .iter()
            .filter(|c| component.after.contains(&c.name));
        awaited
            .filter_map(|c| c.ready_at.as_ref())
            .map(|t| t.0)
            .fold(entered, Timestamp::max)
    }

    fn deployed(&self) -> Move {
        let names: Vec<&str> = self.p.components.iter().map(|c| c.name.as_str()).collect();
        let mut next = self.latch(self.p.clone(), &names);
        next.inconclusive = None;
        let entered = self.licence.entered;
        if entered.verification.is_empty()
            && entered.observation.is_none()
            && let Some(waits) = health::until_alone(self.o, self.p, &next, self.licence.place, self.now)
        {
            return waits;
        }
        next.deployed_at = Some(time(self.now));
        if self.licence.entered.verification.is_empty() {
            return verifying::verified(self.o, next, &self.licence, self.now);
        }
        let mut next = Promotion {
            verification: vec![],
            ..moved(&next, State::Verifying, self.now)
        };
        // Their names are part of the write that makes them due: no further write, and the names cannot be predicted.
        for item in &entered.verification {
            let check = format!("verification/{}", item.name);
            if let Some(job) = item.job.as_ref().filter(|_| jobs::run(&next, &check).is_none()) {
                let run = jobs::named(self.o, &next, &check, &job.template);
                jobs::record(&mut next, self.licence.place, run);
            }
        }
        to(next, vec![])
    }
}

/// The message of a component that is not ready. `why` is a clause.
fn not_ready(why: &str) -> String {
    sentence(&format!("Not ready: {why}"))
}

/// Whether the change removes something from the target that was not captured: what others have added since to a part that is
/// replaced or removed could not be restored.
fn takes_uncaptured(change: &How, captured: &Captured, live: &Live) -> bool {
    let (How::Patch { patch, .. }, Live::Present(object)) = (change, live) else {
        return false;
    };
    let taken = paths::taken_away(patch, object);
    taken.iter().any(|path| !paths::covers(&captured.changes, path))
}

/// The change that takes a target from what was captured to what is released.
///
/// # Errors
/// The container no longer exists, or a list element is named by its position.
pub(crate) fn forward(
    o: &Observed,
    environment: &str,
    attempt: i64,
    component: &Component,
    captured: &Captured,
    live: &Live,
) -> Result<How, patches::Unsendable> {
    let restarted_for = captured.restarted_for.as_deref();
    change(
        o.name(),
        environment,
        attempt,
        component,
        restarted_for,
        live.present(),
    )
}

/// The change that takes a target from `live` to what the component states. Absent: it is to be created.
///
/// # Errors
/// The container no longer exists, a list element is named by its position, or a target that does not exist is not named in full.
pub(crate) fn change(
    release: &str,
    environment: &str,
    attempt: i64,
    component: &Component,
    restarted_for: Option<&str>,
    live: Option<&Value>,
) -> Result<How, patches::Unsendable> {
    let target = &component.target;
    let stated = patches::overlay(component.patch.as_ref(), component.override_for(environment));
    let stated_target = patches::Target::from(&component.target);
    match live {
        Some(object) => {
            let stated = patches::Stated {
                patch: stated.as_ref(),
                images: &component.image_pairs(),
                remove: &component.remove,
                replace: &component.replace,
                restarted_for,
            };
            let patch = patches::forward(&stated_target, object, &stated)?;
            Ok(How::Patch {
                api_version: target.api_version.clone(),
                kind: target.kind.clone(),
                name: target.name.clone(),
                patch,
            })
        }
        None => {
            let labels = labels(release, environment, attempt, &component.name);
            let stated = stated.unwrap_or_else(|| json!({}));
            let object = patches::creation(
                &stated_target,
                &stated,
                &component.image_pairs(),
                restarted_for,
                &labels,
            )?;
            Ok(How::Create { object })
        }
    }
}
