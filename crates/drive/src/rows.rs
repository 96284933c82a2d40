//! Rows that earlier answers told us of, for operations that work on one.
//!
//! A row is out of the pool while somebody works on it, so no two requests ever touch the same one.

use std::collections::VecDeque;
use std::sync::Mutex;

use cutover_scenario::Row;

/// A row that is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub row: Row,
    /// The org it belongs to.
    pub org: u64,
    /// The number of the last noted write to it.
    pub version: Option<u64>,
}

/// Rows kept per name; more would only cost memory.
const LIMIT: usize = 20_000;

/// A queue of rows for each name of the scenario.
#[derive(Debug)]
pub(super) struct Rows {
    queues: Vec<Mutex<VecDeque<Kept>>>,
}

impl Rows {
    pub(super) fn new(names: usize) -> Self {
        Self { queues: (0..names).map(|_| Mutex::default()).collect() }
    }

    /// Takes the row that has waited longest.
    pub(super) fn take(&self, name: usize) -> Option<Kept> {
        self.queues[name].lock().expect("no panic while held").pop_front()
    }

    /// Gives a row back, or keeps a new one.
    pub(super) fn put(&self, name: usize, row: Kept) {
        let mut queue = self.queues[name].lock().expect("no panic while held");
        if queue.len() < LIMIT {
            queue.push_back(row);
        }
    }
}
