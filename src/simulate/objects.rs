//! Everything that stands in the simulated cluster, as plain values, and the preconditions that Kubernetes enforces when
//! the operator writes: uid and resourceVersion, create-only, finalizers. It models our writes, not the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use super::controllers::{Reaction, done};
use super::patching;
use super::script::Script;
use crate::api::{
    Decision, Environment, EnvironmentStatus, FIELD_MANAGER, LABEL_ENVIRONMENT, Release, ReleaseReview,
    ReleaseStatus, time,
};
use crate::apply::LABEL_RELEASE_UID;
use crate::cluster::Trouble;
use crate::cluster::deployer::{Form, Mode, Object};
use crate::decide::facts::{Claim, StoredPreState};
use crate::mutation::{self, Mutation};
use crate::observe::claims;
use crate::observe::index::{Index, Key, Namespace};

pub(super) type Names = (String, String);
type Answer<T> = Result<T, Trouble>;

/// A target's place: namespace, kind and name.
pub type Spot = (String, String, String);

/// What a watch shows. Each kind has its own stream, in order; between streams there is no order.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Release(Arc<Release>),
    ReleaseGone(Names),
    Environment(Arc<Environment>),
    EnvironmentGone(String),
    Decision(Arc<Decision>),
    DecisionGone(Names),
    Review(Arc<ReleaseReview>),
    Claim(Arc<Claim>),
    ClaimGone(String, String),
    PreState(StoredPreState),
    PreStateGone(String, String),
    Workload(&'static str, Spot, Arc<Value>),
    WorkloadGone(&'static str, Spot),
    Job(Spot, Arc<Value>),
    JobGone(Spot),
    Namespace(String, Namespace),
    Policy(&'static str, &'static str, Arc<Value>),
}

/// How many streams there are.
pub(super) const STREAMS: usize = 9;

impl Change {
    fn stream(&self) -> usize {
        match self {
            Self::Release(_) | Self::ReleaseGone(_) => 0,
            Self::Environment(_) | Self::EnvironmentGone(_) => 1,
            Self::Decision(_) | Self::DecisionGone(_) => 2,
            Self::Review(_) => 3,
            Self::Claim(_) | Self::ClaimGone(..) => 4,
            Self::PreState(_) | Self::PreStateGone(..) => 5,
            Self::Workload(..) | Self::WorkloadGone(..) => 6,
            Self::Job(..) | Self::JobGone(_) => 7,
            Self::Namespace(..) | Self::Policy(..) => 8,
        }
    }

    /// Tells an operator's index.
    pub(super) fn show(&self, index: &mut Index) -> Vec<Key> {
        match self {
            Self::Release(release) => index.put_release(Arc::clone(release)),
            Self::ReleaseGone((namespace, name)) => index.remove_release(namespace, name),
            Self::Environment(environment) => index.put_environment(Arc::clone(environment)),
            Self::EnvironmentGone(name) => index.remove_environment(name),
            Self::Decision(decision) => index.put_decision(Arc::clone(decision)),
            Self::DecisionGone((namespace, name)) => index.remove_decision(namespace, name),
            Self::Review(review) => index.put_review(Arc::clone(review)),
            Self::Claim(claim) => index.put_claim((**claim).clone()),
            Self::ClaimGone(name, uid) => index.remove_claim(name, uid),
            Self::PreState(stored) => index.put_pre_state(stored.clone()),
            Self::PreStateGone(name, uid) => index.remove_pre_state(name, uid),
            Self::Workload(kind, spot, object) => {
                index.put_workload(kind, &spot.0, &spot.2, Arc::clone(object).into())
            }
            Self::WorkloadGone(kind, spot) => index.remove_workload(kind, &spot.0, &spot.2),
            Self::Job(spot, job) => index.put_job(&spot.0, &spot.2, Arc::clone(job).into()),
            Self::JobGone(spot) => index.remove_job(&spot.0, &spot.2),
            Self::Namespace(name, namespace) => index.put_namespace(name, namespace.clone()),
            Self::Policy(kind, name, policy) => index.put_policy(kind, name, Arc::clone(policy)),
        }
    }
}

/// Something that was written, with what stood there before.
#[derive(Clone, Debug)]
pub enum Deed {
    Status {
        before: Arc<Release>,
        after: Arc<Release>,
    },
    EnvironmentStatus(Arc<Environment>),
    /// A Release's or Environment's finalizers, or a Decision's owner.
    Metadata(String),
    /// A claim was created, replaced (both) or deleted.
    Claim {
        before: Option<Box<Claim>>,
        after: Option<Box<Claim>>,
    },
    PreState {
        name: String,
        created: bool,
    },
    Target(Touch),
}

/// A change of a target by its deployer, or of its own by somebody else.
#[derive(Clone, Debug)]
pub struct Touch {
    /// `namespace/release/environment/attempt`; absent where it was not the deployer.
    pub promotion: Option<String>,
    pub spot: Spot,
    pub before: Option<Arc<Value>>,
    pub after: Option<Arc<Value>>,
    /// By JSON Patch, or a deletion.
    pub back: bool,
}

/// The plain values.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(super) now: Timestamp,
    serial: u64,
    pub(super) script: Script,
    pub(crate) releases: BTreeMap<Names, Arc<Release>>,
    pub(crate) environments: BTreeMap<String, Arc<Environment>>,
    pub(crate) decisions: BTreeMap<Names, Arc<Decision>>,
    pub(crate) reviews: BTreeMap<Names, Arc<ReleaseReview>>,
    pub(super) leases: BTreeMap<String, Arc<Lease>>,
    pub(crate) revisions: BTreeMap<String, Arc<ControllerRevision>>,
    pub(crate) targets: BTreeMap<Spot, Arc<Value>>,
    pub(super) namespaces: BTreeMap<String, Namespace>,
    pub(super) policies: Vec<(&'static str, &'static str, Arc<Value>)>,
    /// The operator that leads, and so may change targets.
    pub(crate) leader: usize,
    /// Target namespaces in which the deployer is refused everything.
    pub(crate) refuses: BTreeSet<String>,
    /// What controllers do later.
    pub(super) reactions: BTreeMap<(Timestamp, u64), Reaction>,
    /// Decisions that people take later.
    pub(super) later: Vec<Decision>,
    pub(super) streams: [Vec<Change>; STREAMS],
    pub(crate) deeds: Vec<Deed>,
    /// Everything that the operator has written.
    pub(crate) writes: u64,
}

