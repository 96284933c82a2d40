//! Every statement of this act.

use super::plan::Table;
use cutover_evidence::trigger::TriggerState;
use cutover_ground::pg::{QualifiedName, quote_ident};

/// Whole runs are kept apart, and shards together, by a lock on this number ("cutoseed").
pub const RUN_LOCK: i64 = 0x6375_746f_7365_6564;
/// Held while one run sets up, so that shards that start together do not do it twice.
pub const SETUP_LOCK: i64 = RUN_LOCK + 1;
/// Plus the shard's number: held by every connection that loads it, also by one whose client was
/// killed and which the server has not ended yet.
pub const LOADER_LOCK: i64 = RUN_LOCK + 2;

/// Alone at work: true if nobody else is.
pub const LOCK_ALONE: &str = "SELECT pg_try_advisory_lock($1)";
/// Several at work at once.
pub const LOCK_SHARED: &str = "SELECT pg_try_advisory_lock_shared($1)";
/// Ends [`LOCK_SHARED`].
pub const UNLOCK_SHARED: &str = "SELECT pg_advisory_unlock_shared($1)";
/// Ends [`LOCK_ALONE`].
pub const UNLOCK_ALONE: &str = "SELECT pg_advisory_unlock($1)";
/// Begins a transaction that sees one snapshot throughout.
pub const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

/// The largest size the write-ahead log may have between checkpoints, in megabytes.
pub const WAL_LIMIT_MB: &str =
    "SELECT setting::bigint FROM pg_settings WHERE name = 'max_wal_size'";
/// Where the server keeps its data; NULL if this user may not know.
pub const DATA_FOLDER: &str = "SELECT current_setting('data_directory', true)";
/// Whether the server is a local rig, which says so in its configuration.
pub const IS_RIG: &str = "SELECT coalesce(current_setting('cutover.rig', true), '') = 'on'";
/// The name of the database.
pub const DATABASE_NAME: &str = "SELECT current_database()::text";

/// Loading needs no flush per commit: rows and ledger are lost together or not at all.
pub const LOADER_SESSION: &str =
    "SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0";
/// Several sessions build at once, so each builds alone.
pub const BUILDER_SESSION: &str = "SET maintenance_work_mem = '256MB'; \
     SET synchronous_commit = off; SET client_connection_check_interval = '1s'; \
     SET max_parallel_maintenance_workers = 0; SET statement_timeout = 0; SET lock_timeout = 0";

/// The state of a run; it stays behind as the record of what was seeded.
///
/// Whoever compares the tables may ask whether they are whole.
pub const CREATE_STATE: &str = "
    CREATE SCHEMA IF NOT EXISTS cutover_seed;
    CREATE TABLE IF NOT EXISTS cutover_seed.run (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        record text NOT NULL,
        finished boolean NOT NULL DEFAULT false
    );
    CREATE TABLE IF NOT EXISTS cutover_seed.chunk (
        first_org bigint PRIMARY KEY,
        totals text NOT NULL
    );
    CREATE TABLE IF NOT EXISTS cutover_seed.aside (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stage integer NOT NULL,
        statement text NOT NULL
    );
    GRANT USAGE ON SCHEMA cutover_seed TO PUBLIC;
    GRANT SELECT ON cutover_seed.run TO PUBLIC";
/// Whether there is state at all.
pub const HAS_STATE: &str = "SELECT to_regclass('cutover_seed.run') IS NOT NULL";
/// The parameters of the recorded run.
pub const READ_RUN: &str = "SELECT record FROM cutover_seed.run";
/// Replaces the recorded run.
pub const WRITE_RUN: &str = "INSERT INTO cutover_seed.run (record) VALUES ($1)
     ON CONFLICT (single) DO UPDATE SET record = EXCLUDED.record";
/// Whether the recorded run came to its end; true if there is none.
pub const IS_FINISHED: &str = "SELECT coalesce(bool_and(finished), true) FROM cutover_seed.run";
/// From here on the tables are not whole.
pub const UNFINISH_RUN: &str = "UPDATE cutover_seed.run SET finished = false";
/// They are, if every chunk (`$1` is how many there are) is loaded and everything is back.
pub const FINISH_RUN: &str = "UPDATE cutover_seed.run
     SET finished = (SELECT count(*) = $1 FROM cutover_seed.chunk)
                AND NOT EXISTS (SELECT FROM cutover_seed.aside)";
