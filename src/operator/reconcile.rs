//! One pass over one object: observe, decide, apply, again while something was written.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use kube::ResourceExt;

use super::dispatch::Next;
use super::{Context, unreadable};
use crate::api::Release;
use crate::api::release::State;
use crate::apply::{Applier, Progress};
use crate::cluster::Trouble;
use crate::decide::environment::{self, EnvironmentStep, Seen};
use crate::decide::facts::Observed;
use crate::decide::{Step, decide, patches};
use crate::observe::index::Key;
use crate::observe::memory::Memory;
use crate::observe::queue::ENVIRONMENT_DEBOUNCE;

/// Turns in a row after which a Release that has still not come to rest is given a pause.
const TURNS_IN_A_ROW: usize = 24;

pub(super) async fn pass(context: &Context, key: &Key) -> Result<Next, Trouble> {
    match key {
        Key::Release { namespace, name } => release(context, key, namespace, name).await,
        Key::Environment { name } => environment(context, key, name).await,
    }
}

async fn release(context: &Context, key: &Key, namespace: &str, name: &str) -> Result<Next, Trouble> {
    let unreadable = context.observer.index().unreadable(namespace, name).cloned();
    if let Some(unreadable) = unreadable {
        unreadable::say(context.observer.client(), namespace, name, &unreadable).await?;
        return Ok(Next::Rest);
    }
    let Some(uid) = context
        .observer
        .index()
        .release(namespace, name)
        .and_then(|r| r.uid())
    else {
        return Ok(Next::Rest);
    };
    let mut recalled = Recalled {
        context,
        key: (namespace, name),
        memory: context.observer.recall(&uid),
        uid,
    };
    turn(context, key, (namespace, name), &mut recalled.memory).await
}

/// What is remembered, put back however the pass ends: also when it takes too long, or panics.
struct Recalled<'a> {
    context: &'a Context,
    key: (&'a str, &'a str),
    uid: String,
    memory: Memory,
}

impl Drop for Recalled<'_> {
    fn drop(&mut self) {
        let release = self
            .context
            .observer
            .index()
            .release(self.key.0, self.key.1)
            .cloned();
        let settled = release.is_none_or(|r| is_settled(&r));
        self.context
            .observer
            .remember(&self.uid, std::mem::take(&mut self.memory), settled);
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
async fn turn(
    context: &Context,
    key: &Key,
    (namespace, name): (&str, &str),
    memory: &mut Memory,
) -> Result<Next, Trouble> {
    if context.stopping.load(Ordering::Relaxed) {
        return Ok(Next::Rest);
    }
    let applier = Applier {
        observer: &context.observer,
        own: Some(key),
        recorder: &context.recorder,
        stopping: &context.stopping,
    };
    let now = Timestamp::now();
    let Some(mut observed) = context.observer.release(namespace, name, memory, now).await? else {
        return Ok(Next::Rest);
    };
    let mut step = decide(&observed, now);
    let failing = failing(&observed, &step);
    if !failing.is_empty() {
        // A watch may be behind, and what it shows too late is no failure: what is given up is looked at first.
        for environment in &failing {
            memory.look_again(environment);
        }
        let Some(live) = context.observer.release(namespace, name, memory, now).await? else {
            return Ok(Next::Rest);
        };
        step = decide(&live, now);
        observed = live;
    }
    match step {
        Step::Transition(transition) => {
            let moved = context.metrics.moves(&observed, &transition.status);
            applier.transition(&observed, *transition).await?;
            moved.count();
        }
        Step::Act(actions) => match applier.act(&observed, actions, memory, now).await? {
            Progress::Again => {}
            Progress::Later => return Ok(Next::Soon),
            Progress::Stopped => return Ok(Next::Rest),
        },
        Step::Wait(wait) => {
            memory.turns = 0;
            return Ok(wait.until.map_or(Next::Rest, Next::At));
        }
    }
    memory.turns += 1;
    if memory.turns < TURNS_IN_A_ROW {
        return Ok(Next::Turn);
    }
    memory.turns = 0;
    Ok(Next::Soon)
}

/// The environments in which `step` gives up what is under way, or hands it over to people.
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
    let ends = |state| matches!(state, State::BackingOut | State::AwaitingDecision | State::Failed);
    let moves = transition.status.environments.iter().filter(|next| {
        let was = observed.release.promotion(&next.name).map(|p| p.state);
        was.is_some_and(|was| was != next.state && acts(was)) && ends(next.state)
    });
    moves.map(|next| next.name.clone()).collect()
}

async fn environment(context: &Context, key: &Key, name: &str) -> Result<Next, Trouble> {
    let unreadable = context.observer.index().unreadable_environment(name).cloned();
    if let Some(unreadable) = unreadable {
        unreadable::say_environment(context.observer.client(), name, &unreadable).await?;
        return Ok(Next::Rest);
    }
    let now = Timestamp::now();
    let Some(setting) = context.observer.index().environments().get(name).cloned() else {
        return Ok(Next::Rest);
    };
    let step = {
        let problems = expression_problems(&setting.environment.spec);
        let index = context.observer.index();
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
    let applier = Applier {
        observer: &context.observer,
        own: Some(key),
        recorder: &context.recorder,
        stopping: &context.stopping,
    };
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

/// Sentences about expressions that can never be evaluated.
fn expression_problems(spec: &crate::api::EnvironmentSpec) -> Vec<String> {
    let gates = spec
        .gates
        .iter()
        .filter_map(|g| Some((&g.name, g.expression.as_ref()?)));
    let verification = spec
        .verification
        .iter()
        .filter_map(|v| Some((&v.name, v.expression.as_ref()?)));
    gates
        .chain(verification)
        .filter_map(|(name, expression)| {
            let why = crate::expressions::Expression::compile(&expression.pass_when).err()?;
            Some(format!(
                "{name}: passWhen {:?} cannot be evaluated: {why}",
                expression.pass_when
            ))
        })
        .collect()
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
    let runs = patches::images(live);
    Some(stated.images.iter().any(|i| {
        !runs
            .iter()
            .any(|(c, image)| *c == i.container && *image == i.image)
    }))
}
