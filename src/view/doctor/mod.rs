//! Whether the operator can see and do what the Environments promise: facts of a cluster in, findings out, each with the commands that fix it.

mod environments;
mod facts;
mod finding;
mod installation;
mod places;
mod rights;
mod settings;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use facts::{Clock, Facts, Policy, Unread};
pub use finding::{Checked, Diagnosis, Finding, Severity};
pub use places::{Place, places, unfinished};
pub use rights::{Right, of_deployer, of_operator, resource};
pub use settings::Settings;
pub use targets::{Aim, aims, states_replicas};

/// What the facts show: the findings, the worst first, and what was checked.
#[must_use]
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let settings = facts.settings();
    let places = facts.places();
    let aims = aims(&facts.releases, facts.environments.as_deref().unwrap_or_default());
    let mut findings = Vec::new();
    installation::definitions(facts, &mut findings);
    installation::operator(facts, &mut findings);
    installation::clock(facts, &mut findings);
    installation::policies(facts, &mut findings);
    installation::watched(facts, &settings, &places, &mut findings);
    installation::permitted(facts, &settings, &mut findings);
    environments::status(facts, &mut findings);
    let broken = environments::places(facts, &settings, &places, &mut findings);
    targets::autoscaled(facts, &aims, &mut findings);
    targets::owned(facts, &aims, &mut findings);
    targets::waiting(facts, &broken, &mut findings);
    findings.extend(facts.unread.iter().map(Unread::finding));
    let mut known = BTreeSet::new();
    findings.retain(|finding: &Finding| known.insert((finding.object.clone(), finding.message.clone())));
    findings.sort_by_key(|finding| finding.severity);
    let targets: BTreeSet<_> = aims
        .iter()
        .map(|aim| (&aim.namespace, &aim.component.target))
        .collect();
    let read = |aim: &&(&String, &crate::api::release::Target)| {
        facts.targets.contains_key(&(aim.0.clone(), aim.1.clone()))
    };
    let spaces: BTreeSet<&str> = places.iter().map(|place| place.target.as_str()).collect();
    Diagnosis {
        complete: facts.unread.is_empty(),
        checked: Checked {
            definitions: facts.definitions.as_ref().map_or(0, Vec::len),
            operators: facts.operators.as_ref().map_or(0, Vec::len),
            policies: facts.policies.as_ref().map_or(0, Vec::len),
            environments: facts.environments.as_ref().map_or(0, Vec::len),
            namespaces: spaces
                .iter()
                .filter(|name| facts.namespaces.contains_key(**name))
                .count(),
            rights: facts.rights_asked,
            templates: facts.templates.len(),
            releases: facts.releases.len(),
            targets: targets.iter().filter(read).count(),
        },
        findings,
    }
}
