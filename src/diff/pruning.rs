//! Does the planner read one partition alone where a question is about one partition's range?
//!
//! It is asked, not run: the plan of a question with the very condition that PostgreSQL derives for
//! a partition in the middle. A plan that reads others has no pruning to use (it is switched off, or
//! rows hang below the twin by inheritance), and every read of a date range pays for all of them.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::schema::{PairPlan, Side};
use super::sql;
use crate::error::{Context, Error, Result};
use crate::evidence::finding::Pruning;
use crate::pg::failure;

/// Asks for the plan; `None` where the twin is not divided by ranges.
///
/// # Errors
/// A run error where the server fails.
pub(super) async fn look(
    connection: &mut PgConnection,
    plan: &PairPlan,
) -> Result<Option<Pruning>> {
    let twin = plan.table(Side::Partitioned);
    if twin.strategy.as_deref() != Some("r") {
        return Ok(None);
    }
    let leaves = plan.leaves(Side::Partitioned);
    let ranges: Vec<_> = leaves
        .iter()
        .filter(|leaf| !leaf.is_default() && leaf.depth == 1)
        .filter_map(|leaf| Some((leaf, leaf.partition_constraint.as_deref()?)))
        .collect();
    let Some((_, condition)) = ranges.get(ranges.len() / 2) else { return Ok(None) };
    let query = sql::plan_of(&twin.name.to_string(), condition);
    let what = || format!("cannot ask for a plan on {}", twin.name);
    let row = sqlx::query(AssertSqlSafe(query)).fetch_one(connection).await;
    let row = row.map_err(|e| failure(what(), &e))?;
    // The bytes of a JSON value are its text, and need no type of ours to be read.
    let text = row.try_get_raw(0).map_err(|e| failure(what(), &e))?;
    let text = text.as_str().map_err(|e| Error::run(format!("{}: {e}", what()), ""))?;
    let answer: Value = serde_json::from_str(text).or_run(what(), "")?;
    let mut read = BTreeSet::new();
    relations(&answer, &mut read);
    Ok(Some(Pruning {
        table: plan.name.clone(),
        partitions: leaves.len() as u64,
        scanned: read.len() as u64,
    }))
}

/// The relations that a plan reads, by schema and name.
fn relations(plan: &Value, found: &mut BTreeSet<(String, String)>) {
    match plan {
        Value::Array(items) => items.iter().for_each(|item| relations(item, found)),
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
            let (schema, name) = (text("Schema"), text("Relation Name"));
            if !name.is_empty() {
                found.insert((schema.to_owned(), name.to_owned()));
            }
            fields.values().for_each(|field| relations(field, found));
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
        let mut found = BTreeSet::new();
        relations(&plan, &mut found);
        assert_eq!(found.len(), 2);
    }
}
