//! All versions of all objects of a play, in the order of the store, and whether the changes were allowed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use signalbox::api::Release;
use signalbox::api::release::State;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::follow::follow;
use crate::kit::Stage;

/// One version of one object. All kinds share one store, so the versions give the order.
#[derive(Clone, Debug)]
struct Seen {
    version: u64,
    kind: &'static str,
    name: String,
    /// The checked content; none if the object is deleted.
    content: Option<Value>,
}

/// Grows with everything that is seen.
type Log = Arc<watch::Sender<Vec<Seen>>>;

/// Follows the objects of one stage.
pub struct History {
    stage: Namespaces,
    log: Log,
    /// The state at the start.
    before: Vec<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

struct Namespaces {
    client: kube::Client,
    releases: String,
    target: String,
    home: String,
    environment: String,
}

/// The effects on the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub target_changes: usize,
    pub jobs: usize,
    pub claims: usize,
    pub pre_states: usize,
}

fn release(object: &Release) -> Value {
    json!({ "uid": object.uid(), "status": object.status })
}

fn spec(object: &Deployment) -> Value {
    json!(object.spec)
}

fn data(object: &ConfigMap) -> Value {
    json!(object.data)
}

fn kept(object: &ControllerRevision) -> Value {
    json!(object.data)
}

fn held(object: &Lease) -> Value {
    json!(object.spec.as_ref().and_then(|spec| spec.holder_identity.clone()))
}

fn uid(object: &Job) -> Value {
    json!(object.uid())
}

impl History {
    /// Starts now.
    pub async fn begin(stage: &Stage) -> Self {
        Self::of(stage, "sit").await
    }

    /// [`Self::begin`] of `sit`, `uat` or `prod`.
    pub async fn of(stage: &Stage, short: &str) -> Self {
        let stage = Namespaces {
            client: stage.client(),
            releases: stage.namespace().to_owned(),
            target: stage.target(short),
            home: stage.home(),
            environment: stage.environment(short),
        };
        let mut history = Self {
            stage,
            log: Arc::new(watch::Sender::new(vec![])),
            before: vec![],
            tasks: vec![],
        };
        let (releases, target, home) = history.stage.namespaces();
        history.follow::<Release>(&releases, "Release", release).await;
        history.follow::<Deployment>(&target, "Deployment", spec).await;
        history.follow::<ConfigMap>(&target, "ConfigMap", data).await;
        history.follow::<Job>(&target, "Job", uid).await;
        history
            .follow::<ControllerRevision>(&home, "ControllerRevision", kept)
            .await;
        history.follow::<Lease>(&home, "Lease", held).await;
        history
    }

    async fn follow<K>(&mut self, namespace: &str, kind: &'static str, content: fn(&K) -> Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = Api::namespaced(self.stage.client.clone(), namespace);
        let label = self.stage.label(namespace);
        let list = api.list(&ListParams::default().labels(&label)).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        self.before.extend(
            list.items
                .iter()
                .filter_map(|object| seen(kind, object, Some(content))),
        );
        let log = Arc::clone(&self.log);
        let only = WatchParams::default().labels(&label);
        self.tasks
            .push(follow(api, only, version, move |object: K, is_there| {
                let content = is_there.then_some(content);
                log.send_modify(|log| log.extend(seen(kind, &object, content)));
            }));
    }

    /// Waits until all versions are known, and returns the violations and the effects.
    pub async fn judged(self) -> (Vec<String>, Effects) {
        let (releases, target, home) = self.stage.namespaces();
        self.complete::<Release>(&releases, "Release").await;
        self.complete::<Deployment>(&target, "Deployment").await;
        self.complete::<ConfigMap>(&target, "ConfigMap").await;
        self.complete::<Job>(&target, "Job").await;
        self.complete::<ControllerRevision>(&home, "ControllerRevision")
            .await;
        self.complete::<Lease>(&home, "Lease").await;
        let mut log = self.log.borrow().clone();
        log.sort_by_key(|seen| seen.version);
        judge(&self.before, &log, &self.stage.environment)
    }

