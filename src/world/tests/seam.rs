//! Where tests break a rule: an operator decides and sends its requests through this module, and what it is shown may differ from
//! what people wrote. Production code does not depend on it: a reconcile gets its `decide` and its cluster as arguments.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::Event;
use serde_json::Value;

use crate::api::release::Promotion;
use crate::api::{Decision, Environment, EnvironmentStatus, Release, ReleaseStatus};
use crate::cache::index::Key;
use crate::cache::knowledge::Knowledge;
use crate::cluster::requests::{Answer, Of, Requests};
use crate::decide::facts::Settings;
use crate::decide::{Decide, decide};
use crate::domain::cel::{Expression, Unanswered};
use crate::observe::trust::Expected;
use crate::stored::claims;
use crate::world::World;
use crate::world::answers::{AsDeployer, Cluster};
use crate::world::operator::Operator;

/// What is between an operator and the world.
#[derive(Clone, Copy)]
pub(crate) struct Seam {
    pub decide: Decide,
    pub answers: Answers,
    /// Changes the world, once the invariants have recorded what people wrote.
    pub lays: fn(&World),
}

/// The requests that get another answer than the API server's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    /// None.
    True,
    /// A Lease whose holder has not entered is answered as the watch has shown it.
    ClaimsAsShown,
    /// A Release that is not in progress is answered as the watch has shown it.
    ReleasesBeforeEntryAsShown,
    /// A Release that is in progress is answered as the watch has shown it.
    ReleasesUnderWayAsShown,
    /// A status is accepted whatever version was observed.
    AnyVersion,
    /// No Release is woken by a claim that the operator deletes.
    DeletedInSilence,
}

impl Seam {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        decide,
        answers: Answers::True,
        lays: |_| (),
    };

    /// [`Operator::start`].
    pub(crate) fn start(
        self,
        cluster: &Cluster,
        settings: &Arc<Settings>,
        expected: &Expected,
    ) -> Operator<Answering> {
        let client = Answering::new(cluster, self.answers);
        let operator = Operator::start(cluster, (client.clone(), self.decide), settings, expected);
        client.known.get_or_init(|| Arc::clone(operator.knowledge()));
        operator
    }

    /// [`Operator::glance`].
    pub(crate) fn glance(
        self,
        cluster: &Cluster,
        settings: &Arc<Settings>,
        expected: &Expected,
        glance: (Key, Option<usize>),
    ) -> Operator<Answering> {
        let client = Answering::new(cluster, self.answers);
        let operator = Operator::glance(cluster, (client.clone(), self.decide), settings, expected, glance);
        client.known.get_or_init(|| Arc::clone(operator.knowledge()));
        operator
    }
}

/// The simulated cluster, as it answers one operator.
#[derive(Clone)]
pub(crate) struct Answering {
    cluster: Cluster,
    answers: Answers,
    /// The index of the operator. It is set once the operator exists, before its first request.
    known: Arc<OnceLock<Arc<Knowledge>>>,
}

impl Answering {
    fn new(cluster: &Cluster, answers: Answers) -> Self {
        Self {
            cluster: cluster.clone(),
            answers,
            known: Arc::default(),
        }
    }

    fn knowledge(&self) -> &Knowledge {
        self.known.get().expect("the operator has started")
    }

    /// The Release as the watch has shown it, if that is the answer.
    fn release_as_shown(&self, namespace: &str, name: &str) -> Option<Release> {
        let under_way = match self.answers {
            Answers::ReleasesBeforeEntryAsShown => false,
            Answers::ReleasesUnderWayAsShown => true,
            _ => return None,
        };
        let release = self.knowledge().index().whole(namespace, name)?;
        let mut promotions = release.status.iter().flat_map(|s| &s.environments);
        let shown = promotions.any(|p| p.state.under_way()) == under_way;
        shown.then(|| (*release).clone())
    }

    /// The Lease as the watch has shown it, if that is the answer.
    fn lease_as_shown(&self, name: &str) -> Option<Lease> {
        if self.answers != Answers::ClaimsAsShown {
            return None;
        }
        let index = self.knowledge().index();
        let claim = index.claims().find(|claim| claim.name == name)?;
        let holder = claim.holder.as_ref()?;
        let (namespace, release) = claim.release.split_once('/')?;
        let waits = |p: &Promotion| p.state.before_entry();
        let waits = index
            .release(namespace, release)
            .and_then(|r| r.promotion(&holder.environment))
            .is_some_and(waits);
        if !waits {
            return None;
        }
        let mut lease = claims::write(&claim.namespace, holder, &claim.release);
        lease.metadata.uid = Some(claim.uid.clone());
        lease.metadata.resource_version = Some(claim.resource_version.clone());
        Some(lease)
    }
}

