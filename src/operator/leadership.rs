//! Who leads. Were there two leaders, every write's precondition would still hold; but a target that neither has changed yet
//! could still be changed forward by the one that does not know that the other has given up. So nobody acts on a Lease that
//! may be another's by now ([`Term`]), and a new leader does not act on what an old one may have written since.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;

use super::http::Health;
use super::watches::Ready;
use super::{Config, Context, Error, asked, dispatch, patiently};
use crate::api::Release;
use crate::apply::Applier;
use crate::cluster::term::Term;
use crate::decide::prestate::PreState;

/// Leads whenever the Lease is ours, until `stop`.
pub(super) async fn lead(
    context: Arc<Context>,
    client: Client,
    health: Arc<Health>,
    mut ready: Ready,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    tokio::select! {
        // Nothing runs before every watch has listed.
        _ = ready.wait_for(|left| *left == 0) => {}
        () = asked(&mut stop) => return Ok(()),
    }
    let elected = || async { manager(&context, client.clone()).await.map_err(Error::Leadership) };
    let Some(manager) = patiently(&mut stop, "leader election", elected).await? else {
        return Ok(());
    };
    let (mut leads, election) = manager.watch().await;
    loop {
        tokio::select! {
            changed = leads.wait_for(|leads| *leads) => if changed.is_err() { break },
            () = asked(&mut stop) => break,
        }
        context.stopping.store(false, Ordering::Relaxed);
        context.metrics.leader.set(1);
        tracing::info!(identity = context.config.identity, "leading");
        context.observer.begin_term();
        sweep(&context).await;
        let (end, ended) = watch::channel(false);
        let dispatch = dispatch::run(Arc::clone(&context), Arc::clone(&health), ended);
        tokio::pin!(dispatch);
        let stopped = tokio::select! {
            () = &mut dispatch => false,
            lost = async { leads.wait_for(|leads| !*leads).await.is_ok() } => { tracing::warn!(lost, "leadership lost"); false }
            () = asked(&mut stop) => true,
        };
        let _ = end.send(true);
        dispatch.await;
        context.metrics.leader.set(0);
        if stopped {
            break;
        }
    }
    drop(leads);
    // The Lease is given back, so that a successor need not wait.
    match election.await {
        Ok(Ok(_)) | Err(_) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the leader's Lease could not be given back");
            Ok(())
        }
    }
}

fn lease_seconds(config: &Config) -> u64 {
    config.lease_duration.as_secs().max(3)
}

/// How long before the Lease's end it is renewed.
fn grace_seconds(lease: u64) -> u64 {
    (lease / 3).max(1)
}

/// What this process may do on the strength of its Lease ends halfway between the renewal that is due and the moment at
/// which another process may lead: a change that has been sent by then has arrived.
pub(super) fn term(config: &Config) -> Term {
    let lease = lease_seconds(config);
    let stands = SignedDuration::from_secs(i64::try_from(lease).unwrap_or(i64::MAX));
    let grace = SignedDuration::from_secs(i64::try_from(grace_seconds(lease)).unwrap_or(0));
    Term::new(&config.identity, stands - grace / 2)
}

async fn manager(
    context: &Context,
    client: Client,
) -> Result<kube_lease_manager::LeaseManager, LeaseManagerError> {
    let seconds = lease_seconds(&context.config);
    LeaseManagerBuilder::new(context.term.of(client), "signalbox")
        .with_namespace(&context.config.settings.operator_namespace)
        .with_identity(&context.config.identity)
        .with_duration(seconds)
        .with_grace(grace_seconds(seconds))
        .build()
        .await
}

/// Deletes pre-states whose Release is gone, which only a Release deleted by force leaves behind.
async fn sweep(context: &Context) {
    let orphans: Vec<_> = {
        let index = context.observer.index();
        let known: std::collections::HashSet<String> =
            index.releases().filter_map(|r| r.metadata.uid.clone()).collect();
        index
            .pre_states()
            .filter(|p| !known.contains(&p.release_uid))
            .cloned()
            .collect()
    };
    let applier = Applier {
        observer: &context.observer,
        own: None,
        reporter: &context.reporter,
        stopping: &context.stopping,
        term: &context.term,
    };
    for orphan in orphans {
        match is_gone(context, &orphan.name).await {
            Ok(true) => {
                tracing::info!(pre_state = orphan.name, "pre-state of a Release that is gone");
                if let Err(error) = applier.delete_pre_state(&orphan.name, &orphan.uid).await {
                    tracing::warn!(%error, pre_state = orphan.name, "an orphan was left");
                }
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, pre_state = orphan.name, "an orphan was left"),
        }
    }
}

/// A live read, of the very object: nothing is deleted on what a watch may not have shown yet.
async fn is_gone(context: &Context, pre_state: &str) -> Result<bool, kube::Error> {
    let client = context.observer.client();
    let home = &context.config.settings.operator_namespace;
    let revisions: Api<k8s_openapi::api::apps::v1::ControllerRevision> =
        Api::namespaced(client.clone(), home);
    let Some(kept) = revisions.get_opt(pre_state).await? else {
        return Ok(false);
    };
    let content = kept
        .data
        .and_then(|d| serde_json::from_value::<PreState>(d.0).ok());
    let Some((content, path)) = content
        .as_ref()
        .and_then(|c| Some((c, c.release.split_once('/')?)))
    else {
        return Ok(false);
    };
    let releases: Api<Release> = Api::namespaced(client.clone(), path.0);
    let release = releases.get_metadata_opt(path.1).await?;
    Ok(release.is_none_or(|r| r.metadata.uid.as_ref() != Some(&content.release_uid)))
}
