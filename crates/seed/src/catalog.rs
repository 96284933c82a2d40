//! The profile against the database, before the first row: every column, type and partition.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::Options;
use super::columns::Column;
use super::plan::{Plan, Table};
use super::sources::Source;
use super::specs::ColumnType;
use super::wire::date_of;
use super::{Replicate, sql};
use cutover_error::{Context, Error, Result};
use cutover_ground::pg::QualifiedName;

/// A column as the catalog has it.
struct Found {
    name: String,
    kind: String,
    category: String,
    not_null: bool,
    filled_by_default: bool,
    generated: bool,
    modifier: i32,
}

/// Holds every table of the plan against the catalog.
///
/// # Errors
/// A usage error that names the first table, column, type or date that does not fit.
pub async fn check(connection: &mut PgConnection, plan: &Plan, options: &Options) -> Result<()> {
    for table in &plan.tables {
        for side in table.sides() {
            let found = columns(connection, side).await?;
            if found.is_empty() {
                return Err(Error::usage(
                    format!("table {side} is not there"),
                    "create the schema first, or name the right tables in the seed profile",
                ));
            }
            let twin = table.partitioned.as_ref() == Some(side);
            for column in &table.columns {
                check_column(side, table.name_on(side, column), column, &found)?;
            }
            let by_trigger = twin && options.replicate == Replicate::Trigger;
            for left in found.iter().filter(|f| f.not_null && !f.filled_by_default && !f.generated)
            {
                let filled = |column: &Column| left.name == table.name_on(side, column);
                if !by_trigger && !table.columns.iter().any(filled) {
                    return Err(Error::usage(
                        format!("column {side}.{} is NOT NULL and has no generator", left.name),
                        "add it to the table's columns in the seed profile",
                    ));
                }
            }
            check_partitions(connection, plan, table, side, options).await?;
        }
    }
    Ok(())
}

async fn columns(connection: &mut PgConnection, table: &QualifiedName) -> Result<Vec<Found>> {
    let rows = sqlx::query(sql::COLUMNS)
        .bind(table.to_string())
        .fetch_all(connection)
        .await
        .or_run(format!("cannot read the columns of {table}"), "")?;
    let found = |row: &sqlx::postgres::PgRow| Found {
        name: row.get(0),
        kind: row.get(1),
        category: row.get(2),
        not_null: row.get(3),
        filled_by_default: row.get(4),
        generated: row.get(5),
        modifier: row.get(6),
    };
    Ok(rows.iter().map(found).collect())
}

fn check_column(side: &QualifiedName, name: &str, column: &Column, found: &[Found]) -> Result<()> {
    let place = format!("column {side}.{name}");
    let Some(found) = found.iter().find(|found| found.name == name) else {
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        return Err(Error::usage(
            format!("{place} is not there"),
            format!("the table has {}", names.join(", ")),
        ));
    };
    if found.generated {
        let what = format!("{place} is GENERATED ALWAYS AS (…) STORED and cannot be filled");
        return Err(Error::usage(what, "leave it out of the seed profile"));
    }
    if !fits(column.kind, found) {
        let what = format!(
            "{place} has type {}, the seed profile fills it as {:?}",
            found.kind, column.kind
        );
        return Err(Error::usage(what, "set the column's `type`, or choose another generator"));
    }
    if column.nullable && found.not_null {
        let what = format!("{place} is NOT NULL, the seed profile makes NULLs");
        return Err(Error::usage(what, "remove null_share and only_if"));
    }
    check_modifier(&place, column, found)
}

