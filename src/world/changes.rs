//! What a watch shows of a change, and what is recorded of a write.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::api::{Decision, Environment, Kind, Release, ReleaseReview};
use crate::cache::index::{Index, Key, Namespace};
use crate::decide::facts::{Claim, Remembered, StoredPreState};
use crate::stored::{pre_states, remembered};

/// Namespace and name.
pub(crate) type Names = (String, String);
/// A target's place: namespace, kind and name.
pub type Spot = (String, String, String);

/// What a watch shows. Each kind has its own stream, in order; between streams there is no order.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Release(Arc<Release>),
    Environment(Arc<Environment>),
    Decision(Arc<Decision>),
    Review(Arc<ReleaseReview>),
    /// An object of a Signalbox kind is deleted. An Environment has no namespace.
    Gone(Kind, Names),
    Claim(Arc<Claim>),
    ClaimGone(String, String),
    PreState(StoredPreState),
    Remembered(Remembered),
    PreStateGone(String, String),
    Workload(&'static str, Spot, Arc<Value>),
    WorkloadGone(&'static str, Spot),
    Job(Spot, Arc<Value>),
    JobGone(Spot),
    Pod(Names, Arc<Value>),
    PodGone(Names),
    Namespace(String, Namespace),
    Policy(&'static str, &'static str, Arc<Value>),
}

/// The number of streams of Signalbox kinds. They come first, in the order of [`Kind::ALL`].
const OURS: usize = Kind::ALL.len();
/// The number of streams.
pub(crate) const STREAMS: usize = OURS + 6;

impl Change {
    /// The stream that shows it, below [`STREAMS`].
    pub(crate) fn stream(&self) -> usize {
        match self {
            Self::Release(_) => Kind::Release as usize,
            Self::Environment(_) => Kind::Environment as usize,
            Self::Decision(_) => Kind::Decision as usize,
            Self::Review(_) => Kind::ReleaseReview as usize,
            Self::Gone(kind, _) => *kind as usize,
            Self::Claim(_) | Self::ClaimGone(..) => OURS,
            Self::PreState(_) | Self::Remembered(_) | Self::PreStateGone(..) => OURS + 1,
            Self::Workload(..) | Self::WorkloadGone(..) => OURS + 2,
            Self::Job(..) | Self::JobGone(_) => OURS + 3,
            Self::Namespace(..) | Self::Policy(..) => OURS + 4,
            Self::Pod(..) | Self::PodGone(_) => OURS + 5,
        }
    }

    /// Applies it to an operator's index.
    pub(crate) fn show(&self, index: &mut Index) -> Vec<Key> {
        match self {
            Self::Release(release) => index.put_release(Arc::clone(release)),
            Self::Environment(environment) => index.put_environment(Arc::clone(environment)),
            Self::Decision(decision) => index.put_decision(Arc::clone(decision)),
            Self::Review(review) => index.put_review(Arc::clone(review)),
            Self::Gone(kind, (namespace, name)) => index.remove(*kind, namespace, name),
            Self::Claim(claim) => index.put_claim((**claim).clone()),
            Self::ClaimGone(name, uid) => index.remove_claim(name, uid),
            Self::PreState(stored) => index.put_pre_state(stored.clone()),
            Self::Remembered(known) => index.put_remembered(known.clone()),
            Self::PreStateGone(name, uid) => index.remove_pre_state(name, uid),
            Self::Workload(kind, spot, object) => {
                index.put_workload(kind, &spot.0, &spot.2, Arc::clone(object).into())
            }
            Self::WorkloadGone(kind, spot) => index.remove_workload(kind, &spot.0, &spot.2),
            Self::Job(spot, job) => index.put_job(&spot.0, &spot.2, Arc::clone(job).into()),
            Self::JobGone(spot) => index.remove_job(&spot.0, &spot.2),
            Self::Pod((namespace, name), pod) => index.put_pod(namespace, name, Arc::clone(pod).into()),
            Self::PodGone((namespace, name)) => index.remove_pod(namespace, name),
            Self::Namespace(name, namespace) => index.put_namespace(name, namespace.clone()),
            Self::Policy(kind, name, policy) => index.put_policy(kind, name, Arc::clone(policy)),
        }
    }
}

/// A write, with the previous object.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The status of a Release was written.
    Status {
        before: Arc<Release>,
        after: Arc<Release>,
    },
    /// The status of an Environment was written; this is the new object.
    EnvironmentStatus(Arc<Environment>),
    /// A Release's or Environment's finalizers, or a Decision's owner.
    Metadata(String),
    /// A claim was created, replaced (both are present) or deleted.
    Claim {
        before: Option<Box<Claim>>,
        after: Option<Box<Claim>>,
    },
    /// A ControllerRevision of that name was created or deleted.
    PreState { name: String, created: bool },
    /// A target was created, changed or deleted.
    Target(Touch),
    /// A request of the deployer that changed nothing: promotion and target.
    Idle(String, Spot),
}

/// A change of a target, by its deployer or by another writer.
#[derive(Clone, Debug)]
pub struct Touch {
    /// `namespace/release/environment/attempt`; absent if the writer was not the deployer.
    pub promotion: Option<String>,
    /// Namespace, kind and name of the target.
    pub spot: Spot,
    /// The object before the change. Absent if it did not exist.
    pub before: Option<Arc<Value>>,
    /// The object after the change. Absent if it was deleted.
    pub after: Option<Arc<Value>>,
    /// What the request asked for, before the API server and admission added to it.
    pub requested: Option<Arc<Value>>,
    /// By JSON Patch, or a deletion.
    pub back: bool,
}

/// What the watch of ControllerRevisions shows.
pub(crate) fn kept(metadata: &ObjectMeta) -> Change {
    match remembered::read(metadata) {
        Some(known) => Change::Remembered(known),
        None => Change::PreState(pre_states::read(metadata)),
    }
}

/// The kinds that are watched.
pub(crate) fn kind_of(kind: &str) -> Option<&'static str> {
    ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]
        .into_iter()
        .find(|k| *k == kind)
}

/// What the watch of workloads and Jobs shows, where the kind is watched.
pub(crate) fn watched(spot: &Spot, object: &Arc<Value>) -> Option<Change> {
    let kind = kind_of(&spot.1)?;
    // The watches keep who wrote and when, but not which fields.
    let mut shown = Arc::clone(object);
    let fields = shown.pointer("/metadata/managedFields/0/fieldsV1");
    if fields.is_some()
        && let Some(entries) = Arc::make_mut(&mut shown)["metadata"]["managedFields"].as_array_mut()
    {
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("fieldsV1");
        }
    }
    Some(match kind {
        "Job" => Change::Job(spot.clone(), shown),
        kind => Change::Workload(kind, spot.clone(), shown),
    })
}
