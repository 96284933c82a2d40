//! What this module asks of the server, its catalogs and transactions.

use std::time::Duration;

use super::QualifiedName;

/// A setting that means nothing to anybody: what a connection's first message sets it to is there where
/// the server's session began with that message.
pub(super) const MARK: &str = "cutover.session";

/// Sets these for the session, and answers with a row, where the session has this mark; sets nothing and
/// answers with none where it has not.
///
/// Whatever the session's path says, every name here is the server's own.
pub(super) fn settle<'s>(
    settings: impl Iterator<Item = (&'s str, &'s str)>,
    own_names: bool,
    mark: &str,
) -> String {
    let set = |(name, value)| format!("pg_catalog.set_config('{name}', '{value}', false)");
    let mut set: Vec<String> = settings.map(set).collect();
    set.extend(own_names.then(|| server_names_first(false)));
    format!(
        "SELECT {}, {UNLIMITED}, {AS_BYTES}
          WHERE pg_catalog.current_setting('{MARK}', true) OPERATOR(pg_catalog.=) '{mark}'",
        set.join(", ")
    )
}

/// Puts the server's own functions, operators and catalogs before those of anybody else that bear their names:
/// a role's or a database's `search_path` may have them behind.
fn server_names_first(of_transaction: bool) -> String {
    let path = "pg_catalog.current_setting('search_path')";
    format!(
        "pg_catalog.set_config('search_path',
             CASE WHEN pg_catalog.length({path}) OPERATOR(pg_catalog.=) 0 THEN 'pg_catalog'
                  ELSE pg_catalog.concat('pg_catalog, ', {path}) END, {of_transaction})"
    )
}

/// A snapshot is kept as long as it is needed; versions before 17 have no such setting.
const UNLIMITED: &str = "(SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
      WHERE name OPERATOR(pg_catalog.=) 'transaction_timeout')";

/// Where a database has no encoding, its bytes may be anything, and none of them is refused on the way.
const AS_BYTES: &str = "CASE WHEN pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.=) 'SQL_ASCII' \
    THEN pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) END";

/// The first of the settings `$1` that is not `$2`, what it should be, and what it is; no row if all hold.
pub(super) const NOT_HELD: &str = "
SELECT s.name, s.wanted, coalesce(current_setting(s.name, true), 'not there')
  FROM unnest($1::text[], $2::text[]) AS s (name, wanted)
 WHERE current_setting(s.name, true) IS DISTINCT FROM s.wanted
 LIMIT 1";

/// Begins a transaction that can change nothing and whose settings end with it: it sees every row or is
/// refused, and neither waits for others for long nor works for longer than `limit`.
pub(super) fn begin_look(limit: Duration) -> String {
    format!(
        "BEGIN READ ONLY; SET LOCAL application_name = 'cutover'; SET LOCAL row_security = off; SET LOCAL timezone = 'UTC'; \
         SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; SET LOCAL bytea_output = hex; \
         SET LOCAL extra_float_digits = 1; SET LOCAL lock_timeout = '500ms'; \
         SET LOCAL statement_timeout = '{}ms'; \
         SET LOCAL idle_in_transaction_session_timeout = '{}ms'; SELECT {}",
        limit.as_millis(),
        limit.as_millis(),
        server_names_first(true),
    )
}

/// Begins a transaction that sees one state of the database and can change nothing. Compiling its expressions
/// anew for every leaf costs more time and memory than it saves.
pub const BEGIN_SNAPSHOT: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL jit = off";

/// Lets go of the transaction's snapshot, and of its locks.
pub(super) const END_SNAPSHOT: &str = "COMMIT";

/// Names the transaction's snapshot, so that other connections can take it too.
pub const EXPORT_SNAPSHOT: &str = "SELECT pg_export_snapshot()";

/// Whether the server replays another's log, how far it has come, and when what it replayed last
/// was committed.
pub(super) const REPLAY_POSITION: &str = "
SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()::text
 WHERE pg_is_in_recovery()";

/// Whether the role may ask for [`SYSTEM_IDENTIFIER`].
pub(super) const MAY_ASK_IDENTIFIER: &str =
    "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')";

