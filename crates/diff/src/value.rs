//! What is compared in the place of a column: its value, whatever type holds it, or an expression.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::sql;
use cutover_error::{Error, Result, foreign};
use cutover_evidence::side::Side;
use cutover_ground::config::{Compare, CompareBy, Expressions, TablePair};
use cutover_ground::pg::catalog::{Column, Table};
use cutover_ground::pg::{failure, is_passing, quote_ident};

/// Types of a family, each of which holds what another does or as much of it as it can.
const FAMILIES: [(Family, &[&str]); 4] = [
    (Family::Number, &["smallint", "integer", "bigint", "numeric", "real", "double precision"]),
    (Family::Text, &["text", "character varying", "character"]),
    (Family::Json, &["json", "jsonb"]),
    (Family::Time, &["date", "timestamp without time zone", "timestamp with time zone"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Number,
    Text,
    Json,
    Time,
}

/// A column's type without its modifier, which may stand in the middle.
fn plain(column: &Column) -> String {
    let (before, rest) = column.type_name.split_once('(').unwrap_or((&column.type_name, ""));
    format!("{before}{}", rest.split_once(')').map_or("", |(_, after)| after))
}

fn family(column: &Column) -> Option<Family> {
    let plain = plain(column);
    let of_it = |(_, types): &&(Family, &[&str])| types.contains(&plain.as_str());
    FAMILIES.iter().find(of_it).map(|(family, _)| *family)
}

/// Whether two columns have unlike types of one family.
pub(super) fn is_cast_alike(from: &Column, to: &Column) -> bool {
    from.type_name != to.type_name && family(from).is_some() && family(from) == family(to)
}

/// What is compared of a column on each side, as expressions for texts; `None` for the column itself.
///
/// # Errors
/// A usage error if the types hold no values that could be equal.
pub(super) fn values(
    pair: &TablePair,
    left: &Column,
    right: &Column,
) -> Result<Option<[String; 2]>> {
    match pair.compare.get(&left.name) {
        None | Some(Compare::By(CompareBy::Exact)) => Ok(None),
        Some(Compare::Expressions(Expressions { legacy, partitioned })) => {
            let of = |expression: &Option<String>, column: &Column| {
                let name = || quote_ident(&column.name);
                format!("({})::text", expression.clone().unwrap_or_else(name))
            };
            Ok(Some([of(legacy, left), of(partitioned, right)]))
        }
        // Of the same type only some have several forms of one value.
        Some(Compare::By(CompareBy::Value))
            if left.type_name == right.type_name
                && (left.is_integer()
                    || !matches!(family(left), Some(Family::Number | Family::Json))) =>
        {
            Ok(None)
        }
        Some(Compare::By(CompareBy::Value)) => {
            let alike = family(left).filter(|family| self::family(right) == Some(*family));
            let Some(family) = alike else {
                return Err(Error::usage(
                    format!(
                        "[[tables]] `{}`: compare: `{}` is {} in legacy and {} in the twin, whose values are of \
                         unlike kinds",
                        pair.name, left.name, left.type_name, right.type_name
                    ),
                    "by value: numbers, texts, json and jsonb, dates and timestamps; or give an expression",
                ));
            };
            let is_float =
                |column: &Column| ["real", "double precision"].contains(&plain(column).as_str());
            let as_float = is_float(left) && is_float(right);
            Ok(Some([left, right].map(|column| {
                let name = quote_ident(&column.name);
                match family {
                    Family::Number if as_float => format!("({name})::float8::text"),
                    // As many digits as tell it from its neighbours; a cast would round to fifteen.
                    Family::Number if is_float(column) => {
                        format!("trim_scale((({name})::text)::numeric)::text")
                    }
                    Family::Number => format!("trim_scale(({name})::numeric)::text"),
                    Family::Text => format!("({name})::text"),
                    Family::Json => format!("({name})::jsonb::text"),
                    Family::Time => format!("({name})::timestamptz::text"),
                }
            })))
        }
    }
}

/// Whether columns of unlike types can be compared by their values.
pub(super) fn are_alike(left: &Column, right: &Column) -> bool {
    family(left).is_some_and(|family| self::family(right) == Some(family))
}

/// The expressions of both sides for a column.
pub(super) fn expressions(pair: &TablePair, column: &str) -> [Option<String>; 2] {
    match pair.compare.get(column) {
        Some(Compare::Expressions(Expressions { legacy, partitioned })) => {
            [legacy.clone(), partitioned.clone()]
        }
        _ => [None, None],
    }
}

/// Asks the server whether the expressions of a pair mean anything, before a row is read.
///
/// # Errors
/// A usage error with what the server says.
pub(super) async fn check_expressions(
    connection: &mut PgConnection,
    pair: &TablePair,
    tables: [&Table; 2],
) -> Result<()> {
    for (column, compare) in &pair.compare {
        let Compare::Expressions(Expressions { legacy, partitioned }) = compare else { continue };
        for (expression, side) in [(legacy, Side::Legacy), (partitioned, Side::Partitioned)] {
            let Some(expression) = expression else { continue };
            let table = &tables[side as usize].name;
            let question = sql::explain_expression(expression, &table.to_string());
            let asked = sqlx::query(AssertSqlSafe(question)).persistent(false);
            let Err(error) = asked.execute(&mut *connection).await else { continue };
            let what =
                format!("[[tables]] `{}`: compare: `{column}`: {}", pair.name, side.as_str());
            let failed = failure(what.clone(), &error);
            return Err(match error.as_database_error() {
                Some(refusal) if !is_passing(&failed) => Error::usage(
                    format!("{what}: {}", foreign::line(refusal.message())),
                    format!("an SQL expression over the columns of {table}"),
                ),
                _ => failed,
            });
        }
    }
    Ok(())
}
