//! Kubernetes answers the requests, through kube.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::{Decision, Environment, EnvironmentStatus, FIELD_MANAGER, Release, ReleaseStatus};
use crate::cluster::deployer::Deployer;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Answer, Of, Requests};
use crate::cluster::sent::Sent;
use crate::domain::cel::{self, Expression, Unanswered};

/// How long an environment owner's expression may take.
const EXPRESSION_DEADLINE: Duration = Duration::from_secs(1);

/// Objects of one answer to a list.
const PAGE: u32 = 500;

impl Requests for Client {
    type Deployer = Deployer;
    type Reporter = Reporter;

    fn seed(&self) -> Answer<String> {
        let mut bytes = [0; 16];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| RequestError::Passing("the operating system returned no random bytes".to_owned()))?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

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
            .map_err(RequestError::Invalid)
    }

    async fn patch_release(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Release> {
        let api = named::<Sent<Release>>(self, namespace);
        merge(&api, name, patch)
            .await?
            .release()
            .map_err(RequestError::Invalid)
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
            .map_err(RequestError::Invalid)
    }

    async fn patch_environment(&self, name: &str, patch: &Value) -> Answer<Environment> {
        let api = Api::<Sent<Environment>>::all(self.clone());
        merge(&api, name, patch)
            .await?
            .environment()
            .map_err(RequestError::Invalid)
    }

    async fn decisions(&self, namespace: &str, of: Of<'_>) -> Answer<Vec<Decision>> {
        let api = named::<Decision>(self, namespace);
        let mut page = ListParams::default().fields(&of.selector()).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let list = api.list(&page).await?;
            found.extend(list.items);
            match list.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => page = page.continue_token(&more),
                None => return Ok(found),
            }
        }
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

    async fn service_account(&self, namespace: &str, name: &str) -> Answer<Option<BTreeMap<String, String>>> {
        let account = named::<ServiceAccount>(self, namespace)
            .get_metadata_opt(name)
            .await?;
        Ok(account.map(|found| found.metadata.annotations.unwrap_or_default()))
    }

    async fn autoscalers(&self, namespace: &str) -> Answer<Vec<Value>> {
        let api = named::<HorizontalPodAutoscaler>(self, namespace);
        let found = api.list(&ListParams::default()).await?.items.into_iter();
        Ok(found.map(|autoscaler| json!(autoscaler)).collect())
    }

    async fn publish(&self, reporter: &Reporter, event: &Event, reference: &ObjectReference) -> Answer<()> {
        // A recorder caches six minutes of Events to count repeated ones. Ours do not repeat, and of two Events that differ only
        // in their message the second would show the message of the first.
        let recorder = Recorder::new(self.clone(), reporter.clone());
        Ok(recorder.publish(event, reference).await?)
    }

    async fn evaluate(
        &self,
        expression: Expression,
        release: Arc<Value>,
        environment: Arc<Value>,
    ) -> (Result<bool, Unanswered>, Duration) {
        cel::evaluate(expression, release, environment, EXPRESSION_DEADLINE).await
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

/// The spec is not sent: the API server takes only the status from such a request.
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
    let bytes = serde_json::to_vec(&body).map_err(|e| RequestError::Invalid(e.to_string()))?;
    let request = kube::core::Request::new(api.resource_url())
        .replace_subresource("status", name, &post(), bytes)
        .map_err(|e| RequestError::Invalid(e.to_string()))?;
    Ok(api.clone().into_client().request(request).await?)
}
