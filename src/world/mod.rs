//! The operator in memory and virtual time: a [`World`] of plain values in which the unchanged `observe`, `decide` and
//! `apply` run, and which answers their requests as Kubernetes would, preconditions included.
//!
//! It replaces the API server and its controllers only for the operator's own requests. Nothing here decides.

mod admission;
mod answers;
mod changes;
mod controllers;
mod error;
mod interference;
mod neighbours;
mod objects;
mod operator;
mod ownership;
mod patching;
mod plausible;
mod pod;
mod pods;
mod reactions;
mod script;
mod targets;
#[cfg(test)]
mod tests;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::api::{
    Decision, DecisionSpec, Environment, EnvironmentStatus, GoDuration, Release, ReleaseReview, ReleaseSpec,
    ReleaseStatus, time,
};
use crate::decide::decide;
use crate::decide::facts::Settings;
use crate::decide::prestate::PreState;
use crate::domain::time::earliest;
use crate::observe::trust::Expected;
use answers::Cluster;
use changes::Change;
pub use changes::{Deed, Spot, Touch};
pub use error::Error;
#[cfg(test)]
pub(crate) use neighbours::{Admission, Reloader};
use objects::Objects;
use operator::Operator;
pub(crate) use patching::merge;
pub use script::{Behaviour, JobBehaviour, Script, Where};
pub use workloads::rolls_out;

/// Reconciles at one instant, above which the operator counts as not coming to rest.
const MOST_PASSES: usize = 20_000;

/// A cluster with the operator in it.
///
/// Add objects, [`World::advance`] from edge to edge, and read what happened and when in [`World::deeds`].
pub struct World {
    cluster: Cluster,
    settings: Arc<Settings>,
    expected: Expected,
    operators: Vec<Operator>,
    deeds: Vec<(Timestamp, Deed)>,
}

impl World {
    /// An empty one at `now`, with the operator's default settings. Its admission policies have existed for a day.
    ///
    /// # Errors
    /// [`Error::Policies`], which a test rules out.
    pub fn new(now: Timestamp, script: Script) -> Result<Self, Error> {
        Self::with(now, script, default_settings())
    }

    /// [`Self::new`] with other settings.
    ///
    /// # Errors
    /// The same.
    pub fn with(now: Timestamp, script: Script, settings: Settings) -> Result<Self, Error> {
        let user = format!("system:serviceaccount:{}:signalbox", settings.operator_namespace);
        let expected = Expected::new(&user, &settings.deployer)?;
        Ok(Self::among(now, script, settings, expected, false))
    }

    /// [`Self::new`] with policies that have been read. If `interleaved`, every request pauses.
    pub(crate) fn among(
        now: Timestamp,
        script: Script,
        settings: Settings,
        expected: Expected,
        interleaved: bool,
    ) -> Self {
        let mut objects = Objects::new(now, script);
        let since = time(now - SignedDuration::from_hours(24));
        let metadata = json!({ "generation": 1, "creationTimestamp": since });
        for (kind, name, spec) in expected.objects() {
            let policy = Arc::new(json!({ "metadata": metadata, "spec": spec }));
            objects.policies.push((kind, name, Arc::clone(&policy)));
        }
        Self {
            cluster: Cluster::new(Arc::new(Mutex::new(objects)), interleaved),
            settings: Arc::new(settings),
            expected,
            operators: Vec::new(),
            deeds: Vec::new(),
        }
    }

