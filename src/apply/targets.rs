//! Changes of targets, always as the deployer of their namespace.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{Applier, Progress};
use crate::cluster::Trouble;
use crate::cluster::deployer::{Form, Mode, Object};
use crate::cluster::requests::{Requests, Targets};
use crate::decide::Change;
use crate::decide::facts::Observed;
use crate::observe::memory::{Memory, RememberedTarget, Retried};
use crate::observe::{said, target_key};

impl<C: Requests> Applier<'_, C> {
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn change(
        &self,
        o: &Observed,
        environment: &str,
        namespace: &str,
        attempt: i64,
        component: &str,
        change: Change,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, Trouble> {
        let deployer = self
            .observer
            .deployer(namespace, &o.release_path(), environment, attempt);
        let remembered = memory
            .targets
            .entry(target_key(environment, attempt, component))
            .or_default();
        // Also where nobody is left to hear the answer, because the pass takes too long.
        remembered.unsure = true;
        let (verb, target, result) = match &change {
            Change::Patch {
                api_version,
                kind,
                name,
                patch,
            } => {
                let object = Object {
                    api_version,
                    kind,
                    name,
                };
                (
                    "patch",
                    format!("{kind} {name}"),
                    deployer
                        .patch(object, Form::StrategicMerge, patch, Mode::Real)
                        .await
                        .map(Some),
                )
            }
            Change::Create { object: body } => {
                let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let object = Object {
                    api_version: text("/apiVersion"),
                    kind: text("/kind"),
                    name: text("/metadata/name"),
                };
                let target = format!("{} {}", object.kind, object.name);
                (
                    "create",
                    target,
                    deployer.create(object, body, Mode::Real).await.map(Some),
                )
            }
            Change::Restore {
                api_version,
                kind,
                name,
                operations,
            } => {
                let object = Object {
                    api_version,
                    kind,
                    name,
                };
                (
                    "patch",
                    format!("{kind} {name}"),
                    deployer
                        .patch(object, Form::JsonPatch, operations, Mode::Real)
                        .await
                        .map(Some),
                )
            }
            Change::Delete {
                api_version,
                kind,
                name,
                uid,
            } => {
                let object = Object {
                    api_version,
                    kind,
                    name,
                };
                (
                    "delete",
                    format!("{kind} {name}"),
                    deployer.delete(object, uid).await.map(|()| None),
                )
            }
        };
        let forward = matches!(change, Change::Patch { .. } | Change::Create { .. });
        let progress = match result {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt,
                    step = verb,
                    component,
                    target,
                    "target changed"
                );
                took_place(remembered, written, forward);
                Progress::Again
            }
            // Stale, gone, or there already: read it again and decide anew.
            Err(Trouble::Conflict(_) | Trouble::NotFound | Trouble::AlreadyExists) => {
                remembered.read_live = true;
                Progress::Again
            }
            Err(trouble) => {
                remembered.unsure = !matches!(trouble, Trouble::Forbidden(_) | Trouble::Invalid(_));
                let (reason, message) = said(&target, verb, &trouble);
                tracing::warn!(
                    environment,
                    attempt,
                    step = verb,
                    component,
                    message,
                    "target not changed"
                );
                remembered.trouble = Some(Retried::after(remembered.trouble.as_ref(), reason, message, now));
                Progress::Again
            }
        };
        Ok(progress)
    }
}

fn took_place(remembered: &mut RememberedTarget, written: Option<Value>, forward: bool) {
    remembered.trouble = None;
    remembered.read_live = false;
    remembered.unsure = false;
    match written {
        Some(written) => {
            remembered.floor = written.pointer("/metadata/generation").and_then(Value::as_i64);
            remembered.has_returned(Arc::new(written));
            remembered.patched = forward;
        }
        None => {
            // A deletion may take its time: the next pass looks.
            remembered.object = None;
            remembered.floor = None;
            remembered.read_live = true;
            remembered.patched = false;
        }
    }
}
