//! Updates that wrote one side alone: an update that changes nothing need not be carried, and a trigger may leave
//! it out. The log does not hold what a row was before, so the other side's row is looked at.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::sql::{self, KeyValue};
use super::transaction::{PairChanges, Update};
use crate::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_ground::pg::failure;

/// Takes the updates of transaction `xid` out of what it did that changed nothing: the other side's row reads
/// as the update left its own. `astray` are the keys of which a transaction is known to have changed one side alone.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn forget_unchanged(
    connection: &mut PgConnection,
    plan: &PairPlan,
    xid: u64,
    changes: &mut PairChanges,
    astray: &HashSet<String>,
) -> Result<()> {
    // A statement about all leaves would cost the server too much.
    if plan.has_many_leaves() {
        return Ok(());
    }
    for side in Side::BOTH {
        for (key, update) in changes.updated_alone(side) {
            if astray.contains(&key) {
                continue;
            }
            let statement = question(plan, side, xid, &update);
            let alike = sqlx::query_scalar(AssertSqlSafe(statement)).persistent(false);
            let alike: bool = alike
                .fetch_one(&mut *connection)
                .await
                .map_err(|e| failure(format!("cannot look a row of {} up", plan.name), &e))?;
            if alike {
                changes.forget(side, &key);
            }
        }
    }
    Ok(())
}

fn question(plan: &PairPlan, side: Side, xid: u64, update: &Update) -> String {
    let other = if side == Side::Legacy { Side::Partitioned } else { Side::Legacy };
    let values = update.values.iter();
    let values: Vec<(&str, Option<&str>)> =
        values.map(|(at, value)| (plan.columns[*at].on(other), value.as_deref())).collect();
    let [here, there] = [side, other].map(|side| &plan.table(side).name);
    let [own, its] = [side, other].map(|side| key(plan, side, update));
    sql::reads_alike(xid, (here, &own), (there, &its), &values)
}

fn key<'p>(plan: &'p PairPlan, side: Side, update: &'p Update) -> Vec<KeyValue<'p>> {
    let columns = plan.key.iter().zip(&update.key);
    let typed = columns.map(|(column, value)| {
        let name = column.on(side);
        let type_name = plan.table(side).column(name).map_or("text", |c| &c.bare_type);
        (name, type_name, value.as_str())
    });
    typed.collect()
}
