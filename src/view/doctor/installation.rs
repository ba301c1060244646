//! Findings about the installation: definitions, operator, clocks, policies, rights and watched namespaces.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use serde_json::Value;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use super::places::{Place, unfinished};
use super::settings::Settings;
use crate::api::crds;

/// The version of this command.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A difference of clocks that does not matter.
const CLOSE: SignedDuration = SignedDuration::from_secs(5);
/// How many fields or namespaces a sentence names.
const NAMED: usize = 3;

/// Whether each definition is that of this version.
pub(super) fn definitions(facts: &Facts, findings: &mut Vec<Finding>) {
    let upgrade = facts.settings().upgrade("");
    for (name, live) in facts.definitions.iter().flatten() {
        let object = format!("CustomResourceDefinition {name}");
        let Some(own) = crds()
            .into_iter()
            .find(|crd| crd.metadata.name.as_ref() == Some(name))
        else {
            continue;
        };
        let Some(live) = live else {
            findings.push(
                Finding::new(
                    Severity::Error,
                    object,
                    "It is not installed, so the cluster has no such objects.",
                )
                .fix(upgrade.as_str()),
            );
            continue;
        };
        let (Some(own), Some(live)) = (schema(&own), schema(live)) else {
            let message = "It does not serve the version v1alpha1, which the operator and this command use.";
            findings.push(Finding::new(Severity::Error, object, message).fix(upgrade.as_str()));
            continue;
        };
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        compare("", &own, &live, &mut missing, &mut unknown);
        if missing.is_empty() && unknown.is_empty() {
            continue;
        }
        let mut message = String::new();
        if !missing.is_empty() {
            let verb = if missing.len() == 1 {
                "is missing or has"
            } else {
                "are missing or have"
            };
            let fields = some(&missing);
            message =
                format!("It is not that of version {VERSION} of this command: {fields} {verb} other rules.");
        }
        if !unknown.is_empty() {
            let space = if message.is_empty() { "" } else { " " };
            message = format!(
                "{message}{space}Version {VERSION} of this command does not know {}: it may be newer. Use the version of the operator.",
                some(&unknown)
            );
        }
        let mut finding = Finding::new(Severity::Warning, object, message);
        if !missing.is_empty() {
            finding = finding.fix(upgrade.as_str());
        }
        findings.push(finding.fix("kubectl signalbox version"));
    }
}

/// The schema that it serves as v1alpha1.
fn schema(crd: &CustomResourceDefinition) -> Option<Value> {
    let versions = &crd.spec.versions;
    let version = versions.iter().find(|v| v.name == "v1alpha1" && v.served)?;
    serde_json::to_value(version.schema.as_ref()?.open_api_v3_schema.as_ref()?).ok()
}

