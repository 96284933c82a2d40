//! Attempts: what is to be done to the row, as the server is told.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::sql;
use super::target::Target;
use cutover_ground::pg::catalog::Column;

/// An attempt: statements that follow each other on the row.
pub(super) fn attempt(statements: &[&str]) -> Value {
    let steps: Vec<Value> = statements
        .iter()
        .map(|statement| json!({"statement": statement, "by_key": false}))
        .collect();
    json!({"steps": steps, "new_key": false, "new_row": false})
}

/// An attempt that inserts a row under a key that no other has.
pub(super) fn inserted(statements: &[&str]) -> Value {
    let mut attempt = attempt(statements);
    attempt["new_key"] = json!(true);
    attempt["new_row"] = json!(true);
    attempt
}

/// A copy of the row: expressions in place of its own values, by their columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Copied(pub(super) HashMap<String, String>);

/// Copies by each other column of the key in which another key is tried, beside the one that the table took.
pub(super) const COPIES: usize = 2;

impl Copied {
    pub(super) fn changes(&self, column: &Column) -> bool {
        self.0.contains_key(&column.name)
    }

    pub(super) fn insert(&self, target: &Target<'_>) -> String {
        sql::copy(target, |column| self.0.get(&column.name).cloned())
    }
}
