//! Pre-states whose Release no longer exists.

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};

use crate::apply::Applier;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::facts::StoredPreState;
use crate::decide::prestate::PreState;
use crate::domain::time::earliest;
use crate::observe::Observer;
use crate::reconcile::done::Next;

/// How long a pre-state outlives its Release. Only a Release that was deleted by force leaves one behind, and then it may be the only
/// record of the previous state.
const ORPHANS_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Deletes pre-states whose Release has not existed for a day, as far as this process has seen it: a restart starts the day again.
pub(crate) async fn orphans<C: Requests>(
    observer: &Observer<C>,
    applier: &Applier<'_, C>,
    now: Timestamp,
) -> Result<Next, RequestError> {
    let (mut next, mut troubled) = (None, None);
    for (orphan, since) in observer.knowledge().orphans(now) {
        if applier.stopping.load(Ordering::Relaxed) {
            return Ok(Next::Rest);
        }
        let mut due = since + ORPHANS_KEPT;
        if due <= now {
            if applier.term.holds().is_err() {
                return Ok(Next::Soon);
            }
            match sweep(observer, applier, &orphan).await {
                Ok(true) => continue,
                Ok(false) => {
                    observer.knowledge().not_orphaned(&orphan.uid);
                    due = now + ORPHANS_KEPT;
                }
                // It does not block the others.
                Err(trouble) => {
                    tracing::warn!(%trouble, pre_state = orphan.name, "The pre-state of a deleted Release could not be deleted.");
                    troubled = Some(trouble);
                    continue;
                }
            }
        }
        next = earliest(next, Some(due));
    }
    troubled.map_or(Ok(next.map_or(Next::Rest, Next::At)), Err)
}

/// Deletes `orphan`, unless its Release exists. The Release is read live: nothing is deleted because of a stale watch.
async fn sweep<C: Requests>(
    observer: &Observer<C>,
    applier: &Applier<'_, C>,
    orphan: &StoredPreState,
) -> Result<bool, RequestError> {
    let client = observer.client();
    let home = &observer.settings().operator_namespace;
    let kept = client.revision(home, &orphan.name).await?;
    let content = kept.and_then(|kept| PreState::read(kept.data?.0).ok());
    // An unreadable pre-state is left for a person to delete.
    let Some(content) = content else {
        return Ok(false);
    };
    let Some((namespace, name)) = content.release.split_once('/') else {
        return Ok(false);
    };
    let release = client.release_metadata(namespace, name).await?;
    if release.is_some_and(|release| release.uid.as_ref() == Some(&content.release_uid)) {
        return Ok(false);
    }
    tracing::info!(
        pre_state = orphan.name,
        release = content.release,
        "Deleting the pre-state of a Release that has not existed for a day."
    );
    applier.delete_pre_state(&orphan.name, &orphan.uid).await?;
    Ok(true)
}
