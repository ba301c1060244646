//! Compact caching of Releases: of finished ones, which are many, and of waiting ones with large patches. The fields that
//! other objects read are cached as they are; the whole Release is compressed and unpacked for its own reconcile.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use crate::api::release::{Change, Component, ComponentStatus, Entered, Promotion};
use crate::api::{Release, ReleaseSpec, ReleaseStatus};
use crate::decide::accepted;
use crate::domain::patches;

/// The compression dictionary, a typical Release: field names and messages of checks need not be stored with each Release.
static ALIKE: &[u8] = include_bytes!("settled.json");

/// A Release that has been seen.
pub(crate) struct Known {
    /// An outline if it is finished, and without its patches if they are large.
    pub(crate) release: Arc<Release>,
    /// The whole Release in that case.
    pub(crate) packed: Option<Packed>,
}

impl From<Arc<Release>> for Known {
    fn from(release: Arc<Release>) -> Self {
        let shown = if !unsettled(&release) {
            Some(outline as fn(&Release) -> Release)
        } else if has_large_patches(&release) {
            Some(without_patches as fn(&Release) -> Release)
        } else {
            None
        };
        let packed = shown.and_then(|shown| Some((Packed::of(&release)?, shown(&release))));
        match packed {
            Some((packed, shown)) => Self {
                release: Arc::new(shown),
                packed: Some(packed),
            },
            None => Self {
                release,
                packed: None,
            },
        }
    }
}

/// Whether it may still change.
pub(crate) fn unsettled(release: &Release) -> bool {
    release.status.as_ref().is_none_or(|s| {
        s.environments.len() < release.spec.environments.len()
            || s.environments.iter().any(|p| !p.state.is_done())
    })
}

/// A whole Release, compressed.
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    /// `None` where it cannot be written as JSON: then it is cached as it is.
    pub(crate) fn of(release: &Release) -> Option<Self> {
        let json = serde_json::to_vec(release).ok()?;
        Some(Self(
            compress_prepend_size_with_dict(&json, ALIKE).into_boxed_slice(),
        ))
    }

    /// The unpacked Release.
    pub(crate) fn whole(&self) -> Option<Release> {
        let json = decompress_size_prepended_with_dict(&self.0, ALIKE).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// The size of patches, in bytes of JSON, from which they are cached compressed. Parsed, JSON takes up to twenty times the memory of text.
const LARGE_PATCHES: usize = 16 * 1024;

/// Whether its patches are so large that it is worth unpacking them for each reconcile.
fn has_large_patches(release: &Release) -> bool {
    patch_bytes(release) >= LARGE_PATCHES
}

/// Whether its patches exceed the limit and are never needed. Cached whole, such Releases would use the memory that the limit saves.
pub(crate) fn has_needless_patches(release: &Release) -> bool {
    accepted::never_enters(release) && patch_bytes(release) > patches::MOST_BYTES
}

fn patch_bytes(release: &Release) -> usize {
    release.spec.components.iter().map(accepted::patch_bytes).sum()
}

/// Everything but the patches of its components, which only its own reconcile reads.
pub(crate) fn without_patches(release: &Release) -> Release {
    let mut release = release.clone();
    for component in &mut release.spec.components {
        component.patch = None;
        component.overrides = vec![];
        // It names maps in the patch, and is not valid without the patch.
        component.replace = vec![];
    }
    release
}

/// The fields of a finished Release that others read: siblings compare versions and progress, Environments show what runs in them,
/// metrics count states.
fn outline(release: &Release) -> Release {
    let meta = &release.metadata;
    let spec = &release.spec;
    let component = |c: &Component| Component {
        name: c.name.clone(),
        target: c.target.clone(),
        patch: None,
        remove: vec![],
        images: c.images.clone(),
        overrides: vec![],
        after: vec![],
        replace: vec![],
        restart_on: vec![],
        ready_within: c.ready_within.clone(),
    };
    Release {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            creation_timestamp: meta.creation_timestamp.clone(),
            deletion_timestamp: meta.deletion_timestamp.clone(),
            ..ObjectMeta::default()
        },
        spec: ReleaseSpec {
            product: spec.product.clone(),
            version: spec.version.clone(),
            line: spec.line.clone(),
            requested_by: String::new(),
            change: Change {
                model: spec.change.model,
                reference: None,
                reason: None,
            },
            source: None,
            environments: spec.environments.clone(),
            components: spec.components.iter().map(component).collect(),
            schedule: vec![],
            deployment_plan: None,
            backout_plan: None,
            review: spec.review.clone(),
            hold: None,
            withdrawn: None,
        },
        status: release.status.as_ref().map(|s| ReleaseStatus {
            environments: s.environments.iter().map(reached).collect(),
            ..ReleaseStatus::default()
        }),
    }
}

