//! Every statement of this act.

use super::plan::Table;
use crate::pg::{QualifiedName, quote_ident};

/// Two seed runs are kept apart, and shards together, by a lock on this number ("cutoseed").
pub const RUN_LOCK: i64 = 0x6375_746f_7365_6564;
/// Held while one run sets up, so that shards that start together do not do it twice.
pub const SETUP_LOCK: i64 = RUN_LOCK + 1;

/// Alone at work: true where nobody else is.
pub const LOCK_ALONE: &str = "SELECT pg_try_advisory_lock($1)";
/// At work with other shards: waits while one of them puts things back.
pub const LOCK_SHARED: &str = "SELECT pg_try_advisory_lock_shared($1)";
/// Ends [`LOCK_SHARED`].
pub const UNLOCK_SHARED: &str = "SELECT pg_advisory_unlock_shared($1)";
/// Waits until no other run sets up. Not within the transaction, whose snapshot would be older.
pub const LOCK_SETUP: &str = "SELECT pg_advisory_lock($1)";
/// Ends [`LOCK_SETUP`].
pub const UNLOCK_SETUP: &str = "SELECT pg_advisory_unlock($1)";
/// Begins a transaction that sees one snapshot throughout.
pub const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";

/// Loading needs no flush per commit: rows and ledger are lost together or not at all.
pub const LOADER_SESSION: &str =
    "SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0";
/// Several sessions build at once, so each builds alone.
pub const BUILDER_SESSION: &str = "SET maintenance_work_mem = '256MB'; \
     SET max_parallel_maintenance_workers = 0; SET statement_timeout = 0; SET lock_timeout = 0";

/// The state of a run; it stays behind as the record of what was seeded.
pub const CREATE_STATE: &str = "
    CREATE SCHEMA IF NOT EXISTS cutover_seed;
    CREATE TABLE IF NOT EXISTS cutover_seed.run (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        record text NOT NULL
    );
    CREATE TABLE IF NOT EXISTS cutover_seed.chunk (
        first_org bigint PRIMARY KEY,
        totals text NOT NULL
    );
    CREATE TABLE IF NOT EXISTS cutover_seed.aside (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stage integer NOT NULL,
        statement text NOT NULL
    )";
/// Whether there is state at all.
pub const HAS_STATE: &str = "SELECT to_regclass('cutover_seed.run') IS NOT NULL";
/// The parameters of the recorded run.
pub const READ_RUN: &str = "SELECT record FROM cutover_seed.run";
/// Replaces the recorded run.
pub const WRITE_RUN: &str = "INSERT INTO cutover_seed.run (record) VALUES ($1)
     ON CONFLICT (single) DO UPDATE SET record = EXCLUDED.record";
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

/// Tables and all their partitions, as `tree(rel)`.
const TREE: &str = "WITH RECURSIVE tree(rel) AS (
        SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name
        UNION
        SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.rel
    )";

/// Triggers of ours to silence: table, name, and the state to give back.
pub fn triggers() -> String {
    format!(
        "{TREE} SELECT format('%I.%I', n.nspname, c.relname), quote_ident(t.tgname), t.tgenabled::text
           FROM tree
           JOIN pg_trigger t ON t.tgrelid = tree.rel
           JOIN pg_class c ON c.oid = t.tgrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
          ORDER BY 1, 2"
    )
}

/// Foreign keys that start at our tables: table, name, definition.
pub fn foreign_keys() -> String {
    format!(
        "{TREE} SELECT format('%I.%I', n.nspname, c.relname), quote_ident(k.conname),
                pg_get_constraintdef(k.oid)
           FROM tree
           JOIN pg_constraint k ON k.conrelid = tree.rel AND k.contype = 'f' AND k.conparentid = 0
           JOIN pg_class c ON c.oid = k.conrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
          ORDER BY 1, 2"
    )
}

