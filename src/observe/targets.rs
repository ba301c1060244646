//! Targets after entry: watched kinds come from the index, others are read through the deployer, once and whenever asked.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::reasons;
use crate::api::release::{Promotion, State, Target};
use crate::cache::index::Index;
use crate::cache::kept::{self, Kept};
use crate::cache::memory::{CachedTarget, MOST_GIVEN_BACK, Retried};
use crate::cluster::request_error::{RequestError, said};
use crate::cluster::requests::{Object, Requests, Targets};
use crate::decide::facts::{Live, LiveComponent};
use crate::decide::prestate::Captured;
use crate::domain::paths;
use crate::domain::readiness::{self, Readiness};
use crate::observe::observer::Observer;

impl<C: Requests> Observer<C> {
    /// One target, read live where the watch does not show it or is stale.
    pub(crate) async fn target(
        &self,
        p: &Promotion,
        captured: &Captured,
        namespace: &str,
        deployer: &C::Deployer,
        remembered: &mut CachedTarget,
        now: Timestamp,
    ) -> LiveComponent {
        let target = &captured.target;
        let watched = is_watched(&target.kind);
        let shown = self.shown(target, namespace, remembered);
        // A cached target that the watch does not show was deleted, or the watch is stale: only a live read can tell.
        let vanished = watched && shown.is_none() && remembered.object.is_some();
        let known = shown.or_else(|| remembered.object.clone());
        let tried = remembered.trouble.as_ref();
        // A target that is not due may still be read for another reason; after a failure it waits until it is due.
        let due = tried.is_none_or(|t| now >= t.trouble.again_at || is_progress(t))
            || remembered.refused && remembered.read_live;
        let retry = tried.is_some_and(|t| now >= t.trouble.again_at) && !watched;
        // Whether a target is as before, or still as applied, is decided on a live read and not on the cache: another
        // Release may have changed it, and may have been backed out, since.
        let compared = p.state.compares_targets() && !watched;
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
        let object = written_by_others(p, captured, object, deployer, remembered).await;
        let pods = match &object {
            Live::Present(object) if p.state.under_way() => pods_of(&self.index(), object, namespace),
            _ => vec![],
        };
        if let (false, Live::Present(object)) = (watched, &object) {
            poll_while_progressing(object, remembered, now);
        }
        LiveComponent {
            name: captured.name.clone(),
            object,
            managed_fields: remembered.writers.as_ref().and_then(|(_, fields)| fields.clone()),
            restores: remembered.restores.clone(),
            given_back: remembered.gave_back >= MOST_GIVEN_BACK,
            pods,
            floor: remembered.floor,
            patched: remembered.patched,
            unsure: remembered.unsure,
            became_ready: remembered.became_ready,
            unhealthy_since: remembered.unhealthy_since,
            trouble: remembered.trouble.as_ref().map(|t| t.trouble.clone()),
        }
    }

    /// The target as the watch shows it, unless our last read or write returned a newer version. That version is cached until
    /// the watch has it too. `None` where the watch is older than before.
    fn shown(&self, target: &Target, namespace: &str, remembered: &mut CachedTarget) -> Option<Arc<Value>> {
        let index = self.index();
        let kept = index.workload(&target.kind, namespace, &target.name)?;
        if kept.version < remembered.version {
            return remembered.object.clone();
        }
        // Our change names the version that it is based on: once there is a newer version, the change was applied, or never will be.
        remembered.unsure &= kept.version == remembered.version;
        remembered.version = kept.version;
        remembered.object = None;
        Some(kept.object())
    }
}

/// Pods that the workload controls.
pub(crate) fn pods_of(index: &Index, object: &Value, namespace: &str) -> Vec<Arc<Value>> {
    let pods = index.pods(namespace).map(|(_, pod)| pod);
    pods.filter(|pod| pod.controller().is(object))
        .map(Kept::object)
        .collect()
}

fn is_watched(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "CronJob")
}

pub(crate) async fn read(
    target: &Target,
    deployer: &impl Targets,
    remembered: &mut CachedTarget,
    now: Timestamp,
) -> Live {
    let object = Object {
        api_version: &target.api_version,
        kind: &target.kind,
        name: &target.name,
    };
    match deployer.get(object).await {
        Ok(mut live) => {
            strip_fields(&mut live);
            let live = Arc::new(live);
            remembered.has_returned(Arc::clone(&live));
            remembered.read_live = false;
            // Readiness is polled with a growing interval, and a refused change is retried with a growing interval.
            let refused = remembered.refused;
            remembered.trouble = remembered.trouble.take().filter(|t| refused || is_progress(t));
            Live::Present(live)
        }
        Err(RequestError::NotFound) => {
            remembered.object = None;
            remembered.unsure = false;
            (remembered.read_live, remembered.absent) = (false, true);
            if !remembered.refused {
                remembered.trouble = None;
            }
            Live::Absent
        }
        Err(trouble) => {
            let (reason, message) = said(target, "get", &trouble);
            let before = remembered.trouble.take().filter(|t| !is_progress(t));
            remembered.trouble = Some(Retried::after(before.as_ref(), reason, message, now));
            remembered.refused = false;
            Live::Unread
        }
    }
}

/// Where another writer has changed our fields, messages name the owner of each. The owners are read live, once for the same
/// fields, because the watch cache holds only who wrote when.
async fn written_by_others(
    p: &Promotion,
    captured: &Captured,
    object: Live,
    deployer: &impl Targets,
    remembered: &mut CachedTarget,
) -> Live {
    let Live::Present(seen) = &object else {
        return object;
    };
    let fields = match p.state {
        State::BackingOut if remembered.restores.is_some() => paths::untouched(&captured.changes, seen).err(),
        State::Deploying if !remembered.patched => None,
        state if state.should_stand() => paths::stands(&captured.changes, seen).err(),
        _ => None,
    };
    let fields = fields.unwrap_or_else(|| {
        let strange = paths::strange(&captured.changes, seen);
        strange.into_iter().map(|strange| strange.path).collect()
    });
    if fields.is_empty() {
        remembered.writers = None;
        return object;
    }
    if remembered
        .writers
        .as_ref()
        .is_some_and(|(asked, _)| *asked == fields)
    {
        return object;
    }
    let target = &captured.target;
    let found = deployer
        .get(Object {
            api_version: &target.api_version,
            kind: &target.kind,
            name: &target.name,
        })
        .await;
    // Without an answer the message names no owner; the read error is reported elsewhere.
    let owners = found
        .as_ref()
        .ok()
        .and_then(|live| live.pointer("/metadata/managedFields").cloned());
    remembered.writers = Some((fields, owners.map(Arc::new)));
    match found {
        Ok(mut live) if kept::version(&live) > kept::version(seen) => {
            strip_fields(&mut live);
            let live = Arc::new(live);
            remembered.has_returned(Arc::clone(&live));
            Live::Present(live)
        }
        _ => object,
    }
}

/// The list of fields that each writer owns is as large as the rest of the object.
fn strip_fields(object: &mut Value) {
    let entries = object
        .pointer_mut("/metadata/managedFields")
        .and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
        entry.remove("fieldsV1");
    }
}

/// Kinds that are not watched are read again, with backoff, while the promotion waits for their readiness.
fn poll_while_progressing(object: &Value, remembered: &mut CachedTarget, now: Timestamp) {
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

/// Not an error, only the time of the next read.
fn is_progress(retried: &Retried) -> bool {
    retried.trouble.reason == reasons::PROGRESSING
}
