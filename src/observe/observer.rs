//! What every answer is read with: the client, the cached data and the settings.

use std::sync::{Arc, Mutex, PoisonError, RwLockReadGuard};

use kube::Client;

use crate::cache::index::Index;
use crate::cache::knowledge::Knowledge;
use crate::cache::queue::Queue;
use crate::cluster::requests::{Requests, promotion_name};
use crate::decide::facts::{Settings, Trust};
use crate::observe::trust::Expected;

/// Reads the cluster.
pub struct Observer<C = Client> {
    client: C,
    knowledge: Arc<Knowledge>,
    settings: Arc<Settings>,
    expected: Expected,
    /// The result of the check of the policies, and the number of policy changes that it covers.
    trust: Mutex<Option<(u64, Trust)>>,
}

impl<C: Requests> Observer<C> {
    /// A new observer with empty caches; changed objects are requeued through `queue`.
    #[must_use]
    pub fn new(client: C, queue: Queue, settings: Arc<Settings>, expected: Expected) -> Self {
        Self {
            client,
            knowledge: Arc::new(Knowledge::new(queue)),
            settings,
            expected,
            trust: Mutex::default(),
        }
    }

    /// What this process has cached.
    #[must_use]
    pub fn knowledge(&self) -> &Arc<Knowledge> {
        &self.knowledge
    }

    /// [`Knowledge::index`].
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.knowledge.index()
    }

    /// What can be trusted now.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trusted(&self.index())
    }

    /// [`Self::trust`], for a caller that already holds the index.
    pub(crate) fn trusted(&self, index: &Index) -> Trust {
        let mut known = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((seen, trust)) if *seen == index.policies_seen() => trust.clone(),
            _ => known
                .insert((index.policies_seen(), self.expected.judge(index)))
                .1
                .clone(),
        }
    }

    /// How the operator was set up.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The client that has the operator's own rights.
    #[must_use]
    pub fn client(&self) -> &C {
        &self.client
    }

    /// The deployer of `namespace`, on behalf of this promotion.
    #[must_use]
    pub fn deployer(&self, namespace: &str, release: &str, environment: &str, attempt: i64) -> C::Deployer {
        let promotion = promotion_name(release, environment, attempt);
        self.client
            .deployer(&self.settings.deployer, namespace, &promotion)
    }
}
