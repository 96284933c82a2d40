//! A trigger as the catalog tells of it.

use serde::Deserialize;

/// A trigger.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Trigger {
    /// Name.
    pub name: String,
    /// `O` in ordinary sessions, `A` always, `R` in replicas only, `D` never.
    pub enabled: String,
    /// The bits of `pg_trigger.tgtype`.
    pub kind: i32,
    /// Whether it has a WHEN clause.
    pub conditional: bool,
    /// The function it calls.
    pub function: String,
    /// The function's source.
    pub source: String,
    /// The columns of `UPDATE OF`; empty if any update fires it.
    pub columns: Vec<String>,
}

impl Trigger {
    const ROW: i32 = 1;
    const EVENTS: [(&str, i32); 4] =
        [("INSERT", 4), ("UPDATE", 16), ("DELETE", 8), ("TRUNCATE", 32)];

    /// Whether it fires for each row.
    pub fn per_row(&self) -> bool {
        self.kind & Self::ROW != 0
    }

    /// Whether its function names this table, as a word of its own.
    pub fn mentions(&self, table: &str) -> bool {
        let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        self.source.match_indices(table).any(|(at, _)| {
            !self.source[..at].ends_with(part_of_name)
                && !self.source[at + table.len()..].starts_with(part_of_name)
        })
    }

    /// Whether it fires in ordinary sessions.
    pub fn is_enabled(&self) -> bool {
        ["O", "A"].contains(&self.enabled.as_str())
    }

    /// Whether `event` (`INSERT`, `UPDATE`, `DELETE`, `TRUNCATE`) fires it.
    pub fn fires_on(&self, event: &str) -> bool {
        Self::EVENTS.iter().any(|(name, bit)| *name == event && self.kind & bit != 0)
    }
}
