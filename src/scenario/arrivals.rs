//! When requests arrive.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::random;

/// The shape of the arrival process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// At equal distances.
    Constant,
    /// Independent of each other, as from many people: exponential distances.
    #[default]
    Poisson,
}

/// Arrival times within `[0, length_us)`, ascending, microseconds.
pub(super) fn times_us(
    shape: Shape,
    rate_per_s: f64,
    length_us: u64,
    rng: &mut ChaCha8Rng,
) -> Vec<u64> {
    let mean_gap_us = 1e6 / rate_per_s;
    let mut times = Vec::with_capacity((length_us as f64 / mean_gap_us * 1.1) as usize + 1);
    let mut at = 0.0;
    loop {
        match shape {
            Shape::Constant => {
                // From the index, so that rounding never adds up.
                at = times.len() as f64 * mean_gap_us;
            }
            Shape::Poisson => at -= (1.0 - random::unit(rng)).ln() * mean_gap_us,
        }
        if at >= length_us as f64 {
            return times;
        }
        times.push(at as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_keep_their_distance() {
        let times = times_us(Shape::Constant, 250.0, 1_000_000, &mut random::stream(1, 0));
        assert_eq!(times.len(), 250);
        assert!(times.windows(2).all(|w| w[1] - w[0] == 4000));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_spread_of_their_law() {
        let times = times_us(Shape::Poisson, 1000.0, 100_000_000, &mut random::stream(7, 0));
        let n = times.len() as f64;
        // The count has a standard deviation of √100000 ≈ 316.
        assert!((n - 100_000.0).abs() < 4.0 * 316.0, "{n}");
        let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential law's standard deviation is its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05);
    }
}
