//! When requests arrive: a rate that may change over time, and how even the distances are.
//!
//! Time here is *virtual*: it runs once per pair of windows, so that both windows of a pair are
//! asked at the same rate. Every shape is a line through knots (time, rate); arrivals are made by
//! inverting the area under it.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::random;

/// The arrival process of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "shape", deny_unknown_fields)]
pub enum Shape {
    /// At equal distances.
    Constant,
    /// Independent of each other, as from many people: exponential distances.
    #[default]
    Poisson,
    /// From one rate to another over the whole load.
    Ramp {
        /// Rate at the start, as a multiple of `--rate`.
        from: f64,
        /// Rate at the end, as a multiple of `--rate`.
        to: f64,
    },
    /// Equally long steps over the whole load.
    Steps {
        /// Rate of each step, as a multiple of `--rate`.
        levels: Vec<f64>,
    },
    /// Now and then a burst above the usual rate.
    Burst {
        /// Seconds from the start of one burst to the start of the next.
        every_s: f64,
        /// Seconds that a burst lasts.
        length_s: f64,
        /// Rate within a burst, as a multiple of `--rate`.
        factor: f64,
    },
    /// The whole load is one day: quiet nights, a peak before and one after noon; `--rate` is its
    /// mean.
    DayCurve {
        /// Relative rates at equally distant times of the day, the first at midnight; 24 of a
        /// usual office day if absent.
        #[serde(default = "office_day")]
        hours: Vec<f64>,
    },
    /// The whole load is one month whose books are closed at its end; `--rate` is its mean.
    MonthEnd {
        /// Rate on the last day as a multiple of an ordinary day's.
        #[serde(default = "usual_close")]
        factor: f64,
        /// Days before the end at which the rate begins to rise, of 30.
        #[serde(default = "usual_rise")]
        rise_days: f64,
    },
}

/// Requests per hour of a desk that works from eight to six, lunch in between.
fn office_day() -> Vec<f64> {
    vec![
        1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 9.0, 16.0, 20.0, 22.0, 20.0, 14.0, 18.0, 21.0, 20.0,
        17.0, 11.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0,
    ]
}

fn usual_close() -> f64 {
    5.0
}

fn usual_rise() -> f64 {
    5.0
}

/// Rates beyond this multiple of `--rate` are a slip of the pen.
const HIGHEST_FACTOR: f64 = 1000.0;
/// Most knots of a line.
const MOST_KNOTS: usize = 100_000;

impl Shape {
    /// Whether one part of the load is like any other.
    pub(super) fn is_steady(&self) -> bool {
        matches!(self, Self::Constant | Self::Poisson)
    }

    /// Whether the parameters make sense; the message names key, value and range.
    pub(super) fn check(&self) -> Result<(), String> {
        let factor = |key: &str, value: f64| match (0.0..=HIGHEST_FACTOR).contains(&value) {
            true => Ok(()),
            false => Err(format!("{key}: {value} is not a multiple from 0 to {HIGHEST_FACTOR}")),
        };
        let levels = |key: &str, values: &[f64]| {
            if values.is_empty() || values.len() > 1000 {
                return Err(format!("{key}: needs 1 to 1000 values"));
            }
            values.iter().try_for_each(|value| factor(key, *value))?;
            match values.iter().any(|value| *value > 0.0) {
                true => Ok(()),
                false => Err(format!("{key}: at least one value must be above 0")),
            }
        };
        match self {
            Self::Constant | Self::Poisson => Ok(()),
            Self::Ramp { from, to } => levels("from, to", &[*from, *to]),
            Self::Steps { levels: values } => levels("levels", values),
            Self::Burst { every_s, length_s, factor: high } => {
                if !(0.1..=86_400.0).contains(every_s) {
                    return Err(format!("every_s: {every_s} is not from 0.1 to 86400 seconds"));
                }
                if !(0.01..=*every_s).contains(length_s) {
                    return Err(format!("length_s: {length_s} is not from 0.01 to every_s"));
                }
                factor("factor", *high)
            }
            Self::DayCurve { hours } => levels("hours", hours),
            Self::MonthEnd { factor: high, rise_days } => {
                if !(0.0..=30.0).contains(rise_days) {
                    return Err(format!("rise_days: {rise_days} is not from 0 to 30 days"));
                }
                factor("factor", *high)
            }
        }
    }

