//! Releases played forward: when each environment is entered, what holds it before, who is waited for, and what a backout
//! would restore.
//!
//! The operator itself decides, in a [`World`]; here people approve as they were said to, and what happens is written down
//! for people. No client and no clock live here: time is an argument.

mod svg;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::api::environment::{Approval, Stage};
use crate::api::release::{Check, CheckState, Promotion, State};
use crate::api::{
    Action, Decision, DecisionSpec, Environment, RESTARTED_FOR, Release, ReleaseReview, reasons,
};
use crate::decide::calendar::WINDOW_TOO_SHORT;
use crate::decide::prestate::{Captured, PreState};
use crate::manifests::{Manifest, Manifests};
use crate::simulate::{
    Behaviour, Deed, Entry, Error, JobBehaviour, Script, Spot, WaitsFor, Where, World, rolls_out,
};

pub use svg::svg;
pub use text::{text, visible};

/// Edges in time after which a play is given up; far more than a year of a hundred releases has.
const MOST_EDGES: usize = 200_000;
/// Of one Environment; a schedule may open every minute.
const MOST_CLOSINGS: usize = 400;

/// What stands before anything happens.
#[derive(Default)]
pub struct Cast {
    pub environments: Vec<Environment>,
    pub releases: Vec<Release>,
    pub decisions: Vec<Decision>,
    pub reviews: Vec<ReleaseReview>,
    /// Labels by name.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// With the namespace of each.
    pub targets: Vec<(String, Value)>,
    /// What is not there is taken to be as a Release needs it. Not so in a cluster, which has been looked at.
    pub fill_in: bool,
    /// Since when the API server vouches for who decided; a day, where nothing is known.
    pub vouched_since: Option<Timestamp>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub now: Timestamp,
    pub until: Timestamp,
    pub fails: Vec<Fail>,
    pub approvals: Vec<Approvals>,
}

/// `environment/name`: a component that never gets ready, or a Job that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail {
    pub environment: String,
    pub name: String,
}

/// `role@people`: these approve as soon as the role, or the gate of this name, is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    pub role: String,
    pub people: Vec<String>,
}

/// Why nothing could be played.
#[derive(Debug, thiserror::Error)]
pub enum Unplayable {
    #[error("{0}")]
    World(#[from] Error),
    #[error("there is no Release among the files: -f must name manifests that have one")]
    NoRelease,
    #[error(
        "Release {release} goes to {missing}, which is no Environment among the files: add it with -f, or look into the cluster with --cluster"
    )]
    UnknownEnvironment { release: String, missing: String },
    #[error("--fail {environment}/{name}: environment must be one of {known}")]
    FailsNowhere {
        environment: String,
        name: String,
        known: String,
    },
    #[error(
        "--fail {environment}/{name}: component must be one that goes to {environment} and is rolled out there, or a job of a gate or verification: {known}"
    )]
    FailsNothing {
        environment: String,
        name: String,
        known: String,
    },
    #[error(
        "--approve {role}@{people}: role must be a role, or the name of an approval gate, of some Environment: {known}"
    )]
    NobodyAsks {
        role: String,
        people: String,
        known: String,
    },
    #[error(
        "the operator does not come to rest at {0}, which it always should: this is a fault in Signalbox"
    )]
    Restless(Timestamp),
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    pub from: Timestamp,
    /// The last instant at which anything happened.
    pub to: Timestamp,
    /// What was not said to be there, and was taken to be as a Release needs it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    pub environments: Vec<Lane>,
    pub releases: Vec<Way>,
}

impl Timeline {
    /// Whether something reaches its goal, and nothing that still has one does not.
    #[must_use]
    pub fn reached(&self) -> bool {
        let outcomes = || self.releases.iter().map(|way| way.outcome);
        outcomes().any(|outcome| outcome == Outcome::Reached)
            && !outcomes().any(|outcome| matches!(outcome, Outcome::Blocked | Outcome::UnderWay))
    }
}

/// An Environment and its windows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lane {
    pub name: String,
    pub stage: Stage,
    /// When no release may enter.
    pub closed: Vec<Span>,
}

/// `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// How a Release ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// It stands wherever it is to go.
    Reached,
    /// A newer one goes in its place.
    Superseded,
    /// Whoever asked for it has taken it back.
    Withdrawn,
    /// It cannot go on unless somebody does something.
    Blocked,
    /// It was still on its way when the play ended.
    UnderWay,
}

