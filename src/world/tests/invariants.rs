//! The invariants of docs/reliability.md, checked against what was written, independently of how it was decided.

mod entry;
mod target;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::environment::PromotesFrom;
use crate::api::release::{Promotion, State};
use crate::api::{
    Action, Decision, LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_ENVIRONMENT, LABEL_RELEASE, Release,
};
use crate::decide::facts::Claim;
use crate::decide::plan;
use crate::domain::{patches, paths};
use crate::world::objects::Objects;
use crate::world::ownership::{Differs, differing};
use crate::world::tests::invariants::target::stated;
use crate::world::workloads::asked;
use crate::world::{Deed, Spot, Touch};

/// A broken invariant, with a sentence.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub invariant: &'static str,
    pub what: String,
}

pub(crate) type Verdict = Result<(), Broken>;

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
pub(crate) struct Invariants {
    /// What each Environment promotes from, as its owner has written it.
    upstreams: HashMap<String, PromotesFrom>,
    /// By Release uid, environment and target.
    originals: HashMap<(String, String, Spot), Original>,
    jobs: HashSet<String>,
    /// By Release uid and environment: what had succeeded in each upstream when it entered.
    artifacts: HashMap<(String, String), Vec<Succeeded>>,
    /// Claims that people deleted by hand: no invariant holds for those namespaces.
    pub vandalised: HashSet<String>,
    /// When the oldest reconcile that is still in progress began: what came later may not have been read.
    pub began: Option<Timestamp>,
    /// Serial of the world when it began.
    pub claims_when_began: Vec<Claim>,
    pub rejects_since: HashSet<String>,
    /// Everything that was ever rejected, even if the Release or the Decision has been deleted.
    pub rejects: Vec<Arc<Decision>>,
    /// The reconcile in progress began with everything shown, and no other writer came in between.
    pub sees_all: bool,
    /// Writes of one target for a promotion, by the same process, since the backout began.
    writes: HashMap<(String, Spot), u32>,
    /// By Release uid, environment and target: pods that were asked for at entry.
    asked: HashMap<(String, String, Spot), i64>,
}

/// The most writes of a target by one process for one promotion: one forward, five restores, and three tries
/// to release the entry in `managedFields`.
const MOST_WRITES: u32 = 1 + 5 + 3;
/// How long a backout takes at most.
const MOST_BACKOUT: SignedDuration = SignedDuration::from_mins(15);

