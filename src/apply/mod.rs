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
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::api::environment::EnvironmentStatus;
use crate::api::{
    Environment, LABEL_ATTEMPT, LABEL_ENVIRONMENT, LABEL_RELEASE, OCCUPIED_FINALIZER, RELEASE_FINALIZER,
    Release, UNSETTLED,
};
use crate::cluster::Trouble;
use crate::cluster::requests::Requests;
use crate::cluster::term::Term;
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
pub struct Applier<'a, C: Requests = Client> {
    pub observer: &'a Observer<C>,
    /// The object that is worked on, which need not be woken by what is written in its name.
    pub own: Option<&'a Key>,
    pub reporter: &'a C::Reporter,
    pub stopping: &'a AtomicBool,
    /// Effects have no use for a process that no longer leads, and some could do harm.
    pub term: &'a Term,
}

impl<C: Requests> Applier<'_, C> {
    /// Lets the index know what has just been written. The pass goes on by itself: whoever else it concerns is woken.
    fn wrote(&self, change: impl FnOnce(&mut Index) -> Vec<Key>) {
        self.observer.wrote(self.own, change);
    }

    /// Persists a status, then announces what it says.
    ///
    /// # Errors
    /// [`Trouble::Conflict`] where the Release has changed since it was observed; nothing is written then.
    pub async fn transition(&self, o: &Observed, transition: Transition) -> Result<(), Trouble> {
        let written = self
            .client()
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
                // Environments are kept apart also where Events are shown by reason and action.
                action: format!("PromoteTo:{}", announcement.environment),
                secondary: None,
            };
            if let Err(error) = self.client().publish(self.reporter, &event, &reference).await {
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
        match self.client().patch_release(o.namespace(), o.name(), &patch).await {
            Ok(written) => {
                let gone = written.metadata.deletion_timestamp.is_some() && written.finalizers().is_empty();
                self.wrote(|index| {
                    if gone {
                        // The watch tells later, and until then the finalizer would be taken off again, in vain.
                        index.remove_release_of(o.namespace(), o.name(), o.uid())
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

    fn client(&self) -> &C {
        self.observer.client()
    }

    /// The operator's own namespace.
    fn home(&self) -> &str {
        &self.observer.settings().operator_namespace
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
        match self.client().create_lease(self.home(), &lease).await {
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
            .client()
            .replace_lease(self.home(), &claim.name, &lease)
            .await
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
        match self
            .client()
            .delete_lease(self.home(), &claim.name, &claim.uid, &claim.resource_version)
            .await
        {
            Ok(()) => {
                self.wrote(|index| index.remove_claim(&claim.name, &claim.uid));
                Ok(Progress::Again)
            }
            Err(Trouble::Conflict(_) | Trouble::NotFound) => self.refresh_claim(&claim.name).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads the Lease again, so that the next pass knows who has it.
    async fn refresh_claim(&self, name: &str) -> Result<Progress, Trouble> {
        match self.client().lease(self.home(), name).await? {
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
        match self.client().create_revision(self.home(), &revision).await {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt = pre_state.attempt,
                    step = "capture",
                    pre_state = name,
                    "pre-state kept"
                );
                self.known_pre_state(o, environment, &written);
                Ok(Progress::Again)
            }
            // Kept before a crash: the next pass reads it and compares.
            Err(Trouble::AlreadyExists) => {
                if let Some(kept) = self.client().revision_metadata(self.home(), name).await? {
                    self.known_pre_state(o, environment, &kept);
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
        match self.client().delete_revision(self.home(), name, uid).await {
            Ok(()) | Err(Trouble::NotFound) => {
                self.wrote(|index| index.remove_pre_state(name, uid));
                Ok(Progress::Again)
            }
            // Another one of that name, which is none of ours to delete; or this one still, and then it is tried again.
            Err(Trouble::Conflict(why)) => {
                let there = self.client().revision_metadata(self.home(), name).await?;
                if there.is_some_and(|there| there.uid.as_deref() == Some(uid)) {
                    return Err(Trouble::Conflict(why));
                }
                self.wrote(|index| index.remove_pre_state(name, uid));
                Ok(Progress::Again)
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn adopt(&self, o: &Observed, decision: &str, uid: &str) -> Result<Progress, Trouble> {
        let owner = json!([{
            "apiVersion": Release::api_version(&()), "kind": Release::kind(&()),
            "name": o.name(), "uid": o.uid(), "controller": false, "blockOwnerDeletion": false,
        }]);
        let patch = json!({ "metadata": { "uid": uid, "ownerReferences": owner } });
        match self
            .client()
            .patch_decision(o.namespace(), decision, &patch)
            .await
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
        match self
            .client()
            .patch_environment(&environment.name_any(), &patch)
            .await
        {
            Ok(written) if add => {
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
        let written = self
            .client()
            .put_environment_status(&environment.metadata, &status)
            .await?;
        self.wrote(|index| index.put_environment(written.into()));
        Ok(())
    }
}
