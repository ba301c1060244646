//! The only writer: carries out one [`Step`], and nothing that is not in it.
//!
//! Every effect is safe to repeat. Between any two of them the process may be asked to stop.

mod jobs;
mod targets;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::environment::EnvironmentStatus;
use crate::api::{
    Decision, Environment, FIELD_MANAGER, LABEL_ATTEMPT, LABEL_ENVIRONMENT, LABEL_RELEASE,
    OCCUPIED_FINALIZER, RELEASE_FINALIZER, Release, UNSETTLED,
};
use crate::cluster::Trouble;
use crate::cluster::sent::Sent;
use crate::decide::facts::{Claim, Holder, Observed, StoredPreState};
use crate::decide::prestate::PreState;
use crate::decide::{Action, Announcement, Transition};
use crate::observe::index::{Index, Key};
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
    /// The object that is worked on, which need not be woken by what is written in its name.
    pub own: Option<&'a Key>,
    pub recorder: &'a Recorder,
    pub stopping: &'a AtomicBool,
}

impl Applier<'_> {
    /// Lets the index know what has just been written. The pass goes on by itself: whoever else it concerns is woken.
    fn wrote(&self, change: impl FnOnce(&mut Index) -> Vec<Key>) {
        self.observer.wrote(self.own, change);
    }

    /// Persists a status, then announces what it says.
    ///
    /// # Errors
    /// [`Trouble::Conflict`] where the Release has changed since it was observed; nothing is written then.
    pub async fn transition(&self, o: &Observed, transition: Transition) -> Result<(), Trouble> {
        let written = put_status(&self.releases(o), &o.release.metadata, &transition.status).await?;
        let written = written.release().map_err(Trouble::Invalid)?;
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
        self.wrote(|index| index.put_release(written.into()));
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
        match self
            .releases(o)
            .patch(o.name(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(Trouble::from)
        {
            Ok(written) => {
                let written = written.release().map_err(Trouble::Invalid)?;
                let gone = written.metadata.deletion_timestamp.is_some() && written.finalizers().is_empty();
                self.wrote(|index| {
                    if gone {
                        // The watch tells later, and until then the finalizer would be taken off again, in vain.
                        index.remove_release(o.namespace(), o.name())
                    } else {
                        index.put_release(written.into())
                    }
                });
                Ok(Progress::Again)
            }
            Err(Trouble::NotFound) => Ok(Progress::Later),
            Err(trouble) => Err(trouble),
        }
    }

    fn releases(&self, o: &Observed) -> Api<Sent<Release>> {
        Api::namespaced(self.observer.client().clone(), o.namespace())
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
                self.wrote(|index| index.remove_claim(&claim.name, &claim.uid));
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
                    self.wrote(|index| index.remove_claim(name, &uid));
                }
            }
        }
        Ok(Progress::Again)
    }

    fn remember_claim(&self, lease: &Lease) {
        if let Some(claim) = claims::read(lease) {
            self.wrote(|index| index.put_claim(claim));
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
                self.known_pre_state(o, environment, &written.metadata);
                Ok(Progress::Again)
            }
            // Kept before a crash: the next pass reads it and compares.
            Err(Trouble::AlreadyExists) => {
                if let Some(kept) = self.revisions().get_metadata_opt(name).await? {
                    self.known_pre_state(o, environment, &kept.metadata);
                }
                Ok(Progress::Again)
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn known_pre_state(&self, o: &Observed, environment: &str, metadata: &ObjectMeta) {
        let stored = StoredPreState {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            release_uid: o.uid().to_owned(),
            environment: environment.to_owned(),
        };
        self.wrote(|index| index.put_pre_state(stored));
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
            Ok(_) | Err(Trouble::NotFound) => {
                self.wrote(|index| index.remove_pre_state(name, uid));
                Ok(Progress::Again)
            }
            // Another one of that name, which is none of ours to delete; or this one still, and then it is tried again.
            Err(Trouble::Conflict(why)) => {
                let there = self.revisions().get_metadata_opt(name).await?;
                if there.is_some_and(|there| there.metadata.uid.as_deref() == Some(uid)) {
                    return Err(Trouble::Conflict(why));
                }
                self.wrote(|index| index.remove_pre_state(name, uid));
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
                self.wrote(|index| index.put_decision(written.into()));
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
        let api: Api<Sent<Environment>> = Api::all(self.observer.client().clone());
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
                let written = written.environment().map_err(Trouble::Invalid)?;
                self.wrote(|index| index.put_environment(written.into()));
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
        let api: Api<Sent<Environment>> = Api::all(self.observer.client().clone());
        let written = put_status(&api, &environment.metadata, &status).await?;
        let written = written.environment().map_err(Trouble::Invalid)?;
        self.wrote(|index| index.put_environment(written.into()));
        Ok(())
    }
}

fn post() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Replaces the status, with the observed uid and resourceVersion as precondition. There is no need to send the spec: the
/// API server takes nothing but the status from such a request.
async fn put_status<K, S>(api: &Api<K>, observed: &ObjectMeta, status: &S) -> Result<K, Trouble>
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
