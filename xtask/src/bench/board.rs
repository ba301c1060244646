//! Follows all Releases with one watch, so that no polling is needed.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use signalbox::api::Release;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fleet::{Name, WAVE};

/// The timeout, to which a second is added for each Release.
const PATIENCE: Duration = Duration::from_secs(300);

type Seen = HashMap<(String, String), Release>;

/// The newest state of every Release.
pub struct Board {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Board {
    pub fn start(client: Client) -> Self {
        let (publish, seen) = watch::channel(Seen::new());
        let task = tokio::spawn(async move {
            let changes = watcher(Api::<Release>::all(client), watcher::Config::default())
                .default_backoff()
                .applied_objects();
            let mut changes = std::pin::pin!(changes);
            loop {
                match changes.try_next().await {
                    Ok(Some(release)) => publish.send_modify(|seen| {
                        let key = (release.namespace().unwrap_or_default(), release.name_any());
                        seen.insert(key, release);
                    }),
                    Ok(None) => return,
                    Err(_) => {} // it restarts by itself
                }
            }
        });
        Self { seen, task }
    }

    /// Waits until `count` Releases of a wave fulfil the condition.
    pub async fn until(
        &mut self,
        what: &str,
        wave: &str,
        count: usize,
        is_so: impl Fn(&Release) -> bool,
    ) -> Result<()> {
        let so = |seen: &Seen| {
            let of_wave = seen
                .values()
                .filter(|r| r.labels().get(WAVE).is_some_and(|w| w == wave));
            of_wave.filter(|release| is_so(release)).count()
        };
        let patience = PATIENCE + Duration::from_secs(count as u64);
        let waited = tokio::time::timeout(patience, self.seen.wait_for(|seen| so(seen) >= count)).await;
        let waited = waited.map(|seen| seen.map(drop));
        match waited {
            Ok(seen) => seen.context("the watch of the Releases has ended"),
            Err(_) => {
                let reached = so(&self.seen.borrow());
                bail!(
                    "{reached} of {count} releases {what} within {} s",
                    patience.as_secs()
                )
            }
        }
    }

    /// The hash of a Release's first plan.
    pub fn plan_hash(&self, release: &Name) -> Result<String> {
        let seen = self.seen.borrow();
        seen.get(&(release.namespace.clone(), release.name.clone()))
            .and_then(|r| Some(r.status.as_ref()?.environments.first()?.plan_hash.clone()))
            .with_context(|| format!("{} has no plan yet", release.name))
    }
}