    /// The objects, locked.
    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.cluster.objects()
    }

    // ---- What people add ------------------------------------------------------------------------------------

    /// A namespace with these labels.
    pub fn add_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) {
        let namespace = plausible::labelled(name, labels);
        let mut objects = self.objects();
        objects.namespaces.insert(name.to_owned(), namespace.clone());
        objects.changed(Change::Namespace(name.to_owned(), namespace));
    }

    /// # Errors
    /// [`Error::Refused`] by the definition's rules.
    pub fn add_environment(&mut self, mut environment: Environment) -> Result<(), Error> {
        admission::admit(&environment, None)?;
        let mut objects = self.objects();
        objects.born(&mut environment.metadata);
        environment.status = Some(EnvironmentStatus::not_observed());
        objects.keep_environment(environment);
        Ok(())
    }

    /// A Release with a status continues from there.
    ///
    /// # Errors
    /// [`Error::Refused`] by the definition's rules.
    pub fn add_release(&mut self, mut release: Release) -> Result<(), Error> {
        admission::admit(&release, None)?;
        let mut objects = self.objects();
        objects.born(&mut release.metadata);
        release.status.get_or_insert_with(ReleaseStatus::not_observed);
        objects.keep_release(release);
        Ok(())
    }

    /// A Decision with a later creationTimestamp is created then.
    ///
    /// # Errors
    /// [`Error::Refused`] by the definition's rules.
    pub fn add_decision(&mut self, mut decision: Decision) -> Result<(), Error> {
        admission::admit(&decision, None)?;
        let mut objects = self.objects();
        let created = decision.metadata.creation_timestamp.as_ref().map(|t| t.0);
        if created.is_some_and(|at| at > objects.now) {
            objects.later.push(decision);
        } else {
            objects.born(&mut decision.metadata);
            objects.decided(decision);
        }
        Ok(())
    }

    /// A Decision of `spec.by`, created now.
    ///
    /// # Errors
    /// [`Error::Refused`] by the definition's rules.
    pub fn decide(&mut self, namespace: &str, spec: DecisionSpec) -> Result<(), Error> {
        let serial = self.objects().next_serial();
        let mut decision = Decision::new(&format!("decision-{serial}"), spec);
        decision.metadata.namespace = Some(namespace.to_owned());
        self.add_decision(decision)
    }

    /// # Errors
    /// [`Error::Refused`] by the definition's rules.
    pub fn add_review(&mut self, mut review: ReleaseReview) -> Result<(), Error> {
        admission::admit(&review, None)?;
        let mut objects = self.objects();
        objects.born(&mut review.metadata);
        let review = Arc::new(review);
        objects
            .reviews
            .insert(objects::names(&review.metadata), Arc::clone(&review));
        objects.changed(Change::Review(review));
        Ok(())
    }

    /// An object in a target namespace: a workload, a ConfigMap, a suspended CronJob. It runs, unless its status says
    /// otherwise.
    pub fn add_target(&mut self, namespace: &str, object: Value) {
        self.objects().place_target(namespace, object);
    }

    /// The admission policies have existed since `since`: the authors of older objects cannot be verified.
    pub fn verified_since(&mut self, since: Timestamp) {
        let mut objects = self.objects();
        for (_, _, policy) in &mut objects.policies {
            Arc::make_mut(policy)["metadata"]["creationTimestamp"] = json!(time(since));
        }
    }

    /// Adds the missing objects that the Releases and Environments name: namespaces with the required labels, targets that run,
    /// CronJobs for gates and verification.
    pub fn fill_in(&mut self) -> BTreeSet<Spot> {
        plausible::fill_in(&mut self.objects())
    }

    /// # Errors
    /// [`Error::Refused`] if the definition's rules do not allow the change of the spec.
    pub fn edit_release(
        &mut self,
        namespace: &str,
        name: &str,
        edit: impl FnOnce(&mut ReleaseSpec),
    ) -> Result<(), Error> {
        let before = self.release(namespace, name)?;
        let mut after = (*before).clone();
        edit(&mut after.spec);
        if after.spec == before.spec {
            return Ok(());
        }
        admission::admit(&after, Some(&*before))?;
        let mut objects = self.objects();
        objects.edited(&mut after.metadata);
        objects.keep_release(after);
        Ok(())
    }

    /// Marks it for deletion. It is deleted once its finalizers are removed.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn delete_release(&mut self, namespace: &str, name: &str) -> Result<(), Error> {
        let mut release = (*self.release(namespace, name)?).clone();
        let mut objects = self.objects();
        if release.metadata.deletion_timestamp.is_none() {
            release.metadata.deletion_timestamp = Some(time(objects.now));
            objects.edited(&mut release.metadata);
            objects.keep_release(release);
        }
        Ok(())
    }

    /// A writer other than the operator changes a target.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn edit_target(
        &mut self,
        namespace: &str,
        kind: &'static str,
        name: &str,
        edit: impl FnOnce(&mut Value),
    ) -> Result<(), Error> {
        let spot = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        let mut objects = self.objects();
        if objects.written(&spot, "kubectl-edit".into(), edit) {
            Ok(())
        } else {
            Err(not_found(kind, name))
        }
    }

    // ---- What exists ----------------------------------------------------------------------------------------

    /// The instant of the virtual clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.objects().now
    }

    /// # Errors
    /// [`Error::NotFound`].
    pub fn release(&self, namespace: &str, name: &str) -> Result<Arc<Release>, Error> {
        let found = self
            .objects()
            .releases
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned();
        found.ok_or_else(|| not_found("Release", name))
    }

    /// Every Release, by namespace and name.
    #[must_use]
    pub fn releases(&self) -> Vec<Arc<Release>> {
        self.objects().releases.values().cloned().collect()
    }

    /// Every Environment, by name.
    #[must_use]
    pub fn environments(&self) -> Vec<Arc<Environment>> {
        self.objects().environments.values().cloned().collect()
    }

    /// What was captured before an entry, as long as it is stored.
    #[must_use]
    pub fn pre_state(&self, name: &str) -> Option<PreState> {
        let revision = self.objects().revisions.get(name).cloned()?;
        PreState::read(revision.data.as_ref()?.0.clone()).ok()
    }

    /// An object in a target namespace.
    #[must_use]
    pub fn target(&self, namespace: &str, kind: &str, name: &str) -> Option<Arc<Value>> {
        let spot = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        self.objects().targets.get(&spot).cloned()
    }

    /// Everything that was written since the last call, with its time, oldest first.
    pub fn deeds(&mut self) -> Vec<(Timestamp, Deed)> {
        std::mem::take(&mut self.deeds)
    }

    // ---- Time -----------------------------------------------------------------------------------------------

    /// Does everything that is due now. False if the operator does not come to rest, which is a bug.
    pub fn settle(&mut self) -> bool {
        let now = {
            let mut objects = self.objects();
            objects.people_decide();
            objects.controllers_act();
            objects.now
        };
        if self.operators.is_empty() {
            let client = self.cluster.clone();
            let operator = Operator::start(&self.cluster, (client, decide), &self.settings, &self.expected);
            self.operators.push(operator);
        }
        for _ in 0..MOST_PASSES {
            let mut busy = false;
            for operator in &mut self.operators {
                operator.see_all();
                if operator.begin(now) {
                    busy = true;
                    while !operator.go_on(now) {}
                }
            }
            self.take_note();
            if !busy {
                return true;
            }
        }
        false
    }

    /// When something happens next: a time that a promotion waits for, a workload, a Job, or a Decision with a later date.
    #[must_use]
    pub fn next_edge(&mut self) -> Option<Timestamp> {
        let (now, reaction) = {
            let objects = self.objects();
            (objects.now, objects.next_reaction())
        };
        let operators = self.operators.iter_mut().map(|o| o.next(now));
        operators.fold(reaction, earliest)
    }

    /// Does what is due, then moves the clock to the next edge and does what is due there. `None` if nothing
    /// happens any more until a user acts.
    pub fn advance(&mut self) -> Option<Timestamp> {
        self.settle();
        let edge = self.next_edge()?;
        self.move_to(edge);
        self.settle();
        Some(edge)
    }

    /// Goes from edge to edge until nothing is left to happen by `until`, and sets the clock to `until`.
    pub fn advance_until(&mut self, until: Timestamp) {
        self.settle();
        while let Some(edge) = self.next_edge().filter(|edge| *edge <= until) {
            self.move_to(edge);
            self.settle();
        }
        self.move_to(until);
        self.settle();
    }

    fn move_to(&mut self, at: Timestamp) {
        let mut objects = self.objects();
        objects.now = objects.now.max(at);
    }

    /// Records what has happened since the last call.
    fn take_note(&mut self) {
        let (now, deeds) = {
            let mut objects = self.objects();
            (objects.now, std::mem::take(&mut objects.deeds))
        };
        self.deeds.extend(deeds.into_iter().map(|deed| (now, deed)));
    }
}

