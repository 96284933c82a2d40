//! From figures to places on a drawing.

use crate::report::text::number;

/// An axis: figures from `min` to `max` lie between two places, evenly or by their logarithm.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    min: f64,
    max: f64,
    from_px: f64,
    to_px: f64,
    logarithmic: bool,
}

impl Scale {
    /// An even axis; at least a hundredth wide, so that it always has a direction.
    pub fn linear((min, max): (f64, f64), (from_px, to_px): (f64, f64)) -> Self {
        let min = if min.is_finite() { min } else { 0.0 };
        let max = if max.is_finite() { max.max(min + 0.01) } else { min + 1.0 };
        Self { min, max, from_px, to_px, logarithmic: false }
    }

    /// A logarithmic axis over a range of positive figures.
    pub fn logarithmic((min, max): (f64, f64), (from_px, to_px): (f64, f64)) -> Self {
        let min = if min.is_finite() && min > 0.0 { min } else { 1.0 };
        let max = if max.is_finite() { max.max(min * 1.01) } else { min * 10.0 };
        Self { min, max, from_px, to_px, logarithmic: true }
    }

    /// A logarithmic axis that holds all figures and begins and ends at round ones.
    pub fn round_logarithmic(figures: impl Iterator<Item = f64>, px: (f64, f64)) -> Self {
        let usable = figures.filter(|v| v.is_finite() && *v > 0.0);
        let range = usable.fold(None, |range: Option<(f64, f64)>, v| {
            Some(range.map_or((v, v), |(min, max)| (min.min(v), max.max(v))))
        });
        let (min, max) = range.unwrap_or((1.0, 10.0));
        let (low, mut high) = (round_down(min), round_up(max));
        if high < low * 1.9 {
            high = round_up(low * 2.0);
        }
        Self::logarithmic((low, high), px)
    }

    /// The place of a figure; what lies outside the axis stands at its end.
    pub fn at(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.min } else { value.clamp(self.min, self.max) };
        let share = if self.logarithmic {
            (value / self.min).ln() / (self.max / self.min).ln()
        } else {
            (value - self.min) / (self.max - self.min)
        };
        self.from_px + share * (self.to_px - self.from_px)
    }

    /// Whether a figure lies on the axis.
    pub fn holds(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    /// Round figures for the axis, at most about `wanted`, each with its text.
    pub fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        if self.logarithmic { self.logarithmic_ticks(wanted) } else { self.linear_ticks(wanted) }
    }

    fn logarithmic_ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        const EACH: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let first = self.min.log10().floor() as i32;
        let last = self.max.log10().ceil() as i32;
        let text = |tick: f64| (tick, number(tick, decimals(tick)));
        for steps in [&EACH[..], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]] {
            let ticks: Vec<f64> = (first..=last)
                .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)))
                .filter(|tick| self.holds(*tick * 1.000_001) || self.holds(*tick * 0.999_999))
                .collect();
            if ticks.len() <= wanted && ticks.len() >= 2 {
                return ticks.into_iter().map(text).collect();
            }
        }
        vec![text(self.min), text(self.max)]
    }

    fn linear_ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        let step = round_up((self.max - self.min) / wanted.max(1) as f64);
        let first = (self.min / step).ceil();
        (0..=wanted)
            .map(|i| (first + i as f64) * step)
            .filter(|tick| *tick <= self.max * 1.000_001)
            .map(|tick| (tick, number(tick, decimals(step))))
            .collect()
    }
}

/// Decimals that a round figure needs, at most six.
fn decimals(round: f64) -> usize {
    let magnitude = round.abs().log10();
    // The small term keeps 0.1 from being taken for something below it.
    if magnitude.is_finite() { (-(magnitude + 1e-9).floor()).clamp(0.0, 6.0) as usize } else { 0 }
}

/// The next figure of 1, 2, 5 times a power of ten that is not above.
fn round_down(value: f64) -> f64 {
    round(value, |step, of| step <= of * 1.000_001, true)
}

/// The next figure of 1, 2, 5 times a power of ten that is not below.
fn round_up(value: f64) -> f64 {
    round(value, |step, of| step >= of * 0.999_999, false)
}

fn round(value: f64, fits: impl Fn(f64, f64) -> bool, last: bool) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let mut fitting = steps.into_iter().filter(|step| fits(*step, value));
    let found = if last { fitting.next_back() } else { fitting.next() };
    found.filter(|v| v.is_finite() && *v > 0.0).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale, wanted: usize) -> Vec<String> {
        scale.ticks(wanted).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_figure_keeps_its_place_and_never_leaves_the_axis() {
        let scale = Scale::logarithmic((1.0, 100.0), (0.0, 200.0));
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300] {
            assert!((0.0..=200.0).contains(&scale.at(odd)), "{odd}");
        }
    }

    #[test]
    fn axes_end_at_round_figures() {
        let scale = Scale::round_logarithmic([1.3, 87.0].into_iter(), (0.0, 100.0));
        assert_eq!((scale.min, scale.max), (1.0, 100.0));
        assert_eq!(texts(&scale, 8), ["1", "2", "5", "10", "20", "50", "100"]);
        let close = Scale::round_logarithmic([0.62, 0.71].into_iter(), (0.0, 100.0));
        assert_eq!(texts(&close, 8), ["0.5", "0.6", "0.7", "0.8", "0.9", "1"]);
        let single = Scale::round_logarithmic([3.0].into_iter(), (0.0, 100.0));
        assert!(single.max > single.min && single.holds(3.0));
        let nothing = Scale::round_logarithmic([f64::NAN].into_iter(), (0.0, 100.0));
        assert!(nothing.at(5.0).is_finite());
    }

    #[test]
    fn even_axes_have_round_ticks() {
        let scale = Scale::linear((0.0, 62.0), (0.0, 100.0));
        assert_eq!(texts(&scale, 7), ["0", "10", "20", "30", "40", "50", "60"]);
        let short = Scale::linear((0.0, 1.0), (0.0, 100.0));
        assert_eq!(texts(&short, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    }
}
