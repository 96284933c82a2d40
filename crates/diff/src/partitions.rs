//! Partitions that are not there, and tables that once were partitions.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::schema::{PairPlan, Side};
use super::{horizon, sql};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::{Column, Level};
use cutover_ground::pg::{Bound, failure, free_remainders};

/// Looks at every partitioned table of the twin's tree.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn check(connection: &mut PgConnection, plan: &PairPlan) -> Result<Vec<Finding>> {
    let twin = plan.table(Side::Partitioned);
    let levels = twin.levels(connection).await?;
    if levels.is_empty() && !twin.inherited {
        let detail = format!("{} is not partitioned", twin.name);
        return Ok(vec![plan.finding(CatalogClass::NotPartitioned, Severity::Advice, detail)]);
    }
    let mut findings = horizon::check(connection, plan, &levels).await?;
    // A month that is missing next is a gap as well, and need not be said twice.
    let is_missing = findings.iter().any(|f| f.class == CatalogClass::PartitionMissing.into());
    for level in &levels {
        if !is_missing {
            findings.extend(gaps(connection, plan, level).await?);
        }
        findings.extend(remainders(plan, level));
    }
    if twin.strategy.as_deref() == Some("l") {
        findings.extend(values_without_leaf(connection, plan, &levels).await?);
    }
    findings.extend(detached(connection, plan).await?);
    Ok(findings)
}

/// The column that a level is divided by, if it is one and no expression.
fn column<'p>(plan: &'p PairPlan, level: &Level, strategy: &str) -> Option<&'p Column> {
    let [name] = level.columns.as_slice() else { return None };
    let column = plan.table(Side::Partitioned).column(name);
    column.filter(|_| level.strategy == strategy && level.expressions == 0)
}

async fn texts(
    connection: &mut PgConnection,
    plan: &PairPlan,
    query: String,
) -> Result<Vec<String>> {
    let what = || format!("cannot read the partitions of {}", plan.table(Side::Partitioned).name);
    let rows = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await;
    rows.map_err(|e| failure(what(), &e))
}

/// A hole between two ranges. Where legacy has rows for it they are missing, which is said of them.
async fn gaps(
    connection: &mut PgConnection,
    plan: &PairPlan,
    level: &Level,
) -> Result<Option<Finding>> {
    let Some(column) = column(plan, level, "r") else { return Ok(None) };
    let Some(query) = sql::gaps(&column.bare_type, &level.bounds()) else { return Ok(None) };
    let gaps = texts(connection, plan, query).await?;
    let Some(first) = gaps.first() else { return Ok(None) };
    let detail = format!(
        "{} has {} gaps between its partitions, the first from {first}: a write between fails, in \
         legacy too, or falls into DEFAULT; create the partitions",
        level.name,
        gaps.len()
    );
    Ok(Some(plan.finding(CatalogClass::PartitionGap, Severity::Advice, detail)))
}

fn remainders(plan: &PairPlan, level: &Level) -> Option<Finding> {
    let (modulus, free) = free_remainders(&level.bounds());
    if level.strategy != "h" || free.is_empty() {
        return None;
    }
    let listed: Vec<String> = free.iter().take(8).map(u32::to_string).collect();
    let detail = format!(
        "{} has no partition for {} of {modulus} remainders ({}): writes of a part of all rows \
         fail, in legacy too; create the partitions",
        level.name,
        free.len(),
        listed.join(", ")
    );
    Some(plan.finding(CatalogClass::PartitionMissing, Severity::Error, detail))
}

/// Values of a LIST that legacy holds and no partition takes.
async fn values_without_leaf(
    connection: &mut PgConnection,
    plan: &PairPlan,
    levels: &[Level],
) -> Result<Option<Finding>> {
    let root = levels.iter().find(|level| level.parent.is_none());
    let (Some(root), Some(by)) = (root, plan.partition_column()) else { return Ok(None) };
    let bounds = root.bounds();
    if bounds.contains(&Bound::Default) || column(plan, root, "l").is_none() {
        return Ok(None);
    }
    let mut values = BTreeSet::new();
    for from in plan.relations(Side::Legacy) {
        let question = sql::values_without_leaf(plan, by, &bounds, &from);
        values.extend(texts(connection, plan, question).await?);
        if values.len() >= sql::VALUES_SHOWN {
            break;
        }
    }
    let values: Vec<String> = values.into_iter().take(sql::VALUES_SHOWN).collect();
    if values.is_empty() {
        return Ok(None);
    }
    let values = if plan.is_secret(by) { "***".into() } else { values.join(", ") };
    let detail = format!(
        "{} has no partition for values of `{}` that legacy holds ({values}): such writes fail, in \
         legacy too; create the partitions, backfill, and compare again",
        root.name,
        by.on(Side::Partitioned)
    );
    Ok(Some(plan.finding(CatalogClass::PartitionMissing, Severity::Error, detail)))
}

/// Tables that look like partitions and are none, or are about to be none.
async fn detached(connection: &mut PgConnection, plan: &PairPlan) -> Result<Vec<Finding>> {
    let [legacy, twin] = Side::BOTH.map(|side| plan.table(side));
    let what = || format!("cannot look for detached partitions of {}", twin.name);
    let found: Vec<(String, bool)> = sqlx::query_as(AssertSqlSafe(sql::detached_leaves()))
        .bind(twin.oid)
        .bind(legacy.oid)
        .fetch_all(connection)
        .await
        .map_err(|e| failure(what(), &e))?;
    let tell = |(name, pending): (String, bool)| {
        let (severity, detail) = if pending {
            let detail = "is half detached: its rows are no longer seen and its range cannot be \
                          used; ALTER TABLE … DETACH PARTITION … FINALIZE, then attach it again";
            (Severity::Error, detail)
        } else {
            let detail = "has the columns and the name of a partition and is none: rows in it are \
                          not seen through the twin; attach it, or drop or rename it";
            (Severity::Advice, detail)
        };
        let mut finding =
            plan.finding(CatalogClass::DetachedLeaf, severity, format!("{name} {detail}"));
        finding.partition = Some(name);
        finding
    };
    Ok(found.into_iter().map(tell).collect())
}
