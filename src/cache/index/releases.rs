//! Releases, and those that cannot be read.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::Release;
use crate::api::release::{Promotion, State};
use crate::cache::index::names::{Key, Keys, Names, names, product, seen};
use crate::cache::index::settled::{Known, has_needless_patches, unsettled, without_patches};
use crate::cache::index::{Index, Unreadable};

impl Index {
    /// The Release, or an outline of it: [`Self::whole`] returns everything.
    #[must_use]
    pub fn release(&self, namespace: &str, name: &str) -> Option<&Arc<Release>> {
        let known = self.releases.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(&known.release)
    }

    /// The Release with everything in it. [`Self::release`] returns only an outline of a finished Release, and leaves out
    /// large patches.
    #[must_use]
    pub fn whole(&self, namespace: &str, name: &str) -> Option<Arc<Release>> {
        let known = self.releases.get(&(namespace.to_owned(), name.to_owned()))?;
        match &known.packed {
            Some(packed) => packed.whole().map(Arc::new),
            None => Some(Arc::clone(&known.release)),
        }
    }

    /// Why the Release of that name cannot be read, where it cannot.
    #[must_use]
    pub fn unreadable(&self, namespace: &str, name: &str) -> Option<&Unreadable> {
        self.unreadable.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether the object of that uid and resourceVersion, or a newer one, is cached already.
    #[must_use]
    pub fn has_release(&self, namespace: &str, name: &str, meta: &ObjectMeta) -> bool {
        self.release(namespace, name).is_some_and(|known| {
            known.metadata.uid == meta.uid && seen(&known.metadata.resource_version, &meta.resource_version)
        })
    }

    /// How many Releases there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.releases.len()
    }

    /// All that can be read, as [`Self::release`] returns them.
    pub fn releases(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.releases.values().map(|known| &known.release)
    }

    /// Others of the same namespace, product and line.
    #[must_use]
    pub fn siblings(&self, release: &Release) -> Vec<Arc<Release>> {
        let (namespace, name) = names(release);
        let siblings = self
            .by_product
            .get(&product(release))
            .into_iter()
            .flatten()
            .filter(|other| **other != name);
        siblings
            .filter_map(|other| self.release(&namespace, other))
            .cloned()
            .collect()
    }

    /// A Release as a watch or an answer shows it. A version older than the cached one changes nothing.
    pub fn put_release(&mut self, release: Arc<Release>) -> Keys {
        let names = names(&release);
        if self.is_overtaken(&names, &release) {
            return vec![];
        }
        self.unreadable.remove(&names);
        let release = if has_needless_patches(&release) {
            Arc::new(without_patches(&release))
        } else {
            release
        };
        let mut keys = vec![Key::of(&release)];
        // One that was deleted and created again may be of another product.
        if let Some(before) = self.releases.get(&names).map(|known| Arc::clone(&known.release)) {
            self.forget_product(&before);
            if before.metadata.uid != release.metadata.uid {
                keys.extend(self.forget_uid(&before));
            }
        }
        self.uids.extend(release.metadata.uid.clone());
        self.by_product
            .entry(product(&release))
            .or_default()
            .insert(names.1.clone());
        let known = Known::from(release);
        let release = Arc::clone(&known.release);
        let line_before = self.release(&names.0, &names.1).map(|r| self.stands_in_line(r));
        let before = self.releases.insert(names, known).map(|known| known.release);
        self.activate(&release);
        let line_changed = line_before != Some(self.stands_in_line(&release));
        keys.extend(self.concerned(before.as_deref(), &release, line_changed));
        keys
    }

    /// Whether that version of the Release, or a newer one, has been seen already.
    fn is_overtaken(&self, names: &Names, release: &Release) -> bool {
        let version = &release.metadata.resource_version;
        let known = self.release(&names.0, &names.1);
        // The answer to our own write may come after an edit by a user that made it unreadable.
        let unreadable = self.unreadable.get(names);
        known.is_some_and(|known| seen(&known.metadata.resource_version, version))
            || unreadable.is_some_and(|unreadable| seen(&unreadable.resource_version, version))
    }

