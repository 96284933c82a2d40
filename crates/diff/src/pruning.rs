//! Does the planner read one partition alone where a question is about one partition's range, and what
//! does it read for the platform's own questions?
//!
//! It is asked, nothing is run: the plan of a question with the very condition that PostgreSQL derives
//! for a partition in the middle, and the plan of each read of the configuration with the values of a
//! row. A plan that reads more than it should has no pruning to use (it is switched off, rows hang below
//! the twin by inheritance, or the question does not name the partition column), and every such read
//! pays for all partitions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::locks::{LockTable, indexes};
use super::schema::{PairPlan, Side};
use super::sql;
use cutover_error::{Context, Error, Result};
use cutover_evidence::pruning::Pruning;
use cutover_ground::config::TableRead;
use cutover_ground::pg::{failure, quote_ident};

/// Asks for the plans: of a question about one range, where the twin is divided by ranges, and of
/// every read of the configuration, where the twin holds a row to take values from.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn look(
    connection: &mut PgConnection,
    plan: &PairPlan,
    locks: LockTable,
) -> Result<Vec<Pruning>> {
    let all = locks.allows_plan_of_all(plan);
    let condition = middle_range(plan);
    let mut looks = Vec::new();
    if let Some(condition) = condition {
        looks.push(if all || prunes(connection).await? {
            one_range(connection, plan, condition).await?
        } else {
            // Without pruning every partition is read, which need not be tried.
            Pruning { scanned: plan.leaves(Side::Partitioned).len() as u64, ..of_range(plan) }
        });
    }
    if plan.reads.is_empty() {
        return Ok(looks);
    }
    if !all {
        looks.extend(plan.reads.iter().map(|read| too_many(plan, read)));
        return Ok(looks);
    }
    let Some(row) = sample(connection, plan).await? else { return Ok(looks) };
    for read in &plan.reads {
        looks.push(of_read(connection, plan, read, &row).await?);
    }
    Ok(looks)
}

/// What PostgreSQL asks of the rows of the partition in the middle.
fn middle_range(plan: &PairPlan) -> Option<&str> {
    if plan.table(Side::Partitioned).strategy.as_deref() != Some("r") {
        return None;
    }
    let leaves = plan.leaves(Side::Partitioned).iter();
    let ranges: Vec<&str> = leaves
        .filter(|leaf| !leaf.is_default() && leaf.depth == 1)
        .filter_map(|leaf| leaf.partition_constraint.as_deref())
        .collect();
    ranges.get(ranges.len() / 2).copied()
}

async fn one_range(
    connection: &mut PgConnection,
    plan: &PairPlan,
    condition: &str,
) -> Result<Pruning> {
    let twin = plan.table(Side::Partitioned);
    let question = sql::rows_that(&twin.name.to_string(), condition);
    let answer = explain(connection, &question).await?;
    let answer = answer
        .map_err(|why| {
            let hint = "this role has to be granted reading of the tables, all rows of them; one that row \
                        security binds needs BYPASSRLS";
            Error::run(format!("cannot ask for a plan on {}: {why}", twin.name), hint)
        })?;
    Ok(Pruning { scanned: relations(&answer).len() as u64, ..of_range(plan) })
}

/// A question about the range of one partition.
fn of_range(plan: &PairPlan) -> Pruning {
    Pruning {
        table: plan.name.clone(),
        partitions: plan.leaves(Side::Partitioned).len() as u64,
        expected: Some(1),
        ..Pruning::default()
    }
}

/// A read that is not planned: a plan that prunes nothing would take more memory and locks than we may take.
fn too_many(plan: &PairPlan, read: &TableRead) -> Pruning {
    let partitions = plan.leaves(Side::Partitioned).len() as u64;
    let problem = format!(
        "not asked for: if it does not prune, planning it takes too much memory and too many locks \
         ({partitions} partitions with {} indexes each)",
        indexes(plan, Side::Partitioned)
    );
    Pruning {
        read: Some(read.name.clone()),
        problem: Some(problem),
        expected: read.partitions.or_else(|| plan.partitions_of_days(read.days?)),
        ..of_range(plan)
    }
}

/// Whether the planner leaves partitions out.
async fn prunes(connection: &mut PgConnection) -> Result<bool> {
    let prunes = sqlx::query_scalar(sql::PRUNES).fetch_one(connection).await;
    prunes.map_err(|e| failure("cannot ask whether the planner prunes", &e))
}

/// Column of the twin → its value in one row, as an expression.
type Sample = BTreeMap<String, String>;

