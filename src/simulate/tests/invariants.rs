//! The invariants of the design, judged on what was written by somebody who knows nothing of how it was decided.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::api::environment::Require;
use crate::api::release::{CheckState, ComponentState, Promotion, State};
use crate::api::{Action, LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_ENVIRONMENT, LABEL_RELEASE, Release};
use crate::decide::facts::Claim;
use crate::decide::paths::{self, difference};
use crate::decide::prestate::PreState;
use crate::decide::{patches, plan};
use crate::simulate::objects::Objects;
use crate::simulate::{Deed, Spot, Touch};

/// What was found broken: the invariant, and a sentence.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub invariant: &'static str,
    pub what: String,
}

pub(super) type Verdict = Result<(), Broken>;

fn check(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(Broken {
            invariant,
            what: what(),
        })
    }
}

/// What a target held before a promotion first changed it, path by path.
#[derive(Clone, Default)]
struct Original {
    /// It did not exist.
    created: bool,
    paths: HashMap<String, Option<Value>>,
}

/// An environment, and the images that succeeded there.
type Succeeded = (String, Vec<String>);

#[derive(Clone, Default)]
pub(super) struct Invariants {
    /// By Release uid, environment and target.
    originals: HashMap<(String, String, Spot), Original>,
    jobs: HashSet<String>,
    /// By Release uid and environment: what had succeeded in each upstream when it entered.
    artifacts: HashMap<(String, String), Vec<Succeeded>>,
    /// Claims that people deleted by hand: nobody can promise anything about those namespaces.
    pub vandalised: HashSet<String>,
    /// When the oldest pass that is still under way began: what came later may not have been read.
    pub began: Option<Timestamp>,
    /// Serial of the world when it began.
    pub claims_when_began: Vec<Claim>,
    pub rejects_since: HashSet<String>,
}

impl Invariants {
    pub(super) fn judge(&mut self, objects: &Objects, deeds: &[Deed]) -> Verdict {
        for deed in deeds {
            match deed {
                Deed::Status { before, after } => self.status(objects, before, after)?,
                Deed::Target(touch) if touch.spot.1 == "Job" => self.job(objects, touch)?,
                Deed::Target(touch) => self.target(objects, touch)?,
                Deed::Claim { before, after } => {
                    self.claim(objects, before.as_deref(), after.as_deref())?;
                }
                Deed::EnvironmentStatus(_) | Deed::Metadata(_) | Deed::PreState { .. } => {}
            }
        }
        Ok(())
    }

    fn status(&mut self, objects: &Objects, before: &Release, after: &Release) -> Verdict {
        let name = after.metadata.name.as_deref().unwrap_or_default();
        for p in after.status.iter().flat_map(|s| &s.environments) {
            let was = before.promotion(&p.name);
            let was_state = was.map_or(State::Pending, |w| w.state);
            if p.state == State::Deploying && was_state != State::Deploying {
                check(was_state.before_entry(), "I1", || {
                    format!("{name}/{}: entered from {}", p.name, was_state.as_str())
                })?;
                self.entry(objects, before, was.unwrap_or(p), p)?;
            }
            if p.state == State::BackedOut && was_state != State::BackedOut {
                self.restored(objects, after, p)?;
            }
            if p.decided != was.and_then(|w| w.decided.clone()) {
                decided(objects, after, was, p)?;
            }
            if p.state.under_way() && p.state != was_state {
                self.alone(objects, after, p)?;
            }
        }
        Ok(())
    }

