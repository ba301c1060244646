//! One watch a kind feeds the index. Objects are cut down to what decisions read before they are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Context;
use crate::api::{Decision, Environment, LABEL_ENVIRONMENT, LABEL_RELEASE, Release, ReleaseReview};
use crate::apply::LABEL_RELEASE_UID;
use crate::cluster::deployer::WRITER;
use crate::cluster::pulse::WATCH_SECONDS;
use crate::cluster::sent::{LAST_APPLIED, Sent, Shape};
use crate::decide::facts::StoredPreState;
use crate::observe::index::{self, Index, Key, Unreadable};
use crate::observe::kept::Kept;
use crate::observe::trust::{BINDING, POLICY};
use crate::observe::{Observer, claims};

/// Counts the watches that have not listed everything yet.
pub(super) type Synced = watch::Sender<usize>;
pub(super) type Ready = watch::Receiver<usize>;

pub(super) fn synced() -> (Synced, Ready) {
    watch::channel(0)
}

/// A watch that ends soon, and is heard to end, is one whose silence is noticed soon.
fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Kind to an API server that is coming back, and no longer: what has happened meanwhile is waiting. A pause is up to twice as
/// long as said here, so that not all watches begin in the same moment.
fn backoff() -> ExponentialBackoff {
    let pauses = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter();
    pauses.into()
}

type Keys = Vec<Key>;

/// Starts every watch; `synced` falls to zero once all have listed.
pub(super) fn start(context: &Arc<Context>, synced: Synced) -> Vec<JoinHandle<()>> {
    let mut starter = Starter {
        context: Arc::clone(context),
        synced: Arc::new(synced),
        tasks: vec![],
    };
    starter.everywhere(put_environment, |i, _, name, _| i.remove_environment(name));
    starter
        .everywhere::<PartialObjectMeta<Namespace>>(put_namespace, |i, _, name, _| i.remove_namespace(name));
    starter.everywhere::<ValidatingAdmissionPolicy>(
        |o, p| put_policy(o, POLICY, p),
        |i, _, name, _| i.remove_policy(POLICY, name),
    );
    starter.everywhere::<ValidatingAdmissionPolicyBinding>(
        |o, p| put_policy(o, BINDING, p),
        |i, _, name, _| i.remove_policy(BINDING, name),
    );
    starter.watched(put_release, |i, ns, name, _| i.remove_release(ns, name));
    starter.watched(put_decision, |i, ns, name, _| i.remove_decision(ns, name));
    starter.watched(put_review, |i, ns, name, _| i.remove_review(ns, name));
    starter.watched::<Deployment>(
        |o, w| put_workload(o, "Deployment", w),
        |i, ns, name, _| i.remove_workload("Deployment", ns, name),
    );
    starter.watched::<StatefulSet>(
        |o, w| put_workload(o, "StatefulSet", w),
        |i, ns, name, _| i.remove_workload("StatefulSet", ns, name),
    );
    starter.watched::<DaemonSet>(
        |o, w| put_workload(o, "DaemonSet", w),
        |i, ns, name, _| i.remove_workload("DaemonSet", ns, name),
    );
    starter.watched::<CronJob>(
        |o, w| put_workload(o, "CronJob", w),
        |i, ns, name, _| i.remove_workload("CronJob", ns, name),
    );
    starter.watched(put_pod, |i, ns, name, _| i.remove_pod(ns, name));
    starter.labelled(put_job, |i, ns, name, _| i.remove_job(ns, name));
    starter.at_home(put_claim, |i, _, name, uid| i.remove_claim(name, uid));
    starter.pre_states();
    starter.tasks
}

