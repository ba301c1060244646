//! Findings about Environments and their target namespaces: deployer, consent, rights and templates of Jobs.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use super::places::Place;
use super::rights::{Right, of_deployer};
use super::settings::Settings;
use crate::decide::consent::{self, Accepts, Entering};

/// What the operator says about each Environment.
pub(super) fn status(facts: &Facts, findings: &mut Vec<Finding>) {
    for environment in facts.environments.iter().flatten() {
        let name = environment.name_any();
        let object = format!("Environment {name}");
        let conditions = environment.status.iter().flat_map(|status| &status.conditions);
        let find = |kind: &str| conditions.clone().find(|c| c.type_ == kind);
        match find("Ready") {
            Some(ready) if ready.status == "True" => {}
            Some(ready) => findings.push(
                Finding::new(
                    Severity::Error,
                    object.as_str(),
                    format!("It is not Ready: {}", ready.message),
                )
                .fix(format!("kubectl edit environments.signalbox.dev {name}")),
            ),
            None => findings.push(
                Finding::new(
                    Severity::Warning,
                    object.as_str(),
                    "The operator has not reconciled it yet.",
                )
                .fix(format!(
                    "kubectl --namespace {} logs --selector app.kubernetes.io/name=signalbox --tail 50",
                    facts.namespace
                )),
            ),
        }
        if let Some(shared) = find("SharedTargets").filter(|c| c.status == "True") {
            findings.push(
                Finding::new(
                    Severity::Warning,
                    object,
                    format!("It shares target namespaces: {}", shared.message),
                )
                .fix(format!("kubectl signalbox status --environment {name}")),
            );
        }
    }
}

/// What is missing in target namespaces. Returns Environment and namespace of those where something was found.
pub(super) fn places(
    facts: &Facts,
    settings: &Settings,
    places: &[Place<'_>],
    findings: &mut Vec<Finding>,
) -> BTreeSet<(String, String)> {
    let mut broken = BTreeSet::new();
    for place in places {
        let before = findings.len();
        if exists(facts, place, findings) {
            deployer(facts, settings, place, places, findings);
            consents(facts, settings, place, findings);
            templates(facts, place, findings);
        }
        if findings.len() > before {
            broken.insert((place.environment.name_any(), place.target.clone()));
        }
    }
    broken
}

/// An error for Releases that are not finished, otherwise a warning for the next one.
fn severity(needed: bool) -> Severity {
    if needed {
        Severity::Error
    } else {
        Severity::Warning
    }
}

/// Whether the namespace exists, or was not read.
fn exists(facts: &Facts, place: &Place<'_>, findings: &mut Vec<Finding>) -> bool {
    let target = &place.target;
    let object = format!("Namespace {target}");
    let environment = place.environment.name_any();
    match facts.namespaces.get(target) {
        Some(None) => {
            let homes: Vec<&str> = place.homes.keys().map(String::as_str).collect();
            let whose = if homes.is_empty() {
                String::new()
            } else {
                format!(" for Releases of {}", homes.join(", "))
            };
            let message = format!("It does not exist, but Environment {environment} leads to it{whose}.");
            findings.push(
                Finding::new(severity(place.needed()), object, message)
                    .fix(format!("kubectl create namespace {target}")),
            );
            false
        }
        Some(Some(namespace)) if namespace.metadata.deletion_timestamp.is_some() => {
            let message =
                format!("It is being deleted, so no Release enters it through Environment {environment}.");
            findings.push(
                Finding::new(severity(place.needed()), object, message)
                    .fix(format!("kubectl get namespace {target} --output yaml")),
            );
            false
        }
        _ => true,
    }
}

/// The ServiceAccount, and its rights.
fn deployer(
    facts: &Facts,
    settings: &Settings,
    place: &Place<'_>,
    places: &[Place<'_>],
    findings: &mut Vec<Finding>,
) {
    let (target, name) = (&place.target, &settings.deployer);
    let object = format!("ServiceAccount {target}/{name}");
    let same = places.iter().filter(|other| other.target == *target);
    let needed = severity(same.clone().any(Place::needed));
    if facts.deployers.get(target) == Some(&None) {
        let rights = same
            .flat_map(|other| of_deployer(&other.environment.spec))
            .collect();
        let message = "It does not exist. The operator changes the targets of this namespace only as this ServiceAccount.";
        let mut finding = Finding::new(needed, object, message).fix(format!(
            "kubectl --namespace {target} create serviceaccount {name}"
        ));
        finding.commands.extend(grants(target, name, &rights));
        findings.push(finding);
    } else if let Some(denied) = facts.denied.get(target).filter(|denied| !denied.is_empty()) {
        let groups = grouped(denied);
        let lacks: Vec<String> = groups
            .iter()
            .map(|(verbs, resources)| format!("{} {}", verbs.join(", "), resources.join(", ")))
            .collect();
        let message = format!("It may not {}.", lacks.join("; "));
        let mut finding = Finding::new(needed, object, message);
        finding.commands = grants(target, name, denied);
        findings.push(finding);
    }
}

/// Resources by the verbs that are granted or lacking for them.
fn grouped(rights: &BTreeSet<Right>) -> BTreeMap<Vec<&'static str>, Vec<String>> {
    let mut verbs: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for right in rights {
        verbs.entry(right.of()).or_default().push(right.verb);
    }
    let mut groups: BTreeMap<Vec<&'static str>, Vec<String>> = BTreeMap::new();
    for (resource, verbs) in verbs {
        groups.entry(verbs).or_default().push(resource);
    }
    groups
}

/// The commands that grant these rights. The names differ from that of the chart's Role, which may exist.
fn grants(target: &str, name: &str, rights: &BTreeSet<Right>) -> Vec<String> {
    let mut commands = Vec::new();
    for (verbs, resources) in grouped(rights) {
        // A shell reads them as they are.
        let plain = |resource: &&String| {
            resource
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '/'))
        };
        let resources: Vec<String> = resources.iter().filter(plain).cloned().collect();
        if resources.is_empty() {
            continue;
        }
        let role = format!("{name}-{}", verbs.join("-"));
        commands.push(format!(
            "kubectl --namespace {target} create role {role} --verb={} --resource={}",
            verbs.join(","),
            resources.join(",")
        ));
        commands.push(format!(
            "kubectl --namespace {target} create rolebinding {role} --role={role} --serviceaccount={target}:{name}"
        ));
    }
    commands
}

