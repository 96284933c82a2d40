//! What will lose rows or refuse writes tomorrow, though every row agrees today.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::direction::Direction;
use super::firing::Part;
use super::probe::Coverage;
use super::schema::{PairPlan, Side, catalog_finding};
use super::{firing, guards, partitions, sql, triggers};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::{Index, Leaf};
use cutover_ground::pg::failure;

/// Relations of which one statement asks for the largest value.
const RELATIONS_AT_ONCE: usize = 64;

/// Looks at triggers, partitions, indexes, sequences and row security of a pair; `tried` is what the triggers were
/// seen to carry.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn check(
    connection: &mut PgConnection,
    plan: &PairPlan,
    direction: &Direction,
    tried: &[(Part, Coverage)],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    // If something else carries, that no trigger does is no fault.
    if direction.by_triggers() {
        let of_parts = tried.iter().map(|(part, coverage)| {
            (part, triggers::check(plan, direction, &part.triggers, coverage))
        });
        findings.extend(firing::together(of_parts.collect()));
    }
    findings.extend(partitions::check(connection, plan).await?);
    findings.extend(guards::check(connection, plan, direction).await?);
    for leaf in plan.leaves(Side::Partitioned).iter().filter(|leaf| leaf.is_default()) {
        findings.extend(default_rows(connection, plan, leaf).await?);
    }
    for side in Side::BOTH {
        findings.extend(invalid_indexes(connection, plan, side).await?);
        findings.extend(row_security(plan, side));
        findings.extend(sequences(connection, plan, side).await?);
    }
    Ok(findings)
}

/// A seed that did not come to its end leaves triggers off, indexes out and rows missing.
///
/// # Errors
/// A run error if the server fails.
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
    Ok(Some(catalog_finding("all", CatalogClass::SeedUnfinished, Severity::Error, detail.into())))
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
    let mut finding = plan.finding(CatalogClass::DefaultPartitionRows, Severity::Error, detail);
    finding.partition = Some(leaf.display.clone());
    Ok(Some(finding))
}

async fn invalid_indexes(
    connection: &mut PgConnection,
    plan: &PairPlan,
    side: Side,
) -> Result<Vec<Finding>> {
    let table = plan.table(side);
    let mut findings = Vec::new();
    for index in plan.indexes(side).iter().filter(|index| !index.valid) {
        let mut lacking = Vec::new();
        if index.direct && table.strategy.is_some() {
            let leaves = sqlx::query_scalar(AssertSqlSafe(sql::leaves_without_index()));
            let leaves = leaves.bind(table.oid).bind(&index.name).fetch_all(&mut *connection).await;
            lacking = leaves.map_err(|e| failure(format!("cannot read {}", index.name), &e))?;
        }
        findings.push(invalid_index(plan, index, &lacking));
    }
    Ok(findings)
}

fn invalid_index(plan: &PairPlan, index: &Index, lacking: &[String]) -> Finding {
    let Index { name, on_table, .. } = index;
    let mend = if lacking.is_empty() {
        format!("REINDEX INDEX {name} or drop it")
    } else {
        format!("these partitions lack it: {}; create it there and attach it", lacking.join(", "))
    };
    let detail = format!(
        "index {name} on {on_table} is invalid: no query uses it and, where it is unique, nothing is \
         guarded; {mend}"
    );
    let mut finding = plan.finding(CatalogClass::InvalidIndex, Severity::Error, detail);
    finding.partition = (!index.direct).then(|| on_table.clone());
    finding
}

fn row_security(plan: &PairPlan, side: Side) -> Option<Finding> {
    let table = plan.table(side);
    let detail = format!(
        "row-level security is on for {}: this comparison sees every row, the application may \
         not; check that both sides have the same policies",
        table.name
    );
    table.row_security.then(|| plan.finding(CatalogClass::RowSecurity, Severity::Advice, detail))
}

/// A sequence behind the largest value hands out a number that is taken: the write fails.
async fn sequences(
    connection: &mut PgConnection,
    plan: &PairPlan,
    side: Side,
) -> Result<Vec<Finding>> {
    let table = plan.table(side);
    let indexes = plan.indexes(side);
    // Without an index no number is refused, and looking for the largest would read every row.
    let leads = |name: &String| indexes.iter().any(|i| i.direct && i.columns.first() == Some(name));
    let mut findings = Vec::new();
    for column in &table.columns {
        let Some(sequence) = column.sequence.as_ref().filter(|_| leads(&column.name)) else {
            continue;
        };
        let Some((last, largest)) = behind(connection, plan, side, &column.name, sequence).await?
        else {
            continue;
        };
        let detail = format!(
            "sequence {sequence} stands at {last}, the largest {}.{} is {largest}: the next insert \
             takes a number that is taken; SELECT setval('{sequence}', {largest})",
            table.name, column.name
        );
        let mut finding = plan.finding(CatalogClass::SequenceBehind, Severity::Error, detail);
        finding.columns = vec![column.name.clone()];
        findings.push(finding);
    }
    Ok(findings)
}

/// Where a sequence stands, and the largest value in use, if that is ahead of it.
async fn behind(
    connection: &mut PgConnection,
    plan: &PairPlan,
    side: Side,
    column: &str,
    sequence: &str,
) -> Result<Option<(i64, i64)>> {
    let mut behind = None;
    for relations in plan.relations(side).chunks(RELATIONS_AT_ONCE) {
        let query = sql::sequence_behind(relations, column, sequence);
        let found = sqlx::query_as(AssertSqlSafe(query)).fetch_optional(&mut *connection).await;
        let found: Option<(i64, i64)> =
            found.map_err(|e| failure(format!("cannot read sequence {sequence}"), &e))?;
        let largest = |row: &Option<(i64, i64)>| row.map(|(_, largest)| largest);
        behind = std::cmp::max_by_key(behind, found, largest);
    }
    Ok(behind)
}