impl Objects {
    pub(super) fn new(now: Timestamp, script: Script) -> Self {
        Self {
            now,
            serial: 0,
            script,
            releases: BTreeMap::new(),
            environments: BTreeMap::new(),
            decisions: BTreeMap::new(),
            reviews: BTreeMap::new(),
            leases: BTreeMap::new(),
            revisions: BTreeMap::new(),
            targets: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            policies: Vec::new(),
            leader: 0,
            refuses: BTreeSet::new(),
            reactions: BTreeMap::new(),
            later: Vec::new(),
            streams: Default::default(),
            deeds: Vec::new(),
            writes: 0,
        }
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn changed(&mut self, change: Change) {
        self.streams[change.stream()].push(change);
    }

    fn did(&mut self, deed: Deed) {
        self.writes += 1;
        self.deeds.push(deed);
    }

    /// A new object's identity.
    pub(super) fn born(&mut self, metadata: &mut ObjectMeta) {
        let serial = self.next_serial();
        metadata.uid.get_or_insert_with(|| format!("uid-{serial}"));
        metadata.resource_version = Some(serial.to_string());
        metadata.generation.get_or_insert(1);
        let now = self.now;
        metadata.creation_timestamp.get_or_insert_with(|| time(now));
    }

    pub(super) fn policies(&self) -> impl Iterator<Item = Change> {
        self.policies
            .iter()
            .map(|(kind, name, policy)| Change::Policy(kind, name, Arc::clone(policy)))
    }

    /// What a list shows to somebody who has just begun to watch.
    pub(super) fn everything(&self) -> Vec<Change> {
        let policies = self.policies();
        let namespaces = self
            .namespaces
            .iter()
            .map(|(name, namespace)| Change::Namespace(name.clone(), namespace.clone()));
        let environments = self
            .environments
            .values()
            .map(|e| Change::Environment(Arc::clone(e)));
        let releases = self.releases.values().map(|r| Change::Release(Arc::clone(r)));
        let decisions = self.decisions.values().map(|d| Change::Decision(Arc::clone(d)));
        let reviews = self.reviews.values().map(|r| Change::Review(Arc::clone(r)));
        let claims = self.leases.values().filter_map(|l| claims::read(l));
        let pre_states = self
            .revisions
            .values()
            .map(|r| Change::PreState(stored(&r.metadata)));
        let targets = self
            .targets
            .iter()
            .filter_map(|(spot, object)| watched(spot, object));
        policies
            .chain(namespaces)
            .chain(environments)
            .chain(releases)
            .chain(decisions)
            .chain(reviews)
            .chain(claims.map(|c| Change::Claim(Arc::new(c))))
            .chain(pre_states)
            .chain(targets)
            .collect()
    }

    // ---- Releases, Environments and Decisions ---------------------------------------------------------------

    pub(super) fn put_release_status(
        &mut self,
        observed: &ObjectMeta,
        status: &ReleaseStatus,
    ) -> Answer<Release> {
        let names = names(observed);
        let before = self.releases.get(&names).cloned().ok_or(Trouble::NotFound)?;
        let version = observed.resource_version.clone();
        let version = version.filter(|_| !mutation::is(Mutation::StatusWithoutVersion));
        same(&before.metadata, &observed.uid, &version)?;
        if before.status.as_ref() == Some(status) {
            self.writes += 1;
            return Ok((*before).clone());
        }
        let mut after = Release {
            metadata: before.metadata.clone(),
            spec: before.spec.clone(),
            status: Some(status.clone()),
        };
        after.metadata.resource_version = Some(self.next_serial().to_string());
        let after = Arc::new(after);
        self.releases.insert(names, Arc::clone(&after));
        self.changed(Change::Release(Arc::clone(&after)));
        self.did(Deed::Status {
            before,
            after: Arc::clone(&after),
        });
        Ok((*after).clone())
    }

    pub(super) fn patch_release(&mut self, names: &Names, patch: &Value) -> Answer<Release> {
        let before = self.releases.get(names).ok_or(Trouble::NotFound)?;
        let mut after = (**before).clone();
        self.patch_metadata(&mut after.metadata, patch)?;
        self.did(Deed::Metadata(format!("Release {}", names.1)));
        Ok((*self.keep_release(after)).clone())
    }

    /// Stored, or gone for good where nothing holds it any more.
    pub(super) fn keep_release(&mut self, release: Release) -> Arc<Release> {
        let names = names(&release.metadata);
        let release = Arc::new(release);
        if !is_gone(&release.metadata) {
            self.releases.insert(names, Arc::clone(&release));
            self.changed(Change::Release(Arc::clone(&release)));
            return release;
        }
        self.releases.remove(&names);
        self.changed(Change::ReleaseGone(names));
        let uid = release.metadata.uid.as_deref();
        let owned = |d: &Decision| {
            let mut owners = d.metadata.owner_references.iter().flatten();
            owners.any(|o| Some(o.uid.as_str()) == uid)
        };
        let orphans: Vec<Names> = self
            .decisions
            .iter()
            .filter(|(_, d)| owned(d))
            .map(|(names, _)| names.clone())
            .collect();
        for orphan in orphans {
            self.decisions.remove(&orphan);
            self.changed(Change::DecisionGone(orphan));
        }
        release
    }

    pub(super) fn put_environment_status(
        &mut self,
        observed: &ObjectMeta,
        status: &EnvironmentStatus,
    ) -> Answer<Environment> {
        let (_, name) = names(observed);
        let before = self.environments.get(&name).ok_or(Trouble::NotFound)?;
        same(&before.metadata, &observed.uid, &observed.resource_version)?;
        let mut after = (**before).clone();
        after.status = Some(status.clone());
        after.metadata.resource_version = Some(self.next_serial().to_string());
        let after = self.keep_environment(after);
        self.did(Deed::EnvironmentStatus(Arc::clone(&after)));
        Ok((*after).clone())
    }

    pub(super) fn patch_environment(&mut self, name: &str, patch: &Value) -> Answer<Environment> {
        let before = self.environments.get(name).ok_or(Trouble::NotFound)?;
        let mut after = (**before).clone();
        self.patch_metadata(&mut after.metadata, patch)?;
        self.did(Deed::Metadata(format!("Environment {name}")));
        Ok((*self.keep_environment(after)).clone())
    }

    pub(super) fn keep_environment(&mut self, environment: Environment) -> Arc<Environment> {
        let (_, name) = names(&environment.metadata);
        let environment = Arc::new(environment);
        if is_gone(&environment.metadata) {
            self.environments.remove(&name);
            self.changed(Change::EnvironmentGone(name));
        } else {
            self.environments.insert(name, Arc::clone(&environment));
            self.changed(Change::Environment(Arc::clone(&environment)));
        }
        environment
    }

    pub(super) fn patch_decision(&mut self, names: &Names, patch: &Value) -> Answer<Decision> {
        let before = self.decisions.get(names).ok_or(Trouble::NotFound)?;
        let mut after = (**before).clone();
        self.patch_metadata(&mut after.metadata, patch)?;
        self.did(Deed::Metadata(format!("Decision {}", names.1)));
        let after = Arc::new(after);
        self.decisions.insert(names.clone(), Arc::clone(&after));
        self.changed(Change::Decision(Arc::clone(&after)));
        Ok((*after).clone())
    }

    /// A merge patch of finalizers or owners, with the preconditions that it carries.
    fn patch_metadata(&mut self, metadata: &mut ObjectMeta, patch: &Value) -> Answer<()> {
        let stated = |field: &str| patch["metadata"].get(field);
        let text = |field: &str| stated(field).and_then(Value::as_str).map(str::to_owned);
        let version = text("resourceVersion").or_else(|| metadata.resource_version.clone());
        same(metadata, &text("uid").or_else(|| metadata.uid.clone()), &version)?;
        let read = |e: serde_json::Error| Trouble::Invalid(e.to_string());
        if let Some(finalizers) = stated("finalizers") {
            let finalizers: Vec<String> = serde_json::from_value(finalizers.clone()).map_err(read)?;
            metadata.finalizers = Some(finalizers).filter(|f| !f.is_empty());
        }
        if let Some(owners) = stated("ownerReferences") {
            let owners: Vec<OwnerReference> = serde_json::from_value(owners.clone()).map_err(read)?;
            metadata.owner_references = Some(owners);
        }
        metadata.resource_version = Some(self.next_serial().to_string());
        Ok(())
    }

    // ---- Claims and pre-states ------------------------------------------------------------------------------

    pub(crate) fn claim(&self, name: &str) -> Option<Claim> {
        self.leases.get(name).and_then(|lease| claims::read(lease))
    }

    #[cfg(test)]
    pub(super) fn claims(&self) -> Vec<Claim> {
        self.leases.values().filter_map(|l| claims::read(l)).collect()
    }

    pub(super) fn create_lease(&mut self, lease: &Lease) -> Answer<Lease> {
        let name = lease.metadata.name.clone().unwrap_or_default();
        if self.leases.contains_key(&name) {
            return Err(Trouble::AlreadyExists);
        }
        let mut created = lease.clone();
        created.metadata.uid = None;
        self.born(&mut created.metadata);
        self.keep_lease(name, created)
    }

    pub(super) fn replace_lease(&mut self, name: &str, lease: &Lease) -> Answer<Lease> {
        let before = self.leases.get(name).ok_or(Trouble::NotFound)?;
        let wanted = &lease.metadata;
        same(&before.metadata, &wanted.uid, &wanted.resource_version)?;
        let mut after = lease.clone();
        after
            .metadata
            .creation_timestamp
            .clone_from(&before.metadata.creation_timestamp);
        after.metadata.resource_version = Some(self.next_serial().to_string());
        self.keep_lease(name.to_owned(), after)
    }

    fn keep_lease(&mut self, name: String, lease: Lease) -> Answer<Lease> {
        let before = self.claim(&name);
        let after = claims::read(&lease);
        if let Some(claim) = &after {
            self.changed(Change::Claim(Arc::new(claim.clone())));
        }
        self.leases.insert(name, Arc::new(lease.clone()));
        self.did(Deed::Claim {
            before: before.map(Box::new),
            after: after.map(Box::new),
        });
        Ok(lease)
    }

    pub(super) fn delete_lease(&mut self, name: &str, uid: &str, version: &str) -> Answer<()> {
        let lease = self.leases.get(name).ok_or(Trouble::NotFound)?;
        same(&lease.metadata, &Some(uid.to_owned()), &Some(version.to_owned()))?;
        let before = self.claim(name);
        self.leases.remove(name);
        self.changed(Change::ClaimGone(name.to_owned(), uid.to_owned()));
        self.did(Deed::Claim {
            before: before.map(Box::new),
            after: None,
        });
        Ok(())
    }

    pub(super) fn create_revision(&mut self, revision: &ControllerRevision) -> Answer<ObjectMeta> {
        let name = revision.metadata.name.clone().unwrap_or_default();
        if self.revisions.contains_key(&name) {
            return Err(Trouble::AlreadyExists);
        }
        let mut created = revision.clone();
        self.born(&mut created.metadata);
        let metadata = created.metadata.clone();
        self.changed(Change::PreState(stored(&metadata)));
        self.revisions.insert(name.clone(), Arc::new(created));
        self.did(Deed::PreState { name, created: true });
        Ok(metadata)
    }

    pub(super) fn delete_revision(&mut self, name: &str, uid: &str) -> Answer<()> {
        let revision = self.revisions.get(name).ok_or(Trouble::NotFound)?;
        same(&revision.metadata, &Some(uid.to_owned()), &None)?;
        self.revisions.remove(name);
        self.changed(Change::PreStateGone(name.to_owned(), uid.to_owned()));
        self.did(Deed::PreState {
            name: name.to_owned(),
            created: false,
        });
        Ok(())
    }

    // ---- Targets, as the deployer ---------------------------------------------------------------------------

    pub(super) fn get(&self, namespace: &str, object: Object<'_>) -> Answer<Value> {
        self.permitted(namespace)?;
        let found = self.targets.get(&spot(namespace, object));
        found.map(|o| (**o).clone()).ok_or(Trouble::NotFound)
    }

    pub(super) fn permitted(&self, namespace: &str) -> Answer<()> {
        if self.refuses.contains(namespace) {
            return Err(Trouble::Forbidden(format!(
                "the deployer has no rights in {namespace}"
            )));
        }
        Ok(())
    }

    pub(super) fn patch(
        &mut self,
        (promotion, namespace): (&str, &str),
        object: Object<'_>,
        form: Form,
        patch: &Value,
        mode: Mode,
    ) -> Answer<Value> {
        self.permitted(namespace)?;
        let spot = spot(namespace, object);
        let before = self.targets.get(&spot).cloned().ok_or(Trouble::NotFound)?;
        let mut after = (*before).clone();
        match form {
            Form::StrategicMerge => patching::merge(&mut after, patch),
            Form::JsonPatch => patching::operate(&mut after, patch).map_err(Trouble::Invalid)?,
        }
        if version(&after) != version(&before) {
            return Err(Trouble::Conflict(format!(
                "{} has been changed since it was read",
                spot.2
            )));
        }
        if after == *before || mode == Mode::DryRun {
            return Ok(after);
        }
        let after = self.stamp(after, Some(&before), FIELD_MANAGER);
        self.keep_target(Touch {
            promotion: Some(promotion.to_owned()),
            spot,
            before: Some(before),
            after: Some(Arc::clone(&after)),
            back: form == Form::JsonPatch,
        });
        Ok((*after).clone())
    }

    pub(super) fn create(
        &mut self,
        (promotion, namespace): (&str, &str),
        object: Object<'_>,
        body: &Value,
        mode: Mode,
    ) -> Answer<Value> {
        self.permitted(namespace)?;
        let spot = spot(namespace, object);
        if self.targets.contains_key(&spot) {
            return Err(Trouble::AlreadyExists);
        }
        let mut created = body.clone();
        created["metadata"]["namespace"] = json!(namespace);
        defaulted(&mut created);
        if mode == Mode::DryRun {
            return Ok(created);
        }
        let created = self.stamp(created, None, FIELD_MANAGER);
        self.keep_target(Touch {
            promotion: Some(promotion.to_owned()),
            spot,
            before: None,
            after: Some(Arc::clone(&created)),
            back: false,
        });
        Ok((*created).clone())
    }

    pub(super) fn delete(
        &mut self,
        (promotion, namespace): (&str, &str),
        object: Object<'_>,
        uid: &str,
    ) -> Answer<()> {
        self.permitted(namespace)?;
        let spot = spot(namespace, object);
        let before = self.targets.get(&spot).cloned().ok_or(Trouble::NotFound)?;
        if before["metadata"]["uid"] != json!(uid) {
            return Err(Trouble::Conflict(format!("{} has another uid", spot.2)));
        }
        self.keep_target(Touch {
            promotion: Some(promotion.to_owned()),
            spot,
            before: Some(before),
            after: None,
            back: true,
        });
        Ok(())
    }

    /// What the API server adds to what `manager` has written: version, generation where the spec changed, who and when.
    pub(super) fn stamp(&mut self, mut object: Value, before: Option<&Value>, manager: &str) -> Arc<Value> {
        let serial = self.next_serial();
        let generation = before.and_then(|b| b.pointer("/metadata/generation").and_then(Value::as_i64));
        let now = json!(time(self.now));
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(serial.to_string());
        if before.is_none() {
            metadata["uid"] = json!(format!("uid-{serial}"));
            metadata["creationTimestamp"] = now.clone();
        }
        let entry = json!({ "manager": manager, "operation": "Update", "time": now });
        match metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
            Some(entries) => {
                entries.retain(|e| e["manager"] != manager);
                entries.push(entry);
            }
            None => metadata["managedFields"] = json!([entry]),
        }
        if object.get("spec").is_some() {
            let changed = before.is_none_or(|b| b.get("spec") != object.get("spec"));
            let generation = generation.unwrap_or(0) + i64::from(changed);
            object["metadata"]["generation"] = json!(generation.max(1));
        }
        Arc::new(object)
    }