    /// I1, I2 and I6: everything that an entry asks for, found out again.
    fn entry(&mut self, objects: &Objects, release: &Release, was: &Promotion, p: &Promotion) -> Verdict {
        let name = release.metadata.name.as_deref().unwrap_or_default();
        let uid = release.metadata.uid.as_deref().unwrap_or_default();
        let at = |what: &str| format!("{name}/{}, attempt {}: entered {what}", p.name, p.attempt);
        for c in &p.checks {
            check(c.advisory || c.state == CheckState::Satisfied, "I1", || {
                at(&format!("although {} is {:?}", c.name, c.state))
            })?;
        }
        let spec = &release.spec;
        check(spec.hold.is_none() && spec.withdrawn.is_none(), "I1", || {
            at("although it is held or withdrawn")
        })?;
        let Some(environment) = objects.environments.get(&p.name) else {
            return check(false, "I1", || at("an Environment that is not there"));
        };
        let entered = p.entered.as_ref().map_or("", |e| e.target_namespace.as_str());
        let hash = plan::hash(release, &p.name, Some(entered), p.attempt);
        check(was.plan_hash == hash, "I6", || at("with another plan's hash"))?;
        if let Some(from) = &environment.spec.promotes_from {
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
        let hash = hash.as_str();
        let now = self.began.unwrap_or(objects.now);
        for gate in &environment.spec.gates {
            if let Some(approval) = &gate.approval {
                let answers = |action: Action| {
                    objects.decisions.values().filter(move |d| {
                        d.spec.action == action
                            && d.spec.release == name
                            && d.spec.environment == p.name
                            && d.spec.subject.as_deref() == Some(gate.name.as_str())
                            && d.spec.role.as_deref() == Some(approval.role.as_str())
                            && d.spec.plan_hash.as_deref() == Some(hash)
                    })
                };
                let people: HashSet<&str> = answers(Action::Approve)
                    .map(|d| d.spec.by.as_str())
                    .filter(|by| *by != spec.requested_by)
                    .collect();
                let needed = usize::try_from(approval.minimum).unwrap_or(usize::MAX);
                check(people.len() >= needed, "I6", || {
                    at(&format!("with {} of {needed} approvals", people.len()))
                })?;
                let seen =
                    |uid: &Option<String>| uid.as_ref().is_some_and(|u| !self.rejects_since.contains(u));
                let rejected = answers(Action::Reject).any(|d| seen(&d.metadata.uid));
                check(!rejected, "I6", || at("although somebody rejected this plan"))?;
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
                let job = plan::job_name(uid, &p.name, p.attempt, &gate.name, hash);
                let spot = (entered.to_owned(), "Job".to_owned(), job);
                let complete = objects.targets.get(&spot).is_some_and(|job| {
                    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
                    conditions.into_iter().flatten().any(|c| c["type"] == "Complete")
                });
                check(complete, "I1", || at("before its Job was complete"))?;
            }
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
        let kept = plan::pre_state_name(uid, &p.name, p.attempt);
        check(objects.revisions.contains_key(&kept), "I4", || {
            at("without a pre-state")
        })
    }

    /// I3: nobody else is under way in its target namespace, and it is the holder.
    fn alone(&self, objects: &Objects, release: &Release, p: &Promotion) -> Verdict {
        let Some(namespace) = p.entered.as_ref().map(|e| &e.target_namespace) else {
            return Ok(());
        };
        if self.vandalised.contains(namespace) {
            return Ok(());
        }
        for other in objects.releases.values() {
            for q in other.status.iter().flat_map(|s| &s.environments) {
                let there = q
                    .entered
                    .as_ref()
                    .is_some_and(|e| e.target_namespace == *namespace);
                let same = other.metadata.uid == release.metadata.uid && q.name == p.name;
                check(same || !there || !q.state.under_way(), "I3", || {
                    let name = |r: &Release| r.metadata.name.clone().unwrap_or_default();
                    format!(
                        "{}/{} and {}/{} are both under way in {namespace}",
                        name(release),
                        p.name,
                        name(other),
                        q.name
                    )
                })?;
            }
        }
        let claim = objects.claim(&plan::claim_name(namespace));
        let ours = claim.and_then(|c| c.holder).is_some_and(|h| {
            Some(&h.release_uid) == release.metadata.uid.as_ref() && h.environment == p.name
        });
        check(ours || p.state == State::AwaitingDecision, "I3", || {
            format!("{} is {} without its claim", p.name, p.state.as_str())
        })
    }

    /// I3: a claim goes only once nothing of its holder is in between, and passes on only where somebody decided.
    fn claim(&self, objects: &Objects, before: Option<&Claim>, after: Option<&Claim>) -> Verdict {
        let Some((claim, holder)) = before.and_then(|b| Some((b, b.holder.as_ref()?))) else {
            return Ok(());
        };
        let release = objects
            .releases
            .values()
            .find(|r| r.metadata.uid.as_ref() == Some(&holder.release_uid));
        let promotion = release.and_then(|r| r.promotion(&holder.environment));
        match after.and_then(|a| a.holder.as_ref()) {
            Some(next) if next == holder => Ok(()),
            Some(next)
                if next.release_uid == holder.release_uid && next.environment == holder.environment =>
            {
                Ok(())
            }
            Some(next) => {
                let accepted = objects.decisions.values().any(|d| {
                    let taker = objects
                        .releases
                        .values()
                        .find(|r| r.metadata.uid.as_ref() == Some(&next.release_uid));
                    d.spec.action == Action::Accept
                        && d.spec.environment == next.environment
                        && taker.is_some_and(|t| t.metadata.name.as_ref() == Some(&d.spec.release))
                });
                check(accepted && (claim.unsettled || promotion.is_none()), "I3", || {
                    format!(
                        "the claim of {} passed on although nobody settled it",
                        claim.namespace
                    )
                })
            }
            None => {
                let free = promotion.is_some_and(|p| match p.state {
                    State::Succeeded | State::BackedOut | State::Superseded | State::Withdrawn => true,
                    state => state.before_entry() && p.backout.is_none(),
                });
                check(free || promotion.is_none(), "I3", || {
                    let state = promotion.map_or("gone", |p| p.state.as_str());
                    format!(
                        "the claim of {} was given back while its holder is {state}",
                        claim.namespace
                    )
                })
            }
        }
    }

    /// I1, I2, I4 and I9: what a promotion may write to a target.
    fn target(&mut self, objects: &Objects, touch: &Touch) -> Verdict {
        let Some(promotion) = &touch.promotion else {
            return Ok(());
        };
        let parts: Vec<&str> = promotion.split('/').collect();
        let [home, name, environment, attempt] = parts[..] else {
            return check(false, "I9", || format!("{promotion} is no promotion"));
        };
        let release = objects.releases.get(&(home.to_owned(), name.to_owned()));
        let Some((release, p)) = release.and_then(|r| Some((r, r.promotion(environment)?))) else {
            return check(false, "I9", || {
                format!("{promotion} wrote a target and does not exist")
            });
        };
        let entered = p.entered.as_ref().map(|e| e.target_namespace.as_str());
        check(entered == Some(touch.spot.0.as_str()), "I9", || {
            format!("{promotion} wrote to {}", touch.spot.0)
        })?;
        let uid = release.metadata.uid.clone().unwrap_or_default();
        if touch.back {
            return check(p.state == State::BackingOut, "I1", || {
                format!("{promotion} restored a target while {}", p.state.as_str())
            });
        }
        check(p.state == State::Deploying, "I1", || {
            format!("{promotion} changed a target while {}", p.state.as_str())
        })?;
        let component = release
            .spec
            .components
            .iter()
            .find(|c| c.target.kind == touch.spot.1 && c.target.name == touch.spot.2);
        let Some(component) = component else {
            return check(false, "I1", || {
                format!("{promotion} changed what it does not list")
            });
        };
        let ready = |name: &String| {
            let mut statuses = p.components.iter();
            statuses.any(|c| c.name == *name && c.state == ComponentState::Ready)
        };
        check(component.after.iter().all(ready), "I1", || {
            format!("{promotion} changed {} before its turn", component.name)
        })?;
        self.same_artifact(&uid, &p.name, touch)?;
        // I4: kept before the first change, and as it was then.
        let kept = plan::pre_state_name(&uid, environment, attempt.parse().unwrap_or(0));
        let content = objects
            .revisions
            .get(&kept)
            .and_then(|r| serde_json::from_value::<PreState>(r.data.as_ref()?.0.clone()).ok());
        let Some(captured) = content
            .as_ref()
            .and_then(|c| c.component(&component.name))
            .cloned()
        else {
            return check(false, "I4", || {
                format!("{promotion} changed {} and kept nothing", component.name)
            });
        };
        let key = (uid, environment.to_owned(), touch.spot.clone());
        let first = !self.originals.contains_key(&key);
        let original = self.originals.entry(key).or_default();
        let before = touch.before.as_deref();
        if first {
            original.created = before.is_none();
        }
        let empty = Value::Null;
        let after = touch.after.as_deref().unwrap_or(&empty);
        for change in difference(before.unwrap_or(&empty), after) {
            original.paths.entry(change.path).or_insert(change.before);
        }
        for change in &captured.changes {
            let was = match original.paths.get(&change.path) {
                Some(was) => was.as_ref(),
                None => before.and_then(|b| paths::get(b, &change.path)),
            };
            check(captured.created() || change.before.as_ref() == was, "I4", || {
                format!(
                    "{promotion} kept {:?} of {} {} where {was:?} had stood",
                    change.before, component.name, change.path
                )
            })?;
        }
        Ok(())
    }

    fn same_artifact(&self, uid: &str, environment: &str, touch: &Touch) -> Verdict {
        let entered = self.artifacts.get(&(uid.to_owned(), environment.to_owned()));
        let Some(after) = &touch.after else { return Ok(()) };
        for (upstream, succeeded) in entered.into_iter().flatten() {
            for (_, image) in patches::images(after) {
                check(succeeded.contains(&image), "I2", || {
                    format!(
                        "{} got {image}, which did not succeed in {upstream}",
                        touch.spot.0
                    )
                })?;
            }
        }
        Ok(())
    }

    /// I4: what was backed out stands as before.
    fn restored(&mut self, objects: &Objects, release: &Release, p: &Promotion) -> Verdict {
        let uid = release.metadata.uid.clone().unwrap_or_default();
        for ((_, _, spot), original) in self
            .originals
            .iter()
            .filter(|((u, e, _), _)| *u == uid && *e == p.name)
        {
            let live = objects.targets.get(spot);
            if original.created {
                check(live.is_none(), "I4", || {
                    format!("{} was created and is still there", spot.2)
                })?;
                continue;
            }
            for (path, was) in &original.paths {
                let is = live.and_then(|l| paths::get(l, path));
                check(is == was.as_ref(), "I4", || {
                    format!(
                        "{} says that it is backed out, but {} {path} is {is:?} and was {was:?}",
                        p.name, spot.1
                    )
                })?;
            }
        }
        self.originals.retain(|(u, e, _), _| !(*u == uid && *e == p.name));
        Ok(())
    }

    /// I8: a Job exists once for each promotion's attempt, check and plan.
    fn job(&mut self, objects: &Objects, touch: &Touch) -> Verdict {
        let (Some(job), None) = (&touch.after, &touch.before) else {
            return Ok(());
        };
        let label = |key: &str| job["metadata"]["labels"][key].as_str().unwrap_or_default();
        let (name, environment) = (label(LABEL_RELEASE), label(LABEL_ENVIRONMENT));
        let release = objects
            .releases
            .values()
            .find(|r| r.metadata.name.as_deref() == Some(name));
        let p = release.and_then(|r| r.promotion(environment));
        // One that is created again under the same name is another Release.
        let uid = release.and_then(|r| r.metadata.uid.as_deref());
        let what = format!(
            "{name} ({}) {environment} {} {} {}",
            uid.unwrap_or_default(),
            label(LABEL_ATTEMPT),
            label(LABEL_COMPONENT),
            p.map_or("", |p| p.plan_hash.as_str())
        );
        check(self.jobs.insert(what.clone()), "I8", || {
            format!("a second Job was made for {what}")
        })
    }

    /// Nobody waits for somebody who does not know: everything is over, or a person can go on.
    pub(super) fn no_dead_end(&self, objects: &Objects) -> Verdict {
        for release in objects.releases.values() {
            let name = release.metadata.name.as_deref().unwrap_or_default();
            check(release.metadata.deletion_timestamp.is_none(), "I7", || {
                format!("{name} is being deleted and never goes")
            })?;
            for p in release.status.iter().flat_map(|s| &s.environments) {
                let moving = matches!(
                    p.state,
                    State::Deploying | State::Verifying | State::Observing | State::BackingOut
                );
                check(!moving, "I7", || {
                    format!("{name}/{} stays {}", p.name, p.state.as_str())
                })?;
                if p.state == State::Queued {
                    self.somebody_decides(objects, name, p)?;
                }
            }
        }
        Ok(())
    }

    /// A queue ends at a claim whose holder people have to decide on.
    fn somebody_decides(&self, objects: &Objects, name: &str, p: &Promotion) -> Verdict {
        let namespace = objects
            .environments
            .get(&p.name)
            .map(|e| e.spec.namespace.clone())
            .unwrap_or_default();
        let claim = objects.claim(&plan::claim_name(&namespace));
        let open = match claim.as_ref().and_then(|c| c.holder.as_ref()) {
            None => self.vandalised.contains(&namespace),
            Some(holder) => {
                let release = objects
                    .releases
                    .values()
                    .find(|r| r.metadata.uid.as_ref() == Some(&holder.release_uid));
                let state = release
                    .and_then(|r| r.promotion(&holder.environment))
                    .map(|h| (h.state, h.backout.is_some()));
                match state {
                    None => true,
                    Some((state, inherits)) => {
                        matches!(state, State::AwaitingDecision | State::Failed)
                            || (state.before_entry() && inherits)
                    }
                }
            }
        };
        check(open, "I7", || {
            format!(
                "{name}/{} stays Queued for {namespace} behind nobody: {claim:?}",
                p.name
            )
        })
    }
}

/// I6: a Decision counts for its release, environment and attempt only.
fn decided(objects: &Objects, release: &Release, was: Option<&Promotion>, p: &Promotion) -> Verdict {
    let Some(decided) = &p.decided else { return Ok(()) };
    let name = release.metadata.name.as_deref().unwrap_or_default();
    let attempt = was.map_or(1, |w| w.attempt);
    let decision = objects
        .decisions
        .values()
        .find(|d| d.metadata.uid.as_ref() == Some(&decided.uid));
    let counts = decision.is_some_and(|d| {
        d.spec.release == name
            && d.spec.environment == p.name
            && d.spec.attempt == Some(attempt)
            && d.spec.action == decided.action
    });
    check(counts, "I6", || {
        format!(
            "{name}/{}: {:?} by {} was obeyed for attempt {attempt}, for which it was not given",
            p.name, decided.action, decided.by
        )
    })
}
