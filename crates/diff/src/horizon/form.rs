//! How a column holds time, learned from the values that stand there, and what it will hold at a coming moment.

use chrono::{DateTime, Datelike, Days, NaiveDate, Timelike, Utc};

/// How a column holds time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// As a date or a timestamp.
    Time,
    /// As the time since 1970, in this part of a second.
    Epoch(i64),
    /// In the first 48 bits of a UUID of version 7 (RFC 9562), as milliseconds since 1970.
    Uuid,
    /// As text or as digits between texts that stay the same.
    Printed(String, &'static str, String),
    /// As one part of a date, in so many digits, of which another column may hold another part.
    Part(Part, usize),
}

/// A part of a date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Part {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
}

/// What a text may hold, the longest first; `%q` is the quarter.
const TEXTS: [&str; 19] = [
    "%Y%m%d%H", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y_%m_%d", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d",
    "%Y-W%V", "%Y-Q%q", "%Y-%m", "%Y/%m", "%Y_%m", "%Y.%m", "%Y%m", "%m-%Y", "%m/%Y", "%YQ%q",
    "%Y",
];

/// What a number may hold.
const NUMBERS: [&str; 7] = ["%Y%m%d%H%M%S", "%Y%m%d%H", "%Y%m%d", "%Y%j", "%Y%m", "%Y%V", "%Y%q"];

/// How many of them make a second.
const EPOCHS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Words of a column's name that tell which part of a date it holds.
const PART_NAMES: [(Part, &[&str]); 6] = [
    (Part::Year, &["y", "yr", "year", "yyyy"]),
    (Part::Quarter, &["q", "qtr", "quarter"]),
    (Part::Month, &["m", "mm", "mon", "mth", "month"]),
    (Part::Week, &["w", "wk", "week"]),
    (Part::Day, &["d", "dd", "day"]),
    (Part::Hour, &["h", "hh", "hour"]),
];

/// A number this far from now is taken for a number: an id may look like a day, few look like one of these.
const NEAR: Days = Days::new(3 * 366);

impl Form {
    /// Learns how a column holds time; `None` if it holds none that can be told.
    pub(super) fn of(
        name: &str,
        type_name: &str,
        values: &[&str],
        now: DateTime<Utc>,
    ) -> Option<Self> {
        if type_name == "date" || type_name.starts_with("timestamp") {
            return Some(Self::Time);
        }
        let values: Vec<&str> = values.iter().map(|value| value.trim_end()).collect();
        let first = *values.first()?;
        if type_name == "uuid" {
            let near = |value: &&str| uuid_time(value).is_some_and(|at| is_near(at, now));
            return values.iter().all(near).then_some(Self::Uuid);
        }
        let is_number = ["smallint", "integer", "bigint", "double precision"].contains(&type_name)
            || type_name.starts_with("numeric");
        let known: &[&str] = if is_number { &NUMBERS } else { &TEXTS };
        known
            .iter()
            .find_map(|pattern| printed(pattern, &values, is_number, now))
            .or_else(|| {
                EPOCHS.into_iter().filter(|_| is_number).find_map(|per_s| {
                    let near =
                        |value: &&str| epoch(value, per_s).is_some_and(|at| is_near(at, now));
                    values.iter().all(near).then_some(Self::Epoch(per_s))
                })
            })
            .or_else(|| {
                let part = Part::named(name)?;
                let fits = |value: &&str| value.parse().is_ok_and(|number| part.takes(number));
                let width = if is_number { 1 } else { first.len() };
                values.iter().all(fits).then_some(Self::Part(part, width))
            })
    }

    /// What the column holds at a moment, as text.
    pub(super) fn print(&self, at: DateTime<Utc>) -> String {
        match self {
            Self::Time => at.format("%Y-%m-%d %H:%M:%S+00").to_string(),
            Self::Epoch(per_s) => (at.timestamp() * per_s).to_string(),
            Self::Uuid => {
                let hex = format!("{:012x}", at.timestamp_millis());
                format!("{}-{}-7000-8000-000000000000", &hex[..8], &hex[8..])
            }
            Self::Printed(before, pattern, after) => {
                format!("{before}{}{after}", print(pattern, at))
            }
            Self::Part(part, width) => format!("{:0width$}", part.of(at)),
        }
    }