    /// Returns when the log ends with the current objects. The watch has them in a moment.
    async fn complete<K>(&self, namespace: &str, kind: &'static str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.stage.client.clone(), namespace);
        let ours = ListParams::default().labels(&self.stage.label(namespace));
        let complete = async {
            let mut log = self.log.subscribe();
            loop {
                let there: BTreeMap<String, u64> = api
                    .list(&ours)
                    .await
                    .unwrap()
                    .iter()
                    .filter_map(|object| seen(kind, object, None))
                    .map(|seen| (seen.name, seen.version))
                    .collect();
                let known = {
                    let log = log.borrow_and_update();
                    let mut known = BTreeMap::new();
                    for seen in self
                        .before
                        .iter()
                        .chain(log.iter())
                        .filter(|seen| seen.kind == kind)
                    {
                        known.insert(seen.name.clone(), seen.content.as_ref().map(|_| seen.version));
                    }
                    known
                };
                let known: BTreeMap<String, u64> = known
                    .into_iter()
                    .filter_map(|(name, at)| Some((name, at?)))
                    .collect();
                if known == there {
                    return;
                }
                // The log may also be ahead of the list.
                let _ = tokio::time::timeout(Duration::from_millis(200), log.changed()).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), complete).await;
        assert!(
            waited.is_ok(),
            "the history of {kind} in {namespace} is not complete"
        );
    }
}

impl Drop for History {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Namespaces {
    fn namespaces(&self) -> (String, String, String) {
        (self.releases.clone(), self.target.clone(), self.home.clone())
    }

    /// A home namespace can be shared, and leadership is not part of any history.
    fn label(&self, namespace: &str) -> String {
        if namespace == self.home {
            format!("signalbox.dev/environment={}", self.environment)
        } else {
            String::new()
        }
    }
}

fn seen<K: Resource>(kind: &'static str, object: &K, content: Option<fn(&K) -> Value>) -> Option<Seen> {
    let name = object.name_any();
    let version = object.resource_version()?.parse().ok()?;
    Some(Seen {
        version,
        kind,
        name,
        content: content.map(|content| content(object)),
    })
}

/// The state of a promotion as it was written. A promotion without a state is not in status yet.
fn state_of(promotion: &Value) -> State {
    serde_json::from_value(promotion["state"].clone()).unwrap_or_default()
}

/// The state at one moment.
#[derive(Default)]
struct World {
    objects: HashMap<(&'static str, String), Value>,
    /// Each promotion into the environment, by Release.
    promotions: BTreeMap<String, Value>,
    /// Jobs that have existed.
    jobs: Vec<String>,
}

impl World {
    /// The state of the promotion that may change targets, if there is one.
    fn acting(&self) -> Option<&Value> {
        self.promotions.values().find(|p| state_of(p).under_way())
    }

