//! What the diff saw: a summary, a row per diverging org, a line per diverging row.

use std::collections::BTreeMap;

use crate::pruning::Pruning;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class::{FindingClass, RowClass};
use super::shard::Shard;
use super::side::Side;
use super::words::words;

words! {
    /// When a comparison was made.
    #[derive(Default)]
    DiffPhase {
        /// Before the load.
        Before = "before",
        /// After the load.
        After = "after",
        /// Without a load.
        #[default]
        Alone = "alone",
        /// To prove what a drill left behind.
        Drill = "drill",
    }
}

/// One comparison of every table pair on one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiffEvidence {
    /// When it was made.
    pub phase: DiffPhase,
    /// Which orgs were asked for: `all orgs`, or how many of a list.
    #[serde(default)]
    pub scope: String,
    /// Which of several comparisons that share the orgs; `None` for one that has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Where rows were hashed: `client` or `server`.
    #[serde(default)]
    pub digest: String,
    /// Why there.
    #[serde(default)]
    pub digest_reason: String,
    /// Snapshots that were taken; what differs over several was confirmed on one.
    #[serde(default)]
    pub snapshots: u32,
    /// Whether work of a run that was killed was taken over.
    #[serde(default)]
    pub resumed: bool,
    /// How far the server, a replica, had replayed its primary's log; `None` for a primary.
    #[serde(default)]
    pub replica_position: Option<String>,
    /// The system identifier of the server's cluster, which its replicas share; `None` if the
    /// role could not ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// True only if every org that was asked for was compared to the end, in every table pair.
    pub complete: bool,
    /// Why it is not complete; empty otherwise.
    pub incomplete_reason: String,
    /// Orgs that have a row on either side of any pair.
    pub orgs_checked: u64,
    /// Orgs that differ in any pair; of a row under the wrong org, both orgs.
    pub orgs_diverged: u64,
    /// Catalog findings of severity error that nobody accepted: integrity fails even if every row agrees.
    #[serde(default)]
    pub integrity_errors: u64,
    /// One entry per table pair.
    pub tables: Vec<TableDiff>,
    /// Every org and table that diverges, worst first, at most [`DiffEvidence::KEPT_ORGS`].
    pub orgs: Vec<OrgDiff>,
    /// The first findings, catalog findings before rows, at most [`DiffEvidence::KEPT_FINDINGS`]; half
    /// of them rows if so many differ.
    pub findings: Vec<Finding>,
    /// Findings in all, also those not kept here but in `findings.jsonl`.
    pub findings_total: u64,
    /// Findings in all without mere advice.
    #[serde(default)]
    pub differences_total: u64,
    /// Seconds the act took.
    pub duration_s: f64,
    /// The file of the run's folder that mends the orgs that differ, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<String>,
    /// What a repair would rewrite, pair by pair, if one was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<RepairPlan>,
    /// What the write-ahead log told, if it was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<WalEvidence>,
    /// What the planner would read: for a question about one partition's range, of each twin that is
    /// divided by ranges, and for each read of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pruning: Vec<Pruning>,
}

/// What the repair of one pair rewrites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RepairPlan {
    /// The pair's name.
    pub pair: String,
    /// The side that is rewritten: the one that the application does not write to.
    pub side: Side,
    /// Its table.
    pub table: String,
    /// Rows that it inserts.
    pub inserts: u64,
    /// Rows that it overwrites.
    pub updates: u64,
    /// Rows that it deletes.
    pub deletes: u64,
    /// Why it was not written; `None` if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl RepairPlan {
    /// Whether there is nothing to mend.
    pub fn is_empty(&self) -> bool {
        self.inserts + self.updates + self.deletes == 0
    }

    /// In words: which side, how many rows, or why not.
    pub fn words(&self) -> String {
        let Self { pair, table, inserts, updates, deletes, .. } = self;
        let side = self.side.as_str();
        match &self.refused {
            None => format!(
                "{pair}: rewrites the {side} side, {table}: {inserts} inserts, {updates} updates, \
                 {deletes} deletes"
            ),
            Some(why) => format!(
                "{pair}: not mended, the {side} side, {table}, would be rewritten ({inserts} inserts, \
                 {updates} updates, {deletes} deletes): {why}"
            ),
        }
    }
}

impl DiffEvidence {
    /// Whether any row differs or any catalog finding is an error.
    pub fn has_differences(&self) -> bool {
        self.orgs_diverged > 0
            || self.integrity_errors > 0
            || self.tables.iter().any(|table| table.counts.total() > 0)
    }

    /// Whether every org and every row was asked for: neither a list, nor a shard, nor what changed
    /// since a time.
    pub fn is_of_all_orgs(&self) -> bool {
        // Before the scope was recorded there was no other.
        self.shard.is_none() && (self.scope.is_empty() || self.scope == Self::ALL_ORGS)
    }

    /// The scope of a comparison that leaves nothing out.
    pub const ALL_ORGS: &str = "all orgs";
    /// Diverging orgs kept in the run record; `orgs.csv` holds all of them.
    pub const KEPT_ORGS: usize = 100;
    /// Findings kept in the run record; `findings.jsonl` holds all of them.
    pub const KEPT_FINDINGS: usize = 50;
}

/// Whether each committed transaction changed both sides alike.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalEvidence {
    /// Transactions that changed a table of any pair.
    pub transactions: u64,
    /// Rows that they changed, on both sides.
    pub changes: u64,
    /// Transactions and pairs that the two sides disagree on.
    pub diverged: u64,
    /// The first of them, in the order of their commits.
    pub divergences: Vec<WalDivergence>,
    /// Where the log was taken up.
    pub from_lsn: String,
    /// Where it was left.
    pub to_lsn: String,
    /// Why not every transaction was judged; empty otherwise.
    pub incomplete_reason: String,
}