/// A Release's way through its environments.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    pub namespace: String,
    pub name: String,
    pub product: String,
    pub version: String,
    pub requested_by: String,
    pub outcome: Outcome,
    /// When it had Succeeded wherever it is to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What holds it, where it is not on its way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// By whoever wrote it.
    #[serde(skip)]
    held: bool,
    pub promotions: Vec<Leg>,
}

/// A Release in one environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    pub environment: String,
    pub stage: Stage,
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Where it has not been entered: when time alone would let it in, if people answered at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Timestamp>,
    pub steps: Vec<Step>,
    /// The checks that hold it for good, unless somebody does something.
    #[serde(skip)]
    held_by: Vec<String>,
    /// What a backout would put back, a sentence each; empty where nothing was entered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<String>,
}

impl Leg {
    /// What holds it, but for what ends by itself.
    fn blocks_for_good<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a String> {
        step.blocks.iter().filter(|block| {
            let head = block.split(": ").next().unwrap_or_default();
            self.held_by.is_empty() || self.held_by.iter().any(|name| name == head)
        })
    }
}

/// A stretch of time in one state, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub from: Timestamp,
    /// Absent for the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    pub attempt: i64,
    pub state: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Cast {
    /// What stands in files: objects of our kinds have their form, see `lint`.
    #[must_use]
    pub fn of(manifests: &Manifests, forms: crate::lint::Forms) -> Self {
        let mut namespaces = BTreeMap::new();
        let mut targets = Vec::new();
        for manifest in &manifests.objects {
            if is(manifest, "v1", "Namespace") {
                let labels = manifest.value.pointer("/metadata/labels");
                let labels = labels.and_then(|labels| serde_json::from_value(labels.clone()).ok());
                namespaces.insert(manifest.name().to_owned(), labels.unwrap_or_default());
            } else if !manifest.namespace().is_empty()
                && !manifest.api_version().starts_with("signalbox.dev/")
            {
                targets.push((manifest.namespace().to_owned(), manifest.value.clone()));
            }
        }
        Self {
            environments: forms.environments,
            releases: forms.releases,
            decisions: forms.decisions,
            reviews: forms.reviews,
            namespaces,
            targets,
            fill_in: true,
            vouched_since: None,
        }
    }

    fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments
            .iter()
            .find(|e| e.metadata.name.as_deref() == Some(name))
    }
}

fn is(manifest: &Manifest, api_version: &str, kind: &str) -> bool {
    manifest.api_version() == api_version && manifest.kind() == kind
}

/// Plays `cast` forward.
///
/// # Errors
/// What is asked for makes no sense with this cast.
pub fn play(cast: Cast, question: &Question) -> Result<Timeline, Unplayable> {
    sensible(&cast, question)?;
    let mut world = World::new(question.now, script(&cast, question))?;
    if let Some(since) = cast.vouched_since {
        world.vouched_since(since);
    }
    for (name, labels) in cast.namespaces {
        world.add_namespace(&name, labels);
    }
    for environment in cast.environments {
        world.add_environment(environment)?;
    }
    for (namespace, object) in cast.targets {
        world.add_target(&namespace, object);
    }
    for mut release in cast.releases {
        release
            .metadata
            .namespace
            .get_or_insert_with(|| "default".to_owned());
        world.add_release(release)?;
    }
    let assumed = if cast.fill_in {
        world.fill_in()
    } else {
        BTreeSet::new()
    };
    for review in cast.reviews {
        world.add_review(review)?;
    }
    let mut signed = Vec::new();
    for decision in cast.decisions {
        // Approvals bind to a plan, whenever they are given; other acts are of a moment, which only a date tells.
        let plan = matches!(decision.spec.action, Action::Approve | Action::Reject);
        let spec = &decision.spec;
        if let (Action::Approve, Some(gate)) = (spec.action, &spec.subject) {
            let home = decision.metadata.namespace.as_deref().unwrap_or("default");
            let of = (
                format!("{home}/{}", spec.release),
                spec.environment.clone(),
                gate.clone(),
            );
            signed.push((of, spec.by.clone()));
        }
        if plan || decision.metadata.creation_timestamp.is_some() {
            world.add_decision(decision)?;
        }
    }
    let mut stage = Play {
        world,
        approvals: &question.approvals,
        signed,
        given: HashMap::new(),
        pre_states: HashMap::new(),
        assumed,
        later: BTreeSet::new(),
        unsigned: BTreeSet::new(),
    };
    stage.run(question.until)?;
    Ok(stage.timeline(question.now))
}

