//! What Kubernetes' own controllers do in the simulated cluster: rollouts become ready, or not, and Jobs end, as the
//! script says and when it says so.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::objects::{Objects, Spot, Touch};
use super::script::{Behaviour, JobBehaviour};
use crate::api::{LABEL_COMPONENT, time};

/// What a controller writes later, unless the object is another one or of another generation by then.
#[derive(Clone, Debug)]
pub(super) struct Reaction {
    spot: Spot,
    uid: Value,
    generation: Value,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    RolledOut,
    GivenUp,
    Unhealthy,
    Complete,
    JobFailed,
}

impl Objects {
    /// Sets the controllers to work on what was touched.
    pub(super) fn react(&mut self, touch: &Touch) {
        let Some(object) = &touch.after else { return };
        let spec = |object: &Value| object.get("spec").cloned();
        let same_spec = touch.before.as_ref().is_some_and(|b| spec(b) == spec(object));
        if same_spec {
            return;
        }
        let plan = if touch.spot.1 == "Job" {
            self.job_plan(touch, object)
        } else {
            self.rollout_plan(touch, object)
        };
        if plan.is_empty() {
            return;
        }
        // What was still to come of an earlier generation never comes.
        self.reactions.retain(|_, r| r.spot != touch.spot);
        let metadata = |field: &str| object["metadata"][field].clone();
        for (after, then) in plan {
            let reaction = Reaction {
                spot: touch.spot.clone(),
                uid: metadata("uid"),
                generation: metadata("generation"),
                then,
            };
            let serial = self.next_serial();
            self.reactions.insert((self.now + after, serial), reaction);
        }
    }

    fn rollout_plan(&self, touch: &Touch, object: &Value) -> Vec<(SignedDuration, Then)> {
        if done(object).is_none() {
            return vec![];
        }
        let ready = |after| vec![(after, Then::RolledOut)];
        let Some((release, environment)) = touch.promotion.as_deref().and_then(promoted) else {
            return ready(self.script.takes);
        };
        let component = self
            .component(touch, release)
            .unwrap_or_else(|| touch.spot.2.clone());
        match self
            .script
            .rollout(!touch.back, release.1, environment, &component)
        {
            Behaviour::Ready { after } => ready(after),
            Behaviour::Never => vec![],
            Behaviour::Crashes { after } => vec![(after, Then::GivenUp)],
            Behaviour::LosesHealth {
                ready_after,
                lost_after,
                back_after,
            } => {
                let lost = ready_after + lost_after;
                let mut plan = vec![(ready_after, Then::RolledOut), (lost, Then::Unhealthy)];
                plan.extend(back_after.map(|back| (lost + back, Then::RolledOut)));
                plan
            }
        }
    }

    /// The name under which the Release lists the target.
    fn component(&self, touch: &Touch, release: (&str, &str)) -> Option<String> {
        let release = self.releases.get(&(release.0.to_owned(), release.1.to_owned()))?;
        let mut components = release.spec.components.iter();
        components
            .find(|c| c.target.kind == touch.spot.1 && c.target.name == touch.spot.2)
            .map(|c| c.name.clone())
    }

    fn job_plan(&self, touch: &Touch, job: &Value) -> Vec<(SignedDuration, Then)> {
        let check = job["metadata"]["labels"][LABEL_COMPONENT]
            .as_str()
            .unwrap_or_default();
        let promotion = touch.promotion.as_deref().and_then(promoted);
        let (release, environment) = promotion.unwrap_or((("", ""), ""));
        match self.script.job(release.1, environment, check) {
            JobBehaviour::Succeeds { after } => vec![(after, Then::Complete)],
            JobBehaviour::Fails { after } => vec![(after, Then::JobFailed)],
            JobBehaviour::Hangs => vec![],
        }
    }

    /// When a controller, or a person who was announced, acts next.
    pub(super) fn next_reaction(&self) -> Option<Timestamp> {
        let people = self
            .later
            .iter()
            .filter_map(|d| d.metadata.creation_timestamp.as_ref().map(|t| t.0));
        let controllers = self.reactions.keys().next().map(|(at, _)| *at);
        people.chain(controllers).min()
    }

    /// Everything that controllers do until now.
    pub(super) fn controllers_act(&mut self) {
        while let Some(entry) = self.reactions.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let reaction = entry.remove();
            let Some(object) = self.targets.get(&reaction.spot) else {
                continue;
            };
            let metadata = &object["metadata"];
            if metadata["uid"] == reaction.uid && metadata["generation"] == reaction.generation {
                let status = reaction.then.status(object, self.now);
                self.put_target_status(&reaction.spot, status);
            }
        }
    }
}

/// `(namespace, release)` and environment of `namespace/release/environment/attempt`.
fn promoted(promotion: &str) -> Option<((&str, &str), &str)> {
    let mut parts = promotion.split('/');
    let release = (parts.next()?, parts.next()?);
    Some((release, parts.next()?))
}

impl Then {
    fn status(self, object: &Value, now: Timestamp) -> Value {
        let replicas = object.pointer("/spec/replicas").cloned().unwrap_or(json!(1));
        let generation = &object["metadata"]["generation"];
        match self {
            Self::RolledOut => done(object).unwrap_or_default(),
            Self::GivenUp => json!({
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": 1,
                "conditions": [
                    { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "" },
                    { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                      "message": "its pods crash" },
                ],
            }),
            Self::Unhealthy => json!({
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "unavailableReplicas": replicas,
                "conditions": [
                    { "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                      "message": "its pods are not ready" },
                    { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "" },
                ],
            }),
            Self::Complete => json!({ "conditions": [{ "type": "Complete", "status": "True" }],
                                      "completionTime": time(now) }),
            Self::JobFailed => json!({ "conditions": [{ "type": "Failed", "status": "True",
                                                        "reason": "BackoffLimitExceeded", "message": "its pod failed" }] }),
        }
    }
}

/// Whether a controller works on objects of this kind, and may fail to; others are what they are once they are written.
#[must_use]
pub fn rolls_out(kind: &str) -> bool {
    done(&json!({ "kind": kind })).is_some()
}

/// The status of a workload once its controller is done with it; `None` for kinds that have none.
pub(super) fn done(object: &Value) -> Option<Value> {
    let replicas = object.pointer("/spec/replicas").cloned().unwrap_or(json!(1));
    let generation = &object["metadata"]["generation"];
    Some(match object["kind"].as_str()? {
        "Deployment" => json!({
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [
                { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "" },
                { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "" },
            ],
        }),
        "StatefulSet" => {
            let revision = format!("revision-{generation}");
            json!({
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas, "availableReplicas": replicas,
                "currentRevision": revision, "updateRevision": revision,
            })
        }
        "DaemonSet" => json!({
            "observedGeneration": generation, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1,
            "numberReady": 1, "numberAvailable": 1,
        }),
        "ReplicaSet" => json!({
            "observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas, "fullyLabeledReplicas": replicas,
        }),
        _ => return None,
    })
}
