//! One operator in the simulated cluster. It runs the reconciles of the real one, woken by the same keys, over an index that is
//! as old as what its watches have been shown.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use futures::channel::mpsc::UnboundedReceiver;
use jiff::{SignedDuration, Timestamp};
use kube::runtime::scheduler::ScheduleRequest;

use crate::apply::Applier;
use crate::cache::index::Key;
#[cfg(test)]
use crate::cache::knowledge::Knowledge;
use crate::cache::queue::{ENVIRONMENT_DEBOUNCE, Queue};
use crate::cluster::request_error::RequestError;
use crate::cluster::requests::Requests;
use crate::cluster::term::Term;
use crate::decide::Decide;
use crate::decide::facts::Settings;
use crate::observe::Observer;
use crate::observe::trust::Expected;
use crate::operator::dispatch::backoff;
use crate::reconcile::{self, Next};
use crate::world::answers::Cluster;
use crate::world::changes::STREAMS;

/// The pause before a reconcile that asks to be requeued soon.
const SOON: SignedDuration = SignedDuration::from_millis(100);

type Running = Pin<Box<dyn Future<Output = Result<Next, RequestError>> + Send>>;

/// An operator, with its caches and its present reconcile.
pub(crate) struct Operator<C: Requests = Cluster> {
    observer: Arc<Observer<C>>,
    decide: Decide,
    /// What its watches show.
    cluster: Cluster,
    woken: UnboundedReceiver<ScheduleRequest<Key>>,
    /// The keys to reconcile, and when.
    due: BTreeMap<Key, Timestamp>,
    failures: BTreeMap<Key, u32>,
    /// How many changes of each stream its watches have been shown.
    shown: [usize; STREAMS],
    /// The reconcile in progress.
    running: Option<(Key, Running)>,
}

impl<C: Requests<Reporter = ()>> Operator<C> {
    /// A process that has just begun to lead: it has listed everything and reconciles everything. `client` answers its requests.
    pub(crate) fn start(
        cluster: &Cluster,
        (client, decide): (C, Decide),
        settings: &Arc<Settings>,
        expected: &Expected,
    ) -> Self {
        let queue = Queue::default();
        let observer = Observer::new(client, queue.clone(), Arc::clone(settings), expected.clone());
        let shown = {
            let objects = cluster.objects();
            for change in objects.everything() {
                observer.knowledge().see(|index| change.show(index));
            }
            std::array::from_fn(|stream| objects.streams[stream].len())
        };
        let woken = queue.open();
        queue.wake(observer.index().all());
        Self {
            observer: Arc::new(observer),
            decide,
            cluster: cluster.clone(),
            woken,
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
            shown,
            running: None,
        }
    }

    /// A process that reconciles `key` only, and whose watches lack the last change of `behind`.
    #[cfg(test)]
    pub(crate) fn glance(
        cluster: &Cluster,
        (client, decide): (C, Decide),
        settings: &Arc<Settings>,
        expected: &Expected,
        (key, behind): (Key, Option<usize>),
    ) -> Self {
        let mut operator = Self::start(cluster, (client.clone(), decide), settings, expected);
        if let Some(behind) = behind {
            let queue = operator.observer.knowledge().queue().clone();
            let blind = Observer::new(client, queue, Arc::clone(settings), expected.clone());
            let objects = cluster.objects();
            for (stream, changes) in objects.streams.iter().enumerate() {
                let known = changes.len() - usize::from(stream == behind && !changes.is_empty());
                for change in &changes[..known] {
                    blind.knowledge().see(|index| change.show(index));
                }
            }
            for change in objects.policies() {
                blind.knowledge().see(|index| change.show(index));
            }
            drop(objects);
            operator.observer = Arc::new(blind);
        }
        let now = cluster.objects().now;
        operator.listen(now);
        operator.due = BTreeMap::from([(key, now)]);
        operator
    }

