//! Targets after entry: watched kinds from the index, others read through the deployer once and whenever asked.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Observer;
use super::memory::{Memory, RememberedTarget, Retried};
use crate::api::reasons;
use crate::api::release::{Promotion, State, Target};
use crate::cluster::Trouble;
use crate::cluster::deployer::Object;
use crate::cluster::requests::{Requests, Targets};
use crate::decide::facts::{KeptPreState, Live, LiveComponent, Observed, Place};
use crate::decide::readiness::{self, Readiness};

impl<C: Requests> Observer<C> {
    pub(super) async fn after_entry(
        &self,
        o: &Observed,
        p: &Promotion,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Place, Trouble> {
        let Some(entered) = &p.entered else {
            return Ok(Place::default());
        };
        let namespace = &entered.target_namespace;
        let mut place = self.indexed(o, p, namespace);
        let mine = o.holder(&p.name, p.attempt);
        if place.claim.as_ref().and_then(|c| c.holder.as_ref()) != Some(&mine) {
            // A claim that the watch does not show as ours is looked at before anybody concludes that it is lost.
            place.claim = self.live_claim(namespace).await?;
        }
        let name = p
            .backout
            .as_ref()
            .map(|b| b.pre_state.clone())
            .unwrap_or_default();
        place.pre_state = self.kept(&name, memory).await?;
        place.pre_state_gone = place.pre_state.is_some() && !self.index().has_pre_state(&name);
        if let Some(kept) = place.pre_state.clone() {
            let deployer = self.deployer(namespace, &o.release_path(), &p.name, p.attempt);
            for captured in &kept.content.components {
                let key = target_key(&p.name, p.attempt, &captured.name);
                let remembered = memory.targets.entry(key).or_default();
                let target = &captured.target;
                let live = self
                    .target(p, target, namespace, &deployer, remembered, &captured.name, now)
                    .await;
                place.components.push(live);
            }
        }
        if p.state == State::Verifying {
            for item in &entered.verification {
                let key = format!("verification/{}", item.name);
                if item.job.is_some() {
                    let state = self.job(o, p, &key, namespace, memory);
                    place.jobs.insert(key.clone(), state);
                }
                if let Some(expression) = &item.expression {
                    let result = self
                        .expression(o, p, &key, &expression.pass_when, memory, now)
                        .await;
                    place.expressions.insert(key, result);
                }
            }
        }
        Ok(place)
    }

    async fn kept(&self, name: &str, memory: &mut Memory) -> Result<Option<KeptPreState>, Trouble> {
        if let Some(known) = memory.pre_states.get(name) {
            return Ok(Some(known.clone()));
        }
        let kept = self.live_pre_state(name).await?;
        if let Some(kept) = &kept {
            memory.pre_states.insert(name.to_owned(), kept.clone());
        }
        Ok(kept)
    }

    #[allow(clippy::too_many_arguments)]
    async fn target(
        &self,
        p: &Promotion,
        target: &Target,
        namespace: &str,
        deployer: &C::Deployer,
        remembered: &mut RememberedTarget,
        component: &str,
        now: Timestamp,
    ) -> LiveComponent {
        let watched = is_watched(&target.kind);
        let shown = self.shown(target, namespace, remembered);
        // What we remember and the watch does not show has been deleted, or the watch is behind: only a read can tell.
        let vanished = watched && shown.is_none() && remembered.object.is_some();
        let known = shown.or_else(|| remembered.object.clone());
        let tried = remembered.trouble.as_ref();
        // Whose turn to be read again has not come may still be read for another reason; what went wrong is left alone.
        let due = tried.is_none_or(|t| now >= t.trouble.again_at || is_progress(t));
        let retry = tried.is_some_and(|t| now >= t.trouble.again_at) && !watched;
        // What is said to be as before, or still as it was applied, is compared with what is there, not with what was
        // remembered of it: another Release may have been there, and may have been backed out, since.
        let compared = matches!(p.state, State::BackingOut | State::Succeeded) && !watched;
        let unknown = known.is_none() && (!remembered.absent || watched);
        let object = if (unknown || vanished || remembered.read_live || retry || compared) && due {
            read(target, deployer, remembered, now).await
        } else {
            match known {
                Some(object) => Live::Present(object),
                None if remembered.absent => Live::Absent,
                None => Live::Unread,
            }
        };
        let looks_after = matches!(p.state, State::Verifying | State::Observing);
        let pods = match &object {
            Live::Present(object) if looks_after || on_delete(object) => self.pods_of(object, namespace),
            _ => vec![],
        };
        if let (true, Live::Present(object)) = (looks_after, &object) {
            remembered.unhealthy_since = match readiness::unhealthy(object, &pods) {
                Some(_) => remembered.unhealthy_since.or(Some(now)),
                None => None,
            };
        }
        if let (false, Live::Present(object)) = (watched, &object) {
            poll_while_progressing(object, remembered, now);
        }
        LiveComponent {
            name: component.to_owned(),
            object,
            pods,
            floor: remembered.floor,
            patched: remembered.patched,
            unsure: remembered.unsure,
            unhealthy_since: remembered.unhealthy_since,
            trouble: remembered.trouble.as_ref().map(|t| t.trouble.clone()),
        }
    }

    /// What the watch shows of a target, unless what our last read or write returned is newer; that is kept no longer than
    /// until the watch has it too. Nothing where the watch is behind what it has shown before.
    fn shown(
        &self,
        target: &Target,
        namespace: &str,
        remembered: &mut RememberedTarget,
    ) -> Option<Arc<Value>> {
        let index = self.index();
        let kept = index.workload(&target.kind, namespace, &target.name)?;
        if kept.version < remembered.version {
            return remembered.object.clone();
        }
        // A change of ours names the version that it is made of: where there is a newer one it took place, or never will.
        remembered.unsure &= kept.version == remembered.version;
        remembered.version = kept.version;
        remembered.object = None;
        Some(kept.object())
    }

    /// Pods that bear the workload's name; readiness looks at their labels.
    fn pods_of(&self, object: &Value, namespace: &str) -> Vec<Arc<Value>> {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let bears = |pod: &str| pod.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        let index = self.index();
        let pods = index.pods(namespace).filter(|(pod, _)| bears(pod));
        pods.map(|(_, pod)| pod.object()).collect()
    }
}

/// Where a target is remembered.
#[must_use]
pub fn target_key(environment: &str, attempt: i64, component: &str) -> String {
    format!("{environment}/{attempt}/{component}")
}

fn is_watched(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "CronJob")
}

