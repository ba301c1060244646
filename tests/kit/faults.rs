//! A layer between an operator's client, with its retries, and the API server. It counts the writes and follows a script: at one
//! request it kills the operator, so that no further request or answer passes. It refuses, loses, delays or repeats other requests,
//! and delays, duplicates or expires watches.
//!
//! It is long because requests, answers and watch events are disturbed by one script, in one place.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, pending};
use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, Stream};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

/// Whether the operator dies before or after the fatal request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The request is never sent.
    Before,
    /// The request is executed, and its answer is lost.
    After,
}

/// The request at which the operator dies.
#[derive(Clone)]
pub struct Kill {
    pub side: Side,
    at: At,
}

#[derive(Clone)]
enum At {
    /// The nth write for which that is true, from 1.
    Write(Arc<dyn Fn(&Write) -> bool + Send + Sync>, usize),
    /// The nth request of any kind, from 1.
    Request(usize),
}

impl Kill {
    /// At the `nth` write, from 1, that is described as `what`.
    #[must_use]
    pub fn at(side: Side, what: &str, nth: usize) -> Self {
        let what = what.to_owned();
        let at = At::Write(Arc::new(move |write: &Write| write.what() == what), nth);
        Self { side, at }
    }

    #[must_use]
    pub fn at_first(side: Side, which: fn(&Write) -> bool) -> Self {
        let at = At::Write(Arc::new(which), 1);
        Self { side, at }
    }

    /// At the `nth` request, with reads, but without watches and leadership.
    #[must_use]
    pub fn at_request(side: Side, nth: usize) -> Self {
        let at = At::Request(nth);
        Self { side, at }
    }
}

/// Environments are written independently of promotions and in any order, so the two are distinguished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    Promotion,
    Environment,
}

/// A request that is not a read, an Event, a review, a dry run or leadership.
#[derive(Clone, Debug)]
pub struct Write {
    pub method: Method,
    pub path: String,
    pub ledger: Ledger,
    pub impersonates: Option<String>,
    pub body: Value,
    /// The status code; none if no answer came, or not yet.
    pub answer: Option<u16>,
}

impl Write {
    /// For instance `PUT releases/status → Deploying`.
    #[must_use]
    pub fn what(&self) -> String {
        let segments: Vec<&str> = self.path.split('/').collect();
        // …/namespaces/<namespace>/<plural>/<name>/<subresource>, or …/<version>/<plural>/<name>/<subresource>.
        let after = |word: &str, skip: usize| segments.iter().position(|s| *s == word).map(|i| i + skip);
        let rest = after("namespaces", 2)
            .or_else(|| after("v1alpha1", 1))
            .map_or(&segments[..], |from| &segments[from.min(segments.len())..]);
        let mut what = format!("{} {}", self.method, rest.first().unwrap_or(&""));
        match rest.get(1) {
            Some(name) if self.in_target() => what += &format!("/{name}"),
            _ => {}
        }
        if let Some(subresource) = rest.get(2) {
            what += &format!("/{subresource}");
        }
        let states: Vec<&str> = self
            .body
            .pointer("/status/environments")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|p| p["state"].as_str())
            .collect();
        if !states.is_empty() {
            what += &format!(" → {}", states.join(", "));
        }
        what
    }

    /// Whether it changes something that is not the operator's own.
    #[must_use]
    pub fn in_target(&self) -> bool {
        ["/apis/apps/v1/namespaces/", "/apis/batch/", "/api/v1/namespaces/"]
            .iter()
            .any(|root| self.path.starts_with(root))
            && !self.path.contains("/controllerrevisions")
    }

    /// Whether the API server executed it.
    #[must_use]
    pub fn took_place(&self) -> bool {
        self.answer.is_some_and(|code| (200..300).contains(&code))
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Is not sent. This status is returned, with a Retry-After in seconds.
    Refused(u16, Option<u32>),
    /// Is not sent. The connection breaks.
    Dropped,
    /// Is executed. The connection breaks before the answer.
    AnswerLost,
    /// Is executed. The answer never comes, and the connection stays open.
    Unanswered,
    /// Is executed later.
    Late(Duration),
}

/// The requests that a fault affects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meets {
    /// The first of the writes with the same description.
    EachWriteOnce,
    /// The first write to a target, and all requests within that time after it, with reads and watches.
    AllFor(Duration),
    /// The first write with this description.
    Once(&'static str),
    /// Every read that is not a watch, and every write.
    Everything,
    /// This many of a thousand requests, chosen by the seed.
    PerMille(u32),
}