/// The fields of a promotion that others read: its state, what runs there and since when.
fn reached(p: &Promotion) -> Promotion {
    let entered = |e: &Entered| Entered {
        generation: e.generation,
        stage: e.stage,
        target_namespace: e.target_namespace.clone(),
        verification: vec![],
        observation: None,
        max_occupancy: None,
        delete_stuck_pods: e.delete_stuck_pods,
        planned_end: None,
    };
    let stands = |c: &ComponentStatus| ComponentStatus {
        name: c.name.clone(),
        state: c.state,
        from: None,
        to: c.to.clone(),
        ready_at: None,
        ready_pods: None,
        since: None,
        drift: c.drift.clone(),
        message: None,
    };
    Promotion {
        name: p.name.clone(),
        state: p.state,
        attempt: p.attempt,
        entered: p.entered.as_ref().map(entered),
        components: p.components.iter().map(stands).collect(),
        started_at: p.started_at.clone(),
        finished_at: p.finished_at.clone(),
        ..Promotion::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::release::State;
    use crate::decide::fixtures::release_of;

    fn over() -> Release {
        let mut release = release_of(&json!({}));
        release.metadata.resource_version = Some("7".to_owned());
        let environments = ["sit", "uat", "production"].map(|name| {
            json!({
                "name": name, "state": "Succeeded", "attempt": 2, "planHash": "v1:sha256:0", "since": "2026-11-23T08:00:00Z",
                "entered": { "generation": 1, "stage": "SIT", "targetNamespace": format!("payments-{name}"), "observation": "10m" },
                "checks": [{ "name": "TargetsAllowed", "state": "Satisfied", "reason": "Satisfied", "message": "2 targets",
                             "since": "2026-11-23T08:00:00Z" }],
                "components": [{ "name": "ledger", "state": "Ready", "to": "registry.example.com/ledger:2", "readyAt": "2026-11-23T08:00:01Z" }],
                "backout": { "state": "Armed", "preState": "prestate-0" }, "finishedAt": "2026-11-23T08:00:02Z", "message": "well",
            })
        });
        release.status = serde_json::from_value(json!({
            "observedGeneration": 1, "stateVersion": 1, "furthest": "production", "environments": environments,
            "rag": { "colour": "Green", "reasons": ["well"] }, "review": { "state": "Pending" },
        }))
        .expect("a status");
        release
    }

    #[test]
    fn what_is_packed_comes_out_whole_and_smaller() {
        let release = over();
        let packed = Packed::of(&release).expect("JSON");
        assert_eq!(packed.whole(), Some(release.clone()));
        let json = serde_json::to_vec(&release).expect("JSON").len();
        assert!(packed.0.len() * 4 < json, "{} of {json} bytes", packed.0.len());
    }

    #[test]
    fn the_index_gives_the_whole_to_whoever_asks_for_it_and_the_outline_to_the_others() {
        let mut index = super::super::Index::default();
        let (mut under_way, over) = (over(), over());
        index.put_release(over.clone().into());
        let (namespace, name) = ("payments", over.metadata.name.clone().expect("a name"));
        assert_eq!(index.whole(namespace, &name).as_deref(), Some(&over));
        let known = index.release(namespace, &name).expect("it is known");
        let reached: Vec<_> = known.status.iter().flat_map(|s| &s.environments).collect();
        assert!(
            reached
                .iter()
                .all(|p| p.state == State::Succeeded && p.checks.is_empty())
        );
        assert_eq!(known.spec.components.len(), over.spec.components.len());
        assert_eq!(known.metadata.uid, over.metadata.uid);

        // It is promoted again: it is cached as it is.
        under_way.metadata.resource_version = Some("8".to_owned());
        let status = under_way.status.as_mut().expect("a status");
        status.environments[2].state = State::Waiting;
        index.put_release(under_way.clone().into());
        assert_eq!(index.release(namespace, &name).map(|r| &**r), Some(&under_way));
        assert_eq!(index.whole(namespace, &name).as_deref(), Some(&under_way));
        index.remove_release(namespace, &name);
        assert_eq!(index.whole(namespace, &name), None);
    }

    /// A waiting Release with patches of the maximum size.
    fn large(version: &str) -> Release {
        let mut release = over();
        release.metadata.resource_version = Some(version.to_owned());
        release.status.as_mut().expect("a status").environments[2].state = State::Waiting;
        let numbers: Vec<u64> = (0..patches::MOST_BYTES as u64 / 8)
            .map(|n| 1_000_000 + n)
            .collect();
        release.spec.components[0].patch = Some(json!({ "spec": { "numbers": numbers } }));
        release
    }

    #[test]
    fn what_waits_and_states_much_is_packed_and_comes_out_whole() {
        let mut index = super::super::Index::default();
        let waits = large("8");
        index.put_release(waits.clone().into());
        let (namespace, name) = ("payments", waits.metadata.name.clone().expect("a name"));
        assert_eq!(index.whole(namespace, &name).as_deref(), Some(&waits));
        let known = index.release(namespace, &name).expect("it is known");
        assert_eq!(**known, without_patches(&waits));
        assert_eq!(known.status, waits.status);

        let json = serde_json::to_vec(&waits).expect("JSON").len();
        let packed = Packed::of(&waits).expect("JSON").0.len();
        let beside = serde_json::to_vec(&**known).expect("JSON").len();
        let parsed = patches::MOST_BYTES / 8 * size_of::<serde_json::Value>();
        println!(
            "{json} bytes of JSON: {parsed} parsed, in its numbers alone; {packed} packed, and {beside} of JSON beside them"
        );
        assert!(
            packed * 3 < json * 2 && packed * 7 < parsed,
            "{packed} of {json} bytes"
        );
        assert!(beside * 16 < json, "{beside} of {json} bytes");
    }

    #[test]
    fn what_waits_and_states_little_is_kept_as_it_is() {
        let mut index = super::super::Index::default();
        let mut waits = over();
        waits.status.as_mut().expect("a status").environments[2].state = State::Waiting;
        let waits = std::sync::Arc::new(waits);
        index.put_release(std::sync::Arc::clone(&waits));
        let name = waits.metadata.name.clone().expect("a name");
        let known = index.release("payments", &name).expect("it is known");
        assert!(std::sync::Arc::ptr_eq(known, &waits));
    }
}