/// The number a cluster was given when it was made; its physical copies, replicas among them, have
/// the same.
pub(super) const SYSTEM_IDENTIFIER: &str =
    "SELECT system_identifier::text FROM pg_control_system()";

/// Where the server listens on this machine (if it does not tell, the usual places), and what tells the session at hand from any other.
pub(super) const THIS_SESSION: &str = "
SELECT coalesce((SELECT setting FROM pg_settings WHERE name = 'unix_socket_directories'),
                '/var/run/postgresql, /tmp'),
       current_setting('port'), pid, backend_start::text
  FROM pg_stat_activity
 WHERE pid = pg_backend_pid()";

/// Whether the server has a certain session.
pub(super) const KNOWS_SESSION: &str = "
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2)";

/// A text of 2 MiB, to see how fast it comes.
pub(super) const WIRE_PROBE: &str = "SELECT repeat('probe of the wire', 123362)";

/// Takes a snapshot that another transaction exported.
pub fn set_snapshot(id: &str) -> String {
    format!("SET TRANSACTION SNAPSHOT '{}'", id.replace('\'', "''"))
}

/// What tells the session at hand from any other.
pub(super) const OWN_SESSION: &str =
    "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Whether anybody else waits for one of the sessions `$1`. Who waits is asked first, because asking for whom
/// holds up the whole lock table.
pub(super) const WAITED_FOR: &str = "
SELECT EXISTS (SELECT FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted OFFSET 0) AS w
                WHERE w.pid <> ALL ($1) AND pg_blocking_pids(w.pid) && $1)";

/// Cancels what the sessions `$1`, which began at `$2`, are doing.
pub(super) const CANCEL: &str = "
SELECT pg_cancel_backend(a.pid)
  FROM unnest($1::int[], $2::text[]) AS ours (pid, began)
  JOIN pg_stat_activity AS a ON a.pid = ours.pid AND a.backend_start::text = ours.began";

/// Ends them.
pub(super) const END: &str = "
SELECT pg_terminate_backend(a.pid)
  FROM unnest($1::int[], $2::text[]) AS ours (pid, began)
  JOIN pg_stat_activity AS a ON a.pid = ours.pid AND a.backend_start::text = ours.began";

/// Rows that are dead and still there, as far as the statistics know.
pub(super) const DEAD_ROWS: &str =
    "SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables";

/// Begins a part of a transaction whose locks can be let go before the transaction ends.
pub(super) const BEGIN_PART: &str = "SAVEPOINT cutover_part";
/// Ends it and lets go of its locks; the snapshot stays.
pub(super) const END_PART: &str =
    "ROLLBACK TO SAVEPOINT cutover_part; RELEASE SAVEPOINT cutover_part";

/// One table by schema and name.
pub const TABLE: &str = "
SELECT c.oid::bigint AS oid, c.relkind::text AS kind, c.relrowsecurity AS row_security,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       c.relhassubclass AND c.relkind = 'r' AS inherited,
       p.partstrat::text AS strategy,
       ARRAY(SELECT a.attname::text
               FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (attnum, nth)
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
              ORDER BY k.nth) AS partition_columns
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid
 WHERE n.nspname = $1 AND c.relname = $2";

/// The tables of a schema, for a message about one that is not there.
pub const TABLES_OF_SCHEMA: &str = "
SELECT c.relname::text
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 ORDER BY c.relname LIMIT 20";

