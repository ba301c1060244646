//! The only writer: carries out one [`Step`], and nothing that is not in it.
//!
//! Every effect is safe to repeat. Between any two of them the process may be asked to stop.

mod jobs;
mod targets;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::environment::EnvironmentStatus;
use crate::api::{
    Decision, Environment, FIELD_MANAGER, LABEL_ATTEMPT, LABEL_ENVIRONMENT, LABEL_RELEASE,
    OCCUPIED_FINALIZER, RELEASE_FINALIZER, Release, UNSETTLED,
};
use crate::cluster::Trouble;
use crate::decide::facts::{Claim, Holder, Observed, StoredPreState};
use crate::decide::prestate::PreState;
use crate::decide::{Action, Announcement, Transition};
use crate::observe::memory::Memory;
use crate::observe::{Observer, claims};

/// Label: the uid of the Release that a pre-state belongs to.
pub const LABEL_RELEASE_UID: &str = "signalbox.dev/release-uid";

/// What became of a set of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was written: decide again at once.
    Again,
    /// Somebody else was faster, or something has to be tried later: decide again on what is observed then.
    Later,
    /// The process is stopping: the rest is left to a successor.
    Stopped,
}

/// Writes to the world.
pub struct Applier<'a> {
    pub observer: &'a Observer,
    pub recorder: &'a Recorder,
    pub stopping: &'a AtomicBool,
}

