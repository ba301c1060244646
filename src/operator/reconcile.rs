//! One pass over one object: observe, decide, apply, again while something was written.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use kube::ResourceExt;

use super::dispatch::Next;
use super::metrics::Metrics;
use super::{Context, unreadable};
use crate::api::Release;
use crate::api::release::{STATE_VERSION, State};
use crate::apply::{Applier, Progress};
use crate::cluster::Trouble;
use crate::cluster::requests::Requests;
use crate::decide::environment::{self, EnvironmentStep, Seen};
use crate::decide::facts::Observed;
use crate::decide::{Action, Step, decide};
use crate::expressions;
use crate::observe::Observer;
use crate::observe::index::Key;
use crate::observe::memory::Memory;
use crate::observe::queue::ENVIRONMENT_DEBOUNCE;

pub(super) async fn pass(context: &Context, key: &Key) -> Result<Next, Trouble> {
    let applier = Applier {
        observer: &context.observer,
        own: Some(key),
        reporter: &context.reporter,
        stopping: &context.stopping,
        term: &context.term,
    };
    let client = context.observer.client();
    match key {
        Key::Release { namespace, name } => {
            let unreadable = context.observer.index().unreadable(namespace, name).cloned();
            if let Some(unreadable) = unreadable {
                unreadable::say(client, namespace, name, &unreadable).await?;
                return Ok(Next::Rest);
            }
            let metrics = Some(&context.metrics);
            release(&applier, (namespace, name), metrics, Timestamp::now()).await
        }
        Key::Environment { name } => {
            let unreadable = context.observer.index().unreadable_environment(name).cloned();
            if let Some(unreadable) = unreadable {
                unreadable::say_environment(client, name, &unreadable).await?;
                return Ok(Next::Rest);
            }
            environment(&applier, name, Timestamp::now()).await
        }
    }
}

/// One step of one Release.
pub(crate) async fn release<C: Requests>(
    applier: &Applier<'_, C>,
    key: (&str, &str),
    metrics: Option<&Metrics>,
    now: Timestamp,
) -> Result<Next, Trouble> {
    let observer = applier.observer;
    let Some(uid) = observer.index().release(key.0, key.1).and_then(|r| r.uid()) else {
        return Ok(Next::Rest);
    };
    let mut recalled = Recalled {
        observer,
        key,
        memory: observer.recall(&uid),
        uid,
    };
    turn(applier, key, &mut recalled.memory, metrics, now).await
}

/// What is remembered, put back however the pass ends: also when it takes too long, or panics.
struct Recalled<'a, C: Requests> {
    observer: &'a Observer<C>,
    key: (&'a str, &'a str),
    uid: String,
    memory: Memory,
}

impl<C: Requests> Drop for Recalled<'_, C> {
    fn drop(&mut self) {
        let index = self.observer.index();
        let release = index.release(self.key.0, self.key.1).cloned();
        // Another one of that name may have taken its place meanwhile.
        let same = release.filter(|r| r.metadata.uid.as_deref() == Some(&self.uid));
        let asked = same.as_ref().map(|r| index.backouts_asked(r)).unwrap_or_default();
        drop(index);
        if let Some(release) = same.filter(|r| !is_settled(r) || !asked.is_empty()) {
            let mut memory = std::mem::take(&mut self.memory);
            memory.tidy(&release, &asked);
            self.observer.remember(&self.uid, memory);
        }
    }
}

fn is_settled(release: &Release) -> bool {
    release.status.as_ref().is_some_and(|s| {
        !s.environments.is_empty()
            && !s
                .environments
                .iter()
                .any(|p| p.state.before_entry() || p.state.under_way())
    })
}

