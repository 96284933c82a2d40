//! How sure each of several looks has to be, so that all of them together are wrong no oftener than one.
//!
//! Lan and DeMets (1983): the chance of a wrong verdict is spent over the looks by a function of the
//! share of the information that is there at each, here their Pocock-type one. How much of it a look
//! may spend beyond what the looks before have spent follows from the joint distribution of all of
//! them, by the recursion of Armitage, McPherson and Rowe (1969): the sum of what was seen is a
//! Brownian motion watched at the looks. With few pairs the bound is taken as a level of significance
//! and turned into a quantile of Student's t (Jennison and Turnbull, section 3.8).

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

/// Points at which a density is kept.
const POINTS: usize = 301;
/// Standard deviations below zero beyond which nothing is.
const FAR: f64 = 8.0;

/// The share of the whole chance that is spent once a share of the information is there.
fn spent(information: f64) -> f64 {
    (1.0 + (std::f64::consts::E - 1.0) * information.clamp(0.0, 1.0)).ln()
}

/// The confidence of a one-sided bound at each look, the chance of a wrong one at any of them being at
/// most `chance`; `at` is what each look has of the information, ascending.
///
/// One look alone has 1 − `chance`. Looks that are none, at nothing or in no order, give an empty list.
pub(super) fn confidences(at: &[u32], chance: f64) -> Vec<f64> {
    let ascending = at.is_sorted_by(|one, next| one < next) && at.first() > Some(&0);
    let Some(last) = at.last().filter(|_| ascending) else { return Vec::new() };
    let normal = Normal::standard();
    let shares: Vec<f64> = at.iter().map(|look| f64::from(*look) / f64::from(*last)).collect();
    let mut spent_before = 0.0;
    let mut density: Option<Density> = None;
    let mut confidences = Vec::new();
    for share in shares {
        let spends = chance * spent(share) - spent_before;
        spent_before += spends;
        let bound = match &density {
            None => share.sqrt() * normal.inverse_cdf(1.0 - spends),
            Some(density) => density.bound(share, spends),
        };
        confidences.push(normal.cdf(bound / share.sqrt()));
        density = Some(match &density {
            None => Density::first(share, bound),
            Some(density) => density.next(share, bound),
        });
    }
    confidences
}

/// How the sum is distributed at a look among the runs that go on: points below the bound.
struct Density {
    share: f64,
    from: f64,
    step: f64,
    values: Vec<f64>,
}

impl Density {
    fn over(share: f64, bound: f64, value: impl Fn(f64) -> f64) -> Self {
        let from = -FAR * share.sqrt();
        let step = (bound - from) / (POINTS - 1) as f64;
        let values = (0..POINTS).map(|point| value(from + step * point as f64)).collect();
        Self { share, from, step, values }
    }

    fn first(share: f64, bound: f64) -> Self {
        let law = Normal::new(0.0, share.sqrt()).expect("a positive deviation");
        Self::over(share, bound, |sum| law.pdf(sum))
    }

    fn next(&self, share: f64, bound: f64) -> Self {
        let deviation = (share - self.share).max(f64::MIN_POSITIVE).sqrt();
        let law = Normal::new(0.0, deviation).expect("a positive deviation");
        Self::over(share, bound, |sum| self.integrate(|before| law.pdf(sum - before)))
    }

    /// The bound that a share of all runs crosses at the next look, having crossed none before.
    fn bound(&self, share: f64, spends: f64) -> f64 {
        let deviation = (share - self.share).max(f64::MIN_POSITIVE).sqrt();
        let law = Normal::new(0.0, deviation).expect("a positive deviation");
        let (mut low, mut high) = (0.0, FAR * share.sqrt());
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            match self.integrate(|before| law.sf(middle - before)) > spends {
                true => low = middle,
                false => high = middle,
            }
        }
        f64::midpoint(low, high)
    }

    /// By Simpson's rule.
    fn integrate(&self, of: impl Fn(f64) -> f64) -> f64 {
        let weighed = self.values.iter().enumerate().map(|(point, value)| {
            let weight = match point {
                0 => 1.0,
                last if last == POINTS - 1 => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * value * of(self.from + self.step * point as f64)
        });
        weighed.sum::<f64>() * self.step / 3.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(at: &[u32], chance: f64) -> Vec<f64> {
        let normal = Normal::standard();
        confidences(at, chance).into_iter().map(|level| normal.inverse_cdf(level)).collect()
    }

    #[test]
    fn five_equal_looks_are_those_of_the_tables() {
        // Reboussin, DeMets, Kim and Lan (2000), Pocock-type spending, 0.025 on one side.
        let known = [2.438, 2.427, 2.410, 2.397, 2.386];
        for (bound, known) in bounds(&[1, 2, 3, 4, 5], 0.025).iter().zip(known) {
            assert!((bound - known).abs() < 2e-3, "{bound} is not {known}");
        }
    }

    #[test]
    fn one_look_spends_everything_and_none_is_no_bound() {
        assert!((confidences(&[36], 0.05)[0] - 0.95).abs() < 1e-9);
        assert!(confidences(&[], 0.05).is_empty());
        for nonsense in [&[0][..], &[0, 12], &[12, 0, 24], &[12, 12]] {
            assert!(confidences(nonsense, 0.05).is_empty(), "{nonsense:?}");
        }
    }

    #[test]
    fn more_looks_ask_for_more_and_never_for_more_than_a_split_would() {
        let (two, five) = (confidences(&[18, 36], 0.05), confidences(&[12, 18, 24, 30, 36], 0.05));
        let split = |level: &f64| *level <= 1.0 - 0.05 / 8.0 && *level > 0.95;
        assert!(two.iter().chain(&five).all(split), "{two:?} {five:?}");
        assert!(five[4] > two[1]);
    }
}