/// Whether the owner of the namespace has consented.
fn consents(facts: &Facts, settings: &Settings, place: &Place<'_>, findings: &mut Vec<Finding>) {
    let target = &place.target;
    let (Some(Some(namespace)), Some(account)) = (facts.namespaces.get(target), facts.deployers.get(target))
    else {
        return;
    };
    let of_namespace = Accepts::read(namespace.metadata.annotations.as_ref());
    let of_deployer = account
        .as_ref()
        .and_then(|account| Accepts::read(account.metadata.annotations.as_ref()));
    for (home, needed) in &place.homes {
        let environment = place.environment.name_any();
        let entering = Entering {
            release_namespace: home,
            environment: &environment,
            target,
            deployer: &settings.deployer,
        };
        let judged = consent::judge(
            entering,
            of_namespace.as_ref(),
            of_deployer.as_ref(),
            settings.require_consent,
        );
        if let Err(refused) = judged {
            // A finished Release shows that the owner had consented, and may have changed their mind.
            let severity = if *needed { Severity::Error } else { Severity::Note };
            findings.push(
                Finding::new(severity, format!("Namespace {target}"), refused.to_string())
                    .fix(refused.command()),
            );
        }
    }
}

/// The CronJobs of gates and verifications.
fn templates(facts: &Facts, place: &Place<'_>, findings: &mut Vec<Finding>) {
    let target = &place.target;
    for (judge, template) in place.environment.spec.judges() {
        let object = format!("CronJob {target}/{template}");
        let environment = place.environment.name_any();
        let suspend = format!(
            "kubectl --namespace {target} patch cronjob {template} --patch '{{\"spec\":{{\"suspend\":true}}}}'"
        );
        match facts.templates.get(&(target.clone(), template.to_owned())) {
            Some(None) => {
                let message = format!(
                    "It does not exist, but it is the template of the Job of {judge} in Environment {environment}."
                );
                findings.push(
                    Finding::new(severity(place.needed()), object, message)
                        .fix(format!("kubectl --namespace {target} create cronjob {template} --image=IMAGE --schedule='0 0 1 1 *'"))
                        .fix(suspend),
                );
            }
            Some(Some(job)) if job.spec.as_ref().and_then(|spec| spec.suspend) != Some(true) => {
                let message = format!(
                    "It is not suspended. It is only the template of the Job of {judge} in Environment {environment}, and must not run by itself."
                );
                findings.push(Finding::new(severity(place.needed()), object, message).fix(suspend));
            }
            _ => {}
        }
    }
}
