//! The statements that ask which partition will take a row.

use cutover_ground::pg::catalog::Leaf;
use cutover_ground::pg::quote_ident;

/// Rows that are looked at in each relation.
const ROWS: u32 = 5;

/// How much of a value is read.
const LENGTH: u32 = 200;

/// The server's time, in seconds since 1970.
pub(super) const NOW: &str = "SELECT extract(epoch FROM now())::bigint";

/// What a relation takes that inherits from `$1` without being a partition: its CHECKs, and their columns.
pub(super) const INHERITED: &str = "
WITH RECURSIVE below (oid) AS (
     SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = $1::bigint::oid
      UNION
     SELECT i.inhrelid FROM below JOIN pg_inherits AS i ON i.inhparent = below.oid)
SELECT below.oid::bigint AS oid, below.oid::regclass::text AS name,
       string_agg(format('(%s)', pg_get_expr(k.conbin, k.conrelid)), ' AND ') AS takes,
       ARRAY(SELECT DISTINCT a.attname::text
               FROM pg_constraint AS c
               JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
              WHERE c.conrelid = below.oid AND c.contype = 'c' AND c.coninhcount = 0) AS columns
  FROM below JOIN pg_constraint AS k ON k.conrelid = below.oid
 WHERE k.contype = 'c' AND k.coninhcount = 0
 GROUP BY below.oid
 ORDER BY below.oid DESC";

/// Whether the extension that made `$1` a hypertable makes a table for each row that needs one; and whether a
/// trigger does, of which nobody knows when.
pub(super) const MAKES_TABLES: &str = "
SELECT coalesce(bool_or(t.tgname = 'ts_insert_blocker'), false),
       coalesce(bool_or(p.prosrc ~* '\\mcreate\\s+table\\M'), false)
  FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1::bigint::oid";

/// Some values of columns, as texts, of each relation; with the table that it is a partition of.
pub(super) fn samples(leaves: &[&Leaf], columns: &[String]) -> String {
    let of_leaf = |leaf: &&Leaf| {
        let from = format!("ONLY {}", leaf.qualified());
        format!("({})", sample(leaf.parent.unwrap_or_default(), &from, columns, ROWS))
    };
    leaves.iter().map(of_leaf).collect::<Vec<_>>().join("\nUNION ALL\n")
}

/// Some values of columns, as texts, of whatever `from` names.
pub(super) fn sample(parent: i64, from: &str, columns: &[String], rows: u32) -> String {
    let texts: Vec<String> =
        columns.iter().map(|name| format!("left({}::text, {LENGTH})", quote_ident(name))).collect();
    format!("SELECT {parent}::bigint, ARRAY[{}]::text[] FROM {from} LIMIT {rows}", texts.join(", "))
}

/// Which of rows to come none of the conditions takes; by their numbers.
///
/// Not `NOT (condition)`, which is NULL for a row that a condition does not know.
pub(super) fn not_taken(
    columns: &[(String, String)],
    rows: &[(i64, Vec<Option<String>>)],
    conditions: &[&str],
) -> String {
    let conditions: Vec<String> = conditions.iter().map(|takes| format!("({takes})")).collect();
    format!(
        "SELECT {NUMBER} FROM {} WHERE CASE WHEN {} THEN false ELSE true END",
        to_come(columns, rows),
        conditions.join(" OR "),
    )
}

/// The first of rows to come, by its number, in which an expression is not as in row 0.
pub(super) fn first_other(
    columns: &[(String, String)],
    rows: &[(i64, Vec<Option<String>>)],
    expression: &str,
) -> String {
    format!(
        "WITH k AS (SELECT {NUMBER} AS n, ROW({expression})::text AS key FROM {})
         SELECT min(n) FROM k WHERE key <> (SELECT key FROM k WHERE n = 0)",
        to_come(columns, rows),
    )
}

/// Rows to come, each with its number; for what follows `FROM`.
fn to_come(columns: &[(String, String)], rows: &[(i64, Vec<Option<String>>)]) -> String {
    let row = |(number, values): &(i64, Vec<Option<String>>)| {
        let value =
            |value: &Option<String>| value.as_deref().map_or("NULL".into(), crate::sql::literal);
        let values: Vec<String> = values.iter().map(value).collect();
        format!("({number}, {})", values.join(", "))
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    let fields: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let typed = columns.iter().enumerate().map(|(at, (name, type_name))| {
        format!("v.c{at}::text::{type_name} AS {}", quote_ident(name))
    });
    format!(
        "(SELECT v.n::bigint AS {NUMBER}, {} FROM (VALUES {}) AS v (n, {}) OFFSET 0) AS r",
        typed.collect::<Vec<_>>().join(", "),
        rows.join(", "),
        fields.join(", "),
    )
}

/// A row's number; a name that no column is likely to bear.
const NUMBER: &str = "\"the number\"";

/// A number that follows the largest of a column.
pub(super) fn next_number(table: &str, column: &str) -> String {
    let name = quote_ident(column);
    format!("SELECT (max({name})::numeric + 1)::text FROM {table}")
}

/// Whether a relation holds a row.
pub(super) fn any_row(name: &str) -> String {
    format!("SELECT 1 FROM {name} LIMIT 1")
}
