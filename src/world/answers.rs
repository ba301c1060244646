//! The simulated cluster's answers to the operator's requests. Where steps are interleaved, each request pauses before it
//! is carried out and before its answer comes back, so that the operator can be stopped, or another writer can act, in between.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::Event;
use serde_json::Value;

use crate::api::{Decision, Environment, EnvironmentStatus, Release, ReleaseStatus};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Form, Mode, Object, Of, Requests, Targets};
use crate::domain::cel::{Expression, Unanswered};
use crate::world::objects::Objects;

type Answer<T> = Result<T, RequestError>;

/// A connection to the simulated cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    objects: Arc<Mutex<Objects>>,
    interleaved: bool,
    /// The operator that sends the requests.
    operator: usize,
}

/// Lets others run, once.
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.0) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

impl Cluster {
    /// A connection to `objects`. If `interleaved`, every request pauses.
    pub(crate) fn new(objects: Arc<Mutex<Objects>>, interleaved: bool) -> Self {
        Self {
            objects,
            interleaved,
            operator: 0,
        }
    }

    /// The same, for another operator.
    #[cfg(test)]
    pub(crate) fn of(&self, operator: usize) -> Self {
        Self {
            operator,
            ..self.clone()
        }
    }

    /// The objects, locked.
    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn asked<T>(&self, answer: impl FnOnce(&mut Objects) -> T) -> T {
        Pause(self.interleaved).await;
        let answer = answer(&mut self.objects());
        Pause(self.interleaved).await;
        answer
    }
}

fn named(namespace: &str, name: &str) -> (String, String) {
    (namespace.to_owned(), name.to_owned())
}

impl Requests for Cluster {
    type Deployer = AsDeployer;
    type Reporter = ();

    // The seed need not be secret here, and a constant makes every run the same.
    fn seed(&self) -> Answer<String> {
        Ok("simulated".to_owned())
    }

    fn deployer(&self, _: &str, namespace: &str, promotion: &str) -> AsDeployer {
        AsDeployer {
            cluster: self.clone(),
            namespace: namespace.to_owned(),
            promotion: promotion.to_owned(),
        }
    }

    async fn release(&self, namespace: &str, name: &str) -> Answer<Option<Release>> {
        let names = named(namespace, name);
        Ok(self
            .asked(|o| o.releases.get(&names).map(|r| (**r).clone()))
            .await)
    }

    async fn release_metadata(&self, namespace: &str, name: &str) -> Answer<Option<ObjectMeta>> {
        let names = named(namespace, name);
        Ok(self
            .asked(|o| o.releases.get(&names).map(|r| r.metadata.clone()))
            .await)
    }

    async fn put_release_status(&self, observed: &ObjectMeta, status: &ReleaseStatus) -> Answer<Release> {
        self.asked(|o| {
            let written = o.put_release_status(observed, status)?;
            // The last writer is the leader.
            o.leader = self.operator;
            Ok(written)
        })
        .await
    }

