//! One watch a kind feeds the index. Objects are cut down to what decisions read before they are kept.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::TryStreamExt;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Context;
use crate::api::{Decision, Environment, LABEL_ENVIRONMENT, LABEL_RELEASE, Release, ReleaseReview};
use crate::apply::LABEL_RELEASE_UID;
use crate::decide::facts::StoredPreState;
use crate::observe::claims;
use crate::observe::index::{self, Index, Key, Unreadable};
use crate::observe::trust::{BINDING, POLICY};

/// Counts the watches that have not listed everything yet.
pub(super) type Synced = watch::Sender<usize>;
pub(super) type Ready = watch::Receiver<usize>;

pub(super) fn synced() -> (Synced, Ready) {
    watch::channel(0)
}

type Keys = Vec<Key>;

/// Starts every watch; `synced` falls to zero once all have listed.
pub(super) fn start(context: &Arc<Context>, synced: Synced) -> Vec<JoinHandle<()>> {
    let mut starter = Starter {
        context: Arc::clone(context),
        synced: Arc::new(synced),
        tasks: vec![],
    };
    starter.everywhere::<DeserializeGuard<Environment>>(put_environment, |i, _, name, _| {
        i.remove_environment(name)
    });
    starter.everywhere::<Namespace>(put_namespace, |i, _, name, _| i.remove_namespace(name));
    starter.everywhere::<ValidatingAdmissionPolicy>(
        |i, p| i.put_policy(POLICY, &p.name_any(), Arc::new(json(&p))),
        |i, _, name, _| i.remove_policy(POLICY, name),
    );
    starter.everywhere::<ValidatingAdmissionPolicyBinding>(
        |i, p| i.put_policy(BINDING, &p.name_any(), Arc::new(json(&p))),
        |i, _, name, _| i.remove_policy(BINDING, name),
    );
    starter.watched::<DeserializeGuard<Release>>(put_release, |i, ns, name, _| i.remove_release(ns, name));
    starter.watched::<DeserializeGuard<Decision>>(put_decision, |i, ns, name, _| i.remove_decision(ns, name));
    starter
        .watched::<DeserializeGuard<ReleaseReview>>(put_review, |i, ns, name, _| i.remove_review(ns, name));
    starter.watched::<Deployment>(
        |i, o| put_workload(i, "Deployment", &o),
        |i, ns, name, _| i.remove_workload("Deployment", ns, name),
    );
    starter.watched::<StatefulSet>(
        |i, o| put_workload(i, "StatefulSet", &o),
        |i, ns, name, _| i.remove_workload("StatefulSet", ns, name),
    );
    starter.watched::<DaemonSet>(
        |i, o| put_workload(i, "DaemonSet", &o),
        |i, ns, name, _| i.remove_workload("DaemonSet", ns, name),
    );
    starter.watched::<CronJob>(
        |i, o| put_workload(i, "CronJob", &o),
        |i, ns, name, _| i.remove_workload("CronJob", ns, name),
    );
    starter.watched::<Pod>(put_pod, |i, ns, name, _| i.remove_pod(ns, name));
    starter.labelled::<Job>(put_job, |i, ns, name, _| i.remove_job(ns, name));
    starter.at_home::<Lease>(
        |i, lease| claims::read(&lease).map(|c| i.put_claim(c)).unwrap_or_default(),
        |i, _, name, uid| i.remove_claim(name, uid),
    );
    starter.pre_states();
    starter.tasks
}

type Put<K> = fn(&mut Index, K) -> Keys;
/// Namespace, name and uid.
type Remove = fn(&mut Index, &str, &str, &str) -> Keys;

struct Starter {
    context: Arc<Context>,
    synced: Arc<Synced>,
    tasks: Vec<JoinHandle<()>>,
}

