//! The statements of the drills.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use cutover_error::{Error, Result};
use cutover_evidence::trigger::TriggerState;
use cutover_ground::config::TablePair;
use cutover_ground::pg::{connect, failure, quote_ident};

const IS_RIG: &str = "SELECT coalesce(current_setting('cutover.rig', true), '') = 'on'";
const REPLAY_PAUSE: &str = "SELECT pg_wal_replay_pause()";
pub(super) const REPLAY_RESUME: &str = "SELECT pg_wal_replay_resume()";

pub(super) async fn is_rig(database_url: &str) -> Result<bool> {
    let mut connection = connect(database_url).await?;
    let asked = sqlx::query_scalar(IS_RIG).fetch_one(&mut connection).await;
    let _ = connection.close().await;
    asked.map_err(|error| failure("cannot ask whether the server is a rig", &error))
}

/// Stops or continues the replay on a replica; nothing else there changes.
pub(super) async fn replay(replica_url: &str, pause: bool) -> Result<()> {
    let statement = if pause { REPLAY_PAUSE } else { REPLAY_RESUME };
    let mut connection = connect(replica_url).await?;
    let done = sqlx::query(statement).execute(&mut connection).await;
    let _ = connection.close().await;
    done.map(drop).map_err(|error| failure("cannot stop or continue the replay", &error))
}

/// Some orgs that have rows, at most `limit`, the same at every call on the same rows.
pub(super) async fn orgs(
    connection: &mut PgConnection,
    pair: &TablePair,
    limit: i64,
) -> Result<Vec<String>> {
    let (table, org) = (pair.legacy_name()?, quote_ident(pair.needs_org("the drill")?));
    let statement = format!(
        "SELECT org::text FROM (SELECT {org} AS org FROM {table} LIMIT 100000) AS head
          GROUP BY org ORDER BY md5(org::text) LIMIT $1"
    );
    let asked = sqlx::query_scalar(AssertSqlSafe(statement)).bind(limit).fetch_all(connection);
    asked.await.map_err(|error| failure("cannot read some orgs", &error))
}

/// How many of these ids stand in legacy, and in the twin.
pub(super) async fn present(
    connection: &mut PgConnection,
    pair: &TablePair,
    ids: &[i64],
) -> Result<(i64, i64)> {
    let (legacy, twin) = (pair.legacy_name()?, pair.partitioned_name()?);
    let statement = format!(
        "SELECT (SELECT count(*) FROM {legacy} WHERE id = ANY ($1)),
                (SELECT count(*) FROM {twin} WHERE id = ANY ($1))"
    );
    let asked = sqlx::query_as(AssertSqlSafe(statement)).bind(ids).fetch_one(connection);
    asked.await.map_err(|error| failure("cannot look up what was written", &error))
}

/// Rows of both sides, in one statement and so on one snapshot.
pub(super) async fn counts(connection: &mut PgConnection, pair: &TablePair) -> Result<(i64, i64)> {
    let (legacy, twin) = (pair.legacy_name()?, pair.partitioned_name()?);
    let statement =
        format!("SELECT (SELECT count(*) FROM {legacy}), (SELECT count(*) FROM {twin})");
    let asked = sqlx::query_as(AssertSqlSafe(statement)).fetch_one(connection);
    asked.await.map_err(|error| failure("cannot count rows", &error))
}

/// A trigger as it was found, of the legacy table or of one of its partitions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noted {
    table: String,
    trigger: String,
    state: TriggerState,
}

impl Noted {
    /// Brings about exactly the state in which it was found. ENABLE alone, after DISABLE, would leave
    /// one that was ENABLE ALWAYS silent for changes that a subscription applies.
    pub(super) fn put_back(&self) -> String {
        let Self { table, trigger, state } = self;
        format!("ALTER TABLE ONLY {table} {} TRIGGER {trigger}", state.clause())
    }
}

/// The triggers that write the twins of the pairs, and how each is enabled.
pub(super) async fn triggers(
    connection: &mut PgConnection,
    pairs: &[TablePair],
) -> Result<Vec<Noted>> {
    let mut noted = Vec::new();
    for pair in pairs {
        let Some(trigger) = &pair.trigger else { continue };
        let table = pair.legacy_name()?.to_string();
        let asked = sqlx::query_as(TRIGGERS).bind(table).bind(trigger).fetch_all(&mut *connection);
        let found: Vec<(String, String)> =
            asked.await.map_err(|error| failure("cannot look at the triggers", &error))?;
        for (table, letter) in found {
            let what = || Error::run(format!("{table}: {trigger} has the state `{letter}`"), "");
            let state = TriggerState::of(&letter).ok_or_else(what)?;
            noted.push(Noted { table, trigger: quote_ident(trigger), state });
        }
    }
    Ok(noted)
}

