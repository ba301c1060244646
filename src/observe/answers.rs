//! Answers, one for each kind of question.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::release::{ComponentState, Promotion, State};
use crate::cache::memory::{CachedTarget, Memory, target_key};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::ask::Ask;
use crate::decide::facts::{BecameReady, Live, LiveComponent, Observed, Place};
use crate::decide::health;
use crate::decide::prestate::Captured;
use crate::decide::standing::{self, Standing};
use crate::domain::readiness::{self, Readiness};
use crate::observe::observer::Observer;

impl<C: Requests> Observer<C> {
    /// Answers one question about `p`, whose target namespace is `namespace`.
    ///
    /// # Errors
    /// A read that failed and that the decision needs; [`RequestError::Conflict`] where what was observed is stale and the reconcile
    /// has to start again.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn answer(
        &self,
        ask: &Ask,
        o: &mut Observed,
        p: &Promotion,
        namespace: &str,
        place: &mut Place,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<(), RequestError> {
        match ask {
            Ask::Holder => {
                if let Some(claim) = &mut place.claim {
                    self.prove_absent(claim).await?;
                }
            }
            Ask::OwnClaim => {
                let mine = o.holder(&p.name, p.attempt);
                if place.claim.as_ref().and_then(|c| c.holder.as_ref()) != Some(&mine) {
                    // A claim that the watch does not show as ours is read live before it counts as lost.
                    place.claim = self.live_claim(namespace).await?;
                }
            }
            Ask::Claim => {
                place.claim = self.live_claim(namespace).await?;
            }
            Ask::Environment => self.look_at_environment(o, p, namespace).await?,
            Ask::Newer => self.live_newer(o, p).await?,
            Ask::Decisions => self.live_decisions(o, p).await?,
            Ask::LivePreState { name } => {
                place.pre_state = self.live_pre_state(name).await?;
                // Its content never changes: after the entry it is not read a third time.
                match &place.pre_state {
                    Some(found) => memory.pre_states.insert(name.clone(), found.clone()),
                    None => memory.pre_states.remove(name),
                };
            }
            Ask::PreState { name } => {
                place.pre_state = self.kept(name, memory).await?;
                place.pre_state_gone = place.pre_state.is_some() && !self.index().has_pre_state(name);
            }
            Ask::Predecessor { name } => place.predecessor = self.predecessor(name, memory).await?,
            Ask::Inspection(moment) => {
                let claim = place.claim.as_ref().map(|c| c.uid.clone()).unwrap_or_default();
                place.inspection = self.inspection(o, p, *moment, claim, memory, now).await;
            }
            Ask::Targets => self.targets(o, p, namespace, place, memory, now).await,
            Ask::Job { check, template } => {
                self.job(o, p, check, template, namespace, place, memory, now)
                    .await;
            }
            Ask::Expression { check, text } => {
                let result = self.expression(o, p, check, text, memory, now).await;
                place.expressions.insert(check.clone(), result);
            }
            Ask::RunningJobs => place.jobs_running = self.jobs_running(o, p, namespace, memory),
            Ask::Release => {
                self.live_release(o).await?;
                memory.seen_live = true;
            }
        }
        Ok(())
    }

    /// The Environment as it is now. If it names another target namespace, the claim is for the wrong one: the next reconcile
    /// starts with the live Environment.
    async fn look_at_environment(
        &self,
        o: &mut Observed,
        p: &Promotion,
        namespace: &str,
    ) -> Result<(), RequestError> {
        let Some(known) = o.environments.get(&p.name).cloned() else {
            return Err(RequestError::NotFound);
        };
        let setting = self.live_environment(o, &p.name, known).await?;
        if setting.environment.spec.target_namespace(o.namespace()) == namespace {
            return Ok(());
        }
        let live = (*setting.environment).clone();
        self.knowledge()
            .see(|index| index.put_environment(Arc::new(live)));
        Err(RequestError::Conflict(format!(
            "Environment {} now names another target namespace",
            p.name
        )))
    }

    /// Each captured target in its current state.
    async fn targets(
        &self,
        o: &Observed,
        p: &Promotion,
        namespace: &str,
        place: &mut Place,
        memory: &mut Memory,
        now: Timestamp,
    ) {
        let Some(kept) = place.pre_state.clone() else {
            return;
        };
        let deployer = self.deployer(namespace, &o.release_path(), &p.name, p.attempt);
        for captured in &kept.content.components {
            let key = target_key(&p.name, p.attempt, &captured.name);
            let remembered = memory.targets.entry(key).or_default();
            let mut live = self
                .target(p, captured, namespace, &deployer, remembered, now)
                .await;
            look_after(o, p, captured, &mut live, remembered, now);
            place.components.push(live);
        }
    }
}

/// Remembers when a component became Ready, and since when it is unhealthy.
fn look_after(
    o: &Observed,
    p: &Promotion,
    captured: &Captured,
    live: &mut LiveComponent,
    remembered: &mut CachedTarget,
    now: Timestamp,
) {
    let Live::Present(object) = &live.object else {
        return;
    };
    if p.state == State::Deploying && remembered.became_ready.is_none() {
        let judged = || readiness::judge_release(object, &live.pods, live.floor, &captured.was);
        let ready = standing::standing(o, &p.name, captured, live) == Standing::Applied
            && !standing::is_stale(live)
            && judged() == Readiness::Ready;
        remembered.became_ready = ready.then(|| BecameReady {
            at: now,
            pods: readiness::pods_when_ready(object),
        });
        live.became_ready = remembered.became_ready;
    }
    let component = p.components.iter().find(|c| c.name == captured.name);
    let looks_after = match p.state {
        State::Deploying => component.is_some_and(|c| c.state == ComponentState::Ready),
        state => state.is_deployed(),
    };
    if looks_after {
        let due = health::due(o, p, &captured.name, now);
        remembered.unhealthy_since =
            readiness::unhealthy(object, &live.pods, &due).map(|_| remembered.unhealthy_since.unwrap_or(now));
        live.unhealthy_since = remembered.unhealthy_since;
    }
}
