//! Leadership. With two leaders, every write's precondition would still hold; but a target that neither has changed yet
//! could be changed forward by one leader after the other has given up. So no process acts on a Lease that may have
//! another holder by now ([`Term`]), and a new leader does not act on a status that an old one may have written since.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::cluster::term::Term;
use crate::operator::context::{Config, Context};
use crate::operator::dispatch;
use crate::operator::election::Election;
use crate::operator::error::Error;
use crate::operator::health::Health;
use crate::operator::synced::Ready;
use crate::operator::waiting::{asked, patiently};

/// Leads whenever this process holds the Lease, until `stop`.
pub(crate) async fn lead(
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
    let election = election(&context, client);
    let look = async || {
        election
            .look(Timestamp::now())
            .await
            .map_err(|e| Error::Leadership(Box::new(e)))
    };
    if patiently(&mut stop, "leader election", look).await?.is_none() {
        return Ok(());
    }
    let (mut leads, election) = election.run();
    loop {
        let term = tokio::select! {
            term = leads.wait_for(Option::is_some) => match term { Ok(term) => *term, Err(_) => break },
            () = asked(&mut stop) => break,
        };
        context.stopping.store(false, Ordering::Relaxed);
        context.metrics.leader.set(1);
        tracing::info!(identity = context.config.identity, "This process leads.");
        context.observer.knowledge().begin_term();
        let (end, ended) = watch::channel(false);
        let dispatch = dispatch::run(Arc::clone(&context), Arc::clone(&health), ended);
        tokio::pin!(dispatch);
        let stopped = tokio::select! {
            () = &mut dispatch => false,
            lost = async { leads.wait_for(|now| *now != term).await.is_ok() } => { tracing::warn!(lost, "Leadership lost."); false }
            () = asked(&mut stop) => true,
        };
        context.metrics.leader.set(0);
        let _ = end.send(true);
        dispatch.await;
        if stopped {
            break;
        }
    }
    drop(leads);
    // The Lease is released, so that the next leader does not have to wait.
    match election.await {
        Ok(Ok(())) | Err(_) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "The leader's Lease could not be released.");
            Ok(())
        }
    }
}

/// How long a renewal of the Lease is valid, and how long before its end the Lease is renewed.
fn times(config: &Config) -> (Duration, Duration) {
    let lease = config.lease_duration.as_secs().max(3);
    (Duration::from_secs(lease), Duration::from_secs(lease / 3))
}

/// The term of this process ends halfway between the renewal that is due and the moment at which another process may lead:
/// a change that was sent by then has arrived.
pub(crate) fn term(config: &Config) -> Term {
    let (lease, grace) = times(config);
    let stands = SignedDuration::try_from(lease - grace / 2).unwrap_or(SignedDuration::MAX);
    Term::new(&config.identity, stands)
}

fn election(context: &Context, client: Client) -> Election {
    let home = &context.config.settings.operator_namespace;
    let leases = Api::namespaced(context.term.of(client), home);
    let shown = context.observer.knowledge().leader();
    Election::new(leases, &context.config.identity, times(&context.config), shown)
}
