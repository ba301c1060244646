//! How the operator runs, and what every part of it shares.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kube::runtime::events::Reporter;

use crate::cluster::term::Term;
use crate::decide::facts::Settings;
use crate::observe::Observer;
use crate::operator::metrics::Metrics;

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// What decisions depend on.
    pub settings: Settings,
    /// Where health and metrics are served.
    pub listen: SocketAddr,
    /// The identity of this process for leader election. A restarted container of the same pod has the same identity.
    pub identity: String,
    /// How long other processes wait after the leader stops renewing.
    pub lease_duration: Duration,
    /// Reconciles that run at the same time.
    pub concurrency: usize,
    /// How long a reconcile may take.
    pub reconcile_timeout: Duration,
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
