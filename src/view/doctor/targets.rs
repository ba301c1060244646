//! Findings about the targets of Releases that are not finished: other owners of their fields, and what else holds these Releases.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use super::places::unfinished;
use super::rights::resource;
use super::settings::plain;
use crate::api::release::{Component, Target};
use crate::api::{Environment, Release, reasons};
use crate::domain::patches::overlay;

/// What a component of a Release that is not finished changes in one Environment.
#[derive(Clone, Debug)]
pub struct Aim<'a> {
    /// The Release.
    pub release: &'a Release,
    /// The Environment.
    pub environment: &'a Environment,
    /// The target namespace.
    pub namespace: String,
    /// The component.
    pub component: &'a Component,
}

/// All components of Releases that are not finished, in each of their Environments.
#[must_use]
pub fn aims<'a>(releases: &'a [Release], environments: &'a [Environment]) -> Vec<Aim<'a>> {
    let by_name: BTreeMap<String, &Environment> = environments.iter().map(|e| (e.name_any(), e)).collect();
    let mut aims = Vec::new();
    for release in releases {
        let home = release.namespace().unwrap_or_default();
        for name in release
            .spec
            .environments
            .iter()
            .filter(|name| unfinished(release, name))
        {
            let Some(environment) = by_name.get(name) else {
                continue;
            };
            aims.extend(release.spec.components.iter().map(|component| Aim {
                release,
                environment,
                namespace: environment.spec.target_namespace(&home),
                component,
            }));
        }
    }
    aims
}

/// Whether the component states or removes `spec.replicas` there.
#[must_use]
pub fn states_replicas(aim: &Aim<'_>) -> bool {
    let component = aim.component;
    let over = component.override_for(&aim.environment.name_any());
    let stated = overlay(component.patch.as_ref(), over);
    component.remove.iter().any(|path| path == "/spec/replicas")
        || stated.is_some_and(|patch| patch.pointer("/spec/replicas").is_some())
}

/// Components that state the replicas of a workload that an autoscaler scales.
pub(super) fn autoscaled(facts: &Facts, aims: &[Aim<'_>], findings: &mut Vec<Finding>) {
    for aim in aims.iter().filter(|aim| states_replicas(aim)) {
        let target = &aim.component.target;
        let group = resource(target).group;
        let scales = facts
            .autoscalers
            .get(&aim.namespace)
            .into_iter()
            .flatten()
            .find(|autoscaler| {
                let scaled = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
                scaled.is_some_and(|scaled| {
                    let of = scaled
                        .api_version
                        .as_deref()
                        .and_then(|v| v.split_once('/'))
                        .map_or("", |(g, _)| g);
                    scaled.kind == target.kind && scaled.name == target.name && of == group
                })
            });
        let Some(autoscaler) = scales else {
            continue;
        };
        let (home, name) = (
            aim.release.namespace().unwrap_or_default(),
            aim.release.name_any(),
        );
        let message = format!(
            "Component {} sets spec.replicas of {target} in {}, which HorizontalPodAutoscaler {} scales. Leave spec.replicas out of the component.",
            aim.component.name,
            aim.namespace,
            autoscaler.name_any()
        );
        findings.push(
            Finding::new(Severity::Warning, format!("Release {home}/{name}"), message).fix(format!(
                "kubectl --namespace {home} edit releases.signalbox.dev {name}"
            )),
        );
    }
}

/// A tool that applies an object again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Argo,
    Kustomization,
    HelmRelease,
    Helm,
}

