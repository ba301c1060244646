//! The operator decides in the world, and people approve as the flags say.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::environment::Approval;
use crate::api::release::{Promotion, State};
use crate::api::{Action, DecisionSpec, Environment, Release, reasons};
use crate::decide::prestate::PreState;
use crate::decide::trust::may_be_one_person;
use crate::view::explain::{Block, explain, in_environment};
use crate::view::timeline::cast::{Approvals, Unplayable};
use crate::view::timeline::log::Log;
use crate::view::timeline::rest::{path, rests};
use crate::world::{Deed, Spot, World};

/// The number of steps in time after which the simulation gives up. A year of a hundred releases has far fewer.
const MOST_EDGES: usize = 200_000;

/// A simulation: the world, and what people do in it.
pub(crate) struct Play<'a> {
    pub(crate) world: World,
    pub(crate) log: Log,
    approvals: &'a [Approvals],
    /// Release, environment and gate, and who had approved before the simulation started.
    signed: Vec<((String, String, String), String)>,
    /// Release, environment, plan, gate and person; and when.
    given: HashMap<(String, String, String, String, String), Timestamp>,
    /// What was captured before each entry, by release and environment. The operator deletes the pre-states themselves in the end.
    pub(crate) pre_states: HashMap<(String, String), PreState>,
    pub(crate) assumed: BTreeSet<Spot>,
    /// Promotions, by release and environment, that continue once people approve who will, but not yet.
    pub(crate) later: BTreeSet<(String, String)>,
    /// Gates, after release and environment, at which enough people will approve later.
    pub(crate) unsigned: BTreeSet<(String, String, String)>,
}

/// What people do when they are asked to approve.
#[derive(PartialEq, Eq)]
enum Asked {
    Signed,
    /// They will approve, but not yet.
    Later,
    NoOne,
}

impl<'a> Play<'a> {
    /// `world` before anything happens; `signed` are release, environment and gate, and who has approved there.
    pub(crate) fn new(
        world: World,
        approvals: &'a [Approvals],
        signed: Vec<((String, String, String), String)>,
        assumed: BTreeSet<Spot>,
    ) -> Self {
        Self {
            world,
            log: Log::default(),
            approvals,
            signed,
            given: HashMap::new(),
            pre_states: HashMap::new(),
            assumed,
            later: BTreeSet::new(),
            unsigned: BTreeSet::new(),
        }
    }

    /// Runs until nothing is left to happen, or until `until`.
    pub(crate) fn run(&mut self, until: Timestamp) -> Result<(), Unplayable> {
        for _ in 0..MOST_EDGES {
            if !self.world.settle() {
                return Err(Unplayable::Restless(self.world.now()));
            }
            self.note();
            let asked = self.approve()?;
            if asked == Asked::Signed {
                continue;
            }
            let over = asked == Asked::NoOne && self.at_rest();
            if over || self.world.next_edge().is_none_or(|edge| edge > until) {
                return Ok(());
            }
            self.world.advance();
        }
        Err(Unplayable::Restless(self.world.now()))
    }

    /// Records what has happened since the last call.
    fn note(&mut self) {
        for (at, deed) in self.world.deeds() {
            self.log.note(at, &deed);
            let Deed::PreState { name, created: true } = deed else {
                continue;
            };
            let kept = self.world.pre_state(&name);
            if let Some(kept) = kept {
                self.pre_states
                    .insert((kept.release.clone(), kept.environment.clone()), kept);
            }
        }
    }

    /// The people who are asked approve if the flags say so.
    fn approve(&mut self) -> Result<Asked, Unplayable> {
        let now = self.world.now();
        let environments: HashMap<String, Arc<Environment>> = self
            .world
            .environments()
            .into_iter()
            .map(|e| (e.metadata.name.clone().unwrap_or_default(), e))
            .collect();
        (self.later, self.unsigned) = (BTreeSet::new(), BTreeSet::new());
        let mut decisions = Vec::new();
        for release in self.world.releases() {
            let home = release.metadata.namespace.clone().unwrap_or_default();
            for p in release.status.iter().flat_map(|s| &s.environments) {
                let Some(environment) = environments.get(&p.name) else {
                    continue;
                };
                for (gate, approval) in asked(environment, p) {
                    if in_vain(approval, p, now) {
                        self.wait(&release, environment, p, (gate, approval));
                    } else {
                        let signed = self.sign(&release, p, (gate, approval));
                        decisions.extend(signed.into_iter().map(|spec| (home.clone(), spec)));
                    }
                }
            }
        }
        let asked = match (decisions.is_empty(), self.later.is_empty()) {
            (false, _) => Asked::Signed,
            (true, false) => Asked::Later,
            (true, true) => Asked::NoOne,
        };
        for (home, spec) in decisions {
            self.world.decide(&home, spec)?;
        }
        Ok(asked)
    }

