//! Leader election, by the Lease `signalbox`. Each write of it names the version that was read. So of two processes that want it at the
//! same time one is refused, and no process takes a Lease that has been renewed since. Standby processes wake when the Lease is released.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Error};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::api::FIELD_MANAGER;
use crate::observe::leader;

/// The longest time until a leader whose renewal has failed tries again.
const RETRY: Duration = Duration::from_secs(1);

/// One candidate for leadership.
pub(crate) struct Election {
    leases: Api<Lease>,
    identity: String,
    /// How long a renewal is valid.
    lasts: Duration,
    /// How long before its end the Lease is renewed.
    grace: Duration,
    /// The Lease as the watch shows it: it only triggers a live read, which decides.
    shown: watch::Receiver<Option<String>>,
    /// As the Lease was last read or written.
    known: Option<LeaseSpec>,
    /// Which of this process's terms it is in, while it leads. Another process may have led before each.
    leads: watch::Sender<Option<u64>>,
    /// How many terms it has begun.
    terms: u64,
    /// While it leads: when the last renewal expires, by the monotonic clock.
    until: Option<Instant>,
}

impl Election {
    /// `leases` is that of the operator's namespace.
    pub(crate) fn new(
        leases: Api<Lease>,
        identity: &str,
        (lasts, grace): (Duration, Duration),
        shown: watch::Receiver<Option<String>>,
    ) -> Self {
        Self {
            leases,
            identity: identity.to_owned(),
            lasts,
            grace,
            shown,
            known: None,
            leads: watch::Sender::new(None),
            terms: 0,
            until: None,
        }
    }

