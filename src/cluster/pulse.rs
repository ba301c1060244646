//! Timeouts: a request without an answer fails, and the time of the last data is recorded for every watch.
//!
//! A network that drops packets without closing a connection looks like a cluster in which nothing happens. The client
//! alone would wait for such an answer forever, and 295 seconds for such a watch.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body::{Body as HttpBody, Frame};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tower::{BoxError, Layer, Service, service_fn};

/// How long the API server leaves a watch open, in seconds. It then ends the watch, which counts as data. Five seconds later
/// the client gives up a watch that has not ended.
pub const WATCH_SECONDS: u32 = 30;
/// A watch without data for this long does not work: it is longer than a watch takes to end and to start again.
pub const QUIET: Duration = Duration::from_secs(45);
/// How long until a read's answer begins, and how long it may pause.
const READ_WITHIN: Duration = Duration::from_secs(15);
/// How long until a write's answer begins: admission webhooks may take thirty seconds.
const WRITE_WITHIN: Duration = Duration::from_secs(35);

/// The error of a request that was not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer {method} {path} within {} s", .within.as_secs())]
struct Unanswered {
    method: Method,
    path: String,
    within: Duration,
}

/// The API server stopped in the middle of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the API server stopped in the middle of its answer")]
struct Stalled;

/// Records when a client receives data.
#[derive(Clone)]
pub struct Pulse(Arc<Inner>);

struct Inner {
    began: Instant,
    /// By path: milliseconds after `began` at which the watch last received data.
    watches: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            watches: Mutex::default(),
        }))
    }
}

impl Pulse {
    /// The client, with timeouts and recording.
    #[must_use]
    pub fn of(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let service = service_fn(move |request: Request<Body>| {
            let client = client.clone();
            async move { client.send(request).await }
        });
        ClientBuilder::new(service, namespace).with_layer(self).build()
    }

    /// The paths of the watches without data for longer than `quiet`.
    #[must_use]
    pub fn silent(&self, quiet: Duration) -> Vec<String> {
        let now = self.now();
        let quiet = u64::try_from(quiet.as_millis()).unwrap_or(u64::MAX);
        let watches = self.0.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches
            .iter()
            .filter(|(_, heard)| now.saturating_sub(heard.load(Ordering::Relaxed)) > quiet)
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The watch that a request belongs to: a watch request starts one, and a list on the same path is part of it.
    fn watch(&self, request: &Request<Body>) -> Option<Arc<AtomicU64>> {
        if request.method() != Method::GET {
            return None;
        }
        let path = request.uri().path();
        let mut watches = self.0.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heard) = watches.get(path) {
            return Some(Arc::clone(heard));
        }
        is_watch(request).then(|| {
            let heard = Arc::new(AtomicU64::new(self.now()));
            watches.insert(path.to_owned(), Arc::clone(&heard));
            heard
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| {
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    })
}

impl<S> Layer<S> for Pulse {
    type Service = Listening<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Listening {
            inner,
            pulse: self.clone(),
        }
    }
}

/// A service whose answers are recorded.
pub struct Listening<S> {
    inner: S,
    pulse: Pulse,
}

impl<S, B> Service<Request<Body>> for Listening<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Heard<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let within = if request.method() == Method::GET {
            READ_WITHIN
        } else {
            WRITE_WITHIN
        };
        let unanswered = Unanswered {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            within,
        };
        // The watcher decides how long a watch may be silent.
        let pause = (!is_watch(&request)).then_some(READ_WITHIN);
        let watch = self.pulse.watch(&request);
        let pulse = self.pulse.clone();
        let answer = self.inner.call(request);
        async move {
            let Ok(answer) = timeout(within, answer).await else {
                return Err(unanswered.into());
            };
            let answer = answer.map_err(Into::into)?;
            // A refused request does not count as data: a forbidden watch is as good as silent.
            let heard = watch
                .filter(|_| answer.status().is_success())
                .map(|at| (pulse, at));
            Ok(answer.map(|body| Heard::new(body, heard, pause)))
        }
        .boxed()
    }
}

/// An answer's body whose data is recorded.
pub struct Heard<B> {
    inner: B,
    heard: Option<(Pulse, Arc<AtomicU64>)>,
    /// How long it may pause, since when it has paused, and the timer.
    pause: Option<(Duration, Instant, Pin<Box<Sleep>>)>,
}