type Put<K> = fn(&Observer, &Sent<K>);
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
        K: Resource<DynamicType = ()> + 'static,
    {
        let api = Api::<Sent<K>>::all(self.client());
        self.follow(api, config(), put, remove);
    }

    fn watched<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + 'static,
        K: Resource<Scope = NamespaceResourceScope>,
    {
        for api in self.watched_apis() {
            self.follow(api, config(), put, remove);
        }
    }

    fn labelled<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + 'static,
        K: Resource<Scope = NamespaceResourceScope>,
    {
        for api in self.watched_apis() {
            self.follow(api, config().labels(LABEL_RELEASE), put, remove);
        }
    }

    fn at_home<K>(&mut self, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + 'static,
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let api = Api::<Sent<K>>::namespaced(self.client(), &self.context.config.settings.operator_namespace);
        self.follow(api, config(), put, remove);
    }

    /// Pre-states are large and rarely read: only their metadata is watched.
    fn pre_states(&mut self) {
        let api: Api<Sent<PartialObjectMeta<ControllerRevision>>> =
            Api::namespaced(self.client(), &self.context.config.settings.operator_namespace);
        let config = config().labels(LABEL_RELEASE_UID);
        let stream = watcher::watcher(api, config).backoff(backoff());
        let remove: Remove = |i, _, name, uid| i.remove_pre_state(name, uid);
        self.spawn::<PartialObjectMeta<ControllerRevision>, _>(stream, put_pre_state, remove);
    }

    fn watched_apis<K>(&self) -> Vec<Api<Sent<K>>>
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

    fn follow<K>(&mut self, api: Api<Sent<K>>, config: watcher::Config, put: Put<K>, remove: Remove)
    where
        K: Resource<DynamicType = ()> + 'static,
    {
        let stream = watcher::watcher(api, config).backoff(backoff());
        self.spawn(stream, put, remove);
    }

    fn spawn<K, S>(&mut self, stream: S, put: Put<K>, remove: Remove)
    where
        K: Resource + 'static,
        S: futures::Stream<Item = Result<Event<Sent<K>>, watcher::Error>> + Send + 'static,
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
    fn event(&mut self, event: Event<Sent<K>>) {
        match event {
            Event::Init => self.listed = Some(HashMap::new()),
            Event::InitApply(object) => {
                let (names, uid) = identity(&object);
                self.replaced(&names, &uid);
                if let Some(listed) = &mut self.listed {
                    listed.insert(names, uid);
                }
                (self.put)(&self.context.observer, &object);
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
                self.replaced(&names, &uid);
                self.known.insert(names, uid);
                (self.put)(&self.context.observer, &object);
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

impl<K> Followed<K> {
    /// What was deleted and created again while nobody watched is gone, whatever its name.
    fn replaced(&self, names: &(String, String), uid: &str) {
        let (namespace, name) = names;
        if let Some(before) = self.known.get(names).filter(|before| *before != uid) {
            self.context
                .observer
                .see(|index| (self.remove)(index, namespace, name, before));
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

static METADATA_OF_WORKLOADS: Shape = Shape {
    keep: |_| true,
    inside: &[
        (
            "annotations",
            &Shape {
                keep: |key| key != LAST_APPLIED,
                inside: &[],
            },
        ),
        ("managedFields", &WRITER),
    ],
};
static WORKLOAD: Shape = Shape {
    // An event tells these, a list does not.
    keep: |key| !matches!(key, "apiVersion" | "kind"),
    inside: &[("metadata", &METADATA_OF_WORKLOADS)],
};
/// What readiness and health read.
static POD: Shape = Shape {
    keep: |_| true,
    inside: &[
        (
            "metadata",
            &Shape {
                keep: |key| key != "managedFields",
                inside: &[],
            },
        ),
        (
            "spec",
            &Shape {
                keep: |key| key.ends_with("ontainers"),
                inside: &[
                    ("containers", &CONTAINER),
                    ("initContainers", &CONTAINER),
                    ("ephemeralContainers", &CONTAINER),
                ],
            },
        ),
    ],
};
static CONTAINER: Shape = Shape {
    keep: |key| matches!(key, "name" | "image"),
    inside: &[],
};
static JOB: Shape = Shape {
    keep: |key| key != "spec",
    inside: &[(
        "metadata",
        &Shape {
            keep: |key| matches!(key, "name" | "namespace" | "uid" | "labels" | "creationTimestamp"),
            inside: &[],
        },
    )],
};

fn put_release(observer: &Observer, sent: &Sent<Release>) {
    let ((namespace, name), _) = identity(sent);
    // Most events only repeat what our own write returned.
    if observer.index().has_release(&namespace, &name, sent.meta()) {
        return;
    }
    match sent.release() {
        Ok(release) => observer.see(|index| index.put_release(Arc::new(release))),
        Err(error) => observer.see(|index| index.put_unreadable(&namespace, &name, unreadable(sent, error))),
    }
}

fn put_environment(observer: &Observer, sent: &Sent<Environment>) {
    if observer.index().has_environment(&sent.name_any(), sent.meta()) {
        return;
    }
    match sent.environment() {
        Ok(environment) => {
            // A promotion may enter at any moment, and what it occupies may not go: the finalizer comes at once, and so does
            // the answer to whoever changed it.
            let unheld = environment.metadata.finalizers.iter().flatten().next().is_none();
            let answered = environment.status.as_ref().and_then(|s| s.observed_generation);
            let changed = answered != environment.metadata.generation;
            let key = Key::environment(&environment.name_any());
            observer.see(|index| index.put_environment(Arc::new(environment)));
            if unheld || changed {
                observer.queue().wake_after(key, Duration::ZERO);
            }
        }
        Err(error) => {
            let name = sent.name_any();
            tracing::error!(
                environment = name,
                %error,
                "an Environment does not fit its type and counts as absent"
            );
            observer.see(|index| index.put_unreadable_environment(&name, unreadable(sent, error)));
        }
    }
}

fn unreadable<K: Resource>(sent: &Sent<K>, error: String) -> Unreadable {
    Unreadable {
        resource_version: sent.resource_version(),
        generation: sent.meta().generation,
        error,
    }
}

fn put_decision(observer: &Observer, sent: &Sent<Decision>) {
    match sent.parse() {
        Ok(mut decision) => {
            decision.metadata.managed_fields = None;
            observer.see(|index| index.put_decision(Arc::new(decision)));
        }
        Err(error) => {
            let decision = sent.name_any();
            tracing::error!(decision, %error, "a Decision does not fit its type and does not count");
        }
    }
}

fn put_review(observer: &Observer, sent: &Sent<ReleaseReview>) {
    match sent.parse() {
        Ok(mut review) => {
            review.metadata.managed_fields = None;
            observer.see(|index| index.put_review(Arc::new(review)));
        }
        Err(error) => {
            let review = sent.name_any();
            tracing::error!(review, %error, "a ReleaseReview does not fit its type and does not count");
        }
    }
}

fn put_namespace(observer: &Observer, sent: &Sent<PartialObjectMeta<Namespace>>) {
    let Ok(namespace) = sent.parse() else { return };
    let terminating = namespace.metadata.deletion_timestamp.is_some();
    let labels = namespace.metadata.labels.unwrap_or_default();
    observer.see(|index| index.put_namespace(&sent.name_any(), index::Namespace { labels, terminating }));
}

fn put_policy<K: Resource>(observer: &Observer, kind: &'static str, sent: &Sent<K>) {
    let policy = Arc::new(sent.shaped(&Shape::WHOLE));
    observer.see(|index| index.put_policy(kind, &sent.name_any(), policy));
}

/// A workload, of which a list tells neither kind nor version.
fn put_workload<K: Resource<DynamicType = ()>>(observer: &Observer, kind: &'static str, sent: &Sent<K>) {
    let ((namespace, name), _) = identity(sent);
    let typed = [("apiVersion", &*K::api_version(&())), ("kind", kind)];
    let object = kept(sent, &WORKLOAD, &typed);
    observer.see(|index| index.put_workload(kind, &namespace, &name, object));
}

fn put_pod(observer: &Observer, sent: &Sent<Pod>) {
    let ((namespace, name), _) = identity(sent);
    let pod = kept(sent, &POD, &[]);
    observer.see(|index| index.put_pod(&namespace, &name, pod));
}

fn put_job(observer: &Observer, sent: &Sent<Job>) {
    let ((namespace, name), _) = identity(sent);
    let job = kept(sent, &JOB, &[]);
    observer.see(|index| index.put_job(&namespace, &name, job));
}

fn kept<K: Resource>(sent: &Sent<K>, shape: &'static Shape, typed: &[(&str, &str)]) -> Kept {
    let meta = sent.meta();
    Kept::text(
        sent.shaped_text(shape, typed),
        meta.uid.as_deref().unwrap_or_default(),
        meta.generation,
        meta.resource_version.as_deref(),
    )
}

fn put_claim(observer: &Observer, sent: &Sent<Lease>) {
    if let Some(claim) = sent.parse().ok().as_ref().and_then(claims::read) {
        observer.see(|index| index.put_claim(claim));
    }
}

fn put_pre_state(observer: &Observer, sent: &Sent<PartialObjectMeta<ControllerRevision>>) {
    let Ok(revision) = sent.parse() else { return };
    let labels = revision.metadata.labels.clone().unwrap_or_default();
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    let stored = StoredPreState {
        name: revision.name_any(),
        uid: revision.metadata.uid.clone().unwrap_or_default(),
        release_uid: label(LABEL_RELEASE_UID),
        environment: label(LABEL_ENVIRONMENT),
    };
    observer.see(|index| index.put_pre_state(stored));
}