/// Which tool the object says that it is owned by, and under which name and in which namespace, where the object states them.
fn owner(metadata: &ObjectMeta) -> Option<(Tool, Option<&str>, Option<&str>)> {
    let said = |key: &str| {
        let of =
            |all: &'_ Option<BTreeMap<String, String>>| all.as_ref().and_then(|all| all.get(key)).is_some();
        let from = if of(&metadata.labels) {
            &metadata.labels
        } else {
            &metadata.annotations
        };
        from.as_ref().and_then(|all| all.get(key)).map(String::as_str)
    };
    let manages = |name: &str| {
        let entries = metadata.managed_fields.iter().flatten();
        entries
            .filter_map(|entry| entry.manager.as_deref())
            .any(|manager| manager == name)
    };
    let tracked = said("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next());
    if let Some(name) = tracked.or(said("argocd.argoproj.io/instance")) {
        return Some((Tool::Argo, Some(name), None));
    }
    for (tool, of, manager) in [
        (
            Tool::Kustomization,
            "kustomize.toolkit.fluxcd.io",
            "kustomize-controller",
        ),
        (Tool::HelmRelease, "helm.toolkit.fluxcd.io", "helm-controller"),
    ] {
        let name = said(&format!("{of}/name"));
        if name.is_some() || manages(manager) {
            return Some((tool, name, said(&format!("{of}/namespace"))));
        }
    }
    if manages("argocd-controller") {
        return Some((Tool::Argo, None, None));
    }
    let name = said("meta.helm.sh/release-name")?;
    Some((Tool::Helm, Some(name), said("meta.helm.sh/release-namespace")))
}

/// Targets that another tool also applies. docs/gitops.md says how both work together.
pub(super) fn owned(facts: &Facts, aims: &[Aim<'_>], findings: &mut Vec<Finding>) {
    let targets: BTreeSet<(&String, &Target)> = aims
        .iter()
        .map(|aim| (&aim.namespace, &aim.component.target))
        .collect();
    for (namespace, target) in targets {
        let Some(Some(metadata)) = facts.targets.get(&(namespace.clone(), target.clone())) else {
            continue;
        };
        let Some((tool, name, within)) = owner(metadata) else {
            continue;
        };
        let word = name.filter(|name| plain(name)).unwrap_or("NAME");
        let called = name.map_or_else(String::new, |name| format!(" {name}"));
        let within = within.filter(|name| plain(name));
        let (message, command) = match tool {
            Tool::Argo => (
                format!(
                    "Argo CD (Application{called}) owns it too, and with self-heal restores what a Release sets. Set ignoreDifferences by jq path expression for the fields of the Release, and the sync option RespectIgnoreDifferences=true."
                ),
                format!(
                    "kubectl --namespace {} edit applications.argoproj.io {word}",
                    within.unwrap_or("argocd")
                ),
            ),
            Tool::Kustomization => (
                format!(
                    "Flux (Kustomization{called}) owns it too, and restores what a Release sets at its next interval. List the fields of the Release as JSON pointers in spec.ignore of the Kustomization (Flux 1.9 or newer)."
                ),
                format!(
                    "kubectl --namespace {} edit kustomizations.kustomize.toolkit.fluxcd.io {word}",
                    within.unwrap_or("flux-system")
                ),
            ),
            Tool::HelmRelease => (
                format!(
                    "Flux (HelmRelease{called}) owns it too, and its upgrades conflict with a Release or restore what it sets. Have the chart read the running image with `lookup`."
                ),
                format!(
                    "kubectl --namespace {} edit helmreleases.helm.toolkit.fluxcd.io {word}",
                    within.unwrap_or("flux-system")
                ),
            ),
            Tool::Helm => (
                format!(
                    "Helm (release{called}) owns it too: an upgrade conflicts with what a Release sets, or restores the chart's values without a message. Have the chart read the running image with `lookup`, or pass the running image at every upgrade."
                ),
                format!(
                    "helm upgrade {word} CHART --namespace {} --reuse-values --set image=RUNNING_IMAGE",
                    within.unwrap_or(namespace)
                ),
            ),
        };
        findings.push(
            Finding::new(
                // Whether the other tool leaves the fields alone is written where it is configured, which is not read here.
                Severity::Note,
                format!("{} {namespace}/{}", target.kind, target.name),
                message,
            )
            .fix(command),
        );
    }
}

/// Reasons that only a change to the cluster clears, and that the other findings explain where they are the cause.
const CAUSED: [&str; 5] = [
    reasons::NOT_READ_YET,
    reasons::DEPLOYER_MISSING,
    reasons::NOT_PERMITTED,
    reasons::NOT_ACCEPTED,
    reasons::NAMESPACE_MISSING,
];

/// Releases that the operator holds for such a reason, where no other finding explains it.
pub(super) fn waiting(facts: &Facts, broken: &BTreeSet<(String, String)>, findings: &mut Vec<Finding>) {
    let mut held: BTreeMap<(&str, &str, &str), (&Release, usize)> = BTreeMap::new();
    for release in &facts.releases {
        let home = release.namespace().unwrap_or_default();
        let promotions = release.status.iter().flat_map(|status| &status.environments);
        for p in promotions.filter(|p| p.state.before_entry()) {
            let environment = facts
                .environments
                .iter()
                .flatten()
                .find(|e| e.name_any() == p.name);
            let target = environment
                .map(|e| e.spec.target_namespace(&home))
                .unwrap_or_default();
            if broken.contains(&(p.name.clone(), target)) {
                continue;
            }
            let checks = p
                .checks
                .iter()
                .filter(|check| check.blocks() && CAUSED.contains(&check.reason.as_str()));
            for check in checks {
                let key = (p.name.as_str(), check.reason.as_str(), check.message.as_str());
                held.entry(key).or_insert((release, 0)).1 += 1;
            }
        }
    }
    for ((environment, reason, message), (release, count)) in held {
        let (home, name) = (release.namespace().unwrap_or_default(), release.name_any());
        let more = match count - 1 {
            0 => String::new(),
            1 => " 1 other Release waits for the same.".to_owned(),
            others => format!(" {others} other Releases wait for the same."),
        };
        findings.push(
            Finding::new(
                Severity::Warning,
                format!("Release {home}/{name}"),
                format!("It waits in {environment} ({reason}): {message}{more}"),
            )
            .fix(format!(
                "kubectl signalbox explain {name} {environment} --namespace {home}"
            )),
        );
    }
}
