//! How many locks a statement takes, held against how many there are: one more, and whoever asks for the next
//! is refused, the application too.

use sqlx::postgres::PgConnection;

use super::schema::{PairPlan, Side};
use super::sql;
use cutover_error::{Error, Result};
use cutover_ground::pg::failure;

/// Locks up to which one statement asks for the plan of a question that may touch every leaf: that takes the
/// server some 30 kB of memory for each.
const PLANNED_AT_ONCE: u64 = 6_000;

/// The locks that all sessions of a server have together.
#[derive(Debug, Clone, Copy)]
pub(super) struct LockTable(u64);

impl LockTable {
    /// Asks the server.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self> {
        let room = sqlx::query_scalar::<_, i64>(sql::LOCK_TABLE).fetch_one(connection).await;
        let room = room.map_err(|e| failure("cannot ask for the size of the lock table", &e))?;
        Ok(Self(room.unsigned_abs()))
    }

    /// Whether a question about all leaves of the twin may be planned.
    pub(super) fn allows_plan_of_all(self, plan: &PairPlan) -> bool {
        of_one_statement(plan, Side::Partitioned) <= PLANNED_AT_ONCE.min(self.ours())
    }

    /// Whether the comparison can be made with what there is to spare.
    ///
    /// # Errors
    /// A usage error if it cannot, before anything is locked.
    pub(super) fn check(self, plan: &PairPlan, connections: usize) -> Result<()> {
        for side in Side::BOTH.into_iter().filter(|side| !plan.is_read_by_leaf(*side)) {
            let needed = of_one_statement(plan, side) * connections as u64;
            if needed > self.ours() {
                let table = &plan.table(side).name;
                return Err(Error::usage(
                    format!(
                        "{table} cannot be read one partition at a time, and reading it whole takes \
                         {needed} locks; the server has {} for all sessions together",
                        self.0
                    ),
                    "GRANT SELECT on each partition to this role, or raise \
                     max_locks_per_transaction",
                ));
            }
        }
        Ok(())
    }

    /// What we may take of them: the others go on.
    fn ours(self) -> u64 {
        self.0 / 2
    }
}

/// The locks of a statement that reads a whole side: the relations and their indexes.
fn of_one_statement(plan: &PairPlan, side: Side) -> u64 {
    plan.below(side) * (1 + indexes(plan, side))
}

/// The indexes that each leaf of a side has.
pub(super) fn indexes(plan: &PairPlan, side: Side) -> u64 {
    plan.indexes(side).iter().filter(|index| index.direct).count() as u64
}
