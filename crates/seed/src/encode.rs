//! A cell becomes bytes: which generator goes with which column type, and how it is written.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::columns::Column;
use super::sources::Source;
use super::specs::ColumnType;
use super::wire::{self, DAY_US};
use cutover_error::{Error, Result};

/// One value before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// NULL.
    Null,
    /// A whole number; for a label the row's number.
    Int(i64),
    /// An unscaled decimal; the column knows the scale.
    Decimal(i64),
    /// Days since 2000-01-01.
    Date(i32),
    /// Microseconds since 2000-01-01 00:00 UTC.
    Moment(i64),
    /// Index into the column's vocabulary.
    Pick(u32),
}

/// Appends one cell in wire format. [`check`] has held that cell and column go together.
pub fn cell(out: &mut Vec<u8>, column: &Column, cell: Cell, org: u64) {
    match cell {
        Cell::Null => out.extend_from_slice(&wire::NULL),
        Cell::Pick(index) => out.extend_from_slice(&column.images[index as usize]),
        Cell::Int(value) => match (&column.source, column.kind) {
            (Source::Label { prefix }, _) => label(out, prefix, org, value),
            (_, ColumnType::Numeric) => wire::numeric(out, value, 0),
            (_, ColumnType::Text) => wire::text(out, value.to_string().as_bytes()),
            (_, ColumnType::Uuid) => wire::uuid(out, uuid_of(value)),
            (_, kind) => whole(out, kind, value),
        },
        Cell::Decimal(value) => match (&column.source, column.kind) {
            (Source::Money(money), ColumnType::Numeric) => wire::numeric(out, value, money.scale),
            (Source::Decimal { scale, .. }, ColumnType::Numeric) => {
                wire::numeric(out, value, *scale)
            }
            (_, kind) => whole(out, kind, value),
        },
        Cell::Date(days) => match column.kind {
            ColumnType::Date => wire::int4(out, days),
            _ => wire::int8(out, i64::from(days) * DAY_US),
        },
        Cell::Moment(us) => match column.kind {
            ColumnType::Date => wire::int4(out, us.div_euclid(DAY_US) as i32),
            _ => wire::int8(out, us),
        },
    }
}

fn whole(out: &mut Vec<u8>, kind: ColumnType, value: i64) {
    match kind {
        ColumnType::Smallint => wire::int2(out, value as i16),
        ColumnType::Integer => wire::int4(out, value as i32),
        ColumnType::Double => wire::float8(out, value as f64),
        _ => wire::int8(out, value),
    }
}

fn label(out: &mut Vec<u8>, prefix: &str, org: u64, n: i64) {
    wire::text(out, label_text(prefix, org, n).as_bytes());
}

/// The text of a label.
pub fn label_text(prefix: &str, org: u64, n: i64) -> String {
    format!("{prefix}-{org}-{n}")
}

/// A number as a UUID that is valid (version 8, "custom") and shows the number in its last digits.
pub fn uuid_of(value: i64) -> u128 {
    let value = value as u64;
    (u128::from(value >> 48) << 80 | 0x8 << 76 | 0x2 << 62) | u128::from(value & 0xffff_ffff_ffff)
}

/// Holds that a generator's values can be written to a column of this type.
///
/// # Errors
/// A usage error that names both.
pub fn check(source: &Source, kind: ColumnType, range: Option<(i64, i64)>) -> Result<()> {
    use ColumnType as T;
    let whole = matches!(kind, T::Smallint | T::Integer | T::Bigint);
    let fits = match source {
        // An image was made of each value, so the type has been seen to fit.
        Source::Pick(_) => true,
        Source::Label { .. } => kind == T::Text,
        Source::Org | Source::Sequence { .. } | Source::ForeignKey { .. } => {
            whole || matches!(kind, T::Numeric | T::Text | T::Uuid)
        }
        Source::OrgSize | Source::Property | Source::Int { .. } => {
            whole || matches!(kind, T::Numeric | T::Text | T::Double)
        }
        Source::Money(_) | Source::Decimal { .. } => whole || kind == T::Numeric,
        Source::Date | Source::DailyDate | Source::Moment { .. } | Source::Later { .. } => {
            matches!(kind, T::Date | T::Timestamp | T::Timestamptz)
        }
    };
    if !fits {
        return Err(Error::usage(
            format!("this generator does not make values of type {kind:?}"),
            "",
        ));
    }
    let (low, high) = match kind {
        T::Smallint => (i64::from(i16::MIN), i64::from(i16::MAX)),
        T::Integer => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => return Ok(()),
    };
    match range {
        Some((smallest, largest)) if smallest < low || largest > high => Err(Error::usage(
            format!("values from {smallest} to {largest} do not fit the type {kind:?}"),
            "fewer orgs, a smaller stride or a wider type",
        )),
        _ => Ok(()),
    }
}