/// Adds the paths whose rules are in `own` and not the same in `live`, and those that only `live` has. Descriptions are not compared.
fn compare(path: &str, own: &Value, live: &Value, missing: &mut Vec<String>, unknown: &mut Vec<String>) {
    let (Value::Object(own), Value::Object(live)) = (own, live) else {
        return;
    };
    let named = |path: &str| path.trim_start_matches('.').to_owned();
    let rule = |key: &str| {
        !matches!(
            key,
            "properties" | "items" | "additionalProperties" | "description"
        )
    };
    let rules = |of: &serde_json::Map<String, Value>| -> Vec<(String, Value)> {
        let rules = of.iter().filter(|(key, _)| rule(key));
        rules.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    if rules(own) != rules(live) {
        missing.push(if path.is_empty() {
            "the object".to_owned()
        } else {
            named(path)
        });
    }
    for key in ["items", "additionalProperties"] {
        if let (Some(own), Some(live)) = (own.get(key), live.get(key)) {
            compare(&format!("{path}[]"), own, live, missing, unknown);
        }
    }
    let fields = |of: &serde_json::Map<String, Value>| {
        of.get("properties")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (own, live) = (fields(own), fields(live));
    for (field, inner) in &own {
        let path = format!("{path}.{field}");
        match live.get(field) {
            Some(live) => compare(&path, inner, live, missing, unknown),
            None => missing.push(named(&path)),
        }
    }
    let more = live.keys().filter(|field| !own.contains_key(*field));
    unknown.extend(more.map(|field| named(&format!("{path}.{field}"))));
}

/// The first of them, and how many more there are.
fn some(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// How long the Lease is valid after a renewal.
fn lasts(spec: &LeaseSpec) -> SignedDuration {
    SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(15).into())
}

/// Who leads, with the time of the last renewal, if a process holds the Lease.
fn held(facts: &Facts) -> Option<(&LeaseSpec, &str, Timestamp)> {
    let spec = facts.lease.as_ref()?.as_ref()?.spec.as_ref()?;
    let holder = spec
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())?;
    Some((spec, holder, spec.renew_time.as_ref()?.0))
}

fn leads(facts: &Facts) -> Option<&str> {
    let (spec, holder, renewed) = held(facts)?;
    (facts.now().duration_since(renewed) <= lasts(spec)).then_some(holder)
}

/// Whether an operator runs, and one of them leads.
pub(super) fn operator(facts: &Facts, findings: &mut Vec<Finding>) {
    let namespace = &facts.namespace;
    if let Some(operators) = &facts.operators {
        if operators.is_empty() {
            let object = format!("Namespace {namespace}");
            findings.push(match leads(facts) {
                Some(holder) => Finding::new(
                    Severity::Note,
                    object,
                    format!("It has no Deployment of the chart. The leader {holder} runs elsewhere."),
                ),
                None => Finding::new(
                    Severity::Error,
                    object,
                    "It has no Deployment of the chart, so no operator runs. If it is in another namespace, use --operator-namespace.",
                )
                .fix(format!("helm install signalbox charts/signalbox --namespace {namespace} --create-namespace")),
            });
        }
        findings.extend(operators.iter().filter_map(|deployment| runs(facts, deployment)));
    }
    let object = format!("Lease {namespace}/signalbox");
    let logs =
        format!("kubectl --namespace {namespace} logs --selector app.kubernetes.io/name=signalbox --tail 50");
    match &facts.lease {
        None => {}
        Some(None) => findings.push(
            Finding::new(
                Severity::Error,
                object,
                "It does not exist, so no operator has led yet.",
            )
            .fix(logs),
        ),
        Some(Some(_)) => match held(facts) {
            None => findings
                .push(Finding::new(Severity::Error, object, "No operator holds it, so none acts.").fix(logs)),
            Some((spec, holder, renewed)) if leads(facts).is_none() => {
                let ago = seconds(facts.now().duration_since(renewed));
                let message = format!(
                    "{holder} has last renewed it {ago} before the API server's time, and it is valid for {}. So it has stopped, or its clock is behind.",
                    seconds(lasts(spec))
                );
                findings.push(Finding::new(Severity::Error, object, message).fix(logs));
            }
            Some((_, holder, renewed)) if renewed.duration_since(facts.now()) > CLOSE => {
                let ahead = seconds(renewed.duration_since(facts.now()));
                let message = format!(
                    "{holder} has renewed it {ahead} after the API server's time, so its clock is ahead. Windows and soaks follow its clock. Correct the clock of its node."
                );
                findings.push(Finding::new(Severity::Warning, object, message).fix("timedatectl status"));
            }
            Some(_) => {}
        },
    }
}

fn seconds(duration: SignedDuration) -> String {
    let half = SignedDuration::from_millis(500);
    let rounded = duration.saturating_add(half).as_secs();
    format!("{:#}", SignedDuration::from_secs(rounded))
}

/// Whether its pods are available.
fn runs(facts: &Facts, deployment: &Deployment) -> Option<Finding> {
    let (namespace, name) = (&facts.namespace, deployment.name_any());
    let object = format!("Deployment {namespace}/{name}");
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    if wanted == 0 {
        return Some(match leads(facts) {
            Some(holder) => Finding::new(
                Severity::Note,
                object,
                format!("It is scaled to 0 replicas. The leader {holder} runs elsewhere."),
            ),
            None => Finding::new(
                Severity::Error,
                object,
                "It is scaled to 0 replicas, so no operator runs.",
            )
            .fix(format!(
                "kubectl --namespace {namespace} scale deployment {name} --replicas=1"
            )),
        });
    }
    let status = deployment.status.as_ref();
    let available = status.and_then(|status| status.available_replicas).unwrap_or(0);
    let condition = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|all| all.iter().find(|c| c.type_ == "Available"));
    if condition.is_none_or(|c| c.status != "True") || available == 0 {
        let because = condition.and_then(|c| c.message.as_deref()).unwrap_or_default();
        let because = if because.is_empty() {
            String::new()
        } else {
            format!(" {because}")
        };
        return Some(
            Finding::new(
                Severity::Error,
                object,
                format!("It is not available: {available} of {wanted} replicas.{because}"),
            )
            .fix(format!(
                "kubectl --namespace {namespace} describe deployment {name}"
            ))
            .fix(format!(
                "kubectl --namespace {namespace} get pods --selector app.kubernetes.io/name=signalbox"
            )),
        );
    }
    let version = deployment.labels().get("app.kubernetes.io/version");
    let version = version.filter(|version| *version != VERSION)?;
    let message = format!(
        "The operator has version {version}, and this command {VERSION}. What they expect of definitions and policies may differ: use the version of the operator."
    );
    Some(Finding::new(Severity::Note, object, message).fix("kubectl signalbox version"))
}

