//! Tests wait by watching: they do not sleep, and a wait that times out prints the last state.

use std::fmt::Debug;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::wait::{Error, await_condition};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signalbox::api::Release;
use signalbox::api::release::State;

/// Waits until `holds` is true for the object `name`, and returns it.
///
/// # Panics
/// With the object's status as YAML if that takes longer than `timeout`.
pub async fn wait_until<K>(
    api: &Api<K>,
    name: &str,
    timeout: Duration,
    holds: impl Fn(&K) -> bool + Send,
) -> K
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let last = Mutex::new(None);
    let seen = |object: Option<&K>| {
        *last.lock().unwrap() = object.cloned();
        object.is_some_and(&holds)
    };
    match tokio::time::timeout(timeout, watched(api, name, &seen)).await {
        Ok(Ok(Some(object))) => object,
        Ok(Ok(None)) => unreachable!("the condition wants an object"),
        Ok(Err(error)) => panic!("{name} cannot be watched: {error}"),
        Err(_) => panic!(
            "waited {timeout:?} for {name}; it was last seen {}",
            described(last.into_inner().unwrap().as_ref())
        ),
    }
}

/// Waits for the first object for which `holds` is true, of any name. It is used for Events, which are written after the status.
///
/// # Panics
/// With the names of the existing objects if it takes longer than `timeout`.
pub async fn some<K>(api: &Api<K>, timeout: Duration, holds: impl Fn(&K) -> bool + Send) -> K
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let mut seen = Vec::new();
    let objects = watcher(api.clone(), watcher::Config::default()).applied_objects();
    let mut objects = std::pin::pin!(objects);
    let found = tokio::time::timeout(timeout, async {
        loop {
            match objects.next().await.expect("a watch does not end") {
                Ok(object) if holds(&object) => return object,
                Ok(object) => seen.push(object),
                Err(error) => println!("watched again after {error}"),
            }
        }
    })
    .await;
    found.unwrap_or_else(|_| panic!("waited {timeout:?}; there were {seen:#?}"))
}

/// Waits until the object `name` does not exist.
pub async fn gone<K>(api: &Api<K>, name: &str, timeout: Duration)
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let last = Mutex::new(None);
    let seen = |object: Option<&K>| {
        *last.lock().unwrap() = object.cloned();
        object.is_none()
    };
    match tokio::time::timeout(timeout, watched(api, name, &seen)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => panic!("{name} cannot be watched: {error}"),
        Err(_) => {
            let last = last.into_inner().unwrap();
            let held_by = last.as_ref().and_then(|o| o.meta().finalizers.clone());
            panic!(
                "waited {timeout:?} for {name} to go; finalizers {held_by:?}; last seen {}",
                described(last.as_ref())
            )
        }
    }
}

/// Waits until the condition is true. If the API server no longer has the version from which to continue, as after a change of the
/// CRD, the watch starts again.
async fn watched<K>(api: &Api<K>, name: &str, holds: &impl Fn(Option<&K>) -> bool) -> Result<Option<K>, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    loop {
        match await_condition(api.clone(), name, holds).await {
            Err(Error::ProbeFailed(watcher::Error::WatchError(status))) if status.code == 410 => {}
            answer => return answer,
        }
    }
}

fn described<K: Serialize>(object: Option<&K>) -> String {
    let Some(object) = object else {
        return "not to exist".to_owned();
    };
    let value = serde_json::to_value(object).unwrap_or_default();
    match value.get("status") {
        Some(status) => format!(
            "with the status\n{}",
            serde_yaml_ng::to_string(status).unwrap_or_default()
        ),
        None => "without a status".to_owned(),
    }
}

/// The state of the promotion into `environment` (its full name), if there is one.
#[must_use]
pub fn state_of(release: &Release, environment: &str) -> Option<State> {
    release.promotion(environment).map(|promotion| promotion.state)
}

/// The message with which the API server refused a request that it must refuse.
///
/// # Panics
/// If it was accepted, or if the API server did not answer.
pub fn refused<T: Serialize>(result: kube::Result<T>) -> String {
    match result {
        Err(kube::Error::Api(status)) => status.message.clone(),
        Err(error) => panic!("not an answer of the API server: {error}"),
        Ok(accepted) => {
            let accepted = serde_json::to_value(&accepted).unwrap_or_default();
            panic!(
                "should have been refused:\n{}",
                serde_yaml_ng::to_string(&accepted["spec"]).unwrap_or_default()
            )
        }
    }
}
