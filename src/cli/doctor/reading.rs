//! Reads what `doctor` judges: first what names the rest, then target namespaces, rights and targets.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::requests::{Named, at_once, each, may, sorted, time};
use crate::api::{Environment, GROUP, Kind};
use crate::cli::session::{Listed, Query, Session, failed, list, reach};
use crate::observe::trust::{Expected, POLICY};
use crate::view::doctor::{
    Facts, Policy, Right, Settings, Unread, aims, of_deployer, of_operator, resource, states_replicas,
};

/// Reads everything. What the user may not read becomes a note.
///
/// # Errors
/// A sentence: the API server cannot be reached.
pub(super) async fn read(session: &Session, facts: &mut Facts) -> Result<(), String> {
    let started = std::time::Instant::now();
    facts.clock.server = time(session).await?;
    let passed = jiff::SignedDuration::try_from(started.elapsed()).unwrap_or_default();
    facts.clock.local = facts
        .clock
        .local
        .saturating_add(passed)
        .unwrap_or(facts.clock.local);
    first(session, facts).await?;
    let settings = facts.settings();
    places(session, facts, &settings).await;
    let (rights, templates, targets, autoscalers) = {
        let facts = &*facts;
        tokio::join!(
            rights(session, facts, &settings),
            templates(session, facts),
            targets(session, facts),
            autoscalers(session, facts),
        )
    };
    facts.templates = templates.0;
    facts.autoscalers = autoscalers.0;
    facts.unread.extend(templates.1);
    facts.unread.extend(autoscalers.1);
    for (found, unread) in targets {
        facts.targets.extend(found);
        facts.unread.extend(unread);
    }
    match rights {
        Ok(answered) => {
            facts.rights_asked = answered.len();
            for (namespace, of_operator, right, allowed) in answered {
                if of_operator && !allowed {
                    facts.operator_denied.insert((namespace, right));
                } else if let Some(namespace) = namespace.filter(|_| !allowed) {
                    facts.denied.entry(namespace).or_default().insert(right);
                }
            }
        }
        Err(unread) => facts.unread.push(unread),
    }
    Ok(())
}

/// What was read, if it was. Otherwise a note.
fn noted<T>(facts: &mut Facts, what: &str, read: Result<T, String>) -> Option<T> {
    read.map_err(|because| {
        facts.unread.push(Unread {
            what: what.to_owned(),
            because,
        });
    })
    .ok()
}

/// The items of a list. Each object that cannot be read is a note.
fn listed<K>(facts: &mut Facts, what: &str, read: Result<Listed<K>, String>) -> Option<Vec<K>> {
    let read = noted(facts, what, read)?;
    facts
        .unread
        .extend(read.unreadable.into_iter().map(|unreadable| Unread {
            because: unreadable.to_string(),
            what: unreadable.object,
        }));
    Some(read.items)
}

/// The installation, the Environments, the Releases, and namespaces where the user may list them.
async fn first(session: &Session, facts: &mut Facts) -> Result<(), String> {
    let client = &session.client;
    let everywhere = Query::default();
    let own = Query {
        namespace: Some(&facts.namespace),
        labels: "app.kubernetes.io/name=signalbox",
        ..Query::default()
    };
    let leases: Api<Lease> = Api::namespaced(client.clone(), &facts.namespace);
    let names = Kind::ALL.map(|kind| (String::new(), format!("{}.{GROUP}", kind.plural())));
    let definitions = each(session, "CustomResourceDefinitions", names, |_| {
        Api::<CustomResourceDefinition>::all(client.clone())
    });
    let (definitions, operators, lease, policies, bindings, environments, releases, namespaces) = tokio::join!(
        definitions,
        list::<Deployment>(session, &own),
        leases.get_opt("signalbox"),
        list::<ValidatingAdmissionPolicy>(session, &everywhere),
        list::<ValidatingAdmissionPolicyBinding>(session, &everywhere),
        list::<Environment>(session, &everywhere),
        reach(session, None),
        list::<Namespace>(session, &everywhere),
    );
    if definitions.1.is_none() {
        let found = definitions.0.into_iter();
        facts.definitions = Some(found.map(|((_, name), found)| (name, found)).collect());
    }
    facts.unread.extend(definitions.1.map(|unread| Unread {
        what: "CustomResourceDefinitions".to_owned(),
        ..unread
    }));
    let place = facts.namespace.clone();
    facts.operators = listed(facts, &format!("Deployments ({place})"), operators);
    let lease = lease.map_err(|e| failed(&session.server, "Cannot read the leader's Lease", &e));
    facts.lease = noted(facts, &format!("Lease {place}/signalbox"), lease);
    facts.environments = listed(facts, "Environments", environments);
    let releases = releases.map_err(|because| format!("{because} Name a namespace with --namespace."));
    if let Some((found, partial)) = noted(facts, "Releases", releases) {
        facts.releases = found;
        facts.unread.extend(partial.map(|because| Unread {
            what: "Releases of other namespaces".to_owned(),
            because,
        }));
    }
    let settings = facts.settings();
    let policies = listed(facts, "ValidatingAdmissionPolicies", policies);
    let bindings = listed(facts, "ValidatingAdmissionPolicyBindings", bindings);
    if let (Some(policies), Some(bindings)) = (policies, bindings) {
        facts.policies = Some(compared(&settings, &policies, &bindings)?);
    }
    // Without this right, the target namespaces are read one by one.
    if let Ok(namespaces) = namespaces {
        let found = namespaces.items.into_iter();
        facts.namespaces = found
            .map(|namespace| (namespace.name_any(), Some(namespace)))
            .collect();
    }
    let deployers = Query {
        fields: format!("metadata.name={}", settings.deployer),
        ..Query::default()
    };
    if let Ok(deployers) = list::<ServiceAccount>(session, &deployers).await {
        let absent = facts.namespaces.keys().map(|name| (name.clone(), None));
        facts.deployers = absent.collect();
        let found = deployers.items.into_iter();
        facts
            .deployers
            .extend(found.map(|account| (account.namespace().unwrap_or_default(), Some(account))));
    }
    Ok(())
}

