//! Records of versions that Succeeded and whose Release no longer exists.

use crate::api::Release;
use crate::cache::index::Index;
use crate::cache::index::names::{Key, Keys, product};
use crate::cache::index::settled::unsettled;
use crate::decide::facts::Remembered;

impl Index {
    /// The records for the product and line of `release`.
    #[must_use]
    pub fn remembered_of(&self, release: &Release) -> Vec<Remembered> {
        let key = product(release);
        let mut found: Vec<Remembered> = self
            .remembered
            .values()
            .filter(|r| (&r.namespace, &r.product, &r.line) == (&key.0, &key.1, &key.2))
            .cloned()
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Requeues unsettled Releases of that line.
    pub fn put_remembered(&mut self, remembered: Remembered) -> Keys {
        let keys = self.of_line(&remembered);
        self.remembered.insert(remembered.name.clone(), remembered);
        keys
    }

    pub(crate) fn of_line(&self, remembered: &Remembered) -> Keys {
        let key = (
            remembered.namespace.clone(),
            remembered.product.clone(),
            remembered.line.clone(),
        );
        let names = self.by_product.get(&key).into_iter().flatten();
        let releases = names.filter_map(|name| self.release(&key.0, name));
        releases.filter(|r| unsettled(r)).map(|r| Key::of(r)).collect()
    }
}