    /// How it holds time, in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Time => "a time".into(),
            Self::Epoch(per_s) => format!("the time since 1970 in 1/{per_s} s"),
            Self::Uuid => "a UUID of version 7".into(),
            Self::Printed(before, pattern, after) => {
                let pattern = pattern.replace("%q", "(quarter)");
                format!("`{before}{pattern}{after}`")
            }
            Self::Part(part, _) => format!("the {part:?}").to_lowercase(),
        }
    }
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_alphabetic()).collect();
        let says = |names: &[&str]| words.iter().any(|word| names.contains(word));
        PART_NAMES.iter().find(|(_, names)| says(names)).map(|(part, _)| *part)
    }

    fn takes(self, number: u32) -> bool {
        match self {
            Self::Year => (1990..2100).contains(&number),
            Self::Quarter => (1..=4).contains(&number),
            Self::Month => (1..=12).contains(&number),
            Self::Week => (1..=53).contains(&number),
            Self::Day => (1..=31).contains(&number),
            Self::Hour => number < 24,
        }
    }

    fn of(self, at: DateTime<Utc>) -> u32 {
        match self {
            Self::Year => at.year().unsigned_abs(),
            Self::Quarter => at.quarter(),
            Self::Month => at.month(),
            Self::Week => at.iso_week().week(),
            Self::Day => at.day(),
            Self::Hour => at.hour(),
        }
    }
}

/// A moment by a pattern; the year of a week is the week's.
fn print(pattern: &str, at: DateTime<Utc>) -> String {
    let pattern = pattern.replace("%q", &at.quarter().to_string());
    let pattern = if pattern.contains("%V") { pattern.replace("%Y", "%G") } else { pattern };
    at.format(&pattern).to_string()
}

/// The form, if each of the values holds a day by the pattern, after the same text as all the others.
fn printed(
    pattern: &'static str,
    values: &[&str],
    is_number: bool,
    now: DateTime<Utc>,
) -> Option<Form> {
    let first = values.first()?;
    let is_digit = |c: char| c.is_ascii_digit();
    let starts = |at: &usize| {
        first.is_char_boundary(*at)
            && !first[..*at].ends_with(is_digit)
            && read(pattern, &first[*at..]).is_some_and(|(_, rest)| !rest.starts_with(is_digit))
    };
    let at = (0..first.len()).find(starts)?;
    let before = &first[..at];
    let rests: Option<Vec<&str>> = values
        .iter()
        .map(|value| {
            let (day, rest) = read(pattern, value.strip_prefix(before)?)?;
            let near = !is_number || before.is_empty() && rest.is_empty() && is_near(day, now);
            (near && !rest.starts_with(is_digit)).then_some(rest)
        })
        .collect();
    let rests = rests?;
    let after = *rests.first()?;
    // The time of day, or what stands after every day.
    let alike = |rest: &&str| *rest == after || rest.starts_with(['T', ' ']);
    rests.iter().all(alike).then(|| Form::Printed(before.to_owned(), pattern, after.to_owned()))
}

