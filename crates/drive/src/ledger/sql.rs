//! The statements that look up what was written. They only read.

use cutover_ground::pg::{QualifiedName, quote_ident};

/// One state of the database for everything that is looked up.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(super) const END: &str = "ROLLBACK";

/// What looking up may cost: of all rows after the load, of some while it runs.
pub(super) const AFTER_LOAD_TIMEOUT_SQL: &str = "SET statement_timeout = '300s'; \
     SET application_name = 'cutover ledger'; SET default_transaction_read_only = on";
pub(super) const UNDER_LOAD_TIMEOUT_SQL: &str = "SET statement_timeout = '900ms'; SET lock_timeout = '100ms'; \
     SET application_name = 'cutover watch'; SET default_transaction_read_only = on";

/// Texts as a type prints them: `$1` the texts.
pub(super) fn as_printed(type_name: &str) -> String {
    format!(
        "SELECT (v.t)::{type_name}::text FROM unnest($1::text[]) WITH ORDINALITY AS v (t, n) \
         ORDER BY v.n"
    )
}

/// The rows whose `conditions` (column and type) hold one of the lists `$1`, `$2`, … of texts: the
/// place in the lists, then the `columns` as texts.
pub(super) fn rows_where(
    table: &QualifiedName,
    conditions: &[(&str, &str)],
    columns: &[&str],
) -> String {
    let column = |name: &&str| format!("t.{}::text", quote_ident(name));
    let columns: Vec<String> = columns.iter().map(column).collect();
    let lists: Vec<String> = (1..=conditions.len()).map(|n| format!("${n}::text[]")).collect();
    let names: Vec<String> = (1..=conditions.len()).map(|n| format!("k{n}")).collect();
    let holds = |(at, (name, type_name)): (usize, &(&str, &str))| {
        format!("t.{} = (w.k{})::{type_name}", quote_ident(name), at + 1)
    };
    let conditions: Vec<String> = conditions.iter().enumerate().map(holds).collect();
    format!(
        "SELECT w.n, ARRAY[{}]::text[] FROM unnest({}) WITH ORDINALITY AS w ({}, n) \
         JOIN {table} AS t ON {}",
        columns.join(", "),
        lists.join(", "),
        names.join(", "),
        conditions.join(" AND ")
    )
}
