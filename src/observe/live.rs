//! Live reads of everything that a stale cache could get wrong.

use std::sync::Arc;

use crate::api::Action;
use crate::api::release::{Promotion, State};
use crate::cache::index::is_newer;
use crate::cache::memory::Memory;
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::{Of, Requests};
use crate::decide::facts::{Claim, Observed, Setting};
use crate::decide::plan;
use crate::domain::windows::calendar_of;
use crate::observe::observer::Observer;
use crate::stored::claims;

impl<C: Requests> Observer<C> {
    /// Before the first effect of a term that depends on the status alone. Another process, which led until a moment ago, may have
    /// written a status that the watch has not shown yet, so the Release is read live, once. From then on no other process changes
    /// its status, and this process caches its own writes.
    ///
    /// # Errors
    /// [`RequestError::Conflict`] where the Release is not as it was observed.
    pub async fn look_before_first(&self, o: &Observed, memory: &mut Memory) -> Result<(), RequestError> {
        if memory.seen_live {
            return Ok(());
        }
        self.live_release(o).await?;
        memory.seen_live = true;
        Ok(())
    }

    /// A holder that is not in the index may be deleted: a live read confirms it.
    pub(crate) async fn prove_absent(&self, claim: &mut Claim) -> Result<(), RequestError> {
        let Some((namespace, name)) = claim.release.split_once('/') else {
            claim.holder_absent = true;
            return Ok(());
        };
        let uid = claim.holder.as_ref().map(|h| h.release_uid.clone());
        if self
            .index()
            .release(namespace, name)
            .is_some_and(|r| r.metadata.uid == uid)
        {
            return Ok(());
        }
        let found = self.client().release_metadata(namespace, name).await?;
        claim.holder_absent = found.is_none_or(|f| f.uid != uid);
        Ok(())
    }

    /// The claim of that target namespace.
    pub(crate) async fn live_claim(&self, namespace: &str) -> Result<Option<Claim>, RequestError> {
        let home = &self.settings().operator_namespace;
        let lease = self.client().lease(home, &plan::claim_name(namespace)).await?;
        Ok(lease.as_ref().and_then(claims::read))
    }

    /// Confirms that the Release has not changed since it was observed. Another process, which led until a moment ago, may have entered a
    /// promotion: its pre-state would differ from the current targets, which must not be captured a second time.
    ///
    /// # Errors
    /// [`RequestError::Conflict`] where the Release has been changed, [`RequestError::NotFound`] where it was deleted.
    pub(crate) async fn live_release(&self, o: &Observed) -> Result<(), RequestError> {
        let Some(live) = self.client().release(o.namespace(), o.name()).await? else {
            return Err(RequestError::NotFound);
        };
        if live.metadata.resource_version == o.release.metadata.resource_version {
            return Ok(());
        }
        self.knowledge().see(|index| index.put_release(Arc::new(live)));
        Err(RequestError::Conflict(format!(
            "{} changed after it was observed",
            o.release_path()
        )))
    }

    /// The live Environment; `known` where nothing that matters for decisions has changed.
    pub(crate) async fn live_environment(
        &self,
        o: &mut Observed,
        name: &str,
        known: Setting,
    ) -> Result<Setting, RequestError> {
        let Some(live) = self.client().environment(name).await? else {
            return Err(RequestError::NotFound);
        };
        if live.spec == known.environment.spec
            && live.metadata.deletion_timestamp == known.environment.metadata.deletion_timestamp
        {
            return Ok(known);
        }
        let setting = Setting {
            calendar: Arc::new(calendar_of(&live)),
            environment: Arc::new(live),
        };
        Arc::make_mut(&mut o.environments).insert(name.to_owned(), setting.clone());
        Ok(setting)
    }

    /// A Reject that the watch has not shown yet still blocks, whichever Release it names.
    pub(crate) async fn live_decisions(&self, o: &mut Observed, p: &Promotion) -> Result<(), RequestError> {
        let named = self
            .client()
            .decisions(o.namespace(), Of::Release(o.name()))
            .await?;
        let of_plan = self
            .client()
            .decisions(o.namespace(), Of::Plan(&p.plan_hash))
            .await?;
        let rejects = of_plan.into_iter().filter(|d| d.spec.action == Action::Reject);
        // Those of other Releases are kept, for the other environments.
        let name = o.name().to_owned();
        let mut known = std::mem::take(&mut o.decisions);
        known.retain(|d| d.spec.release != name);
        o.know(
            known
                .into_iter()
                .chain(named.into_iter().chain(rejects).map(Arc::new)),
        );
        Ok(())
    }

    /// Newer versions that list this environment: has one Succeeded there that the watch has not shown yet?
    pub(crate) async fn live_newer(&self, o: &mut Observed, p: &Promotion) -> Result<(), RequestError> {
        for sibling in &mut o.siblings {
            let listed = sibling.spec.environments.contains(&p.name);
            let succeeded = sibling
                .promotion(&p.name)
                .is_some_and(|q| q.state == State::Succeeded);
            if listed
                && !succeeded
                && is_newer(sibling, &o.release)
                && let Some(live) = self
                    .client()
                    .release(
                        sibling.metadata.namespace.as_deref().unwrap_or_default(),
                        sibling.metadata.name.as_deref().unwrap_or_default(),
                    )
                    .await?
            {
                *sibling = Arc::new(live);
            }
        }
        Ok(())
    }
}
