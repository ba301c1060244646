//! Whether every watch has listed.

use tokio::sync::watch;

/// Counts the watches that have not listed everything yet.
pub(crate) type Synced = watch::Sender<usize>;
/// The other end: 0 once everything has been listed.
pub(crate) type Ready = watch::Receiver<usize>;

/// Both ends, before any watch has started.
pub(crate) fn synced() -> (Synced, Ready) {
    watch::channel(0)
}
