//! Whether the process makes progress.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::pulse::Pulse;
use crate::operator::synced::Ready;

/// A loop without a turn for this long is stuck.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Updated by the work loop, read by the HTTP handlers.
pub(crate) struct Health {
    started: Instant,
    /// Milliseconds after `started` at which the loop last turned; 0 before it first leads.
    last_beat: AtomicU64,
    pub(crate) ready: Ready,
    pub(crate) pulse: Pulse,
}

impl Health {
    /// Of a process that has not led yet.
    pub(crate) fn new(ready: Ready, pulse: Pulse) -> Self {
        Self {
            started: Instant::now(),
            last_beat: AtomicU64::new(0),
            ready,
            pulse,
        }
    }

    /// The loop turns.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_beat.store(now.max(1), Ordering::Relaxed);
    }

    /// Whether a leader's loop has not turned for a minute.
    pub(crate) fn hangs(&self, leads: bool) -> bool {
        let beat = Duration::from_millis(self.last_beat.load(Ordering::Relaxed));
        leads && !beat.is_zero() && self.started.elapsed().saturating_sub(beat) > HANGS_AFTER
    }
}
