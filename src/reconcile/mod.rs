//! One reconcile of one object: observe, decide, apply. Each returns what it did and when the next one is due. The caller
//! decides when to run it.

mod done;
mod environment;
mod orphans;
mod release;

use jiff::Timestamp;

use crate::apply::Applier;
use crate::cache::index::Key;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::Decide;
use crate::observe::Observer;

pub(crate) use crate::reconcile::done::{Done, Ended, Next};

/// One step of the object that `key` names. For a Release, `decide` says what to do.
///
/// # Errors
/// A request that failed: the reconcile is retried later. What was written before it stays.
pub(crate) async fn pass<C: Requests>(
    observer: &Observer<C>,
    decide: Decide,
    applier: &Applier<'_, C>,
    key: &Key,
    now: Timestamp,
) -> Result<Done, RequestError> {
    match key {
        Key::Release { namespace, name } => {
            release::release(observer, decide, applier, (namespace, name), now).await
        }
        Key::Environment { name } => environment::environment(observer, applier, name, now)
            .await
            .map(Done::from),
        Key::Orphans => orphans::orphans(observer, applier, now).await.map(Done::from),
    }
}
