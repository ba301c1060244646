//! The writer of a reconcile: carries out one [`Step`](crate::decide::step::Step), or one step of an Environment, and nothing that is not in it.
//!
//! Every effect is safe to repeat. The process may be stopped between any two of them.

mod claims;
mod jobs;
mod targets;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::api::environment::EnvironmentStatus;
use crate::api::{
    Environment, LABEL_ATTEMPT, LABEL_ENVIRONMENT, LABEL_RELEASE, LABEL_RELEASE_UID, OCCUPIED_FINALIZER,
    RELEASE_FINALIZER, Release,
};
use crate::cache::index::{Index, Key};
use crate::cache::knowledge::Knowledge;
use crate::cache::memory::Memory;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Requests, promotion_name};
use crate::cluster::term::Term;
use crate::decide::facts::{Observed, Remembered, Settings};
use crate::decide::prestate::PreState;
use crate::decide::step::{Announcement, Effect, Transition};
use crate::domain::text::{cut, printable};
use crate::stored::{pre_states, remembered};

/// The result of a set of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something was written: decide again immediately.
    Again,
    /// Another writer was faster, or something has to be retried later: observe and decide again then.
    Later,
    /// The process is stopping: the next leader does the rest.
    Stopped,
}

/// Writes to the cluster.
pub struct Applier<'a, C: Requests = Client> {
    /// The client that has the operator's own rights.
    pub client: &'a C,
    /// The caches that are updated with what was written.
    pub knowledge: &'a Knowledge,
    /// How the operator was set up.
    pub settings: &'a Settings,
    /// The object that is reconciled, which is not requeued for its own writes.
    pub own: Option<&'a Key>,
    /// The reporter of Events.
    pub reporter: &'a C::Reporter,
    /// True once the process is to stop: no effect starts after that.
    pub stopping: &'a AtomicBool,
    /// No effect is carried out by a process that no longer leads: some could do harm.
    pub term: &'a Term,
}