impl Invariants {
    /// The invariants of a world in which nothing has happened yet.
    pub(crate) fn of(objects: &Objects) -> Self {
        let upstreams = objects.environments.iter();
        let upstreams = upstreams.filter_map(|(name, e)| Some((name.clone(), e.spec.promotes_from.clone()?)));
        Self {
            upstreams: upstreams.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn judge(&mut self, objects: &Objects, deeds: &[Deed]) -> Verdict {
        for deed in deeds {
            match deed {
                Deed::Status { before, after } => self.status(objects, before, after)?,
                Deed::Target(touch) if touch.spot.1 == "Job" => self.job(objects, touch)?,
                Deed::Target(touch) if touch.spot.1 == "Pod" => pod_deleted(objects, touch)?,
                Deed::Target(touch) => self.target(objects, touch)?,
                Deed::Idle(promotion, spot) => self.not_in_a_loop(promotion, spot)?,
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
            if p.state == State::BackingOut && was_state != State::BackingOut {
                self.another_process();
                self.well_enough(objects, after, p)?;
            }
            if p.state == State::Succeeded && was_state != State::Succeeded {
                self.succeeded(objects, after, was, p)?;
            }
            if p.state == State::BackedOut && was_state != State::BackedOut {
                self.restored(objects, after, p)?;
            }
            if let Some(was) = was.filter(|was| was.state == State::AwaitingDecision) {
                people_had_time(objects, after, was, p)?;
            }
            if p.decided != was.and_then(|w| w.decided.clone()) {
                decided(objects, after, was, p)?;
            }
            if p.state.under_way() && p.state != was_state {
                self.alone(objects, after, p)?;
            }
            let next_attempt = was.is_some_and(|was| was.attempt != p.attempt);
            check(was_state.may_become(p.state, next_attempt), "edges", || {
                let (is, becomes) = (was_state.as_str(), p.state.as_str());
                format!(
                    "{name}/{}: {is} → {becomes} is no edge, attempt {}",
                    p.name, p.attempt
                )
            })?;
        }
        Ok(())
    }

    /// I3: no other Release is in progress in its target namespace, and it is the holder.
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
                        "{}/{} and {}/{} are both in progress in {namespace}",
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

    /// I3: a claim is deleted only once its holder is not in progress, and passes on only after a Decision.
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
                        "the claim of {} passed on although no Decision settled it",
                        claim.namespace
                    )
                })
            }
            None => {
                let free = promotion.is_some_and(|p| match p.state {
                    state if state.is_over() => true,
                    state => state.before_entry() && p.backout.is_none(),
                });
                check(free || promotion.is_none(), "I3", || {
                    let state = promotion.map_or("gone", |p| p.state.as_str());
                    format!(
                        "the claim of {} was released while its holder is {state}",
                        claim.namespace
                    )
                })
            }
        }
    }

    fn same_artifact(&self, uid: &str, environment: &str, touch: &Touch) -> Verdict {
        let entered = self.artifacts.get(&(uid.to_owned(), environment.to_owned()));
        let Some(after) = &touch.after else { return Ok(()) };
        for (upstream, succeeded) in entered.into_iter().flatten() {
            for (_, image) in patches::images(after) {
                let digest = patches::digest(&image);
                let same =
                    |other: &String| *other == image || digest.is_some() && digest == patches::digest(other);
                check(succeeded.iter().any(same), "I2", || {
                    format!(
                        "{} got {image}, which did not succeed in {upstream}",
                        touch.spot.0
                    )
                })?;
            }
        }
        Ok(())
    }

    /// Another process has not cached what was written before.
    pub(crate) fn another_process(&mut self) {
        self.writes.clear();
    }

    /// I11: no target is written in a loop.
    fn not_in_a_loop(&mut self, promotion: &str, spot: &Spot) -> Verdict {
        let writes = self
            .writes
            .entry((promotion.to_owned(), spot.clone()))
            .or_default();
        *writes += 1;
        check(*writes <= MOST_WRITES, "I11", || {
            format!("{promotion} wrote {} {} {writes} times", spot.1, spot.2)
        })
    }

    /// I10, in a backout: only what this promotion had changed is changed.
    fn only_ours_goes_back(
        &self,
        promotion: &str,
        (uid, environment): (&str, &str),
        touch: &Touch,
    ) -> Verdict {
        let key = (uid.to_owned(), environment.to_owned(), touch.spot.clone());
        let original = self.originals.get(&key);
        if touch.after.is_none() {
            return check(original.is_some_and(|o| o.created), "I10", || {
                format!(
                    "{promotion} deleted {} {}, which it had not created",
                    touch.spot.1, touch.spot.2
                )
            });
        }
        for change in differing(touch.before.as_deref(), touch.requested.as_deref()) {
            let ours = original.is_some_and(|o| o.paths.keys().any(|path| within(&change.path, path)));
            check(ours, "I10", || foreign(promotion, touch, &change))?;
        }
        Ok(())
    }

    /// I12: what succeeds without an Accept is as released, and serves.
    fn succeeded(
        &self,
        objects: &Objects,
        release: &Release,
        was: Option<&Promotion>,
        p: &Promotion,
    ) -> Verdict {
        let decided = p.decided != was.and_then(|w| w.decided.clone());
        let Some(entered) = p.entered.as_ref().filter(|_| self.sees_all && !decided) else {
            return Ok(());
        };
        let name = release.metadata.name.as_deref().unwrap_or_default();
        for component in &release.spec.components {
            let target = &component.target;
            let spot = (
                entered.target_namespace.clone(),
                target.kind.clone(),
                target.name.clone(),
            );
            let live = objects.targets.get(&spot);
            let uid = release.metadata.uid.clone().unwrap_or_default();
            let original = self.originals.get(&(uid, p.name.clone(), spot.clone()));
            // Values that were already there are not checked: only what the promotion has changed is stored.
            let changed = |path: &str| {
                original.is_some_and(|o| {
                    o.created || o.paths.keys().any(|of| within(path, of) || within(of, path))
                })
            };
            for (path, value) in stated(component).into_iter().filter(|(path, _)| changed(path)) {
                let is = live.and_then(|live| paths::get(live, &path));
                let digest = |value: Option<&Value>| {
                    let image = value.and_then(Value::as_str)?;
                    patches::digest(image).map(str::to_owned)
                };
                let same = is == Some(&value) || digest(is).is_some() && digest(is) == digest(Some(&value));
                check(same, "I12", || {
                    format!(
                        "{name}/{} Succeeded, but {} {path} is {is:?} and not {value}",
                        p.name, target.kind
                    )
                })?;
            }
            if let Some(live) = live.filter(|_| crate::world::rolls_out(&target.kind)) {
                let crashes = crashes(objects, &spot, live, p, &component.name);
                check(crashes < 2, "I14", || {
                    format!(
                        "{name}/{} Succeeded although a container has crashed {crashes} times",
                        p.name
                    )
                })?;
            }
            check(
                !live.is_some_and(|live| objects.others_serve(&spot, live)),
                "I15",
                || format!("{name}/{} Succeeded beside pods of another version", p.name),
            )?;
            // Without an observation the status of the controller counts, and pods may be lost right after it was written.
            let looked_after = entered.observation.is_some() && crate::world::rolls_out(&target.kind);
            if let Some(live) = live.filter(|_| looked_after) {
                let (ready, asked) = (objects.ready_of_present(&spot, live), asked(live));
                check(asked == 0 || ready > 0, "I12", || {
                    format!("{name}/{} Succeeded with 0 of {asked} pods ready", p.name)
                })?;
            }
        }
        Ok(())
    }

    /// I13: a workload that serves with as many pods as before the release is not backed out as unhealthy.
    fn well_enough(&self, objects: &Objects, release: &Release, p: &Promotion) -> Verdict {
        let why = p
            .backout
            .as_ref()
            .and_then(|b| b.reason.as_deref())
            .unwrap_or_default();
        let for_health = ["HealthLost", "ReadyTooLate"].iter().any(|r| why.starts_with(r));
        let Some(entered) = p.entered.as_ref().filter(|_| self.sees_all && for_health) else {
            return Ok(());
        };
        for component in &release.spec.components {
            let target = &component.target;
            let spot = (
                entered.target_namespace.clone(),
                target.kind.clone(),
                target.name.clone(),
            );
            let Some(live) = objects
                .targets
                .get(&spot)
                .filter(|_| crate::world::rolls_out(&target.kind))
            else {
                continue;
            };
            let seen = live["metadata"]["generation"] == live["status"]["observedGeneration"];
            let ready = objects.ready_of_present(&spot, live);
            // That is backed out however many of them are ready at the moment.
            if crashes(objects, &spot, live, p, &component.name) >= 2 {
                continue;
            }
            let key = (
                release.metadata.uid.clone().unwrap_or_default(),
                p.name.clone(),
                spot,
            );
            let owed = self.asked.get(&key).copied().unwrap_or(0).min(asked(live));
            check(!seen || ready < owed, "I13", || {
                let name = release.metadata.name.as_deref().unwrap_or_default();
                format!(
                    "{name}/{} is backed out with {ready} of {owed} pods ready: {why}",
                    p.name
                )
            })?;
        }
        Ok(())
    }

    /// I4: what was backed out is as before.
    fn restored(&mut self, objects: &Objects, release: &Release, p: &Promotion) -> Verdict {
        let uid = release.metadata.uid.clone().unwrap_or_default();
        let began = p.backout.as_ref().and_then(|b| b.started_at.as_ref());
        let in_time = began.is_some_and(|began| objects.now < began.0 + MOST_BACKOUT);
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
            let alone = !live.is_some_and(|live| objects.others_serve(spot, live));
            check(alone || !self.sees_all || !in_time, "I15", || {
                format!("{} is backed out beside pods of another version", p.name)
            })?;
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
            format!("a second Job was created for {what}")
        })
    }

    /// No Release waits for something that never happens: everything has finished, or a person can act.
    pub(crate) fn no_dead_end(&self, objects: &Objects) -> Verdict {
        for release in objects.releases.values() {
            let name = release.metadata.name.as_deref().unwrap_or_default();
            check(release.metadata.deletion_timestamp.is_none(), "I7", || {
                format!("{name} is being deleted and is never removed")
            })?;
            for p in release.status.iter().flat_map(|s| &s.environments) {
                check(!p.state.acts(), "I7", || {
                    format!("{name}/{} stays {}", p.name, p.state.as_str())
                })?;
                if p.state == State::Queued {
                    self.somebody_decides(objects, name, p)?;
                }
            }
        }
        Ok(())
    }

    /// A queue ends at a claim whose holder needs a Decision.
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
                    Some((state, inherits)) => state.needs_decision() || (state.before_entry() && inherits),
                }
            }
        };
        check(open, "I7", || {
            format!(
                "{name}/{} stays Queued for {namespace} behind no other Release: {claim:?}",
                p.name
            )
        })
    }
}

