//! What is compared, column by column, and what the catalogs say against it.
//!
//! Columns are matched by name, never by position, and never are only the columns in common
//! compared in silence: one that stands on one side only is a finding of its own.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

pub(super) use super::columns::ComparedColumn;
use super::columns::{check_names, compare_columns};
use super::org::Org;
use super::ranges::{Range, day, most_within, ranges};
use super::{sql, value};
use cutover_error::{Error, Result};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
pub(super) use cutover_evidence::side::Side;
use cutover_ground::config::{TablePair, TableRead};
use cutover_ground::pg::catalog::{Column, Index, Leaf, Table};
use cutover_ground::pg::failure;

/// Leaves that one statement reads: a backend takes some 50 kB for each, and a lock for it and each index.
pub(super) const LEAVES_AT_ONCE: usize = 128;

/// A table pair that is ready to be compared.
#[derive(Debug, Clone)]
pub(super) struct PairPlan {
    pub(super) name: String,
    pub(super) trigger: Option<String>,
    /// Columns whose values are never shown, by their legacy names.
    pub(super) secret: Vec<String>,
    /// Whether the triggers may be tried.
    pub(super) probe: bool,
    /// How many days ahead the twin has to have partitions.
    pub(super) days_ahead: u32,
    /// Reads whose plans are asked for.
    pub(super) reads: Vec<TableRead>,
    tables: [Table; 2],
    leaves: [Vec<Leaf>; 2],
    below: [u64; 2],
    indexes: [Vec<Index>; 2],
    ranges: HashMap<i64, Range>,
    /// The org.
    pub(super) org: Org,
    /// The column that says when a row was last changed.
    pub(super) changed_at: Option<ComparedColumn>,
    /// The columns that identify a row.
    pub(super) key: Vec<ComparedColumn>,
    /// Every column that is compared, org and key included.
    pub(super) columns: Vec<ComparedColumn>,
    /// Whether the org is an integer on both sides, which goes over the wire as it is.
    pub(super) integer_org: bool,
    /// Whether a key is unique only within its org, so that rows of two orgs never belong together.
    pub(super) key_within_org: bool,
}

impl PairPlan {
    /// Reads the catalogs of both sides; returns what can be compared and what they disagree on.
    ///
    /// # Errors
    /// A usage error for a table, column or key that is not there.
    pub(super) async fn make(
        connection: &mut PgConnection,
        pair: &TablePair,
        database_url: &str,
    ) -> Result<(Self, Vec<Finding>)> {
        let legacy = Table::find(connection, &pair.legacy_name()?, database_url).await?;
        let twin = Table::find(connection, &pair.partitioned_name()?, database_url).await?;
        check_names(pair, &legacy, &twin)?;
        let leaves = [legacy.leaves(connection).await?, twin.leaves(connection).await?];
        let mut known = ranges(connection, &legacy, &leaves[0]).await?;
        known.extend(ranges(connection, &twin, &leaves[1]).await?);
        let below = [
            below(connection, &legacy, &leaves[0]).await?,
            below(connection, &twin, &leaves[1]).await?,
        ];
        let indexes = legacy.indexes(connection).await?;
        let of_twin = twin.indexes(connection).await?;
        let key_within_org = !indexes.iter().any(|index| {
            index.direct
                && index.is_unique
                && index.columns.iter().all(|column| pair.key.contains(column))
        });
        let mut findings = Vec::new();
        value::check_expressions(connection, pair, [&legacy, &twin]).await?;
        let columns = compare_columns(pair, &legacy, &twin, &mut findings)?;
        let compared = |name: &str| {
            let found = columns.iter().find(|column| column.on(Side::Legacy) == name);
            found.cloned().expect("check_names has seen org and key on both sides")
        };
        let org = match pair.groups {
            Some(groups) => Org::Groups(groups),
            None => Org::Column(compared(&pair.org)),
        };
        let integer_org = org.column().is_some_and(|org| {
            let sides = [(&legacy, Side::Legacy), (&twin, Side::Partitioned)];
            let is_integer = |(table, side): (&Table, Side)| {
                table.column(org.on(side)).is_some_and(Column::is_integer)
            };
            // A row without one has to be called something.
            sides.into_iter().all(is_integer) && !org.as_text && org.not_null
        });
        let plan = Self {
            name: pair.name.clone(),
            trigger: pair.trigger.clone(),
            secret: pair.secret.clone(),
            probe: pair.probe,
            days_ahead: pair.days_ahead()?,
            reads: pair.reads.clone(),
            org,
            changed_at: pair.changed_at.as_deref().map(compared),
            key: pair.key.iter().map(|name| compared(name)).collect(),
            tables: [legacy, twin],
            leaves,
            below,
            indexes: [indexes, of_twin],
            ranges: known,
            columns,
            integer_org,
            key_within_org,
        };
        Ok((plan, findings))
    }

    pub(super) fn table(&self, side: Side) -> &Table {
        &self.tables[side as usize]
    }

    pub(super) fn leaves(&self, side: Side) -> &[Leaf] {
        &self.leaves[side as usize]
    }

    /// How many relations a side is made of.
    pub(super) fn below(&self, side: Side) -> u64 {
        self.below[side as usize]
    }

    /// The indexes of a side, and the invalid ones of its leaves.
    pub(super) fn indexes(&self, side: Side) -> &[Index] {
        &self.indexes[side as usize]
    }