impl<C: Requests> Applier<'_, C> {
    /// Updates the index with what has just been written. The reconcile continues by itself; other objects that it concerns are requeued.
    fn wrote(&self, change: impl FnOnce(&mut Index) -> Vec<Key>) {
        self.knowledge.wrote(self.own, change);
    }

    /// Persists a status, then publishes its Events.
    ///
    /// # Errors
    /// [`RequestError::Conflict`] where the Release has changed since it was observed; nothing is written then.
    pub async fn transition(&self, o: &Observed, transition: Transition) -> Result<(), RequestError> {
        let written = self
            .client
            .put_release_status(&o.release.metadata, &transition.status)
            .await?;
        for promotion in &transition.status.environments {
            let was = o.release.promotion(&promotion.name).map(|p| p.state);
            if was != Some(promotion.state) {
                tracing::info!(
                    environment = promotion.name,
                    attempt = promotion.attempt,
                    step = promotion.state.as_str(),
                    from = was.map_or("-", |s| s.as_str()),
                    says = promotion.message.as_deref().unwrap_or_default(),
                    "Promotion changed state."
                );
            }
        }
        self.wrote(|index| index.put_release(written.into()));
        self.announce(o, transition.announcements).await;
        Ok(())
    }

    /// No decision depends on Events: one that cannot be written is only logged.
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
                note: Some(cut(printable(&announcement.note))),
                // Distinguishes environments where Events are aggregated by reason and action.
                action: format!("PromoteTo:{}", announcement.environment),
                secondary: None,
            };
            if let Err(error) = self.client.publish(self.reporter, &event, &reference).await {
                tracing::warn!(%error, reason = announcement.reason, "An Event could not be written.");
            }
        }
    }

    /// Carries out effects one after another, until one of them fails.
    ///
    /// # Errors
    /// Why an effect failed; those before it were carried out.
    pub async fn act(
        &self,
        o: &Observed,
        actions: Vec<Effect>,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, RequestError> {
        let mut progress = Progress::Again;
        for action in actions {
            if self.stopping.load(Ordering::Relaxed) {
                return Ok(Progress::Stopped);
            }
            self.term.holds()?;
            if self.one(o, action, memory, now).await? == Progress::Later {
                progress = Progress::Later;
            }
        }
        Ok(progress)
    }

    async fn one(
        &self,
        o: &Observed,
        action: Effect,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Result<Progress, RequestError> {
        tracing::debug!(?action, "Carrying out an action.");
        match action {
            Effect::AddFinalizer => self.finalizers(o, true).await,
            Effect::RemoveFinalizer => self.finalizers(o, false).await,
            Effect::Claim {
                environment,
                namespace,
                holder,
            } => self.claim(o, &environment, &namespace, &holder).await,
            Effect::TakeOver {
                environment,
                claim,
                holder,
            } => self.take_over(o, &environment, &claim, &holder).await,
            Effect::MarkUnsettled { environment, claim } => self.mark_unsettled(&environment, &claim).await,
            Effect::ReleaseClaim { environment, claim } => {
                tracing::info!(
                    environment,
                    attempt = claim.holder.as_ref().map_or(0, |h| h.attempt),
                    step = "release-claim",
                    "Lock of the target namespace released."
                );
                self.release_claim(&claim).await
            }
            Effect::Capture {
                environment,
                name,
                pre_state,
            } => self.capture(o, &environment, &name, &pre_state).await,
            Effect::DeletePreState { name, uid } => {
                memory.pre_states.remove(&name);
                memory.predecessors.remove(&name);
                self.delete_pre_state(&name, &uid).await
            }
            Effect::Remember(what) => self.remember(o, &what).await,
            Effect::StopJob {
                environment,
                namespace,
                attempt,
                name,
                uid,
            } => {
                self.stop_job(o, &environment, &namespace, attempt, &name, &uid, memory)
                    .await;
                Ok(Progress::Again)
            }
            Effect::Change(change) => self.change(o, change, memory, now).await,
            Effect::StartJob(start) => self.start_job(o, start, memory, now).await,
            Effect::Adopt { decision, uid } => self.adopt(o, &decision, &uid).await,
            Effect::Disown { decision, uid } => self.owned(o, &decision, &uid, json!([])).await,
        }
    }

    async fn finalizers(&self, o: &Observed, add: bool) -> Result<Progress, RequestError> {
        let mut finalizers = o.release.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|f| f != RELEASE_FINALIZER);
        if add {
            finalizers.push(RELEASE_FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "resourceVersion": o.release.metadata.resource_version, "uid": o.uid(), "finalizers": finalizers
        } });
        match self.client.patch_release(o.namespace(), o.name(), &patch).await {
            Ok(written) => {
                let gone = written.metadata.deletion_timestamp.is_some() && written.finalizers().is_empty();
                self.wrote(|index| {
                    if gone {
                        // The watch reports it later, and until then the finalizer would be removed again without success.
                        index.remove_release_of(o.namespace(), o.name(), o.uid())
                    } else {
                        index.put_release(written.into())
                    }
                });
                Ok(Progress::Again)
            }
            Err(RequestError::NotFound) => Ok(Progress::Later),
            Err(trouble) => Err(trouble),
        }
    }

    /// The deployer of `namespace`, on behalf of a promotion of that Release.
    fn deployer(&self, namespace: &str, o: &Observed, environment: &str, attempt: i64) -> C::Deployer {
        let promotion = promotion_name(&o.release_path(), environment, attempt);
        self.client
            .deployer(&self.settings.deployer, namespace, &promotion)
    }

    /// The operator's own namespace.
    fn home(&self) -> &str {
        &self.settings.operator_namespace
    }

    async fn capture(
        &self,
        o: &Observed,
        environment: &str,
        name: &str,
        pre_state: &PreState,
    ) -> Result<Progress, RequestError> {
        let content = pre_state.stored();
        let bytes = content.to_string().len();
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                annotations: Some(pre_states::annotations(o.namespace(), bytes)),
                labels: Some(BTreeMap::from([
                    (LABEL_RELEASE.to_owned(), o.name().to_owned()),
                    (LABEL_RELEASE_UID.to_owned(), o.uid().to_owned()),
                    (LABEL_ENVIRONMENT.to_owned(), environment.to_owned()),
                    (LABEL_ATTEMPT.to_owned(), pre_state.attempt.to_string()),
                ])),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(content)),
            revision: pre_state.attempt,
        };
        match self.client.create_revision(self.home(), &revision).await {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt = pre_state.attempt,
                    step = "capture",
                    pre_state = name,
                    "Pre-state captured."
                );
                self.known_pre_state(&written);
                Ok(Progress::Again)
            }
            // Captured before a crash: the next reconcile reads it and compares.
            Err(RequestError::AlreadyExists) => {
                if let Some(kept) = self.client.revision_metadata(self.home(), name).await? {
                    self.known_pre_state(&kept);
                }
                Ok(Progress::Again)
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn remember(&self, o: &Observed, what: &Remembered) -> Result<Progress, RequestError> {
        let revision = remembered::write(what, o.uid());
        let (written, progress) = match self.client.create_revision(self.home(), &revision).await {
            Ok(written) => {
                tracing::info!(
                    environment = what.environment,
                    step = "remember",
                    version = what.version,
                    "The version that Succeeded is recorded."
                );
                (Some(written), Progress::Again)
            }
            // Ours from before a crash, or an older one that the watch has not shown yet: the next reconcile compares.
            Err(RequestError::AlreadyExists) => {
                let there = self.client.revision_metadata(self.home(), &what.name).await?;
                let ours = there.as_ref().and_then(remembered::read);
                let same = ours.is_some_and(|there| there.version == what.version);
                let progress = if same { Progress::Again } else { Progress::Later };
                (there, progress)
            }
            Err(trouble) => return Err(trouble),
        };
        if let Some(known) = written.as_ref().and_then(remembered::read) {
            self.wrote(|index| index.put_remembered(known));
        }
        if progress == Progress::Later {
            return Err(RequestError::Conflict(format!(
                "{} records another version",
                what.name
            )));
        }
        Ok(progress)
    }

    fn known_pre_state(&self, metadata: &ObjectMeta) {
        let stored = pre_states::read(metadata);
        self.wrote(|index| index.put_pre_state(stored));
    }

    /// Deletes a pre-state by uid; one that no longer exists is a success.
    ///
    /// # Errors
    /// Any error but that it does not exist.
    pub async fn delete_pre_state(&self, name: &str, uid: &str) -> Result<Progress, RequestError> {
        match self.client.delete_revision(self.home(), name, uid).await {
            Ok(()) | Err(RequestError::NotFound) => {
                self.wrote(|index| index.remove_pre_state(name, uid));
                Ok(Progress::Again)
            }
            // Another object of that name, which must not be deleted; or still this one, and then it is retried.
            Err(RequestError::Conflict(why)) => {
                let there = self.client.revision_metadata(self.home(), name).await?;
                if there.is_some_and(|there| there.uid.as_deref() == Some(uid)) {
                    return Err(RequestError::Conflict(why));
                }
                self.wrote(|index| index.remove_pre_state(name, uid));
                Ok(Progress::Again)
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn adopt(&self, o: &Observed, decision: &str, uid: &str) -> Result<Progress, RequestError> {
        let owner = json!([{
            "apiVersion": Release::api_version(&()), "kind": Release::kind(&()),
            "name": o.name(), "uid": o.uid(), "controller": false, "blockOwnerDeletion": false,
        }]);
        self.owned(o, decision, uid, owner).await
    }

    async fn owned(
        &self,
        o: &Observed,
        decision: &str,
        uid: &str,
        owners: serde_json::Value,
    ) -> Result<Progress, RequestError> {
        let patch = json!({ "metadata": { "uid": uid, "ownerReferences": owners } });
        match self.client.patch_decision(o.namespace(), decision, &patch).await {
            Ok(written) => {
                self.wrote(|index| index.put_decision(written.into()));
                Ok(Progress::Again)
            }
            Err(RequestError::NotFound | RequestError::Conflict(_)) => Ok(Progress::Later),
            Err(trouble) => Err(trouble),
        }
    }

    /// Adds or removes the finalizer that protects an occupied Environment.
    ///
    /// # Errors
    /// A conflict, or a temporary error.
    pub async fn environment_finalizer(
        &self,
        environment: &Environment,
        add: bool,
    ) -> Result<(), RequestError> {
        let mut finalizers = environment.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|f| f != OCCUPIED_FINALIZER);
        if add {
            finalizers.push(OCCUPIED_FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "resourceVersion": environment.metadata.resource_version, "finalizers": finalizers
        } });
        match self
            .client
            .patch_environment(&environment.name_any(), &patch)
            .await
        {
            Ok(written) if add => {
                self.wrote(|index| index.put_environment(written.into()));
                Ok(())
            }
            Ok(_) | Err(RequestError::NotFound) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Persists an Environment's status.
    ///
    /// # Errors
    /// A conflict, or a temporary error.
    pub async fn environment_status(
        &self,
        environment: &Environment,
        status: EnvironmentStatus,
    ) -> Result<(), RequestError> {
        let written = self
            .client
            .put_environment_status(&environment.metadata, &status)
            .await?;
        self.wrote(|index| index.put_environment(written.into()));
        Ok(())
    }
}
