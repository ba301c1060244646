//! The running operator: watches feed the index, the leader drains the queue, one reconcile is observe → decide → apply.

mod context;
pub(crate) mod dispatch;
mod election;
mod error;
mod health;
mod http;
mod leadership;
mod metrics;
mod pass;
mod synced;
mod unreadable;
mod waiting;
mod watches;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::runtime::events::Reporter;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::cache::queue::Queue;
use crate::cluster::pulse::Pulse;
use crate::observe::Observer;
use crate::observe::trust::Expected;
use crate::operator::context::Context;
use crate::operator::health::Health;
use crate::operator::metrics::Metrics;
use crate::operator::synced::synced;
use crate::operator::waiting::patiently;

pub use crate::operator::context::Config;
pub use crate::operator::error::Error;

/// Runs until `stop` is set, then ends between two writes. `client` sends each request once: retries are decided here.
///
/// # Errors
/// Why it cannot start; once it runs, only `stop` ends it.
pub async fn run(client: Client, config: Config, stop: watch::Receiver<bool>) -> Result<(), Error> {
    let (pulse, term) = (Pulse::default(), leadership::term(&config));
    let guarded = pulse.of(term.guard(client.clone()));
    let client = pulse.of(client);
    let mut asked_to_stop = stop.clone();
    let Some(username) =
        patiently(&mut asked_to_stop, "the operator's user name", || whoami(&client)).await?
    else {
        return Ok(());
    };
    let expected = Expected::new(&username, &config.settings.deployer).map_err(Error::Policies)?;
    let settings = Arc::new(config.settings.clone());
    let observer = Observer::new(guarded, Queue::default(), settings, expected);
    let reporter = Reporter {
        controller: "signalbox".to_owned(),
        instance: Some(config.identity.clone()),
    };
    let context = Arc::new(Context {
        observer,
        reporter,
        metrics: Metrics::default(),
        stopping: AtomicBool::new(false),
        term,
        config,
    });
    tracing::info!(username, version = env!("CARGO_PKG_VERSION"), "Signalbox starts.");
    let watched = &context.config.settings.watch_namespaces;
    if !watched.is_empty() {
        tracing::warn!(
            namespaces = watched.join(", "),
            "Only these namespaces are watched. A Release in another namespace gets no status, and a Release whose target namespace is \
             not watched does not enter."
        );
    }

    let listener = tokio::net::TcpListener::bind(context.config.listen)
        .await
        .map_err(|e| Error::Listen(context.config.listen, e))?;
    let (synced, ready) = synced();
    let health = Arc::new(Health::new(ready.clone(), pulse));
    let server = tokio::spawn(http::serve(listener, Arc::clone(&health), Arc::clone(&context)));
    let watching = watches::start(&context, synced);

    let result = leadership::lead(Arc::clone(&context), client, health, ready, stop).await;
    context.stopping.store(true, Ordering::Relaxed);
    for task in watching {
        task.abort();
    }
    server.abort();
    tracing::info!("Signalbox has stopped.");
    result
}

/// The user name of the operator, as the API server reports it.
async fn whoami(client: &Client) -> Result<String, Error> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(|e| Error::WhoAmI(Box::new(e)))?;
    Ok(review
        .status
        .and_then(|s| s.user_info)
        .and_then(|u| u.username)
        .unwrap_or_default())
}