impl Applier<'_> {
    /// Persists a status, then announces what it says.
    ///
    /// # Errors
    /// [`Trouble::Conflict`] where the Release has changed since it was observed; nothing is written then.
    pub async fn transition(&self, o: &Observed, transition: Transition) -> Result<(), Trouble> {
        let body = json!({
            "apiVersion": Release::api_version(&()), "kind": Release::kind(&()),
            "metadata": {
                "name": o.name(), "namespace": o.namespace(),
                "resourceVersion": o.release.metadata.resource_version, "uid": o.uid(),
            },
            "spec": o.release.spec,
            "status": transition.status,
        });
        let api: Api<Release> = Api::namespaced(self.observer.client().clone(), o.namespace());
        let written: Release = put_status(&api, o.name(), &body).await?;
        for promotion in &transition.status.environments {
            let was = o.release.promotion(&promotion.name).map(|p| p.state);
            if was != Some(promotion.state) {
                tracing::info!(
                    environment = promotion.name,
                    attempt = promotion.attempt,
                    step = promotion.state.as_str(),
                    from = was.map_or("-", |s| s.as_str()),
                    message = promotion.message.as_deref().unwrap_or_default(),
                    "promotion moved"
                );
            }
        }
        self.observer
            .see(|index| index.put_release(crate::operator::pruned(written).into()));
        self.announce(o, transition.announcements).await;
        Ok(())
    }

    /// Events never decide anything: one that cannot be written is only logged.
    async fn announce(&self, o: &Observed, announcements: Vec<Announcement>) {
        let reference = o.release.object_ref(&());
        for announcement in announcements {
            let event = Event {
                type_: if announcement.warning {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: announcement.reason.to_owned(),
                note: Some(announcement.note),
                // Events of one reason and action become one series: environments are kept apart.
                action: format!("PromoteTo:{}", announcement.environment),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, &reference).await {
                tracing::warn!(%error, reason = announcement.reason, "an Event could not be written");
            }
        }
    }

    /// Carries out effects one after another.
    pub async fn act(
        &self,
        o: &Observed,
        actions: Vec<Action>,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, Trouble> {
        let mut progress = Progress::Again;
        for action in actions {
            if self.stopping.load(Ordering::Relaxed) {
                return Ok(Progress::Stopped);
            }
            if self.one(o, action, memory, now).await? == Progress::Later {
                progress = Progress::Later;
            }
        }
        Ok(progress)
    }

    async fn one(
        &self,
        o: &Observed,
        action: Action,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, Trouble> {
        tracing::debug!(?action, "acting");
        match action {
            Action::AddFinalizer => self.finalizers(o, true).await,
            Action::RemoveFinalizer => self.finalizers(o, false).await,
            Action::Claim {
                environment,
                namespace,
                holder,
            } => self.claim(o, &environment, &namespace, &holder).await,
            Action::TakeOver {
                environment,
                claim,
                holder,
            } => {
                let lease = claims::write(&claim.namespace, &holder, &o.release_path());
                tracing::info!(
                    environment,
                    attempt = holder.attempt,
                    step = "take-over",
                    from = claim.release,
                    "claim taken over"
                );
                self.replace_lease(&claim, lease).await
            }
            Action::MarkUnsettled { environment, claim } => {
                let holder = claim.holder.clone();
                let Some(holder) = holder else {
                    return Ok(Progress::Later);
                };
                let mut lease = claims::write(&claim.namespace, &holder, &claim.release);
                lease
                    .annotations_mut()
                    .insert(UNSETTLED.to_owned(), "true".to_owned());
                tracing::info!(
                    environment,
                    attempt = holder.attempt,
                    step = "unsettled",
                    "claim kept: a decision is owed"
                );
                self.replace_lease(&claim, lease).await
            }
            Action::ReleaseClaim { environment, claim } => {
                tracing::info!(
                    environment,
                    attempt = claim.holder.as_ref().map_or(0, |h| h.attempt),
                    step = "release-claim",
                    "claim released"
                );
                self.release_claim(&claim).await
            }
            Action::Capture {
                environment,
                name,
                pre_state,
            } => self.capture(o, &environment, &name, &pre_state).await,
            Action::DeletePreState { name, uid } => {
                memory.pre_states.remove(&name);
                memory.predecessors.remove(&name);
                self.delete_pre_state(&name, &uid).await
            }
            Action::Change {
                environment,
                namespace,
                attempt,
                component,
                change,
            } => {
                self.change(
                    o,
                    &environment,
                    &namespace,
                    attempt,
                    &component,
                    change,
                    memory,
                    now,
                )
                .await
            }
            Action::StartJob {
                environment,
                namespace,
                attempt,
                check,
                name,
                template,
                timeout_seconds,
            } => {
                let job = jobs::Start {
                    environment,
                    namespace,
                    attempt,
                    check,
                    name,
                    template,
                    timeout_seconds,
                };
                self.start_job(o, job, memory, now).await
            }
            Action::Adopt { decision, uid } => self.adopt(o, &decision, &uid).await,
        }
    }

    async fn finalizers(&self, o: &Observed, add: bool) -> Result<Progress, Trouble> {
        let mut finalizers = o.release.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|f| f != RELEASE_FINALIZER);
        if add {
            finalizers.push(RELEASE_FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "resourceVersion": o.release.metadata.resource_version, "uid": o.uid(), "finalizers": finalizers
        } });
        let api: Api<Release> = Api::namespaced(self.observer.client().clone(), o.namespace());
        match api
            .patch(o.name(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(Trouble::from)
        {
            Ok(written) => {
                let gone = written.metadata.deletion_timestamp.is_some() && written.finalizers().is_empty();
                self.observer.see(|index| {
                    if gone {
                        // The watch tells later, and until then the finalizer would be taken off again, in vain.
                        index.remove_release(o.namespace(), o.name())
                    } else {
                        index.put_release(crate::operator::pruned(written).into())
                    }
                });
                Ok(Progress::Again)
            }
            Err(Trouble::NotFound) => Ok(Progress::Later),
            Err(trouble) => Err(trouble),
        }
    }

    async fn claim(
        &self,
        o: &Observed,
        environment: &str,
        namespace: &str,
        holder: &Holder,
    ) -> Result<Progress, Trouble> {
        let lease = claims::write(namespace, holder, &o.release_path());
        let name = lease.name_any();
        match self.leases().create(&post(), &lease).await.map_err(Trouble::from) {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt = holder.attempt,
                    step = "claim",
                    namespace,
                    "claimed"
                );
                self.remember_claim(&written);
                Ok(Progress::Again)
            }
            // Ours from before a crash, or another's: whichever, the next pass reads it.
            Err(Trouble::AlreadyExists) => self.refresh_claim(&name).await,
            Err(trouble) => Err(trouble),
        }
    }

    async fn replace_lease(&self, claim: &Claim, mut lease: Lease) -> Result<Progress, Trouble> {
        lease.metadata.resource_version = Some(claim.resource_version.clone());
        lease.metadata.uid = Some(claim.uid.clone());
        match self
            .leases()
            .replace(&claim.name, &post(), &lease)
            .await
            .map_err(Trouble::from)
        {
            Ok(written) => {
                self.remember_claim(&written);
                Ok(Progress::Again)
            }
            Err(Trouble::Conflict(_) | Trouble::NotFound) => self.refresh_claim(&claim.name).await,
            Err(trouble) => Err(trouble),
        }
    }

    async fn release_claim(&self, claim: &Claim) -> Result<Progress, Trouble> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(claim.uid.clone()),
                resource_version: Some(claim.resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        match self
            .leases()
            .delete(&claim.name, &parameters)
            .await
            .map_err(Trouble::from)
        {
            Ok(_) => {
                self.observer
                    .see(|index| index.remove_claim(&claim.name, &claim.uid));
                Ok(Progress::Again)
            }
            Err(Trouble::Conflict(_) | Trouble::NotFound) => self.refresh_claim(&claim.name).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads the Lease again, so that the next pass knows who has it.
    async fn refresh_claim(&self, name: &str) -> Result<Progress, Trouble> {
        match self.leases().get_opt(name).await? {
            Some(lease) => self.remember_claim(&lease),
            None => {
                let uid = self
                    .observer
                    .index()
                    .claims()
                    .find(|c| c.name == name)
                    .map(|c| c.uid.clone());
                if let Some(uid) = uid {
                    self.observer.see(|index| index.remove_claim(name, &uid));
                }
            }
        }
        Ok(Progress::Again)
    }

    fn remember_claim(&self, lease: &Lease) {
        if let Some(claim) = claims::read(lease) {
            self.observer.see(|index| index.put_claim(claim));
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(
            self.observer.client().clone(),
            &self.observer.settings().operator_namespace,
        )
    }

    async fn capture(
        &self,
        o: &Observed,
        environment: &str,
        name: &str,
        pre_state: &PreState,
    ) -> Result<Progress, Trouble> {
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(BTreeMap::from([
                    (LABEL_RELEASE.to_owned(), o.name().to_owned()),
                    (LABEL_RELEASE_UID.to_owned(), o.uid().to_owned()),
                    (LABEL_ENVIRONMENT.to_owned(), environment.to_owned()),
                    (LABEL_ATTEMPT.to_owned(), pre_state.attempt.to_string()),
                ])),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(json!(pre_state))),
            revision: pre_state.attempt,
        };
        match self
            .revisions()
            .create(&post(), &revision)
            .await
            .map_err(Trouble::from)
        {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt = pre_state.attempt,
                    step = "capture",
                    pre_state = name,
                    "pre-state kept"
                );
                self.observer.see(|index| {
                    index.put_pre_state(StoredPreState {
                        name: name.to_owned(),
                        uid: written.metadata.uid.unwrap_or_default(),
                        release_uid: o.uid().to_owned(),
                        environment: environment.to_owned(),
                    })
                });
                Ok(Progress::Again)
            }
            // Kept before a crash: the next pass reads it and compares.
            Err(Trouble::AlreadyExists) => Ok(Progress::Again),
            Err(trouble) => Err(trouble),
        }
    }

    /// Deletes a pre-state by uid; gone already is as good.
    ///
    /// # Errors
    /// Anything but its absence.
    pub async fn delete_pre_state(&self, name: &str, uid: &str) -> Result<Progress, Trouble> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self
            .revisions()
            .delete(name, &parameters)
            .await
            .map_err(Trouble::from)
        {
            Ok(_) | Err(Trouble::NotFound | Trouble::Conflict(_)) => {
                self.observer.see(|index| index.remove_pre_state(name, uid));
                Ok(Progress::Again)
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn revisions(&self) -> Api<ControllerRevision> {
        Api::namespaced(
            self.observer.client().clone(),
            &self.observer.settings().operator_namespace,
        )
    }

    async fn adopt(&self, o: &Observed, decision: &str, uid: &str) -> Result<Progress, Trouble> {
        let owner = json!([{
            "apiVersion": Release::api_version(&()), "kind": Release::kind(&()),
            "name": o.name(), "uid": o.uid(), "controller": false, "blockOwnerDeletion": false,
        }]);
        let patch = json!({ "metadata": { "uid": uid, "ownerReferences": owner } });
        let api: Api<Decision> = Api::namespaced(self.observer.client().clone(), o.namespace());
        match api
            .patch(decision, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(Trouble::from)
        {
            Ok(written) => {
                self.observer.see(|index| index.put_decision(written.into()));
                Ok(Progress::Again)
            }
            Err(Trouble::NotFound | Trouble::Conflict(_)) => Ok(Progress::Later),
            Err(trouble) => Err(trouble),
        }
    }

    /// Adds or removes the finalizer that keeps an occupied Environment.
    ///
    /// # Errors
    /// A conflict, or anything that may pass.
    pub async fn environment_finalizer(&self, environment: &Environment, add: bool) -> Result<(), Trouble> {
        let mut finalizers = environment.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|f| f != OCCUPIED_FINALIZER);
        if add {
            finalizers.push(OCCUPIED_FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "resourceVersion": environment.metadata.resource_version, "finalizers": finalizers
        } });
        let api: Api<Environment> = Api::all(self.observer.client().clone());
        match api
            .patch(
                &environment.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
            .map_err(Trouble::from)
        {
            Ok(written) if add => {
                self.observer.see(|index| index.put_environment(written.into()));
                Ok(())
            }
            Ok(_) | Err(Trouble::NotFound) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Persists an Environment's status.
    ///
    /// # Errors
    /// A conflict, or anything that may pass.
    pub async fn environment_status(
        &self,
        environment: &Environment,
        status: EnvironmentStatus,
    ) -> Result<(), Trouble> {
        let body = json!({
            "apiVersion": Environment::api_version(&()), "kind": Environment::kind(&()),
            "metadata": {
                "name": environment.metadata.name, "uid": environment.metadata.uid,
                "resourceVersion": environment.metadata.resource_version,
            },
            "spec": environment.spec,
            "status": status,
        });
        let api: Api<Environment> = Api::all(self.observer.client().clone());
        let written: Environment = put_status(&api, &environment.name_any(), &body).await?;
        self.observer.see(|index| index.put_environment(written.into()));
        Ok(())
    }
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Replaces the status, with the observed resourceVersion as precondition.
async fn put_status<K>(api: &Api<K>, name: &str, body: &Value) -> Result<K, Trouble>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let bytes = serde_json::to_vec(body).map_err(|e| Trouble::Invalid(e.to_string()))?;
    let request = kube::core::Request::new(api.resource_url())
        .replace_subresource("status", name, &post(), bytes)
        .map_err(|e| Trouble::Invalid(e.to_string()))?;
    Ok(api.clone().into_client().request(request).await?)
}