/// What happens to watches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Watching {
    /// Every event is delayed by this time.
    pub late: Option<Duration>,
    /// Every event comes twice.
    pub twice: bool,
    /// This many first watches of a kind end with 410 after this many events.
    pub expire: Option<(u32, usize)>,
    /// After that, and after a restart, the first list of each kind has an old content: that of the first answer.
    pub older_lists: bool,
}

/// The faults of a play.
#[derive(Clone, Default)]
pub struct Script {
    pub kill: Option<Kill>,
    pub faults: Vec<(Meets, Fault)>,
    pub watching: Watching,
    pub seed: u64,
    /// Lists that earlier lives of the operator received, for [`Watching::older_lists`].
    pub told: Told,
}

/// The first answer to each list, by path.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<HashMap<String, Bytes>>>);

impl From<Option<Kill>> for Script {
    fn from(kill: Option<Kill>) -> Self {
        Self {
            kill,
            ..Self::default()
        }
    }
}

impl From<Kill> for Script {
    fn from(kill: Kill) -> Self {
        Some(kill).into()
    }
}

impl Script {
    #[must_use]
    pub fn fault(meets: Meets, fault: Fault) -> Self {
        Self::default().and(meets, fault)
    }

    #[must_use]
    pub fn and(mut self, meets: Meets, fault: Fault) -> Self {
        self.faults.push((meets, fault));
        self
    }

    #[must_use]
    pub fn watching(watching: Watching) -> Self {
        Self {
            watching,
            ..Self::default()
        }
    }
}

/// The requests in one life of an operator.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    script: Script,
    /// Environments have no namespace. Only these are visible.
    environments: Option<String>,
    writes: Mutex<Vec<Write>>,
    state: Mutex<State>,
    /// Until this is true there are no faults, and nothing is counted.
    armed: AtomicBool,
    dead: watch::Sender<bool>,
    /// Started and finished requests, without watches and leadership.
    activity: watch::Sender<u64>,
    leads: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    requests: usize,
    /// How often each fault has affected each description.
    met: HashMap<(usize, String), usize>,
    /// Since when all requests are affected.
    since: Option<tokio::time::Instant>,
    watches: HashMap<String, u32>,
    older_lists_given: HashMap<String, ()>,
    counts: Counts,
}

/// How often each fault has happened. A script that affects no request proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub refused: usize,
    pub broken: usize,
    pub unanswered: usize,
    pub late: usize,
    pub events_late: usize,
    pub events_twice: usize,
    /// Caused by the script or by the API server itself.
    pub expired: usize,
    pub older_lists: usize,
}

impl Counts {
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            refused: self.refused + other.refused,
            broken: self.broken + other.broken,
            unanswered: self.unanswered + other.unanswered,
            late: self.late + other.late,
            events_late: self.events_late + other.events_late,
            events_twice: self.events_twice + other.events_twice,
            expired: self.expired + other.expired,
            older_lists: self.older_lists + other.older_lists,
        }
    }

    #[must_use]
    pub fn total(self) -> usize {
        self.refused
            + self.broken
            + self.unanswered
            + self.late
            + self.events_late
            + self.events_twice
            + self.expired
            + self.older_lists
    }
}

impl Faults {
    #[must_use]
    pub fn new(script: Script, environments: Option<String>) -> Self {
        Self(Arc::new(Inner {
            script,
            environments,
            writes: Mutex::default(),
            state: Mutex::default(),
            armed: AtomicBool::new(true),
            dead: watch::Sender::new(false),
            activity: watch::Sender::new(0),
            leads: watch::Sender::new(false),
        }))
    }

    /// The script has no effect until it is armed.
    #[must_use]
    pub fn disarmed(self) -> Self {
        self.0.armed.store(false, Ordering::SeqCst);
        self
    }

    /// From now on the script has effect, and writes are counted.
    pub fn arm(&self) {
        self.0.writes.lock().unwrap().clear();
        *self.0.state.lock().unwrap() = State::default();
        self.0.armed.store(true, Ordering::SeqCst);
    }

    fn is_armed(&self) -> bool {
        self.0.armed.load(Ordering::SeqCst)
    }