/// One step. Others that are due have their turn before the next: where a window opens for many, each begins at once.
async fn turn<C: Requests>(
    applier: &Applier<'_, C>,
    (namespace, name): (&str, &str),
    memory: &mut Memory,
    metrics: Option<&Metrics>,
    now: Timestamp,
) -> Result<Next, Trouble> {
    if applier.stopping.load(Ordering::Relaxed) {
        return Ok(Next::Rest);
    }
    let Some(mut observed) = applier.observer.release(namespace, name, memory, now).await? else {
        return Ok(Next::Rest);
    };
    let newer = observed.release.status.as_ref().and_then(|s| s.state_version);
    if let Some(version) = newer.filter(|version| *version > STATE_VERSION) {
        tracing::warn!(
            state_version = version,
            "the status is of a newer operator, and is left as it is: run that version, or a newer one"
        );
    }
    let mut step = decide(&observed, now);
    let failing = failing(&observed, &step);
    if !failing.is_empty() {
        // A watch may be behind, and what it shows too late is no failure: what is given up is looked at first.
        for environment in &failing {
            memory.look_again(environment);
        }
        let Some(live) = applier.observer.release(namespace, name, memory, now).await? else {
            return Ok(Next::Rest);
        };
        step = decide(&live, now);
        observed = live;
    }
    if !matches!(step, Step::Wait(_)) && applier.term.holds().is_err() {
        // Either the Lease is renewed in a moment, or leadership ends.
        tracing::debug!("nothing is changed until the leader's Lease is renewed");
        return Ok(Next::Soon);
    }
    match step {
        Step::Transition(transition) => {
            let moved = metrics.map(|m| m.moves(&observed, &transition.status));
            applier.transition(&observed, *transition).await?;
            if let Some(moved) = moved {
                moved.count();
            }
        }
        Step::Act(actions) => {
            if actions.iter().any(Action::rests_on_status) {
                applier.observer.look_before_first(&observed, memory).await?;
            }
            match applier.act(&observed, actions, memory, now).await? {
                Progress::Again => {}
                Progress::Later => return Ok(Next::Soon),
                Progress::Stopped => return Ok(Next::Rest),
            }
        }
        Step::Wait(wait) => return Ok(wait.until.map_or(Next::Rest, Next::At)),
    }
    Ok(Next::Turn)
}

/// The environments in which `step` gives up what is under way, begins it again, or hands it over to people.
fn failing(observed: &Observed, step: &Step) -> Vec<String> {
    let Step::Transition(transition) = step else {
        return vec![];
    };
    let acts = |state| {
        matches!(
            state,
            State::Deploying | State::Verifying | State::Observing | State::BackingOut
        )
    };
    // Going back to Waiting throws away what was captured, because a target looks edited.
    let ends = |state| {
        matches!(
            state,
            State::BackingOut | State::AwaitingDecision | State::Failed | State::Waiting
        )
    };
    let moves = transition.status.environments.iter().filter(|next| {
        let was = observed.release.promotion(&next.name).map(|p| p.state);
        was.is_some_and(|was| was != next.state && acts(was)) && ends(next.state)
    });
    moves.map(|next| next.name.clone()).collect()
}

/// One step of one Environment.
pub(crate) async fn environment<C: Requests>(
    applier: &Applier<'_, C>,
    name: &str,
    now: Timestamp,
) -> Result<Next, Trouble> {
    let observer = applier.observer;
    let Some(setting) = observer.index().environments().get(name).cloned() else {
        return Ok(Next::Rest);
    };
    let step = {
        let problems = expressions::problems(&setting.environment.spec, |text| observer.compiled(text));
        let problems: Vec<String> = problems.into_iter().map(|p| p.sentence).collect();
        let index = observer.index();
        let releases: Vec<_> = index
            .releases()
            .filter(|r| r.promotion(name).is_some())
            .cloned()
            .collect();
        let claims: Vec<_> = index
            .claims()
            .filter(|c| c.holder.as_ref().is_some_and(|h| h.environment == name))
            .cloned()
            .collect();
        let drifted = |release: &Release, environment: &str, component: &str| {
            drifted(&index, release, environment, component).unwrap_or(false)
        };
        let seen = Seen {
            setting: &setting,
            releases: &releases,
            claims: &claims,
            expression_problems: &problems,
            drifted: &drifted,
        };
        environment::decide(&seen, now)
    };
    if !matches!(step, EnvironmentStep::Wait(_)) && applier.term.holds().is_err() {
        return Ok(Next::Soon);
    }
    match step {
        EnvironmentStep::AddFinalizer => {
            applier.environment_finalizer(&setting.environment, true).await?;
            Ok(Next::Soon)
        }
        EnvironmentStep::RemoveFinalizer => {
            applier.environment_finalizer(&setting.environment, false).await?;
            Ok(Next::Rest)
        }
        EnvironmentStep::Write(status) => {
            applier.environment_status(&setting.environment, *status).await?;
            // For the next edge; no sooner than anything else that happens would be written.
            Ok(Next::At(now + ENVIRONMENT_DEBOUNCE))
        }
        EnvironmentStep::Wait(until) => Ok(until.map_or(Next::Rest, Next::At)),
    }
}

/// Whether the images that a promotion put in are not the ones that run.
fn drifted(
    index: &crate::observe::index::Index,
    release: &Release,
    environment: &str,
    component: &str,
) -> Option<bool> {
    let promotion = release.promotion(environment)?;
    let stated = release.spec.components.iter().find(|c| c.name == component)?;
    let namespace = &promotion.entered.as_ref()?.target_namespace;
    let live = index.workload(&stated.target.kind, namespace, &stated.target.name)?;
    let runs = live.images();
    Some(stated.images.iter().any(|i| {
        !runs
            .iter()
            .any(|(c, image)| *c == i.container && *image == i.image)
    }))
}
