//! What the controllers of Kubernetes do in the simulated cluster: rollouts become ready, or not, and Jobs finish, as the script
//! says.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::LABEL_COMPONENT;
use crate::world::changes::{Spot, Touch};
use crate::world::objects::Objects;
use crate::world::pod::Doing;
use crate::world::reactions::{Reaction, Then};
use crate::world::script::{Behaviour, JobBehaviour};
#[cfg(test)]
use crate::world::workloads::asked;
use crate::world::workloads::{is_done, less, rolls_out};

impl Objects {
    /// Makes the controllers react to a change.
    pub(crate) fn react(&mut self, touch: &Touch) {
        let Some(object) = &touch.after else { return };
        let differs = |pointer: &str| {
            touch
                .before
                .as_ref()
                .is_none_or(|b| b.pointer(pointer) != object.pointer(pointer))
        };
        if !differs("/spec") {
            return;
        }
        let generation = &object["metadata"]["generation"];
        let under_way = self.reactions.values_mut().filter(|r| r.spot == touch.spot);
        let renewed = touch.before.is_none() || differs("/spec/template");
        let mut goes_on = false;
        if !renewed {
            // The rollout in progress continues, with other numbers.
            for reaction in under_way {
                reaction.generation = generation.clone();
                goes_on = true;
            }
        }
        let plan = match touch.spot.1.as_str() {
            "Job" => self.job_plan(touch, object),
            kind if !rolls_out(kind) || goes_on => vec![],
            _ if !renewed => vec![(self.script.takes, Then::Scaled)],
            _ => self.rollout_plan(touch, object),
        };
        if plan.is_empty() {
            return;
        }
        // What was planned for an earlier generation does not happen.
        self.reactions.retain(|_, r| r.spot != touch.spot);
        self.plan(&touch.spot, object, plan);
    }

    fn plan(&mut self, spot: &Spot, object: &Value, plan: Vec<(SignedDuration, Then)>) {
        let metadata = |field: &str| object["metadata"][field].clone();
        for (after, then) in plan {
            let reaction = Reaction {
                spot: spot.clone(),
                uid: metadata("uid"),
                generation: metadata("generation"),
                then,
            };
            let serial = self.next_serial();
            self.reactions.insert((self.now + after, serial), reaction);
        }
    }

    /// The same, for something that happens without a write.
    #[cfg(test)]
    pub(crate) fn happens(&mut self, spot: &Spot, plan: Vec<(SignedDuration, Then)>) {
        if let Some(object) = self.targets.get(spot).cloned() {
            self.plan(spot, &object, plan);
        }
    }

    fn rollout_plan(&mut self, touch: &Touch, object: &Value) -> Vec<(SignedDuration, Then)> {
        if self.waits_for_pod(&touch.spot, object) {
            return vec![(self.script.takes, Then::WaitsForPod)];
        }
        let image = object.pointer("/spec/template/spec/containers/0/image");
        let image = image.and_then(Value::as_str).unwrap_or_default().to_owned();
        let behaviour = match touch.promotion.as_deref().and_then(promoted) {
            // What others add to a template does not change what its image does.
            None => match self.fates.get(&touch.spot) {
                Some((of, fate)) if *of == image => *fate,
                _ => Behaviour::Ready {
                    after: self.script.takes,
                },
            },
            Some((release, environment)) => {
                let component = self.component(touch, release);
                let component = component.unwrap_or_else(|| touch.spot.2.clone());
                let behaviour = self
                    .script
                    .rollout(!touch.back, release.1, environment, &component);
                self.fates.insert(touch.spot.clone(), (image, behaviour));
                behaviour
            }
        };
        match behaviour {
            Behaviour::Ready { after } => vec![(after, Then::RolledOut)],
            Behaviour::Never if touch.spot.1 == "Deployment" => vec![],
            Behaviour::Never => vec![(self.script.takes, Then::Begun)],
            Behaviour::Crashes { after } => vec![(after, Then::GivenUp)],
            Behaviour::LosesHealth {
                ready_after,
                lost_after,
                back_after,
            } => lost(ready_after, ready_after + lost_after, back_after, Then::Unhealthy),
            Behaviour::LosesReadiness {
                ready_after,
                lost_after,
                back_after,
            } => lost(ready_after, ready_after + lost_after, back_after, Then::LessReady),
            Behaviour::CrashesWhileReady {
                ready_after,
                every,
                times,
            } => {
                let crashes = (1..=times).map(|n| (ready_after + every * n, Then::Crashed));
                std::iter::once((ready_after, Then::RolledOut))
                    .chain(crashes)
                    .collect()
            }
        }
    }