    /// Its watches are shown the next `most` changes of a stream.
    pub(crate) fn see(&mut self, stream: usize, most: usize) {
        let objects = self.cluster.objects();
        let known = &objects.streams[stream];
        let until = known.len().min(self.shown[stream].saturating_add(most));
        for change in &known[self.shown[stream]..until] {
            self.observer.knowledge().see(|index| change.show(index));
        }
        self.shown[stream] = until;
    }

    /// Its watches are shown everything.
    pub(crate) fn see_all(&mut self) {
        for stream in 0..STREAMS {
            self.see(stream, usize::MAX);
        }
    }

    /// Its index.
    #[cfg(test)]
    pub(crate) fn knowledge(&self) -> &Arc<Knowledge> {
        self.observer.knowledge()
    }

    /// It leads again: its caches are empty, and it reconciles everything.
    #[cfg(test)]
    pub(crate) fn lead(&mut self) {
        self.see_all();
        self.observer.knowledge().begin_term();
        self.observer
            .knowledge()
            .queue()
            .wake(self.observer.index().all());
    }

    /// Queues the keys for which it was woken.
    fn listen(&mut self, now: Timestamp) {
        while let Ok(request) = self.woken.try_recv() {
            let after = match request.message {
                Key::Release { .. } | Key::Orphans => SignedDuration::ZERO,
                Key::Environment { .. } => SignedDuration::try_from(ENVIRONMENT_DEBOUNCE).unwrap_or_default(),
            };
            self.wake(request.message, now + after);
        }
    }

    fn wake(&mut self, key: Key, at: Timestamp) {
        let due = self.due.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    /// Whether a reconcile is in progress.
    #[cfg(test)]
    pub(crate) fn is_under_way(&self) -> bool {
        self.running.is_some()
    }

    /// When it has something to do next.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.listen(now);
        if self.running.is_some() {
            return Some(now);
        }
        self.due.values().min().copied()
    }

    /// Begins the reconcile that has been due for longest, unless one is in progress. False if none is due.
    pub(crate) fn begin(&mut self, now: Timestamp) -> bool {
        self.listen(now);
        if self.running.is_some() {
            return true;
        }
        let due = self.due.iter().filter(|(_, at)| **at <= now);
        let Some(key) = due.min_by_key(|(_, at)| **at).map(|(key, _)| key.clone()) else {
            return false;
        };
        self.due.remove(&key);
        let observer = Arc::clone(&self.observer);
        let pass = pass(observer, self.decide, key.clone(), now);
        self.running = Some((key, Box::pin(pass)));
        true
    }

    /// Continues until the next pause. True once the reconcile has finished.
    pub(crate) fn go_on(&mut self, now: Timestamp) -> bool {
        let Some((_, running)) = &mut self.running else {
            return true;
        };
        let Poll::Ready(result) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return false;
        };
        let Some((key, _)) = self.running.take() else {
            return true;
        };
        let after = match result {
            Ok(next) => {
                self.failures.remove(&key);
                match next {
                    Next::Rest => None,
                    Next::At(at) => Some(at),
                    Next::Turn => Some(now),
                    Next::Soon => Some(now + SOON),
                }
            }
            Err(_) => {
                let tries = self.failures.entry(key.clone()).or_insert(0);
                *tries += 1;
                Some(now + SignedDuration::try_from(backoff(*tries)).unwrap_or(SOON))
            }
        };
        if let Some(at) = after {
            self.wake(key, at);
        }
        true
    }
}

async fn pass<C: Requests<Reporter = ()>>(
    observer: Arc<Observer<C>>,
    decide: Decide,
    key: Key,
    now: Timestamp,
) -> Result<Next, RequestError> {
    let applier = Applier {
        client: observer.client(),
        knowledge: observer.knowledge(),
        settings: observer.settings(),
        own: Some(&key),
        reporter: &(),
        stopping: &AtomicBool::new(false),
        // Whether it leads is checked when a change arrives.
        term: &Term::for_good(),
    };
    let done = reconcile::pass(&observer, decide, &applier, &key, now).await?;
    Ok(done.next)
}
