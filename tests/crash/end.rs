//! The end of a run: everything that a crash could change, without what differs in all runs (names, times, uids).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use signalbox::api::{Decision, Environment, Release};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::follow::follow;
use crate::kit::Stage;

/// How long a watch may be behind the store.
const BEHIND: Duration = Duration::from_secs(30);

/// The state at the end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub release: Value,
    pub environment: Value,
    pub decisions: Vec<Value>,
    pub pre_states: Vec<Value>,
    pub claims: Vec<Value>,
    pub jobs: usize,
    pub ledger: Value,
    /// How often its generation has increased.
    pub ledger_changes: i64,
    pub config: Value,
    /// How often it was changed. A ConfigMap has no generation.
    pub config_changes: usize,
}

/// The state before the run, from which changes are counted.
pub struct Start {
    /// The environment, by its short name.
    short: &'static str,
    /// The resourceVersion of the ConfigMap before the run.
    config_versions: Arc<watch::Sender<Vec<String>>>,
    following: JoinHandle<()>,
    ledger_generation: i64,
    /// The Releases that exist already.
    uids: Vec<String>,
    pub ledger: Value,
    pub config: Value,
}

impl Drop for Start {
    fn drop(&mut self) {
        self.following.abort();
    }
}

pub async fn start(stage: &Stage) -> Start {
    start_in(stage, "sit").await
}

/// [`start`] of `sit`, `uat` or `prod`.
pub async fn start_in(stage: &Stage, short: &'static str) -> Start {
    let config = config(stage, short).await;
    let ledger = ledger(stage, short).await;
    let releases = stage.api::<Release>().list(&ListParams::default()).await.unwrap();
    let version = config.resource_version().unwrap();
    let config_versions = Arc::new(watch::Sender::new(vec![version.clone()]));
    let versions = Arc::clone(&config_versions);
    let only = WatchParams::default().fields("metadata.name=ledger-config");
    let following = follow(
        stage.in_target(short),
        only,
        version,
        move |config: ConfigMap, _| {
            versions.send_modify(|versions| versions.push(config.resource_version().unwrap()));
        },
    );
    Start {
        short,
        ledger_generation: ledger.metadata.generation.unwrap(),
        uids: releases.iter().filter_map(ResourceExt::uid).collect(),
        config_versions,
        following,
        config: json!(config.data),
        ledger: json!(ledger.spec),
    }
}

async fn config(stage: &Stage, short: &str) -> ConfigMap {
    stage.in_target(short).get("ledger-config").await.unwrap()
}

async fn ledger(stage: &Stage, short: &str) -> Deployment {
    stage.in_target(short).get("ledger").await.unwrap()
}

/// The current state. If the Release is deleted, everything else.
pub async fn read(stage: &Stage, release: &str, start: &Start) -> End {
    let found = stage.api::<Release>().get_opt(release).await.unwrap();
    let environments: Api<Environment> = Api::all(stage.client());
    let environment = environments.get(&stage.environment(start.short)).await.unwrap();
    // In a home namespace that is shared they are labelled.
    let ours = ListParams::default().labels(&format!(
        "signalbox.dev/environment={}",
        stage.environment(start.short)
    ));
    let revisions: Api<ControllerRevision> = Api::namespaced(stage.client(), &stage.home());
    let leases: Api<Lease> = Api::namespaced(stage.client(), &stage.home());
    let jobs: Api<Job> = stage.in_target(start.short);
    let decisions = stage.decisions().list(&ListParams::default()).await.unwrap();
    let (config, ledger) = (config(stage, start.short).await, ledger(stage, start.short).await);
    let mut uids = start.uids.clone();
    uids.extend(found.as_ref().and_then(ResourceExt::uid));
    let plain = |value: Value| plain(value, stage.namespace(), &uids);
    let mut pre_states: Vec<_> = revisions.list(&ours).await.unwrap().items;
    pre_states.sort_by_key(|revision| revision.revision);
    let mut decisions: Vec<Value> = decisions
        .iter()
        .map(|d: &Decision| plain(json!([d.spec.action, d.metadata.owner_references])))
        .collect();
    decisions.sort_by_key(Value::to_string);
    End {
        release: found.map_or(Value::Null, |found| plain(json!(found.status))),
        environment: plain(json!(environment.status)),
        decisions,
        pre_states: pre_states
            .into_iter()
            .map(|revision| plain(revision.data.unwrap().0))
            .collect(),
        claims: leases
            .list(&ours)
            .await
            .unwrap()
            .iter()
            .map(|lease| plain(json!([lease.spec, lease.metadata.annotations])))
            .collect(),
        jobs: jobs.list(&ListParams::default()).await.unwrap().items.len(),
        ledger: json!(ledger.spec),
        ledger_changes: ledger.metadata.generation.unwrap() - start.ledger_generation,
        config: json!(config.data),
        config_changes: changes(start, &config.resource_version().unwrap()).await,
    }
}

