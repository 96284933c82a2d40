//! The values of one parameter or path segment, and the blank that stands for them.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use super::target::day_of;

/// Different values that are kept.
const MOST_VALUES: usize = 32;
/// Up to so many different whole numbers are a choice (`limit=20|50|100`), more are a range.
const FEW_NUMBERS: usize = 8;
/// Bounds of the blanks.
const LIMIT: i64 = 1_000_000_000;

/// What has been seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    pub count: u64,
    /// Values that were not kept because enough others were.
    pub beyond: u64,
    kept: BTreeMap<String, u64>,
    days: Seen,
    day_rest: Option<String>,
    months: Seen,
    years: Seen,
    numbers: Seen,
    amounts: Seen,
}

/// The range of what can be read as one kind, and how many could.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    count: u64,
    low: i64,
    high: i64,
}

impl Seen {
    fn add_range(&mut self, other: Option<Self>) {
        let Some(other) = other.filter(|other| other.count > 0) else { return };
        let first = self.count == 0;
        self.low = if first { other.low } else { self.low.min(other.low) };
        self.high = if first { other.high } else { self.high.max(other.high) };
        self.count += other.count;
    }

    /// The range, if all of `count` values could be read and blanks may hold it.
    fn all(&self, count: u64) -> Option<(i64, i64)> {
        let right = self.count == count && self.low >= -LIMIT && self.high <= LIMIT;
        right.then_some((self.low, self.high))
    }
}

/// What stands for the values in a scenario.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stand {
    /// The same in every request.
    Fixed(String),
    Days {
        low: i64,
        high: i64,
        rest: String,
    },
    /// Any other text with blanks.
    Blank(String),
    /// Nothing that could be written.
    Nothing,
}

impl Stand {
    /// As it is written in a scenario.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Fixed(text) | Self::Blank(text) => Some(text.clone()),
            Self::Days { low, high, rest } => Some(format!("{{{{date:{low}..{high}}}}}{rest}")),
            Self::Nothing => None,
        }
    }
}

impl Values {
    /// Adds a value that was asked for on `today`.
    pub(super) fn add(&mut self, value: &str, today: NaiveDate) {
        self.add_many(value, today, 1);
    }

    fn add_many(&mut self, value: &str, today: NaiveDate, times: u64) {
        self.count += times;
        let seen =
            |value: Option<i64>| value.map(|value| Seen { count: times, low: value, high: value });
        let day = day_of(value);
        self.days.add_range(seen(day.map(|(day, _)| (day - today).num_days())));
        if let Some((_, rest)) = day {
            self.day_rest.get_or_insert_with(|| rest.to_owned());
        }
        let months = |year: i32, month: u32| i64::from(year) * 12 + i64::from(month);
        let this_month = months(today.year(), today.month());
        let month = month_of(value).map(|(year, month)| months(year, month) - this_month);
        self.months.add_range(seen(month));
        let number = value.parse::<i64>().ok().filter(|number| number.to_string() == value);
        self.numbers.add_range(seen(number));
        let year = number.filter(|year| (1900..=2200).contains(year));
        self.years.add_range(seen(year.map(|year| year - i64::from(today.year()))));
        self.amounts.add_range(seen_amount(value).map(|(low, high)| Seen {
            count: times,
            low,
            high,
        }));
        self.keep(value, times);
    }

    fn keep(&mut self, value: &str, times: u64) {
        let room = self.kept.len() < MOST_VALUES;
        match self.kept.get_mut(value) {
            Some(known) => *known += times,
            None if room => {
                self.kept.insert(value.to_owned(), times);
            }
            None => self.beyond += times,
        }
    }

    /// Values that are all the same word, as a path segment's that turned out to differ.
    pub(super) fn of_word(word: &str, times: u64) -> Self {
        let mut values = Self::default();
        // The day matters for what reads as a date only, and no word does.
        values.add_many(word, NaiveDate::default(), times);
        values
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.beyond += other.beyond;
        for (value, times) in other.kept {
            self.keep(&value, times);
        }
        self.days.add_range(Some(other.days));
        self.day_rest = self.day_rest.take().or(other.day_rest);
        self.months.add_range(Some(other.months));
        self.years.add_range(Some(other.years));
        self.numbers.add_range(Some(other.numbers));
        self.amounts.add_range(Some(other.amounts));
    }