/// The flags speak of what there is.
fn sensible(cast: &Cast, question: &Question) -> Result<(), Unplayable> {
    if cast.releases.is_empty() {
        return Err(Unplayable::NoRelease);
    }
    for release in &cast.releases {
        let missing = release.spec.environments.iter();
        let missing: Vec<&str> = missing
            .map(String::as_str)
            .filter(|name| cast.environment(name).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(Unplayable::UnknownEnvironment {
                release: path(release),
                missing: missing.join(", "),
            });
        }
    }
    for Fail { environment, name } in &question.fails {
        let (at, called) = (environment.clone(), name.clone());
        if cast.environment(environment).is_none() {
            return Err(Unplayable::FailsNowhere {
                environment: at,
                name: called,
                known: names(
                    cast.environments
                        .iter()
                        .filter_map(|e| e.metadata.name.as_deref()),
                ),
            });
        }
        let known: Vec<&str> = components(cast, environment)
            .chain(jobs(cast, environment))
            .collect();
        if !known.contains(&name.as_str()) {
            return Err(Unplayable::FailsNothing {
                environment: at,
                name: called,
                known: names(known.into_iter()),
            });
        }
    }
    for Approvals { role, people } in &question.approvals {
        let gates = cast.environments.iter().flat_map(|e| &e.spec.gates);
        let asked = gates.filter_map(|g| Some((g.name.as_str(), g.approval.as_ref()?.role.as_str())));
        let known: Vec<&str> = asked.flat_map(|(gate, role)| [gate, role]).collect();
        if !known.contains(&role.as_str()) {
            return Err(Unplayable::NobodyAsks {
                role: role.clone(),
                people: people.join(","),
                known: names(known.into_iter()),
            });
        }
    }
    Ok(())
}

/// Each once, in order; "none" where there are none.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: std::collections::BTreeSet<&str> = names.collect();
    if names.is_empty() {
        return "there is none".to_owned();
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Those that can fail.
fn components<'a>(cast: &'a Cast, environment: &str) -> impl Iterator<Item = &'a str> {
    let listed = |release: &&Release| release.spec.environments.iter().any(|e| e == environment);
    let releases: Vec<&Release> = cast.releases.iter().filter(listed).collect();
    let components = releases.into_iter().flat_map(|release| &release.spec.components);
    let components = components.filter(|component| rolls_out(&component.target.kind));
    components.map(|component| component.name.as_str())
}

fn jobs<'a>(cast: &'a Cast, environment: &str) -> impl Iterator<Item = &'a str> {
    let spec = cast.environment(environment).map(|e| &e.spec);
    let gates = spec
        .into_iter()
        .flat_map(|s| &s.gates)
        .filter(|g| g.job.is_some());
    let verification = spec
        .into_iter()
        .flat_map(|s| &s.verification)
        .filter(|v| v.job.is_some());
    gates
        .map(|g| g.name.as_str())
        .chain(verification.map(|v| v.name.as_str()))
}

fn script(cast: &Cast, question: &Question) -> Script {
    let mut script = Script::default();
    for Fail { environment, name } in &question.fails {
        let at = Where::at(environment, name);
        if jobs(cast, environment).any(|job| job == name) {
            let after = script.takes;
            script.jobs.push((at.clone(), JobBehaviour::Fails { after }));
        }
        if components(cast, environment).any(|component| component == name) {
            script.rollouts.push((at, Behaviour::Never));
        }
    }
    script
}

struct Play<'a> {
    world: World,
    approvals: &'a [Approvals],
    /// Release, environment and gate, and who has approved before anything is played.
    signed: Vec<((String, String, String), String)>,
    /// Release, environment, plan, gate and person; and when.
    given: HashMap<(String, String, String, String, String), Timestamp>,
    /// What was captured before each entry, by release and environment; the pre-state itself is deleted in the end.
    pre_states: HashMap<(String, String), PreState>,
    assumed: BTreeSet<Spot>,
    /// Promotions, by release and environment, that go on once people sign who will, but not yet.
    later: BTreeSet<(String, String)>,
    /// Gates, after release and environment, at which enough people will sign.
    unsigned: BTreeSet<(String, String, String)>,
}

