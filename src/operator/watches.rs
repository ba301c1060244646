//! One watch for each kind and watched namespace feeds the index. Objects are reduced to the fields that decisions read before they are cached.

#[cfg(test)]
mod tests;

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
use tokio::task::JoinHandle;

use crate::api::{
    Decision, Environment, Kind, LABEL_RELEASE, LABEL_RELEASE_UID, Release, ReleaseReview, reasons,
};
use crate::cache::index::{self, Key, Unreadable};
use crate::cache::kept::Kept;
use crate::cache::knowledge::Knowledge;
use crate::cluster::deployer::WRITER;
use crate::cluster::pulse::WATCH_SECONDS;
use crate::cluster::sent::{LAST_APPLIED, Sent, Shape};
use crate::decide::accepted::{self, Problem};
use crate::decide::consent::Accepts;
use crate::observe::leader;
use crate::observe::trust::{BINDING, POLICY};
use crate::operator::context::Context;
use crate::operator::synced::Synced;
use crate::stored::{claims, pre_states, remembered};

/// How many Releases the API server sends in one page: each may have 1.5 MiB.
const RELEASES_IN_A_PAGE: u32 = 50;

/// A watch with a short timeout ends often, so a silent one is noticed soon.
fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// Long enough to spare an API server that is starting again, and not longer, because changes are waiting. With jitter a pause is up to
/// twice as long, so that not all watches start at the same moment.
fn backoff() -> ExponentialBackoff {
    let pauses = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter();
    pauses.into()
}

/// Starts every watch; `synced` falls to zero once all have listed.
pub(crate) fn start(context: &Arc<Context>, synced: Synced) -> Vec<JoinHandle<()>> {
    let mut starter = Starter {
        context: Arc::clone(context),
        synced: Arc::new(synced),
        tasks: vec![],
    };
    for kind in Kind::ALL {
        starter.ours(kind);
    }
    starter.everywhere::<PartialObjectMeta<Namespace>>(put_namespace, |o, _, name, _| {
        o.see(|i| i.remove_namespace(name))
    });
    starter.everywhere::<ValidatingAdmissionPolicy>(
        |o, p| put_policy(o, POLICY, p),
        |o, _, name, _| o.see(|i| i.remove_policy(POLICY, name)),
    );
    starter.everywhere::<ValidatingAdmissionPolicyBinding>(
        |o, p| put_policy(o, BINDING, p),
        |o, _, name, _| o.see(|i| i.remove_policy(BINDING, name)),
    );
    starter.watched::<Deployment>(
        |o, w| put_workload(o, "Deployment", w),
        |o, ns, name, _| o.see(|i| i.remove_workload("Deployment", ns, name)),
    );
    starter.watched::<StatefulSet>(
        |o, w| put_workload(o, "StatefulSet", w),
        |o, ns, name, _| o.see(|i| i.remove_workload("StatefulSet", ns, name)),
    );
    starter.watched::<DaemonSet>(
        |o, w| put_workload(o, "DaemonSet", w),
        |o, ns, name, _| o.see(|i| i.remove_workload("DaemonSet", ns, name)),
    );
    starter.watched::<CronJob>(
        |o, w| put_workload(o, "CronJob", w),
        |o, ns, name, _| o.see(|i| i.remove_workload("CronJob", ns, name)),
    );
    starter.watched(put_pod, |o, ns, name, _| o.see(|i| i.remove_pod(ns, name)));
    starter.labelled(put_job, |o, ns, name, _| o.see(|i| i.remove_job(ns, name)));
    starter.at_home(put_claim, remove_claim);
    starter.pre_states();
    starter.tasks
}

type Put<K> = fn(&Knowledge, &Sent<K>);
/// Namespace, name and uid.
type Remove = fn(&Knowledge, &str, &str, &str);

struct Starter {
    context: Arc<Context>,
    synced: Arc<Synced>,
    tasks: Vec<JoinHandle<()>>,
}

impl Starter {
    /// The watch of one of our kinds.
    fn ours(&mut self, kind: Kind) {
        match kind {
            Kind::Release => self.releases(put_release, |o, ns, name, _| {
                o.see(|i| i.remove(Kind::Release, ns, name))
            }),
            Kind::Environment => self.everywhere(put_environment, |o, ns, name, _| {
                o.see(|i| i.remove(Kind::Environment, ns, name))
            }),
            Kind::Decision => self.watched(put_decision, |o, ns, name, _| {
                o.see(|i| i.remove(Kind::Decision, ns, name))
            }),
            Kind::ReleaseReview => self.watched(put_review, |o, ns, name, _| {
                o.see(|i| i.remove(Kind::ReleaseReview, ns, name))
            }),
        }
    }

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

