//! Changes of targets, always as the deployer of their namespace.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::apply::{Applier, Progress};
use crate::cache::memory::{CachedTarget, MOST_GIVEN_BACK, Memory, Retried, target_key};
use crate::cluster::request_error::{RequestError, said};
use crate::cluster::requests::{Form, Mode, Object, Requests, Targets};
use crate::decide::facts::{Observed, Restores};
use crate::decide::licence::{How, TargetChange};

impl<C: Requests> Applier<'_, C> {
    pub(super) async fn change(
        &self,
        o: &Observed,
        wanted: TargetChange,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, RequestError> {
        let (environment, component) = (wanted.environment.as_str(), wanted.component.as_str());
        let (attempt, change) = (wanted.attempt, &wanted.change);
        let deployer = self.deployer(&wanted.namespace, o, environment, attempt);
        let remembered = memory
            .targets
            .entry(target_key(environment, attempt, component))
            .or_default();
        // Set before the request: the reconcile may take too long and never see the answer.
        remembered.unsure = true;
        let given_back = matches!(change, How::GiveBack { .. });
        remembered.gave_back += u32::from(given_back);
        let Sent { verb, target, result } = send(&deployer, change).await;
        let forward = matches!(change, How::Patch { .. } | How::Create { .. });
        if matches!(change, How::Restore { .. }) && result.is_ok() {
            remembered.restores = Some(counted(o, environment, remembered.restores.take(), now));
        }
        match result {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt,
                    step = verb,
                    component,
                    target,
                    "Target changed."
                );
                took_place(remembered, written, forward);
                if given_back {
                    remembered.gave_back = MOST_GIVEN_BACK;
                }
            }
            // Stale, deleted, or existing already: read it again and decide again.
            Err(RequestError::Conflict(_) | RequestError::NotFound | RequestError::AlreadyExists) => {
                remembered.read_live = true;
            }
            // A write in between may have moved our entry in the list, which the API server calls invalid.
            Err(RequestError::Invalid(_)) if given_back && remembered.gave_back < MOST_GIVEN_BACK => {
                remembered.unsure = false;
                remembered.read_live = true;
            }
            // The backout is complete without it.
            Err(trouble)
                if given_back && matches!(trouble, RequestError::Forbidden(_) | RequestError::Invalid(_)) =>
            {
                tracing::warn!(environment, attempt, component, %trouble, "The entry in managedFields was not restored.");
                remembered.unsure = false;
                remembered.gave_back = MOST_GIVEN_BACK;
            }
            Err(trouble) => {
                remembered.unsure = !matches!(
                    trouble,
                    RequestError::Forbidden(_) | RequestError::Denied(_) | RequestError::Invalid(_)
                );
                let (reason, message) = said(&target, verb, &trouble);
                tracing::warn!(
                    environment,
                    attempt,
                    step = verb,
                    component,
                    says = message,
                    "Target not changed."
                );
                remembered.trouble = Some(Retried::after(remembered.trouble.as_ref(), reason, message, now));
                remembered.refused = true;
            }
        }
        Ok(Progress::Again)
    }
}

/// A change that was sent, and the answer: the object as it is now, if it still exists.
struct Sent {
    verb: &'static str,
    /// Kind and name, for messages.
    target: String,
    result: Result<Option<Value>, RequestError>,
}

async fn send(deployer: &impl Targets, change: &How) -> Sent {
    let (verb, object) = match change {
        How::Patch {
            api_version,
            kind,
            name,
            ..
        }
        | How::Restore {
            api_version,
            kind,
            name,
            ..
        }
        | How::GiveBack {
            api_version,
            kind,
            name,
            ..
        } => (
            "patch",
            Object {
                api_version,
                kind,
                name,
            },
        ),
        How::Create { object: body } => ("create", described(body)),
        How::Delete {
            api_version,
            kind,
            name,
            ..
        } => (
            "delete",
            Object {
                api_version,
                kind,
                name,
            },
        ),
    };
    let result = match change {
        How::Patch { patch, .. } => deployer
            .patch(object, Form::StrategicMerge, patch, Mode::Real)
            .await
            .map(Some),
        How::Restore { operations, .. } | How::GiveBack { operations, .. } => deployer
            .patch(object, Form::JsonPatch, operations, Mode::Real)
            .await
            .map(Some),
        How::Create { object: body } => deployer.create(object, body, Mode::Real).await.map(Some),
        How::Delete { uid, .. } => deployer.delete(object, uid).await.map(|()| None),
    };
    Sent {
        verb,
        target: format!("{} {}", object.kind, object.name),
        result,
    }
}

/// The object that `body` describes.
fn described(body: &Value) -> Object<'_> {
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    Object {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        name: text("/metadata/name"),
    }
}

/// One more restore of the backout in progress.
fn counted(o: &Observed, environment: &str, before: Option<Restores>, now: Timestamp) -> Restores {
    let backout = o.release.promotion(environment).and_then(|p| p.backout.as_ref());
    let began = backout.and_then(|b| b.started_at.as_ref()).map(|t| t.0);
    let count = before.filter(|r| r.began == began).map_or(0, |r| r.count);
    Restores {
        began,
        count: count + 1,
        last: now,
    }
}

fn took_place(remembered: &mut CachedTarget, written: Option<Value>, forward: bool) {
    remembered.trouble = None;
    remembered.refused = false;
    remembered.read_live = false;
    remembered.unsure = false;
    match written {
        Some(written) => {
            remembered.floor = written.pointer("/metadata/generation").and_then(Value::as_i64);
            remembered.has_returned(Arc::new(written));
            remembered.patched = forward;
        }
        None => {
            // A deletion may take time: the next reconcile reads it.
            remembered.object = None;
            remembered.floor = None;
            remembered.read_live = true;
            remembered.patched = false;
        }
    }
}
