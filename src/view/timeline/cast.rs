//! The objects that are simulated, the question, and the check that the question fits the objects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{Decision, Environment, Release, ReleaseReview};
use crate::view::timeline::rest::path;
use crate::world::{Behaviour, Error, JobBehaviour, Script, Where, rolls_out};

/// The objects that exist when the simulation starts.
#[derive(Default)]
pub struct Cast {
    /// Every Environment.
    pub environments: Vec<Environment>,
    /// Every Release. Without one there is no simulation.
    pub releases: Vec<Release>,
    /// Decisions that exist already. `--approve` adds others later.
    pub decisions: Vec<Decision>,
    /// Every ReleaseReview.
    pub reviews: Vec<ReleaseReview>,
    /// Labels by name.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Each with its namespace.
    pub targets: Vec<(String, Value)>,
    /// Whether missing objects are assumed to exist as the Releases need them. Not so with a cluster, whose objects have been read.
    pub fill_in: bool,
    /// Since when the admission policies verify the author of a Decision; a day ago if that is not known.
    pub verified_since: Option<Timestamp>,
}

/// The question: the times, failures and approvals of the flags.
#[derive(Clone, Debug)]
pub struct Question {
    /// When the simulation starts, `--now`.
    pub now: Timestamp,
    /// When it ends at the latest, `--until`; later than `now`.
    pub until: Timestamp,
    /// What fails, each from one `--fail`.
    pub fails: Vec<Fail>,
    /// Who approves, each from one `--approve`.
    pub approvals: Vec<Approvals>,
}

/// `environment/name`: a component that never becomes ready, or a Job that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail {
    /// Name of the Environment.
    pub environment: String,
    /// Name of the component, gate or item of verification.
    pub name: String,
}

/// `role@people`: these people approve as soon as a promotion waits for the role, or for the gate of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// The role of an approval gate, or the name of such a gate.
    pub role: String,
    /// Names of users, at least one.
    pub people: Vec<String>,
}

/// Why there is no simulation.
#[derive(Debug, thiserror::Error)]
pub enum Unplayable {
    /// An object could not be added to the simulated world.
    #[error("{0}")]
    World(#[from] Error),
    /// The manifests have no Release.
    #[error("No Release found in the files. Name manifests that have one with -f.")]
    NoRelease,
    /// A Release lists Environments that neither the files nor the cluster have.
    #[error(
        "Release {release} lists Environments that were not found: {missing}. Add them with -f, or read the cluster with --cluster."
    )]
    UnknownEnvironment { release: String, missing: String },
    /// A `--fail` names an environment that does not exist.
    #[error("--fail {environment}/{name}: the environment must be one of {known}.")]
    FailsNowhere {
        environment: String,
        name: String,
        known: String,
    },
    /// A `--fail` names neither a component that is rolled out nor a Job of that environment.
    #[error("--fail {environment}/{name}: {environment} has no such rolled-out component or Job. {known}")]
    FailsNothing {
        environment: String,
        name: String,
        known: String,
    },
    /// An `--approve` names a role that no approval gate requires, and no gate of that name exists.
    #[error("--approve {role}@{people}: no approval gate has this role or name. {known}")]
    NobodyAsks {
        role: String,
        people: String,
        known: String,
    },
    /// At this instant the simulated operator changes something in every reconcile.
    #[error("The simulated operator does not come to rest at {0}. This is a bug in Signalbox.")]
    Restless(Timestamp),
}

impl Cast {
    fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments
            .iter()
            .find(|e| e.metadata.name.as_deref() == Some(name))
    }
}

/// Checks that the flags name objects that exist.
pub(crate) fn sensible(cast: &Cast, question: &Question) -> Result<(), Unplayable> {
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
                known: choice(known.into_iter()),
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
                known: choice(known.into_iter()),
            });
        }
    }
    Ok(())
}

/// Which names can be used, as a sentence.
fn choice<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let mut known = known.peekable();
    if known.peek().is_none() {
        return "There is none.".to_owned();
    }
    format!("Use one of {}.", names(known))
}

/// Each name once, in order; "none" if there are none.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: std::collections::BTreeSet<&str> = names.collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// The components that can fail.
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

/// What fails in the world, as the question says.
pub(crate) fn script(cast: &Cast, question: &Question) -> Script {
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
