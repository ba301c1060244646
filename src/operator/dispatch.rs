//! Runs reconciles: one at a time for each key, a bounded number at the same time, each with a deadline. A panic for one object never
//! stops the reconciles of others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::runtime::scheduler::scheduler;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

use crate::cache::index::Key;
use crate::cluster::request_error::RequestError;
use crate::operator::context::Context;
use crate::operator::health::Health;
use crate::operator::pass::pass;
use crate::operator::waiting::asked;
use crate::reconcile::Next;

/// How long reconciles in progress may take to stop between two writes.
const LAST_WORDS: Duration = Duration::from_secs(8);
/// How often the loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Turns in a row after which an object that is still not done has a pause.
const TURNS_IN_A_ROW: u32 = 24;
/// The pause, and the delay before a requeue of work that has to be retried.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest time until a failed reconcile is retried.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest delay of one requeue.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// The reconcile of a key.
type Pass = for<'a> fn(&'a Context, &'a Key) -> BoxFuture<'a, Result<Next, RequestError>>;

/// Drains the queue until `stop`.
pub(crate) async fn run(context: Arc<Context>, health: Arc<Health>, stop: watch::Receiver<bool>) {
    drain(context, health, stop, |context, key| Box::pin(pass(context, key))).await;
}

async fn drain(context: Arc<Context>, health: Arc<Health>, mut stop: watch::Receiver<bool>, pass: Pass) {
    let receiver = context.observer.knowledge().queue().open();
    let everything = context.observer.index().all();
    context.observer.knowledge().queue().wake(everything);
    let mut dispatcher = Dispatcher {
        context: Arc::clone(&context),
        pass,
        running: JoinSet::new(),
        keys: HashMap::new(),
        busy: HashSet::new(),
        failures: HashMap::new(),
        turns: HashMap::new(),
    };
    let mut due = std::pin::pin!(scheduler(receiver));
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        let free = dispatcher.busy.len() < context.config.concurrency;
        tokio::select! {
            biased;
            () = asked(&mut stop) => break,
            Some(done) = dispatcher.running.join_next_with_id(), if !dispatcher.busy.is_empty() => dispatcher.done(done),
            key = next_free(due.as_mut(), &dispatcher.busy), if free => match key {
                Some(key) => dispatcher.start(key),
                None => break,
            },
            _ = heartbeat.tick() => {}
        }
        health.beat();
    }
    context.observer.knowledge().queue().close();
    context.stopping.store(true, Ordering::Relaxed);
    let rest = async { while dispatcher.running.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
        tracing::warn!("Reconciles in progress did not finish in time and are left to the next leader.");
    }
}

/// The next key that is due and not in progress.
async fn next_free<R>(
    due: std::pin::Pin<&mut kube::runtime::scheduler::Scheduler<Key, R>>,
    busy: &HashSet<Key>,
) -> Option<Key>
where
    R: futures::Stream<Item = kube::runtime::scheduler::ScheduleRequest<Key>>,
{
    due.hold_unless(|key| !busy.contains(key)).next().await
}

struct Dispatcher {
    context: Arc<Context>,
    pass: Pass,
    running: JoinSet<Result<Next, RequestError>>,
    keys: HashMap<Id, Key>,
    busy: HashSet<Key>,
    failures: HashMap<Key, u32>,
    /// Turns since it was last done.
    turns: HashMap<Key, u32>,
}

impl Dispatcher {
    fn start(&mut self, key: Key) {
        let context = Arc::clone(&self.context);
        let span = match &key {
            Key::Release { namespace, name } => {
                tracing::info_span!("reconcile", release = format!("{namespace}/{name}"))
            }
            Key::Environment { name } => tracing::info_span!("reconcile", release = "-", environment = name),
            Key::Orphans => tracing::info_span!("reconcile", release = "-"),
        };
        let (work, pass) = (key.clone(), self.pass);
        let task = async move {
            let (kind, started) = (work.kind(), Instant::now());
            let result = tokio::time::timeout(context.config.reconcile_timeout, pass(&context, &work)).await;
            let result = result
                .unwrap_or_else(|_| Err(RequestError::Passing("the reconcile took too long".to_owned())));
            context.metrics.pass(kind, result.is_ok(), started.elapsed());
            result
        };
        let handle = self.running.spawn(task.instrument(span));
        self.keys.insert(handle.id(), key.clone());
        self.busy.insert(key);
    }

    fn done(&mut self, done: Result<(Id, Result<Next, RequestError>), JoinError>) {
        let (id, result) = match done {
            Ok((id, result)) => (id, result),
            Err(error) => {
                let id = error.id();
                (id, Err(RequestError::Panicked(error.to_string())))
            }
        };
        let Some(key) = self.keys.remove(&id) else { return };
        self.busy.remove(&key);
        let queue = self.context.observer.knowledge().queue();
        if !matches!(result, Ok(Next::Turn)) {
            self.turns.remove(&key);
        }
        match result {
            Ok(next) => {
                self.failures.remove(&key);
                match next {
                    Next::Turn => {
                        let turns = self.turns.entry(key.clone()).or_insert(0);
                        *turns = (*turns + 1) % TURNS_IN_A_ROW;
                        let after = if *turns == 0 { PAUSE } else { Duration::ZERO };
                        queue.wake_after(key, after);
                    }
                    Next::Rest => {}
                    Next::Soon => queue.wake_after(key, PAUSE),
                    Next::At(at) => queue.wake_after(key, until(at)),
                }
            }
            Err(trouble) => {
                let tries = self.failures.entry(key.clone()).or_insert(0);
                *tries += 1;
                let after = backoff(*tries);
                if matches!(trouble, RequestError::Panicked(_)) {
                    self.context.metrics.panicked(key.kind());
                }
                // A conflict means that the object has changed: the watch shows it in a moment.
                if matches!(trouble, RequestError::Conflict(_)) {
                    tracing::debug!(?key, %trouble, "Conflict: the object is read again.");
                } else {
                    self.context.metrics.api_errors.inc();
                    tracing::warn!(?key, %trouble, after_seconds = after.as_secs_f32(), "Reconcile failed and is retried.");
                }
                queue.wake_after(key, after);
            }
        }
    }
}

