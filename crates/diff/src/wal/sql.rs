//! The statements of the write-ahead oracle.

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
SELECT r.oid::bigint
  FROM (SELECT coalesce(pg_partition_root(to_regclass($1))::oid, to_regclass($1)::oid) AS oid) AS r
 WHERE r.oid::bigint = ANY($2)";

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