/// The live columns of a table, by position. One that is NOT NULL for new rows only (NOT VALID) may hold NULL.
pub const COLUMNS: &str = "
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type_name,
       a.atttypid::bigint AS type_oid, format('%I.%I', tn.nspname, t.typname) AS bare_type,
       a.attnotnull AND NOT EXISTS (
           SELECT FROM pg_constraint k
            WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated
              AND a.attnum = ANY (k.conkey)) AS not_null,
       a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       form.has_binary_form, form.has_one_form,
       pg_get_expr(d.adbin, d.adrelid) AS default_value,
       CASE WHEN a.attcollation <> 0 THEN a.attcollation::regcollation::text END AS collation,
       pg_get_serial_sequence($2, a.attname) AS sequence
  FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_namespace tn ON tn.oid = t.typnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 CROSS JOIN LATERAL (
       WITH RECURSIVE made_of (oid) AS (
            SELECT t.oid
             UNION
            SELECT part.oid
              FROM made_of JOIN pg_type AS m ON m.oid = made_of.oid
             CROSS JOIN LATERAL (
                   SELECT m.typelem WHERE m.typcategory = 'A' AND m.typelem <> 0
                    UNION ALL SELECT m.typbasetype WHERE m.typbasetype <> 0
                    UNION ALL SELECT rngsubtype FROM pg_range WHERE m.oid IN (rngtypid, rngmultitypid)
                    UNION ALL SELECT atttypid FROM pg_attribute
                               WHERE attrelid = m.typrelid AND attnum > 0 AND NOT attisdropped) AS part (oid))
       SELECT bool_and(m.typsend::oid <> 0) AS has_binary_form,
              NOT bool_or(m.typcategory IN ('A', 'G') OR m.oid IN ('real'::regtype, 'float8'::regtype)
                          OR m.typtype = 'b' AND m.typnamespace <> 'pg_catalog'::regnamespace) AS has_one_form
         FROM made_of JOIN pg_type AS m ON m.oid = made_of.oid) AS form
 WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum";

/// A table and everything below it, with the distance to it.
const TREE: &str = "
WITH RECURSIVE tree (relid, level) AS (
     SELECT $1::bigint::oid, 0
      UNION ALL
     SELECT i.inhrelid, tree.level + 1
       FROM tree
       JOIN pg_inherits i ON i.inhparent = tree.relid
       JOIN pg_class c ON c.oid = i.inhrelid
      WHERE c.relispartition AND NOT i.inhdetachpending)";

/// A query over `tree` (`relid`, `level`): the table with the object identifier `$1` and all its partitions.
///
/// Not `pg_partition_tree`, which keeps a lock on each of them until the transaction ends: ten thousand leaves
/// would take a server's whole lock table.
pub fn of_tree(query: &str) -> String {
    format!("{TREE}{query}")
}

/// The relations that hold a table's rows: its leaves, or the table itself; with how many partitioned tables
/// each is below.
pub const LEAVES: &str = "
SELECT c.oid::bigint, tree.level
  FROM tree JOIN pg_class c ON c.oid = tree.relid
 WHERE c.relkind <> 'p'";

/// What is to be known of leaves; each is locked until the statement ends.
pub const LEAF_DETAILS: &str = "
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name,
       c.oid::regclass::text AS display, c.relkind::text AS kind,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       greatest(c.reltuples, 0)::float8 AS rows_estimate,
       coalesce(pg_relation_filenode(c.oid), 0)::bigint AS file,
       CASE WHEN c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap')
            THEN pg_relation_size(c.oid) / current_setting('block_size')::bigint END AS heap_blocks,
       coalesce(pg_get_expr(c.relpartbound, c.oid), '') AS bound,
       pg_get_partition_constraintdef(c.oid) AS partition_constraint,
       (SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition) AS parent
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid::bigint = ANY($1)";

/// The partitioned tables of a tree, the root first.
pub const LEVELS: &str = "
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name,
       (SELECT i.inhparent::bigint FROM pg_inherits i
         WHERE i.inhrelid = c.oid AND c.oid <> $1::bigint::oid) AS parent,
       p.partstrat::text AS strategy,
       ARRAY(SELECT a.attname::text
               FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (attnum, nth)
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
              ORDER BY k.nth) AS columns,
       (SELECT count(*) FROM unnest(p.partattrs::int2[]) AS k WHERE k = 0) AS expressions,
       pg_get_expr(p.partexprs, c.oid) AS expression,
       ARRAY(SELECT a.attname::text
               FROM pg_depend d
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid > 0
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = 0
                AND d.deptype = 'i'
              ORDER BY a.attnum) AS looks_at,
       pg_get_expr(c.relpartbound, c.oid) AS bound,
       ARRAY(SELECT pg_get_expr(b.relpartbound, b.oid)
               FROM pg_inherits i JOIN pg_class b ON b.oid = i.inhrelid
              WHERE i.inhparent = c.oid AND NOT i.inhdetachpending) AS child_bounds
  FROM tree
  JOIN pg_class c ON c.oid = tree.relid
  JOIN pg_partitioned_table p ON p.partrelid = c.oid
 ORDER BY tree.level, c.relname";