/// What has come of asking people.
#[derive(PartialEq, Eq)]
enum Asked {
    Signed,
    /// They will, but not yet.
    Later,
    Nobody,
}

impl<'a> Play<'a> {
    fn run(&mut self, until: Timestamp) -> Result<(), Unplayable> {
        for _ in 0..MOST_EDGES {
            if !self.world.settle() {
                return Err(Unplayable::Restless(self.world.now()));
            }
            self.note_pre_states();
            let asked = self.approve()?;
            if asked == Asked::Signed {
                continue;
            }
            let over = asked == Asked::Nobody && self.at_rest();
            if over || self.world.next_edge().is_none_or(|edge| edge > until) {
                return Ok(());
            }
            self.world.advance();
        }
        Err(Unplayable::Restless(self.world.now()))
    }

    fn note_pre_states(&mut self) {
        for deed in self.world.deeds() {
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

    /// Whoever was said to approve and is asked does so.
    fn approve(&mut self) -> Result<Asked, Unplayable> {
        let now = self.world.now();
        let environments: HashMap<String, Arc<Environment>> = self
            .world
            .environments()
            .into_iter()
            .map(|e| (e.metadata.name.clone().unwrap_or_default(), e))
            .collect();
        let (mut decisions, mut later, mut unsigned) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for release in self.world.releases() {
            let home = release.metadata.namespace.clone().unwrap_or_default();
            let name = release.metadata.name.clone().unwrap_or_default();
            for p in release.status.iter().flat_map(|s| &s.environments) {
                let Some(environment) = environments.get(&p.name) else {
                    continue;
                };
                for (gate, approval) in asked(environment, p) {
                    // Nobody signs what will have expired before it counts.
                    let in_vain = approval.valid_for.as_ref().is_some_and(|valid| {
                        let edges = p.checks.iter().filter_map(|check| check.until.as_ref());
                        edges.map(|until| until.0).any(|until| until > now + valid.get())
                    });
                    if in_vain {
                        let (of, at) = (path(&release), p.name.clone());
                        if self.are_enough(&release, &p.name, gate, approval) {
                            unsigned.insert((of.clone(), at.clone(), gate.to_owned()));
                        }
                        if self.all_but_people(&release, environment, p) {
                            later.insert((of, at));
                        }
                        continue;
                    }
                    for person in self.wanted(gate, approval).into_iter().flat_map(|a| &a.people) {
                        let key = (
                            path(&release),
                            p.name.clone(),
                            p.plan_hash.clone(),
                            gate.to_owned(),
                            person.clone(),
                        );
                        let expired = |given: &Timestamp| {
                            let valid = approval.valid_for.as_ref();
                            valid.is_some_and(|valid| *given + valid.get() <= now)
                        };
                        // Nobody signs again where that is not enough anyway.
                        let again = self.are_enough(&release, &p.name, gate, approval);
                        if self
                            .given
                            .get(&key)
                            .is_some_and(|given| !again || !expired(given))
                        {
                            continue;
                        }
                        self.given.insert(key, now);
                        let spec = DecisionSpec {
                            release: name.clone(),
                            environment: p.name.clone(),
                            action: Action::Approve,
                            subject: Some(gate.to_owned()),
                            role: Some(approval.role.clone()),
                            by: person.clone(),
                            plan_hash: Some(p.plan_hash.clone()),
                            attempt: None,
                            reason: None,
                        };
                        decisions.push((home.clone(), spec));
                    }
                }
            }
        }
        let asked = match (decisions.is_empty(), later.is_empty()) {
            (false, _) => Asked::Signed,
            (true, false) => Asked::Later,
            (true, true) => Asked::Nobody,
        };
        (self.later, self.unsigned) = (later, unsigned);
        for (home, spec) in decisions {
            self.world.decide(&home, spec)?;
        }
        Ok(asked)
    }

    /// Those who were said to approve there.
    fn wanted(&self, gate: &str, approval: &Approval) -> Vec<&'a Approvals> {
        let all = self.approvals.iter();
        all.filter(|a| a.role == gate || a.role == approval.role)
            .collect()
    }

    /// Whether those who sign, with those who have signed, are as many as the gate asks for.
    fn are_enough(&self, release: &Release, environment: &str, gate: &str, approval: &Approval) -> bool {
        let of_release = (path(release), environment.to_owned(), gate.to_owned());
        let signed = self.signed.iter().filter(|(of, _)| *of == of_release);
        let sign = self.wanted(gate, approval).into_iter().flat_map(|a| &a.people);
        let people: BTreeSet<&String> = signed.map(|(_, by)| by).chain(sign).collect();
        let people = people.into_iter().filter(|by| **by != release.spec.requested_by);
        people.count() >= usize::try_from(approval.minimum).unwrap_or(usize::MAX)
    }

    /// Whether it gets in once those sign who were said to: what else is missing comes with time.
    fn all_but_people(&self, release: &Release, environment: &Environment, p: &Promotion) -> bool {
        let mut others = p.clone();
        let signs = |(gate, approval): (&str, &Approval)| {
            let signs = self.are_enough(release, &p.name, gate, approval);
            signs.then(|| gate.to_owned())
        };
        let signed: Vec<String> = asked(environment, p).filter_map(signs).collect();
        others.checks.retain(|check| !signed.contains(&check.name));
        !rests(release, &others)
    }

    /// Time alone brings nobody further.
    fn at_rest(&self) -> bool {
        self.world.releases().iter().all(|release| {
            let promotions = release.status.iter().flat_map(|s| &s.environments);
            promotions.into_iter().all(|p| rests(release, p))
        })
    }

    fn timeline(self, from: Timestamp) -> Timeline {
        let entries = self.world.log();
        let to = entries.last().map_or(from, |entry| entry.at);
        let environments = self.world.environments();
        let mut told: HashMap<(&str, &str), Vec<&Entry>> = HashMap::new();
        for entry in entries {
            let key = (entry.release.as_str(), entry.environment.as_str());
            told.entry(key).or_default().push(entry);
        }
        let mut releases: Vec<Way> = Vec::new();
        for release in self.world.releases() {
            releases.push(way(&release, &environments, &told, &self));
        }
        // Who is first in one environment is first in the picture.
        releases.sort_by_key(|way| way.promotions.iter().filter_map(|leg| leg.entered_at).min());
        let order: Vec<&str> = releases
            .iter()
            .flat_map(|w| &w.promotions)
            .map(|l| l.environment.as_str())
            .collect();
        let mut lanes: Vec<Lane> = environments.iter().map(|e| lane(e, from, to)).collect();
        lanes.sort_by_key(|lane| order.iter().position(|name| *name == lane.name));
        lanes.retain(|lane| order.contains(&lane.name.as_str()));
        let assumed = self.assumed.iter().map(|(namespace, kind, name)| {
            let place = if namespace.is_empty() { "" } else { "/" };
            format!("{kind} {namespace}{place}{name}")
        });
        Timeline {
            from,
            to,
            assumed: assumed.collect(),
            environments: lanes,
            releases,
        }
    }
}

/// `namespace/name`.
fn path(release: &Release) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!(
        "{}/{}",
        part(&release.metadata.namespace),
        part(&release.metadata.name)
    )
}