    /// Whether each leaf of a side is read by itself: all are readable, and none hangs below by INHERITS.
    pub(super) fn is_read_by_leaf(&self, side: Side) -> bool {
        !self.table(side).inherited && self.leaves(side).iter().all(|leaf| leaf.readable)
    }

    /// What to name after `FROM` to read a side, relation by relation.
    pub(super) fn relations(&self, side: Side) -> Vec<String> {
        if self.is_read_by_leaf(side) {
            self.leaves(side).iter().map(|leaf| format!("ONLY {}", leaf.qualified())).collect()
        } else {
            vec![self.table(side).name.to_string()]
        }
    }

    /// Whether one statement over all leaves would cost the server too much memory and too many locks.
    pub(super) fn has_many_leaves(&self) -> bool {
        let too_many = |side: &Side| self.leaves(*side).len() > LEAVES_AT_ONCE;
        Side::BOTH.iter().any(too_many) && Side::BOTH.iter().all(|side| self.is_read_by_leaf(*side))
    }

    /// The most partitions of the twin that so many days in a row lie in; `None` if its bounds are
    /// not ranges of one column that holds a day or a time.
    pub(super) fn partitions_of_days(&self, days: u32) -> Option<u64> {
        let twin = self.table(Side::Partitioned);
        let [name] = twin.partition_columns.as_slice() else { return None };
        let length = day(&twin.column(name)?.type_name)?.checked_mul(i64::from(days))?;
        let leaves = self.leaves(Side::Partitioned);
        let ranges: Vec<Range> =
            leaves.iter().filter_map(|leaf| self.ranges.get(&leaf.oid).copied()).collect();
        // Days that no range takes are in DEFAULT.
        let default = leaves.iter().filter(|leaf| leaf.is_default()).count() as u64;
        (!ranges.is_empty()).then(|| most_within(&ranges, length) + default)
    }

    /// Where the rows of a leaf hold the value that its bounds are about, and the bounds, where we
    /// can check them.
    pub(super) fn range(&self, side: Side, leaf: &Leaf) -> Option<(usize, Range)> {
        let range = *self.ranges.get(&leaf.oid)?;
        let [name] = self.table(side).partition_columns.as_slice() else { return None };
        let column = self.columns.iter().find(|c| c.on(side) == name && !c.as_text)?;
        Some((self.field(column), range))
    }

    /// Which field of a row that is read, counted from 0, holds a compared column.
    pub(super) fn field(&self, wanted: &ComparedColumn) -> usize {
        // An org that is no integer comes as text before the columns.
        let first = usize::from(!self.integer_org);
        first + self.columns.iter().position(|column| column == wanted).unwrap_or_default()
    }

    /// The columns that tell rows of the whole table apart.
    pub(super) fn identity(&self) -> Vec<ComparedColumn> {
        let org = self.org.column().filter(|org| self.key_within_org && !self.key.contains(org));
        org.into_iter().chain(&self.key).cloned().collect()
    }

    /// Whether its values are never shown.
    pub(super) fn is_secret(&self, column: &ComparedColumn) -> bool {
        self.secret.iter().any(|name| name == column.on(Side::Legacy))
    }

    /// The one column whose value picks the partition, of a twin that is divided by RANGE or LIST.
    pub(super) fn partition_column(&self) -> Option<&ComparedColumn> {
        let twin = self.table(Side::Partitioned);
        let [name] = twin.partition_columns.as_slice() else { return None };
        let by_value = ["r", "l"].contains(&twin.strategy.as_deref()?);
        self.columns.iter().find(|column| by_value && column.on(Side::Partitioned) == name)
    }

    /// Whether `--since` can work with this pair.
    ///
    /// # Errors
    /// A usage error if no column says when a row was changed, or one that holds no time.
    pub(super) fn check_since(&self) -> Result<()> {
        let Some(changed_at) = &self.changed_at else {
            return Err(Error::usage(
                format!("--since: [[tables]] `{}` does not say when a row was changed", self.name),
                "name the column there, for example changed_at = \"updated_at\"",
            ));
        };
        for side in Side::BOTH {
            let column = self.table(side).column(changed_at.on(side));
            let type_name = column.map_or("", |column| &column.type_name);
            if type_name != "date" && !type_name.starts_with("timestamp") {
                return Err(Error::usage(
                    format!(
                        "--since: [[tables]] `{}`: changed_at: {}.{} is {type_name}, not a time",
                        self.name,
                        self.table(side).name,
                        changed_at.on(side)
                    ),
                    "name a column of type timestamptz, timestamp or date",
                ));
            }
        }
        Ok(())
    }

    /// A finding about this pair's catalogs.
    pub(super) fn finding(
        &self,
        class: CatalogClass,
        severity: Severity,
        detail: String,
    ) -> Finding {
        catalog_finding(&self.name, class, severity, detail)
    }
}

/// A finding that is not about a row.
pub(super) fn catalog_finding(
    table: &str,
    class: CatalogClass,
    severity: Severity,
    detail: String,
) -> Finding {
    let (severity, detail) = (Some(severity), Some(detail));
    Finding { severity, detail, ..Finding::new(table, class) }
}

async fn below(connection: &mut PgConnection, table: &Table, leaves: &[Leaf]) -> Result<u64> {
    if !table.inherited {
        return Ok(leaves.len() as u64);
    }
    let below = sqlx::query_scalar::<_, i64>(sql::BELOW).bind(table.oid).fetch_one(connection);
    let what = || format!("cannot read the catalog of {}", table.name);
    below.await.map(i64::unsigned_abs).map_err(|e| failure(what(), &e))
}
