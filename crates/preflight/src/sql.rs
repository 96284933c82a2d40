//! The statements of the checklists.

use std::time::{Duration, SystemTime};

use sqlx::AssertSqlSafe;

use cutover_ground::config::TablePair;
use cutover_ground::pg::Shared;
use cutover_ground::pg::of_tree;

/// What went wrong, in words: an item of a checklist shows it.
type Checked<T> = Result<T, String>;

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) async fn version(connection: &mut Shared) -> Checked<i32> {
    let asked = sqlx::query_as("SELECT current_setting('server_version_num')::int");
    connection.one(asked).await.map(|(version,)| version).map_err(told)
}

/// What kind of relation both sides are, and how many leaves the twin has.
pub(super) async fn kinds(
    connection: &mut Shared,
    pair: &TablePair,
) -> Checked<(Option<String>, Option<String>, i64)> {
    let legacy = pair.legacy_name().map_err(told)?.to_string();
    let twin = pair.partitioned_name().map_err(told)?.to_string();
    connection.one(sqlx::query_as(KINDS).bind(legacy).bind(twin)).await.map_err(told)
}

const KINDS: &str = "SELECT
    (SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = to_regclass($1)),
    (SELECT relkind::text FROM pg_catalog.pg_class WHERE oid = to_regclass($2)),
    (SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = to_regclass($2))";

/// `tgenabled` of the trigger; `None` if there is none of that name.
pub(super) async fn trigger_state(
    connection: &mut Shared,
    pair: &TablePair,
    trigger: &str,
) -> Checked<Option<String>> {
    let legacy = pair.legacy_name().map_err(told)?.to_string();
    let asked = sqlx::query_as(TRIGGER_STATE).bind(legacy).bind(trigger.to_owned());
    let found: Vec<(String,)> = connection.all(asked).await.map_err(told)?;
    Ok(found.into_iter().next().map(|(state,)| state))
}

const TRIGGER_STATE: &str = "SELECT tgenabled::text FROM pg_catalog.pg_trigger
     WHERE tgrelid = to_regclass($1) AND tgname = $2";

/// Rows of both sides on one snapshot.
pub(super) async fn counts(connection: &mut Shared, pair: &TablePair) -> Checked<(i64, i64)> {
    let legacy = pair.legacy_name().map_err(told)?;
    let twin = pair.partitioned_name().map_err(told)?;
    let statement =
        format!("SELECT (SELECT count(*) FROM {legacy}), (SELECT count(*) FROM {twin})");
    connection.one(sqlx::query_as(AssertSqlSafe(statement))).await.map_err(told)
}

/// How often a row stands on each side.
pub(super) async fn sides(
    connection: &mut Shared,
    pair: &TablePair,
    id: i64,
) -> Checked<(i64, i64)> {
    let legacy = pair.legacy_name().map_err(told)?;
    let twin = pair.partitioned_name().map_err(told)?;
    let statement = format!(
        "SELECT (SELECT count(*) FROM {legacy} WHERE id = $1),
                (SELECT count(*) FROM {twin} WHERE id = $1)"
    );
    connection.one(sqlx::query_as(AssertSqlSafe(statement)).bind(id)).await.map_err(told)
}

/// When the server last archived its log, by its own word.
pub(super) async fn archived_at(connection: &mut Shared) -> Checked<Option<SystemTime>> {
    let asked = "SELECT extract(epoch FROM last_archived_time)::float8
                   FROM pg_catalog.pg_stat_archiver";
    let (epoch_s,): (Option<f64>,) = connection.one(sqlx::query_as(asked)).await.map_err(told)?;
    Ok(epoch_s.map(|epoch_s| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(epoch_s)))
}

/// Small orgs, newest first, by the handbook's own statement.
pub(super) async fn pilots(
    connection: &mut Shared,
    fewer_than: i64,
    limit: i64,
) -> Checked<Vec<(i64, String, i64)>> {
    connection.all(sqlx::query_as(PILOTS).bind(fewer_than).bind(limit)).await.map_err(told)
}

const PILOTS: &str = "SELECT id, name, transaction_count
  FROM organizations
 WHERE transaction_count < $1
 ORDER BY created_at DESC, id
 LIMIT $2";

/// How many bytes both sides take with their indexes, and how the twin's lie.
#[derive(Debug)]
pub(super) struct Sizes {
    pub legacy_bytes: i64,
    pub twin_bytes: i64,
    pub leaves: i64,
    pub largest: Option<String>,
    pub largest_bytes: i64,
}

pub(super) async fn sizes(connection: &mut Shared, pair: &TablePair) -> Checked<Sizes> {
    let legacy = pair.legacy_name().map_err(told)?.to_string();
    let twin = pair.partitioned_name().map_err(told)?.to_string();
    let named = connection.one(sqlx::query_as(OID).bind(twin)).await;
    let (oid,): (Option<i64>,) = named.map_err(told)?;
    let asked = sqlx::query_as(AssertSqlSafe(of_tree(SIZES))).bind(oid).bind(legacy);
    let asked = connection.one(asked).await;
    let (legacy_bytes, twin_bytes, leaves, largest, largest_bytes) = asked.map_err(told)?;
    Ok(Sizes { legacy_bytes, twin_bytes, leaves, largest, largest_bytes })
}

const OID: &str = "SELECT to_regclass($1)::oid::bigint";

const SIZES: &str = ",
     leaf AS (SELECT c.oid::regclass::text AS name, pg_total_relation_size(c.oid) AS bytes
                FROM tree JOIN pg_class AS c ON c.oid = tree.relid
               WHERE c.relkind <> 'p' AND c.relispartition)
SELECT pg_total_relation_size(to_regclass($2)) AS legacy_bytes,
       coalesce(sum(bytes), 0)::int8 AS twin_bytes,
       count(*) AS leaves,
       (array_agg(name ORDER BY bytes DESC, name))[1] AS largest,
       coalesce(max(bytes), 0) AS largest_bytes
  FROM leaf";

/// What would break if the legacy table were dropped, and whether that is certain.
pub(super) async fn dependants(
    connection: &mut Shared,
    pair: &TablePair,
) -> Checked<Vec<(String, bool)>> {
    let legacy = pair.legacy_name().map_err(told)?.to_string();
    // A table that is not there has no dependants, and that is no good news.
    if kinds(connection, pair).await?.0.is_none() {
        return Err(format!("{legacy} is not there"));
    }
    let asked = sqlx::query_as(include_str!("dependants.sql")).bind(legacy);
    connection.all(asked).await.map_err(told)
}