const TRIGGERS: &str = "SELECT tgrelid::regclass::text, tgenabled::text
      FROM pg_catalog.pg_trigger
     WHERE tgname = $2
       AND (tgrelid = to_regclass($1)
            OR tgrelid IN (SELECT relid FROM pg_partition_tree(to_regclass($1))))
     ORDER BY 1";

/// Switches the trigger that writes the twin off.
pub(super) async fn disable_trigger(connection: &mut PgConnection, pair: &TablePair) -> Result<()> {
    let Some(trigger) = &pair.trigger else { return Ok(()) };
    let (table, trigger) = (pair.legacy_name()?, quote_ident(trigger));
    run(connection, format!("ALTER TABLE {table} DISABLE TRIGGER {trigger}")).await
}

/// Runs a statement that changes something.
pub(super) async fn run(connection: &mut PgConnection, statement: String) -> Result<()> {
    let what = format!("cannot do this: {statement}");
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await;
    done.map(drop).map_err(|error| failure(what, &error))
}

/// Spoils the twin behind the trigger's back: of some orgs, or of one, rows are lost and amounts
/// changed. Returns how many rows were touched.
pub(super) async fn spoil(
    connection: &mut PgConnection,
    pair: &TablePair,
    org: Option<&str>,
) -> Result<u64> {
    let (twin, column) = (
        pair.partitioned_name()?,
        quote_ident(pair.partitioned_column(pair.needs_org("the drill")?)),
    );
    let chosen = match org {
        Some(_) => format!("{column}::text = $1"),
        None => format!("$1::text IS NULL AND {column} IS NOT NULL"),
    };
    let mut touched = 0;
    for (what, rows) in [("DELETE FROM", "DELETE"), ("UPDATE", "UPDATE")] {
        let change = if rows == "UPDATE" { "SET amount = amount + 1" } else { "" };
        let statement = format!(
            "{what} {twin} {change} WHERE (tableoid, ctid) IN
                (SELECT tableoid, ctid FROM {twin} WHERE {chosen} LIMIT 40)"
        );
        let done = sqlx::query(AssertSqlSafe(statement)).bind(org).execute(&mut *connection).await;
        touched += done.map_err(|error| failure("cannot spoil the twin", &error))?.rows_affected();
        if org.is_some() && touched > 0 {
            // One org may have few rows; losing some is enough.
            return Ok(touched);
        }
    }
    Ok(touched)
}

/// The leaf of a twin that holds a day, with its bounds as the catalog prints them, and its rows.
pub(super) async fn leaf_of_day(
    connection: &mut PgConnection,
    pair: &TablePair,
    day: chrono::NaiveDate,
) -> Result<Option<(String, String)>> {
    let twin = pair.partitioned_name()?.to_string();
    let asked = sqlx::query_as(LEAF_OF_DAY).bind(twin).bind(day.to_string());
    asked
        .fetch_optional(connection)
        .await
        .map_err(|error| failure("cannot look for next month's partition", &error))
}

/// By the bounds as they are printed: `FOR VALUES FROM ('2026-12-01') TO ('2027-01-01')`.
const LEAF_OF_DAY: &str = r"
    SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid)
      FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass
       AND pg_get_expr(c.relpartbound, c.oid) LIKE 'FOR VALUES FROM (''' || $2 || '%'";

/// Takes a leaf out of the twin. It stays beside it, with all that it has for itself (grants, storage
/// parameters, indexes, replica identity), so that what comes back is what was there.
pub(super) fn detach_leaf(pair: &TablePair, leaf: &str) -> Result<String> {
    Ok(format!("ALTER TABLE {} DETACH PARTITION {leaf}", pair.partitioned_name()?))
}

/// Puts it back, unless it is there.
pub(super) fn attach_leaf(pair: &TablePair, leaf: &str, bounds: &str) -> Result<String> {
    let twin = pair.partitioned_name()?;
    let attach = format!("ALTER TABLE {twin} ATTACH PARTITION {leaf} {bounds}");
    let literal = leaf.replace('\'', "''");
    Ok(format!(
        "DO $attach$ BEGIN IF NOT (SELECT relispartition FROM pg_catalog.pg_class \
         WHERE oid = '{literal}'::regclass) THEN {attach}; END IF; END $attach$"
    ))
}

/// Rows of a table, whole.
pub(super) async fn rows(connection: &mut PgConnection, table: &str) -> Result<i64> {
    let statement = format!("SELECT count(*) FROM {table}");
    let asked = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(connection).await;
    asked.map_err(|error| failure(format!("cannot count {table}"), &error))
}

/// Applies a file of statements as it stands.
pub(super) async fn apply(connection: &mut PgConnection, statements: String) -> Result<()> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    done.map(drop).map_err(|error| failure("cannot apply repair.sql", &error))
}
