//! Ties it together: watches feed the index, a leader drains the queue, one pass is observe → decide → apply.

pub(crate) mod dispatch;
mod http;
mod leadership;
pub mod metrics;
pub(crate) mod reconcile;
mod unreadable;
mod watches;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::runtime::events::Reporter;
use kube::{Api, Client};
use kube_lease_manager::LeaseManagerError;
use tokio::sync::watch;

use crate::cluster::pulse::Pulse;
use crate::cluster::term::Term;
use crate::decide::facts::Settings;
use crate::observe::Observer;
use crate::observe::queue::Queue;
use crate::observe::trust::Expected;
use metrics::Metrics;

/// Shortest and longest time until what is needed to begin is asked for again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Config {
    pub settings: Settings,
    /// Empty: everywhere.
    pub watch_namespaces: Vec<String>,
    pub listen: SocketAddr,
    /// Who this process is for leader election. A restarted container of one pod is the same one.
    pub identity: String,
    /// How long a leader that is gone keeps others waiting.
    pub lease_duration: Duration,
    /// Passes that run at once.
    pub concurrency: usize,
    pub reconcile_timeout: Duration,
}

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the API server does not say who the operator is, which it must know to trust its own policies: {0}"
    )]
    WhoAmI(#[source] Box<kube::Error>),
    #[error("the chart's admission policies cannot be read: {0}")]
    Policies(#[source] serde_yaml_ng::Error),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("leader election does not work: {0}")]
    Leadership(#[source] LeaseManagerError),
}

impl Error {
    /// Whether trying again is no use: what it lacks is a right, or lies in the process itself.
    fn stays(&self) -> bool {
        let forbidden = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 403);
        match self {
            Self::WhoAmI(error) => forbidden(error),
            Self::Leadership(LeaseManagerError::KubeError(error)) => forbidden(error),
            Self::Leadership(_) => false,
            Self::Policies(_) | Self::Listen(..) => true,
        }
    }
}

/// What every part shares.
pub(crate) struct Context {
    pub(crate) observer: Observer,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Metrics,
    pub(crate) stopping: AtomicBool,
    pub(crate) term: Term,
    pub(crate) config: Config,
}

/// Runs until `stop` says so, then ends between two writes. `client` makes each request once: when one is made again is
/// decided here.
///
/// # Errors
/// What keeps it from starting; once it runs, nothing but `stop` ends it.
pub async fn run(client: Client, config: Config, stop: watch::Receiver<bool>) -> Result<(), Error> {
    let (pulse, term) = (Pulse::default(), leadership::term(&config));
    let guarded = pulse.of(term.guard(client.clone()));
    let client = pulse.of(client);
    let mut asked_to_stop = stop.clone();
    let Some(username) = patiently(&mut asked_to_stop, "who the operator is", || whoami(&client)).await?
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
    tracing::info!(username, version = env!("CARGO_PKG_VERSION"), "signalbox starts");

    let listener = tokio::net::TcpListener::bind(context.config.listen)
        .await
        .map_err(|e| Error::Listen(context.config.listen, e))?;
    let (synced, ready) = watches::synced();
    let health = Arc::new(http::Health::new(ready.clone(), pulse));
    let server = tokio::spawn(http::serve(listener, Arc::clone(&health), Arc::clone(&context)));
    let watching = watches::start(&context, synced);

    let result = leadership::lead(Arc::clone(&context), client, health, ready, stop).await;
    context.stopping.store(true, Ordering::Relaxed);
    for task in watching {
        task.abort();
    }
    server.abort();
    tracing::info!("signalbox has stopped");
    result
}

/// Returns once a stop is asked for, or nobody is left who could ask.
pub(crate) async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What is needed to begin, asked for until there is an answer: an API server that is away comes back, and an operator that has
/// ended meanwhile would be kept waiting by its own kubelet for longer. `None` where a stop came first.
async fn patiently<T, F>(
    stop: &mut watch::Receiver<bool>,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> Result<Option<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match ask().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if error.stays() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, after_seconds = pause.as_secs_f32(), "asked again: {what}");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = asked(stop) => return Ok(None),
        }
    }
}

/// The user name under which the API server knows the operator.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use kube::core::Status;
    use tokio::time::Instant;

    use super::*;

    fn answered(code: u16) -> Error {
        let status = Status {
            code,
            ..Status::default()
        };
        Error::WhoAmI(Box::new(kube::Error::Api(Box::new(status))))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_needed_to_begin_is_asked_for_until_there_is_an_answer() {
        let (_stop, mut stopped) = watch::channel(false);
        let (asked, began) = (Cell::new(0), Instant::now());
        let ask = || {
            asked.set(asked.get() + 1);
            let away = asked.get() < 4;
            async move { if away { Err(answered(503)) } else { Ok("signalbox") } }
        };
        let answer = patiently(&mut stopped, "who the operator is", ask).await;
        assert!(matches!(answer, Ok(Some("signalbox"))), "{answer:?}");
        assert_eq!((asked.get(), began.elapsed().as_millis()), (4, 500 + 1000 + 2000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_that_is_missing_is_said_at_once_and_a_stop_ends_the_asking() {
        let (stop, mut stopped) = watch::channel(false);
        let forbidden = patiently::<(), _>(&mut stopped, "it", || async { Err(answered(403)) }).await;
        assert!(matches!(forbidden, Err(Error::WhoAmI(_))), "{forbidden:?}");
        stop.send_replace(true);
        let stopped = patiently::<(), _>(&mut stopped, "it", || async { Err(answered(500)) }).await;
        assert!(matches!(stopped, Ok(None)), "{stopped:?}");
    }
}
