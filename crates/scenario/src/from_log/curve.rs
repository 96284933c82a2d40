//! When requests came: evenly, at random, in steps, or as a day goes.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset, Timelike};

/// Intervals that are counted one by one; they grow twice as long when there are more.
const MOST_INTERVALS: usize = 4096;
/// From so many hours on, a log shows a day.
const A_DAY_H: f64 = 20.0;
const MOST_STEPS: usize = 24;
/// Requests that make a step, and intervals: fewer are chance.
const STEP_REQUESTS: u64 = 50;
const STEP_INTERVALS: usize = 20;
/// Changes of the rate beyond those of pure chance, relative to the mean, that are none.
const FLAT: f64 = 0.1;

/// Requests over time.
#[derive(Debug)]
pub(super) struct Curve {
    count: u64,
    /// Length of an interval, seconds.
    width_s: i64,
    /// Requests by the number of their interval from 1970.
    intervals: BTreeMap<i64, u64>,
    /// Requests by hour of the day, by the clock of the log.
    hours: [u64; 24],
    span: Option<(DateTime<FixedOffset>, DateTime<FixedOffset>)>,
}

/// The shape of arrivals, and what it was seen from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// The lines below `[arrivals]`.
    pub toml: String,
    pub words: String,
    /// The longest time without a request, seconds, if it is a large part of the whole.
    pub pause_s: Option<i64>,
}

impl Curve {
    pub(super) fn new() -> Self {
        Self { count: 0, width_s: 1, intervals: BTreeMap::new(), hours: [0; 24], span: None }
    }

    pub(super) fn add(&mut self, at: DateTime<FixedOffset>) {
        self.count += 1;
        self.hours[at.hour() as usize] += 1;
        self.span = Some(match self.span {
            None => (at, at),
            Some((first, last)) => (first.min(at), last.max(at)),
        });
        *self.intervals.entry(at.timestamp().div_euclid(self.width_s)).or_default() += 1;
        while self.intervals.len() > MOST_INTERVALS {
            self.width_s *= 2;
            let mut wider = BTreeMap::new();
            for (interval, count) in std::mem::take(&mut self.intervals) {
                *wider.entry(interval.div_euclid(2)).or_default() += count;
            }
            self.intervals = wider;
        }
    }

    pub(super) fn span(&self) -> Option<(DateTime<FixedOffset>, DateTime<FixedOffset>)> {
        self.span
    }

    /// Seconds from the first request to the last, at least one.
    pub(super) fn length_s(&self) -> f64 {
        let length = self.span.map(|(first, last)| (last - first).num_milliseconds());
        (length.unwrap_or(0) as f64 / 1000.0).max(1.0)
    }

    pub(super) fn rate_per_s(&self) -> f64 {
        self.count as f64 / self.length_s()
    }

    /// What the arrivals look like.
    pub(super) fn shape(&self) -> Seen {
        let pause_s = self.longest_pause_s().filter(|pause| *pause as f64 > self.length_s() / 4.0);
        let seen = |toml: String, words: String| Seen { toml, words, pause_s };
        let is_day = self.length_s() / 3600.0 >= A_DAY_H;
        let rates = if is_day { self.rates_of_a_day() } else { self.steps() };
        let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        // What independent arrivals vary by: counts as much as their own mean.
        let chance = mean * mean * rates.len() as f64 / self.count as f64;
        let variance =
            rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / rates.len().max(1) as f64;
        if rates.len() < 2 || (variance - chance).max(0.0).sqrt() <= FLAT * mean {
            return match self.is_even() {
                true => seen("shape = \"constant\"\n".into(), "constant".into()),
                false => seen("shape = \"poisson\"\n".into(), "Poisson, no trend".into()),
            };
        }
        let levels: Vec<String> = rates
            .iter()
            .map(|rate| format!("{:?}", (rate / mean * 1000.0).round() / 1000.0))
            .collect();
        let levels = levels.join(", ");
        match is_day {
            true => seen(
                format!("shape = \"day_curve\"\nhours = [{levels}]\n"),
                "a day's curve, by the hour".into(),
            ),
            false => {
                let minutes = self.length_s() / 60.0 / rates.len() as f64;
                seen(
                    format!("shape = \"steps\"\nlevels = [{levels}]\n"),
                    format!("{} steps of {minutes:.1} min each", rates.len()),
                )
            }
        }
    }

    /// Requests in equal parts of the log's time.
    fn steps(&self) -> Vec<f64> {
        let (Some((first, _)), Some((last, _))) =
            (self.intervals.first_key_value(), self.intervals.last_key_value())
        else {
            return Vec::new();
        };
        let width = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        let enough = usize::try_from(self.count / STEP_REQUESTS).unwrap_or(usize::MAX);
        let number = MOST_STEPS.min(width / STEP_INTERVALS).min(enough).max(1);
        let mut steps = vec![0.0; number];
        for (interval, count) in &self.intervals {
            let at = (interval - first) as f64 + 0.5;
            let step = (at / width as f64 * number as f64) as usize;
            steps[step.min(number - 1)] += *count as f64;
        }
        steps
    }

