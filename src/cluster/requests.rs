//! Every request of the operator's own, one method each: what is read, and what is written with which precondition.
//! Kubernetes answers them, and so does `simulate::World`, in memory and virtual time: `observe` and `apply` cannot tell.

use std::borrow::Cow;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Trouble;
use super::deployer::{Deployer, Form, Mode, Object};
use super::sent::Sent;
use crate::api::{Decision, Environment, EnvironmentStatus, FIELD_MANAGER, Release, ReleaseStatus};
use crate::expressions::{self, Expression};

type Answer<T> = Result<T, Trouble>;

/// How long an environment owner's expression may take.
const EXPRESSION_DEADLINE: Duration = Duration::from_secs(1);

/// Whoever answers the operator's requests. `home` is the operator's own namespace.
pub trait Requests: Clone + Send + Sync + 'static {
    /// Speaks as the deployer of one target namespace.
    type Deployer: Targets;
    /// Writes Events.
    type Reporter: Sync;

    /// `promotion` is `namespace/release/environment/attempt`.
    fn deployer(&self, name: &str, namespace: &str, promotion: &str) -> Self::Deployer;

    fn release(&self, namespace: &str, name: &str) -> impl Future<Output = Answer<Option<Release>>> + Send;

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

    /// Every Decision of a namespace.
    fn decisions(&self, namespace: &str) -> impl Future<Output = Answer<Vec<Decision>>> + Send;

    /// As [`Self::patch_release`].
    fn patch_decision(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> impl Future<Output = Answer<Decision>> + Send;

    fn lease(&self, home: &str, name: &str) -> impl Future<Output = Answer<Option<Lease>>> + Send;

    fn create_lease(&self, home: &str, lease: &Lease) -> impl Future<Output = Answer<Lease>> + Send;

    /// Replaces it, with the uid and resourceVersion in it as precondition.
    fn replace_lease(
        &self,
        home: &str,
        name: &str,
        lease: &Lease,
    ) -> impl Future<Output = Answer<Lease>> + Send;

    fn delete_lease(
        &self,
        home: &str,
        name: &str,
        uid: &str,
        resource_version: &str,
    ) -> impl Future<Output = Answer<()>> + Send;

    fn revision(
        &self,
        home: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ControllerRevision>>> + Send;

    fn revision_metadata(
        &self,
        home: &str,
        name: &str,
    ) -> impl Future<Output = Answer<Option<ObjectMeta>>> + Send;

    fn create_revision(
        &self,
        home: &str,
        revision: &ControllerRevision,
    ) -> impl Future<Output = Answer<ObjectMeta>> + Send;

    fn delete_revision(&self, home: &str, name: &str, uid: &str) -> impl Future<Output = Answer<()>> + Send;

    /// Whether there is a ServiceAccount of that name.
    fn has_service_account(&self, namespace: &str, name: &str) -> impl Future<Output = Answer<bool>> + Send;

    fn publish(
        &self,
        reporter: &Self::Reporter,
        event: &Event,
        reference: &ObjectReference,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// What an environment owner's expression says, or a sentence that says why it says nothing; and how much work that was.
    fn evaluate(
        &self,
        expression: Expression,
        release: Arc<Value>,
        environment: Arc<Value>,
    ) -> impl Future<Output = (Result<bool, String>, Duration)> + Send;
}

/// Requests as the deployer of one target namespace.
pub trait Targets: Clone + Send + Sync {
    /// The object, or [`Trouble::NotFound`].
    fn get(&self, object: Object<'_>) -> impl Future<Output = Answer<Value>> + Send;

    fn patch(
        &self,
        object: Object<'_>,
        form: Form,
        patch: &Value,
        mode: Mode,
    ) -> impl Future<Output = Answer<Value>> + Send;

    fn create(
        &self,
        object: Object<'_>,
        body: &Value,
        mode: Mode,
    ) -> impl Future<Output = Answer<Value>> + Send;

    /// Deletes by uid; its dependents go with it in the background.
    fn delete(&self, object: Object<'_>, uid: &str) -> impl Future<Output = Answer<()>> + Send;

    /// Whether the deployer may do `verb` on the kind.
    fn may(&self, verb: &str, object: Object<'_>) -> impl Future<Output = Answer<bool>> + Send;
}

impl Requests for Client {
    type Deployer = Deployer;
    type Reporter = Reporter;

    fn deployer(&self, name: &str, namespace: &str, promotion: &str) -> Deployer {
        Deployer::new(self.clone(), name, namespace, promotion)
    }

    async fn release(&self, namespace: &str, name: &str) -> Answer<Option<Release>> {
        Ok(named::<Release>(self, namespace).get_opt(name).await?)
    }

    async fn release_metadata(&self, namespace: &str, name: &str) -> Answer<Option<ObjectMeta>> {
        let api = named::<PartialObjectMeta<Release>>(self, namespace);
        Ok(api.get_metadata_opt(name).await?.map(|found| found.metadata))
    }

    async fn put_release_status(&self, observed: &ObjectMeta, status: &ReleaseStatus) -> Answer<Release> {
        let namespace = observed.namespace.as_deref().unwrap_or_default();
        let api = named::<Sent<Release>>(self, namespace);
        put_status(&api, observed, status)
            .await?
            .release()
            .map_err(Trouble::Invalid)
    }

    async fn patch_release(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Release> {
        let api = named::<Sent<Release>>(self, namespace);
        merge(&api, name, patch)
            .await?
            .release()
            .map_err(Trouble::Invalid)
    }

    async fn environment(&self, name: &str) -> Answer<Option<Environment>> {
        Ok(Api::<Environment>::all(self.clone()).get_opt(name).await?)
    }

    async fn put_environment_status(
        &self,
        observed: &ObjectMeta,
        status: &EnvironmentStatus,
    ) -> Answer<Environment> {
        let api = Api::<Sent<Environment>>::all(self.clone());
        put_status(&api, observed, status)
            .await?
            .environment()
            .map_err(Trouble::Invalid)
    }

    async fn patch_environment(&self, name: &str, patch: &Value) -> Answer<Environment> {
        let api = Api::<Sent<Environment>>::all(self.clone());
        merge(&api, name, patch)
            .await?
            .environment()
            .map_err(Trouble::Invalid)
    }

    async fn decisions(&self, namespace: &str) -> Answer<Vec<Decision>> {
        let api = named::<Decision>(self, namespace);
        Ok(api.list(&ListParams::default()).await?.items)
    }

    async fn patch_decision(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Decision> {
        merge(&named::<Decision>(self, namespace), name, patch).await
    }

    async fn lease(&self, home: &str, name: &str) -> Answer<Option<Lease>> {
        Ok(named::<Lease>(self, home).get_opt(name).await?)
    }

    async fn create_lease(&self, home: &str, lease: &Lease) -> Answer<Lease> {
        Ok(named::<Lease>(self, home).create(&post(), lease).await?)
    }

    async fn replace_lease(&self, home: &str, name: &str, lease: &Lease) -> Answer<Lease> {
        Ok(named::<Lease>(self, home).replace(name, &post(), lease).await?)
    }

    async fn delete_lease(&self, home: &str, name: &str, uid: &str, resource_version: &str) -> Answer<()> {
        let parameters = precisely(uid, Some(resource_version));
        named::<Lease>(self, home).delete(name, &parameters).await?;
        Ok(())
    }

    async fn revision(&self, home: &str, name: &str) -> Answer<Option<ControllerRevision>> {
        Ok(named::<ControllerRevision>(self, home).get_opt(name).await?)
    }

    async fn revision_metadata(&self, home: &str, name: &str) -> Answer<Option<ObjectMeta>> {
        let api = named::<ControllerRevision>(self, home);
        Ok(api.get_metadata_opt(name).await?.map(|found| found.metadata))
    }

    async fn create_revision(&self, home: &str, revision: &ControllerRevision) -> Answer<ObjectMeta> {
        let api = named::<ControllerRevision>(self, home);
        Ok(api.create(&post(), revision).await?.metadata)
    }

    async fn delete_revision(&self, home: &str, name: &str, uid: &str) -> Answer<()> {
        let api = named::<ControllerRevision>(self, home);
        api.delete(name, &precisely(uid, None)).await?;
        Ok(())
    }

    async fn has_service_account(&self, namespace: &str, name: &str) -> Answer<bool> {
        Ok(named::<ServiceAccount>(self, namespace)
            .get_opt(name)
            .await?
            .is_some())
    }

    async fn publish(&self, reporter: &Reporter, event: &Event, reference: &ObjectReference) -> Answer<()> {
        // A recorder remembers six minutes of events to count those that repeat themselves. Ours do not, and where two are
        // alike but for their message, the second would show the first one's.
        let recorder = Recorder::new(self.clone(), reporter.clone());
        Ok(recorder.publish(event, reference).await?)
    }

    async fn evaluate(
        &self,
        expression: Expression,
        release: Arc<Value>,
        environment: Arc<Value>,
    ) -> (Result<bool, String>, Duration) {
        expressions::evaluate(expression, release, environment, EXPRESSION_DEADLINE).await
    }
}

fn named<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    Api::namespaced(client.clone(), namespace)
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn precisely(uid: &str, resource_version: Option<&str>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: resource_version.map(str::to_owned),
        }),
        ..DeleteParams::default()
    }
}

async fn merge<K: Clone + Debug + DeserializeOwned>(api: &Api<K>, name: &str, patch: &Value) -> Answer<K> {
    let patch = Patch::Merge(patch);
    Ok(api.patch(name, &PatchParams::default(), &patch).await?)
}

/// There is no need to send the spec: the API server takes nothing but the status from such a request.
async fn put_status<K, S>(api: &Api<K>, observed: &ObjectMeta, status: &S) -> Answer<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a, S> {
        api_version: Cow<'a, str>,
        kind: Cow<'a, str>,
        metadata: Precondition<'a>,
        status: &'a S,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Precondition<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'a str>,
        uid: Option<&'a str>,
        resource_version: Option<&'a str>,
    }
    let name = observed.name.as_deref().unwrap_or_default();
    let body = Body {
        api_version: K::api_version(&()),
        kind: K::kind(&()),
        metadata: Precondition {
            name,
            namespace: observed.namespace.as_deref(),
            uid: observed.uid.as_deref(),
            resource_version: observed.resource_version.as_deref(),
        },
        status,
    };
    let bytes = serde_json::to_vec(&body).map_err(|e| Trouble::Invalid(e.to_string()))?;
    let request = kube::core::Request::new(api.resource_url())
        .replace_subresource("status", name, &post(), bytes)
        .map_err(|e| Trouble::Invalid(e.to_string()))?;
    Ok(api.clone().into_client().request(request).await?)
}
