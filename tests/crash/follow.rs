//! Follows every version of objects, from one version on, while they are written. Which versions the API server still has later depends
//! on how much else was written during that time.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// The pause between two tries while the API server is down.
const AGAIN: Duration = Duration::from_millis(100);

/// Calls `seen` for each version after `from`, with the object and whether it still exists.
pub fn follow<K>(
    api: Api<K>,
    only: WatchParams,
    from: String,
    mut seen: impl FnMut(K, bool) + Send + 'static,
) -> JoinHandle<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    tokio::spawn(async move {
        let mut version = from;
        loop {
            let Ok(events) = api.watch(&only, &version).await else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let mut events = std::pin::pin!(events);
            while let Some(Ok(event)) = events.next().await {
                let (object, is_there) = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
                    WatchEvent::Deleted(object) => (object, false),
                    WatchEvent::Bookmark(bookmark) => {
                        version = bookmark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(error) => panic!("versions of {} are lost: {error}", K::kind(&())),
                };
                version = object.resource_version().unwrap();
                seen(object, is_there);
            }
        }
    })
}