    /// The writes, in the order in which they were sent.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.0.writes.lock().unwrap().clone()
    }

    /// The faults so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.state.lock().unwrap().counts
    }

    /// Kills the operator now.
    pub fn kill(&self) {
        self.0.dead.send_replace(true);
    }

    /// Returns when the operator is dead.
    pub async fn killed(&self) {
        let mut dead = self.0.dead.subscribe();
        dead.wait_for(|dead| *dead).await.expect("the layer is there");
    }

    /// Returns when the operator holds the leader Lease.
    pub async fn leads(&self) {
        let mut leads = self.0.leads.subscribe();
        leads.wait_for(|leads| *leads).await.expect("the layer is there");
    }

    /// Changes with every request of the operator.
    #[must_use]
    pub fn activity(&self) -> watch::Receiver<u64> {
        self.0.activity.subscribe()
    }

    /// Returns when the operator leads and has sent no request for `long`. There is no event for silence.
    pub async fn silent(&self, long: Duration) {
        self.leads().await;
        let mut activity = self.0.activity.subscribe();
        while tokio::time::timeout(long, activity.changed()).await.is_ok() {}
    }

    fn is_dead(&self) -> bool {
        *self.0.dead.borrow()
    }

    fn active(&self) {
        self.0.activity.send_modify(|n| *n += 1);
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.0.state.lock().unwrap().counts);
    }

    /// Whether the operator dies at this request.
    fn fatal(&self, write: Option<&Write>) -> Option<Side> {
        if !self.is_armed() {
            return None;
        }
        let mut state = self.0.state.lock().unwrap();
        state.requests += 1;
        let kill = self.0.script.kill.as_ref()?;
        let is_it = match &kill.at {
            At::Request(nth) => state.requests == *nth,
            At::Write(which, nth) => write.is_some_and(|write| {
                let writes = self.0.writes.lock().unwrap();
                which(write) && writes.iter().filter(|w| which(w)).count() + 1 == *nth
            }),
        };
        is_it.then_some(kill.side)
    }

    /// What the script does with a request.
    fn fault(&self, reads: &str, write: Option<&Write>, is_watch: bool) -> Option<Fault> {
        if !self.is_armed() {
            return None;
        }
        let mut state = self.0.state.lock().unwrap();
        for (index, (meets, fault)) in self.0.script.faults.iter().enumerate() {
            let met = state.met.entry((index, reads.to_owned())).or_insert(0);
            *met += 1;
            let nth = *met;
            let hit = match meets {
                Meets::EachWriteOnce => write.is_some() && nth == 1,
                Meets::Once(what) => write.is_some_and(|w| w.what() == *what) && nth == 1,
                Meets::Everything => !is_watch,
                Meets::PerMille(rate) => self.drawn(index, reads, nth) < u64::from(*rate),
                Meets::AllFor(long) => {
                    if state.since.is_none() && write.is_some_and(Write::in_target) {
                        state.since = Some(tokio::time::Instant::now());
                    }
                    state.since.is_some_and(|since| since.elapsed() < *long)
                }
            };
            if hit {
                return Some(*fault);
            }
        }
        None
    }

    /// The same for the same seed, however the requests are interleaved.
    fn drawn(&self, index: usize, reads: &str, nth: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0.script.seed, index, reads, nth).hash(&mut hasher);
        hasher.finish() % 1000
    }

    /// The list as it was answered first, if the script wants that. Otherwise `fresh` is stored for later.
    fn told(&self, path: &str, fresh: Bytes) -> Bytes {
        if !self.0.script.watching.older_lists {
            return fresh;
        }
        let mut told = self.0.script.told.0.lock().unwrap();
        let Some(older) = told.get(path).cloned() else {
            told.insert(path.to_owned(), fresh.clone());
            return fresh;
        };
        let mut state = self.0.state.lock().unwrap();
        if state.older_lists_given.insert(path.to_owned(), ()).is_some() {
            return fresh;
        }
        if older != fresh {
            state.counts.older_lists += 1;
        }
        older
    }

    /// The number of events after which this watch expires.
    fn expiry(&self, path: &str) -> Option<usize> {
        let (watches, events) = self.0.script.watching.expire?;
        let mut state = self.0.state.lock().unwrap();
        let nth = state.watches.entry(path.to_owned()).or_insert(0);
        *nth += 1;
        (*nth <= watches).then_some(events)
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Faulty {
            inner,
            faults: self.clone(),
        }
    }
}

