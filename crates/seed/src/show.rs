//! Any org explained: its rows again, as PostgreSQL would print them, without a database.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::{Map, Value};

use super::columns::Column;
use super::encode::{self, Cell};
use super::org::Scratch;
use super::plan::Plan;
use super::sources::Source;
use super::specs::ColumnType;
use super::totals::decimal_text;
use super::wire::{DAY_US, date_of};
use super::{Options, Profile};
use cutover_error::{Error, Result};

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownRow {
    /// The table's name in the profile.
    pub table: String,
    /// Column → value as text, or null.
    pub values: Map<String, Value>,
}

/// Generates the rows of one org.
///
/// # Errors
/// A usage error if profile or options are wrong, or the org is not one of the run's.
pub fn show_org(profile: &Profile, options: &Options, org: u64) -> Result<Vec<ShownRow>> {
    options.check()?;
    let plan = Plan::new(profile, options)?;
    if !(options.first_org..=options.last_org()).contains(&org) {
        let allowed = format!("allowed: {} to {}", options.first_org, options.last_org());
        return Err(Error::usage(format!("--show-org {org}: not one of the orgs"), allowed));
    }
    let mut rows = Vec::new();
    plan.org(org, &mut Scratch::default(), &mut |index, facts, cells| {
        let table = &plan.tables[index];
        let value = |(column, cell): (&Column, &Cell)| {
            let text = text(column, *cell, facts.org).map_or(Value::Null, Value::String);
            (column.name.clone(), text)
        };
        let values = table.columns.iter().zip(cells).map(value).collect();
        rows.push(ShownRow { table: table.name.clone(), values });
    });
    Ok(rows)
}

/// A cell as PostgreSQL prints it with `DateStyle = ISO` and `TimeZone = UTC`.
fn text(column: &Column, cell: Cell, org: u64) -> Option<String> {
    Some(match (cell, &column.source) {
        (Cell::Null, _) => return None,
        (Cell::Int(n), Source::Label { prefix }) => encode::label_text(prefix, org, n),
        (Cell::Int(value), _) if column.kind == ColumnType::Uuid => {
            let digits = format!("{:032x}", encode::uuid_of(value));
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20]];
            format!("{}-{}", parts.join("-"), &digits[20..])
        }
        (Cell::Int(value), _) => value.to_string(),
        (Cell::Decimal(value), _) => {
            decimal_text(i128::from(value), column.amount_scale().unwrap_or(0))
        }
        (Cell::Date(days), _) => moment(i64::from(days) * DAY_US, column.kind),
        (Cell::Moment(us), _) => moment(us, column.kind),
        (Cell::Pick(index), Source::Pick(vocabulary)) => {
            return vocabulary.values[index as usize].clone();
        }
        (Cell::Pick(_), _) => unreachable!("only vocabularies make picks"),
    })
}

fn moment(us: i64, kind: ColumnType) -> String {
    let date = date_of(us.div_euclid(DAY_US) as i32);
    if kind == ColumnType::Date {
        return date.to_string();
    }
    let midnight = date.and_hms_opt(0, 0, 0).expect("every day has a midnight");
    let moment = midnight + TimeDelta::microseconds(us.rem_euclid(DAY_US));
    let fraction = match us.rem_euclid(1_000_000) {
        0 => String::new(),
        us => format!(".{us:06}").trim_end_matches('0').to_owned(),
    };
    let zone = if kind == ColumnType::Timestamptz { "+00" } else { "" };
    format!("{}{fraction}{zone}", moment.format("%Y-%m-%d %H:%M:%S"))
}
