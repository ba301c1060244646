//! What is played, what is asked, and whether the one fits the other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::{Decision, Environment, Release, ReleaseReview};
use crate::view::timeline::rest::path;
use crate::world::{Behaviour, Error, JobBehaviour, Script, Where, rolls_out};

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

impl Cast {
    fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments
            .iter()
            .find(|e| e.metadata.name.as_deref() == Some(name))
    }
}

/// The flags speak of what there is.
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

/// What goes wrong in the world, as the question has it.
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