/// Whether this machine and the API server have the same time.
pub(super) fn clock(facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(server) = facts.clock.server else {
        return;
    };
    let ahead = facts.clock.local.duration_since(server);
    // The API server states whole seconds.
    let differs = ahead.abs() > CLOSE + SignedDuration::from_secs(1);
    if differs {
        let which = if ahead.is_negative() { "behind" } else { "ahead of" };
        let message = format!(
            "Its clock is {} {which} that of the API server. The times that you read and plan, such as those of approvals and windows, are off by as much.",
            seconds(ahead.abs())
        );
        findings.push(Finding::new(Severity::Note, "This machine", message).fix("timedatectl status"));
    }
}

/// Whether the admission policies are those of the chart.
pub(super) fn policies(facts: &Facts, findings: &mut Vec<Finding>) {
    let installed = facts.operators.as_ref().is_some_and(|found| !found.is_empty());
    let wrong = |missing: bool| -> Vec<String> {
        let all = facts.policies.iter().flatten();
        let wrong = all.filter(|policy| match &policy.live {
            None => missing,
            // The chart's texts name the operator's ServiceAccount, which only its Deployment shows.
            Some(live) => !missing && installed && *live != policy.expected,
        });
        wrong
            .map(|policy| format!("{} {}", policy.kind, policy.name))
            .collect()
    };
    let upgrade = facts.settings().upgrade("policies.install=true");
    for (names, one, many) in [
        (wrong(true), "is missing", "are missing"),
        (wrong(false), "differs from the chart", "differ from the chart"),
    ] {
        if names.is_empty() {
            continue;
        }
        let what = if names.len() == 1 { one } else { many };
        let message = format!(
            "{} {what}, so the author of a Decision cannot be verified and no Decision counts.",
            some(&names)
        );
        findings.push(Finding::new(Severity::Error, "Admission policies", message).fix(upgrade.as_str()));
    }
}

/// Whether the operator watches the namespaces of Releases and their targets.
pub(super) fn watched(facts: &Facts, settings: &Settings, places: &[Place<'_>], findings: &mut Vec<Finding>) {
    if settings.watch.is_empty() {
        return;
    }
    let active = facts
        .releases
        .iter()
        .filter(|r| r.spec.environments.iter().any(|e| unfinished(r, e)));
    let homes: BTreeSet<String> = active.filter_map(ResourceExt::namespace).collect();
    let targets = places
        .iter()
        .filter(|place| place.needed())
        .map(|place| place.target.clone());
    let targets: BTreeSet<String> = targets.collect();
    let object = format!("Deployment {}/{}", settings.namespace, settings.account);
    let outside: BTreeSet<&String> = homes
        .union(&targets)
        .filter(|name| !settings.watch.contains(name))
        .collect();
    let all: Vec<&str> = settings
        .watch
        .iter()
        .chain(outside.iter().copied())
        .map(String::as_str)
        .collect();
    let set = settings.upgrade(&format!("watch.namespaces={{{}}}", all.join(",")));
    if outside.is_empty() {
        return;
    }
    let names: Vec<String> = outside.into_iter().cloned().collect();
    let message = format!(
        "It does not watch {}. Releases in a namespace that is not watched are not reconciled, and none enters one.",
        some(&names)
    );
    findings.push(Finding::new(Severity::Error, object, message).fix(set));
}

/// Whether the operator has its own rights.
pub(super) fn permitted(facts: &Facts, settings: &Settings, findings: &mut Vec<Finding>) {
    if facts.operator_denied.is_empty() {
        return;
    }
    let lacks: Vec<String> = facts
        .operator_denied
        .iter()
        .map(|(namespace, right)| {
            let place = namespace
                .as_ref()
                .map_or_else(String::new, |name| format!(" in {name}"));
            let name = if right.name.is_empty() {
                String::new()
            } else {
                format!(" {}", right.name)
            };
            format!("{} {}{name}{place}", right.verb, right.of())
        })
        .collect();
    let message = format!("The operator may not {}.", some(&lacks));
    let object = format!("ServiceAccount {}/{}", settings.namespace, settings.account);
    findings.push(Finding::new(Severity::Error, object, message).fix(settings.upgrade("")));
}