/// Approval gates whose people are waited for.
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

/// Nothing happens to it unless somebody does something, here or upstream.
fn rests(release: &Release, p: &Promotion) -> bool {
    match p.state {
        State::Waiting => release.spec.hold.is_some() || p.checks.iter().any(for_good),
        State::Deploying | State::Verifying | State::Observing | State::BackingOut => false,
        _ => true,
    }
}

/// It holds the promotion, and time alone does not change that: neither where an approval expires, nor where the sight of
/// windows that are all too short ends.
fn for_good(check: &Check) -> bool {
    let helped_by_time = check.until.is_some()
        && !matches!(
            check.reason.as_str(),
            reasons::APPROVALS_MISSING | WINDOW_TOO_SHORT
        );
    let holds = !check.advisory && check.state != CheckState::Satisfied;
    holds && (check.state == CheckState::Failed || !helped_by_time)
}

/// The windows of an Environment between two instants.
fn lane(environment: &Environment, from: Timestamp, to: Timestamp) -> Lane {
    let calendar = crate::observe::calendar_of(environment);
    let mut closed = Vec::new();
    let mut at = from;
    while at < to && closed.len() < MOST_CLOSINGS {
        let summary = calendar.summary(at);
        let until = if summary.open {
            summary.next_close
        } else {
            summary.next_open
        };
        let until = until
            .filter(|until| *until > at)
            .map_or(to, |until| until.min(to));
        if !summary.open {
            closed.push(Span { from: at, to: until });
        }
        at = until;
    }
    Lane {
        name: environment.metadata.name.clone().unwrap_or_default(),
        stage: environment.spec.stage,
        closed,
    }
}

