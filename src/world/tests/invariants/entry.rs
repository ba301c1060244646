//! The requirements of an entry, checked independently.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::environment::{Approval, Gate, Require};
use crate::api::release::{CheckState, Promotion, State};
use crate::api::{Action, Decision, Release};
use crate::decide::facts::Claim;
use crate::decide::{jobs, plan};
use crate::world::objects::Objects;
use crate::world::tests::invariants::{Invariants, Verdict, check};
use crate::world::workloads::asked;

/// The message about an entry that should not have happened.
fn entered_badly(release: &Release, p: &Promotion, what: &str) -> String {
    let name = release.metadata.name.as_deref().unwrap_or_default();
    format!("{name}/{}, attempt {}: entered {what}", p.name, p.attempt)
}

impl Invariants {
    /// I1, I2 and I6: all requirements of an entry, checked independently.
    pub(crate) fn entry(
        &mut self,
        objects: &Objects,
        release: &Release,
        was: &Promotion,
        p: &Promotion,
    ) -> Verdict {
        let uid = release.metadata.uid.as_deref().unwrap_or_default();
        let at = |what: &str| entered_badly(release, p, what);
        for c in &p.checks {
            check(c.advisory || c.state == CheckState::Satisfied, "I1", || {
                at(&format!("although {} is {:?}", c.name, c.state))
            })?;
        }
        let spec = &release.spec;
        let held = release.held_from(&p.name).is_some();
        check(!held && spec.withdrawn.is_none(), "I1", || {
            at("although it is held or withdrawn")
        })?;
        let Some(environment) = objects.environments.get(&p.name) else {
            return check(false, "I1", || at("an Environment that does not exist"));
        };
        let entered = p.entered.as_ref().map_or("", |e| e.target_namespace.as_str());
        let hash = plan::hash(release, &p.name, Some(entered), p.attempt);
        check(was.plan_hash == hash, "I6", || at("with another plan's hash"))?;
        self.upstream(release, p)?;
        let now = self.began.unwrap_or(objects.now);
        for gate in &environment.spec.gates {
            self.gate(objects, release, gate, (p, hash.as_str(), now))?;
        }
        for window in &environment.spec.windows {
            if let (Some(from), Some(to)) = (&window.from, &window.to) {
                check(!(from.0 <= now && now < to.0), "I1", || at("while it was closed"))?;
            }
        }
        let held = |claim: &Claim| {
            claim
                .holder
                .as_ref()
                .is_some_and(|h| h.release_uid == uid && h.environment == p.name && h.attempt == p.attempt)
        };
        let stands = objects
            .claim(&plan::claim_name(entered))
            .is_some_and(|c| held(&c));
        let stood = self.claims_when_began.iter().any(held);
        check(stands || stood, "I3", || at("without its claim"))?;
        for component in &spec.components {
            let target = &component.target;
            let spot = (entered.to_owned(), target.kind.clone(), target.name.clone());
            if let Some(live) = objects.targets.get(&spot) {
                let key = (uid.to_owned(), p.name.clone(), spot);
                self.asked.insert(key, asked(live));
            }
        }
        let kept = plan::pre_state_name(uid, &p.name, p.attempt);
        check(objects.revisions.contains_key(&kept), "I4", || {
            at("without a pre-state")
        })
    }

    /// I2: it has succeeded upstream, and these are the images that did.
    fn upstream(&mut self, release: &Release, p: &Promotion) -> Verdict {
        let at = |what: &str| entered_badly(release, p, what);
        let uid = release.metadata.uid.as_deref().unwrap_or_default();
        if let Some(from) = self.upstreams.get(&p.name) {
            let succeeded = |name: &&String| {
                release
                    .promotion(name)
                    .is_some_and(|u| u.state == State::Succeeded)
            };
            let done = from.environments.iter().filter(succeeded).count();
            let enough = match from.require {
                Require::All => done == from.environments.len(),
                Require::Any => done > 0,
            };
            check(enough, "I2", || at("before it succeeded upstream"))?;
            let images = |u: &Promotion| u.components.iter().filter_map(|c| c.to.clone()).collect();
            let succeeded = from.environments.iter().map(|name| {
                (
                    name.clone(),
                    release.promotion(name).map(images).unwrap_or_default(),
                )
            });
            self.artifacts
                .insert((uid.to_owned(), p.name.clone()), succeeded.collect());
        }
        Ok(())
    }

    /// I1 and I6: one gate of the environment, at an instant, for a promotion and the hash of its plan.
    fn gate(
        &self,
        objects: &Objects,
        release: &Release,
        gate: &Gate,
        (p, hash, now): (&Promotion, &str, Timestamp),
    ) -> Verdict {
        let at = |what: &str| entered_badly(release, p, what);
        let entered = p.entered.as_ref().map_or("", |e| e.target_namespace.as_str());
        if let Some(approval) = &gate.approval {
            self.approvals(objects, release, (gate, approval), (p, hash))?;
        }
        if let Some(soak) = &gate.soak {
            let there = release.promotion(&soak.environment);
            let over = there
                .and_then(|u| u.finished_at.as_ref())
                .map(|t| t.0 + soak.duration.get());
            check(over.is_some_and(|over| over <= now), "I1", || {
                at("before it had soaked")
            })?;
        }
        if gate.job.is_some() {
            let run = jobs::run(p, &gate.name);
            let job = run.map(|run| run.name.clone()).unwrap_or_default();
            let spot = (entered.to_owned(), "Job".to_owned(), job);
            let complete = objects.targets.get(&spot).is_some_and(|job| {
                let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
                conditions.into_iter().flatten().any(|c| c["type"] == "Complete")
            });
            check(complete, "I1", || at("before its Job was complete"))?;
        }
        Ok(())
    }

    /// I6: enough people have approved this plan, and no one has rejected it.
    fn approvals(
        &self,
        objects: &Objects,
        release: &Release,
        (gate, approval): (&Gate, &Approval),
        (p, hash): (&Promotion, &str),
    ) -> Verdict {
        let at = |what: &str| entered_badly(release, p, what);
        let name = release.metadata.name.as_deref().unwrap_or_default();
        let answers = |d: &Decision, action: Action| {
            d.spec.action == action
                && d.spec.environment == p.name
                && d.spec.subject.as_deref() == Some(gate.name.as_str())
                && d.spec.role.as_deref() == Some(approval.role.as_str())
                && d.spec.plan_hash.as_deref() == Some(hash)
        };
        let approves = |d: &&Arc<Decision>| d.spec.release == name && answers(d, Action::Approve);
        let people: HashSet<&str> = objects
            .decisions
            .values()
            .filter(approves)
            .map(|d| d.spec.by.as_str())
            .filter(|by| *by != release.spec.requested_by)
            .collect();
        let needed = usize::try_from(approval.minimum).unwrap_or(usize::MAX);
        check(people.len() >= needed, "I6", || {
            at(&format!("with {} of {needed} approvals", people.len()))
        })?;
        let seen = |uid: &Option<String>| uid.as_ref().is_some_and(|u| !self.rejects_since.contains(u));
        let mut rejects = self.rejects.iter().filter(|d| answers(d, Action::Reject));
        let rejected = rejects.any(|d| seen(&d.metadata.uid));
        check(!rejected, "I6", || at("although this plan was rejected"))
    }
}
