//! A table whose findings are coming in.

use std::collections::HashMap;

use super::schema::{PairPlan, Side};
use cutover_evidence::class::{FindingClass, RowClass};
use cutover_evidence::finding::{Counts, Finding, NO_ORG, TableDiff};

/// What is known of a table between its beginning and its end.
pub(super) struct TableAtHand {
    /// The column that holds the org, by its legacy name.
    org_column: Option<String>,
    pub(super) table: TableDiff,
    /// Whether bytes that differ may mean the same value.
    pub(super) has_many_forms: bool,
    /// Its orgs that differ, with their rows by side.
    pub(super) diverging: HashMap<String, [u32; 2]>,
    /// Its row findings, by org.
    pub(super) counts: HashMap<String, Counts>,
}

impl TableAtHand {
    /// A table with so many rows on each side.
    pub(super) fn begin(
        plan: &PairPlan,
        rows: [u64; 2],
        diverging: HashMap<String, [u32; 2]>,
    ) -> Self {
        Self {
            org_column: plan.org.column().map(|column| column.on(Side::Legacy).to_owned()),
            has_many_forms: plan.columns.iter().any(|column| column.has_many_forms),
            table: TableDiff {
                name: plan.name.clone(),
                legacy_rows: rows[0],
                partitioned_rows: rows[1],
                counts: Counts::default(),
            },
            diverging,
            counts: HashMap::new(),
        }
    }

    /// Whether its rows belong to groups rather than to orgs.
    pub(super) fn is_in_groups(&self) -> bool {
        self.org_column.is_none()
    }

    /// Counts a difference; one that is not `ours` says no more than that the org differs.
    pub(super) fn count(&mut self, finding: &Finding, ours: bool) {
        if finding.class == RowClass::WrongOrg.into() {
            // The org that holds the row in the twin differs for this reason and no other.
            let org_column = self.org_column.as_ref();
            let holder = finding.partitioned.as_ref().and_then(|row| row.get(org_column?));
            let holder = holder.cloned().flatten().unwrap_or_else(|| NO_ORG.into());
            self.counts.entry(holder).or_default();
        }
        if let (true, FindingClass::Row(class)) = (ours, finding.class) {
            let org = finding.org_id.clone().unwrap_or_default();
            self.counts.entry(org).or_default().count(class);
        }
    }
}