/// A row of the twin that has a value in every column that a read asks for: of the leaf in the middle or,
/// where that holds none, of the first that does.
async fn sample(connection: &mut PgConnection, plan: &PairPlan) -> Result<Option<Sample>> {
    let twin = plan.table(Side::Partitioned);
    let asked: BTreeSet<&str> = plan.reads.iter().flat_map(TableRead::columns).collect();
    let columns: Vec<_> = asked.iter().filter_map(|name| twin.column(name)).collect();
    let names: Vec<String> = columns.iter().map(|column| quote_ident(&column.name)).collect();
    let relations = plan.relations(Side::Partitioned);
    let middle = relations.get(relations.len() / 2);
    for relation in middle.into_iter().chain(&relations) {
        let statement = sql::sample_row(relation, &names);
        let what = || format!("cannot read a row of {}", twin.name);
        let row = sqlx::query(AssertSqlSafe(statement)).fetch_optional(&mut *connection).await;
        let Some(row) = row.map_err(|e| failure(what(), &e))? else { continue };
        // Bytes that are no text make no literal.
        let Ok::<Vec<String>, _>(values) = row.try_get(0) else { continue };
        let expressions = columns.iter().zip(values).map(|(column, value)| {
            (column.name.clone(), format!("{}::{}", sql::literal(&value), column.bare_type))
        });
        return Ok(Some(expressions.collect()));
    }
    Ok(None)
}

async fn of_read(
    connection: &mut PgConnection,
    plan: &PairPlan,
    read: &TableRead,
    row: &Sample,
) -> Result<Pruning> {
    let leaves = plan.leaves(Side::Partitioned);
    let mut look = Pruning {
        table: plan.name.clone(),
        read: Some(read.name.clone()),
        partitions: leaves.len() as u64,
        expected: read.partitions.or_else(|| plan.partitions_of_days(read.days?)),
        ..Pruning::default()
    };
    let question = |side| {
        let table = plan.table(side).name.to_string();
        read.filled(&table, |column| row.get(column).cloned())
            .map_err(|column| format!("the twin has no column `{column}`"))
    };
    let twin = match question(Side::Partitioned) {
        Ok(question) => explain(connection, &question).await?,
        Err(why) => Err(why),
    };
    match twin {
        Ok(answer) => {
            let touched = relations(&answer);
            let is_touched = |schema: &str, name: &str| touched.contains(&(schema, name));
            let scanned = leaves.iter().filter(|leaf| is_touched(&leaf.schema, &leaf.name));
            look.scanned = scanned.count() as u64;
            look.partitioned_cost = cost(&answer);
        }
        Err(why) => look.problem = Some(why),
    }
    // Legacy may call its columns otherwise; then there is nothing to hold the cost against.
    if let Ok(question) = question(Side::Legacy)
        && let Ok(answer) = explain(connection, &question).await?
    {
        look.legacy_cost = cost(&answer);
    }
    Ok(look)
}

/// The plan, or why the server makes none: a statement of somebody's configuration may be wrong. Each is asked
/// for in a transaction of its own, which locks every partition that the plan names.
async fn explain(
    connection: &mut PgConnection,
    question: &str,
) -> Result<std::result::Result<Value, String>> {
    let what = || "cannot ask for a plan";
    let row = sqlx::query(AssertSqlSafe(sql::plan_of(question))).fetch_one(connection).await;
    let row = match row {
        Ok(row) => row,
        Err(error) => match error.as_database_error() {
            Some(refused) => return Ok(Err(refused.message().to_owned())),
            None => return Err(failure(what(), &error)),
        },
    };
    // The bytes of a JSON value are its text, and need no type of ours to be read.
    let text = row.try_get_raw(0).map_err(|e| failure(what(), &e))?;
    let text = text.as_str().map_err(|e| Error::run(format!("{}: {e}", what()), ""))?;
    Ok(Ok(serde_json::from_str(text).or_run(what(), "")?))
}

/// What the planner believes the whole to cost, in its own unit.
fn cost(answer: &Value) -> Option<f64> {
    answer.pointer("/0/Plan/Total Cost").and_then(Value::as_f64)
}

/// The relations that a plan reads, by schema and name.
fn relations(plan: &Value) -> BTreeSet<(&str, &str)> {
    let mut found = BTreeSet::new();
    collect_relations(plan, &mut found);
    found
}

fn collect_relations<'a>(plan: &'a Value, found: &mut BTreeSet<(&'a str, &'a str)>) {
    match plan {
        Value::Array(items) => items.iter().for_each(|item| collect_relations(item, found)),
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
            let (schema, name) = (text("Schema"), text("Relation Name"));
            if !name.is_empty() {
                found.insert((schema, name));
            }
            fields.values().for_each(|field| collect_relations(field, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_of_a_plan_is_counted_once() {
        let scan = |name: &str| serde_json::json!({ "Schema": "public", "Relation Name": name });
        let plan = serde_json::json!([{ "Plan": { "Node Type": "Append",
            "Plans": [scan("a"), scan("b"), { "Plans": [scan("a")] }] } }]);
        assert_eq!(relations(&plan).len(), 2);
    }
}