    async fn patch_release(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Release> {
        let names = named(namespace, name);
        self.asked(|o| o.patch_release(&names, patch)).await
    }

    async fn environment(&self, name: &str) -> Answer<Option<Environment>> {
        Ok(self
            .asked(|o| o.environments.get(name).map(|e| (**e).clone()))
            .await)
    }

    async fn put_environment_status(
        &self,
        observed: &ObjectMeta,
        status: &EnvironmentStatus,
    ) -> Answer<Environment> {
        self.asked(|o| o.put_environment_status(observed, status)).await
    }

    async fn patch_environment(&self, name: &str, patch: &Value) -> Answer<Environment> {
        self.asked(|o| o.patch_environment(name, patch)).await
    }

    async fn decisions(&self, namespace: &str, of: Of<'_>) -> Answer<Vec<Decision>> {
        let all = |o: &mut Objects| {
            let here = o.decisions.iter().filter(|((home, _), _)| home == namespace);
            here.filter(|(_, d)| of.selects(d))
                .map(|(_, d)| (**d).clone())
                .collect()
        };
        Ok(self.asked(all).await)
    }

    async fn patch_decision(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Decision> {
        let names = named(namespace, name);
        self.asked(|o| o.patch_decision(&names, patch)).await
    }

    async fn lease(&self, _: &str, name: &str) -> Answer<Option<Lease>> {
        Ok(self.asked(|o| o.leases.get(name).map(|l| (**l).clone())).await)
    }

    async fn create_lease(&self, _: &str, lease: &Lease) -> Answer<Lease> {
        self.asked(|o| o.create_lease(lease)).await
    }

    async fn replace_lease(&self, _: &str, name: &str, lease: &Lease) -> Answer<Lease> {
        self.asked(|o| o.replace_lease(name, lease)).await
    }

    async fn delete_lease(&self, _: &str, name: &str, uid: &str, version: &str) -> Answer<()> {
        self.asked(|o| o.delete_lease(name, uid, version)).await
    }

    async fn revision(&self, _: &str, name: &str) -> Answer<Option<ControllerRevision>> {
        Ok(self.asked(|o| o.revisions.get(name).map(|r| (**r).clone())).await)
    }

    async fn revision_metadata(&self, _: &str, name: &str) -> Answer<Option<ObjectMeta>> {
        Ok(self
            .asked(|o| o.revisions.get(name).map(|r| r.metadata.clone()))
            .await)
    }

    async fn create_revision(&self, _: &str, revision: &ControllerRevision) -> Answer<ObjectMeta> {
        self.asked(|o| o.create_revision(revision)).await
    }

    async fn delete_revision(&self, _: &str, name: &str, uid: &str) -> Answer<()> {
        self.asked(|o| o.delete_revision(name, uid)).await
    }

    async fn service_account(&self, _: &str, _: &str) -> Answer<Option<BTreeMap<String, String>>> {
        Ok(Some(BTreeMap::new()))
    }

    async fn autoscalers(&self, namespace: &str) -> Answer<Vec<Value>> {
        self.asked(|o| o.autoscalers(namespace)).await
    }

    async fn publish(&self, (): &(), _: &Event, _: &ObjectReference) -> Answer<()> {
        Ok(())
    }

    async fn evaluate(
        &self,
        expression: Expression,
        release: Arc<Value>,
        environment: Arc<Value>,
    ) -> (Result<bool, Unanswered>, Duration) {
        let answer = expression.evaluate(&release, &environment);
        (answer, Duration::ZERO)
    }
}

/// Requests as the deployer of one target namespace, on behalf of one promotion.
#[derive(Clone)]
pub(crate) struct AsDeployer {
    cluster: Cluster,
    namespace: String,
    promotion: String,
}

impl AsDeployer {
    fn who(&self) -> (&str, &str) {
        (&self.promotion, &self.namespace)
    }

    /// An operator that no longer leads stops before its requests can reach a target. The times of the Lease ensure that.
    fn leads(&self, objects: &Objects, mode: Mode) -> Answer<()> {
        if mode == Mode::DryRun || objects.leader == self.cluster.operator {
            return Ok(());
        }
        Err(RequestError::Passing("another operator leads".to_owned()))
    }
}

impl Targets for AsDeployer {
    async fn get(&self, object: Object<'_>) -> Answer<Value> {
        self.cluster.asked(|o| o.get(&self.namespace, object)).await
    }

    async fn patch(&self, object: Object<'_>, form: Form, patch: &Value, mode: Mode) -> Answer<Value> {
        self.cluster
            .asked(|o| {
                self.leads(o, mode)?;
                o.patch(self.who(), object, form, patch, mode)
            })
            .await
    }

    async fn create(&self, object: Object<'_>, body: &Value, mode: Mode) -> Answer<Value> {
        self.cluster
            .asked(|o| {
                self.leads(o, mode)?;
                o.create(self.who(), object, body, mode)
            })
            .await
    }

    async fn delete(&self, object: Object<'_>, uid: &str) -> Answer<()> {
        self.cluster
            .asked(|o| {
                self.leads(o, Mode::Real)?;
                o.delete(self.who(), object, uid)
            })
            .await
    }

    async fn may(&self, _: &str, _: Object<'_>) -> Answer<bool> {
        self.cluster
            .asked(|o| Ok(o.permitted(&self.namespace).is_ok()))
            .await
    }
}
