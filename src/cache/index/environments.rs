//! Environments.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::{Environment, EnvironmentSpec, Release};
use crate::cache::index::names::{Key, Keys, seen};
use crate::cache::index::settled::unsettled;
use crate::cache::index::{Index, Unreadable};
use crate::decide::facts::Setting;
use crate::decide::shared_targets;
use crate::domain::windows::calendar_of;

impl Index {
    /// All that can be read, by name.
    #[must_use]
    pub fn environments(&self) -> Arc<BTreeMap<String, Setting>> {
        Arc::clone(&self.environments)
    }

    /// An Environment as a watch or an answer shows it. A version older than the cached one changes nothing.
    pub fn put_environment(&mut self, environment: Arc<Environment>) -> Keys {
        let name = environment.metadata.name.clone().unwrap_or_default();
        self.unreadable_environments.remove(&name);
        let known = self.environments.get(&name);
        if known.is_some_and(|k| {
            seen(
                &k.environment.metadata.resource_version,
                &environment.metadata.resource_version,
            )
        }) {
            return vec![];
        }
        let same_spec = known.filter(|k| k.environment.spec == environment.spec);
        let old_spec = known.map(|k| k.environment.spec.clone());
        let changed = same_spec.is_none();
        let same_life = same_spec
            .filter(|k| k.environment.metadata.deletion_timestamp == environment.metadata.deletion_timestamp);
        let only_status = same_life.is_some();
        let calendar = same_spec.map_or_else(
            || Arc::new(calendar_of(&environment)),
            |k| Arc::clone(&k.calendar),
        );
        Arc::make_mut(&mut self.environments).insert(
            name.clone(),
            Setting {
                environment,
                calendar,
            },
        );
        let mut keys = vec![Key::environment(&name)];
        if !only_status {
            keys.extend(self.environment_changed(&name));
        }
        if changed {
            let new_spec = &self.environments[&name].environment.spec;
            let specs = old_spec.iter().chain([new_spec]);
            keys.extend(specs.flat_map(|spec| self.leading_where(spec)));
        }
        keys
    }

    /// Environments with the same target namespaces: each reports settings that the other lacks.
    fn leading_where(&self, spec: &EnvironmentSpec) -> Keys {
        let others = self.environments.iter();
        let others = others.filter(|(_, s)| shared_targets::meet(spec, &s.environment.spec));
        others.map(|(name, _)| Key::environment(name)).collect()
    }

    /// Whether the object of that uid and resourceVersion, or a newer one, is cached already.
    #[must_use]
    pub fn has_environment(&self, name: &str, meta: &ObjectMeta) -> bool {
        self.environments
            .get(name)
            .map(|known| &known.environment.metadata)
            .is_some_and(|known| {
                known.uid == meta.uid && seen(&known.resource_version, &meta.resource_version)
            })
    }

    /// It is treated as missing, and its status says so.
    pub fn put_unreadable_environment(&mut self, name: &str, unreadable: Unreadable) -> Keys {
        let mut keys = self.remove_environment(name);
        self.unreadable_environments.insert(name.to_owned(), unreadable);
        keys.push(Key::environment(name));
        keys
    }

    /// Why the Environment of that name cannot be read, where it cannot.
    #[must_use]
    pub fn unreadable_environment(&self, name: &str) -> Option<&Unreadable> {
        self.unreadable_environments.get(name)
    }

    /// The Environment of that name was deleted.
    pub fn remove_environment(&mut self, name: &str) -> Keys {
        self.unreadable_environments.remove(name);
        let gone = Arc::make_mut(&mut self.environments).remove(name);
        let mut keys = self.environment_changed(name);
        keys.extend(gone.iter().flat_map(|s| self.leading_where(&s.environment.spec)));
        keys
    }

    fn environment_changed(&mut self, name: &str) -> Keys {
        let concerned: Vec<Arc<Release>> = self
            .releases()
            .filter(|r| unsettled(r) && r.spec.environments.iter().any(|e| e == name))
            .cloned()
            .collect();
        for release in &concerned {
            self.activate(release);
        }
        concerned.iter().map(|r| Key::of(r)).collect()
    }
}
