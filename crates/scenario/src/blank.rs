//! The blanks of a template: their names, ranges and defaults.

use std::fmt::Write;

use chrono::{Datelike, Days, Months, NaiveDate};
use serde_json::Value;

use super::feeder::Feeder;
use super::random;
use super::template::Values;

/// What stands between {{ and }}.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Blank {
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
    /// A column of a feeder, both by their index.
    Feed(usize, usize),
    Token,
    /// One of these texts, each with the sum of the weights up to it.
    Choice(Vec<(String, u32)>),
}

/// What blanks may refer to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names<'a> {
    pub feeders: &'a [Feeder],
    pub token: bool,
}

impl Blank {
    pub(super) fn parse(blank: &str, names: Names<'_>) -> Result<Self, String> {
        if let Some(texts) = blank.strip_prefix("choice:") {
            return choice(blank, texts);
        }
        let (name, range) = match blank.split_once(':') {
            Some((name, range)) => (name.trim(), Some(parse_range(blank, range)?)),
            None => (blank, None),
        };
        let or = |low, high| range.unwrap_or((low, high));
        let part = match name {
            "org" => Self::Org,
            "unique" => Self::Unique,
            "token" if names.token => Self::Token,
            "token" => return Err("{{token}} needs a [token] table".into()),
            "date" => Self::Date(or(-29, 0).0, or(-29, 0).1),
            "month" => Self::Month(or(0, 0).0, or(0, 0).1),
            "year" => Self::Year(or(0, 0).0, or(0, 0).1),
            "int" => Self::Int(or(1, 100).0, or(1, 100).1),
            "amount" => Self::Amount(or(1, 2000).0, or(1, 2000).1),
            _ => match name.split_once('.') {
                Some(("row", field)) if !field.is_empty() => Self::RowField(field.into()),
                Some(("feed", rest)) => feed(rest, names.feeders)?,
                _ => {
                    return Err(format!(
                        "unknown blank {{{{{blank}}}}}; there are org, unique, token, date, month, \
                         year, int, amount (these five with a range, as in date:-30..0), \
                         choice:A|B*3, row.FIELD and feed.NAME.COLUMN"
                    ));
                }
            },
        };
        let ranged = matches!(
            part,
            Self::Date(..) | Self::Month(..) | Self::Year(..) | Self::Int(..) | Self::Amount(..)
        );
        if range.is_some() && !ranged {
            return Err(format!("the blank {{{{{blank}}}}} takes no range"));
        }
        Ok(part)
    }

    /// Whether its value is data of others, which may hold any character.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::RowField(_) | Self::Feed(..) | Self::Choice(_))
    }

    /// Writes its value as plain text. A field that a row does not have is empty.
    pub(super) fn write(&self, out: &mut String, values: &Values<'_>, bits: &mut u64) {
        let mut pick = |low: i64, high: i64| {
            let width = (high - low + 1) as f64;
            low + (random::unit_from(random::splitmix64(bits)) * width) as i64
        };
        let written = match self {
            Self::Org => write!(out, "{}", values.org),
            Self::Date(low, high) => {
                write!(out, "{}", shift_days(values.as_of, pick(*low, *high)))
            }
            Self::Month(low, high) => {
                let month = shift_months(values.as_of, pick(*low, *high));
                write!(out, "{:04}-{:02}", month.year(), month.month())
            }
            Self::Year(low, high) => {
                write!(out, "{}", i64::from(values.as_of.year()) + pick(*low, *high))
            }
            Self::Int(low, high) => write!(out, "{}", pick(*low, *high)),
            Self::Amount(low, high) => {
                let cents = pick(low * 100, high * 100);
                let sign = if cents < 0 { "-" } else { "" };
                write!(out, "{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
            }
            Self::Unique => write!(out, "{:016x}", values.unique),
            Self::RowField(name) => match values.row.and_then(|row| row.get(name)) {
                Some(Value::String(text)) => out.write_str(text),
                Some(value) => write!(out, "{value}"),
                None => Ok(()),
            },
            Self::Feed(feeder, column) => {
                let feeder = values.feeders.get(*feeder);
                let text = feeder.and_then(|f| f.get(values.org, values.turn, *column));
                out.write_str(text.unwrap_or(""))
            }
            Self::Token => match values.signer {
                Some(signer) => out.write_str(&signer.sign(values)),
                None => Ok(()),
            },
            Self::Choice(texts) => {
                let sum = texts.last().map_or(0, |(_, until)| i64::from(*until));
                let point = pick(0, (sum - 1).max(0));
                let at = texts.partition_point(|(_, until)| i64::from(*until) <= point);
                out.write_str(texts.get(at).map_or("", |(text, _)| text))
            }
        };
        written.expect("writing to a String cannot fail");
    }

    /// Writes its value as JSON: a number if it is one, else text within quotes.
    pub(super) fn write_json(&self, out: &mut String, values: &Values<'_>, bits: &mut u64) {
        if let Self::RowField(name) = self {
            let value = values.row.and_then(|row| row.get(name)).unwrap_or(&Value::Null);
            write!(out, "{value}").expect("writing to a String cannot fail");
            return;
        }
        let start = out.len();
        self.write(out, values, bits);
        if serde_json::from_str::<serde_json::Number>(&out[start..]).is_err() {
            let text = out.split_off(start);
            out.push_str(&Value::String(text).to_string());
        }
    }
}

/// `A|B*3`: B three times as often as A.
fn choice(blank: &str, texts: &str) -> Result<Blank, String> {
    /// Sums of so many of the heaviest stay far within an `u32`.
    const MOST: usize = 1000;
    const HEAVIEST: u32 = 1_000_000;
    let (mut sum, mut choices) = (0, Vec::new());
    for text in texts.split('|') {
        let (text, weight) = text.split_once('*').unwrap_or((text, "1"));
        let weight = weight.parse().ok().filter(|weight| (1..=HEAVIEST).contains(weight));
        let Some(weight) = weight.filter(|_| choices.len() < MOST) else {
            return Err(format!(
                "{{{{{blank}}}}}: a choice is written A|B*3, up to {MOST} texts with weights from 1 \
                 to {HEAVIEST}"
            ));
        };
        sum += weight;
        choices.push((text.to_owned(), sum));
    }
    Ok(Blank::Choice(choices))
}

fn feed(rest: &str, feeders: &[Feeder]) -> Result<Blank, String> {
    let (name, column) = rest.split_once('.').unwrap_or((rest, ""));
    let index = feeders.iter().position(|feeder| feeder.name == name).ok_or_else(|| {
        let known: Vec<&str> = feeders.iter().map(|feeder| feeder.name.as_str()).collect();
        format!("no [[feeder]] is called `{name}`; there are: {}", known.join(", "))
    })?;
    let columns = &feeders[index].columns;
    let column = columns.iter().position(|known| known == column).ok_or_else(|| {
        format!("feeder `{name}` has no column `{column}`; there are: {}", columns.join(", "))
    })?;
    Ok(Blank::Feed(index, column))
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
