//! The queue of objects to reconcile. It is closed while this process does not lead: a new leader reconciles everything anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::scheduler::ScheduleRequest;
use tokio::time::Instant;

use crate::cache::index::Key;

/// An Environment's status is derived from many Releases: it is written once for all changes within this time. No decision depends
/// on it, so it may be a little late, to save writes.
pub const ENVIRONMENT_DEBOUNCE: Duration = Duration::from_secs(2);

/// The sending end. Keys are drained immediately into a set that is no larger than the number of objects.
#[derive(Clone)]
pub struct Queue {
    open: Arc<AtomicBool>,
    sender: Arc<Mutex<UnboundedSender<ScheduleRequest<Key>>>>,
}

impl Default for Queue {
    fn default() -> Self {
        // Closed until this process leads, so there is no receiving end.
        let (sender, _) = unbounded();
        Self {
            open: Arc::default(),
            sender: Arc::new(Mutex::new(sender)),
        }
    }
}

impl Queue {
    /// Opens the queue for a new leader, which drains the returned end.
    #[must_use]
    pub fn open(&self) -> UnboundedReceiver<ScheduleRequest<Key>> {
        let (sender, receiver) = unbounded();
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = sender;
        self.open.store(true, Ordering::Release);
        receiver
    }

    /// This process no longer leads: nothing is queued.
    pub fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Queues each key immediately, Environments a little later.
    pub fn wake(&self, keys: Vec<Key>) {
        for key in keys {
            let after = match key {
                Key::Release { .. } | Key::Orphans => Duration::ZERO,
                Key::Environment { .. } => ENVIRONMENT_DEBOUNCE,
            };
            self.wake_after(key, after);
        }
    }

    /// Queues one key after that time.
    pub fn wake_after(&self, key: Key, after: Duration) {
        if self.open.load(Ordering::Acquire) {
            let request = ScheduleRequest {
                message: key,
                run_at: Instant::now() + after,
            };
            // A closed receiving end means that leadership was just lost.
            let _ = self
                .sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .unbounded_send(request);
        }
    }
}