/// Indexes of our tables that may be dropped and built again.
///
/// A tree of indexes (a partitioned one with its leaves) stays where any of them is what something
/// else leans on: a foreign key from outside, the replica identity, a clustering, an exclusion
/// constraint, a comment, or where it is not valid as it stands.
pub fn indexes() -> String {
    format!(
        "{TREE}, facts AS (
        SELECT i.indexrelid, i.indrelid, COALESCE(pg_partition_root(i.indexrelid), i.indexrelid) AS root,
               k.oid AS constraint_oid, k.conname, k.contype,
               i.indisreplident OR i.indisclustered OR i.indisexclusion OR NOT i.indisvalid
               OR obj_description(i.indexrelid, 'pg_class') IS NOT NULL
               OR COALESCE(k.contype NOT IN ('p', 'u'), false)
               OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f'
                             AND f.conindid = i.indexrelid
                             AND f.conrelid NOT IN (SELECT rel FROM tree)) AS stays
          FROM tree
          JOIN pg_index i ON i.indrelid = tree.rel
          LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
                                   AND k.contype IN ('p', 'u', 'x')
    )
    SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', xn.nspname, x.relname),
           quote_ident(x.relname), x.relkind = 'I', pg_get_indexdef(f.indexrelid),
           quote_ident(f.conname), pg_get_constraintdef(f.constraint_oid), f.contype::text,
           (SELECT format('%I.%I', pn.nspname, p.relname)
              FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
              JOIN pg_namespace pn ON pn.oid = p.relnamespace
             WHERE h.inhrelid = f.indexrelid)
      FROM facts f
      JOIN pg_class c ON c.oid = f.indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class x ON x.oid = f.indexrelid
      JOIN pg_namespace xn ON xn.oid = x.relnamespace
     WHERE f.root NOT IN (SELECT root FROM facts WHERE stays)
     ORDER BY (SELECT count(*) FROM pg_inherits h WHERE h.inhrelid = f.indexrelid), x.relname"
    )
}

/// Sequences that number columns of our tables: sequence, table, column.
pub fn sequences() -> String {
    format!(
        "{TREE} SELECT format('%I.%I', sn.nspname, s.relname), format('%I.%I', n.nspname, c.relname),
                quote_ident(a.attname)
           FROM tree
           JOIN pg_depend d ON d.refobjid = tree.rel AND d.refclassid = 'pg_class'::regclass
                AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
           JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
           JOIN pg_namespace sn ON sn.oid = s.relnamespace
           JOIN pg_class c ON c.oid = tree.rel
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_attribute a ON a.attrelid = tree.rel AND a.attnum = d.refobjsubid
          ORDER BY 1"
    )
}

/// Leaves and plain tables, largest first.
pub fn leaves() -> String {
    format!(
        "{TREE} SELECT format('%I.%I', n.nspname, c.relname)
           FROM tree
           JOIN pg_class c ON c.oid = tree.rel AND c.relkind = 'r'
           JOIN pg_namespace n ON n.oid = c.relnamespace
          ORDER BY pg_relation_size(c.oid) DESC"
    )
}

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
    let word = match state {
        "A" => "ENABLE ALWAYS",
        "R" => "ENABLE REPLICA",
        _ => "ENABLE",
    };
    format!("ALTER TABLE ONLY {table} {word} TRIGGER {trigger}")
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
pub fn analyze(table: &QualifiedName) -> String {
    format!("ANALYZE {table}")
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

/// The largest org of a table.
pub fn largest_org(table: &QualifiedName, column: &str) -> String {
    format!("SELECT max({})::bigint FROM {table}", quote_ident(column))
}

/// The COPY statement of one side of a table.
pub fn copy(table: &Table, side: &QualifiedName) -> String {
    let twin = table.partitioned.as_ref() == Some(side);
    let names = table.columns.iter().map(|c| if twin { &c.partitioned } else { &c.name });
    let columns: Vec<String> = names.map(|name| quote_ident(name)).collect();
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
