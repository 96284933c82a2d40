//! Rows that earlier answers told us of, for operations that work on one.
//!
//! A row is out of the pool while somebody works on it, so no two requests ever touch the same one.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::scenario::Row;

/// Rows kept per name; more would only cost memory.
const LIMIT: usize = 100_000;

/// A queue of rows for each name of the scenario.
#[derive(Debug)]
pub(super) struct Rows {
    queues: Vec<Mutex<VecDeque<Row>>>,
}

impl Rows {
    pub(super) fn new(names: usize) -> Self {
        Self { queues: (0..names).map(|_| Mutex::default()).collect() }
    }

    /// Takes the row that has waited longest.
    pub(super) fn take(&self, name: usize) -> Option<Row> {
        self.queues[name].lock().expect("no panic while held").pop_front()
    }

    /// Gives a row back, or keeps a new one.
    pub(super) fn put(&self, name: usize, row: Row) {
        let mut queue = self.queues[name].lock().expect("no panic while held");
        if queue.len() < LIMIT {
            queue.push_back(row);
        }
    }
}