    /// A pod is deleted by another user, so its StatefulSet no longer waits for it.
    pub(crate) fn pod_deleted(&mut self, spot: &Spot) {
        let names = (spot.0.clone(), spot.2.clone());
        let owner = |(at, object): (&Spot, &std::sync::Arc<Value>)| {
            let mut pods = self.pods_of(at, object).into_iter();
            (at.0 == names.0 && rolls_out(&at.1) && pods.any(|(pod, _)| pod == names)).then(|| at.clone())
        };
        let owner = self.targets.iter().find_map(owner);
        self.remove_pod(&names);
        let Some(owner) = owner else { return };
        let Some(object) = self.targets.get(&owner).cloned() else {
            return;
        };
        if !self.waits_for_pod(&owner, &object) && !self.reactions.values().any(|r| r.spot == owner) {
            self.plan(&owner, &object, vec![(self.script.takes, Then::RolledOut)]);
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

    /// When a controller acts next, or a person whose Decision is dated later.
    pub(crate) fn next_reaction(&self) -> Option<Timestamp> {
        let people = self
            .later
            .iter()
            .filter_map(|d| d.metadata.creation_timestamp.as_ref().map(|t| t.0));
        let controllers = self.reactions.keys().next().map(|(at, _)| *at);
        let pods = self.ending.first().map(|(at, _)| *at);
        people.chain(controllers).chain(pods).min()
    }

    /// Does everything that controllers do until now.
    pub(crate) fn controllers_act(&mut self) {
        self.pods_end();
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
                let object = std::sync::Arc::clone(object);
                self.carry_out(&reaction.spot, &object, reaction.then);
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

fn lost(
    ready: SignedDuration,
    lost: SignedDuration,
    back: Option<SignedDuration>,
    how: Then,
) -> Vec<(SignedDuration, Then)> {
    let mut plan = vec![(ready, Then::RolledOut), (lost, how)];
    plan.extend(back.map(|back| (lost + back, Then::RolledOut)));
    plan
}

impl Objects {
    fn carry_out(&mut self, spot: &Spot, object: &Value, then: Then) {
        let room = self.neighbours.room.get(&spot.0).copied();
        let then = match then {
            // A rollout that did not succeed continues as before.
            Then::Scaled if !is_done(object) => {
                let mut status = object["status"].clone();
                status["observedGeneration"] = object["metadata"]["generation"].clone();
                self.put_target_status(spot, status);
                return;
            }
            #[cfg(test)]
            Then::LosesNode | Then::NodeIsBack if !is_done(object) => return,
            #[cfg(test)]
            Then::NodeIsBack => Then::RolledOut,
            Then::Scaled => Then::RolledOut,
            then => then,
        };
        match then {
            Then::RolledOut => self.renew_pods(spot, object, room.unwrap_or(i64::MAX), Doing::Pending),
            Then::Crashed => {
                self.renew_pods(spot, object, room.unwrap_or(i64::MAX), Doing::Pending);
                self.crash_pods(spot, object);
            }
            Then::Begun => self.try_pod(spot, object, Doing::Pulls),
            Then::GivenUp => self.try_pod(spot, object, Doing::Crashes),
            Then::Unhealthy => self.renew_pods(spot, object, 0, Doing::Unready),
            Then::LessReady => self.renew_pods(spot, object, less(object), Doing::Unready),
            #[cfg(test)]
            Then::LosesNode => self.renew_pods(spot, object, asked(object) - 1, Doing::Pending),
            Then::WaitsForPod | Then::Scaled | Then::Complete | Then::JobFailed => {}
            #[cfg(test)]
            Then::NodeIsBack => {}
        }
        let status = then.status(object, room, self.now);
        self.put_target_status(spot, status);
    }
}
