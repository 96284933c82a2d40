//! Leaves whose bounds we check ourselves.
//!
//! The server can say of any row whether it belongs in its leaf, but being asked row by row costs it
//! a tenth of what sending the row costs. Nearly every large table is divided by ranges of a date, a
//! time or a number, whose binary form is a signed integer: there the row itself says it.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::sql;
use cutover_error::Result;
use cutover_ground::pg::catalog::{Leaf, Table};
use cutover_ground::pg::{Bound, failure, integer};

/// The values that a leaf takes, in the binary form of their type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    from: Option<i64>,
    /// The first that it does not take.
    to: Option<i64>,
}

impl Range {
    /// Whether a row with this field does not belong in the leaf; `None` if the field is no integer.
    pub(super) fn excludes(&self, field: Option<&[u8]>) -> Option<bool> {
        // Only a DEFAULT partition takes NULL.
        let Some(field) = field else { return Some(true) };
        let value = integer(field)?;
        Some(self.from.is_some_and(|from| value < from) || self.to.is_some_and(|to| value >= to))
    }
}

/// The most of these ranges that so many values in a row can lie in.
pub(super) fn most_within(ranges: &[Range], length: i64) -> u64 {
    // The last value of a range and those that follow it reach the most.
    let last_values = ranges.iter().filter_map(|range| range.to.map(|to| to - 1));
    let reached = last_values.map(|first| {
        let end = first.saturating_add(length);
        let within = |range: &&Range| {
            range.from.is_none_or(|from| from < end) && range.to.is_none_or(|to| to > first)
        };
        ranges.iter().filter(within).count() as u64
    });
    // Without an upper end there is one range, and all lies in it.
    reached.max().unwrap_or(ranges.len() as u64)
}

/// What a day is in the binary form of a type; `None` if it holds no time.
pub(super) fn day(type_name: &str) -> Option<i64> {
    match type_name {
        "date" => Some(1),
        "timestamp without time zone" | "timestamp with time zone" => Some(86_400_000_000),
        _ => None,
    }
}

/// The function that gives a value of a type in its binary form, where that is a signed integer.
fn send_function(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "date" => "date_send",
        "timestamp without time zone" => "timestamp_send",
        "timestamp with time zone" => "timestamptz_send",
        "smallint" => "int2send",
        "integer" => "int4send",
        "bigint" => "int8send",
        _ => return None,
    })
}

/// The ranges of the leaves of a table that is divided once, by one such column; by the leaves' object
/// identifiers.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn ranges(
    connection: &mut PgConnection,
    table: &Table,
    leaves: &[Leaf],
) -> Result<HashMap<i64, Range>> {
    let none = Ok(HashMap::new());
    let ([column], Some("r")) = (table.partition_columns.as_slice(), table.strategy.as_deref())
    else {
        return none;
    };
    let column = table.column(column);
    let Some((column, send)) = column.and_then(|c| Some((c, send_function(&c.type_name)?))) else {
        return none;
    };
    let bounded: Vec<(&Leaf, Bound)> = leaves
        .iter()
        .filter(|leaf| leaf.depth == 1)
        .filter_map(|leaf| Some((leaf, Bound::parse(&leaf.bound)?)))
        .filter(|(_, bound)| matches!(bound, Bound::Range(from, _) if from.len() == 1))
        .collect();
    if bounded.is_empty() {
        return none;
    }
    let bounds = bounded.iter().map(|(_, bound)| bound);
    let statement = sql::edges(&column.type_name, send, bounds);
    let edges: Vec<Option<Vec<u8>>> = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(connection)
        .await
        .map_err(|error| failure(format!("cannot read the bounds of {}", table.name), &error))?;
    let edges: Vec<Option<i64>> = edges.iter().map(|edge| integer(edge.as_deref()?)).collect();
    let range = |edges: &[Option<i64>]| Range { from: edges[0], to: edges[1] };
    Ok(bounded.iter().zip(edges.chunks_exact(2).map(range)).map(|(b, r)| (b.0.oid, r)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_its_first_value_and_not_its_last() {
        let range = Range { from: Some(-3), to: Some(5) };
        let excludes = |value: i32| range.excludes(Some(&value.to_be_bytes()));
        assert_eq!([-4, -3, 4, 5].map(excludes), [true, false, false, true].map(Some));
        assert_eq!(range.excludes(None), Some(true));
        assert_eq!(range.excludes(Some(b"abc")), None);
        let open = Range { from: None, to: None };
        assert_eq!(open.excludes(Some(&i64::MIN.to_be_bytes())), Some(false));
    }

    #[test]
    fn so_many_values_lie_in_no_more_ranges_than_they_can() {
        // Months of 31, 28, 31 and 30 days, and what comes before and after.
        let edges = [None, Some(0), Some(31), Some(59), Some(90), Some(120), None];
        let ranges: Vec<Range> =
            edges.windows(2).map(|pair| Range { from: pair[0], to: pair[1] }).collect();
        for (days, most) in [(1, 1), (2, 2), (29, 2), (30, 3), (31, 3), (62, 4), (365, 6)] {
            assert_eq!(most_within(&ranges, days), most, "{days} days");
        }
        assert_eq!(most_within(&[Range { from: Some(5), to: None }], 9), 1);
        assert_eq!(most_within(&[], 9), 0);
    }
}