    /// The current Lease, created if there is none. A Lease that was deleted is restored with its holder, which may still lead
    /// without knowing of the deletion; with this process only while it leads, since afterwards the Lease may have become another's.
    ///
    /// # Errors
    /// The error of the API server.
    pub(crate) async fn look(&self, now: Timestamp) -> Result<Lease, Error> {
        if let Some(lease) = self.leases.get_opt(leader::LEASE).await? {
            return Ok(lease);
        }
        let known = self.known.as_ref();
        let known = known.filter(|spec| self.until.is_some() || !self.is_ours(spec));
        let mut spec = known.cloned().unwrap_or_default();
        spec.renew_time = leader::holder(&spec).map(|_| MicroTime(now));
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(leader::LEASE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        self.leases.create(&written(), &lease).await
    }

    /// Reports in which term this process leads until the receiver is dropped, then releases the Lease.
    pub(crate) fn run(mut self) -> (watch::Receiver<Option<u64>>, JoinHandle<Result<(), Error>>) {
        let (leads, listens) = (self.leads.clone(), self.leads.subscribe());
        let election = tokio::spawn(async move {
            while !leads.is_closed() {
                // Anything shown from now on may be newer than what is read.
                self.shown.mark_unchanged();
                // Never cancelled halfway: a Lease that is being taken could not be released.
                let next = self.ask().await;
                tokio::select! {
                    () = leads.closed() => {}
                    () = sleep_until(next) => {}
                    () = self.given_back() => {}
                }
            }
            let answer = timeout(self.grace, self.give_back()).await;
            answer.unwrap_or_else(|late| Err(Error::Service(Box::new(late))))
        });
        (listens, election)
    }

    /// One round, and when the next one starts. A renewal counts from before its request is sent, and so does the pause.
    async fn ask(&mut self) -> Instant {
        let started = Instant::now();
        // No request may take longer than the leadership lasts.
        let ends = |next: Instant, until: Option<Instant>| {
            let until = until.filter(|until| *until > started);
            until.map_or(next, |until| until.min(next))
        };
        let limit = self.until.filter(|until| *until > started);
        let round = self.round(Timestamp::now());
        let answer = match limit {
            Some(until) => timeout_at(until, round).await,
            None => Ok(round.await),
        };
        let pause = match answer.unwrap_or_else(|late| Err(Error::Service(Box::new(late)))) {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "The leader's Lease could not be read or renewed; the request is retried.");
                let pause = self.grace / 2;
                self.until.map_or(pause, |_| pause.min(RETRY))
            }
        };
        ends(started + pause, self.until)
    }

    /// Reads the Lease, renews or takes it if due, and returns how long there is nothing to do.
    async fn round(&mut self, now: Timestamp) -> Result<Duration, Error> {
        let started = Instant::now();
        if self.ran_out(now, started) {
            self.lose();
        }
        let mut lease = self.within(self.look(now)).await?;
        if !lease.spec.as_ref().is_some_and(|spec| self.is_ours(spec)) {
            self.lose();
        }
        let mut left = self.left(lease.spec.as_ref(), now);
        // A clock that was set back a little makes the last renewal look younger than it is.
        let due = self.until.is_some_and(|until| until <= started + self.grace);
        if due || left.is_zero() {
            lease.spec = Some(self.ours(lease.spec.take().unwrap_or_default(), now));
            lease.metadata.managed_fields = None;
            let params = written();
            let replaced = self.leases.replace(leader::LEASE, &params, &lease);
            lease = self.within(replaced).await?;
            left = self.left(lease.spec.as_ref(), now);
        }
        let before = std::mem::replace(&mut self.known, lease.spec);
        self.hold(before.and_then(|spec| spec.renew_time), now, started);
        Ok(left)
    }

    /// An answer, if it comes in time. Each request has a part of the grace, so a lost one leaves time for another, and a slow
    /// API server keeps its leader. A standby process loses nothing by waiting.
    async fn within<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let limit = self.until.map_or(self.lasts, |_| self.grace / 2);
        let answer = timeout(limit, request).await;
        answer.unwrap_or_else(|late| Err(Error::Service(Box::new(late))))
    }

    fn is_ours(&self, spec: &LeaseSpec) -> bool {
        leader::holder(spec) == Some(self.identity.as_str())
    }

    /// Whether our last renewal has expired, by either clock: one may be set, and the other may stop while the machine sleeps.
    fn ran_out(&self, now: Timestamp, started: Instant) -> bool {
        let renewed = self.known.as_ref().and_then(|spec| spec.renew_time.as_ref());
        let lasts = SignedDuration::try_from(self.lasts).unwrap_or(SignedDuration::MAX);
        self.until.is_some_and(|until| until <= started)
            || renewed.is_some_and(|renewed| now.duration_since(renewed.0) >= lasts)
    }

    /// Another process may lead from now on.
    fn lose(&mut self) {
        self.until = None;
        self.leads.send_if_modified(|term| term.take().is_some());
    }

    /// We lead if the cached Lease is ours, from its renewal on; `before` is the renewal at the last read.
    fn hold(&mut self, before: Option<MicroTime>, now: Timestamp, started: Instant) {
        let Some(spec) = self.known.as_ref().filter(|spec| self.is_ours(spec)) else {
            return;
        };
        if self.until.is_none() || spec.renew_time != before {
            let renewed = spec.renew_time.as_ref().map_or(now, |renewed| renewed.0);
            let gone = Duration::try_from(now.duration_since(renewed)).unwrap_or_default();
            self.until = Some(started + self.lasts.saturating_sub(gone));
        }
        if self.leads.borrow().is_none() {
            self.terms += 1;
            self.leads.send_replace(Some(self.terms));
        }
    }

    /// How long the Lease stays unchanged: our own until it is due for renewal, another's until it has expired.
    fn left(&self, spec: Option<&LeaseSpec>, now: Timestamp) -> Duration {
        let stands = spec.and_then(|spec| {
            leader::holder(spec)?;
            let renewed = spec.renew_time.as_ref()?.0;
            let lasts = SignedDuration::from_secs(spec.lease_duration_seconds?.into());
            let left = renewed.duration_since(now).saturating_add(lasts);
            let ours = self.is_ours(spec);
            let grace = SignedDuration::try_from(if ours { self.grace } else { Duration::ZERO }).ok()?;
            // A clock that was set back would keep us from renewing.
            (!ours || renewed <= now).then(|| left.saturating_sub(grace))
        });
        let stands = stands.and_then(|left| Duration::try_from(left).ok());
        // Whatever another client has written there, it is read again in time.
        stands.unwrap_or_default().min(self.lasts)
    }

    /// `spec` with this process as the holder from `now` on.
    fn ours(&self, spec: LeaseSpec, now: Timestamp) -> LeaseSpec {
        let held = self.is_ours(&spec);
        let transitions = spec.lease_transitions.unwrap_or_default();
        LeaseSpec {
            lease_transitions: Some(transitions.saturating_add(i32::from(!held))),
            acquire_time: spec.acquire_time.filter(|_| held).or(Some(MicroTime(now))),
            holder_identity: Some(self.identity.clone()),
            renew_time: Some(MicroTime(now)),
            lease_duration_seconds: i32::try_from(self.lasts.as_secs()).ok(),
            ..spec
        }
    }

    /// Returns once the watch shows that the Lease has no holder or was deleted.
    async fn given_back(&mut self) {
        while self.shown.changed().await.is_ok() {
            if self.shown.borrow_and_update().is_none() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Releases our Lease, so that the next leader does not have to wait.
    async fn give_back(&self) -> Result<(), Error> {
        loop {
            let Some(mut lease) = self.leases.get_opt(leader::LEASE).await? else {
                return Ok(());
            };
            let spec = lease.spec.take().unwrap_or_default();
            if !self.is_ours(&spec) {
                return Ok(());
            }
            lease.spec = Some(LeaseSpec {
                lease_transitions: spec.lease_transitions,
                ..LeaseSpec::default()
            });
            lease.metadata.managed_fields = None;
            match self.leases.replace(leader::LEASE, &written(), &lease).await {
                // Another client has written it since.
                Err(Error::Api(status)) if status.is_conflict() => {}
                answer => return answer.map(|_| ()),
            }
        }
    }
}

fn written() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
