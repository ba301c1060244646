//! All that this process knows, shared by those who read, those who write and the watches.

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

/// Compiled expressions that are kept.
const MOST_EXPRESSIONS: usize = 1024;

/// What the watches have shown, what is remembered, and whom to wake when it changes.
pub struct Knowledge {
    index: RwLock<Index>,
    queue: Queue,
    memories: Mutex<HashMap<String, Memory>>,
    /// Since when each pre-state, by uid, has been seen without its Release.
    orphans: Mutex<HashMap<String, Timestamp>>,
    /// How often this process has begun to lead.
    term: AtomicU64,
    /// Who holds the leader's Lease, as far as its watch has shown.
    leader: watch::Sender<Option<String>>,
    expressions: Mutex<HashMap<String, Result<Expression, Refusal>>>,
}

impl Knowledge {
    /// Nothing is known yet.
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

    /// Puts something seen or written into the index, and wakes whom it concerns.
    pub fn see(&self, change: impl FnOnce(&mut Index) -> Keys) {
        let keys = change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        self.queue.wake(keys);
    }

    /// [`Self::see`] for what a pass over `own` has written: it goes on by itself.
    pub fn wrote(&self, own: Option<&Key>, change: impl FnOnce(&mut Index) -> Keys) {
        let mut keys = change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
        keys.retain(|key| Some(key) != own);
        self.queue.wake(keys);
    }

    /// Whom to wake, and when.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Who is shown to hold the leader's Lease, from now on.
    #[must_use]
    pub fn leader(&self) -> watch::Receiver<Option<String>> {
        self.leader.subscribe()
    }

    /// The watch has shown the leader's Lease.
    pub fn see_leader(&self, holder: Option<&str>) {
        self.leader.send_replace(holder.map(str::to_owned));
    }

    /// What is remembered of a Release. One pass at a time has it in hand.
    #[must_use]
    pub fn recall(&self, uid: &str) -> Memory {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(uid).unwrap_or_else(|| Memory {
            term: self.term.load(Ordering::Relaxed),
            ..Memory::default()
        })
    }

    /// Keeps it until the next pass. What a pass of an earlier term brings back is dropped.
    pub fn remember(&self, uid: &str, memory: Memory) {
        let index = self.index();
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        if memories.len() >= index.count().max(1) {
            // Releases may go without a pass of their own.
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

    /// This process begins to lead. Nothing is remembered any more: while another one led, what is not watched may have
    /// changed.
    pub fn begin_term(&self) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        self.term.fetch_add(1, Ordering::Relaxed);
        memories.clear();
        self.orphans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Pre-states without their Release, and since when this process, while it leads, has seen each of them so.
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

    /// The Release of that pre-state is there after all.
    pub fn not_orphaned(&self, uid: &str) {
        self.orphans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    /// Compiled once: an evaluation that is late is known by its expression.
    ///
    /// # Errors
    /// What is wrong with the text, a sentence.
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