/// A length or scale that the values exceed would change or refuse them.
fn check_modifier(place: &str, column: &Column, found: &Found) -> Result<()> {
    if found.modifier < 4 {
        return Ok(());
    }
    let modifier = found.modifier - 4;
    if found.kind == "numeric" {
        let scale = (modifier & 0x7ff) as u32;
        return match column.amount_scale() {
            Some(own) if own != scale => Err(Error::usage(
                format!("{place} has scale {scale}, the seed profile makes scale {own}"),
                "set the generator's scale to that of the column",
            )),
            _ => Ok(()),
        };
    }
    let Source::Pick(vocabulary) = &column.source else { return Ok(()) };
    let lengths = vocabulary.values.iter().flatten().map(|value| value.chars().count());
    match lengths.max() {
        Some(longest)
            if ["varchar", "bpchar"].contains(&found.kind.as_str())
                && longest > modifier as usize =>
        {
            let what =
                format!("{place} holds {modifier} characters, the longest value has {longest}");
            Err(Error::usage(what, "shorten the vocabulary's values, or leave out edge_share"))
        }
        _ => Ok(()),
    }
}

/// Whether the wire image of `kind` is what the column's type receives.
fn fits(kind: ColumnType, found: &Found) -> bool {
    let name = found.kind.as_str();
    match kind {
        ColumnType::Smallint => name == "int2",
        ColumnType::Integer => name == "int4",
        ColumnType::Bigint => name == "int8",
        ColumnType::Numeric => name == "numeric",
        ColumnType::Double => name == "float8",
        ColumnType::Boolean => name == "bool",
        ColumnType::Text => {
            ["text", "varchar", "bpchar", "citext", "name"].contains(&name) || found.category == "E"
        }
        ColumnType::Date => name == "date",
        ColumnType::Timestamp => name == "timestamp",
        ColumnType::Timestamptz => name == "timestamptz",
        ColumnType::Json => name == "json",
        ColumnType::Jsonb => name == "jsonb",
        ColumnType::Uuid => name == "uuid",
    }
}

/// Asks the server itself whether each day, or org, has a partition that takes it.
async fn check_partitions(
    connection: &mut PgConnection,
    plan: &Plan,
    table: &Table,
    side: &QualifiedName,
    options: &Options,
) -> Result<()> {
    let what = || format!("cannot read the partitions of {side}");
    let row = sqlx::query_as::<_, (String, Vec<Option<String>>)>(sql::PARTITIONS)
        .bind(side.to_string())
        .fetch_optional(&mut *connection)
        .await
        .or_run(what(), "")?;
    let Some((key, conditions)) = row else { return Ok(()) };
    let named = |column: &&Column| key == table.name_on(side, column);
    let Some(column) = table.columns.iter().find(named) else { return Ok(()) };
    let Some(values) = candidates(plan, column, options) else { return Ok(()) };
    // A leaf without a condition is a DEFAULT partition that stands alone: it takes everything.
    let conditions: Vec<String> =
        conditions.into_iter().map(|condition| condition.unwrap_or("true".into())).collect();
    if conditions.is_empty() {
        return Err(Error::usage(
            format!("{side} has no partition"),
            "create its partitions first",
        ));
    }
    let statement = sql::outside_every_partition(&key, &values, &conditions);
    let outside: Option<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_optional(connection)
        .await
        .or_run(what(), "")?;
    match outside {
        Some(value) => Err(Error::usage(
            format!("{side} has no partition for {key} = {value}"),
            "create the missing partitions, or change calendar.months or --as-of",
        )),
        None => Ok(()),
    }
}

/// A query for the values a partition key may take; `None` if they cannot be listed.
fn candidates(plan: &Plan, column: &Column, options: &Options) -> Option<String> {
    let kind = format!("{:?}", column.kind).to_lowercase();
    let last = plan.calendar.first + plan.calendar.days as i32 - 1;
    let days = |first: i32| Some(sql::each_day(date_of(first), date_of(last), &kind));
    match &column.source {
        Source::Org => Some(sql::some_orgs(&options.range(), &kind)),
        Source::Date
        | Source::DailyDate
        | Source::Later { .. }
        | Source::Moment { on: Some(_), .. } => days(plan.calendar.first),
        Source::Moment { on: None, years, .. } => days(last - *years as i32 * 365),
        _ => None,
    }
}