    /// Rate over virtual time as (seconds, requests per second), for a load of `length_s`.
    fn knots(&self, rate_per_s: f64, length_s: f64) -> Vec<(f64, f64)> {
        // From (share of the load, multiple of the rate).
        let scaled = |points: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
            points.into_iter().map(|(at, level)| (at * length_s, level * rate_per_s)).collect()
        };
        match self {
            Self::Constant | Self::Poisson => scaled(vec![(0.0, 1.0), (1.0, 1.0)]),
            Self::Ramp { from, to } => scaled(vec![(0.0, *from), (1.0, *to)]),
            Self::Steps { levels } => {
                let width = 1.0 / levels.len() as f64;
                let step = |(index, level): (usize, &f64)| {
                    [(index as f64 * width, *level), ((index + 1) as f64 * width, *level)]
                };
                scaled(levels.iter().enumerate().flat_map(step).collect())
            }
            Self::Burst { every_s, length_s: burst_s, factor } => {
                let bursts = ((length_s / every_s).ceil() as usize).min(MOST_KNOTS / 4);
                let burst = |index: usize| {
                    let start = index as f64 * every_s;
                    let end = start + burst_s;
                    [(start, *factor), (end, *factor), (end, 1.0), (start + every_s, 1.0)]
                };
                (0..bursts).flat_map(burst).map(|(at, level)| (at, level * rate_per_s)).collect()
            }
            Self::DayCurve { hours } => {
                let mean = hours.iter().sum::<f64>() / hours.len() as f64;
                let of = |index: usize| hours[index % hours.len()] / mean;
                let width = 1.0 / hours.len() as f64;
                scaled((0..=hours.len()).map(|i| (i as f64 * width, of(i))).collect())
            }
            Self::MonthEnd { factor, rise_days } => {
                let rise = rise_days / 30.0;
                let mean = 1.0 + (factor - 1.0) * rise / 2.0;
                let (usual, close) = (1.0 / mean, factor / mean);
                scaled(vec![(0.0, usual), (1.0 - rise, usual), (1.0, close)])
            }
        }
    }
}

/// The line through the knots with the area under it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Intensity {
    even: bool,
    /// (seconds, requests per second, requests until then), ascending.
    knots: Vec<(f64, f64, f64)>,
}

impl Intensity {
    pub(super) fn new(shape: &Shape, rate_per_s: f64, length_s: f64) -> Self {
        let mut area = 0.0;
        let mut last: Option<(f64, f64)> = None;
        let mut knots = Vec::new();
        for (at, rate) in shape.knots(rate_per_s, length_s) {
            if let Some((before, rate_before)) = last {
                area += (at - before) * (rate + rate_before) / 2.0;
            }
            last = Some((at, rate));
            knots.push((at, rate, area));
        }
        Self { even: *shape == Shape::Constant, knots }
    }

    /// Requests expected until `at_s`.
    pub(super) fn area(&self, at_s: f64) -> f64 {
        let after = self.knots.partition_point(|knot| knot.0 <= at_s).max(1);
        let (from, rate, area) = self.knots[after - 1];
        let Some((to, rate_to, _)) = self.knots.get(after) else { return area };
        let (length, slope) = (at_s - from, (rate_to - rate) / (to - from));
        area + length * (rate + slope * length / 2.0)
    }

    /// The moment until which `area` requests are expected; `None` beyond the end.
    fn invert(&self, area: f64) -> Option<f64> {
        let after = self.knots.partition_point(|knot| knot.2 <= area);
        let (to, rate_to, _) = *self.knots.get(after)?;
        let (from, rate, before) = self.knots[after.max(1) - 1];
        let slope = (rate_to - rate) / (to - from);
        let rest = area - before;
        // rate·t + slope·t²/2 = rest, written so that neither a flat nor a rising line divides by 0.
        let root = (rate * rate + 2.0 * slope * rest).max(0.0).sqrt();
        Some(from + 2.0 * rest / (rate + root))
    }