    fn count(&self, kind: &str) -> usize {
        self.objects.keys().filter(|(of, _)| *of == kind).count()
    }
}

fn judge(before: &[Seen], log: &[Seen], environment: &str) -> (Vec<String>, Effects) {
    let mut world = World::default();
    let (mut wrong, mut effects) = (vec![], Effects::default());
    for seen in before {
        step(
            &mut world,
            seen,
            environment,
            &mut vec![],
            &mut Effects::default(),
        );
    }
    for seen in log {
        step(&mut world, seen, environment, &mut wrong, &mut effects);
    }
    (wrong, effects)
}

fn step(world: &mut World, seen: &Seen, environment: &str, wrong: &mut Vec<String>, effects: &mut Effects) {
    let key = (seen.kind, seen.name.clone());
    let was = world.objects.get(&key).cloned();
    let mut says =
        |what: String| wrong.push(format!("{} {} at {}: {what}", seen.kind, seen.name, seen.version));
    let state = |p: &Value| state_of(p).as_str();
    match seen.kind {
        "Release" => {
            let listed = seen
                .content
                .as_ref()
                .and_then(|r| r["status"]["environments"].as_array());
            let now = listed
                .into_iter()
                .flatten()
                .find(|p| p["name"] == environment)
                .cloned();
            match (world.promotions.get(&seen.name), now) {
                (Some(p), None) => {
                    if state_of(p).under_way() {
                        says(format!("deleted in the middle of {}", state(p)));
                    }
                    world.promotions.remove(&seen.name);
                }
                (was, Some(now)) => {
                    if let Some(complaint) = promotion_moved(was, &now) {
                        says(complaint);
                    }
                    if was.is_none_or(|was| state_of(was) != State::Deploying)
                        && state_of(&now) == State::Deploying
                        && (world.count("Lease") == 0 || world.count("ControllerRevision") == 0)
                    {
                        says("entered without a claim or a pre-state".to_owned());
                    }
                    world.promotions.insert(seen.name.clone(), now);
                }
                (None, None) => {}
            }
        }
        "Deployment" | "ConfigMap" if was.as_ref() != seen.content.as_ref() && was.is_some() => {
            effects.target_changes += 1;
            let acting = world.acting().map(state).unwrap_or_default();
            if !world.acting().is_some_and(|p| state_of(p).changes_targets()) {
                says(format!("changed while the promotion is {acting:?}"));
            }
            if world.count("Lease") == 0 || world.count("ControllerRevision") == 0 {
                says("changed without a claim or a pre-state".to_owned());
            }
        }
        "Job" if was.is_none() && seen.content.is_some() => {
            effects.jobs += 1;
            if world.jobs.contains(&seen.name) {
                says("was created a second time".to_owned());
            }
            world.jobs.push(seen.name.clone());
        }
        "ControllerRevision" => match (&was, &seen.content) {
            (None, Some(_)) => effects.pre_states += 1,
            (Some(was), Some(now)) if was != now => says("a pre-state was changed".to_owned()),
            (Some(_), None) => {
                let needed = world.acting().map(|p| p["backout"]["preState"].clone());
                if needed == Some(json!(seen.name)) {
                    says("a pre-state was deleted while it was needed".to_owned());
                }
            }
            _ => {}
        },
        "Lease" => match (&was, &seen.content) {
            (None, Some(_)) => effects.claims += 1,
            (Some(was), Some(now)) if was != now => says(format!("passed from {was} to {now}")),
            (Some(_), None) => {
                if let Some(p) = world.acting() {
                    says(format!("the claim was released in {}", state(p)));
                }
            }
            _ => {}
        },
        _ => {}
    }
    match &seen.content {
        Some(content) => world.objects.insert(key, content.clone()),
        None => world.objects.remove(&key),
    };
}

/// The violations in one write of a status.
fn promotion_moved(was: Option<&Value>, now: &Value) -> Option<String> {
    let (from, to) = (was.map(state_of).unwrap_or_default(), state_of(now));
    let Some(was) = was else {
        return (!from.may_become(to, false)).then(|| format!("began in {}", to.as_str()));
    };
    let (before, after) = (was["attempt"].as_i64(), now["attempt"].as_i64());
    let (is, becomes) = (from.as_str(), to.as_str());
    if before != after {
        // These plays do not retry a promotion that has not entered, and each Retry starts the next attempt.
        let is_retry = after == before.map(|n| n + 1) && from.ended_badly() && from.may_become(to, true);
        return (!is_retry).then(|| format!("attempt {before:?} in {is} became {after:?} in {becomes}"));
    }
    if !from.may_become(to, false) {
        return Some(format!("{is} → {becomes} is not an edge"));
    }
    // Written once in each attempt.
    ["entered", "startedAt", "deployedAt", "verifiedAt"]
        .into_iter()
        .find(|field| !was[field].is_null() && was[field] != now[field])
        .map(|field| format!("{field} changed from {} to {}", was[field], now[field]))
}

#[test]
fn what_is_unlawful_is_seen() {
    let promotion = |state: &str, attempt: i64| {
        json!({ "uid": "u", "status": { "environments": [
            { "name": "sit", "state": state, "attempt": attempt, "backout": { "preState": "prestate-1" } },
        ] } })
    };
    let mut version = 0;
    let mut seen = |kind: &'static str, name: &str, content: Option<Value>| {
        version += 1;
        Seen {
            version,
            kind,
            name: name.to_owned(),
            content,
        }
    };
    let before = [seen("ConfigMap", "c", Some(json!("old")))];
    let log = [
        seen("Release", "r", Some(promotion("Waiting", 1))),
        seen("ConfigMap", "c", Some(json!("new"))),
        seen("Lease", "claim-1", Some(json!("r"))),
        seen("ControllerRevision", "prestate-1", Some(json!("old"))),
        seen("Release", "r", Some(promotion("Deploying", 1))),
        seen("ConfigMap", "c", Some(json!("newer"))),
        seen("Lease", "claim-1", None),
        seen("ControllerRevision", "prestate-1", None),
        seen("Release", "r", Some(promotion("Waiting", 2))),
        seen("Job", "j", Some(json!(1))),
        seen("Job", "j", None),
        seen("Job", "j", Some(json!(2))),
    ];
    let (wrong, effects) = judge(&before, &log, "sit");
    let expected = [
        "ConfigMap c at 3: changed while the promotion is \"\"",
        "ConfigMap c at 3: changed without a claim or a pre-state",
        "Lease claim-1 at 8: the claim was released in Deploying",
        "ControllerRevision prestate-1 at 9: a pre-state was deleted while it was needed",
        "Release r at 10: attempt Some(1) in Deploying became Some(2) in Waiting",
        "Job j at 13: was created a second time",
    ];
    assert_eq!(wrong, expected);
    let done = Effects {
        target_changes: 2,
        jobs: 2,
        claims: 1,
        pre_states: 1,
    };
    assert_eq!(effects, done);
}
