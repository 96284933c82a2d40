//! Text with blanks: `/finance/revenue?orgId={{org}}&date={{date:-30..0}}`.
//!
//! Blanks are filled from the arrival's org and its own random bits, so the two windows of a pair
//! ask exactly the same. A blank that takes a range is written `{{name:low..high}}`, both ends
//! included.

use std::fmt::Write;

use chrono::{Datelike, Days, Months, NaiveDate};
use serde_json::Value;

use super::random;

/// A row of the target that an earlier answer told us of: the answer's JSON object.
pub type Row = serde_json::Map<String, Value>;

/// A compiled template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Org,
    /// A day, so many days from the calendar's anchor.
    Date(i64, i64),
    /// A month `YYYY-MM`, so many months from the anchor's month.
    Month(i64, i64),
    /// A year, so many years from the anchor's year.
    Year(i64, i64),
    Int(i64, i64),
    /// Money with two decimals; the range is in whole units.
    Amount(i64, i64),
    /// 16 hexadecimal digits that differ for every request sent.
    Unique,
    /// A field of the row the operation works on.
    RowField(String),
}

/// What blanks are filled with.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The org of the arrival.
    pub org: u64,
    /// The arrival's random bits.
    pub draw: u64,
    /// A number no other request of the run has.
    pub unique: u64,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// The row the operation works on.
    pub row: Option<&'a Row>,
}

impl Template {
    /// Compiles a template; the error says which blank is wrong and which there are.
    pub fn compile(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            let close = rest[open..]
                .find("}}")
                .ok_or_else(|| format!("`{}`: the blank is not closed with }}}}", &rest[open..]))?;
            parts.push(Part::parse(rest[open + 2..open + close].trim())?);
            rest = &rest[open + close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self { parts })
    }

    /// Whether a blank needs a row.
    pub fn needs_row(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::RowField(_)))
    }

    /// Fills the blanks. A field that the row does not have becomes empty text.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut out = String::with_capacity(128);
        let mut bits = values.draw;
        for part in &self.parts {
            let mut pick = |low: i64, high: i64| {
                let width = (high - low + 1) as f64;
                low + (random::unit_from(random::splitmix64(&mut bits)) * width) as i64
            };
            let written = match part {
                Part::Text(text) => out.write_str(text),
                Part::Org => write!(out, "{}", values.org),
                Part::Date(low, high) => {
                    write!(out, "{}", shift_days(values.as_of, pick(*low, *high)))
                }
                Part::Month(low, high) => {
                    let month = shift_months(values.as_of, pick(*low, *high));
                    write!(out, "{}", month.format("%Y-%m"))
                }
                Part::Year(low, high) => {
                    write!(out, "{}", i64::from(values.as_of.year()) + pick(*low, *high))
                }
                Part::Int(low, high) => write!(out, "{}", pick(*low, *high)),
                Part::Amount(low, high) => {
                    let cents = pick(low * 100, high * 100);
                    let sign = if cents < 0 { "-" } else { "" };
                    write!(out, "{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
                }
                Part::Unique => write!(out, "{:016x}", values.unique),
                Part::RowField(name) => match values.row.and_then(|row| row.get(name)) {
                    Some(Value::String(text)) => out.write_str(text),
                    Some(value) => write!(out, "{value}"),
                    None => Ok(()),
                },
            };
            written.expect("writing to a String cannot fail");
        }
        out
    }
}

impl Part {
    fn parse(blank: &str) -> Result<Self, String> {
        let (name, range) = match blank.split_once(':') {
            Some((name, range)) => (name.trim(), Some(parse_range(blank, range)?)),
            None => (blank, None),
        };
        let or = |low, high| range.unwrap_or((low, high));
        let part = match name {
            "org" => Self::Org,
            "unique" => Self::Unique,
            "date" => Self::Date(or(-29, 0).0, or(-29, 0).1),
            "month" => Self::Month(or(0, 0).0, or(0, 0).1),
            "year" => Self::Year(or(0, 0).0, or(0, 0).1),
            "int" => Self::Int(or(1, 100).0, or(1, 100).1),
            "amount" => Self::Amount(or(1, 2000).0, or(1, 2000).1),
            _ => match name.strip_prefix("row.") {
                Some(field) if !field.is_empty() => Self::RowField(field.into()),
                _ => {
                    return Err(format!(
                        "unknown blank {{{{{blank}}}}}; there are org, unique, date, month, year, \
                         int, amount (these five with a range, as in date:-30..0) and row.FIELD"
                    ));
                }
            },
        };
        if range.is_some() && matches!(part, Self::Org | Self::Unique | Self::RowField(_)) {
            return Err(format!("the blank {{{{{blank}}}}} takes no range"));
        }
        Ok(part)
    }
}

fn parse_range(blank: &str, range: &str) -> Result<(i64, i64), String> {
    /// Wide enough for any calendar or amount, narrow enough that cents never overflow.
    const LIMIT: i64 = 1_000_000_000;
    let bounds = range.split_once("..").and_then(|(low, high)| {
        Some((low.trim().parse::<i64>().ok()?, high.trim().parse::<i64>().ok()?))
    });
    match bounds {
        Some((low, high)) if low <= high && low >= -LIMIT && high <= LIMIT => Ok((low, high)),
        _ => Err(format!(
            "{{{{{blank}}}}}: the range is written low..high, low ≤ high, within ±{LIMIT}"
        )),
    }
}

fn shift_days(day: NaiveDate, by: i64) -> NaiveDate {
    let days = Days::new(by.unsigned_abs());
    if by < 0 { day.checked_sub_days(days) } else { day.checked_add_days(days) }.unwrap_or(day)
}

fn shift_months(day: NaiveDate, by: i64) -> NaiveDate {
    let months = Months::new(u32::try_from(by.unsigned_abs()).unwrap_or(0));
    if by < 0 { day.checked_sub_months(months) } else { day.checked_add_months(months) }
        .unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(draw: u64) -> Values<'static> {
        let as_of = NaiveDate::from_ymd_opt(2026, 3, 31).expect("a date");
        Values { org: 7, draw, unique: 255, as_of, row: None }
    }

    #[test]
    fn blanks_are_filled() {
        let template =
            Template::compile("/x?o={{org}}&m={{ month:-1..-1 }}&y={{year}}&u={{unique}}")
                .expect("a template");
        assert_eq!(template.fill(&values(1)), "/x?o=7&m=2026-02&y=2026&u=00000000000000ff");
    }

    #[test]
    fn the_same_draw_gives_the_same_text_and_another_draw_another() {
        let template = Template::compile("{{date:-600..0}} {{amount}} {{int}}").expect("ok");
        assert_eq!(template.fill(&values(5)), template.fill(&values(5)));
        assert_ne!(template.fill(&values(5)), template.fill(&values(6)));
    }

    #[test]
    fn a_range_holds_both_ends() {
        let template = Template::compile("{{int:1..3}}").expect("ok");
        let seen: std::collections::BTreeSet<String> =
            (0..200).map(|draw| template.fill(&values(draw))).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn what_is_not_a_blank_is_refused() {
        for text in ["{{org", "{{orgs}}", "{{org:1..2}}", "{{int:3..1}}", "{{int:x}}", "{{row.}}"] {
            assert!(Template::compile(text).is_err(), "{text}");
        }
    }
}
