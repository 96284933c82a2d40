//! What the load wrote (`ledger.jsonl`), and what became of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class::WriteFault;
use super::finding::Finding;

/// Column → value as text; `None` for NULL.
pub type Columns = BTreeMap<String, Option<String>>;

/// How a write changes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WriteKind {
    /// Makes it.
    Insert,
    /// Changes it.
    Update,
    /// Makes it, or changes the one with the same key.
    Upsert,
    /// Removes it.
    Delete,
}

/// A line of `ledger.jsonl`. The line of a write is in the file before the write is sent; what became
/// of it follows in a line of its own. A write without one is as `unknown` as one that says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Note {
    /// About to be sent.
    Sent(SentWrite),
    /// Acknowledged.
    Ok(Answered),
    /// Refused, or never sent: it must not be there.
    Fail(Answered),
    /// Nobody knows: no complete answer, or one of somebody in between.
    Unknown(Answered),
    /// Never sent, because the generator had no file handle or port left: nobody refused it.
    Unsent(Answered),
    /// Sent again under the same idempotency key, because nobody knew.
    Retry(Answered),
    /// Looked up soon after it was acknowledged, and there: whatever it lacks later was taken from it.
    Seen(SeenWrite),
}

/// A write as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SentWrite {
    /// Its number, ascending: the version that it gives to its row.
    pub write: u64,
    /// Which generator sent it, if several shared a load and their ledgers are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u64>,
    /// The version of the row that it changes, if this load made or read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<u64>,
    /// When, microseconds since the ledger was begun.
    pub at_us: u64,
    /// Number of its arrival in the plan; `None` for rows made before the plan begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<u64>,
    /// The operation's name in the scenario.
    pub operation: String,
    /// The table pair's name.
    pub table: String,
    /// How it changes the row.
    pub kind: Option<WriteKind>,
    /// The row's org.
    pub org: String,
    /// The row's key; empty if only the answer will tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key: Columns,
    /// The columns it sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Columns,
    /// The column of [`Self::values`] that no other write sets to the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What it was sent under, so that it is applied once however often it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// What became of a write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The write's number.
    pub write: u64,
    /// When, microseconds since the ledger was begun.
    pub at_us: u64,
    /// The HTTP status, if it was not one that the scenario expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The key that the answer tells, if the write could not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key: Columns,
}

/// A write that was looked up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeenWrite {
    /// The write's number.
    pub write: u64,
    /// The table pair's name.
    pub table: String,
    /// The row's key.
    pub key: Columns,
}

/// The ledger held against both sides of the tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerEvidence {
    /// Writes that were noted.
    pub writes: u64,
    /// Of those, acknowledged ones.
    pub ok: u64,
    /// Refused ones, and those that were never sent.
    pub fail: u64,
    /// Those nobody knows of.
    pub unknown: u64,
    /// Unknown ones that were sent again under the same idempotency key.
    pub retried: u64,
    /// When the ledger was begun, RFC 3339: of a shard only, whose ledger waits for those of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
    /// Writes of operations whose scenario does not say what they write, or that write to no
    /// configured table pair: by operation.
    pub not_noted: BTreeMap<String, u64>,
    /// True only if every write was held against both sides.
    pub complete: bool,
    /// Why not; empty otherwise.
    pub incomplete_reason: String,
    /// Rows that were looked up on both sides.
    pub rows_checked: u64,
    /// Findings by class.
    pub counts: LedgerCounts,
    /// The first findings, at most [`LedgerEvidence::KEPT_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Seconds it took to look everything up.
    pub duration_s: f64,
}

impl LedgerEvidence {
    /// Findings kept in the run record; `ledger_findings.jsonl` holds all of them.
    pub const KEPT_FINDINGS: usize = 50;
}

/// What can become of a write that must not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerCounts {
    /// Acknowledged, and its effect is on neither side.
    pub lost: u64,
    /// Refused, and its effect is there.
    pub phantom: u64,
    /// Its row stands more than once.
    pub doubled: u64,
    /// It is there in part: on one side only, or with some of its columns.
    pub torn: u64,
    /// It was there, and older values are there now.
    pub stale: u64,
    /// The row holds what no write of this load put there.
    pub altered: u64,
}

impl LedgerCounts {
    /// Counts a write.
    pub fn count(&mut self, fault: WriteFault) {
        *self.counter(fault) += 1;
    }

    /// All findings.
    pub fn total(&self) -> u64 {
        self.by_fault().map(|(_, count)| count).sum()
    }

    /// The faults with their numbers, in the order of reports.
    pub fn by_fault(mut self) -> impl Iterator<Item = (WriteFault, u64)> {
        WriteFault::ALL.iter().map(move |fault| (*fault, *self.counter(*fault)))
    }

    fn counter(&mut self, fault: WriteFault) -> &mut u64 {
        match fault {
            WriteFault::Lost => &mut self.lost,
            WriteFault::Phantom => &mut self.phantom,
            WriteFault::Doubled => &mut self.doubled,
            WriteFault::Torn => &mut self.torn,
            WriteFault::Stale => &mut self.stale,
            WriteFault::Altered => &mut self.altered,
        }
    }
}