/// What has been loaded.
pub const READ_CHUNKS: &str = "SELECT first_org, totals FROM cutover_seed.chunk";
/// One more chunk is loaded; in the transaction of its rows.
pub const WRITE_CHUNK: &str = "INSERT INTO cutover_seed.chunk (first_org, totals) VALUES ($1, $2)";
/// Nothing has been loaded.
pub const CLEAR_CHUNKS: &str = "DELETE FROM cutover_seed.chunk";

/// Notes how something is put back; in the transaction that puts it aside.
pub const WRITE_ASIDE: &str = "INSERT INTO cutover_seed.aside (stage, statement) VALUES ($1, $2)";
/// What is still to be put back, stage by stage.
pub const READ_ASIDE: &str =
    "SELECT id, stage, statement FROM cutover_seed.aside ORDER BY stage, id";
/// It is back; in the transaction that put it back.
pub const CLEAR_ASIDE: &str = "DELETE FROM cutover_seed.aside WHERE id = $1";

/// The columns of a table, with domains resolved to the type beneath.
pub const COLUMNS: &str = "
    SELECT a.attname::text, base.typname::text, base.typcategory::text AS category,
           a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '',
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END
      FROM pg_attribute a
      JOIN pg_type t ON t.oid = a.atttypid
      JOIN pg_type base ON base.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum";
/// The one column a table is partitioned by, and its leaves' conditions; no row for other tables.
pub const PARTITIONS: &str = "
    SELECT a.attname::text,
           ARRAY(SELECT pg_get_partition_constraintdef(leaf.relid)
                   FROM pg_partition_tree(p.partrelid) leaf WHERE leaf.isleaf)
      FROM pg_partitioned_table p
      JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
     WHERE p.partrelid = to_regclass($1) AND p.partnatts = 1";

/// See the file; `$1` are our tables, of which it sees the partitions too.
pub const TRIGGERS: &str = include_str!("queries/triggers.sql");

/// See the file; `$1` are our tables, of which it sees the partitions too.
pub const FOREIGN_KEYS: &str = include_str!("queries/foreign_keys.sql");

/// See the file; `$1` are our tables, of which it sees the partitions too.
pub const INDEXES: &str = include_str!("queries/indexes.sql");

/// See the file; `$1` are our tables, of which it sees the partitions too.
pub const SEQUENCES: &str = include_str!("queries/sequences.sql");

/// See the file; `$1` are our tables, of which it sees the partitions too.
pub const LEAVES: &str = include_str!("queries/leaves.sql");

/// Puts a sequence behind what stands in its column, never back.
pub fn advance_sequence(sequence: &str, table: &str, column: &str) -> String {
    format!(
        "SELECT setval('{}', greatest(max({column}), (SELECT last_value FROM {sequence})))
           FROM {table} HAVING max({column}) IS NOT NULL",
        sequence.replace('\'', "''")
    )
}

/// Silences a trigger.
pub fn disable_trigger(table: &str, trigger: &str) -> String {
    format!("ALTER TABLE ONLY {table} DISABLE TRIGGER {trigger}")
}

/// Gives a trigger the state back that it had (`O`, `A` or `R` of `pg_trigger.tgenabled`).
pub fn enable_trigger(table: &str, trigger: &str, state: &str) -> String {
    let clause = TriggerState::of(state).unwrap_or(TriggerState::Origin).clause();
    format!("ALTER TABLE ONLY {table} {clause} TRIGGER {trigger}")
}

/// Drops a constraint.
pub fn drop_constraint(table: &str, name: &str) -> String {
    format!("ALTER TABLE {table} DROP CONSTRAINT {name}")
}

/// Drops an index.
pub fn drop_index(index: &str) -> String {
    format!("DROP INDEX {index}")
}

/// Adds a constraint by its definition.
pub fn add_constraint(table: &str, name: &str, definition: &str) -> String {
    format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
}

