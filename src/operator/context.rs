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
    /// Who this process is for leader election. A restarted container of one pod is the same one.
    pub identity: String,
    /// How long a leader that is gone keeps others waiting.
    pub lease_duration: Duration,
    /// Passes that run at once.
    pub concurrency: usize,
    /// How long a pass may take.
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