/// Reads a moment by a pattern from the beginning of a text; and what follows it.
fn read<'t>(pattern: &str, text: &'t str) -> Option<(DateTime<Utc>, &'t str)> {
    let (mut year, mut month, mut day) = (0_i32, 1, 1);
    let mut from_start_days = 0;
    let (mut rest, mut expected) = (text, pattern.chars());
    while let Some(c) = expected.next() {
        if c != '%' {
            rest = rest.strip_prefix(c)?;
            continue;
        }
        let field = expected.next()?;
        let digits = match field {
            'Y' => 4,
            'j' => 3,
            'q' => 1,
            _ => 2,
        };
        let number: u32 =
            rest.get(..digits).filter(|s| s.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        rest = &rest[digits..];
        match field {
            'Y' => year = i32::try_from(number).ok()?,
            'm' => month = number,
            'd' => day = number,
            'q' if (1..=4).contains(&number) => month = number * 3,
            'j' if (1..=366).contains(&number) => from_start_days = u64::from(number) - 1,
            // A Thursday belongs to the year of its week.
            'V' if (1..=53).contains(&number) => from_start_days = u64::from(number) * 7 - 4,
            'H' if number < 24 => {}
            'M' | 'S' if number < 60 => {}
            _ => return None,
        }
    }
    let day =
        NaiveDate::from_ymd_opt(year, month, day)?.checked_add_days(Days::new(from_start_days))?;
    (1990..2100)
        .contains(&year)
        .then(|| (day.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc(), rest))
}

fn epoch(value: &str, per_s: i64) -> Option<DateTime<Utc>> {
    let whole = value.split('.').next()?;
    DateTime::from_timestamp(whole.parse::<i64>().ok()? / per_s, 0)
}

fn uuid_time(value: &str) -> Option<DateTime<Utc>> {
    let hex = value.replace('-', "");
    let is_seventh = hex.get(12..13) == Some("7");
    let milliseconds = i64::from_str_radix(hex.get(..12)?, 16).ok()?;
    DateTime::from_timestamp_millis(milliseconds).filter(|_| is_seventh)
}

fn is_near(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at + NEAR > now && at < now + NEAR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}Z").parse().expect("a time")
    }

    /// The form of values, and what it holds a month later.
    fn later(name: &str, type_name: &str, values: &[&str]) -> Option<String> {
        let form = Form::of(name, type_name, values, at("2026-11-30T12:00:00"))?;
        Some(form.print(at("2026-12-30T12:00:00")))
    }

    #[test]
    fn what_holds_time_is_carried_on_in_its_own_form() {
        for (name, type_name, values, expected) in [
            ("at", "date", &[][..], "2026-12-30 12:00:00+00"),
            ("at", "timestamp(3) with time zone", &[], "2026-12-30 12:00:00+00"),
            ("at", "bigint", &["1764500000", "1796000000"], "1798632000"),
            ("at", "bigint", &["1796000000123"], "1798632000000"),
            ("at", "numeric(20,3)", &["1796000000.123"], "1798632000"),
            ("at", "bigint", &["1796000000123456"], "1798632000000000"),
            (
                "id",
                "uuid",
                &["019ad000-0000-7abc-8def-0123456789ab"],
                "01a2c6d2-4a00-7000-8000-000000000000",
            ),
            ("day", "integer", &["20261101", "20261130"], "20261230"),
            ("period", "integer", &["202611"], "202612"),
            ("period", "integer", &["202649"], "202653"),
            ("period", "character(7)", &["2026-11", "2026-10"], "2026-12"),
            ("period", "text", &["p2026_11"], "p2026_12"),
            ("period", "text", &["11/2026"], "12/2026"),
            ("period", "character varying(20)", &["2026Q4"], "2026Q4"),
            ("period", "text", &["2026-W48"], "2026-W53"),
            (
                "at",
                "text",
                &["2026-11-30T10:00:00Z", "2026-11-29 11:00:00Z"],
                "2026-12-30T10:00:00Z",
            ),
            ("y", "integer", &["2026"], "2026"),
            ("book_month", "smallint", &["11", "3"], "12"),
            ("mm", "text", &["03"], "12"),
        ] {
            assert_eq!(later(name, type_name, values).as_deref(), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn what_holds_no_time_is_not_taken_for_one() {
        for (name, type_name, values) in [
            ("id", "bigint", &["1", "40"][..]),
            ("id", "bigint", &[]),
            ("id", "integer", &["2026"]),
            ("id", "integer", &["19990101"]),
            ("id", "bigint", &["123456789012"]),
            ("id", "uuid", &["6f1c1c0e-1111-4abc-8def-0123456789ab"]),
            ("region", "text", &["eu", "us"]),
            ("number", "text", &["A-20261130-1", "B-20261130-2"]),
            ("period", "text", &["2026-11", "2026-13"]),
            ("m", "integer", &["11", "13"]),
        ] {
            assert_eq!(later(name, type_name, values), None, "{values:?}");
        }
    }
}
