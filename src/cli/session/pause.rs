//! The time between two tries of something that lasts: a watch, or a read while the API server is away.

use std::time::{Duration, Instant};

/// Pauses that grow from one second to half a minute, and begin again after something has lasted for a minute.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    doubled: u32,
    began: Option<Instant>,
}

impl Pause {
    /// Something begins that is expected to last.
    pub fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    /// Waits before the next try.
    pub async fn next(&mut self) {
        let lasted = self
            .began
            .take()
            .is_some_and(|began| began.elapsed() > Duration::from_secs(60));
        self.doubled = if lasted { 0 } else { self.doubled };
        tokio::time::sleep(Duration::from_secs(1 << self.doubled.min(5)).min(Duration::from_secs(30))).await;
        self.doubled += 1;
    }
}