fn way(
    release: &Release,
    environments: &[Arc<Environment>],
    told: &HashMap<(&str, &str), Vec<&Entry>>,
    play: &Play<'_>,
) -> Way {
    let called = path(release);
    let promotions: Vec<&Promotion> = release.status.iter().flat_map(|s| &s.environments).collect();
    let legs: Vec<Leg> = promotions
        .iter()
        .map(|p| {
            let environment = environments
                .iter()
                .find(|e| e.metadata.name.as_deref() == Some(&p.name));
            let stage = environment.map_or(Stage::Development, |e| e.spec.stage);
            let entries = told.get(&(called.as_str(), p.name.as_str()));
            let kept = play.pre_states.get(&(called.clone(), p.name.clone()));
            let entries = entries.map(Vec::as_slice).unwrap_or_default();
            let restores = kept.map(|kept| restores(kept, &play.assumed)).unwrap_or_default();
            let held_by = p.checks.iter().filter(|check| {
                let gate = (called.clone(), p.name.clone(), check.name.clone());
                p.state == State::Waiting && for_good(check) && !play.unsigned.contains(&gate)
            });
            Leg {
                held_by: held_by.map(|check| check.name.clone()).collect(),
                ..leg(p, stage, entries, restores)
            }
        })
        .collect();
    let any = |state| promotions.iter().any(|p| p.state == state);
    let over = !promotions.is_empty() && promotions.iter().all(|p| done(p.state));
    let outcome = if over && any(State::Withdrawn) {
        Outcome::Withdrawn
    } else if over && any(State::Superseded) {
        Outcome::Superseded
    } else if over {
        Outcome::Reached
    } else if promotions
        .iter()
        .any(|p| !rests(release, p) || play.later.contains(&(called.clone(), p.name.clone())))
    {
        Outcome::UnderWay
    } else {
        Outcome::Blocked
    };
    let conditions = release.status.iter().flat_map(|s| &s.conditions);
    let refused = conditions
        .filter(|c| c.type_ == "Accepted" && c.status == "False")
        .map(|c| c.message.clone());
    let mut blocked_by: Vec<String> = refused.collect();
    if !over && blocked_by.is_empty() {
        let held = legs
            .iter()
            .filter(|leg| leg.state != State::Pending && !done(leg.state));
        blocked_by.extend(held.flat_map(why));
        if let Some(hold) = &release.spec.hold {
            let reason = hold.reason.clone().unwrap_or_default();
            blocked_by.push(format!("held: {reason}").trim_end_matches([':', ' ']).to_owned());
        }
    }
    let finished = legs.iter().filter_map(|leg| leg.finished_at).max();
    Way {
        namespace: release.metadata.namespace.clone().unwrap_or_default(),
        name: release.metadata.name.clone().unwrap_or_default(),
        product: release.spec.product.clone(),
        version: release.spec.version.clone(),
        requested_by: release.spec.requested_by.clone(),
        outcome,
        finished_at: finished.filter(|_| outcome == Outcome::Reached),
        blocked_by,
        held: release.spec.hold.is_some(),
        promotions: legs,
    }
}

fn done(state: State) -> bool {
    matches!(state, State::Succeeded | State::Superseded | State::Withdrawn)
}

/// What holds a promotion, beginning with its environment.
fn why(leg: &Leg) -> Vec<String> {
    let Some(last) = leg.steps.last() else {
        return vec![];
    };
    let begin = format!("{} is {}", leg.environment, leg.state.as_str());
    let blocks = leg.blocks_for_good(last);
    let mut said: Vec<String> = blocks.map(|block| format!("{begin}: {block}")).collect();
    if said.is_empty() {
        said.extend(last.message.iter().map(|message| format!("{begin}: {message}")));
    }
    if said.is_empty() {
        said.push(begin);
    }
    said
}

fn leg(p: &Promotion, stage: Stage, entries: &[&Entry], restores: Vec<String>) -> Leg {
    let steps = steps(entries);
    let entered = p.started_at.as_ref().map(|t| t.0);
    // Once only people are waited for, time has done what it can.
    let asked = entries
        .iter()
        .find(|e| e.state == State::Waiting && e.waits_for == Some(WaitsFor::Approval));
    let forecast = p.forecast.as_ref().and_then(|f| f.earliest.as_ref()).map(|t| t.0);
    let earliest = [asked.map(|e| e.at), forecast].into_iter().flatten().max();
    let waits = p.state == State::Waiting;
    Leg {
        environment: p.name.clone(),
        stage,
        state: p.state,
        entered_at: entered,
        finished_at: p.finished_at.as_ref().map(|t| t.0),
        earliest: earliest.filter(|_| waits && entered.is_none()),
        restores,
        steps,
        held_by: vec![],
    }
}