    /// Requests a second in each hour of the day: days that are only in part there count in part.
    fn rates_of_a_day(&self) -> Vec<f64> {
        let Some((first, last)) = self.span else { return Vec::new() };
        let length_s = (last - first).num_seconds();
        let mut covered_s = [(length_s / 86_400) as f64 * 3600.0; 24];
        let (mut at_s, end_s) = (0, length_s % 86_400);
        let begin_s = i64::from(first.num_seconds_from_midnight());
        while at_s < end_s {
            let into_hour = (begin_s + at_s) % 3600;
            let part = (3600 - into_hour).min(end_s - at_s);
            covered_s[((begin_s + at_s) / 3600 % 24) as usize] += part as f64;
            at_s += part;
        }
        let rate = |(count, covered_s): (&u64, f64)| match covered_s > 0.0 {
            true => *count as f64 / covered_s,
            false => 0.0,
        };
        self.hours.iter().zip(covered_s).map(rate).collect()
    }

    /// Whether seconds hold requests more evenly than independent arrivals would.
    fn is_even(&self) -> bool {
        /// An index of dispersion of independent arrivals is 1.
        const EVEN: f64 = 0.3;
        // First and last second are there in part only.
        let inner = self.intervals.len().saturating_sub(2);
        let (Some((first, _)), Some((last, _))) =
            (self.intervals.first_key_value(), self.intervals.last_key_value())
        else {
            return false;
        };
        let seconds = (last - first - 1).max(0) as f64;
        if self.width_s > 1 || inner < 10 {
            return false;
        }
        let counts = || self.intervals.values().skip(1).take(inner).map(|count| *count as f64);
        let mean = counts().sum::<f64>() / seconds;
        let squares: f64 = counts().map(|count| count * count).sum::<f64>() / seconds;
        mean >= 3.0 && (squares - mean * mean) / mean < EVEN
    }

    fn longest_pause_s(&self) -> Option<i64> {
        let keys: Vec<i64> = self.intervals.keys().copied().collect();
        keys.windows(2).map(|pair| (pair[1] - pair[0] - 1) * self.width_s).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of each hour from the middle of 1 March on.
    fn curve(by_hour: impl Iterator<Item = u64>) -> Curve {
        let begin = DateTime::parse_from_rfc3339("2026-03-01T12:00:00+01:00").expect("a time");
        let mut curve = Curve::new();
        for (hour, count) in by_hour.enumerate() {
            for n in 0..count {
                let seconds = hour as f64 * 3600.0 + n as f64 * 3600.0 / count as f64;
                curve.add(begin + chrono::TimeDelta::milliseconds((seconds * 1000.0) as i64));
            }
        }
        curve
    }

    #[test]
    fn days_become_a_curve_whatever_part_of_them_is_there() {
        // 60 hours: afternoons are there three times, mornings twice.
        let seen =
            curve((0..60).map(|hour| if (12 + hour) % 24 >= 12 { 300 } else { 100 })).shape();
        let low = "0.5, ".repeat(12);
        assert!(seen.toml.starts_with("shape = \"day_curve\"\nhours = [0.5"), "{seen:?}");
        let hours: Vec<f64> = seen
            .toml
            .split(['[', ']'])
            .nth(1)
            .expect("a list")
            .split(", ")
            .map(|hour| hour.parse().expect("a number"))
            .collect();
        assert_eq!(hours.len(), 24, "{low}");
        assert!(hours[..12].iter().all(|hour| (hour - 0.5).abs() < 0.03), "{hours:?}");
        assert!(hours[12..].iter().all(|hour| (hour - 1.5).abs() < 0.05), "{hours:?}");
    }

    #[test]
    fn a_change_within_hours_becomes_steps_and_no_change_none() {
        let seen = curve([200, 200, 800, 800].into_iter()).shape();
        assert!(seen.toml.contains("steps"), "{seen:?}");
        assert!(
            seen.toml.contains("levels = [0.4") && seen.words.starts_with("24 steps"),
            "{seen:?}"
        );
        let seen = curve([500, 510, 490, 505].into_iter()).shape();
        assert_eq!(seen.toml, "shape = \"poisson\"\n");
        let seen = curve([36_000].into_iter()).shape();
        assert_eq!(seen.toml, "shape = \"constant\"\n");
    }

    #[test]
    fn memory_has_a_bound_however_long_the_log_is() {
        let seen = curve((0..20_000).map(|_| 1));
        assert!(seen.intervals.len() <= MOST_INTERVALS);
        assert_eq!(seen.intervals.values().sum::<u64>(), 20_000);
    }
}
