//! What neighbours write in reaction to a write: admission that stamps or rewrites, a reloader, an owner that reverts, and the API
//! server's own counter in a DaemonSet.

#![cfg_attr(not(test), allow(dead_code, reason = "only histories have such neighbours"))]

use serde_json::{Value, json};

use crate::cluster::requests::Mode;
use crate::world::changes::{Spot, Touch};
#[cfg(test)]
use crate::world::neighbours::Owner;
use crate::world::neighbours::{Admission, CONTAINERS, Reloader, STAMP};
use crate::world::objects::Objects;
use crate::world::ownership::{Writer, put_element};
use crate::world::workloads::rolls_out;

/// Counts the templates of a DaemonSet, regardless of the writer.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

impl Objects {
    /// Changes `object`, which is about to be written, as the API server and admission do.
    pub(crate) fn admitted(&mut self, spot: &Spot, before: Option<&Value>, object: &mut Value, mode: Mode) {
        let template = |object: &Value| object.pointer("/spec/template").cloned();
        if let Some(admission) = self.neighbours.admission.get(&spot.0).copied() {
            let stamp = if mode == Mode::DryRun {
                "dry".to_owned()
            } else {
                self.next_serial().to_string()
            };
            let workload = rolls_out(&spot.1);
            match admission {
                Admission::StampsObjects if workload || spot.1 == "ConfigMap" => {
                    object["metadata"]["annotations"][STAMP] = json!(stamp);
                }
                Admission::StampsTemplates if workload => {
                    object["spec"]["template"]["metadata"]["annotations"][STAMP] = json!(stamp);
                }
                Admission::RewritesImages if workload => {
                    let containers = object.pointer_mut(CONTAINERS).and_then(Value::as_array_mut);
                    for container in containers.into_iter().flatten() {
                        let image = container["image"].as_str().unwrap_or_default();
                        if let Some(rest) = image.strip_prefix("registry/") {
                            container["image"] = json!(format!("mirror/{rest}"));
                        }
                    }
                }
                _ => {}
            }
        }
        if spot.1 == "DaemonSet"
            && let Some(before) = before
            && template(before) != template(object)
        {
            let was = before
                .pointer("/metadata/annotations")
                .and_then(|a| a.get(TEMPLATE_GENERATION));
            let was = was
                .and_then(Value::as_str)
                .and_then(|n| n.parse().ok())
                .unwrap_or(1);
            object["metadata"]["annotations"][TEMPLATE_GENERATION] = json!((was + 1_i64).to_string());
        }
    }

    /// What others write immediately in reaction to a write.
    pub(crate) fn others_react(&mut self, touch: &Touch) {
        let Some(after) = &touch.after else { return };
        if touch.spot.1 == "ConfigMap" {
            let data = |object: &Value| object.get("data").cloned();
            let changed = touch
                .before
                .as_ref()
                .is_some_and(|before| data(before) != data(after));
            if let Some(reloader) = self
                .neighbours
                .reloaders
                .get(&touch.spot.0)
                .copied()
                .filter(|_| changed)
            {
                self.reload(&touch.spot.0, reloader, &data(after).unwrap_or_default());
            }
        }
        if touch.promotion.is_some() {
            self.owner_reverts(&touch.spot, after);
        }
    }

    fn reload(&mut self, namespace: &str, reloader: Reloader, data: &Value) {
        let workloads = self
            .targets
            .keys()
            .filter(|spot| spot.0 == namespace && rolls_out(&spot.1));
        let workloads: Vec<Spot> = workloads.cloned().collect();
        for spot in workloads {
            self.written(&spot, "reloader".into(), |object| match reloader {
                Reloader::Annotation => {
                    object["spec"]["template"]["metadata"]["annotations"]["reloader/of"] =
                        json!(data.to_string());
                }
                Reloader::Env => {
                    let env = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
                    let entry = json!({ "name": "STAKATER_LEDGER", "value": data.to_string() });
                    put_element(env, entry);
                }
            });
        }
    }

    fn owner_reverts(&mut self, spot: &Spot, after: &Value) {
        let Some(owner) = self.neighbours.owners.get_mut(spot) else {
            return;
        };
        let is = after.pointer(&format!("{CONTAINERS}/0/image"));
        if owner.left == 0 || is == Some(&owner.image) {
            return;
        }
        owner.left -= 1;
        let image = owner.image.clone();
        self.written(spot, "gitops".into(), |object| {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = image;
        });
    }

    /// The target's controller writes its status between the read and the dry run, as often as configured.
    pub(crate) fn controller_comes_between(&mut self, spot: &Spot) {
        let Some(left) = self
            .neighbours
            .comes_between
            .get_mut(spot)
            .filter(|left| **left > 0)
        else {
            return;
        };
        *left -= 1;
        let collisions = *left;
        let writer = Writer {
            manager: "kube-controller-manager",
            subresource: "status",
        };
        self.written(spot, writer, |object| {
            object["status"]["collisionCount"] = json!(collisions)
        });
    }

    /// From now on another writer restores the present image, that many times.
    #[cfg(test)]
    pub(crate) fn owned(&mut self, spot: &Spot, times: u32) {
        let image = self
            .targets
            .get(spot)
            .and_then(|o| o.pointer(&format!("{CONTAINERS}/0/image")));
        if let Some(image) = image.cloned() {
            self.neighbours
                .owners
                .insert(spot.clone(), Owner { image, left: times });
        }
    }

    /// A writer other than the deployer changes a target. False if the target does not exist.
    pub(crate) fn written(&mut self, spot: &Spot, writer: Writer<'_>, edit: impl FnOnce(&mut Value)) -> bool {
        let Some(before) = self.targets.get(spot).cloned() else {
            return false;
        };
        let mut after = (*before).clone();
        edit(&mut after);
        if after == *before {
            return true;
        }
        let requested = after.clone();
        if writer.subresource.is_empty() {
            self.admitted(spot, Some(&before), &mut after, Mode::Real);
        }
        let after = self.stamp(after, Some(&before), &requested, writer);
        self.keep_target(Touch {
            promotion: None,
            spot: spot.clone(),
            before: Some(before),
            after: Some(after),
            requested: Some(requested.into()),
            back: false,
        });
        true
    }

    /// An autoscaler sets this number of replicas, of which `room` find a node.
    #[cfg(test)]
    pub(crate) fn scaled(&mut self, spot: &Spot, replicas: i64, room: Option<i64>) {
        match room {
            Some(room) => self.neighbours.room.insert(spot.0.clone(), room),
            None => self.neighbours.room.remove(&spot.0),
        };
        let writer = Writer {
            manager: "kube-controller-manager",
            subresource: "scale",
        };
        self.written(spot, writer, |object| {
            object["spec"]["replicas"] = json!(replicas)
        });
    }
}