/// How many states the ConfigMap had until this version. The watch has it in a moment.
async fn changes(start: &Start, to: &str) -> usize {
    let mut versions = start.config_versions.subscribe();
    let after = |versions: &Vec<String>| versions.iter().position(|version| version == to);
    let reached = versions.wait_for(|versions| after(versions).is_some());
    let reached = tokio::time::timeout(BEHIND, reached)
        .await
        .unwrap_or_else(|_| panic!("the watch never had {to}"));
    after(&reached.unwrap()).unwrap()
}

/// Without the values that differ in all runs.
fn plain(value: Value, stage: &str, uids: &[String]) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| !is_of_one_run(key))
            .map(|(key, value)| (key, plain(value, stage, uids)))
            .collect(),
        Value::Array(list) => list.into_iter().map(|value| plain(value, stage, uids)).collect(),
        Value::String(text) => {
            let text = uids
                .iter()
                .fold(text.replace(stage, "STAGE"), |text, uid| text.replace(uid, "UID"));
            without_times(&text).into()
        }
        other => other,
    }
}

fn is_of_one_run(key: &str) -> bool {
    key.ends_with("At")
        || matches!(
            key,
            "since"
                | "until"
                | "uid"
                | "resourceVersion"
                | "lastTransitionTime"
                | "planHash"
                | "plan"
                | "contentHash"
                | "preState"
                | "job"
                | "restartedFor"
        )
}

/// A word that is a time, a hash or the name of a Job is replaced by a placeholder.
fn without_times(text: &str) -> String {
    let plain = |word: &str| {
        let core = word.trim_end_matches([',', ';', '.', ':', ')']);
        if let Some((place, _)) = core.split_once("/signalbox-") {
            return format!("{place}/JOB");
        }
        if core.starts_with("signalbox-") {
            "JOB".to_owned()
        } else if core.parse::<jiff::Timestamp>().is_ok() {
            "TIME".to_owned()
        } else if core.starts_with("prestate-") || core.starts_with("claim-") || core.starts_with("v1:") {
            "HASH".to_owned()
        } else {
            word.to_owned()
        }
    };
    // How far a rollout has come when its time is over depends only on the speed of its controllers.
    let text = match text.split_once(" is not ready within ") {
        Some((before, _)) => format!("{before} is not ready in time"),
        None => text.to_owned(),
    };
    text.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

/// The differences, path by path, for a readable message.
pub fn differences(clean: &End, crashed: &End) -> Vec<String> {
    let flat = |end: &End| {
        let mut all = BTreeMap::new();
        for (name, value) in [
            ("release", end.release.clone()),
            ("environment", end.environment.clone()),
            ("decisions", json!(end.decisions)),
            ("preStates", json!(end.pre_states)),
            ("claims", json!(end.claims)),
            ("jobs", json!(end.jobs)),
            ("ledger", end.ledger.clone()),
            ("ledger's changes", json!(end.ledger_changes)),
            ("config", end.config.clone()),
            ("config's changes", json!(end.config_changes)),
        ] {
            flatten(name.to_owned(), value, &mut all);
        }
        all
    };
    let (clean, crashed) = (flat(clean), flat(crashed));
    let paths: std::collections::BTreeSet<_> = clean.keys().chain(crashed.keys()).collect();
    paths
        .into_iter()
        .filter(|path| clean.get(*path) != crashed.get(*path))
        .map(|path| {
            let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            format!(
                "{path}: {} instead of {}",
                show(crashed.get(path)),
                show(clean.get(path))
            )
        })
        .collect()
}

fn flatten(path: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flatten(format!("{path}/{key}"), value, into);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.into_iter().enumerate() {
                // Conditions are compared by type, so that an additional one does not move the others.
                let name = value["type"]
                    .as_str()
                    .map_or_else(|| index.to_string(), str::to_owned);
                flatten(format!("{path}/{name}"), value, into);
            }
        }
        other => {
            into.insert(path, other);
        }
    }
}
