//! Whom to wake, and when. While nobody leads, nobody is woken: a new leader looks at everything anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::scheduler::ScheduleRequest;
use tokio::time::Instant;

use crate::cache::index::Key;

/// An Environment's status is derived from many Releases: it is written once for all that happens within this time. Nothing is
/// decided on it, so it may be a little late for the sake of fewer writes.
pub const ENVIRONMENT_DEBOUNCE: Duration = Duration::from_secs(2);

/// The sending end. What is sent is drained at once into a set that is no larger than the objects there are.
#[derive(Clone)]
pub struct Queue {
    open: Arc<AtomicBool>,
    sender: Arc<Mutex<UnboundedSender<ScheduleRequest<Key>>>>,
}

impl Default for Queue {
    fn default() -> Self {
        // Closed until somebody leads: the receiving end may as well be gone.
        let (sender, _) = unbounded();
        Self {
            open: Arc::default(),
            sender: Arc::new(Mutex::new(sender)),
        }
    }
}

impl Queue {
    /// Opens the queue for a new leader, who drains the end that is returned.
    #[must_use]
    pub fn open(&self) -> UnboundedReceiver<ScheduleRequest<Key>> {
        let (sender, receiver) = unbounded();
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = sender;
        self.open.store(true, Ordering::Release);
        receiver
    }

    /// Nobody leads any more, and nobody is woken.
    pub fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Wakes each key at once, Environments a little later.
    pub fn wake(&self, keys: Vec<Key>) {
        for key in keys {
            let after = match key {
                Key::Release { .. } | Key::Orphans => Duration::ZERO,
                Key::Environment { .. } => ENVIRONMENT_DEBOUNCE,
            };
            self.wake_after(key, after);
        }
    }

    /// Wakes one key that much later.
    pub fn wake_after(&self, key: Key, after: Duration) {
        if self.open.load(Ordering::Acquire) {
            let request = ScheduleRequest {
                message: key,
                run_at: Instant::now() + after,
            };
            // A closed end means that leadership has just been lost.
            let _ = self
                .sender
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .unbounded_send(request);
        }
    }
}
