//! One step of one Release.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::release::{STATE_VERSION, State};
use crate::api::{Release, ReleaseStatus};
use crate::apply::{Applier, Progress};
use crate::cache::knowledge::Knowledge;
use crate::cache::memory::Memory;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::Decide;
use crate::decide::facts::Observed;
use crate::decide::step::{Effect, Step};
use crate::observe::Observer;
use crate::reconcile::done::{Done, Ended, Next};

/// One step of one Release.
pub(crate) async fn release<C: Requests>(
    observer: &Observer<C>,
    decide: Decide,
    applier: &Applier<'_, C>,
    key: (&str, &str),
    now: Timestamp,
) -> Result<Done, RequestError> {
    let Some(uid) = observer.index().release(key.0, key.1).and_then(|r| r.uid()) else {
        return Ok(Next::Rest.into());
    };
    let mut recalled = Recalled {
        knowledge: observer.knowledge(),
        key,
        memory: observer.knowledge().recall(&uid),
        uid,
    };
    turn(observer, decide, applier, key, &mut recalled.memory, now).await
}

/// The cached data of a Release, stored again however the reconcile ends: also after a timeout or a panic.
struct Recalled<'a> {
    knowledge: &'a Knowledge,
    key: (&'a str, &'a str),
    uid: String,
    memory: Memory,
}

impl Drop for Recalled<'_> {
    fn drop(&mut self) {
        let index = self.knowledge.index();
        let release = index.release(self.key.0, self.key.1).cloned();
        // Another Release of that name may have replaced it in the meantime.
        let same = release.filter(|r| r.metadata.uid.as_deref() == Some(&self.uid));
        let asked = same.as_ref().map(|r| index.backouts_asked(r)).unwrap_or_default();
        drop(index);
        if let Some(release) = same.filter(|r| !is_settled(r) || !asked.is_empty()) {
            let mut memory = std::mem::take(&mut self.memory);
            memory.tidy(&release, &asked);
            self.knowledge.remember(&self.uid, memory);
        }
    }
}

fn is_settled(release: &Release) -> bool {
    release
        .status
        .as_ref()
        .is_some_and(|s| !s.environments.is_empty() && s.environments.iter().all(|p| p.state.has_ended()))
}

/// One step. Other due objects have their turn before the next step: when a window opens for many, each starts immediately.
async fn turn<C: Requests>(
    observer: &Observer<C>,
    decide: Decide,
    applier: &Applier<'_, C>,
    (namespace, name): (&str, &str),
    memory: &mut Memory,
    now: Timestamp,
) -> Result<Done, RequestError> {
    if applier.stopping.load(Ordering::Relaxed) {
        return Ok(Next::Rest.into());
    }
    let Some(mut observed) = observer.release(namespace, name, memory, now).await? else {
        return Ok(Next::Rest.into());
    };
    let newer = observed.release.status.as_ref().and_then(|s| s.state_version);
    if let Some(version) = newer.filter(|version| *version > STATE_VERSION) {
        tracing::warn!(
            state_version = version,
            "The status was written by a newer operator and is not changed. Run that version or a newer one."
        );
    }
    let mut step = decide(&observed, now);
    let failing = failing(&observed, &step);
    if !failing.is_empty() {
        // A watch may be stale, and stale data is no failure: targets are read live before a promotion is given up.
        for environment in &failing {
            memory.look_again(environment);
        }
        let Some(live) = observer.release(namespace, name, memory, now).await? else {
            return Ok(Next::Rest.into());
        };
        step = decide(&live, now);
        observed = live;
    }
    if !matches!(step, Step::Wait(_)) && applier.term.holds().is_err() {
        // Either the Lease is renewed in a moment, or leadership is lost.
        tracing::debug!("Nothing is changed until the leader's Lease is renewed.");
        return Ok(Next::Soon.into());
    }
    match step {
        Step::Transition(transition) => {
            let ended = ended(&observed, &transition.status);
            applier.transition(&observed, *transition).await?;
            return Ok(Done {
                next: Next::Turn,
                ended,
            });
        }
        Step::Act(actions) => {
            if actions.iter().any(Effect::rests_on_status) {
                observer.look_before_first(&observed, memory).await?;
            }
            match applier.act(&observed, actions, memory, now).await? {
                Progress::Again => {}
                Progress::Later => return Ok(Next::Soon.into()),
                Progress::Stopped => return Ok(Next::Rest.into()),
            }
        }
        Step::Wait(wait) => return Ok(wait.until.map_or(Next::Rest, Next::At).into()),
    }
    Ok(Next::Turn.into())
}

/// The environments in which `step` gives up a promotion in progress, starts it again, or requires a Decision.
fn failing(observed: &Observed, step: &Step) -> Vec<String> {
    let Step::Transition(transition) = step else {
        return vec![];
    };
    // A return to Waiting drops what was captured, because a target appears to be edited. BackedOut is the success of a backout.
    let ends = |state: State| state == State::Waiting || state.went_wrong() && !state.is_over();
    let moves = transition.status.environments.iter().filter(|next| {
        let was = observed.release.promotion(&next.name).map(|p| p.state);
        was.is_some_and(|was| was != next.state && was.acts()) && ends(next.state)
    });
    moves.map(|next| next.name.clone()).collect()
}

/// Promotions that finish with the status `next` and had not finished before.
fn ended(o: &Observed, next: &ReleaseStatus) -> Vec<Ended> {
    let over = next.environments.iter().filter(|p| p.state.ended_after_entry());
    over.filter(|p| o.release.promotion(&p.name).map(|was| was.state) != Some(p.state))
        .map(|p| Ended {
            stage: p.entered.as_ref().map(|e| e.stage),
            state: p.state,
        })
        .collect()
}
