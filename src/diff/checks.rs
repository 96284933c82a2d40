//! What will lose rows or refuse writes tomorrow, though every row agrees today.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::schema::{PairPlan, Side, catalog_finding};
use super::{sql, triggers};
use crate::error::Result;
use crate::evidence::finding::{Finding, Severity};
use crate::pg::catalog::Leaf;
use crate::pg::failure;

/// Looks at triggers, partitions, indexes, sequences and row security of a pair.
///
/// # Errors
/// A run error where the server fails.
pub(super) async fn check(connection: &mut PgConnection, plan: &PairPlan) -> Result<Vec<Finding>> {
    let carried = plan.table(Side::Legacy).triggers(connection).await?;
    let mut findings = triggers::check(plan, &carried);
    findings.extend(partitioning(plan));
    findings.extend(days_ahead(connection, plan).await?);
    for leaf in plan.leaves(Side::Partitioned).iter().filter(|leaf| leaf.is_default()) {
        findings.extend(default_rows(connection, plan, leaf).await?);
    }
    for side in Side::BOTH {
        findings.extend(invalid_indexes(connection, plan, side).await?);
        findings.extend(row_security(plan, side));
    }
    findings.extend(sequences(connection, plan).await?);
    Ok(findings)
}

/// A seed that did not come to its end leaves triggers off, indexes out and rows missing.
///
/// # Errors
/// A run error where the server fails.
pub(super) async fn unfinished_seed(connection: &mut PgConnection) -> Result<Option<Finding>> {
    for question in [sql::HAS_SEED, sql::SEED_UNFINISHED] {
        let answer = sqlx::query_scalar(question).fetch_one(&mut *connection).await;
        let yes: bool = answer.map_err(|e| failure("cannot ask for the state of the seed", &e))?;
        if !yes {
            return Ok(None);
        }
    }
    let detail = "a `cutover seed` is at work here, was interrupted, or lacks a shard: rows are missing, \
                  indexes and triggers may be; repeat it with --resume, or load the other shards";
    Ok(Some(catalog_finding("all", "seed_unfinished", Severity::Error, detail.into())))
}

fn partitioning(plan: &PairPlan) -> Option<Finding> {
    let twin = plan.table(Side::Partitioned);
    let detail = format!("{} is not partitioned", twin.name);
    twin.strategy.is_none().then(|| plan.finding("not_partitioned", Severity::Advice, detail))
}

/// A RANGE by day needs partitions for the days to come: without one, the legacy write fails too.
async fn days_ahead(connection: &mut PgConnection, plan: &PairPlan) -> Result<Option<Finding>> {
    let twin = plan.table(Side::Partitioned);
    let ([column], Some("r")) = (twin.partition_columns.as_slice(), twin.strategy.as_deref())
    else {
        return Ok(None);
    };
    let Some(column) = twin.column(column) else { return Ok(None) };
    if column.type_name != "date" && !column.type_name.starts_with("timestamp") {
        return Ok(None);
    }
    let what = || format!("cannot read the partitions of {}", twin.name);
    let children: Vec<Option<String>> = sqlx::query_scalar(sql::DIRECT_PARTITIONS)
        .bind(twin.oid)
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| failure(what(), &e))?;
    let children: Vec<String> = children.into_iter().flatten().collect();
    let query = sql::days_without_partition(&column.name, &column.type_name, &children);
    let days: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_all(connection)
        .await
        .map_err(|e| failure(what(), &e))?;
    let ([first, ..], [.., last]) = (days.as_slice(), days.as_slice()) else { return Ok(None) };
    let detail = format!(
        "{} has no partition for {} of the 36 days from today on, {first} to {last}: a write of \
         such a day fails, in legacy too, or falls into DEFAULT; create the partitions",
        twin.name,
        days.len()
    );
    Ok(Some(plan.finding("partition_missing", Severity::Error, detail)))
}

async fn default_rows(
    connection: &mut PgConnection,
    plan: &PairPlan,
    leaf: &Leaf,
) -> Result<Option<Finding>> {
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql::count(leaf)))
        .fetch_one(connection)
        .await
        .map_err(|e| failure(format!("cannot count {}", leaf.display), &e))?;
    if rows == 0 {
        return Ok(None);
    }
    let detail = format!(
        "the DEFAULT partition {} holds {rows} rows: queries do not prune to them, and a partition \
         for their range cannot be created; create it and move them",
        leaf.display
    );
    let mut finding = plan.finding("default_partition_rows", Severity::Error, detail);
    finding.partition = Some(leaf.display.clone());
    Ok(Some(finding))
}

async fn invalid_indexes(
    connection: &mut PgConnection,
    plan: &PairPlan,
    side: Side,
) -> Result<Vec<Finding>> {
    let indexes = plan.table(side).indexes(connection).await?;
    let invalid = indexes.into_iter().filter(|index| !index.valid);
    Ok(invalid
        .map(|index| {
            let detail = format!(
                "index {} on {} is invalid: no query uses it and, where it is unique, nothing is \
                 guarded; REINDEX INDEX {} or drop it",
                index.name, index.on_table, index.name
            );
            let mut finding = plan.finding("invalid_index", Severity::Error, detail);
            finding.partition = (!index.direct).then_some(index.on_table);
            finding
        })
        .collect())
}

fn row_security(plan: &PairPlan, side: Side) -> Option<Finding> {
    let table = plan.table(side);
    let detail = format!(
        "row-level security is on for {}: this comparison sees every row, the application may \
         not; check that both sides have the same policies",
        table.name
    );
    table.row_security.then(|| plan.finding("row_security", Severity::Advice, detail))
}

/// A sequence behind the largest value hands out a number that is taken: the write fails.
async fn sequences(connection: &mut PgConnection, plan: &PairPlan) -> Result<Vec<Finding>> {
    let table = plan.table(Side::Legacy);
    let mut findings = Vec::new();
    for column in &table.columns {
        let Some(sequence) = &column.sequence else { continue };
        let query = sql::sequence_behind(&table.name.to_string(), &column.name, sequence);
        let behind = sqlx::query(AssertSqlSafe(query))
            .fetch_optional(&mut *connection)
            .await
            .map_err(|e| failure(format!("cannot read sequence {sequence}"), &e))?;
        let Some(row) = behind else { continue };
        let (last, largest): (i64, i64) = (row.get(0), row.get(1));
        let detail = format!(
            "sequence {sequence} stands at {last}, the largest {}.{} is {largest}: the next insert \
             takes a number that is taken; SELECT setval('{sequence}', {largest})",
            table.name, column.name
        );
        let mut finding = plan.finding("sequence_behind", Severity::Error, detail);
        finding.columns = vec![column.name.clone()];
        findings.push(finding);
    }
    Ok(findings)
}