/// Adds a constraint to a partitioned table alone; its leaves' are attached to it.
pub fn add_constraint_only(table: &str, name: &str, definition: &str) -> String {
    format!("ALTER TABLE ONLY {table} ADD CONSTRAINT {name} {definition}")
}

/// Makes a unique index, built before, a primary key or unique constraint.
pub fn constraint_from_index(
    table: &str,
    name: &str,
    index: &str,
    kind: &str,
    tail: &str,
) -> String {
    let word = if kind == "p" { "PRIMARY KEY" } else { "UNIQUE" };
    format!("ALTER TABLE ONLY {table} ADD CONSTRAINT {name} {word} USING INDEX {index}{tail}")
}

/// Makes an index part of a partitioned one.
pub fn attach_index(parent: &str, child: &str) -> String {
    format!("ALTER INDEX {parent} ATTACH PARTITION {child}")
}

/// Sets hint bits and the visibility map, so that the next reader need not write.
pub fn vacuum(table: &str) -> String {
    format!("VACUUM (INDEX_CLEANUP OFF) {table}")
}

/// Statistics of a table and its partitions.
///
/// PostgreSQL takes as many rows of each partition as of a whole table, and its time goes into them.
/// A tenth of that still looks closer at a partition than at the legacy table.
pub fn analyze(table: &QualifiedName) -> String {
    let literal = table.to_string().replace('\'', "''");
    format!(
        "SELECT set_config(name, least(setting::integer, greatest(setting::integer / 10, 10))::text, true)
           FROM pg_settings, pg_class
          WHERE name = 'default_statistics_target'
            AND pg_class.oid = '{literal}'::regclass AND relkind = 'p';
         ANALYZE {table}"
    )
}

/// Empties tables in one statement, so that foreign keys among them are no obstacle.
pub fn truncate(tables: &[String]) -> String {
    format!("TRUNCATE {}", tables.join(", "))
}

/// Whether a table has any row.
pub fn has_rows(table: &QualifiedName) -> String {
    format!("SELECT EXISTS (SELECT FROM {table})")
}

/// How many rows a table has.
pub fn count(table: &QualifiedName) -> String {
    format!("SELECT count(*) FROM {table}")
}

/// How many rows a table has from an org on; all of them if no column says whose they are.
pub fn count_from(table: &QualifiedName, column: Option<&str>, first_org: u64) -> String {
    match column {
        Some(column) => format!("{} WHERE {} >= {first_org}", count(table), quote_ident(column)),
        None => count(table),
    }
}

/// The largest org of a table.
pub fn largest_org(table: &QualifiedName, column: &str) -> String {
    format!("SELECT max({})::bigint FROM {table}", quote_ident(column))
}

/// The COPY statement of one side of a table.
pub fn copy(table: &Table, side: &QualifiedName) -> String {
    let names = table.columns.iter().map(|column| table.name_on(side, column));
    let columns: Vec<String> = names.map(quote_ident).collect();
    format!("COPY {side} ({}) FROM STDIN (FORMAT binary)", columns.join(", "))
}

/// The first value that no leaf takes; `values` is a query with one column.
pub fn outside_every_partition(column: &str, values: &str, conditions: &[String]) -> String {
    let any = conditions.join(") OR (");
    let column = quote_ident(column);
    format!(
        "SELECT {column}::text FROM ({values}) AS candidate({column})
          WHERE (({any})) IS NOT TRUE ORDER BY {column} LIMIT 1"
    )
}

/// Both ends of each day from `first` to `last`, in the column's type.
pub fn each_day(first: chrono::NaiveDate, last: chrono::NaiveDate, column_type: &str) -> String {
    format!(
        "SELECT (day + shift)::{column_type}
           FROM generate_series('{first}'::timestamp, '{last}'::timestamp, '1 day') AS day,
                (VALUES (interval '0'), (interval '1 day' - interval '1 microsecond')) AS s(shift)"
    )
}

/// At most ten thousand orgs, spread over all of them.
pub fn some_orgs(orgs: &std::ops::Range<u64>, column_type: &str) -> String {
    let step = ((orgs.end - orgs.start) / 10_000).max(1);
    let (first, last) = (orgs.start, orgs.end - 1);
    format!(
        "SELECT org::{column_type} FROM generate_series({first}::bigint, {last}, {step}) AS org"
    )
}
