//! Who leads, when the Lease is late, lost or taken over.

use std::sync::{Arc, Mutex};

use kube::client::{Body, ClientBuilder};
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use crate::operator::election::*;

/// A minimal API server for one Lease.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    /// Written by another client right before the next replacement arrives.
    overtakes: Arc<Mutex<Option<Value>>>,
    /// What fails, and when requests arrived.
    fault: Arc<Mutex<Fault>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

#[derive(Clone, Copy, Default)]
enum Fault {
    #[default]
    None,
    Slow,
    /// Each request alone is in time, but two of them take most of the grace.
    Slower,
    /// A replacement arrives after two seconds, whether or not the client waits for the answer.
    SlowReplacement,
    Refuses,
    Silent,
}

impl Server {
    fn holding(spec: Value) -> Self {
        let server = Self::default();
        server.put(spec);
        server
    }

    /// Writes a new version.
    fn put(&self, spec: Value) -> Value {
        let mut lease = self.lease.lock().expect("a Lease");
        let version = lease.as_ref().map_or(1, |lease| version(lease) + 1);
        let metadata = json!({ "name": "signalbox", "resourceVersion": version.to_string() });
        let kind = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease" });
        let new = lease.insert(kind);
        new["metadata"] = metadata;
        new["spec"] = spec;
        new.clone()
    }

    fn spec(&self) -> Value {
        self.lease.lock().expect("a Lease").clone().expect("a Lease")["spec"].clone()
    }

    fn answer(&self, method: &http::Method, sent: Value) -> (u16, Value) {
        let now = || self.lease.lock().expect("a Lease").clone();
        match (method.as_str(), now()) {
            ("GET", Some(lease)) => (200, lease),
            ("GET" | "PUT", None) => (404, refusal(404, "NotFound")),
            ("POST", Some(_)) => (409, refusal(409, "AlreadyExists")),
            ("PUT", Some(_)) => {
                if let Some(spec) = self.overtakes.lock().expect("a spec").take() {
                    self.put(spec);
                }
                if now().is_some_and(|lease| version(&lease) == version(&sent)) {
                    (200, self.put(sent["spec"].clone()))
                } else {
                    (409, refusal(409, "Conflict"))
                }
            }
            ("POST", None) => (201, self.put(sent["spec"].clone())),
            (other, _) => panic!("{other}"),
        }
    }

    fn elects(&self, identity: &str) -> (Election, watch::Sender<Option<String>>) {
        let server = self.clone();
        let service = service_fn(move |request: http::Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let sent = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or_default();
                server.asked.lock().expect("times").push(Instant::now());
                let fault = *server.fault.lock().expect("a fault");
                let answers = tokio::spawn(async move {
                    match fault {
                        Fault::None => {}
                        Fault::Slow => tokio::time::sleep(seconds(1)).await,
                        Fault::Slower => tokio::time::sleep(seconds(2)).await,
                        Fault::SlowReplacement if parts.method != "PUT" => {}
                        Fault::SlowReplacement => tokio::time::sleep(seconds(2)).await,
                        Fault::Refuses => return (503, refusal(503, "ServiceUnavailable")),
                        Fault::Silent => std::future::pending().await,
                    }
                    server.answer(&parts.method, sent)
                });
                let (code, answer) = answers.await?;
                let answer = Body::from(serde_json::to_vec(&answer)?);
                Ok::<_, BoxError>(http::Response::builder().status(code).body(answer)?)
            }
        });
        let leases = Api::namespaced(ClientBuilder::new(service, "signalbox").build(), "signalbox");
        let (shows, shown) = watch::channel(None);
        let times = (Duration::from_secs(15), Duration::from_secs(5));
        (Election::new(leases, identity, times, shown), shows)
    }
}

fn version(lease: &Value) -> u64 {
    let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    version.parse().unwrap_or_default()
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "" })
}

fn held(by: &str, renewed: Timestamp) -> Value {
    json!({ "holderIdentity": by, "renewTime": MicroTime(renewed), "acquireTime": MicroTime(renewed),
            "leaseDurationSeconds": 15, "leaseTransitions": 3 })
}

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-11-23T09:00:00Z".parse().expect("a time");
    start + SignedDuration::from_secs(seconds)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Whether `election` leads after a round at that time, and how long there is nothing to do.
async fn looks(election: &mut Election, now: i64) -> (bool, Duration) {
    let left = election.round(at(now)).await.expect("an answer");
    (term(election).is_some(), left)
}