/// How often a container of a component has crashed since that was Ready.
fn crashes(objects: &Objects, spot: &Spot, live: &Value, p: &Promotion, component: &str) -> usize {
    let status = p.components.iter().find(|c| c.name == component);
    let ready_at = status.and_then(|c| c.ready_at.as_ref());
    ready_at.map_or(0, |at| objects.crashes_of_present(spot, live, at.0))
}

/// Whether `path` is `of`, or lies below it.
fn within(path: &str, of: &str) -> bool {
    path.strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn foreign(promotion: &str, touch: &Touch, change: &Differs) -> String {
    format!(
        "{promotion} changed {} {}, which is not its own: {:?} to {:?}",
        touch.spot.1, change.path, change.before, change.after
    )
}

/// I8: nothing is restored while a Job of the same promotion still runs.
fn jobs_stand_still(objects: &Objects, release: &str, environment: &str, attempt: &str) -> Verdict {
    for (spot, job) in objects.targets.iter().filter(|(spot, _)| spot.1 == "Job") {
        let label = |key: &str| job["metadata"]["labels"][key].as_str().unwrap_or_default();
        let own = label(LABEL_RELEASE) == release
            && label(LABEL_ENVIRONMENT) == environment
            && label(LABEL_ATTEMPT) == attempt;
        check(!own || job.get("status").is_some(), "I8", || {
            format!(
                "{release}/{environment} restores targets while Job {} runs",
                spot.2
            )
        })?;
    }
    Ok(())
}

/// I10: a pod is deleted only where its StatefulSet waits for it, and the Environment allows it.
fn pod_deleted(objects: &Objects, touch: &Touch) -> Verdict {
    let Some(promotion) = &touch.promotion else {
        return Ok(());
    };
    let parts: Vec<&str> = promotion.split('/').collect();
    let [home, name, environment, _] = parts[..] else {
        return Ok(());
    };
    let release = objects.releases.get(&(home.to_owned(), name.to_owned()));
    let p = release.and_then(|r| r.promotion(environment));
    let allowed = p.is_some_and(|p| {
        p.state == State::BackingOut && p.entered.as_ref().is_some_and(|e| e.delete_stuck_pods)
    });
    let pod = touch.before.as_deref();
    let ready = pod.is_some_and(|pod| pod["status"]["conditions"][0]["status"] == "True");
    check(allowed && !ready, "I10", || {
        format!(
            "{promotion} deleted the pod {}, which it may not, or which was ready",
            touch.spot.2
        )
    })
}

/// I6: a Decision counts for its release, environment and attempt only.
/// I6: what waits for a Decision is neither backed out nor abandoned without one, unless the Environment says so and the time that it
/// sets has passed.
fn people_had_time(objects: &Objects, release: &Release, was: &Promotion, p: &Promotion) -> Verdict {
    let acted = matches!(p.state, State::BackingOut | State::Failed);
    if !acted || p.decided != was.decided || release.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let rule = p.entered.as_ref().and_then(|e| e.max_occupancy.as_ref());
    let owner = rule.filter(|rule| rule.then.is_some());
    let had_time = owner.zip(was.since.as_ref()).zip(p.started_at.as_ref());
    let had_time = had_time.is_some_and(|((rule, asked), entry)| {
        let (asked, twice) = (asked.0 + rule.after.get(), entry.0 + rule.after.get() * 2);
        asked <= objects.now && twice <= objects.now
    });
    check(had_time, "I6", || {
        let name = release.metadata.name.as_deref().unwrap_or_default();
        format!(
            "{name}/{}: became {} without a Decision, before people had the time to decide",
            p.name,
            p.state.as_str()
        )
    })
}

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
