//! Whether the Release spec is valid: references, cycles, kinds and patches. What depends on the cluster is a check.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::environment::Require;
use crate::api::release::Component;
use crate::api::{Release, reasons};
use crate::decide::facts::{Observed, Setting};
use crate::domain::version::Version;
use crate::domain::{patches, readiness};

/// How many components a message names at most.
const MOST_NAMED: usize = 5;

/// The verdict on the spec of a Release.
#[derive(Debug, Default)]
pub struct Accepted {
    /// In the order in which they are found.
    pub problems: Vec<Problem>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A reason from [`reasons`], for the condition Accepted.
    pub reason: &'static str,
    /// A JSON pointer into the Release: the field to change, or the nearest to it.
    pub at: String,
    /// A complete message.
    pub sentence: String,
}

impl Problem {
    fn new(reason: &'static str, at: impl Into<String>, sentence: String) -> Self {
        Self {
            reason,
            at: at.into(),
            sentence,
        }
    }
}

impl Accepted {
    /// Whether the spec has no error.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// All messages, joined.
    #[must_use]
    pub fn message(&self) -> String {
        self.problems
            .iter()
            .map(|problem| problem.sentence.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Judges the current spec.
#[must_use]
pub fn judge(o: &Observed) -> Accepted {
    let mut problems = Vec::new();
    name(o, &mut problems);
    versions(o, &mut problems);
    environments(o, &mut problems);
    components(o, &mut problems);
    problems.extend(too_large(&o.release));
    Accepted { problems }
}

type Problems = Vec<Problem>;

fn name(o: &Observed, problems: &mut Problems) {
    if o.name().len() > 63 {
        let sentence = format!(
            "metadata.name {:?} has {} characters; at most 63 are allowed because the name becomes a label. Choose a shorter name.",
            o.name(),
            o.name().len()
        );
        problems.push(Problem::new(reasons::INVALID, "/metadata/name", sentence));
    }
}

/// Whether it has entered an environment, so that its components are fixed.
fn has_entered(release: &Release) -> bool {
    let promotions = release.status.iter().flat_map(|s| &s.environments);
    promotions.into_iter().any(|p| p.entered.is_some())
}

/// Whether it has entered no environment and never will: it is withdrawn, or each of its promotions was overtaken or withdrawn.
#[must_use]
pub fn never_enters(release: &Release) -> bool {
    let over = |name: &String| {
        let promotion = release.promotion(name);
        promotion.is_some_and(|p| p.state.never_entered())
    };
    let listed = &release.spec.environments;
    !has_entered(release)
        && (release.spec.withdrawn.is_some() || !listed.is_empty() && listed.iter().all(over))
}

fn versions(o: &Observed, problems: &mut Problems) {
    let spec = &o.release.spec;
    let Ok(version) = spec.version.parse::<Version>() else {
        problems.push(Problem::new(
            reasons::INVALID,
            "/spec/version",
            format!(
                "spec.version {:?} is not a version. Use numbers and dots, such as 2026.11.1.",
                spec.version
            ),
        ));
        return;
    };
    // Two may be created in the same second: a Release that has already entered comes first, whatever its uid.
    let rank = |r: &Release| {
        let meta = &r.metadata;
        (!has_entered(r), meta.creation_timestamp.clone(), meta.uid.clone())
    };
    for other in &o.siblings {
        if other.spec.version.parse::<Version>().as_ref() == Ok(&version) && rank(other) < rank(&o.release) {
            let sentence = format!(
                "Release {} already has version {} of {} on line {}. A version is released only once: raise spec.version.",
                other.metadata.name.as_deref().unwrap_or_default(),
                other.spec.version,
                spec.product,
                spec.line
            );
            problems.push(Problem::new(
                reasons::DUPLICATE_VERSION,
                "/spec/version",
                sentence,
            ));
        }
    }
}

fn environments(o: &Observed, problems: &mut Problems) {
    let listed: BTreeSet<&str> = o.release.spec.environments.iter().map(String::as_str).collect();
    // A promotion that has entered continues with the settings that it copied then, and a finished one stays as it is.
    let ahead = |name: &&String| o.release.promotion(name).is_none_or(|p| p.state.before_entry());
    let names = o.release.spec.environments.iter().enumerate();
    for (index, name) in names.filter(|(_, name)| ahead(name)) {
        let at = format!("/spec/environments/{index}");
        let Some(environment) = o.environment(name) else {
            let sentence = format!(
                "spec.environments names {name:?}, but no Environment of that name exists. Create it or correct the name."
            );
            problems.push(Problem::new(reasons::UNKNOWN_ENVIRONMENT, at, sentence));
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
                "Environment {name} promotes from {} and requires {word} of them. Add {} to spec.environments.",
                from.environments.join(", "),
                missing.join(", ")
            );
            problems.push(Problem::new(reasons::UPSTREAM_NOT_LISTED, at, sentence));
        }
    }
    let ahead = o.release.spec.environments.iter().filter(ahead);
    if let Some(cycle) = circle(&o.environments, ahead.map(String::as_str)) {
        problems.push(Problem::new(
            reasons::CYCLE,
            "/spec/environments",
            circle_sentence(&cycle),
        ));
    }
}

/// The message about Environments that promote from each other in a circle.
#[must_use]
pub fn circle_sentence(circle: &[String]) -> String {
    format!(
        "The Environments promote from each other in a circle ({}). An environment owner must break it in promotesFrom.",
        circle.join(" from ")
    )
}

/// A circle that is reached from `begin`, in the order in which each Environment promotes from the next.
#[must_use]
pub fn circle<'a>(
    environments: &BTreeMap<String, Setting>,
    mut begin: impl Iterator<Item = &'a str>,
) -> Option<Vec<String>> {
    fn visit(
        environments: &BTreeMap<String, Setting>,
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
        let upstream = environments
            .get(name)
            .and_then(|s| s.environment.spec.promotes_from.as_ref());
        for next in upstream.into_iter().flat_map(|f| &f.environments) {
            if let Some(circle) = visit(environments, next, path, done) {
                return Some(circle);
            }
        }
        path.pop();
        None
    }
    let mut done = BTreeSet::new();
    begin.find_map(|name| visit(environments, name, &mut Vec::new(), &mut done))
}

fn components(o: &Observed, problems: &mut Problems) {
    let mut earlier: BTreeSet<&str> = BTreeSet::new();
    let mut targets = BTreeSet::new();
    for (index, component) in o.release.spec.components.iter().enumerate() {
        let here = format!("/spec/components/{index}");
        let (name, target) = (&component.name, &component.target);
        if !readiness::supported(&target.api_version, &target.kind) {
            let sentence = format!(
                "Component {name} targets {} {}: Signalbox has no readiness check for this kind. Remove the component, or target a kind that the Environment allows.",
                target.api_version, target.kind
            );
            problems.push(Problem::new(
                reasons::KIND_UNSUPPORTED,
                format!("{here}/target/kind"),
                sentence,
            ));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if !target.name.chars().all(plain) || !target.name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let sentence = format!(
                "Component {name} targets {:?}, which is not a valid object name. Use only lower-case letters, digits, dashes and dots.",
                target.name
            );
            problems.push(Problem::new(
                reasons::INVALID,
                format!("{here}/target/name"),
                sentence,
            ));
        }
        if !targets.insert(target) {
            let sentence =
                format!("Component {name} targets {target} again. Put both changes into one component.");
            problems.push(Problem::new(reasons::INVALID, format!("{here}/target"), sentence));
        }
        let named = |list: &'static str, names: &[String]| -> Vec<(String, String)> {
            let names = names.iter().enumerate();
            names
                .map(|(index, name)| (format!("{here}/{list}/{index}"), name.clone()))
                .collect()
        };
        let after = named("after", &component.after);
        for (at, other) in after.into_iter().chain(named("restartOn", &component.restart_on)) {
            if !earlier.contains(other.as_str()) {
                let sentence = format!(
                    "Component {name} names {other:?} in after or restartOn. Name only components that are listed before it."
                );
                problems.push(Problem::new(reasons::INVALID, at, sentence));
            }
        }
        earlier.insert(name);
        let base = component
            .patch
            .iter()
            .map(|patch| (format!("{here}/patch"), patch));
        let overrides = component.overrides.iter().enumerate();
        let overrides = overrides.map(|(n, over)| (format!("{here}/overrides/{n}/patch"), &over.patch));
        let stated = base.chain(overrides).flat_map(|(under, patch)| {
            let findings = patches::lint_patch(&target.api_version, &target.kind, &target.name, patch);
            findings.into_iter().map(move |finding| (under.clone(), finding))
        });
        let removed = patches::lint_remove(&component.remove);
        let both = component.patch.iter();
        let both = both.flat_map(|patch| patches::lint_both(patch, &component.remove));
        let removed = removed.into_iter().chain(both);
        let removed = removed.map(|finding| (format!("{here}/remove"), finding));
        let replaced = patches::lint_replace(component.patch.as_ref(), &component.replace);
        let replaced = replaced
            .into_iter()
            .map(|finding| (format!("{here}/replace"), finding));
        for (under, patches::Finding { at, sentence }) in stated.chain(removed).chain(replaced) {
            problems.push(Problem::new(
                reasons::PATCH_NOT_ALLOWED,
                format!("{under}{at}"),
                format!("Component {name}: {sentence}."),
            ));
        }
    }
}

