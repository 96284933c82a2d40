//! What a repair may rewrite, how much, and where the server cannot run it.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::sql;
use crate::direction::{Direction, Doubt};
use crate::options::Options;
use crate::outcome::Outcome;
use crate::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_evidence::finding::{Counts, RepairPlan};
use cutover_ground::pg::failure;

/// The share of a side's rows that a repair deletes or overwrites at most, as one of so many.
const ONE_OF: u64 = 10;

/// Rows of both sides in which a group may be looked for, which holds its rows locked so long.
const SEARCHED_ROWS: u64 = 100_000;

/// What the comparison of a pair says about its repair.
pub(crate) struct Compared {
    /// The orgs that differ.
    pub(super) orgs: BTreeSet<String>,
    /// Those with a row in a partition that excludes it.
    pub(super) misrouted: BTreeSet<String>,
    /// Rows that were compared, by side.
    rows: [u64; 2],
    /// Whether only some orgs were.
    is_part: bool,
    counts: Counts,
    /// Why the counts are not all of it.
    uncounted: Option<&'static str>,
}

impl Compared {
    /// Takes the table that was summed up last, and its orgs: those that differ, those with misrouted rows.
    pub(crate) fn look(
        outcome: &Outcome,
        options: &Options,
        (orgs, misrouted): (BTreeSet<String>, BTreeSet<String>),
    ) -> Self {
        let uncounted = match (outcome.is_stopped(), options.since) {
            (true, _) => {
                Some("the comparison was stopped before all rows were counted that it rewrites")
            }
            (_, Some(_)) => Some("with --since not every row was counted that it rewrites"),
            _ => None,
        };
        let table = outcome.last_table();
        Self {
            orgs,
            misrouted,
            rows: table.map_or([0, 0], |table| [table.legacy_rows, table.partitioned_rows]),
            is_part: options.orgs.is_some() || options.shard.is_some(),
            counts: table.map_or_else(Counts::default, |table| table.counts),
            uncounted,
        }
    }

    /// Rows of a side; if only some orgs were compared, the planner's guess if that is more.
    fn rows(&self, plan: &PairPlan, side: Side) -> u64 {
        let guess = plan.leaves(side).iter().map(|leaf| leaf.rows_estimate).sum::<f64>() as u64;
        let compared = self.rows[side as usize];
        if self.is_part { compared.max(guess) } else { compared }
    }

    /// How many rows of a side may be deleted or overwritten.
    pub(super) fn limit(&self, plan: &PairPlan, side: Side) -> u64 {
        self.rows(plan, side) / ONE_OF
    }

    /// What the repair does; refused unless `any` allows it or nothing speaks against it. What the server is
    /// `unable` to run is refused in any case.
    pub(super) fn plan(
        &self,
        plan: &PairPlan,
        direction: &Direction,
        unable: Option<String>,
        any: bool,
    ) -> RepairPlan {
        let side = direction.follower();
        let Counts { missing, extra, mismatched, duplicate, wrong_org, misrouted } = self.counts;
        let (inserts, deletes, updates) = match side {
            Side::Partitioned => (missing, extra + duplicate, mismatched + wrong_org + misrouted),
            // Rows of the partitioned side that lie in the wrong partition are not this repair's.
            Side::Legacy => (extra + duplicate, missing, mismatched + wrong_org),
        };
        let changes = updates + deletes;
        let too_much = || {
            let rows = self.rows(plan, side);
            (changes > self.limit(plan, side)).then(|| {
                format!("it would delete or overwrite {changes} of {rows} rows, more than a tenth")
            })
        };
        let doubt = || direction.doubt.as_ref().map(Doubt::words);
        let uncounted = || self.uncounted.map(str::to_owned);
        let too_long = || {
            let rows: u64 = Side::BOTH.map(|side| self.rows(plan, side)).iter().sum();
            (plan.org.column().is_none() && rows > SEARCHED_ROWS).then(|| {
                let groups = self.orgs.len();
                format!("each of {groups} groups is looked for in {rows} rows and keeps its own locked so long")
            })
        };
        let refused = match unable {
            Some(why) => Some(why),
            None if any || self.orgs.is_empty() => None,
            None => doubt()
                .or_else(uncounted)
                .or_else(too_much)
                .or_else(too_long)
                .map(|why| format!("{why}; --repair-any writes it all the same")),
        };
        let (pair, table) = (plan.name.clone(), plan.table(side).name.to_string());
        RepairPlan { pair, side, table, inserts, updates, deletes, refused }
    }
}

/// Why the server could not run the repair of a pair; `None` if it can.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn unable(
    connection: &mut PgConnection,
    plan: &PairPlan,
    target: Side,
) -> Result<Option<String>> {
    for side in Side::BOTH {
        let table = &plan.table(side).name;
        let names = (table.schema.clone(), table.name.clone());
        for (has, question, why) in [
            (
                sql::HAS_CITUS,
                sql::IS_DISTRIBUTED,
                "is distributed by Citus, which runs no functions over it",
            ),
            (
                sql::HAS_CHUNKS,
                sql::HAS_COMPRESSED,
                "has compressed chunks, whose rows cannot be found by place",
            ),
        ] {
            let refused = |e| failure(format!("cannot ask how {table} is stored"), &e);
            let there: bool =
                sqlx::query_scalar(has).fetch_one(&mut *connection).await.map_err(refused)?;
            if !there {
                continue;
            }
            let question = sqlx::query_scalar(question).bind(&names.0).bind(&names.1);
            if question.fetch_one(&mut *connection).await.map_err(refused)? {
                return Ok(Some(format!("{table} {why}")));
            }
        }
    }
    let elsewhere =
        plan.leaves(target).iter().find(|leaf| leaf.kind == "f" || leaf.heap_blocks.is_none());
    if let Some(leaf) = elsewhere {
        let why =
            if leaf.kind == "f" { "is on another server" } else { "is not stored row by row" };
        return Ok(Some(format!("{} {why}, its rows cannot be found by place", leaf.display)));
    }
    refuses(connection, plan, target).await
}

/// What the server says against the statement that finds the differences; it is planned, not run.
async fn refuses(
    connection: &mut PgConnection,
    plan: &PairPlan,
    target: Side,
) -> Result<Option<String>> {
    let lost = |e| failure("cannot ask for a plan of the repair", &e);
    let question = sql::explain_differences(plan, target);
    let asked = sqlx::raw_sql(AssertSqlSafe(question)).execute(&mut *connection).await;
    match asked {
        Ok(_) => Ok(None),
        Err(error) => match error.as_database_error() {
            Some(refusal) => {
                let code = refusal.code().unwrap_or_default().into_owned();
                Ok(Some(format!("the server refuses it: {} (SQLSTATE {code})", refusal.message())))
            }
            None => Err(lost(error)),
        },
    }
}