/// A transaction that changed one side otherwise than the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalDivergence {
    /// The pair's name.
    pub table: String,
    /// The transaction's number.
    pub xid: String,
    /// When it was committed, as the server prints it in UTC.
    pub committed_at: String,
    /// What differs.
    pub detail: String,
}

/// The comparison of one table pair.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableDiff {
    /// The pair's name in reports.
    pub name: String,
    /// Rows of the legacy table.
    pub legacy_rows: u64,
    /// Rows of the partitioned table.
    pub partitioned_rows: u64,
    /// Row findings by class.
    #[serde(flatten)]
    pub counts: Counts,
}

impl TableDiff {
    /// Legacy rows minus partitioned rows.
    pub fn row_delta(&self) -> i64 {
        self.legacy_rows as i64 - self.partitioned_rows as i64
    }
}

/// One org in one table pair: a line of `orgs.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrgDiff {
    /// The org as PostgreSQL prints it; [`NO_ORG`] for rows without one, `group:N` of a pair without orgs.
    pub org_id: String,
    /// The pair's name.
    pub table: String,
    /// Rows of the org in the legacy table.
    pub legacy_rows: u64,
    /// Rows of the org in the partitioned table.
    pub partitioned_rows: u64,
    /// Row findings by class.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Row findings by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// In legacy, not in the twin.
    pub missing: u64,
    /// In the twin, not in legacy.
    pub extra: u64,
    /// On both sides with different content.
    pub mismatched: u64,
    /// More often in the twin than in legacy.
    pub duplicate: u64,
    /// Under one org in legacy, under another in the twin.
    pub wrong_org: u64,
    /// In a leaf whose bounds exclude the row.
    pub misrouted: u64,
}

impl Counts {
    /// Counts one row.
    pub fn count(&mut self, class: RowClass) {
        *self.counter(class) += 1;
    }

    /// All row findings.
    pub fn total(&self) -> u64 {
        self.by_class().map(|(_, count)| count).sum()
    }

    /// The classes with their numbers, in the order of reports.
    pub fn by_class(mut self) -> impl Iterator<Item = (RowClass, u64)> {
        RowClass::ALL.iter().map(move |class| (*class, *self.counter(*class)))
    }

    fn counter(&mut self, class: RowClass) -> &mut u64 {
        match class {
            RowClass::Missing => &mut self.missing,
            RowClass::Extra => &mut self.extra,
            RowClass::Mismatched => &mut self.mismatched,
            RowClass::Duplicate => &mut self.duplicate,
            RowClass::WrongOrg => &mut self.wrong_org,
            RowClass::Misrouted => &mut self.misrouted,
        }
    }

    /// Adds another count, class by class.
    pub fn add(&mut self, other: &Self) {
        for (class, count) in other.by_class() {
            *self.counter(class) += count;
        }
    }
}

words! {
    /// How bad a catalog finding is.
    Severity {
        /// Rows will be lost or writes will fail: integrity fails even while all rows agree.
        Error = "error",
        /// Listed only.
        Advice = "advice",
    }
}

/// What the name of a group begins with where orgs are listed; its number follows.
pub const GROUP: &str = "group:";

/// What rows without an org are called where orgs are listed.
pub const NO_ORG: &str = "(rows without an org)";

/// One difference: a line of `findings.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The pair's name.
    pub table: String,
    /// The org as PostgreSQL prints it; `None` for a finding about the catalog, of a row without an org, or of a
    /// pair without orgs.
    pub org_id: Option<String>,
    /// The group of a row of a pair without orgs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The key, column by column, as PostgreSQL prints the values.
    pub key: BTreeMap<String, Option<String>>,
    /// What it is.
    pub class: FindingClass,
    /// The row in legacy (for a mismatch only the columns that differ).
    pub legacy: Option<BTreeMap<String, Option<String>>>,
    /// The row in the twin (for a mismatch only the columns that differ).
    pub partitioned: Option<BTreeMap<String, Option<String>>>,
    /// Columns that differ.
    pub columns: Vec<String>,
    /// For findings of the ledger: what the write set, where its row should be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<BTreeMap<String, Option<String>>>,
    /// The leaf that holds the twin's row.
    pub partition: Option<String>,
    /// For catalog findings: how bad it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Of a catalog finding: why it is meant to be so. It decides nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// For findings of the catalog and the ledger: what it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Finding {
    /// A finding of this class about a pair, with nothing else told yet.
    pub fn new(table: impl Into<String>, class: impl Into<FindingClass>) -> Self {
        Self {
            table: table.into(),
            org_id: None,
            group: None,
            key: BTreeMap::new(),
            class: class.into(),
            legacy: None,
            partitioned: None,
            columns: Vec::new(),
            expected: None,
            partition: None,
            severity: None,
            accepted: None,
            detail: None,
        }
    }

    /// Whether it is about the catalog, the log or whole tables rather than a row.
    pub fn is_of_catalog(&self) -> bool {
        matches!(self.class, FindingClass::Catalog(_))
    }

    /// The org or the group of its row in words, values shown by `value`.
    pub fn org_or_group(&self, value: impl Fn(&str) -> String) -> String {
        match (&self.org_id, self.group) {
            (Some(org), _) => format!("org {}", value(org)),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => "no org".to_owned(),
        }
    }

    /// Whether it is an error of the catalog that nobody accepted.
    pub fn is_error(&self) -> bool {
        self.severity == Some(Severity::Error) && self.accepted.is_none()
    }

    /// Whether it decides nothing: advice, or accepted.
    pub fn is_advice(&self) -> bool {
        self.severity == Some(Severity::Advice) || self.accepted.is_some()
    }
}