/// Entries that follow one another, each until the next one; those that took no time are passed over, and those in one
/// state for one reason are one.
fn steps(entries: &[&Entry]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let next = entries.get(index + 1).map(|next| next.at);
        if next == Some(entry.at) {
            continue;
        }
        let step = Step {
            from: entry.at,
            to: next,
            attempt: entry.attempt,
            state: entry.state,
            blocks: entry.blocks.clone(),
            waits_for: entry.waits_for.map(|waits| waits.to_string()),
            message: entry.message.clone(),
        };
        match steps.last_mut() {
            Some(last) if goes_on(last, &step) => last.to = step.to,
            _ => steps.push(step),
        }
    }
    steps
}

/// What is changed is one step, whatever becomes ready when; what is waited for is another one for each reason.
fn goes_on(last: &Step, next: &Step) -> bool {
    let heads = |step: &Step| -> Vec<String> {
        let head = |block: &String| block.split(": ").next().unwrap_or_default().to_owned();
        step.blocks.iter().map(head).collect()
    };
    last.state == next.state
        && last.attempt == next.attempt
        && (next.state == State::Deploying || next.state == State::BackingOut || heads(last) == heads(next))
}

// ---------------------------------------------------------------------------------------------------------------

/// What stood on the targets before the first change, a sentence for each field.
fn restores(kept: &PreState, assumed: &BTreeSet<Spot>) -> Vec<String> {
    let restored = |captured: &Captured| {
        let target = &captured.target;
        let spot = (kept.namespace.clone(), target.kind.clone(), target.name.clone());
        if !assumed.contains(&spot) {
            return restored(captured);
        }
        // What stood there was made up.
        let said = restored(captured).into_iter();
        said.map(|sentence| {
            let ends = [" back to ", " taken away again"].map(|end| sentence.find(end));
            let field = &sentence[..ends.into_iter().flatten().min().unwrap_or(sentence.len())];
            format!("{field} back to what stands there")
        })
        .collect()
    };
    kept.components.iter().flat_map(restored).collect()
}

fn restored(captured: &Captured) -> Vec<String> {
    let target = captured.target.to_string();
    if captured.created() {
        return vec![format!("{target}: did not exist, and is deleted again")];
    }
    let mut said = Vec::new();
    for change in &captured.changes {
        fields(
            &change.path,
            change.before.as_ref(),
            change.after.as_ref(),
            &mut said,
        );
    }
    said.into_iter()
        .map(|field| format!("{target}: {field}"))
        .collect()
}

/// The fields in which the two differ, down to where they cannot be told apart any more.
fn fields(at: &str, before: Option<&Value>, after: Option<&Value>, said: &mut Vec<String>) {
    // Which configuration the pods were restarted for says nothing to anybody.
    if before == after || at.contains(&crate::manifests::token(RESTARTED_FOR)) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let at = format!("{at}/{}", crate::manifests::token(key));
                fields(&at, old.get(key), new.get(key), said);
            }
        }
        (None, Some(Value::Object(new))) if new.keys().all(|key| key == RESTARTED_FOR) => {}
        (Some(Value::Array(old)), Some(Value::Array(new))) if named(old) && named(new) => {
            for item in old {
                let name = item["name"].as_str().unwrap_or_default();
                let now = new.iter().find(|other| other["name"] == item["name"]);
                fields(&format!("{at}/{name}"), Some(item), now, said);
            }
            let known = |item: &Value| old.iter().any(|other| other["name"] == item["name"]);
            for item in new.iter().filter(|item| !known(item)) {
                let name = item["name"].as_str().unwrap_or_default();
                fields(&format!("{at}/{name}"), None, Some(item), said);
            }
        }
        (Some(before), _) => said.push(format!("{at} back to {}", short(before))),
        (None, _) => said.push(format!("{at} taken away again")),
    }
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|item| item["name"].is_string())
}

/// On one line of bounded length.
fn short(value: &Value) -> String {
    const MOST: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