    /// A Release may be large, and a whole page of them is in memory at the same time.
    fn releases(&mut self, put: Put<Release>, remove: Remove) {
        for api in self.watched_apis() {
            self.follow(api, config().page_size(RELEASES_IN_A_PAGE), put, remove);
        }
    }

    /// Pre-states are large and rarely read: only their metadata is watched.
    fn pre_states(&mut self) {
        let api: Api<Sent<PartialObjectMeta<ControllerRevision>>> =
            Api::namespaced(self.client(), &self.context.config.settings.operator_namespace);
        let config = config().labels(LABEL_RELEASE_UID);
        let stream = watcher::watcher(api, config).backoff(backoff());
        let remove: Remove = |o, _, name, uid| o.see(|i| i.remove_pre_state(name, uid));
        self.spawn::<PartialObjectMeta<ControllerRevision>, _>(stream, put_pre_state, remove);
    }

    fn watched_apis<K>(&self) -> Vec<Api<Sent<K>>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let namespaces = &self.context.config.settings.watch_namespaces;
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
                    // The watch restarts automatically, with backoff.
                    Err(error) => {
                        followed.context.metrics.api_errors.inc();
                        tracing::warn!(kind = std::any::type_name::<K>(), %error, "Watch interrupted; it restarts automatically.");
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
                (self.put)(self.context.observer.knowledge(), &object);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                for ((namespace, name), uid) in &self.known {
                    if !listed.contains_key(&(namespace.clone(), name.clone())) {
                        (self.remove)(self.context.observer.knowledge(), namespace, name, uid);
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
                (self.put)(self.context.observer.knowledge(), &object);
            }
            Event::Delete(object) => {
                let (names, uid) = identity(&object);
                self.known.remove(&names);
                (self.remove)(self.context.observer.knowledge(), &names.0, &names.1, &uid);
            }
        }
    }
}

