//! Rows that earlier answers told us of, for operations that work on one.
//!
//! A row is out of the pool while somebody works on it, so no two requests ever touch the same one.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use crate::scenario::Row;

/// Rows kept per name; more would only cost memory.
const LIMIT: usize = 100_000;

/// Named queues of rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    by_name: Mutex<HashMap<String, VecDeque<Row>>>,
}

impl Rows {
    /// Takes the row that has waited longest.
    pub(super) fn take(&self, name: &str) -> Option<Row> {
        self.by_name.lock().expect("no panic while held").get_mut(name)?.pop_front()
    }

    /// Gives a row back, or keeps a new one.
    pub(super) fn put(&self, name: &str, row: Row) {
        let mut by_name = self.by_name.lock().expect("no panic while held");
        let queue = by_name.entry(name.to_owned()).or_default();
        if queue.len() < LIMIT {
            queue.push_back(row);
        }
    }
}
