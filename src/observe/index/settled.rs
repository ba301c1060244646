//! Releases that are over. There are many of them, and hardly anybody asks: what others read of them is kept as it is, the
//! whole is packed and comes out again when it is their turn.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use crate::api::release::{Change, Component, ComponentStatus, Entered, Promotion};
use crate::api::{Release, ReleaseSpec, ReleaseStatus};

/// What such Releases look like: names of fields and the sentences of checks are found here instead of being kept with each.
static ALIKE: &[u8] = include_bytes!("settled.json");

/// A whole Release, compressed.
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    /// `None` where it cannot be written as JSON: then it is kept as it is.
    pub(super) fn of(release: &Release) -> Option<Self> {
        let json = serde_json::to_vec(release).ok()?;
        Some(Self(
            compress_prepend_size_with_dict(&json, ALIKE).into_boxed_slice(),
        ))
    }

    /// What went in.
    pub(super) fn whole(&self) -> Option<Release> {
        let json = decompress_size_prepended_with_dict(&self.0, ALIKE).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// What others read of it: siblings, who compare versions and what was reached; Environments, who show what stands in them;
/// metrics, which count states.
pub(super) fn outline(release: &Release) -> Release {
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
        restart_on: vec![],
        ready_within: c.ready_within.clone(),
    };
    let entered = |e: &Entered| Entered {
        generation: e.generation,
        stage: e.stage,
        target_namespace: e.target_namespace.clone(),
        verification: vec![],
        observation: None,
        planned_end: None,
    };
    let stands = |c: &ComponentStatus| ComponentStatus {
        name: c.name.clone(),
        state: c.state,
        from: None,
        to: c.to.clone(),
        ready_at: None,
        message: None,
    };
    let promotion = |p: &Promotion| Promotion {
        name: p.name.clone(),
        state: p.state,
        attempt: p.attempt,
        entered: p.entered.as_ref().map(entered),
        components: p.components.iter().map(stands).collect(),
        finished_at: p.finished_at.clone(),
        ..Promotion::default()
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
            environments: s.environments.iter().map(promotion).collect(),
            ..ReleaseStatus::default()
        }),
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

        // Somebody has it promoted again: it is kept as it is.
        under_way.metadata.resource_version = Some("8".to_owned());
        let status = under_way.status.as_mut().expect("a status");
        status.environments[2].state = State::Waiting;
        index.put_release(under_way.clone().into());
        assert_eq!(index.release(namespace, &name).map(|r| &**r), Some(&under_way));
        assert_eq!(index.whole(namespace, &name).as_deref(), Some(&under_way));
        index.remove_release(namespace, &name);
        assert_eq!(index.whole(namespace, &name), None);
    }
}