/// A service with faults.
#[derive(Clone)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

fn written(request: &Request<Body>) -> Option<Write> {
    let path = request.uri().path();
    let is_counted = request.method() != Method::GET
        && !path.contains("/events")
        && !path.ends_with("reviews")
        && !is_leadership(path)
        && !request.uri().query().is_some_and(|q| q.contains("dryRun="));
    is_counted.then(|| Write {
        method: request.method().clone(),
        path: path.to_owned(),
        ledger: if path.contains("/environments") {
            Ledger::Environment
        } else {
            Ledger::Promotion
        },
        impersonates: request
            .headers()
            .get("impersonate-user")
            .and_then(|user| Some(user.to_str().ok()?.to_owned())),
        // The whole body is available: the operator streams nothing that it sends.
        body: request
            .body()
            .try_clone()
            .and_then(|body| body.collect_bytes().now_or_never())
            .and_then(|bytes| serde_json::from_slice(&bytes.ok()?).ok())
            .unwrap_or_default(),
        answer: None,
    })
}

fn is_leadership(path: &str) -> bool {
    path.ends_with("/leases/signalbox")
}

/// Restricts a list or watch of Environments to the labelled ones.
fn narrowed(uri: &Uri, label: &str) -> Option<Uri> {
    (uri.path() == "/apis/signalbox.dev/v1alpha1/environments").then(|| {
        let query = uri.query().map_or_else(String::new, |query| format!("{query}&"));
        let mut parts = uri.clone().into_parts();
        let path = format!("{}?{query}labelSelector={label}", uri.path());
        parts.path_and_query = Some(path.parse().expect("a path"));
        Uri::from_parts(parts).expect("a URI")
    })
}

fn broken(how: &str) -> BoxError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, how.to_owned()).into()
}

type Answer = Response<Body2>;
/// Bytes as they arrive.
pub type Body2 = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

fn whole(bytes: Bytes) -> Body2 {
    http_body_util::Full::new(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn refusal(code: u16, retry_after: Option<u32>) -> Answer {
    let reason = match code {
        401 => "Unauthorized",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("{reason}, says the script"),
    });
    let mut answer = Response::new(whole(status.to_string().into_bytes().into()));
    *answer.status_mut() = code.try_into().expect("a status code");
    if let Some(seconds) = retry_after {
        answer
            .headers_mut()
            .insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

impl<S, B> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let faults = self.faults.clone();
        if faults.is_dead() {
            return pending().boxed();
        }
        if let Some(label) = &faults.0.environments
            && let Some(uri) = narrowed(request.uri(), label)
        {
            *request.uri_mut() = uri;
        }
        let path = request.uri().path().to_owned();
        let is_read = request.method() == Method::GET;
        let is_watch = request.uri().query().is_some_and(|q| q.contains("watch="));
        let counts = !is_watch && !is_leadership(&path);
        if counts {
            faults.active();
        }
        let write = written(&request);
        let fatal = if counts {
            faults.fatal(write.as_ref())
        } else {
            None
        };
        let reads = write
            .as_ref()
            .map_or_else(|| format!("{} {path} {is_watch}", request.method()), Write::what);
        let fault = faults.fault(&reads, write.as_ref(), is_watch);
        let index = write.map(|write| {
            let mut writes = faults.0.writes.lock().unwrap();
            writes.push(write);
            writes.len() - 1
        });
        if fatal == Some(Side::Before) {
            faults.kill();
            return pending().boxed();
        }
        match fault {
            Some(Fault::Refused(code, after)) => {
                faults.count(|c| c.refused += 1);
                return async move { Ok(refusal(code, after)) }.boxed();
            }
            Some(Fault::Dropped) => {
                faults.count(|c| c.broken += 1);
                return async { Err(broken("broken before the request, says the script")) }.boxed();
            }
            _ => {}
        }
        let answer = self.inner.call(request);
        async move {
            if let Some(Fault::Late(late)) = fault {
                faults.count(|c| c.late += 1);
                tokio::time::sleep(late).await;
            }
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|response| response.status());
            if let Some(index) = index {
                // Ignored if the script was armed during that time.
                if let Some(write) = faults.0.writes.lock().unwrap().get_mut(index) {
                    write.answer = code.map(|code| code.as_u16());
                }
            }
            if fatal == Some(Side::After) {
                faults.kill();
            }
            if faults.is_dead() {
                return pending().await;
            }
            match fault {
                Some(Fault::AnswerLost) => {
                    faults.count(|c| c.broken += 1);
                    return Err(broken("broken before the answer, says the script"));
                }
                Some(Fault::Unanswered) => {
                    faults.count(|c| c.unanswered += 1);
                    return pending().await;
                }
                _ => {}
            }
            if counts {
                faults.active();
            }
            let is_leading = is_leadership(&path) && !is_read;
            if is_leading && code.is_some_and(|code| code.is_success()) {
                faults.0.leads.send_replace(true);
            }
            if code.is_some_and(|code| code == 410) {
                faults.count(|c| c.expired += 1);
            }
            let (head, body) = answer.map_err(Into::into)?.into_parts();
            let body = body.map_err(Into::into);
            if is_watch && head.status.is_success() {
                let lines = lines(body.into_data_stream());
                let events = watched(faults, &path, lines);
                let frames = events.map(|event| event.map(Frame::data));
                return Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()));
            }
            let is_list = is_read && head.status.is_success() && is_collection(&path);
            if is_list && faults.0.script.watching.older_lists {
                let fresh = body.collect().await?.to_bytes();
                let body = whole(faults.told(&path, fresh));
                let mut head = head;
                head.headers.remove(http::header::CONTENT_LENGTH);
                return Ok(Response::from_parts(head, body));
            }
            Ok(Response::from_parts(head, body.boxed_unsync()))
        }
        .boxed()
    }
}