    /// Stores what was touched, tells the watches, and sets the controllers to work.
    pub(super) fn keep_target(&mut self, touch: Touch) {
        match &touch.after {
            Some(object) => {
                self.targets.insert(touch.spot.clone(), Arc::clone(object));
                self.show_target(&touch.spot, object);
            }
            None => {
                self.targets.remove(&touch.spot);
                match kind_of(&touch.spot.1) {
                    Some("Job") => self.changed(Change::JobGone(touch.spot.clone())),
                    Some(kind) => self.changed(Change::WorkloadGone(kind, touch.spot.clone())),
                    None => {}
                }
            }
        }
        self.react(&touch);
        if touch.promotion.is_some() {
            self.writes += 1;
        }
        self.deeds.push(Deed::Target(touch));
    }

    pub(super) fn show_target(&mut self, spot: &Spot, object: &Arc<Value>) {
        if let Some(change) = watched(spot, object) {
            self.changed(change);
        }
    }

    /// A status that a controller writes.
    pub(super) fn put_target_status(&mut self, spot: &Spot, status: Value) {
        let Some(object) = self.targets.get(spot) else {
            return;
        };
        if object.get("status") == Some(&status) {
            return;
        }
        let mut object = (**object).clone();
        object["status"] = status;
        object["metadata"]["resourceVersion"] = json!(self.next_serial().to_string());
        let object = Arc::new(object);
        self.targets.insert(spot.clone(), Arc::clone(&object));
        self.show_target(spot, &object);
    }