impl Starter {
    fn everywhere<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let api = Api::<K>::all(self.client());
        self.follow(api, watcher::Config::default(), put, remove);
    }

    fn watched<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K: Resource<Scope = NamespaceResourceScope>,
    {
        for api in self.watched_apis() {
            self.follow(api, watcher::Config::default(), put, remove);
        }
    }

    fn labelled<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K: Resource<Scope = NamespaceResourceScope>,
    {
        for api in self.watched_apis() {
            self.follow(api, watcher::Config::default().labels(LABEL_RELEASE), put, remove);
        }
    }

    fn at_home<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let api = Api::<K>::namespaced(self.client(), &self.context.config.settings.operator_namespace);
        self.follow(api, watcher::Config::default(), put, remove);
    }

    /// Pre-states are large and rarely read: only their metadata is watched.
    fn pre_states(&mut self) {
        let api: Api<PartialObjectMeta<ControllerRevision>> =
            Api::namespaced(self.client(), &self.context.config.settings.operator_namespace);
        let config = watcher::Config::default().labels(LABEL_RELEASE_UID);
        let stream = watcher::watcher(api, config).default_backoff();
        let remove: Remove = |i, _, name, uid| i.remove_pre_state(name, uid);
        self.spawn::<PartialObjectMeta<ControllerRevision>, _>(stream, put_pre_state, remove);
    }

    fn watched_apis<K>(&self) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let namespaces = &self.context.config.watch_namespaces;
        if namespaces.is_empty() {
            return vec![Api::all(self.client())];
        }
        namespaces
            .iter()
            .map(|namespace| Api::namespaced(self.client(), namespace))
            .collect()
    }

    fn client(&self) -> kube::Client {
        self.context.observer.client().clone()
    }

    fn follow<K>(&mut self, api: Api<K>, config: watcher::Config, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let stream = watcher::watcher(api, config).default_backoff();
        self.spawn(stream, put, remove);
    }

    fn spawn<K, S>(&mut self, stream: S, put: Put<K>, remove: Remove)
    where
        K: Resource + Send + Sync + 'static,
        S: futures::Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
    {
        self.synced.send_modify(|left| *left += 1);
        let (context, synced) = (Arc::clone(&self.context), Arc::clone(&self.synced));
        self.tasks.push(tokio::spawn(async move {
            let mut followed = Followed {
                context,
                known: HashMap::new(),
                listed: None,
                synced: Some(synced),
                put,
                remove,
            };
            let mut stream = std::pin::pin!(stream);
            loop {
                match stream.try_next().await {
                    Ok(Some(event)) => followed.event(event),
                    Ok(None) => return,
                    // The watch starts again by itself, with backoff.
                    Err(error) => {
                        followed.context.metrics.api_errors.inc();
                        tracing::warn!(kind = std::any::type_name::<K>(), %error, "watch interrupted");
                    }
                }
            }
        }));
    }
}

/// One watch and what it has shown.
struct Followed<K> {
    context: Arc<Context>,
    /// Namespace and name → uid.
    known: HashMap<(String, String), String>,
    /// What the list in progress has shown.
    listed: Option<HashMap<(String, String), String>>,
    synced: Option<Arc<Synced>>,
    put: Put<K>,
    remove: Remove,
}

impl<K: Resource> Followed<K> {
    fn event(&mut self, event: Event<K>) {
        match event {
            Event::Init => self.listed = Some(HashMap::new()),
            Event::InitApply(object) => {
                let (names, uid) = identity(&object);
                if let Some(listed) = &mut self.listed {
                    listed.insert(names, uid);
                }
                self.context.observer.see(|index| (self.put)(index, object));
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                for ((namespace, name), uid) in &self.known {
                    if !listed.contains_key(&(namespace.clone(), name.clone())) {
                        self.context
                            .observer
                            .see(|index| (self.remove)(index, namespace, name, uid));
                    }
                }
                self.known = listed;
                if let Some(synced) = self.synced.take() {
                    synced.send_modify(|left| *left -= 1);
                }
            }
            Event::Apply(object) => {
                let (names, uid) = identity(&object);
                self.known.insert(names, uid);
                self.context.observer.see(|index| (self.put)(index, object));
            }
            Event::Delete(object) => {
                let (names, uid) = identity(&object);
                self.known.remove(&names);
                self.context
                    .observer
                    .see(|index| (self.remove)(index, &names.0, &names.1, &uid));
            }
        }
    }
}

fn identity<K: Resource>(object: &K) -> ((String, String), String) {
    let meta = object.meta();
    (
        (
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        ),
        meta.uid.clone().unwrap_or_default(),
    )
}