/// The triggers of a table that people made, with what their functions say.
pub const TRIGGERS: &str = "
SELECT t.tgname::text AS name, t.tgenabled::text AS enabled, t.tgtype::int AS kind,
       t.tgqual IS NOT NULL AS conditional, p.oid::regproc::text AS function, p.prosrc AS source,
       ARRAY(SELECT a.attname::text FROM unnest(t.tgattr::int2[]) AS k (attnum)
               JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = k.attnum
              ORDER BY a.attnum) AS columns
  FROM pg_trigger t
  JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1::bigint::oid AND NOT t.tgisinternal
 ORDER BY t.tgname";

/// For each table of `$1` the state of its trigger of `$2`, in their order; NULL if it is not there.
pub(super) const TRIGGER_STATES: &str = "
SELECT (SELECT t.tgenabled::text FROM pg_catalog.pg_trigger t
         WHERE t.tgrelid = to_regclass(named.legacy) AND t.tgname = named.trigger)
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS named (legacy, trigger, nth)
 ORDER BY nth";

/// The indexes of a table, and the invalid ones of everything below it.
pub const INDEXES: &str = "
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS on_table,
       i.indisvalid AND i.indisready AS valid,
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AS is_unique,
       i.indrelid = $1::bigint::oid AS direct,
       ARRAY(SELECT a.attname::text
               FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k (attnum)
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) AS columns
  FROM pg_index i
 WHERE i.indrelid = $1::bigint::oid
    OR NOT (i.indisvalid AND i.indisready) AND i.indrelid IN (SELECT relid FROM tree)
 ORDER BY 1";

/// Every table outside the system's own schemas that is no partition.
pub const ALL_TABLES: &str = "
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              ORDER BY a.attnum) AS columns
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
   AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
 ORDER BY 1, 2";

/// The tables after which `pg_partman`'s configuration has partitions made.
pub(super) fn templates(part_config: &QualifiedName) -> String {
    format!(
        "SELECT DISTINCT template_table::text FROM {part_config} WHERE template_table IS NOT NULL"
    )
}

/// The foreign keys of a table.
pub const FOREIGN_KEYS: &str = "
SELECT ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, nth)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
              ORDER BY u.nth) AS columns,
       n.nspname::text AS schema, r.relname::text AS name,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, nth)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum
              ORDER BY u.nth) AS referred
  FROM pg_constraint k
  JOIN pg_class r ON r.oid = k.confrelid
  JOIN pg_namespace n ON n.oid = r.relnamespace
 WHERE k.conrelid = $1::bigint::oid AND k.contype = 'f'
 ORDER BY k.conname";

/// The columns of a table that take one of a few texts.
pub const CHOICES: &str = "
SELECT a.attname::text AS \"column\",
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = a.atttypid
              ORDER BY e.enumsortorder) AS labels,
       (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
         WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
         ORDER BY k.conname LIMIT 1) AS condition
  FROM pg_attribute a
 WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum";

/// The rows of a query, each as one JSON object.
pub fn as_json(query: &str) -> String {
    format!("SELECT to_jsonb(q)::text FROM ({query}) AS q")
}

/// The server's version as it states it.
pub(super) const SERVER_VERSION: &str = "SELECT version()";

/// Whether no ordinary or partitioned table stands outside the system's own schemas.
pub(super) const IS_EMPTY: &str = "
    SELECT NOT EXISTS (
        SELECT 1
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND n.nspname NOT LIKE 'pg\\_toast%'
           AND n.nspname NOT LIKE 'pg\\_temp%')";
