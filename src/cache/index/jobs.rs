//! Jobs of gates and verification.

use crate::cache::index::Index;
use crate::cache::index::names::Keys;
use crate::cache::kept::Kept;

impl Index {
    /// The Job of that name.
    #[must_use]
    pub fn job(&self, namespace: &str, name: &str) -> Option<&Kept> {
        self.jobs.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// A Job as a watch or an answer shows it.
    pub fn put_job(&mut self, namespace: &str, name: &str, job: Kept) -> Keys {
        self.jobs.insert((namespace.to_owned(), name.to_owned()), job);
        self.active_in(namespace)
    }

    /// The Job of that name was deleted.
    pub fn remove_job(&mut self, namespace: &str, name: &str) -> Keys {
        self.jobs.remove(&(namespace.to_owned(), name.to_owned()));
        self.active_in(namespace)
    }
}
