//! Dates by season and weekday, and the moments that break cut-overs.

use chrono::{Datelike, Months, NaiveDate};

use super::profile::CalendarSpec;
use super::random::{Share, Stream, Weighted};
use super::wire::{DAY_US, date_of, days_since_2000};
use cutover_error::{Error, Result};

/// The days data may lie on, with their weights.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// First day, in days since 2000-01-01.
    pub first: i32,
    /// Days in all; the last one is the day before `as_of`.
    pub days: u32,
    weighted: Weighted,
}

impl Calendar {
    /// The calendar that ends on the day before `as_of`.
    ///
    /// # Errors
    /// A usage error if months, weights or `as_of` are out of range.
    pub fn new(spec: &CalendarSpec, as_of: NaiveDate) -> Result<Self> {
        if !(1970..=2200).contains(&as_of.year()) {
            let what = format!("--as-of {as_of}: out of range");
            return Err(Error::usage(what, "allowed: 1970-01-01 to 2200-12-31"));
        }
        if !(1..=240).contains(&spec.months) {
            let what = format!("[calendar] months = {}: out of range", spec.months);
            return Err(Error::usage(what, "allowed: 1 to 240"));
        }
        let first = days_since_2000(as_of - Months::new(spec.months)) + 1;
        let days = (days_since_2000(as_of) - first) as u32;
        let weights: Vec<u64> = (first..first + days as i32).map(|day| weight(spec, day)).collect();
        if weights.iter().sum::<u64>() == 0 {
            return Err(Error::usage(
                "[calendar]: no day has a weight above 0",
                "give one month and one weekday at least a weight above 0",
            ));
        }
        Ok(Self { first, days, weighted: Weighted::new(&weights) })
    }

    /// A day by season and weekday.
    pub fn draw(&self, stream: &mut Stream) -> i32 {
        self.first + self.weighted.draw(stream) as i32
    }

    /// The midnight at which `as_of` begins: no moment of the data reaches it.
    pub fn end_us(&self) -> i64 {
        (i64::from(self.first) + i64::from(self.days)) * DAY_US
    }

    /// A moment of the given day: most around noon, a share on one of its two edges.
    pub fn moment_on(&self, day: i32, edge: Share, stream: &mut Stream) -> i64 {
        let midnight = i64::from(day) * DAY_US;
        if stream.chance(edge) {
            return midnight + if stream.below(2) == 0 { 0 } else { DAY_US - 1 };
        }
        let half = DAY_US as u64 / 2;
        midnight + (stream.below_wide(half) + stream.below_wide(half)) as i64
    }

    /// A moment within so many years before `as_of`, a share on the edge of a month.
    pub fn moment_within(&self, years: u32, edge: Share, stream: &mut Stream) -> i64 {
        let day = (self.end_us() / DAY_US) as i32 - 1 - stream.below(years * 365) as i32;
        let on_edge = stream.chance(edge);
        let moment = self.moment_on(day, edge, stream);
        if on_edge {
            let month = month_after(moment) - i64::from(stream.below(2));
            return month.min(self.end_us() - 1);
        }
        moment
    }

    /// A moment at most `days` after another one, a share on the first midnight of a month.
    pub fn moment_after(&self, moment: i64, days: u32, edge: Share, stream: &mut Stream) -> i64 {
        let later = if stream.chance(edge) {
            month_after(moment) - i64::from(stream.below(2))
        } else {
            moment + 1 + stream.below_wide(u64::from(days) * DAY_US as u64) as i64
        };
        later.min(self.end_us() - 1)
    }
}

/// The first midnight of the month after a moment.
fn month_after(moment: i64) -> i64 {
    let date = date_of(moment.div_euclid(DAY_US) as i32);
    let first = date.with_day(1).expect("every month has a first day");
    i64::from(days_since_2000(first + Months::new(1))) * DAY_US
}

fn weight(spec: &CalendarSpec, day: i32) -> u64 {
    let date = date_of(day);
    let season = spec.seasons[date.month0() as usize];
    let weekday = spec.weekdays[date.weekday().num_days_from_monday() as usize];
    let last = (date + chrono::TimeDelta::days(1)).day() == 1;
    let leap_day = date.month() == 2 && date.day() == 29;
    let edge = if date.day() == 1 || last || leap_day { spec.edge_weight } else { 1 };
    u64::from(season) * u64::from(weekday) * u64::from(edge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::key;

    fn calendar() -> Calendar {
        let spec = CalendarSpec { edge_weight: 3, ..CalendarSpec::default() };
        Calendar::new(&spec, NaiveDate::from_ymd_opt(2025, 6, 30).expect("valid")).expect("valid")
    }

    #[test]
    fn the_calendar_ends_on_the_day_before() {
        let calendar = calendar();
        assert_eq!(date_of(calendar.first).to_string(), "2023-07-01");
        assert_eq!(date_of(calendar.first + calendar.days as i32 - 1).to_string(), "2025-06-29");
    }

    #[test]
    fn moments_stay_on_their_side_of_as_of() {
        let calendar = calendar();
        let mut stream = Stream::new(&key(42, None), 1);
        let (mut midnights, mut before) = (0, 0);
        for _ in 0..10_000 {
            let day = calendar.draw(&mut stream);
            let created = calendar.moment_on(day, Share::new(0.1), &mut stream);
            assert_eq!(created.div_euclid(DAY_US), i64::from(day));
            midnights += u32::from(created % DAY_US == 0);
            before += u32::from(created % DAY_US == DAY_US - 1);
            let updated = calendar.moment_after(created, 45, Share::new(0.1), &mut stream);
            assert!(created <= updated && updated < calendar.end_us());
            assert!(calendar.moment_within(8, Share::new(0.1), &mut stream) < calendar.end_us());
        }
        assert!(midnights > 300 && before > 300, "{midnights} {before}");
    }
}