fn on_delete(object: &Value) -> bool {
    object
        .pointer("/spec/updateStrategy/type")
        .and_then(Value::as_str)
        == Some("OnDelete")
}

async fn read(
    target: &Target,
    deployer: &impl Targets,
    remembered: &mut RememberedTarget,
    now: Timestamp,
) -> Live {
    let object = Object {
        api_version: &target.api_version,
        kind: &target.kind,
        name: &target.name,
    };
    match deployer.get(object).await {
        Ok(live) => {
            let live = Arc::new(live);
            remembered.has_returned(Arc::clone(&live));
            remembered.read_live = false;
            // That it is not ready yet is asked ever less often.
            remembered.trouble = remembered.trouble.take().filter(is_progress);
            Live::Present(live)
        }
        Err(Trouble::NotFound) => {
            remembered.object = None;
            remembered.unsure = false;
            (remembered.read_live, remembered.absent) = (false, true);
            remembered.trouble = None;
            Live::Absent
        }
        Err(trouble) => {
            let (reason, message) = said(target, "get", &trouble);
            let before = remembered.trouble.take().filter(|t| !is_progress(t));
            remembered.trouble = Some(Retried::after(before.as_ref(), reason, message, now));
            Live::Unread
        }
    }
}

/// What went wrong with a target, in words.
#[must_use]
pub fn said(target: &impl std::fmt::Display, verb: &str, trouble: &Trouble) -> (&'static str, String) {
    match trouble {
        Trouble::Forbidden(why) => (
            reasons::NOT_PERMITTED,
            format!("the deployer may not {verb} {target}: {why}"),
        ),
        other => (
            reasons::UNREADABLE,
            format!("{verb} of {target} did not succeed: {other}"),
        ),
    }
}

/// Kinds that are not watched are read again, with backoff, while their readiness is what is waited for.
fn poll_while_progressing(object: &Value, remembered: &mut RememberedTarget, now: Timestamp) {
    if !remembered.patched {
        return;
    }
    let Readiness::Progressing { message, .. } = readiness::judge(object, &[], remembered.floor) else {
        remembered.trouble = remembered.trouble.take().filter(|t| !is_progress(t));
        return;
    };
    let due = remembered
        .trouble
        .as_ref()
        .is_none_or(|t| now >= t.trouble.again_at);
    if due {
        remembered.trouble = Some(Retried::after(
            remembered.trouble.as_ref(),
            reasons::PROGRESSING,
            message,
            now,
        ));
    }
}

/// No trouble, but the time until it is read again.
fn is_progress(retried: &Retried) -> bool {
    retried.trouble.reason == reasons::PROGRESSING
}