fn not_found(kind: &'static str, name: &str) -> Error {
    Error::NotFound {
        kind,
        name: name.to_owned(),
    }
}

impl Objects {
    /// A new generation, by a writer other than the operator.
    fn edited(&mut self, metadata: &mut ObjectMeta) {
        metadata.generation = metadata.generation.map(|g| g + 1);
        metadata.resource_version = Some(self.next_serial().to_string());
    }

    fn decided(&mut self, decision: Decision) {
        let decision = Arc::new(decision);
        self.decisions
            .insert(objects::names(&decision.metadata), Arc::clone(&decision));
        self.changed(Change::Decision(decision));
    }

    /// Creates the Decisions whose time has come.
    fn people_decide(&mut self) {
        let now = self.now;
        let due = |d: &Decision| {
            let created = d.metadata.creation_timestamp.as_ref();
            created.is_none_or(|t| t.0 <= now)
        };
        let (taken, later) = std::mem::take(&mut self.later).into_iter().partition(due);
        self.later = later;
        let taken: Vec<Decision> = taken;
        for mut decision in taken {
            self.born(&mut decision.metadata);
            self.decided(decision);
        }
    }
}

/// The defaults of `signalbox run`, except that the owners of namespaces have consented.
fn default_settings() -> Settings {
    let duration = |seconds| GoDuration::from_secs(seconds).get();
    Settings {
        operator_namespace: "signalbox-system".to_owned(),
        watch_namespaces: vec![],
        deployer: "signalbox-deployer".to_owned(),
        require_consent: false,
        health_grace: duration(120),
        inconclusive_after: duration(1800),
        policy_settle: duration(60),
        pre_state_limit: 64 << 20,
    }
}