    /// Arrival times within `[from_s, from_s + length)`, ascending, microseconds from `from_s`.
    pub(super) fn times_us(&self, from_s: f64, length_us: u64, rng: &mut ChaCha8Rng) -> Vec<u64> {
        let first = self.area(from_s);
        let expected = self.area(from_s + length_us as f64 / 1e6) - first;
        let mut times = Vec::with_capacity((expected * 1.1) as usize + 1);
        let mut passed = 0.0;
        loop {
            if self.even {
                // From the index, so that rounding never adds up; the first comes at the next whole
                // request, which may lie in a later window.
                passed = (first - 1e-9).ceil().max(0.0) - first + times.len() as f64;
            } else {
                passed -= (1.0 - random::unit(rng)).ln();
            }
            let Some(at_s) = self.invert(first + passed) else { return times };
            let at_us = ((at_s - from_s) * 1e6).round().max(0.0) as u64;
            if at_us >= length_us {
                return times;
            }
            times.push(at_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All arrivals of a load of `length_s` at a mean of `rate_per_s`, in seconds.
    fn arrivals(shape: &Shape, rate_per_s: f64, length_s: f64) -> Vec<f64> {
        shape.check().expect("valid");
        let intensity = Intensity::new(shape, rate_per_s, length_s);
        let times = intensity.times_us(0.0, (length_s * 1e6) as u64, &mut random::stream(7, 0));
        assert!(times.is_sorted());
        times.into_iter().map(|us| us as f64 / 1e6).collect()
    }

    fn within(times: &[f64], from: f64, to: f64) -> f64 {
        times.iter().filter(|at| (from..to).contains(*at)).count() as f64
    }

    #[test]
    fn constant_arrivals_keep_their_distance() {
        let times = arrivals(&Shape::Constant, 250.0, 1.0);
        assert_eq!(times.len(), 250);
        assert!(times.windows(2).all(|w| ((w[1] - w[0]) * 1e6).round() as u64 == 4000));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_spread_of_their_law() {
        let times = arrivals(&Shape::Poisson, 1000.0, 100.0);
        let n = times.len() as f64;
        // The count has a standard deviation of √100000 ≈ 316.
        assert!((n - 100_000.0).abs() < 4.0 * 316.0, "{n}");
        let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential law's standard deviation is its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_curve_puts_arrivals_where_its_rate_is() {
        // Shape, a stretch of a load of 100 s at 1000/s, the arrivals expected in it.
        let close = Shape::MonthEnd { factor: 5.0, rise_days: 6.0 };
        let cases = [
            (Shape::Ramp { from: 0.0, to: 2.0 }, 0.0, 50.0, 25_000.0),
            (Shape::Steps { levels: vec![1.0, 0.0, 3.0, 0.5] }, 50.0, 75.0, 75_000.0),
            (Shape::Burst { every_s: 20.0, length_s: 2.0, factor: 6.0 }, 20.0, 22.0, 12_000.0),
            (Shape::DayCurve { hours: vec![0.0, 2.0] }, 25.0, 75.0, 75_000.0),
            // Mean 1.4; the last fifth holds (1 + 5) / 2 of an ordinary day.
            (close, 80.0, 100.0, 20_000.0 * 3.0 / 1.4),
        ];
        for (shape, from, to, expected) in cases {
            let seen = within(&arrivals(&shape, 1000.0, 100.0), from, to);
            assert!((seen - expected).abs() < 4.0 * expected.sqrt(), "{shape:?}: {seen}");
        }
    }

    #[test]
    fn windows_side_by_side_hold_what_the_whole_holds() {
        let shape = Shape::DayCurve { hours: office_day() };
        let intensity = Intensity::new(&shape, 400.0, 60.0);
        let mut rng = random::stream(3, 0);
        let parts: usize = (0..30)
            .map(|i| intensity.times_us(f64::from(i) * 2.0, 2_000_000, &mut rng).len())
            .sum();
        assert!((parts as f64 - 24_000.0).abs() < 4.0 * 24_000_f64.sqrt(), "{parts}");
    }

    #[test]
    fn parameters_outside_their_range_are_refused() {
        for shape in [
            Shape::Ramp { from: -1.0, to: 1.0 },
            Shape::Ramp { from: 0.0, to: 0.0 },
            Shape::Steps { levels: vec![] },
            Shape::Steps { levels: vec![f64::NAN] },
            Shape::Burst { every_s: 0.0, length_s: 1.0, factor: 2.0 },
            Shape::Burst { every_s: 1.0, length_s: 2.0, factor: 2.0 },
            Shape::DayCurve { hours: vec![0.0] },
            Shape::MonthEnd { factor: 1e9, rise_days: 5.0 },
            Shape::MonthEnd { factor: 2.0, rise_days: 31.0 },
        ] {
            assert!(shape.check().is_err(), "{shape:?}");
        }
    }
}
