//! How many transactions an org has: heavy-tailed, known without generating anything, and with the
//! mean that was asked for.

use super::random::{Stream, VOCABULARY_STREAMS};
use cutover_error::{Error, Result};
use cutover_evidence::manifest::OrgSizeClass;
use rand_chacha::ChaCha8Rng;

/// 2⁶⁴ divided by the golden ratio: multiples of it, modulo 2⁶⁴, are spread as evenly as can be.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// The fractional part of the square root of 2, times 2⁶⁴: evenly spread too, and independently.
const ROOT_2: u64 = 0x6A09_E667_F3BC_C909;

/// The sizes of all orgs.
///
/// An org's place in the quantile function is its multiple of the golden ratio (a Kronecker
/// sequence), not a free draw: any range of orgs then holds small and large ones in the right
/// proportion, and the mean is met with a few thousand orgs although the tail is heavy. Only
/// additions, multiplications and comparisons of `f64` are used, which are exact everywhere.
#[derive(Debug, Clone)]
pub struct Sizes {
    points: Vec<[f64; 2]>,
    /// Factor from the points' scale to transactions beyond the first.
    scale: f64,
    offsets: [u64; 2],
}

impl Sizes {
    /// Sizes with the given mean.
    ///
    /// # Errors
    /// A usage error if the mean is below 1 or the points are no quantile function.
    pub fn new(points: &[[f64; 2]], mean: f64, key: &ChaCha8Rng) -> Result<Self> {
        if !(1.0..=100_000.0).contains(&mean) {
            let what = format!("--transactions-per-org {mean}: out of range");
            return Err(Error::usage(what, "allowed: 1 to 100000"));
        }
        let ascending = points.windows(2).all(|w| w[0][0] < w[1][0] && w[0][1] <= w[1][1]);
        let ends =
            points.first().map(|p| p[0]) == Some(0.0) && points.last().map(|p| p[0]) == Some(1.0);
        let area: f64 =
            points.windows(2).map(|w| (w[1][0] - w[0][0]) * (w[0][1] + w[1][1]) / 2.0).sum();
        if !ascending || !ends || points[0][1] < 0.0 || !area.is_finite() || area <= 0.0 {
            return Err(Error::usage(
                "[orgs] size_quantiles: not a quantile function",
                "points [share, size] ascend in both, from share 0.0 to share 1.0",
            ));
        }
        let mut stream = Stream::new(key, VOCABULARY_STREAMS - 1);
        let offsets = [stream.below_wide(u64::MAX), stream.below_wide(u64::MAX)];
        Ok(Self { points: points.to_vec(), scale: (mean - 1.0) / area, offsets })
    }

    /// Transactions of one org, at least 1.
    ///
    /// The fraction is rounded up or down in proportion, so that the mean stays exact.
    pub fn of(&self, org: u64) -> u64 {
        let place = unit(org.wrapping_mul(GOLDEN).wrapping_add(self.offsets[0]));
        let rounding = unit(org.wrapping_mul(ROOT_2).wrapping_add(self.offsets[1]));
        let right = self.points.iter().skip(1).position(|p| place < p[0]).unwrap_or(0) + 1;
        let ([x0, y0], [x1, y1]) = (self.points[right - 1], self.points[right]);
        let size = y0 + (y1 - y0) * ((place - x0) / (x1 - x0));
        1 + (size * self.scale + rounding) as u64
    }

    /// More than any org has.
    pub fn bound(&self) -> u64 {
        let largest = self.points.last().map_or(0.0, |point| point[1]);
        (largest * self.scale) as u64 + 3
    }

    /// Transactions of a range of orgs.
    pub fn total(&self, orgs: std::ops::Range<u64>) -> u64 {
        orgs.map(|org| self.of(org)).sum()
    }

    /// How many orgs of a range have how many transactions, in classes that grow by the factor of
    /// about three.
    pub fn histogram(&self, orgs: std::ops::Range<u64>) -> Vec<OrgSizeClass> {
        let limits = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, u64::MAX];
        let mut counts = [0u64; 12];
        for org in orgs {
            let size = self.of(org);
            counts[limits.partition_point(|&limit| limit < size)] += 1;
        }
        let froms = std::iter::once(1).chain(limits.iter().map(|limit| limit.saturating_add(1)));
        let classes = froms.zip(limits).zip(counts);
        classes
            .filter(|(_, orgs)| *orgs > 0)
            .map(|((from, to), orgs)| OrgSizeClass {
                from,
                to: to.min(self.bound().max(from)),
                orgs,
            })
            .collect()
    }
}

/// 64 bits as a number in `[0, 1)`.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, random};

    fn sizes(mean: f64, rng_seed: u64) -> Sizes {
        let points = Profile::reference().orgs.size_quantiles;
        Sizes::new(&points, mean, &random::key(rng_seed, None)).expect("valid points")
    }

    #[test]
    fn the_mean_is_met_and_nobody_is_empty() {
        for (rng_seed, mean) in [(42, 10.0), (7, 10.0), (1, 2.5), (42, 100.0)] {
            let sizes = sizes(mean, rng_seed);
            let total = sizes.total(1..100_001) as f64 / 100_000.0;
            assert!((total / mean - 1.0).abs() < 0.03, "{rng_seed}: {total} for {mean}");
            assert!((1..100_001).all(|org| (1..sizes.bound()).contains(&sizes.of(org))));
        }
    }

    #[test]
    fn most_orgs_have_a_handful_and_a_few_have_tens_of_thousands() {
        let sizes = sizes(10.0, 42);
        let handful = (1..1_000_001u64).filter(|&org| sizes.of(org) <= 5).count();
        let largest = (1..1_000_001u64).map(|org| sizes.of(org)).max();
        assert!(handful > 600_000, "{handful}");
        assert!(largest > Some(10_000), "{largest:?}");
    }

    #[test]
    fn the_histogram_counts_every_org_once() {
        let histogram = sizes(10.0, 42).histogram(1..10_001);
        assert_eq!(histogram.iter().map(|class| class.orgs).sum::<u64>(), 10_000);
        assert!(histogram.windows(2).all(|w| w[0].to < w[1].from));
    }

    #[test]
    fn what_is_no_quantile_function_is_refused() {
        let key = random::key(1, None);
        assert!(Sizes::new(&[[0.0, 1.0]], 10.0, &key).is_err());
        assert!(Sizes::new(&[[0.0, 2.0], [1.0, 1.0]], 10.0, &key).is_err());
        assert!(Sizes::new(&[[0.0, 0.0], [1.0, 0.0]], 10.0, &key).is_err());
        assert!(Sizes::new(&[[0.0, 1.0], [1.0, 2.0]], 0.5, &key).is_err());
    }
}