fn term(election: &Election) -> Option<u64> {
    *election.leads.borrow()
}

#[tokio::test]
async fn another_term_begins_wherever_another_process_may_have_led() {
    let nobodys = json!({ "leaseTransitions": 5 });
    for (meanwhile, now) in [
        // Another process took it after it had expired and released it, or let it expire again.
        (nobodys.clone(), 21),
        (held("two", at(15)), 30),
        // Another client emptied it.
        (nobodys, 5),
        // In the end no process led.
        (held("one", at(0)), 15),
    ] {
        let server = Server::holding(held("one", at(-10)));
        let (mut one, _shows) = server.elects("one");
        let mut leads = one.leads.subscribe();
        for renewed in [-1, 0] {
            assert!(looks(&mut one, renewed).await.0);
            assert_eq!(*leads.borrow_and_update(), Some(1), "a renewal starts no term");
        }
        server.put(meanwhile.clone());
        assert!(looks(&mut one, now).await.0);
        assert!(leads.has_changed().expect("an election"), "{meanwhile}");
        assert_eq!(*leads.borrow_and_update(), Some(2), "{meanwhile}");
    }
}

#[tokio::test]
async fn one_that_was_deleted_is_ours_again_only_while_our_renewal_stands() {
    for (now, terms, acquired) in [(14, 1, 0), (15, 2, 15)] {
        let server = Server::default();
        let (mut one, _shows) = server.elects("one");
        assert!(looks(&mut one, 0).await.0);
        server.lease.lock().expect("a Lease").take();
        assert!(looks(&mut one, now).await.0);
        assert_eq!(term(&one), Some(terms));
        assert_eq!(server.spec()["acquireTime"], json!(MicroTime(at(acquired))));
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_leads_no_longer_than_the_last_renewal_lasts() {
    for fault in [Fault::Refuses, Fault::Silent] {
        let server = Server::default();
        let (one, _shows) = server.elects("one");
        let (mut leads, _election) = one.run();
        let began = Instant::now();
        leads.wait_for(Option::is_some).await.expect("it runs");
        *server.fault.lock().expect("a fault") = fault;
        leads.wait_for(Option::is_none).await.expect("it runs");
        assert_eq!(began.elapsed().as_secs(), 15);
        let asked = server.asked.lock().expect("times").clone();
        let asked: Vec<u64> = asked.iter().skip(3).map(|at| (*at - began).as_secs()).collect();
        let tried = if matches!(fault, Fault::Refuses) {
            vec![10, 11, 12, 13, 14]
        } else {
            vec![10, 12]
        };
        assert_eq!(&asked[..tried.len()], tried);
        *server.fault.lock().expect("a fault") = Fault::None;
        leads.wait_for(|term| *term == Some(2)).await.expect("it runs");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_merely_slow_has_a_leader_and_keeps_it() {
    let server = Server::default();
    *server.fault.lock().expect("a fault") = Fault::Slower;
    let (one, _shows) = server.elects("one");
    let (mut leads, _election) = one.run();
    let began = Instant::now();
    leads.wait_for(Option::is_some).await.expect("it runs");
    let lost = timeout(seconds(60), leads.wait_for(|term| *term != Some(1))).await;
    assert!(lost.is_err(), "lost after {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_that_long_after_it_was_asked_for_and_not_after_the_answer() {
    let server = Server::default();
    *server.fault.lock().expect("a fault") = Fault::Slow;
    server.put(json!({}));
    let (one, _shows) = server.elects("one");
    let (_leads, _election) = one.run();
    let began = Instant::now();
    tokio::time::sleep(seconds(13)).await;
    let asked = server.asked.lock().expect("times").clone();
    let asked: Vec<u64> = asked.iter().map(|at| (*at - began).as_secs()).collect();
    assert_eq!(asked, [0, 1, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_taken_when_it_is_to_end_is_given_back() {
    let server = Server::holding(json!({}));
    *server.fault.lock().expect("a fault") = Fault::SlowReplacement;
    let (one, _shows) = server.elects("one");
    let (leads, election) = one.run();
    tokio::time::sleep(seconds(1)).await;
    drop(leads);
    election.await.expect("no panic").expect("released");
    tokio::time::sleep(seconds(5)).await;
    assert_eq!(server.spec(), json!({ "leaseTransitions": 1 }));
}

#[tokio::test(start_paused = true)]
async fn who_leads_puts_a_deleted_one_back_at_once() {
    let server = Server::default();
    let (one, shows) = server.elects("one");
    let (mut leads, _election) = one.run();
    let began = Instant::now();
    leads.wait_for(Option::is_some).await.expect("it runs");
    tokio::time::sleep(seconds(1)).await;
    server.lease.lock().expect("a Lease").take();
    shows.send_replace(None);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(server.spec()["holderIdentity"], "one");
    assert_eq!((*leads.borrow(), began.elapsed().as_secs()), (Some(1), 1));
}

#[tokio::test]
async fn it_is_taken_once_it_has_run_out_and_not_before() {
    let server = Server::holding(held("one", at(0)));
    let (mut two, _shows) = server.elects("two");
    for (now, left) in [(0, 15), (14, 1)] {
        assert_eq!(looks(&mut two, now).await, (false, seconds(left)));
        assert_eq!(server.spec(), held("one", at(0)));
    }
    assert_eq!(looks(&mut two, 15).await, (true, seconds(10)));
    let mut taken = held("two", at(15));
    taken["leaseTransitions"] = json!(4);
    assert_eq!(server.spec(), taken);
    // The holder renews it when it is due.
    assert_eq!(looks(&mut two, 24).await, (true, seconds(1)));
    assert_eq!(server.spec(), taken);
    assert_eq!(looks(&mut two, 25).await, (true, seconds(10)));
    taken["renewTime"] = json!(MicroTime(at(25)));
    assert_eq!(server.spec(), taken);
}

#[tokio::test]
async fn what_was_renewed_or_taken_in_the_meantime_is_left_to_who_did_it() {
    for by in ["one", "three"] {
        let server = Server::holding(held("one", at(0)));
        let (mut two, _shows) = server.elects("two");
        *server.overtakes.lock().expect("a spec") = Some(held(by, at(15)));
        let refused = two.round(at(15)).await.expect_err("refused");
        assert!(
            matches!(refused, Error::Api(status) if status.is_conflict()),
            "{by}"
        );
        assert_eq!(looks(&mut two, 16).await, (false, seconds(14)));
        assert_eq!(server.spec(), held(by, at(15)));
    }
}

#[tokio::test]
async fn one_that_was_deleted_is_put_back_with_its_holder() {
    let server = Server::holding(held("one", at(0)));
    let (mut two, _shows) = server.elects("two");
    looks(&mut two, 1).await;
    server.lease.lock().expect("a Lease").take();
    assert_eq!(looks(&mut two, 9).await, (false, seconds(15)));
    assert_eq!(server.spec()["holderIdentity"], "one");
    assert_eq!(server.spec()["renewTime"], json!(MicroTime(at(9))));
}

#[tokio::test]
async fn whatever_stands_there_it_is_looked_at_again() {
    let no_time = json!({ "holderIdentity": "one" });
    let far = json!({ "holderIdentity": "one", "renewTime": "9998-01-01T00:00:00.000000Z", "leaseDurationSeconds": i32::MAX });
    for (spec, leads, left) in [
        (json!({}), true, 10),
        (json!({ "holderIdentity": "" }), true, 10),
        (no_time, true, 10),
        (far, false, 15),
        // The clock was set back since.
        (held("two", at(3600)), true, 10),
    ] {
        let server = Server::holding(spec.clone());
        let (mut two, _shows) = server.elects("two");
        let answer = looks(&mut two, 0).await;
        assert_eq!(answer, (leads, seconds(left)), "{spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_stands_by_is_woken_when_it_is_given_back_and_gives_it_back_in_turn() {
    let server = Server::holding(held("one", Timestamp::now()));
    let (two, shows) = server.elects("two");
    shows.send_replace(Some("one".to_owned()));
    let (mut leads, election) = two.run();
    let began = Instant::now();
    // A renewal wakes no standby process.
    tokio::time::sleep(seconds(1)).await;
    shows.send_replace(Some("one".to_owned()));
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(*leads.borrow(), None);
    server.put(json!({ "leaseTransitions": 3 }));
    shows.send_replace(None);
    leads.wait_for(Option::is_some).await.expect("it runs");
    assert_eq!(began.elapsed().as_secs(), 2, "immediately");
    assert_eq!(server.spec()["holderIdentity"], "two");
    drop(leads);
    election.await.expect("no panic").expect("released");
    assert_eq!(server.spec(), json!({ "leaseTransitions": 4 }));
}
