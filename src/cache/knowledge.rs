//! All data that this process caches, shared by readers, writers and the watches.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::cache::index::{Index, Key, Keys};
use crate::cache::memory::Memory;
use crate::cache::queue::Queue;
use crate::decide::expressions;
use crate::decide::facts::StoredPreState;
use crate::domain::cel::{Expression, Refusal};

/// The number of compiled expressions that are cached.
const MOST_EXPRESSIONS: usize = 1024;

/// The watch caches, the data between reconciles, and the queue of objects to reconcile after a change.
pub struct Knowledge {
    index: RwLock<Index>,
    queue: Queue,
    memories: Mutex<HashMap<String, Memory>>,
    /// Since when each pre-state, by uid, has been seen without its Release.
    orphans: Mutex<HashMap<String, Timestamp>>,
    /// How often this process has become the leader.
    term: AtomicU64,
    /// Who holds the leader's Lease, as far as its watch has shown.
    leader: watch::Sender<Option<String>>,
    expressions: Mutex<HashMap<String, Result<Expression, Refusal>>>,
}

impl Knowledge {
    /// Empty caches.
    #[must_use]
    pub fn new(queue: Queue) -> Self {
        Self {
            index: RwLock::default(),
            queue,
            memories: Mutex::default(),
            orphans: Mutex::default(),
            term: AtomicU64::new(0),
            leader: watch::Sender::new(None),
            expressions: Mutex::default(),
        }
    }

    /// The index, for reading; never held across an await.
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something seen or written into the index, and requeues the objects that it concerns.
    pub fn see(&self, change: impl FnOnce(&mut Index) -> Keys) {
        let keys = change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        self.queue.wake(keys);
    }

    /// [`Self::see`] for a write by the reconcile of `own`, which continues by itself.
    pub fn wrote(&self, own: Option<&Key>, change: impl FnOnce(&mut Index) -> Keys) {
        let mut keys = change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        keys.retain(|key| Some(key) != own);
        self.queue.wake(keys);
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The holder of the leader's Lease as the watch shows it, from now on.
    #[must_use]
    pub fn leader(&self) -> watch::Receiver<Option<String>> {
        self.leader.subscribe()
    }

    /// The watch has shown the leader's Lease.
    pub fn see_leader(&self, holder: Option<&str>) {
        self.leader.send_replace(holder.map(str::to_owned));
    }

    /// Takes the cached data of a Release. Only one reconcile at a time has it.
    #[must_use]
    pub fn recall(&self, uid: &str) -> Memory {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(uid).unwrap_or_else(|| Memory {
            term: self.term.load(Ordering::Relaxed),
            ..Memory::default()
        })
    }

    /// Stores it until the next reconcile. Data from a reconcile of an earlier term is dropped.
    pub fn remember(&self, uid: &str, memory: Memory) {
        let index = self.index();
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        if memories.len() >= index.count().max(1) {
            // Releases may be deleted without a reconcile.
            let there: HashSet<&str> = index
                .releases()
                .filter_map(|r| r.metadata.uid.as_deref())
                .collect();
            memories.retain(|uid, _| there.contains(uid.as_str()));
        }
        if memory.term == self.term.load(Ordering::Relaxed) {
            memories.insert(uid.to_owned(), memory);
        }
    }

    /// This process becomes the leader. The data between reconciles is dropped: objects that are not watched may have changed
    /// while another process led.
    pub fn begin_term(&self) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        self.term.fetch_add(1, Ordering::Relaxed);
        memories.clear();
        self.orphans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Pre-states without their Release, and since when this process, as the leader, has seen each of them so.
    #[must_use]
    pub fn orphans(&self, now: Timestamp) -> Vec<(StoredPreState, Timestamp)> {
        let index = self.index();
        let mut seen = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *seen);
        let orphans = index.orphans().map(|stored| {
            let since = before.get(&stored.uid).copied().unwrap_or(now);
            seen.insert(stored.uid.clone(), since);
            (stored.clone(), since)
        });
        orphans.collect()
    }

    /// The Release of that pre-state exists after all.
    pub fn not_orphaned(&self, uid: &str) {
        self.orphans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    /// Compiled once: an evaluation that is late is identified by its expression.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn compiled(&self, text: &str) -> Result<Expression, Refusal> {
        let mut known = self.expressions.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_EXPRESSIONS && !known.contains_key(text) {
            known.clear();
        }
        known
            .entry(text.to_owned())
            .or_insert_with(|| expressions::compile(text))
            .clone()
    }
}
