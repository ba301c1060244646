//! How long this process may act as the leader, by its own clocks. The answers to the election's requests are read, and every
//! answer that shows the leader's Lease says until when it is ours.
//!
//! A process that was paused for a while still assumes that it leads. The times in the Lease show whether it does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder};
use tower::retry::RetryLayer;
use tower::{BoxError, service_fn};

use crate::cluster::RequestError;

/// This process's leadership.
#[derive(Clone)]
pub struct Term(Option<Arc<Inner>>);

struct Inner {
    identity: String,
    /// How long a renewal is valid.
    stands: SignedDuration,
    until: Mutex<Option<Until>>,
}

/// By both clocks: one may be set, and the other may stop while the machine sleeps.
#[derive(Clone, Copy)]
struct Until {
    wall: Timestamp,
    monotonic: Instant,
}

impl Term {
    /// The term of `identity`, which ends `stands` after each renewal.
    #[must_use]
    pub fn new(identity: &str, stands: SignedDuration) -> Self {
        Self(Some(Arc::new(Inner {
            identity: identity.to_owned(),
            stands,
            until: Mutex::default(),
        })))
    }

    /// A term that never ends.
    #[must_use]
    pub fn for_good() -> Self {
        Self(None)
    }

    /// The client for the election, whose answers are read.
    #[must_use]
    pub fn of(&self, client: Client) -> Client {
        let (term, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = service_fn(move |request: http::Request<Body>| {
            let (client, term) = (client.clone(), term.clone());
            async move {
                let (parts, body) = client.send(request).await?.into_parts();
                let body = body.collect_bytes().await?;
                if parts.status.is_success() {
                    term.heard(&body, Timestamp::now(), Instant::now());
                }
                Ok::<_, BoxError>(http::Response::from_parts(parts, Body::from(body.to_vec())))
            }
        });
        ClientBuilder::new(service, namespace).build()
    }

    /// The client for everything but the election. A request that was throttled or failed on the server is retried. Before each
    /// try, not only before the first, a request that may change something checks whether this process still leads.
    #[must_use]
    pub fn guard(&self, client: Client) -> Client {
        let (term, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = service_fn(move |request: http::Request<Body>| {
            let (client, term) = (client.clone(), term.clone());
            async move {
                if request.method() != http::Method::GET {
                    term.holds()?;
                }
                Ok::<_, BoxError>(client.send(request).await?)
            }
        });
        ClientBuilder::new(service, namespace)
            .with_layer(&RetryLayer::new(RetryPolicy::server_retry()))
            .build()
    }

    /// Whether this process still leads.
    ///
    /// # Errors
    /// [`RequestError::Passing`], with the reason, until the Lease is renewed.
    pub fn holds(&self) -> Result<(), RequestError> {
        if self.holds_at(Timestamp::now(), Instant::now()) {
            return Ok(());
        }
        Err(RequestError::Passing(
            "the leader's Lease was not renewed in time, so nothing is changed because another operator may lead now".to_owned(),
        ))
    }

    fn heard(&self, answer: &[u8], wall: Timestamp, monotonic: Instant) {
        let Some(inner) = &self.0 else { return };
        let Ok(lease) = serde_json::from_slice::<Lease>(answer) else {
            return;
        };
        let spec = lease.spec.unwrap_or_default();
        let ours = spec.holder_identity.as_ref() == Some(&inner.identity);
        // The Lease says when its holder sent the request, not when the answer came.
        let until = spec.renew_time.filter(|_| ours).map(|renewed| {
            let left = (inner.stands - wall.duration_since(renewed.0)).min(inner.stands);
            Until {
                wall: renewed.0 + inner.stands,
                monotonic: monotonic + Duration::try_from(left).unwrap_or_default(),
            }
        });
        *inner.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn holds_at(&self, wall: Timestamp, monotonic: Instant) -> bool {
        self.0.as_ref().is_none_or(|inner| {
            let until = inner.until.lock().unwrap_or_else(PoisonError::into_inner);
            until.is_some_and(|until| wall < until.wall && monotonic < until.monotonic)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: Option<&str>, renewed: Timestamp) -> Vec<u8> {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "signalbox" },
            "spec": { "holderIdentity": holder, "renewTime": renewed },
        })
        .to_string()
        .into_bytes()
    }

    #[tokio::test]
    async fn what_is_asked_again_is_not_sent_once_the_term_is_over() {
        let sent = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&sent);
        let throttles = service_fn(move |_: http::Request<Body>| {
            *counted.lock().expect("a count") += 1;
            let answer = http::Response::builder().status(429).header("Retry-After", "1");
            async move { Ok::<_, BoxError>(answer.body(Body::empty())?) }
        });
        let term = Term::new("a", SignedDuration::from_millis(500));
        let client = term.guard(ClientBuilder::new(throttles, "default").build());
        let patch = || {
            let request = http::Request::patch("/api/v1/namespaces/a/configmaps/b");
            client.send(request.body(Body::empty()).expect("a request"))
        };
        patch().await.expect_err("no leader yet");
        assert_eq!(*sent.lock().expect("a count"), 0);
        let now = Timestamp::now();
        term.heard(&lease(Some("a"), now), now, Instant::now());
        let refused = patch().await.expect_err("over by the second try").to_string();
        assert!(refused.contains("was not renewed in time"), "{refused}");
        assert_eq!(*sent.lock().expect("a count"), 1);
    }

    struct Clocks(Timestamp, Instant);

    impl Clocks {
        fn after(&self, wall: i64, monotonic: u64) -> (Timestamp, Instant) {
            (
                self.0 + SignedDuration::from_secs(wall),
                self.1 + Duration::from_secs(monotonic),
            )
        }
    }

    fn term() -> (Term, Clocks) {
        let start = "2026-11-23T09:00:00Z".parse().expect("a time");
        (
            Term::new("one", SignedDuration::from_secs(12)),
            Clocks(start, Instant::now()),
        )
    }

    fn holds(term: &Term, (wall, monotonic): (Timestamp, Instant)) -> bool {
        term.holds_at(wall, monotonic)
    }

    #[test]
    fn it_ends_some_time_after_the_renewal_was_asked_for_by_either_clock() {
        let (term, clocks) = term();
        assert!(!holds(&term, clocks.after(0, 0)), "no answer yet");
        let (wall, monotonic) = clocks.after(2, 2);
        term.heard(&lease(Some("one"), clocks.0), wall, monotonic);
        assert!(holds(&term, clocks.after(11, 11)));
        assert!(!holds(&term, clocks.after(12, 12)));
        assert!(!holds(&term, clocks.after(12, 3)), "the machine slept");
        assert!(!holds(&term, clocks.after(-3600, 12)), "the clock was set back");
        let (wall, monotonic) = clocks.after(10, 10);
        term.heard(&lease(Some("one"), wall), wall, monotonic);
        assert!(holds(&term, clocks.after(21, 21)));
    }

    #[test]
    fn it_ends_at_once_where_the_lease_is_seen_to_be_anothers_or_nobodys() {
        for holder in [Some("two"), None] {
            let (term, clocks) = term();
            let (wall, monotonic) = clocks.after(0, 0);
            term.heard(&lease(Some("one"), wall), wall, monotonic);
            term.heard(b"no Lease at all", wall, monotonic);
            assert!(holds(&term, clocks.after(1, 1)));
            term.heard(&lease(holder, wall), wall, monotonic);
            assert!(!holds(&term, clocks.after(1, 1)), "{holder:?}");
        }
    }

    #[test]
    fn a_clock_that_was_put_back_since_the_renewal_does_not_prolong_it() {
        let (term, clocks) = term();
        let (wall, monotonic) = clocks.after(-3600, 0);
        term.heard(&lease(Some("one"), clocks.0), wall, monotonic);
        assert!(!holds(&term, clocks.after(-3588, 12)));
    }
}
