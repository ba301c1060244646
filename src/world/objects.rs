//! All objects of the simulated cluster, as plain values, and the preconditions that Kubernetes enforces when
//! the operator writes: uid and resourceVersion, create-only, finalizers. It models our writes, not the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

use crate::api::{
    Decision, Environment, EnvironmentStatus, Kind, Release, ReleaseReview, ReleaseStatus, time,
};
use crate::cache::index::Namespace;
use crate::cluster::RequestError;
use crate::decide::facts::Claim;
use crate::stored::claims;
use crate::world::changes::{Change, Deed, Names, STREAMS, Spot, kept, watched};
use crate::world::neighbours::Neighbours;
use crate::world::reactions::Reaction;
use crate::world::script::{Behaviour, Script};

/// What the API server answers to a request.
pub(crate) type Answer<T> = Result<T, RequestError>;

/// The plain values.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) now: Timestamp,
    serial: u64,
    pub(crate) script: Script,
    pub(crate) releases: BTreeMap<Names, Arc<Release>>,
    pub(crate) environments: BTreeMap<String, Arc<Environment>>,
    pub(crate) decisions: BTreeMap<Names, Arc<Decision>>,
    pub(crate) reviews: BTreeMap<Names, Arc<ReleaseReview>>,
    pub(crate) leases: BTreeMap<String, Arc<Lease>>,
    pub(crate) revisions: BTreeMap<String, Arc<ControllerRevision>>,
    pub(crate) targets: BTreeMap<Spot, Arc<Value>>,
    pub(crate) pods: BTreeMap<Names, Arc<Value>>,
    pub(crate) neighbours: Neighbours,
    /// How the images behave that promotions have written to targets.
    pub(crate) fates: BTreeMap<Spot, (String, Behaviour)>,
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    pub(crate) policies: Vec<(&'static str, &'static str, Arc<Value>)>,
    /// The operator that leads and may change targets.
    pub(crate) leader: usize,
    /// Target namespaces in which every request of the deployer is refused.
    pub(crate) refuses: BTreeSet<String>,
    /// What controllers do later.
    pub(crate) reactions: BTreeMap<(Timestamp, u64), Reaction>,
    /// When terminating pods are deleted.
    pub(crate) ending: BTreeSet<(Timestamp, (String, String))>,
    /// When each pod, by its uid, has crashed.
    pub(crate) crashes: Vec<(String, Timestamp)>,
    /// Decisions that people create later.
    pub(crate) later: Vec<Decision>,
    pub(crate) streams: [Vec<Change>; STREAMS],
    pub(crate) deeds: Vec<Deed>,
    /// Everything that the operator has written.
    pub(crate) writes: u64,
}

