//! Claims (the Leases that lock target namespaces) in the operator's namespace, each written with the observed version as precondition.

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;

use crate::api::UNSETTLED;
use crate::apply::{Applier, Progress};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::decide::facts::{Claim, Holder, Observed};
use crate::stored::claims;

impl<C: Requests> Applier<'_, C> {
    /// Claims the target namespace for `holder`, unless it is already claimed.
    pub(crate) async fn claim(
        &self,
        o: &Observed,
        environment: &str,
        namespace: &str,
        holder: &Holder,
    ) -> Result<Progress, RequestError> {
        let lease = claims::write(namespace, holder, &o.release_path());
        let name = lease.name_any();
        match self.client.create_lease(self.home(), &lease).await {
            Ok(written) => {
                tracing::info!(
                    environment,
                    attempt = holder.attempt,
                    step = "claim",
                    namespace,
                    "Target namespace locked."
                );
                self.remember_claim(&written);
                Ok(Progress::Again)
            }
            // Ours from before a crash, or another Release's: the next reconcile reads it.
            Err(RequestError::AlreadyExists) => self.refresh_claim(&name).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Transfers a claim that another Release held to this Release.
    pub(crate) async fn take_over(
        &self,
        o: &Observed,
        environment: &str,
        claim: &Claim,
        holder: &Holder,
    ) -> Result<Progress, RequestError> {
        let lease = claims::write(&claim.namespace, holder, &o.release_path());
        tracing::info!(
            environment,
            attempt = holder.attempt,
            step = "take-over",
            from = claim.release,
            "Lock of the target namespace taken over."
        );
        self.replace_lease(claim, lease).await
    }

    /// Marks on the claim that a Decision is required, for the Release that comes next.
    pub(crate) async fn mark_unsettled(
        &self,
        environment: &str,
        claim: &Claim,
    ) -> Result<Progress, RequestError> {
        let Some(holder) = &claim.holder else {
            return Ok(Progress::Later);
        };
        let mut lease = claims::write(&claim.namespace, holder, &claim.release);
        lease
            .annotations_mut()
            .insert(UNSETTLED.to_owned(), "true".to_owned());
        tracing::info!(
            environment,
            attempt = holder.attempt,
            step = "unsettled",
            "Lock of the target namespace kept: a Decision is required."
        );
        self.replace_lease(claim, lease).await
    }

    async fn replace_lease(&self, claim: &Claim, mut lease: Lease) -> Result<Progress, RequestError> {
        lease.metadata.resource_version = Some(claim.resource_version.clone());
        lease.metadata.uid = Some(claim.uid.clone());
        match self.client.replace_lease(self.home(), &claim.name, &lease).await {
            Ok(written) => {
                self.remember_claim(&written);
                Ok(Progress::Again)
            }
            Err(RequestError::Conflict(_) | RequestError::NotFound) => self.refresh_claim(&claim.name).await,
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads the Lease again, so that the next reconcile sees its holder.
    async fn refresh_claim(&self, name: &str) -> Result<Progress, RequestError> {
        match self.client.lease(self.home(), name).await? {
            Some(lease) => self.remember_claim(&lease),
            None => {
                let uid = self
                    .knowledge
                    .index()
                    .claims()
                    .find(|c| c.name == name)
                    .map(|c| c.uid.clone());
                if let Some(uid) = uid {
                    self.wrote(|index| index.remove_claim(name, &uid));
                }
            }
        }
        Ok(Progress::Again)
    }

    fn remember_claim(&self, lease: &Lease) {
        if let Some(claim) = claims::read(lease) {
            self.wrote(|index| index.put_claim(claim));
        }
    }

    pub(crate) async fn release_claim(&self, claim: &Claim) -> Result<Progress, RequestError> {
        match self
            .client
            .delete_lease(self.home(), &claim.name, &claim.uid, &claim.resource_version)
            .await
        {
            Ok(()) => {
                self.wrote(|index| index.remove_claim(&claim.name, &claim.uid));
                Ok(Progress::Again)
            }
            Err(RequestError::Conflict(_) | RequestError::NotFound) => self.refresh_claim(&claim.name).await,
            Err(trouble) => Err(trouble),
        }
    }
}