/// The wire image of a fixed value, read as PostgreSQL would read the text.
///
/// # Errors
/// A usage error if the text is no value of the type.
pub fn image(value: Option<&str>, kind: ColumnType) -> Result<Box<[u8]>> {
    let mut out = Vec::new();
    let Some(text) = value else {
        return Ok(Box::new(wire::NULL));
    };
    let refuse = || Error::usage(format!("`{text}` is not a value of type {kind:?}"), "");
    match kind {
        ColumnType::Text | ColumnType::Json => {
            if kind == ColumnType::Json {
                serde_json::from_str::<serde_json::Value>(text).map_err(|_| refuse())?;
            }
            if text.contains('\0') {
                return Err(refuse());
            }
            wire::text(&mut out, text.as_bytes());
        }
        ColumnType::Jsonb => {
            serde_json::from_str::<serde_json::Value>(text).map_err(|_| refuse())?;
            wire::jsonb(&mut out, text.as_bytes());
        }
        ColumnType::Smallint => wire::int2(&mut out, text.parse().map_err(|_| refuse())?),
        ColumnType::Integer => wire::int4(&mut out, text.parse().map_err(|_| refuse())?),
        ColumnType::Bigint => wire::int8(&mut out, text.parse().map_err(|_| refuse())?),
        ColumnType::Double => wire::float8(&mut out, text.parse().map_err(|_| refuse())?),
        ColumnType::Boolean => wire::boolean(&mut out, text.parse().map_err(|_| refuse())?),
        ColumnType::Numeric => {
            let (unscaled, scale) = decimal(text)?;
            wire::numeric(&mut out, unscaled, scale);
        }
        ColumnType::Date => {
            let date = text.parse::<NaiveDate>().map_err(|_| refuse())?;
            wire::int4(&mut out, wire::days_since_2000(date));
        }
        ColumnType::Timestamp | ColumnType::Timestamptz => {
            wire::int8(&mut out, moment(text).ok_or_else(refuse)?);
        }
        ColumnType::Uuid => {
            let digits = text.replace('-', "");
            let value = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok());
            wire::uuid(&mut out, value.flatten().ok_or_else(refuse)?);
        }
    }
    Ok(out.into())
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]`, in UTC.
fn moment(text: &str) -> Option<i64> {
    let moment = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    let time = moment.time().signed_duration_since(NaiveTime::MIN).num_microseconds()?;
    Some(i64::from(wire::days_since_2000(moment.date())) * DAY_US + time)
}

/// Reads a decimal as written: the unscaled number and the digits behind the point.
///
/// # Errors
/// A usage error if it is no decimal, or too long to be kept exactly.
pub fn decimal(text: &str) -> Result<(i64, u32)> {
    let refuse = || {
        let what = format!("`{text}` is not a decimal of at most 18 digits, 16 behind the point");
        Error::usage(what, "write it like -12.50")
    };
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{integer}{fraction}");
    let plain = !integer.is_empty() && all.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || all.len() > 18 || fraction.len() > wire::MAX_SCALE as usize {
        return Err(refuse());
    }
    let magnitude: i64 = all.parse().map_err(|_| refuse())?;
    Ok((sign * magnitude, fraction.len() as u32))
}

/// Reads a decimal in units of 10^−`scale`.
///
/// # Errors
/// A usage error if it is no decimal or has more digits behind the point.
pub fn rescaled(text: &str, scale: u32) -> Result<i64> {
    let (unscaled, own) = decimal(text)?;
    let refuse = || Error::usage(format!("`{text}` does not fit the scale {scale}"), "");
    let power = scale.checked_sub(own).and_then(|by| 10i64.checked_pow(by)).ok_or_else(refuse)?;
    if scale > wire::MAX_SCALE {
        return Err(refuse());
    }
    unscaled.checked_mul(power).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(decimal("1.00").expect("valid"), (100, 2));
        assert_eq!(decimal("-0.5").expect("valid"), (-5, 1));
        assert_eq!(rescaled("-0.5", 2).expect("valid"), -50);
        for text in ["", ".", "-", ".5", "1e5", "1.2.3", "+1", "12345678901234567890"] {
            assert!(decimal(text).is_err(), "{text}");
        }
        assert!(rescaled("0.005", 2).is_err());
    }

    #[test]
    fn numbers_show_in_uuids() {
        assert_eq!(format!("{:032x}", uuid_of(0x1234)), "00000000000080008000000000001234");
    }
}
