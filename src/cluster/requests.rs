//! The requests of a reconcile, one method each: with the operator's own rights ([`Requests`]) and as the deployer ([`Targets`]); what is
//! read, and what is written with which precondition. Watches, leadership and objects that cannot be read are `operator`'s.
//! Kubernetes answers them, and so does `world::World`, in memory and virtual time. `observe` and `apply` do not see the difference.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::Event;
use serde_json::Value;

use crate::api::{Decision, Environment, EnvironmentStatus, Release, ReleaseStatus};
use crate::cluster::request_error::RequestError;
use crate::domain::cel::{Expression, Unanswered};

/// The result of a request.
pub type Answer<T> = Result<T, RequestError>;

/// An object in the target namespace.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// `group/version`, or `v1`.
    pub api_version: &'a str,
    /// As in manifests: `Deployment`.
    pub kind: &'a str,
    /// Its name in the target namespace.
    pub name: &'a str,
}

/// Whether a request is carried out or is a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is carried out.
    Real,
    /// The API server checks it and answers as if it had been carried out.
    DryRun,
}

/// The format of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A part of the object; lists with a merge key are merged by it.
    StrategicMerge,
    /// Operations one after another (RFC 6902).
    JsonPatch,
}

/// Which Decisions are requested: the API server selects them by fields.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Those that name this Release.
    Release(&'a str),
    /// Those that name this plan hash.
    Plan(&'a str),
}

impl Of<'_> {
    /// As a field selector.
    pub(crate) fn selector(self) -> String {
        match self {
            Self::Release(name) => format!("spec.release={name}"),
            Self::Plan(hash) => format!("spec.planHash={hash}"),
        }
    }

    /// Whether that Decision is among the requested ones.
    #[must_use]
    pub fn selects(self, decision: &Decision) -> bool {
        match self {
            Self::Release(name) => decision.spec.release == name,
            Self::Plan(hash) => decision.spec.plan_hash.as_deref() == Some(hash),
        }
    }
}

/// The cluster that answers the operator's requests. `home` is the operator's own namespace.
pub trait Requests: Clone + Send + Sync + 'static {
    /// Sends requests as the deployer of one target namespace.
    type Deployer: Targets;
    /// Writes Events.
    type Reporter: Sync;

    /// Random text, for names that must not be predictable.
    ///
    /// # Errors
    /// [`RequestError::Passing`] where the system has none.
    fn seed(&self) -> Answer<String>;

    /// `promotion` is `namespace/release/environment/attempt`.
    fn deployer(&self, name: &str, namespace: &str, promotion: &str) -> Self::Deployer;

    /// The Release, if there is one.
    fn release(&self, namespace: &str, name: &str) -> impl Future<Output = Answer<Option<Release>>> + Send;

    /// Its metadata alone.
    fn release_metadata(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ObjectMeta>>> + Send;

    /// Replaces the status, with the observed uid and resourceVersion as precondition.
    fn put_release_status(
        &self,
        observed: &ObjectMeta,
        status: &ReleaseStatus,
    ) -> impl Future<Output = Answer<Release>> + Send;

    /// A merge patch; it carries its own preconditions.
    fn patch_release(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> impl Future<Output = Answer<Release>> + Send;

    /// The Environment, if there is one.
    fn environment(&self, name: &str) -> impl Future<Output = Answer<Option<Environment>>> + Send;

    /// As [`Self::put_release_status`].
    fn put_environment_status(
        &self,
        observed: &ObjectMeta,
        status: &EnvironmentStatus,
    ) -> impl Future<Output = Answer<Environment>> + Send;

    /// As [`Self::patch_release`].
    fn patch_environment(
        &self,
        name: &str,
        patch: &Value,
    ) -> impl Future<Output = Answer<Environment>> + Send;

    /// The requested Decisions of a namespace.
    fn decisions(&self, namespace: &str, of: Of<'_>) -> impl Future<Output = Answer<Vec<Decision>>> + Send;

    /// As [`Self::patch_release`].
    fn patch_decision(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> impl Future<Output = Answer<Decision>> + Send;

    /// The Lease in the operator's own namespace, if there is one.
    fn lease(&self, home: &str, name: &str) -> impl Future<Output = Answer<Option<Lease>>> + Send;

    /// Creates it; [`RequestError::AlreadyExists`] if one of that name exists.
    fn create_lease(&self, home: &str, lease: &Lease) -> impl Future<Output = Answer<Lease>> + Send;

    /// Replaces it, with the uid and resourceVersion in it as precondition.
    fn replace_lease(
        &self,
        home: &str,
        name: &str,
        lease: &Lease,
    ) -> impl Future<Output = Answer<Lease>> + Send;

    /// Deletes exactly that version of it.
    fn delete_lease(
        &self,
        home: &str,
        name: &str,
        uid: &str,
        resource_version: &str,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// The ControllerRevision, which holds a pre-state, if there is one.
    fn revision(
        &self,
        home: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ControllerRevision>>> + Send;

    /// Its metadata alone.
    fn revision_metadata(
        &self,
        home: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ObjectMeta>>> + Send;

    /// As [`Self::create_lease`]; the answer is the metadata.
    fn create_revision(
        &self,
        home: &str,
        revision: &ControllerRevision,
    ) -> impl Future<Output = Answer<ObjectMeta>> + Send;

    /// Deletes the one of that uid.
    fn delete_revision(&self, home: &str, name: &str, uid: &str) -> impl Future<Output = Answer<()>> + Send;

    /// The annotations of the ServiceAccount of that name, if there is one.
    fn service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<BTreeMap<String, String>>>> + Send;

    /// Every HorizontalPodAutoscaler of a namespace.
    fn autoscalers(&self, namespace: &str) -> impl Future<Output = Answer<Vec<Value>>> + Send;

    /// Writes an Event about an object.
    fn publish(
        &self,
        reporter: &Self::Reporter,
        event: &Event,
        reference: &ObjectReference,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// The result of an environment owner's expression, or the reason why it has none; and how long the evaluation took.
    fn evaluate(
        &self,
        expression: Expression,
        release: Arc<Value>,
        environment: Arc<Value>,
    ) -> impl Future<Output = (Result<bool, Unanswered>, Duration)> + Send;
}

/// How a promotion is named to the API server and in its audit log; `release` is `namespace/name`.
#[must_use]
pub fn promotion_name(release: &str, environment: &str, attempt: i64) -> String {
    format!("{release}/{environment}/{attempt}")
}

/// Requests as the deployer of one target namespace.
pub trait Targets: Clone + Send + Sync {
    /// The object, with the fields that each writer owns, or [`RequestError::NotFound`].
    fn get(&self, object: Object<'_>) -> impl Future<Output = Answer<Value>> + Send;

    /// Changes the object; the answer is the object after the change, or as it would be.
    fn patch(
        &self,
        object: Object<'_>,
        form: Form,
        patch: &Value,
        mode: Mode,
    ) -> impl Future<Output = Answer<Value>> + Send;

    /// Creates the object; the answer is as for [`Self::patch`].
    fn create(
        &self,
        object: Object<'_>,
        body: &Value,
        mode: Mode,
    ) -> impl Future<Output = Answer<Value>> + Send;

    /// Deletes by uid; its dependents are deleted in the background.
    fn delete(&self, object: Object<'_>, uid: &str) -> impl Future<Output = Answer<()>> + Send;

    /// Whether the deployer may do `verb` on the kind.
    fn may(&self, verb: &str, object: Object<'_>) -> impl Future<Output = Answer<bool>> + Send;
}