    /// A target that stands there from the beginning, running unless it says otherwise.
    pub(super) fn place_target(&mut self, namespace: &str, mut object: Value) {
        object["metadata"]["namespace"] = json!(namespace);
        defaulted(&mut object);
        let object = self.stamp(object, None, "kubectl");
        let mut object = (*object).clone();
        if object.get("status").is_none()
            && let Some(status) = done(&object)
        {
            object["status"] = status;
        }
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let spot = (namespace.to_owned(), text("kind"), name);
        let object = Arc::new(object);
        self.targets.insert(spot.clone(), Arc::clone(&object));
        self.show_target(&spot, &object);
    }
}

/// What the API server fills in and readiness reads.
fn defaulted(object: &mut Value) {
    if object["kind"] == "Deployment" {
        let spec = &mut object["spec"];
        for (field, value) in [("replicas", 1), ("progressDeadlineSeconds", 600)] {
            if spec[field].is_null() {
                spec[field] = json!(value);
            }
        }
    }
}

pub(super) fn names(metadata: &ObjectMeta) -> Names {
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

fn is_gone(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
}

fn spot(namespace: &str, object: Object<'_>) -> Spot {
    (
        namespace.to_owned(),
        object.kind.to_owned(),
        object.name.to_owned(),
    )
}

fn version(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
}

/// The precondition that an object is still the one that was observed; absent is any.
fn same(metadata: &ObjectMeta, uid: &Option<String>, version: &Option<String>) -> Answer<()> {
    let fits = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
    if fits(uid, &metadata.uid) && fits(version, &metadata.resource_version) {
        return Ok(());
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    Err(Trouble::Conflict(format!(
        "{name} has been changed since it was read"
    )))
}

fn stored(metadata: &ObjectMeta) -> StoredPreState {
    let label = |key: &str| {
        let labels = metadata.labels.as_ref();
        labels.and_then(|l| l.get(key)).cloned().unwrap_or_default()
    };
    StoredPreState {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        release_uid: label(LABEL_RELEASE_UID),
        environment: label(LABEL_ENVIRONMENT),
    }
}

/// The kinds that are watched.
fn kind_of(kind: &str) -> Option<&'static str> {
    ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"]
        .into_iter()
        .find(|k| *k == kind)
}

fn watched(spot: &Spot, object: &Arc<Value>) -> Option<Change> {
    Some(match kind_of(&spot.1)? {
        "Job" => Change::Job(spot.clone(), Arc::clone(object)),
        kind => Change::Workload(kind, spot.clone(), Arc::clone(object)),
    })
}
