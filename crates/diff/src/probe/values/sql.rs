//! Values to try, as expressions.

use crate::probe::sql::{is_key, own};
use crate::probe::target::Target;
use crate::sql::{literal, sortable_of};
use cutover_ground::pg::catalog::{Column, Leaf};
use cutover_ground::pg::quote_ident;

/// Values that one type or another accepts, unlikely to be refused for standing there already. Each is the same
/// wherever a statement of the session has it: what was accepted once is accepted again.
const LITERALS: [&str; 16] = [
    "current_date::text",
    "(current_date + 1)::text",
    "'1'",
    "'2'",
    "'true'",
    "'false'",
    "md5(pg_backend_pid()::text)",
    "md5('x' || pg_backend_pid()::text)",
    "'x'",
    "'y'",
    "'{}'",
    "'{\"a\": 1}'",
    "'<a/>'",
    "'empty'",
    "'10.9.8.7'",
    "'1 day'",
];

/// Values beyond what partitions usually take.
const FAR_LITERALS: [&str; 5] =
    ["'infinity'", "'5874000-01-01'", "'9223372036854775807'", "'2147483647'", "'cutover, far'"];

/// Expressions to try for a column, those first that the table is most likely to accept: the value of another
/// row heeds every CHECK and foreign key; if values must be unique, one beyond those in use.
pub(in crate::probe) fn values(target: &Target<'_>, column: &Column) -> Vec<String> {
    if target.part.name.is_some() && target.divides(column) {
        // With any other the row would move to where other triggers fire.
        return values_elsewhere(target, column);
    }
    let (table, name, own) = (target.table(), quote_ident(&column.name), own(&column.name));
    // Why the first is refused is told: it should be one that the type takes.
    let (hashes, others): (Vec<&str>, Vec<&str>) =
        LITERALS.iter().partition(|v| v.starts_with("md5"));
    let literals = match column.bare_type == "pg_catalog.uuid" {
        true => [hashes, others].concat(),
        false => LITERALS.to_vec(),
    };
    let literals = literals.into_iter().map(|value| of_type(column, value));
    let unique = is_key(target, column) || target.leads_unique(&column.name);
    let is_number = column.is_integer() || column.type_name.starts_with("numeric");
    let mut values = Vec::new();
    if unique && is_number {
        values.push(format!("(SELECT least(min({name}), 0) - 1 FROM {table})"));
        values.push(format!("(SELECT max({name}) + 1 FROM {table})"));
    } else if unique {
        values.extend(literals.clone());
    }
    values.push(format!(
        "(SELECT o.{name} FROM (SELECT {name} FROM {table} LIMIT 1000) AS o
           WHERE num_nulls(o.{name}) = 0 AND {} IS DISTINCT FROM {} LIMIT 1)",
        sortable_of(&format!("o.{name}")),
        sortable_of(&own),
    ));
    // Of an enum, which refuses whatever is none of its labels; of any other type, nothing.
    values.push(of_type(
        column,
        &format!(
            "SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e
              WHERE e.enumtypid = {}::regtype AND e.enumlabel::text IS DISTINCT FROM {own}::text
              ORDER BY e.enumsortorder LIMIT 1",
            literal(&column.bare_type)
        ),
    ));
    if is_number || !unique {
        values.extend(literals);
    }
    values
}

/// Expressions that no partition takes.
pub(in crate::probe) fn far_values(column: &Column) -> Vec<String> {
    FAR_LITERALS.iter().map(|value| of_type(column, value)).collect()
}

fn of_type(column: &Column, value: &str) -> String {
    format!("({value})::{}", column.bare_type)
}

/// Values that a column has in some partitions, one each: of those whose triggers are tried.
pub(in crate::probe) fn values_elsewhere(target: &Target<'_>, column: &Column) -> Vec<String> {
    let name = quote_ident(&column.name);
    let only = |leaf: &Leaf| format!("ONLY {}", leaf.qualified());
    let relations = match target.part.name {
        Some(_) => target.part.relations.clone(),
        None => target.plan.leaves(target.side).iter().take(ELSEWHERE).map(only).collect(),
    };
    let value = |relation: &String| format!("(SELECT o.{name} FROM {relation} AS o LIMIT 1)");
    relations.iter().take(ELSEWHERE).map(value).collect()
}

/// Partitions in which a value is looked for.
const ELSEWHERE: usize = 8;