impl Requests for Answering {
    type Deployer = AsDeployer;
    type Reporter = ();

    fn seed(&self) -> Answer<String> {
        self.cluster.seed()
    }

    fn deployer(&self, name: &str, namespace: &str, promotion: &str) -> AsDeployer {
        self.cluster.deployer(name, namespace, promotion)
    }

    async fn release(&self, namespace: &str, name: &str) -> Answer<Option<Release>> {
        let live = self.cluster.release(namespace, name).await?;
        Ok(self.release_as_shown(namespace, name).or(live))
    }

    async fn release_metadata(&self, namespace: &str, name: &str) -> Answer<Option<ObjectMeta>> {
        self.cluster.release_metadata(namespace, name).await
    }

    async fn put_release_status(&self, observed: &ObjectMeta, status: &ReleaseStatus) -> Answer<Release> {
        let mut observed = observed.clone();
        if self.answers == Answers::AnyVersion {
            observed.resource_version = None;
        }
        self.cluster.put_release_status(&observed, status).await
    }

    async fn patch_release(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Release> {
        self.cluster.patch_release(namespace, name, patch).await
    }

    async fn environment(&self, name: &str) -> Answer<Option<Environment>> {
        self.cluster.environment(name).await
    }

    async fn put_environment_status(
        &self,
        observed: &ObjectMeta,
        status: &EnvironmentStatus,
    ) -> Answer<Environment> {
        self.cluster.put_environment_status(observed, status).await
    }

    async fn patch_environment(&self, name: &str, patch: &Value) -> Answer<Environment> {
        self.cluster.patch_environment(name, patch).await
    }

    async fn decisions(&self, namespace: &str, of: Of<'_>) -> Answer<Vec<Decision>> {
        self.cluster.decisions(namespace, of).await
    }

    async fn patch_decision(&self, namespace: &str, name: &str, patch: &Value) -> Answer<Decision> {
        self.cluster.patch_decision(namespace, name, patch).await
    }

    async fn lease(&self, home: &str, name: &str) -> Answer<Option<Lease>> {
        let live = self.cluster.lease(home, name).await?;
        Ok(self.lease_as_shown(name).or(live))
    }

    async fn create_lease(&self, home: &str, lease: &Lease) -> Answer<Lease> {
        self.cluster.create_lease(home, lease).await
    }

    async fn replace_lease(&self, home: &str, name: &str, lease: &Lease) -> Answer<Lease> {
        self.cluster.replace_lease(home, name, lease).await
    }

    async fn delete_lease(&self, home: &str, name: &str, uid: &str, version: &str) -> Answer<()> {
        self.cluster.delete_lease(home, name, uid, version).await?;
        if self.answers == Answers::DeletedInSilence {
            self.knowledge().see(|index| {
                index.remove_claim(name, uid);
                vec![]
            });
        }
        Ok(())
    }

    async fn revision(&self, home: &str, name: &str) -> Answer<Option<ControllerRevision>> {
        self.cluster.revision(home, name).await
    }

    async fn revision_metadata(&self, home: &str, name: &str) -> Answer<Option<ObjectMeta>> {
        self.cluster.revision_metadata(home, name).await
    }

    async fn create_revision(&self, home: &str, revision: &ControllerRevision) -> Answer<ObjectMeta> {
        self.cluster.create_revision(home, revision).await
    }

    async fn delete_revision(&self, home: &str, name: &str, uid: &str) -> Answer<()> {
        self.cluster.delete_revision(home, name, uid).await
    }

    async fn service_account(&self, namespace: &str, name: &str) -> Answer<Option<BTreeMap<String, String>>> {
        self.cluster.service_account(namespace, name).await
    }

    async fn autoscalers(&self, namespace: &str) -> Answer<Vec<Value>> {
        self.cluster.autoscalers(namespace).await
    }

    async fn publish(&self, reporter: &(), event: &Event, reference: &ObjectReference) -> Answer<()> {
        self.cluster.publish(reporter, event, reference).await
    }

    async fn evaluate(
        &self,
        expression: Expression,
        release: Arc<Value>,
        environment: Arc<Value>,
    ) -> (Result<bool, Unanswered>, Duration) {
        self.cluster.evaluate(expression, release, environment).await
    }
}
