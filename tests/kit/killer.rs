//! A layer between an operator and the API server that sees every request, counts the writes, and at one of them ends the
//! operator the hard way: from then on nothing is sent and nothing comes back.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;
use tower::{Layer, Service};

/// Which side of the fatal write the operator still sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The write never leaves.
    Before,
    /// The write takes place, and its answer is lost.
    After,
}

/// The fatal write.
#[derive(Clone)]
pub struct Kill {
    pub side: Side,
    at: At,
}

#[derive(Clone)]
enum At {
    Nth(Ledger, usize),
    First(fn(&Write) -> bool),
}

/// Environments are written beside promotions, in no order with them, so that the two are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    Promotion,
    Environment,
}

impl Kill {
    /// At the `n`th write of `ledger`, from 1.
    #[must_use]
    pub fn at(side: Side, ledger: Ledger, n: usize) -> Self {
        Self {
            side,
            at: At::Nth(ledger, n),
        }
    }

    #[must_use]
    pub fn at_first(side: Side, which: fn(&Write) -> bool) -> Self {
        Self {
            side,
            at: At::First(which),
        }
    }
}

/// A request that is not a read, an Event, a review, a dry run or leadership.
#[derive(Clone, Debug)]
pub struct Write {
    pub method: Method,
    pub path: String,
    pub ledger: Ledger,
    pub impersonates: Option<String>,
    pub body: Value,
    /// The status code; none while, or because, no answer came.
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
}

/// Sees the requests of one operator's life.
#[derive(Clone)]
pub struct Killer(Arc<Inner>);

struct Inner {
    kill: Option<Kill>,
    writes: Mutex<Vec<Write>>,
    dead: watch::Sender<bool>,
    /// Requests but watches and leadership, begun and ended.
    activity: watch::Sender<u64>,
    leads: watch::Sender<bool>,
}

impl Killer {
    #[must_use]
    pub fn new(kill: Option<Kill>) -> Self {
        Self(Arc::new(Inner {
            kill,
            writes: Mutex::default(),
            dead: watch::Sender::new(false),
            activity: watch::Sender::new(0),
            leads: watch::Sender::new(false),
        }))
    }

    /// What was written, in the order in which it was sent.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.0.writes.lock().unwrap().clone()
    }

    /// Ends the operator now.
    pub fn kill(&self) {
        self.0.dead.send_replace(true);
    }

    /// Once the operator is dead.
    pub async fn killed(&self) {
        let mut dead = self.0.dead.subscribe();
        dead.wait_for(|dead| *dead)
            .await
            .expect("the killer is still there");
    }

    /// Once the Lease is the operator's.
    pub async fn leads(&self) {
        let mut leads = self.0.leads.subscribe();
        leads
            .wait_for(|leads| *leads)
            .await
            .expect("the killer is still there");
    }

    /// Changes with everything that the operator does.
    #[must_use]
    pub fn activity(&self) -> watch::Receiver<u64> {
        self.0.activity.subscribe()
    }

    /// Once the operator leads and has not asked for anything for `long`: silence has no event to wait for.
    pub async fn silent(&self, long: Duration) {
        self.leads().await;
        let mut activity = self.0.activity.subscribe();
        while tokio::time::timeout(long, activity.changed()).await.is_ok() {}
    }

    fn is_dead(&self) -> bool {
        *self.0.dead.borrow()
    }

    /// Enters the write, and says whether it is the fatal one.
    fn enter(&self, write: Write) -> (usize, Option<Side>) {
        let mut writes = self.0.writes.lock().unwrap();
        let fatal = self.0.kill.as_ref().filter(|kill| match &kill.at {
            At::First(which) => which(&write),
            At::Nth(ledger, n) => {
                write.ledger == *ledger && writes.iter().filter(|w| w.ledger == *ledger).count() + 1 == *n
            }
        });
        writes.push(write);
        (writes.len() - 1, fatal.map(|kill| kill.side))
    }
}

impl<S> Layer<S> for Killer {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Watched {
            inner,
            killer: self.clone(),
        }
    }
}

/// The client's stack with the killer on top.
pub struct Watched<S> {
    inner: S,
    killer: Killer,
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
        // A whole body is there at once: nothing the operator sends is streamed.
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

impl<S, B> Service<Request<Body>> for Watched<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let killer = self.killer.clone();
        if killer.is_dead() {
            return pending().boxed();
        }
        let path = request.uri().path();
        let leading = is_leadership(path) && request.method() != Method::GET;
        let is_watch = request.uri().query().is_some_and(|q| q.contains("watch="));
        let counts = !is_watch && !is_leadership(path);
        if counts {
            killer.0.activity.send_modify(|n| *n += 1);
        }
        let entered = written(&request).map(|write| killer.enter(write));
        let fatal = entered.and_then(|(_, fatal)| fatal);
        if fatal == Some(Side::Before) {
            killer.kill();
            return pending().boxed();
        }
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|response| response.status());
            if let Some((index, _)) = entered {
                killer.0.writes.lock().unwrap()[index].answer = code.map(|code| code.as_u16());
            }
            if fatal == Some(Side::After) {
                killer.kill();
            }
            if killer.is_dead() {
                return pending().await;
            }
            if counts {
                killer.0.activity.send_modify(|n| *n += 1);
            }
            if leading && code.is_some_and(|code| code.is_success()) {
                killer.0.leads.send_replace(true);
            }
            answer
        }
        .boxed()
    }
}