    /// Records that people will approve there once it counts.
    fn wait(
        &mut self,
        release: &Release,
        environment: &Environment,
        p: &Promotion,
        (gate, approval): (&str, &Approval),
    ) {
        let (of, at) = (path(release), p.name.clone());
        if self.are_enough(release, &p.name, gate, approval) {
            self.unsigned.insert((of.clone(), at.clone(), gate.to_owned()));
        }
        if self.all_but_people(release, environment, p) {
            self.later.insert((of, at));
        }
    }

    /// The Decisions of the people who approve now.
    fn sign(
        &mut self,
        release: &Release,
        p: &Promotion,
        (gate, approval): (&str, &Approval),
    ) -> Vec<DecisionSpec> {
        let now = self.world.now();
        let mut signed = Vec::new();
        for person in self.wanted(gate, approval).into_iter().flat_map(|a| &a.people) {
            let key = (
                path(release),
                p.name.clone(),
                p.plan_hash.clone(),
                gate.to_owned(),
                person.clone(),
            );
            let expired = |given: &Timestamp| {
                let valid = approval.valid_for.as_ref();
                valid.is_some_and(|valid| *given + valid.get() <= now)
            };
            // A person does not approve again if that would not be enough anyway.
            let again = self.are_enough(release, &p.name, gate, approval);
            let given = self.given.get(&key);
            if given.is_some_and(|given| !again || !expired(given)) {
                continue;
            }
            self.given.insert(key, now);
            signed.push(DecisionSpec {
                release: release.metadata.name.clone().unwrap_or_default(),
                environment: p.name.clone(),
                action: Action::Approve,
                subject: Some(gate.to_owned()),
                role: Some(approval.role.clone()),
                by: person.clone(),
                plan_hash: Some(p.plan_hash.clone()),
                attempt: None,
                reason: None,
            });
        }
        signed
    }

    /// The people who approve there, as the flags say.
    fn wanted(&self, gate: &str, approval: &Approval) -> Vec<&'a Approvals> {
        let all = self.approvals.iter();
        all.filter(|a| a.role == gate || a.role == approval.role)
            .collect()
    }

    /// Whether the people who approve, together with those who have approved, are as many as the gate requires.
    fn are_enough(&self, release: &Release, environment: &str, gate: &str, approval: &Approval) -> bool {
        let of_release = (path(release), environment.to_owned(), gate.to_owned());
        let signed = self.signed.iter().filter(|(of, _)| *of == of_release);
        let sign = self.wanted(gate, approval).into_iter().flat_map(|a| &a.people);
        let mut people: Vec<&String> = Vec::new();
        for by in signed.map(|(_, by)| by).chain(sign) {
            let known = people.iter().any(|known| may_be_one_person(known, by));
            if !known && !may_be_one_person(by, &release.spec.requested_by) {
                people.push(by);
            }
        }
        people.len() >= usize::try_from(approval.minimum).unwrap_or(usize::MAX)
    }

    /// Whether it may enter once the people of the flags approve: everything else that is missing comes with time.
    fn all_but_people(&self, release: &Release, environment: &Environment, p: &Promotion) -> bool {
        let mut others = in_environment(release, p);
        let signs = |(gate, approval): (&str, &Approval)| {
            let signs = self.are_enough(release, &p.name, gate, approval);
            signs.then(|| gate.to_owned())
        };
        let signed: Vec<String> = asked(environment, p).filter_map(signs).collect();
        let is_signed = |block: &Block| {
            block
                .check()
                .is_some_and(|held| signed.contains(&held.check.name))
        };
        others.blocks.retain(|block| !is_signed(block));
        !rests(&others)
    }

    /// Whether no promotion continues with time alone.
    fn at_rest(&self) -> bool {
        let releases = self.world.releases();
        releases
            .iter()
            .all(|release| explain(release).environments.iter().all(rests))
    }
}

/// Whether an approval that is given now would expire before it counts. Then people do not approve yet.
fn in_vain(approval: &Approval, p: &Promotion, now: Timestamp) -> bool {
    approval.valid_for.as_ref().is_some_and(|valid| {
        let edges = p.checks.iter().filter_map(|check| check.until.as_ref());
        edges.map(|until| until.0).any(|until| until > now + valid.get())
    })
}

/// The approval gates that wait for people.
fn asked<'a>(
    environment: &'a Environment,
    p: &'a Promotion,
) -> impl Iterator<Item = (&'a str, &'a Approval)> {
    let missing = p.checks.iter();
    let missing = missing.filter(|c| p.state == State::Waiting && c.reason == reasons::APPROVALS_MISSING);
    missing.filter_map(|check| {
        let gate = environment.spec.gates.iter().find(|g| g.name == check.name)?;
        Some((gate.name.as_str(), gate.approval.as_ref()?))
    })
}
