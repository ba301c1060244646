//! Every version that objects go through, from one version on, while it happens: what the API server still remembers
//! afterwards depends on how much else was written meanwhile.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// Between two tries while the API server is away.
const AGAIN: Duration = Duration::from_millis(100);

/// Tells `seen` each version after `from`: the object, and whether it is still there.
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