    /// The objects to requeue after the change since `before`.
    fn concerned(&self, before: Option<&Release>, release: &Release, line_changed: bool) -> Keys {
        let changed =
            |p: &Promotion| before.and_then(|b| b.promotion(&p.name)).map(|b| b.state) != Some(p.state);
        let moved: Vec<&Promotion> = release
            .status
            .iter()
            .flat_map(|s| &s.environments)
            .filter(|p| changed(p))
            .collect();
        if moved.is_empty() && !line_changed {
            return vec![];
        }
        // Supersede, NoDowngrade and the queue depend on the progress of other Releases.
        let siblings = self.siblings(release);
        let mut keys: Keys = siblings
            .iter()
            .filter(|s| unsettled(s))
            .map(|s| Key::of(s))
            .collect();
        // After a backout, a Release that Succeeded there before is compared with its targets again.
        let backed_out = moved.iter().filter(|p| p.state == State::BackedOut);
        let stands = |sibling: &Release| {
            let mut backed_out = backed_out.clone();
            backed_out.any(|p| {
                sibling
                    .promotion(&p.name)
                    .is_some_and(|p| p.state == State::Succeeded)
            })
        };
        keys.extend(siblings.iter().filter(|s| stands(s)).map(|s| Key::of(s)));
        for promotion in moved {
            keys.push(Key::environment(&promotion.name));
            if let Some(namespace) = self.target_namespace(release, promotion) {
                keys.extend(self.queued_in(&namespace));
            }
        }
        keys
    }

    /// Removes exactly that Release: another one of the same name may have replaced it already.
    pub fn remove_release_of(&mut self, namespace: &str, name: &str, uid: &str) -> Keys {
        let known = self.release(namespace, name);
        if known.is_some_and(|r| r.metadata.uid.as_deref() == Some(uid)) {
            self.remove_release(namespace, name)
        } else {
            vec![]
        }
    }

    /// The Release of that name was deleted, whatever its uid.
    pub fn remove_release(&mut self, namespace: &str, name: &str) -> Keys {
        let names = (namespace.to_owned(), name.to_owned());
        self.unreadable.remove(&names);
        let Some(Known { release, .. }) = self.releases.remove(&names) else {
            return vec![];
        };
        self.forget_product(&release);
        self.deactivate(&Key::of(&release));
        let mut keys: Keys = self.siblings(&release).iter().map(|s| Key::of(s)).collect();
        keys.extend(self.forget_uid(&release));
        keys.extend(release.spec.environments.iter().map(|e| Key::environment(e)));
        for claim in self.claims.values() {
            if claim
                .holder
                .as_ref()
                .is_some_and(|h| Some(&h.release_uid) == release.metadata.uid.as_ref())
            {
                keys.extend(self.active_in(&claim.namespace));
            }
        }
        keys
    }

    /// Its pre-states become orphans.
    fn forget_uid(&mut self, release: &Release) -> Option<Key> {
        let uid = release.metadata.uid.as_ref()?;
        self.uids.remove(uid);
        self.pre_states_of(uid).next().map(|_| Key::Orphans)
    }

    fn forget_product(&mut self, release: &Release) {
        let product = product(release);
        if let Some(all) = self.by_product.get_mut(&product) {
            all.remove(release.metadata.name.as_deref().unwrap_or_default());
            if all.is_empty() {
                self.by_product.remove(&product);
            }
        }
    }

    /// A Release that does not match its schema, or is too large. The previous version stays cached, and it no longer moves.
    pub fn put_unreadable(&mut self, namespace: &str, name: &str, unreadable: Unreadable) -> Keys {
        self.unreadable
            .insert((namespace.to_owned(), name.to_owned()), unreadable);
        // Releases behind it in a queue are requeued.
        let busy = self
            .busy_in
            .get(&Key::release(namespace, name))
            .cloned()
            .unwrap_or_default();
        let mut behind: Keys = busy.iter().flat_map(|target| self.queued_in(target)).collect();
        if let Some(release) = self.release(namespace, name) {
            behind.extend(
                self.siblings(release)
                    .iter()
                    .filter(|s| unsettled(s))
                    .map(|s| Key::of(s)),
            );
        }
        behind.push(Key::release(namespace, name));
        behind
    }
}
