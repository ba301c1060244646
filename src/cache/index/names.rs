//! Names in the index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::api::{Kind, Release};

/// What is reconciled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// One Release.
    Release { namespace: String, name: String },
    /// One Environment.
    Environment { name: String },
    /// All pre-states whose Release no longer exists.
    Orphans,
}

impl Key {
    /// The key of a Release, by namespace and name.
    #[must_use]
    pub fn release(namespace: &str, name: &str) -> Self {
        Self::Release {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of this Release.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        Self::release(
            release.metadata.namespace.as_deref().unwrap_or_default(),
            release.metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// The key of an Environment, by name.
    #[must_use]
    pub fn environment(name: &str) -> Self {
        Self::Environment {
            name: name.to_owned(),
        }
    }

    /// For metrics: never an object's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Release { .. } => Kind::Release.name(),
            Self::Environment { .. } => Kind::Environment.name(),
            Self::Orphans => Self::ORPHANS,
        }
    }

    const ORPHANS: &'static str = "Orphans";

    /// All values of [`Self::kind`].
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        let reconciled = Kind::ALL.into_iter().filter(|kind| kind.is_reconciled());
        reconciled.map(Kind::name).chain([Self::ORPHANS])
    }
}

/// The objects that a change concerns.
pub type Keys = Vec<Key>;

/// Namespace and name.
pub(crate) type Names = (String, String);

/// Names of objects by the uid of the Release that they belong to.
#[derive(Default)]
pub(crate) struct ByRelease(HashMap<String, BTreeSet<String>>);

impl ByRelease {
    pub(crate) fn insert(&mut self, uid: &str, name: &str) {
        self.0.entry(uid.to_owned()).or_default().insert(name.to_owned());
    }

    pub(crate) fn remove(&mut self, uid: &str, name: &str) {
        if let Some(names) = self.0.get_mut(uid) {
            names.remove(name);
            if names.is_empty() {
                self.0.remove(uid);
            }
        }
    }

    pub(crate) fn of(&self, uid: &str) -> impl Iterator<Item = &String> {
        self.0.get(uid).into_iter().flatten()
    }
}

/// Namespace and name of a Release.
pub(crate) fn names(release: &Release) -> Names {
    (
        release.metadata.namespace.clone().unwrap_or_default(),
        release.metadata.name.clone().unwrap_or_default(),
    )
}

/// Namespace, product and line.
pub(crate) fn product(release: &Release) -> (String, String, String) {
    let (namespace, _) = names(release);
    (namespace, release.spec.product.clone(), release.spec.line.clone())
}

/// Removes the object `name` from the Release in `namespace` that it names.
pub(crate) fn remove_named<K>(
    all: &mut HashMap<Names, BTreeMap<String, Arc<K>>>,
    namespace: &str,
    name: &str,
) -> Keys {
    let mut keys = Vec::new();
    all.retain(|(home, release), named| {
        if home == namespace && named.remove(name).is_some() {
            keys.push(Key::release(home, release));
        }
        !named.is_empty()
    });
    keys
}

/// Whether `known` is `other` or newer. The API server's resourceVersions are ordered (KEP-5504).
pub(crate) fn seen(known: &Option<String>, other: &Option<String>) -> bool {
    let number = |v: &Option<String>| v.as_deref().and_then(|v| v.parse::<u64>().ok());
    matches!((number(known), number(other)), (Some(known), Some(other)) if known >= other)
}