    /// What stands for them; `name` tells years from other numbers, `in_path` which characters may
    /// be written.
    pub(super) fn stand(&self, name: &str, in_path: bool) -> Stand {
        if let Some((low, high)) = self.days.all(self.count) {
            let rest = self.day_rest.clone().unwrap_or_default();
            return Stand::Days { low, high, rest };
        }
        if let Some((low, high)) = self.months.all(self.count) {
            return Stand::Blank(format!("{{{{month:{low}..{high}}}}}"));
        }
        let is_year = name.to_ascii_lowercase().contains("year");
        if let Some((low, high)) = self.years.all(self.count).filter(|_| is_year) {
            return Stand::Blank(format!("{{{{year:{low}..{high}}}}}"));
        }
        let few = self.beyond == 0 && self.kept.len() <= FEW_NUMBERS;
        if self.kept.len() == 1 && self.beyond == 0 {
            return self.choice(in_path);
        }
        if let Some((low, high)) = self.numbers.all(self.count).filter(|_| !few || in_path) {
            return Stand::Blank(format!("{{{{int:{low}..{high}}}}}"));
        }
        let range = self.amounts.all(self.count).filter(|_| !few);
        if let Some((low, high)) = range.filter(|_| self.numbers.count < self.count) {
            return Stand::Blank(format!("{{{{amount:{low}..{high}}}}}"));
        }
        self.choice(in_path)
    }

    fn choice(&self, in_path: bool) -> Stand {
        let writable = |text: &&String| {
            let plain = match in_path {
                true => {
                    !text.is_empty()
                        && text.bytes().all(|b| b.is_ascii_graphic() && !b"#?/%".contains(&b))
                }
                false => !text.chars().any(char::is_control) && text.trim() == text.as_str(),
            };
            plain && !text.contains(['|', '*', '{', '}'])
        };
        let kept: Vec<(&String, u64)> = self
            .kept
            .iter()
            .map(|(text, times)| (text, *times))
            .filter(|(t, _)| writable(t))
            .collect();
        if let [(text, _)] = kept.as_slice() {
            return Stand::Fixed((*text).clone());
        }
        let total: u64 = kept.iter().map(|(_, times)| times).sum();
        let weights: Vec<u64> =
            kept.iter().map(|(_, times)| (times * 100 + total / 2) / total.max(1)).collect();
        let weights: Vec<u64> = weights.into_iter().map(|weight| weight.max(1)).collect();
        let alike = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let text = |((text, _), weight): (&(&String, u64), &u64)| match alike || *weight == 1 {
            true => (*text).clone(),
            false => format!("{text}*{weight}"),
        };
        let texts: Vec<String> = kept.iter().zip(&weights).map(text).collect();
        match texts.is_empty() {
            true => Stand::Nothing,
            false => Stand::Blank(format!("{{{{choice:{}}}}}", texts.join("|"))),
        }
    }
}

/// `YYYY-MM`.
fn month_of(text: &str) -> Option<(i32, u32)> {
    let (year, month) = text.split_once('-').filter(|_| text.len() == 7)?;
    let (year, month): (i32, u32) = (year.parse().ok()?, month.parse().ok()?);
    ((1900..=2200).contains(&year) && (1..=12).contains(&month)).then_some((year, month))
}

/// Money: digits, a point, two digits; as the whole units below and above it.
fn seen_amount(text: &str) -> Option<(i64, i64)> {
    let (units, cents) = text.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = units.strip_prefix('-').unwrap_or(units);
    if !(1..=12).contains(&plain.len()) || !digits(plain) || cents.len() != 2 || !digits(cents) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    Some((value.floor() as i64, value.ceil() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(name: &str, values: &[&str]) -> String {
        let today = NaiveDate::from_ymd_opt(2026, 3, 31).expect("a date");
        let mut seen = Values::default();
        values.iter().for_each(|value| seen.add(value, today));
        seen.stand(name, false).text().unwrap_or_default()
    }

    #[test]
    fn each_kind_of_value_has_its_blank() {
        let numbers: Vec<String> = (3..40).map(|n| n.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let amounts: Vec<String> = (0..20).map(|n| format!("{}.50", n * 7)).collect();
        let amounts: Vec<&str> = amounts.iter().map(String::as_str).collect();
        for (name, values, expected) in [
            ("limit", &["50", "50"][..], "50"),
            ("limit", &["50", "50", "50", "20"], "{{choice:20*25|50*75}}"),
            ("kind", &["rooms", "food & drink"], "{{choice:food & drink|rooms}}"),
            ("n", &numbers, "{{int:3..39}}"),
            ("min", &amounts, "{{amount:0..134}}"),
            ("date", &["2026-03-31", "2026-03-01"], "{{date:-30..0}}"),
            ("from", &["2026-03-30T10:00:00Z"], "{{date:-1..-1}}T10:00:00Z"),
            ("month", &["2026-03", "2025-12"], "{{month:-3..0}}"),
            ("year", &["2026", "2024"], "{{year:-2..0}}"),
            ("id", &["2026", "2024"], "{{choice:2024|2026}}"),
            ("x", &["{{org}}", "a|b"], ""),
        ] {
            assert_eq!(stand(name, values), expected, "{name}");
        }
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut seen = Values::default();
        for n in 0..1000 {
            seen.add(&format!("x{n}"), NaiveDate::default());
        }
        assert_eq!((seen.kept.len(), seen.beyond), (MOST_VALUES, 1000 - MOST_VALUES as u64));
    }
}