/// The size of the patches of `component` as JSON without blanks, overrides included, in bytes.
#[must_use]
pub fn patch_bytes(component: &Component) -> usize {
    let overrides = component.overrides.iter().map(|over| &over.patch);
    let stated = component.patch.iter().chain(overrides);
    stated.map(|patch| patch.to_string().len()).sum()
}

/// The patches of a Release are held in memory as long as it exists, so their size is limited. A Release that has entered may be older than
/// the limit, and continues. Of a Release that never enters, patches that are too large are not held.
#[must_use]
pub fn too_large(release: &Release) -> Option<Problem> {
    if has_entered(release) || never_enters(release) {
        return None;
    }
    let sizes = release.spec.components.iter().enumerate();
    let mut sizes: Vec<(usize, usize, &str)> = sizes
        .map(|(index, component)| (patch_bytes(component), index, component.name.as_str()))
        .collect();
    let total: usize = sizes.iter().map(|(bytes, ..)| bytes).sum();
    if total <= patches::MOST_BYTES {
        return None;
    }
    let kibibytes = |bytes: usize| bytes.div_ceil(1024);
    sizes.sort_unstable_by_key(|&(bytes, index, _)| (std::cmp::Reverse(bytes), index));
    let largest = sizes.first().map_or(0, |&(_, index, _)| index);
    let named = sizes.iter().take(MOST_NAMED).filter(|(bytes, ..)| *bytes > 0);
    let named: Vec<String> = named
        .map(|(bytes, _, name)| format!("{name} {} KiB", kibibytes(*bytes)))
        .collect();
    let others = sizes.len().saturating_sub(MOST_NAMED);
    let others = if others > 0 {
        format!(" and {others} smaller")
    } else {
        String::new()
    };
    let sentence = format!(
        "The patches of this Release, overrides included, take {} KiB as JSON, but at most {} KiB are allowed in total ({}{others}). \
         Split the Release, or move large data into an image.",
        kibibytes(total),
        kibibytes(patches::MOST_BYTES),
        named.join(", ")
    );
    Some(Problem::new(
        reasons::PATCHES_TOO_LARGE,
        format!("/spec/components/{largest}"),
        sentence,
    ))
}