impl<K> Followed<K> {
    /// Removes an object that was deleted and created again under the same name while the watch was interrupted.
    fn replaced(&self, names: &(String, String), uid: &str) {
        let (namespace, name) = names;
        if let Some(before) = self.known.get(names).filter(|before| *before != uid) {
            (self.remove)(self.context.observer.knowledge(), namespace, name, before);
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
    // An event has these fields, a list does not.
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
                keep: |key| key.ends_with("ontainers") || key == "volumes",
                inside: &[
                    ("volumes", &VOLUME),
                    ("containers", &CONTAINER),
                    ("initContainers", &CONTAINER),
                    ("ephemeralContainers", &CONTAINER),
                ],
            },
        ),
    ],
};
static CONTAINER: Shape = Shape {
    // An init container that is restarted is a sidecar.
    keep: |key| matches!(key, "name" | "image" | "restartPolicy"),
    inside: &[],
};
static VOLUME: Shape = Shape {
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

fn put_release(known: &Knowledge, sent: &Sent<Release>) {
    let ((namespace, name), _) = identity(sent);
    // Most events only repeat what our own write returned.
    if known.index().has_release(&namespace, &name, sent.meta()) {
        return;
    }
    match sent.release() {
        Ok(release) => match held_too_large(known, &release) {
            None => known.see(|index| index.put_release(Arc::new(release))),
            Some(problem) => {
                let unreadable = Unreadable {
                    reason: problem.reason,
                    message: problem.sentence,
                    ..unreadable(sent, String::new())
                };
                known.see(|index| index.put_unreadable(&namespace, &name, unreadable));
            }
        },
        Err(error) => known.see(|index| index.put_unreadable(&namespace, &name, unreadable(sent, error))),
    }
}

/// The reason why a Release is too large and not cached at all. A Release that holds a claim is cached until the claim is released, and one
/// that is being deleted is cached.
fn held_too_large(known: &Knowledge, release: &Release) -> Option<Problem> {
    let meta = &release.metadata;
    let uid = meta.uid.as_deref().unwrap_or_default();
    let problem = accepted::too_large(release).filter(|_| meta.deletion_timestamp.is_none())?;
    known.index().claims_of(uid).next().is_none().then_some(problem)
}

fn put_environment(known: &Knowledge, sent: &Sent<Environment>) {
    if known.index().has_environment(&sent.name_any(), sent.meta()) {
        return;
    }
    match sent.environment() {
        Ok(environment) => {
            // A promotion may enter at any moment, and an occupied Environment must not be deleted: the finalizer is added
            // immediately, and so is the status after a change.
            let unheld = environment.metadata.finalizers.iter().flatten().next().is_none();
            let answered = environment.status.as_ref().and_then(|s| s.observed_generation);
            let changed = answered != environment.metadata.generation;
            let key = Key::environment(&environment.name_any());
            known.see(|index| index.put_environment(Arc::new(environment)));
            if unheld || changed {
                known.queue().wake_after(key, Duration::ZERO);
            }
        }
        Err(error) => {
            let name = sent.name_any();
            tracing::error!(
                environment = name,
                %error,
                "An Environment does not match its schema and is treated as missing."
            );
            known.see(|index| index.put_unreadable_environment(&name, unreadable(sent, error)));
        }
    }
}

fn unreadable<K: Resource<DynamicType = ()>>(sent: &Sent<K>, error: String) -> Unreadable {
    Unreadable {
        resource_version: sent.resource_version(),
        generation: sent.meta().generation,
        reason: reasons::UNREADABLE,
        message: format!(
            "This {} does not match its schema ({error}). Correct that field. Until then the operator does not act on this object.",
            K::kind(&())
        ),
    }
}

fn put_decision(known: &Knowledge, sent: &Sent<Decision>) {
    match sent.parse() {
        Ok(mut decision) => {
            decision.metadata.managed_fields = None;
            known.see(|index| index.put_decision(Arc::new(decision)));
        }
        Err(error) => {
            let decision = sent.name_any();
            tracing::error!(decision, %error, "A Decision does not match its schema and does not count.");
        }
    }
}

fn put_review(known: &Knowledge, sent: &Sent<ReleaseReview>) {
    match sent.parse() {
        Ok(mut review) => {
            review.metadata.managed_fields = None;
            known.see(|index| index.put_review(Arc::new(review)));
        }
        Err(error) => {
            let review = sent.name_any();
            tracing::error!(review, %error, "A ReleaseReview does not match its schema and does not count.");
        }
    }
}

fn put_namespace(known: &Knowledge, sent: &Sent<PartialObjectMeta<Namespace>>) {
    let Ok(namespace) = sent.parse() else { return };
    let terminating = namespace.metadata.deletion_timestamp.is_some();
    let accepts = Accepts::read(namespace.metadata.annotations.as_ref());
    let labels = namespace.metadata.labels.unwrap_or_default();
    let namespace = index::Namespace {
        labels,
        terminating,
        accepts,
    };
    known.see(|index| index.put_namespace(&sent.name_any(), namespace));
}

fn put_policy<K: Resource>(known: &Knowledge, kind: &'static str, sent: &Sent<K>) {
    let policy = Arc::new(sent.shaped(&Shape::WHOLE));
    known.see(|index| index.put_policy(kind, &sent.name_any(), policy));
}

/// A workload; a list gives neither its kind nor its version.
fn put_workload<K: Resource<DynamicType = ()>>(known: &Knowledge, kind: &'static str, sent: &Sent<K>) {
    let ((namespace, name), _) = identity(sent);
    let typed = [("apiVersion", &*K::api_version(&())), ("kind", kind)];
    let object = kept(sent, &WORKLOAD, &typed);
    known.see(|index| index.put_workload(kind, &namespace, &name, object));
}

fn put_pod(known: &Knowledge, sent: &Sent<Pod>) {
    let ((namespace, name), _) = identity(sent);
    let pod = kept(sent, &POD, &[]);
    known.see(|index| index.put_pod(&namespace, &name, pod));
}

fn put_job(known: &Knowledge, sent: &Sent<Job>) {
    let ((namespace, name), _) = identity(sent);
    let job = kept(sent, &JOB, &[]);
    known.see(|index| index.put_job(&namespace, &name, job));
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

fn put_claim(known: &Knowledge, sent: &Sent<Lease>) {
    let Ok(lease) = sent.parse() else { return };
    if leader::is(&lease) {
        known.see_leader(lease.spec.as_ref().and_then(leader::holder));
    } else if let Some(claim) = claims::read(&lease) {
        known.see(|index| index.put_claim(claim));
    }
}

fn remove_claim(known: &Knowledge, _: &str, name: &str, uid: &str) {
    if name == leader::LEASE {
        known.see_leader(None);
    } else {
        known.see(|index| index.remove_claim(name, uid));
    }
}

fn put_pre_state(known: &Knowledge, sent: &Sent<PartialObjectMeta<ControllerRevision>>) {
    let Ok(revision) = sent.parse() else { return };
    if let Some(remembered) = remembered::read(&revision.metadata) {
        known.see(|index| index.put_remembered(remembered));
        return;
    }
    known.see(|index| index.put_pre_state(pre_states::read(&revision.metadata)));
}