/// The chart's policies and bindings beside those of the cluster.
fn compared(
    settings: &Settings,
    policies: &[ValidatingAdmissionPolicy],
    bindings: &[ValidatingAdmissionPolicyBinding],
) -> Result<Vec<Policy>, String> {
    let expected = Expected::new(&settings.username(), &settings.deployer);
    let expected = expected.map_err(|e| format!("Cannot read the chart's policies: {e}."))?;
    let mut specs: BTreeMap<(bool, String), Value> = BTreeMap::new();
    for policy in policies
        .iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none())
    {
        specs.insert((true, policy.name_any()), json!(policy.spec));
    }
    for binding in bindings
        .iter()
        .filter(|b| b.metadata.deletion_timestamp.is_none())
    {
        specs.insert((false, binding.name_any()), json!(binding.spec));
    }
    let policy = |(kind, name, spec): (&'static str, &'static str, &Value)| Policy {
        kind,
        name,
        expected: spec.clone(),
        live: specs.get(&(kind == POLICY, name.to_owned())).cloned(),
    };
    Ok(expected.objects().map(policy).collect())
}

/// The target namespaces and their deployers, as far as they were not listed.
async fn places(session: &Session, facts: &mut Facts, settings: &Settings) {
    let client = &session.client;
    let targets: BTreeSet<String> = facts.places().into_iter().map(|place| place.target).collect();
    let unknown = |known: &dyn Fn(&String) -> bool| -> Vec<String> {
        targets.iter().filter(|target| !known(target)).cloned().collect()
    };
    let namespaces = unknown(&|target| facts.namespaces.contains_key(target));
    let accounts = unknown(&|target| facts.deployers.contains_key(target));
    let listed = !facts.namespaces.is_empty();
    let namespaces = namespaces.into_iter().map(|name| (String::new(), name));
    let accounts = accounts
        .into_iter()
        .map(|namespace| (namespace, settings.deployer.clone()));
    if listed {
        // The list had all that exist.
        facts.namespaces.extend(namespaces.map(|(_, name)| (name, None)));
    } else {
        let read = each(session, "Namespaces", namespaces, |_| {
            Api::<Namespace>::all(client.clone())
        })
        .await;
        facts
            .namespaces
            .extend(read.0.into_iter().map(|((_, name), found)| (name, found)));
        facts.unread.extend(read.1);
    }
    let read = each(session, "ServiceAccounts", accounts, |namespace| {
        Api::<ServiceAccount>::namespaced(client.clone(), namespace)
    })
    .await;
    facts.deployers.extend(
        read.0
            .into_iter()
            .map(|((namespace, _), found)| (namespace, found)),
    );
    facts.unread.extend(read.1);
}

/// Whether a namespace exists, as far as that is known.
fn exists(facts: &Facts, namespace: &str) -> bool {
    facts.namespaces.get(namespace).is_none_or(Option::is_some)
}

/// A right, in which namespace, whether it is the operator's own, and whether it is granted.
type Answered = (Option<String>, bool, Right, bool);