impl Objects {
    /// No objects, at `now`.
    pub(crate) fn new(now: Timestamp, script: Script) -> Self {
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
            pods: BTreeMap::new(),
            neighbours: Neighbours::default(),
            fates: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            policies: Vec::new(),
            leader: 0,
            refuses: BTreeSet::new(),
            reactions: BTreeMap::new(),
            ending: BTreeSet::new(),
            crashes: Vec::new(),
            later: Vec::new(),
            streams: Default::default(),
            deeds: Vec::new(),
            writes: 0,
        }
    }

    /// The next serial number, from which uids and resourceVersions are made.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Shows it on its stream.
    pub(crate) fn changed(&mut self, change: Change) {
        self.streams[change.stream()].push(change);
    }

    fn did(&mut self, deed: Deed) {
        self.writes += 1;
        self.deeds.push(deed);
    }

    /// A new object's identity.
    pub(crate) fn born(&mut self, metadata: &mut ObjectMeta) {
        let serial = self.next_serial();
        metadata.uid.get_or_insert_with(|| format!("uid-{serial}"));
        metadata.resource_version = Some(serial.to_string());
        metadata.generation.get_or_insert(1);
        let now = self.now;
        metadata.creation_timestamp.get_or_insert_with(|| time(now));
    }

    /// The admission policies, as their watch shows them.
    pub(crate) fn policies(&self) -> impl Iterator<Item = Change> {
        self.policies
            .iter()
            .map(|(kind, name, policy)| Change::Policy(kind, name, Arc::clone(policy)))
    }

    /// What a list shows to a watch that has just begun.
    pub(crate) fn everything(&self) -> Vec<Change> {
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
        let pre_states = self.revisions.values().map(|r| kept(&r.metadata));
        let targets = self
            .targets
            .iter()
            .filter_map(|(spot, object)| watched(spot, object));
        let pods = self
            .pods
            .iter()
            .map(|(names, pod)| Change::Pod(names.clone(), Arc::clone(pod)));
        policies
            .chain(namespaces)
            .chain(environments)
            .chain(releases)
            .chain(decisions)
            .chain(reviews)
            .chain(claims.map(|c| Change::Claim(Arc::new(c))))
            .chain(pre_states)
            .chain(targets)
            .chain(pods)
            .collect()
    }

    // ---- Releases, Environments and Decisions ---------------------------------------------------------------

    /// A write of the whole status.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where it is not the one that was observed.
    pub(crate) fn put_release_status(
        &mut self,
        observed: &ObjectMeta,
        status: &ReleaseStatus,
    ) -> Answer<Release> {
        let names = names(observed);
        let before = self.releases.get(&names).cloned().ok_or(RequestError::NotFound)?;
        same(&before.metadata, &observed.uid, &observed.resource_version)?;
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

    /// A merge patch of finalizers.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where it is not the one that the patch names.
    pub(crate) fn patch_release(&mut self, names: &Names, patch: &Value) -> Answer<Release> {
        let before = self.releases.get(names).ok_or(RequestError::NotFound)?;
        let mut after = (**before).clone();
        self.patch_metadata(&mut after.metadata, patch)?;
        self.did(Deed::Metadata(format!("Release {}", names.1)));
        Ok((*self.keep_release(after)).clone())
    }

    /// Stores it, or deletes it if nothing holds it any more.
    pub(crate) fn keep_release(&mut self, release: Release) -> Arc<Release> {
        let names = names(&release.metadata);
        let release = Arc::new(release);
        if !is_gone(&release.metadata) {
            self.releases.insert(names, Arc::clone(&release));
            self.changed(Change::Release(Arc::clone(&release)));
            return release;
        }
        self.releases.remove(&names);
        self.changed(Change::Gone(Kind::Release, names));
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
            self.changed(Change::Gone(Kind::Decision, orphan));
        }
        release
    }

    /// A write of the whole status.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where it is not the one that was observed.
    pub(crate) fn put_environment_status(
        &mut self,
        observed: &ObjectMeta,
        status: &EnvironmentStatus,
    ) -> Answer<Environment> {
        let (_, name) = names(observed);
        let before = self.environments.get(&name).ok_or(RequestError::NotFound)?;
        same(&before.metadata, &observed.uid, &observed.resource_version)?;
        let mut after = (**before).clone();
        after.status = Some(status.clone());
        after.metadata.resource_version = Some(self.next_serial().to_string());
        let after = self.keep_environment(after);
        self.did(Deed::EnvironmentStatus(Arc::clone(&after)));
        Ok((*after).clone())
    }

    /// A merge patch of finalizers.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where it is not the one that the patch names.
    pub(crate) fn patch_environment(&mut self, name: &str, patch: &Value) -> Answer<Environment> {
        let before = self.environments.get(name).ok_or(RequestError::NotFound)?;
        let mut after = (**before).clone();
        self.patch_metadata(&mut after.metadata, patch)?;
        self.did(Deed::Metadata(format!("Environment {name}")));
        Ok((*self.keep_environment(after)).clone())
    }

    /// Stores it, or deletes it if nothing holds it any more.
    pub(crate) fn keep_environment(&mut self, environment: Environment) -> Arc<Environment> {
        let (_, name) = names(&environment.metadata);
        let environment = Arc::new(environment);
        if is_gone(&environment.metadata) {
            self.environments.remove(&name);
            self.changed(Change::Gone(Kind::Environment, (String::new(), name)));
        } else {
            self.environments.insert(name, Arc::clone(&environment));
            self.changed(Change::Environment(Arc::clone(&environment)));
        }
        environment
    }

    /// A merge patch of owners.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where it is not the one that the patch names.
    pub(crate) fn patch_decision(&mut self, names: &Names, patch: &Value) -> Answer<Decision> {
        let before = self.decisions.get(names).ok_or(RequestError::NotFound)?;
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
        let read = |e: serde_json::Error| RequestError::Invalid(e.to_string());
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

    /// The claim of the Lease `name`.
    pub(crate) fn claim(&self, name: &str) -> Option<Claim> {
        self.leases.get(name).and_then(|lease| claims::read(lease))
    }

    /// Every claim.
    #[cfg(test)]
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.leases.values().filter_map(|l| claims::read(l)).collect()
    }

    /// Creates it.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub(crate) fn create_lease(&mut self, lease: &Lease) -> Answer<Lease> {
        let name = lease.metadata.name.clone().unwrap_or_default();
        if self.leases.contains_key(&name) {
            return Err(RequestError::AlreadyExists);
        }
        let mut created = lease.clone();
        created.metadata.uid = None;
        self.born(&mut created.metadata);
        self.keep_lease(name, created)
    }

    /// Replaces it.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where uid or resourceVersion is another one.
    pub(crate) fn replace_lease(&mut self, name: &str, lease: &Lease) -> Answer<Lease> {
        let before = self.leases.get(name).ok_or(RequestError::NotFound)?;
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

    /// Deletes it.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where uid or resourceVersion is another one.
    pub(crate) fn delete_lease(&mut self, name: &str, uid: &str, version: &str) -> Answer<()> {
        let lease = self.leases.get(name).ok_or(RequestError::NotFound)?;
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

    /// Creates it.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub(crate) fn create_revision(&mut self, revision: &ControllerRevision) -> Answer<ObjectMeta> {
        let name = revision.metadata.name.clone().unwrap_or_default();
        if self.revisions.contains_key(&name) {
            return Err(RequestError::AlreadyExists);
        }
        let mut created = revision.clone();
        self.born(&mut created.metadata);
        let metadata = created.metadata.clone();
        self.changed(kept(&metadata));
        self.revisions.insert(name.clone(), Arc::new(created));
        self.did(Deed::PreState { name, created: true });
        Ok(metadata)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// `NotFound`, and `Conflict` where the uid is another one.
    pub(crate) fn delete_revision(&mut self, name: &str, uid: &str) -> Answer<()> {
        let revision = self.revisions.get(name).ok_or(RequestError::NotFound)?;
        same(&revision.metadata, &Some(uid.to_owned()), &None)?;
        self.revisions.remove(name);
        self.changed(Change::PreStateGone(name.to_owned(), uid.to_owned()));
        self.did(Deed::PreState {
            name: name.to_owned(),
            created: false,
        });
        Ok(())
    }
}

/// Namespace and name; empty if there is none.
pub(crate) fn names(metadata: &ObjectMeta) -> Names {
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

fn is_gone(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
}

/// The precondition that an object is still the observed one. If it is absent, every object satisfies it.
fn same(metadata: &ObjectMeta, uid: &Option<String>, version: &Option<String>) -> Answer<()> {
    let fits = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
    if fits(uid, &metadata.uid) && fits(version, &metadata.resource_version) {
        return Ok(());
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    Err(RequestError::Conflict(format!(
        "{name} has been changed since it was read"
    )))
}