/// 100 ms, doubled with each failure in a row, to a minute.
pub(crate) fn backoff(tries: u32) -> Duration {
    (Duration::from_millis(50) * 2_u32.saturating_pow(tries.min(16))).min(LONGEST_BACKOFF)
}

/// From now to `at`, and a little more, so that the moment has passed when the key is due.
fn until(at: Timestamp) -> Duration {
    let left = at.duration_since(Timestamp::now());
    Duration::try_from(left).unwrap_or_default().min(LONGEST_SLEEP) + Duration::from_millis(5)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use jiff::SignedDuration;
    use kube::Client;
    use kube::client::Body;
    use kube::runtime::events::Reporter;

    use super::*;
    use crate::api::{Environment, EnvironmentSpec};
    use crate::cache::queue::Queue;
    use crate::decide::facts::Settings;
    use crate::observe::Observer;
    use crate::observe::trust::Expected;
    use crate::operator::metrics::Metrics;

    /// Reconciles in the order in which they started.
    static BEGAN: Mutex<Vec<String>> = Mutex::new(vec![]);

    fn poisoned<'a>(_: &'a Context, key: &'a Key) -> BoxFuture<'a, Result<Next, RequestError>> {
        Box::pin(async move {
            let Key::Environment { name } = key else {
                return Ok(Next::Rest);
            };
            BEGAN.lock().expect("no panic in here").push(name.clone());
            assert_ne!(name, "poisoned");
            Ok(Next::Rest)
        })
    }

    /// Environments `poisoned` and `sound`, and an API server with empty answers.
    pub(crate) fn context() -> Arc<Context> {
        let service = tower::service_fn(|_: http::Request<Body>| async {
            Ok::<_, Infallible>(http::Response::new(Body::empty()))
        });
        let client = Client::new(service, "default");
        let settings = Settings {
            operator_namespace: "signalbox-system".to_owned(),
            watch_namespaces: vec![],
            deployer: "signalbox-deployer".to_owned(),
            require_consent: true,
            health_grace: SignedDuration::from_secs(1),
            inconclusive_after: SignedDuration::from_secs(1),
            policy_settle: SignedDuration::from_secs(1),
            pre_state_limit: 64 << 20,
        };
        let expected = Expected::new("operator", &settings.deployer).expect("the chart's policies");
        let observer = Observer::new(
            client.clone(),
            Queue::default(),
            Arc::new(settings.clone()),
            expected,
        );
        for name in ["poisoned", "sound"] {
            let spec: EnvironmentSpec =
                serde_json::from_value(serde_json::json!({ "stage": "SIT", "namespace": "sit" }))
                    .expect("an Environment");
            observer
                .knowledge()
                .see(|index| index.put_environment(Environment::new(name, spec).into()));
        }
        Arc::new(Context {
            observer,
            reporter: Reporter::from("signalbox"),
            metrics: Metrics::default(),
            stopping: AtomicBool::new(false),
            term: crate::cluster::term::Term::for_good(),
            config: crate::operator::context::Config {
                settings,
                listen: ([127, 0, 0, 1], 0).into(),
                identity: "one".to_owned(),
                lease_duration: Duration::from_secs(15),
                concurrency: 1,
                reconcile_timeout: Duration::from_secs(5),
            },
        })
    }

    #[tokio::test]
    async fn an_object_that_makes_its_pass_panic_is_tried_again_and_stops_no_other() {
        let context = context();
        let (_synced, ready) = crate::operator::synced::synced();
        let health = Arc::new(Health::new(ready, crate::cluster::pulse::Pulse::default()));
        let (stop, stopped) = watch::channel(false);
        let draining = tokio::spawn(drain(Arc::clone(&context), health, stopped, poisoned));
        let began = || BEGAN.lock().expect("no panic in here").clone();
        let enough = async {
            while began().iter().filter(|name| *name == "poisoned").count() < 3
                || !began().iter().any(|name| name == "sound")
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), enough)
            .await
            .expect("both have their turn");
        stop.send_replace(true);
        draining.await.expect("the loop itself does not panic");
        let sound = began().iter().filter(|name| *name == "sound").count();
        assert_eq!(sound, 1, "the other one is done once and for all");
        let metrics = context.metrics.render(&context.observer);
        assert!(
            metrics.lines().any(|line| line
                .strip_prefix("signalbox_panics_total{kind=\"Environment\"} ")
                .is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 2))),
            "{metrics}"
        );
    }
}
