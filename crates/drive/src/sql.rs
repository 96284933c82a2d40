//! The statements that watch the database while the load runs.

use cutover_error::Result;
use cutover_ground::config::TablePair;
use cutover_ground::pg::quote_ident;

/// What a watching session may cost: it gives up rather than wait.
pub(super) const SESSION: &str = "SET statement_timeout = '900ms'; SET lock_timeout = '100ms'; \
     SET application_name = 'cutover watch'; SET default_transaction_read_only = on";

/// Sessions at work by what they wait for.
pub(super) const WAITS: &str =
    "SELECT coalesce(wait_event_type || ':' || wait_event, 'running'), count(*)
       FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND state IN ('active', 'idle in transaction') AND backend_type = 'client backend'
      GROUP BY 1";

/// The database's counters, in the order of `DatabasePoint`.
pub(super) const COUNTERS: &str =
    "SELECT xact_commit, xact_rollback, blks_hit, blks_read, tup_returned,
            tup_fetched, temp_bytes, deadlocks
       FROM pg_stat_database WHERE datname = current_database()";

/// Whether statements are counted.
pub(super) const HAS_STATEMENTS: &str =
    "SELECT count(*) FROM pg_extension WHERE extname = 'pg_stat_statements'";

/// Statements with their calls and time, the most expensive first.
pub(super) const STATEMENTS: &str =
    "SELECT s.queryid, left(s.query, 300), s.calls, s.total_exec_time
       FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
      WHERE d.datname = current_database() AND s.queryid IS NOT NULL
      ORDER BY s.total_exec_time DESC LIMIT 500";

/// A longer look at all rows than this is not worth it.
pub(super) const LONGEST_LOOK_SQL: &str = "SET statement_timeout = '120s'";

/// Rows of each org in the legacy table of a pair; orgs that are no numbers are left out.
pub(super) fn rows_by_org(pair: &TablePair) -> Result<String> {
    let (table, org) = (pair.legacy_name()?, quote_ident(pair.needs_org("the load")?));
    Ok(format!(
        "SELECT {org}::text::bigint, count(*) FROM {table} \
         WHERE {org}::text ~ '^[0-9]{{1,18}}$' GROUP BY 1"
    ))
}
