//! The statements of the write-ahead oracle.

use crate::sql::literal;
use cutover_ground::pg::{QualifiedName, quote_ident};

/// How much the server writes into its log.
pub(super) const WAL_LEVEL: &str = "SELECT current_setting('wal_level')";

/// A slot that ends with its session, whatever ends that.
pub(super) const CREATE_SLOT: &str =
    "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'test_decoding', true)";

/// A session that the server ends, and its slot with it, if we are gone without a word: killed, frozen or cut
/// off. It asks for changes several times a second.
pub(super) const SESSION: &str = "
SET idle_session_timeout = '60s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3; SET tcp_user_timeout = '60s'; SET client_connection_check_interval = '1s'";

/// How much of the log is kept for a slot, in bytes, and the session that has it.
pub(super) const HELD: &str = "
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, active_pid
  FROM pg_replication_slots
 WHERE slot_name = $1 AND active_pid > 0 AND restart_lsn > '0/0'";

/// Ends a session.
pub(super) const END_SESSION: &str = "SELECT pg_terminate_backend($1)";

/// Lets go of it.
pub(super) const DROP_SLOT: &str = "SELECT pg_drop_replication_slot($1)";

/// How far the log has come.
pub(super) const POSITION: &str = "SELECT pg_current_wal_insert_lsn()::text";

/// Whether it is on disk up to a position.
pub(super) const IS_FLUSHED: &str = "SELECT pg_current_wal_flush_lsn() >= $1::pg_lsn";

/// The next changes up to a position, whole transactions, some `$2` at least where there are more.
pub(super) const CHANGES: &str = "
SELECT data FROM pg_logical_slot_get_changes($1, $3::pg_lsn, $2,
    'include-xids', 'true', 'include-timestamp', 'true', 'skip-empty-xacts', 'true')";

/// Which of the tables `$2` a relation belongs to, as the log names it; no row for another one.
pub(super) const ROOT: &str = "
WITH RECURSIVE above (oid, steps) AS (
     SELECT to_regclass($1)::oid, 0
      UNION ALL
     SELECT i.inhparent, above.steps + 1 FROM above JOIN pg_inherits i ON i.inhrelid = above.oid)
SELECT oid::bigint FROM above WHERE oid::bigint = ANY($2) ORDER BY steps LIMIT 1";

/// The relations of table `$1` whose changes this server's log does not hold, with the reason.
pub(super) const NOT_IN_LOG: &str = "
WITH RECURSIVE below (oid) AS (
     SELECT $1::bigint::oid
      UNION
     SELECT i.inhrelid FROM below JOIN pg_inherits i ON i.inhparent = below.oid)
SELECT c.oid::regclass::text || CASE c.relkind WHEN 'f' THEN ' (foreign)' ELSE ' (unlogged)' END
  FROM below JOIN pg_class c ON c.oid = below.oid
 WHERE c.relkind = 'f' OR c.relkind = 'r' AND c.relpersistence = 'u'
 ORDER BY 1";

/// A key column of one side: its name, type and value.
pub(super) type KeyValue<'k> = (&'k str, &'k str, &'k str);

/// Whether the row of `there` with this key reads as transaction `xid` left the row of `here`, with these texts:
/// since before it, or because one later transaction wrote both.
pub(super) fn reads_alike(
    xid: u64,
    (here, its_key): (&QualifiedName, &[KeyValue<'_>]),
    (there, other_key): (&QualifiedName, &[KeyValue<'_>]),
    values: &[(&str, Option<&str>)],
) -> String {
    let keyed = |row: &str, key: &[KeyValue<'_>]| {
        let one = |(name, type_name, value): &KeyValue<'_>| {
            format!("{row}.{} = {}::{type_name}", quote_ident(name), literal(value))
        };
        key.iter().map(one).collect::<Vec<_>>().join(" AND ")
    };
    let equal = |(name, value): &(&str, Option<&str>)| match value {
        Some(value) => format!("(o.{})::text = {}", quote_ident(name), literal(value)),
        None => format!("num_nulls(o.{}) = 1", quote_ident(name)),
    };
    format!(
        "SELECT EXISTS (SELECT FROM {there} AS o
                         WHERE {other} AND {values} AND age(o.xmin) > age('{xid}'::xid))
             OR EXISTS (SELECT FROM {there} AS o, {here} AS h
                         WHERE {other} AND {own} AND o.xmin = h.xmin AND age(o.xmin) < age('{xid}'::xid))",
        other = keyed("o", other_key),
        own = keyed("h", its_key),
        values = values.iter().map(equal).collect::<Vec<_>>().join(" AND "),
    )
}

/// Whether what the log keeps of an old row of table `$1` holds the columns `$2`.
pub(super) const KEEPS_KEY: &str = "
SELECT c.relreplident = 'f' OR EXISTS (
       SELECT FROM pg_index i
        WHERE i.indrelid = c.oid
          AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                  WHEN 'd' THEN i.indisprimary ELSE false END
          AND $2 <@ ARRAY(SELECT a.attname::text FROM pg_attribute a
                           WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey::int2[])))
  FROM pg_class c WHERE c.oid = $1::bigint::oid";