fn json<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn put_release(index: &mut Index, guarded: DeserializeGuard<Release>) -> Keys {
    match guarded.0 {
        Ok(release) => index.put_release(Arc::new(super::pruned(release))),
        Err(invalid) => {
            let meta = invalid.metadata;
            let (namespace, name) = (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
            index.put_unreadable(
                &namespace,
                &name,
                Unreadable {
                    generation: meta.generation,
                    error: invalid.error,
                },
            )
        }
    }
}

fn put_environment(index: &mut Index, guarded: DeserializeGuard<Environment>) -> Keys {
    match guarded.0 {
        Ok(mut environment) => {
            environment.metadata.managed_fields = None;
            index.put_environment(Arc::new(environment))
        }
        Err(invalid) => {
            let name = invalid.metadata.name.clone().unwrap_or_default();
            tracing::error!(
                environment = name,
                error = invalid.error,
                "an Environment does not fit its type and counts as absent"
            );
            let error = invalid.error;
            let generation = invalid.metadata.generation;
            index.put_unreadable_environment(&name, Unreadable { generation, error })
        }
    }
}

fn put_decision(index: &mut Index, guarded: DeserializeGuard<Decision>) -> Keys {
    match guarded.0 {
        Ok(mut decision) => {
            decision.metadata.managed_fields = None;
            index.put_decision(Arc::new(decision))
        }
        Err(invalid) => {
            tracing::error!(
                decision = invalid.metadata.name,
                error = invalid.error,
                "a Decision does not fit its type and does not count"
            );
            vec![]
        }
    }
}

fn put_review(index: &mut Index, guarded: DeserializeGuard<ReleaseReview>) -> Keys {
    match guarded.0 {
        Ok(mut review) => {
            review.metadata.managed_fields = None;
            index.put_review(Arc::new(review))
        }
        Err(invalid) => {
            tracing::error!(
                review = invalid.metadata.name,
                error = invalid.error,
                "a ReleaseReview does not fit its type and does not count"
            );
            vec![]
        }
    }
}

fn put_namespace(index: &mut Index, namespace: Namespace) -> Keys {
    let name = namespace.name_any();
    let terminating = namespace.metadata.deletion_timestamp.is_some();
    let labels = namespace.metadata.labels.unwrap_or_default();
    index.put_namespace(&name, index::Namespace { labels, terminating })
}

/// A workload without who wrote each field; who wrote last stays, for messages.
fn put_workload<K: Resource + Serialize>(index: &mut Index, kind: &'static str, object: &K) -> Keys {
    let mut value = json(object);
    if let Some(entries) = value
        .pointer_mut("/metadata/managedFields")
        .and_then(Value::as_array_mut)
    {
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("fieldsV1");
        }
    }
    if let Some(annotations) = value
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let ((namespace, name), _) = identity(object);
    index.put_workload(kind, &namespace, &name, Arc::new(value))
}

/// A pod cut down to what readiness and health read.
fn put_pod(index: &mut Index, pod: Pod) -> Keys {
    let ((namespace, name), _) = identity(&pod);
    let mut value = json(&pod);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|key, _| key.ends_with("ontainers"));
        for container in spec
            .values_mut()
            .filter_map(Value::as_array_mut)
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            container.retain(|key, _| key == "name" || key == "image");
        }
    }
    index.put_pod(&namespace, &name, Arc::new(value))
}

fn put_job(index: &mut Index, job: Job) -> Keys {
    let ((namespace, name), _) = identity(&job);
    let mut value = json(&job);
    if let Some(object) = value.as_object_mut() {
        object.remove("spec");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| {
            matches!(
                key.as_str(),
                "name" | "namespace" | "uid" | "labels" | "creationTimestamp"
            )
        });
    }
    index.put_job(&namespace, &name, Arc::new(value))
}

fn put_pre_state(index: &mut Index, revision: PartialObjectMeta<ControllerRevision>) -> Keys {
    let labels = revision.metadata.labels.clone().unwrap_or_default();
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    index.put_pre_state(StoredPreState {
        name: revision.name_any(),
        uid: revision.metadata.uid.clone().unwrap_or_default(),
        release_uid: label(LABEL_RELEASE_UID),
        environment: label(LABEL_ENVIRONMENT),
    })
}