/// The rights of the operator, and those of the deployers that exist.
async fn rights(session: &Session, facts: &Facts, settings: &Settings) -> Result<Vec<Answered>, Unread> {
    let operator = facts.operators.as_ref().is_some_and(|found| !found.is_empty());
    let of_operator = of_operator(settings).into_iter().filter(|_| operator);
    let mut wanted: BTreeSet<(Option<String>, bool, Right)> = of_operator
        .map(|(namespace, right)| (namespace, true, right))
        .collect();
    for place in facts.places() {
        let missing = facts.deployers.get(&place.target) == Some(&None);
        if exists(facts, &place.target) && !missing {
            let rights = of_deployer(&place.environment.spec).into_iter();
            wanted.extend(rights.map(|right| (Some(place.target.clone()), false, right)));
        }
    }
    let ask = |(namespace, of_operator, right): (Option<String>, bool, Right)| async move {
        let account = if of_operator {
            (settings.namespace.as_str(), settings.account.as_str())
        } else {
            (
                namespace.as_deref().unwrap_or_default(),
                settings.deployer.as_str(),
            )
        };
        let answer = may(session, account, namespace.as_deref(), &right).await;
        answer
            .map(|allowed| (namespace, of_operator, right, allowed))
            .map_err(|error| Unread {
                what: "Rights of the operator and the deployers".to_owned(),
                because: failed(
                    &session.server,
                    "Cannot ask for the rights of ServiceAccounts",
                    &error,
                ),
            })
    };
    let mut wanted = wanted.into_iter();
    let Some(probe) = wanted.next() else {
        return Ok(vec![]);
    };
    // A user who may not ask is refused once.
    let mut answered = vec![ask(probe).await?];
    for answer in at_once(wanted.map(ask)).await {
        answered.push(answer?);
    }
    Ok(answered)
}

/// The CronJobs of gates and verifications.
async fn templates(session: &Session, facts: &Facts) -> (BTreeMap<Named, Option<CronJob>>, Option<Unread>) {
    let places = facts.places();
    let places = places.iter().filter(|place| exists(facts, &place.target));
    let wanted: BTreeSet<Named> = places
        .flat_map(|place| {
            let judges = place.environment.spec.judges();
            judges.map(|(_, template)| (place.target.clone(), template.to_owned()))
        })
        .collect();
    each(session, "CronJobs", wanted, |namespace| {
        Api::namespaced(session.client.clone(), namespace)
    })
    .await
}

/// The metadata of targets of one kind, and a note about those that could not be read.
type Targets = (
    BTreeMap<
        (String, crate::api::release::Target),
        Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    >,
    Option<Unread>,
);

/// The metadata of the targets of Releases that are not finished.
async fn targets(session: &Session, facts: &Facts) -> Vec<Targets> {
    let environments = facts.environments.as_deref().unwrap_or_default();
    let mut kinds: BTreeMap<(String, String), BTreeSet<Named>> = BTreeMap::new();
    for aim in aims(&facts.releases, environments) {
        let target = &aim.component.target;
        let kind = (target.api_version.clone(), target.kind.clone());
        if exists(facts, &aim.namespace) {
            let of_kind = kinds.entry(kind).or_default();
            of_kind.insert((aim.namespace, target.name.clone()));
        }
    }
    let reads = kinds.into_iter().map(|((api_version, kind), wanted)| async move {
        let target = |name: &str| crate::api::release::Target {
            api_version: api_version.clone(),
            kind: kind.clone(),
            name: name.to_owned(),
        };
        let of_kind = resource(&target(""));
        let reads = wanted.into_iter().map(|named| {
            let api: Api<DynamicObject> = Api::namespaced_with(session.client.clone(), &named.0, &of_kind);
            async move {
                let answer = api.get_metadata_opt(&named.1).await;
                (named, answer.map(|found| found.map(|found| found.metadata)))
            }
        });
        let (found, unread) = sorted(session, &format!("{kind}s"), at_once(reads).await);
        let found = found
            .into_iter()
            .map(|((namespace, name), found)| ((namespace, target(&name)), found));
        (found.collect(), unread)
    });
    futures::future::join_all(reads).await
}

/// The autoscalers of the namespaces in which a component states replicas.
async fn autoscalers(
    session: &Session,
    facts: &Facts,
) -> (BTreeMap<String, Vec<HorizontalPodAutoscaler>>, Vec<Unread>) {
    let environments = facts.environments.as_deref().unwrap_or_default();
    let aims = aims(&facts.releases, environments);
    let aims = aims.into_iter().filter(states_replicas);
    let namespaces: BTreeSet<String> = aims
        .map(|aim| aim.namespace)
        .filter(|n| exists(facts, n))
        .collect();
    let reads = namespaces.into_iter().map(|namespace| async move {
        let query = Query {
            namespace: Some(&namespace),
            ..Query::default()
        };
        let read = list::<HorizontalPodAutoscaler>(session, &query).await;
        (namespace, read)
    });
    let (mut found, mut unread) = (BTreeMap::new(), Vec::new());
    for (namespace, read) in at_once(reads).await {
        match read {
            Ok(listed) => {
                unread.extend(listed.unreadable.iter().map(|one| Unread {
                    what: format!("HorizontalPodAutoscalers ({namespace})"),
                    because: one.to_string(),
                }));
                found.insert(namespace, listed.items);
            }
            Err(because) => unread.push(Unread {
                what: format!("HorizontalPodAutoscalers ({namespace})"),
                because,
            }),
        }
    }
    (found, unread)
}