impl<B> Heard<B> {
    fn new(inner: B, heard: Option<(Pulse, Arc<AtomicU64>)>, pause: Option<Duration>) -> Self {
        let now = Instant::now();
        let mut body = Self {
            inner,
            heard,
            pause: pause.map(|pause| (pause, now, Box::pin(sleep_until(now + pause)))),
        };
        body.sounded();
        body
    }

    fn sounded(&mut self) {
        if let Some((pulse, at)) = &self.heard {
            at.store(pulse.now(), Ordering::Relaxed);
        }
        if let Some((_, since, _)) = &mut self.pause {
            *since = Instant::now();
        }
    }
}

impl<B> HttpBody for Heard<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.sounded();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some((pause, since, alarm)) = &mut self.pause else {
            return Poll::Pending;
        };
        // The timer is reset only when it fires: most bodies arrive immediately.
        loop {
            ready!(alarm.as_mut().poll(context));
            let due = *since + *pause;
            if due <= Instant::now() {
                return Poll::Ready(Some(Err(Stalled.into())));
            }
            alarm.as_mut().reset(due);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt;
    use futures::future::pending;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{ListParams, PostParams, WatchParams};

    use super::*;

    /// An API server that answers requests for ConfigMaps in `answering`, and no others.
    fn client(pulse: &Pulse) -> Client {
        let service = service_fn(|request: Request<Body>| async move {
            if !request.uri().path().contains("/answering/") {
                pending::<()>().await;
            }
            let text = if is_watch(&request) {
                r#"{"type":"BOOKMARK","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"7"}}}"#
            } else {
                r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#
            };
            Ok::<_, Infallible>(Response::new(Body::from(text.as_bytes().to_vec())))
        });
        pulse.of(Client::new(service, "default"))
    }

    fn config_maps(pulse: &Pulse, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(client(pulse), namespace)
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_answers_is_given_up_a_read_sooner_than_a_write() {
        let pulse = Pulse::default();
        let config_maps = config_maps(&pulse, "mute");
        let began = Instant::now();
        let read = config_maps
            .list(&ListParams::default())
            .await
            .expect_err("no answer");
        assert_eq!(began.elapsed().as_secs(), 15);
        assert!(format!("{read:?}").contains("Unanswered"), "{read:?}");
        let began = Instant::now();
        let wrote = config_maps
            .create(&PostParams::default(), &ConfigMap::default())
            .await;
        wrote.expect_err("no answer");
        assert_eq!(began.elapsed().as_secs(), 35);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_silent_once_it_has_not_been_heard_for_long_enough() {
        let pulse = Pulse::default();
        let answering = config_maps(&pulse, "answering");
        let watch = WatchParams::default();
        let events = answering.watch(&watch, "7").await.expect("it is answered");
        assert_eq!(events.count().await, 1);
        let mute = config_maps(&pulse, "mute");
        assert!(mute.watch(&watch, "7").await.is_err(), "no answer");
        tokio::time::advance(QUIET - READ_WITHIN).await;
        let both = ["answering", "mute"].map(|n| format!("/api/v1/namespaces/{n}/configmaps"));
        assert_eq!(pulse.silent(QUIET), Vec::<String>::new(), "45 s, and no longer");
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(pulse.silent(QUIET), both);
        // A list on its path is a sign of life.
        answering
            .list(&ListParams::default())
            .await
            .expect("it is answered");
        assert_eq!(pulse.silent(QUIET), both[1..]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stops_in_the_middle_is_given_up_and_a_watch_is_left_to_its_watcher() {
        let stopping = |watch: bool| {
            let body = Stopping(Some(Bytes::from_static(b"{")));
            Heard::new(body, None, (!watch).then_some(READ_WITHIN))
        };
        let mut body = Box::pin(stopping(false));
        let began = Instant::now();
        let mut frames = vec![];
        while let Some(frame) = std::future::poll_fn(|c| body.as_mut().poll_frame(c)).await {
            frames.push(frame.is_ok());
            if frames.len() == 2 {
                break;
            }
        }
        assert_eq!((frames, began.elapsed().as_secs()), (vec![true, false], 15));
        let mut watch = Box::pin(stopping(true));
        let two = async {
            for _ in 0..2 {
                std::future::poll_fn(|c| watch.as_mut().poll_frame(c)).await;
            }
        };
        assert!(timeout(Duration::from_secs(3600), two).await.is_err());
    }

    /// Sends one chunk, and then nothing.
    struct Stopping(Option<Bytes>);

    impl HttpBody for Stopping {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0
                .take()
                .map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
        }
    }
}
