//! Whether the manifest makes sense: references, cycles, kinds and patches. Live facts are checks, not this.

use std::collections::BTreeSet;

use super::facts::Observed;
use super::{patches, readiness, version::Version};
use crate::api::environment::Require;
use crate::api::reasons;

/// The verdict on a Release's manifest.
#[derive(Debug, Default)]
pub struct Accepted {
    /// `(reason, sentence)`, in the order in which they are found.
    pub problems: Vec<(&'static str, String)>,
}

impl Accepted {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// All sentences, joined.
    #[must_use]
    pub fn message(&self) -> String {
        self.problems
            .iter()
            .map(|(_, sentence)| sentence.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Judges the manifest as it stands.
#[must_use]
pub fn judge(o: &Observed) -> Accepted {
    let mut problems = Vec::new();
    name(o, &mut problems);
    versions(o, &mut problems);
    environments(o, &mut problems);
    components(o, &mut problems);
    Accepted { problems }
}

type Problems = Vec<(&'static str, String)>;

fn name(o: &Observed, problems: &mut Problems) {
    if o.name().len() > 63 {
        let sentence = format!(
            "metadata.name {:?} has {} characters; at most 63 are allowed because the name becomes a label.",
            o.name(),
            o.name().len()
        );
        problems.push((reasons::INVALID, sentence));
    }
}

fn versions(o: &Observed, problems: &mut Problems) {
    let spec = &o.release.spec;
    let Ok(version) = spec.version.parse::<Version>() else {
        problems.push((
            reasons::INVALID,
            format!("spec.version {:?} is not a version.", spec.version),
        ));
        return;
    };
    let rank = |r: &crate::api::Release| (r.metadata.creation_timestamp.clone(), r.metadata.uid.clone());
    for other in &o.siblings {
        if other.spec.version.parse::<Version>().as_ref() == Ok(&version) && rank(other) < rank(&o.release) {
            let sentence = format!(
                "Release {} already is version {} of {} on line {}: a version is released once, raise spec.version.",
                other.metadata.name.as_deref().unwrap_or_default(),
                other.spec.version,
                spec.product,
                spec.line
            );
            problems.push((reasons::DUPLICATE_VERSION, sentence));
        }
    }
}

fn environments(o: &Observed, problems: &mut Problems) {
    let listed: BTreeSet<&str> = o.release.spec.environments.iter().map(String::as_str).collect();
    // A promotion that has entered goes on with what it copied then, and one that is over stays as it ended.
    let ahead = |name: &&String| o.release.promotion(name).is_none_or(|p| p.state.before_entry());
    for name in o.release.spec.environments.iter().filter(ahead) {
        let Some(environment) = o.environment(name) else {
            let sentence = format!(
                "spec.environments names {name:?}, but there is no Environment of that name: create it or correct the name."
            );
            problems.push((reasons::UNKNOWN_ENVIRONMENT, sentence));
            continue;
        };
        let Some(from) = &environment.spec.promotes_from else {
            continue;
        };
        let missing: Vec<&str> = from
            .environments
            .iter()
            .map(String::as_str)
            .filter(|n| !listed.contains(n))
            .collect();
        let lacking = match from.require {
            Require::All => !missing.is_empty(),
            Require::Any => missing.len() == from.environments.len(),
        };
        if lacking {
            let word = if from.require == Require::All {
                "all"
            } else {
                "at least one"
            };
            let sentence = format!(
                "Environment {name} promotes from {} and requires {word} of them: add {} to spec.environments.",
                from.environments.join(", "),
                missing.join(", ")
            );
            problems.push((reasons::UPSTREAM_NOT_LISTED, sentence));
        }
    }
    if let Some(cycle) = cycle(o) {
        let sentence = format!(
            "The Environments promote from each other in a circle ({}): an environment owner has to break it in promotesFrom.",
            cycle.join(" from ")
        );
        problems.push((reasons::CYCLE, sentence));
    }
}

/// A circle among the listed environments, in the order in which each promotes from the next.
fn cycle(o: &Observed) -> Option<Vec<String>> {
    fn visit(
        o: &Observed,
        name: &str,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(at) = path.iter().position(|p| p == name) {
            let mut circle = path[at..].to_vec();
            circle.push(name.to_owned());
            return Some(circle);
        }
        if !done.insert(name.to_owned()) {
            return None;
        }
        path.push(name.to_owned());
        let upstream = o.environment(name).and_then(|e| e.spec.promotes_from.as_ref());
        for next in upstream.into_iter().flat_map(|f| &f.environments) {
            if let Some(circle) = visit(o, next, path, done) {
                return Some(circle);
            }
        }
        path.pop();
        None
    }
    let mut done = BTreeSet::new();
    o.release
        .spec
        .environments
        .iter()
        .filter(|name| o.release.promotion(name).is_none_or(|p| p.state.before_entry()))
        .find_map(|name| visit(o, name, &mut Vec::new(), &mut done))
}

fn components(o: &Observed, problems: &mut Problems) {
    let mut earlier: BTreeSet<&str> = BTreeSet::new();
    let mut targets = BTreeSet::new();
    for component in &o.release.spec.components {
        let (name, target) = (&component.name, &component.target);
        if !readiness::supported(&target.api_version, &target.kind) {
            let sentence = format!(
                "Component {name} targets {} {}: Signalbox does not know when that kind counts as deployed; take the component out, or target a kind that the Environment allows.",
                target.api_version, target.kind
            );
            problems.push((reasons::KIND_UNSUPPORTED, sentence));
        }
        if !targets.insert(target) {
            let sentence =
                format!("Component {name} targets {target} again: put both changes into one component.");
            problems.push((reasons::INVALID, sentence));
        }
        for other in component.after.iter().chain(&component.restart_on) {
            if !earlier.contains(other.as_str()) {
                let sentence = format!(
                    "Component {name} names {other:?} in after or restartOn: only components listed before it may be named."
                );
                problems.push((reasons::INVALID, sentence));
            }
        }
        earlier.insert(name);
        let stated = std::iter::once(component.patch.as_ref()).flatten();
        let sentences = stated
            .chain(component.overrides.iter().map(|o| &o.patch))
            .flat_map(|patch| patches::lint_patch(&target.api_version, &target.kind, &target.name, patch))
            .chain(patches::lint_remove(&component.remove))
            .chain(
                component
                    .patch
                    .iter()
                    .flat_map(|p| patches::lint_both(p, &component.remove)),
            );
        for sentence in sentences {
            problems.push((
                reasons::PATCH_NOT_ALLOWED,
                format!("Component {name}: {sentence}."),
            ));
        }
    }
}
