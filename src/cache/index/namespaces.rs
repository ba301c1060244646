//! Namespaces: those of Releases and those of targets.

use crate::cache::index::names::{Key, Keys};
use crate::cache::index::settled::unsettled;
use crate::cache::index::{Index, Namespace};

impl Index {
    /// The cached namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// A namespace as its watch shows it.
    pub fn put_namespace(&mut self, name: &str, namespace: Namespace) -> Keys {
        self.namespaces.insert(name.to_owned(), namespace);
        self.namespace_keys(name)
    }

    /// The namespace of that name was deleted.
    pub fn remove_namespace(&mut self, name: &str) -> Keys {
        self.namespaces.remove(name);
        self.namespace_keys(name)
    }

    fn namespace_keys(&self, name: &str) -> Keys {
        let mut keys = self.active_in(name);
        let at_home = self
            .releases()
            .filter(|r| r.metadata.namespace.as_deref() == Some(name) && unsettled(r));
        keys.extend(at_home.map(|r| Key::of(r)));
        keys
    }
}