/// Whether a path names many objects.
fn is_collection(path: &str) -> bool {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match segments.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return false,
    };
    matches!(rest, [_] | ["namespaces", _, _])
}

/// The events of a watch, one in each line.
fn lines(
    bytes: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
) -> BoxStream<'static, Result<Bytes, BoxError>> {
    let state = (Box::pin(bytes), BytesMut::new());
    futures::stream::unfold(state, |(mut bytes, mut kept)| async move {
        loop {
            if let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
                let line = kept.split_to(end + 1).freeze();
                return Some((Ok(line), (bytes, kept)));
            }
            match bytes.next().await {
                Some(Ok(more)) => kept.extend_from_slice(&more),
                Some(Err(error)) => return Some((Err(error), (bytes, kept))),
                None => return None,
            }
        }
    })
    .boxed()
}

/// The events as the script passes them on.
fn watched(
    faults: Faults,
    path: &str,
    lines: BoxStream<'static, Result<Bytes, BoxError>>,
) -> Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>> {
    let Watching { late, twice, .. } = faults.0.script.watching;
    let expires = faults.expiry(path);
    let told = faults.clone();
    let seen = lines.inspect(move |line| {
        let is_expiry = |line: &Bytes| line.starts_with(br#"{"type":"ERROR""#) && has(line, b"\"code\":410");
        if line.as_ref().is_ok_and(is_expiry) {
            told.count(|c| c.expired += 1);
        }
    });
    let is_bookmark = |line: &Bytes| line.starts_with(br#"{"type":"BOOKMARK""#);
    let counter = faults.clone();
    let doubled = seen.flat_map(move |line| {
        let again = line
            .as_ref()
            .ok()
            .filter(|line| twice && !is_bookmark(line))
            .cloned();
        if again.is_some() {
            counter.count(|c| c.events_twice += 1);
        }
        futures::stream::iter([Some(line), again.map(Ok)].into_iter().flatten())
    });
    let counter = faults.clone();
    // A delayed watch delays all of its events, and so keeps their order.
    let delayed = doubled
        .map(move |line| {
            let counter = counter.clone();
            let came = tokio::time::Instant::now();
            async move {
                if let Some(late) = late {
                    tokio::time::sleep_until(came + late).await;
                    counter.count(|c| c.events_late += 1);
                }
                line
            }
        })
        .buffered(if late.is_some() { 1000 } else { 1 });
    match expires {
        None => delayed.boxed(),
        Some(after) => delayed
            .take(after)
            .chain(futures::stream::once(async move {
                faults.count(|c| c.expired += 1);
                let gone = json!({ "type": "ERROR", "object": {
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old resource version, says the script", "reason": "Expired", "code": 410,
                } });
                Ok(Bytes::from(format!("{gone}\n")))
            }))
            .boxed(),
    }
}

fn has(line: &[u8], text: &[u8]) -> bool {
    line.windows(text.len()).any(|window| window == text)
}
