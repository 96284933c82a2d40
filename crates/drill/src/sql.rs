//! The statements of the drills.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use cutover_error::Result;
use cutover_ground::config::TablePair;
use cutover_ground::pg::{connect, failure, quote_ident};

const IS_RIG: &str = "SELECT coalesce(current_setting('cutover.rig', true), '') = 'on'";
const REPLAY_PAUSE: &str = "SELECT pg_wal_replay_pause()";
const REPLAY_RESUME: &str = "SELECT pg_wal_replay_resume()";

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
    let (table, org) = (pair.legacy_name()?, quote_ident(&pair.org));
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

/// Switches the trigger that writes the twin off, or on.
pub(super) async fn trigger(
    connection: &mut PgConnection,
    pair: &TablePair,
    enable: bool,
) -> Result<()> {
    let Some(trigger) = &pair.trigger else { return Ok(()) };
    let verb = if enable { "ENABLE" } else { "DISABLE" };
    let (table, trigger) = (pair.legacy_name()?, quote_ident(trigger));
    let statement = format!("ALTER TABLE {table} {verb} TRIGGER {trigger}");
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await;
    done.map(drop).map_err(|error| failure(format!("cannot switch {trigger}"), &error))
}

/// Whether the trigger is at work.
pub(super) async fn trigger_enabled(
    connection: &mut PgConnection,
    pair: &TablePair,
) -> Result<Option<bool>> {
    let Some(trigger) = &pair.trigger else { return Ok(None) };
    let table = pair.legacy_name()?.to_string();
    let asked = sqlx::query_scalar(TRIGGER_ENABLED).bind(table).bind(trigger);
    asked
        .fetch_optional(connection)
        .await
        .map_err(|error| failure("cannot look at the trigger", &error))
}

const TRIGGER_ENABLED: &str = "SELECT tgenabled IN ('O', 'A') FROM pg_catalog.pg_trigger
     WHERE tgrelid = $1::regclass AND tgname = $2";

/// Spoils the twin behind the trigger's back: of some orgs, or of one, rows are lost and amounts
/// changed. Returns how many rows were touched.
pub(super) async fn spoil(
    connection: &mut PgConnection,
    pair: &TablePair,
    org: Option<&str>,
) -> Result<u64> {
    let (twin, column) =
        (pair.partitioned_name()?, quote_ident(pair.partitioned_column(&pair.org)));
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

/// Takes a leaf away; its rows go with it.
pub(super) async fn drop_leaf(connection: &mut PgConnection, leaf: &str) -> Result<()> {
    let statement = format!("DROP TABLE {leaf}");
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await;
    done.map(drop).map_err(|error| failure(format!("cannot take {leaf} away"), &error))
}

/// Makes a leaf.
pub(super) async fn make_leaf(
    connection: &mut PgConnection,
    pair: &TablePair,
    leaf: &str,
    bounds: &str,
) -> Result<()> {
    let twin = pair.partitioned_name()?;
    let statement = format!("CREATE TABLE IF NOT EXISTS {leaf} PARTITION OF {twin} {bounds}");
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await;
    done.map(drop).map_err(|error| failure(format!("cannot make {leaf}"), &error))
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
