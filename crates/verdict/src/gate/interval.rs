//! The interval of a middle that no burst can carry away.
//!
//! Huber's M-estimate of location (1964): each log ratio counts with its distance from the middle, but
//! with no more than [`CLIP`] times the usual distance (the median absolute deviation, made
//! comparable with a standard deviation). Its standard error follows from the clipped distances; over
//! it the middle is referred to Student's t with K − 1 degrees of freedom. If nothing is clipped
//! this is the mean and its t interval.
//!
//! What disturbs a machine hits either side with the same chance, so that pairs far outside
//! ([`WILD`]) lie on both sides. If they lie on one side beyond chance (the sign test), or on one side
//! alone and are more than a tenth, they are no noise but what that side does now and then; then the
//! plain t interval, in which each pair counts whole, is held together with the other. So it is with
//! fewer than [`FEW`] pairs, among which no distance is a usual one.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// Beyond so many usual distances a pair counts no more than that.
const CLIP: f64 = 1.5;
/// Beyond so many usual distances a pair is wild.
const WILD: f64 = 4.0;
/// How probable it may be that wild pairs lie on one side by chance: five of five.
const LOPSIDED: f64 = 0.05;
/// Of fewer pairs each counts whole.
const FEW: usize = 12;
/// More wild pairs than this share are no accident of one side.
const SOME: f64 = 0.1;
/// A median absolute deviation times this is the standard deviation of a normal law.
const NORMAL: f64 = 1.482_602_218_505_602;
/// Steps until the middle rests; it converges in a few.
const STEPS: usize = 100;

/// A ratio with its one-sided bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub pairs: usize,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
    /// Of the log ratios: √K times the standard error of their middle.
    pub deviation: f64,
    /// Of each bound.
    pub confidence: f64,
    /// Wild pairs below the middle, and above it.
    pub wild: [u32; 2],
}

/// exp(middle ± t_c,K₋₁ · s/√K) for a confidence c; `None` with fewer than two pairs.
pub(super) fn interval(log_ratios: &[f64], confidence: f64) -> Option<Interval> {
    let pairs = log_ratios.len();
    if pairs < 2 || log_ratios.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let k = pairs as f64;
    let t = t_quantile(confidence, k - 1.0);
    let plain = mean(log_ratios);
    let (middle, wild) = clipped(log_ratios).unwrap_or((plain, [0, 0]));
    let bounds = |of: Middle| {
        let margin = t * of.deviation / k.sqrt();
        (of.at - margin, of.at + margin)
    };
    let (mut low, mut high) = bounds(middle);
    if pairs < FEW || is_lopsided(wild, pairs) {
        let (lower, higher) = bounds(plain);
        (low, high) = (low.min(lower), high.max(higher));
    }
    let (ratio, low, high) = (middle.at.exp(), low.exp(), high.exp());
    // A spread beyond all numbers is no interval, and could not be written as JSON either.
    [ratio, low, high].iter().all(|bound| bound.is_finite()).then_some(Interval {
        pairs,
        ratio,
        low,
        high,
        deviation: middle.deviation,
        confidence,
        wild,
    })
}

pub(super) fn t_quantile(p: f64, degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom)
        .map_or(f64::INFINITY, |distribution| distribution.inverse_cdf(p))
}

/// A middle, and √K times its standard error.
#[derive(Clone, Copy)]
struct Middle {
    at: f64,
    deviation: f64,
}

fn mean(values: &[f64]) -> Middle {
    let k = values.len() as f64;
    let at = values.iter().sum::<f64>() / k;
    let squares: f64 = values.iter().map(|value| (value - at).powi(2)).sum();
    Middle { at, deviation: (squares / (k - 1.0)).sqrt() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[half - 1], values[half]),
        _ => values[half],
    }
}

/// Huber's middle, and the wild values below and above it; `None` if most values are the same, so
/// that no distance is the usual one.
fn clipped(values: &[f64]) -> Option<(Middle, [u32; 2])> {
    let start = median(values.to_vec());
    let usual = NORMAL * median(values.iter().map(|value| (value - start).abs()).collect());
    if usual <= 0.0 || !usual.is_finite() {
        return None;
    }
    let k = values.len() as f64;
    let within = |at: f64| {
        values.iter().filter(|value| ((*value - at) / usual).abs() < CLIP).count().max(1) as f64 / k
    };
    let scores =
        |at: f64| values.iter().map(move |value| ((value - at) / usual).clamp(-CLIP, CLIP));
    let mut at = start;
    for _ in 0..STEPS {
        let step = usual * (scores(at).sum::<f64>() / k) / within(at);
        at += step;
        if step.abs() <= 1e-12 * usual {
            break;
        }
    }
    let squares: f64 = scores(at).map(|score| score * score).sum();
    let deviation = usual * (squares / (k - 1.0)).sqrt() / within(at);
    let wild = |sign: f64| {
        values.iter().filter(|value| sign * (*value - at) > WILD * usual).count() as u32
    };
    Some((Middle { at, deviation }, [wild(-1.0), wild(1.0)]))
}

/// Whether wild values lie on one side beyond chance, or on one side alone and often.
fn is_lopsided([below, above]: [u32; 2], pairs: usize) -> bool {
    if below.min(above) == 0 && f64::from(below.max(above)) > SOME * pairs as f64 {
        return true;
    }
    let (most, all) = (u64::from(below.max(above)), u64::from(below + above));
    let Some(fewer) = most.checked_sub(1) else { return false };
    Binomial::new(0.5, all).is_ok_and(|chance| chance.sf(fewer) <= LOPSIDED)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const CONFIDENCE: f64 = 0.95;

    proptest! {
        #[test]
        fn who_is_called_the_baseline_does_not_matter(ratios in vec(-2.0..2.0_f64, 2..60)) {
            let swapped: Vec<f64> = ratios.iter().map(|d| -d).collect();
            let (one, other) = (interval(&ratios, CONFIDENCE), interval(&swapped, CONFIDENCE));
            let (one, other) = (one.expect("two pairs"), other.expect("two pairs"));
            prop_assert!((one.ratio * other.ratio - 1.0).abs() < 1e-9);
            prop_assert!((one.low * other.high - 1.0).abs() < 1e-9);
            prop_assert_eq!(one.wild, [other.wild[1], other.wild[0]]);
        }

        #[test]
        fn the_bounds_hold_the_ratio_and_the_order_of_pairs_is_nothing(
            mut ratios in vec(-2.0..2.0_f64, 2..60)
        ) {
            let one = interval(&ratios, CONFIDENCE).expect("two pairs");
            prop_assert!(0.0 < one.low && one.low <= one.ratio && one.ratio <= one.high);
            ratios.reverse();
            let other = interval(&ratios, CONFIDENCE).expect("two pairs");
            prop_assert!((one.high / other.high - 1.0).abs() < 1e-9);
        }

        #[test]
        fn any_numbers_give_finite_bounds_or_none(ratios in vec(any::<f64>(), 0..20)) {
            if let Some(interval) = interval(&ratios, CONFIDENCE) {
                prop_assert!(interval.low.is_finite() && interval.high.is_finite());
            }
        }

        #[test]
        fn no_single_pair_carries_the_middle_away(
            ratios in vec(-0.1..0.1_f64, 12..40), far in 1.0..20.0_f64
        ) {
            let calm = interval(&ratios, CONFIDENCE).expect("pairs");
            let with = |d: f64| {
                let all: Vec<f64> = ratios.iter().copied().chain([d]).collect();
                interval(&all, CONFIDENCE).expect("pairs")
            };
            // It moves by what a pair at the clip would move it, whatever its own distance.
            prop_assert!((with(far).ratio / with(1.0).ratio - 1.0).abs() < 1e-9);
            prop_assert!((with(far).ratio / calm.ratio).ln().abs() < 0.05);
        }
    }

    #[test]
    fn without_anything_to_clip_the_interval_is_students() {
        // Worked by hand: mean 0.1, s = 0.1, K = 3, t(0.95, 2) = 2.91999.
        let interval = interval(&[0.0, 0.1, 0.2], CONFIDENCE).expect("three pairs");
        let margin = 2.919_985_580_355_516 * 0.1 / 3_f64.sqrt();
        assert!((interval.low.ln() - (0.1 - margin)).abs() < 1e-6);
        assert!((interval.high.ln() - (0.1 + margin)).abs() < 1e-6);
        assert_eq!(interval.wild, [0, 0]);
    }

    #[test]
    fn one_pair_or_nonsense_is_no_interval() {
        assert_eq!(interval(&[], CONFIDENCE), None);
        assert_eq!(interval(&[0.1], CONFIDENCE), None);
        assert_eq!(interval(&[0.1, f64::NAN], CONFIDENCE), None);
        assert_eq!(interval(&[0.1, f64::INFINITY], CONFIDENCE), None);
    }

    /// Twenty-four pairs that wander by a few per cent, and some that do not belong to them.
    fn with(wild: &[f64]) -> Interval {
        let calm = (0..24).map(|pair| 0.03 * f64::from(pair % 5 - 2));
        let all: Vec<f64> = calm.chain(wild.iter().copied()).collect();
        interval(&all, CONFIDENCE).expect("pairs")
    }

    #[test]
    fn bursts_on_both_sides_are_noise_and_bursts_on_one_side_are_not() {
        let (none, both) = (with(&[]), with(&[1.0, -1.0, 1.2, -0.9, 1.1, -1.2]));
        assert_eq!(both.wild, [3, 3]);
        assert!(both.high < 1.06 && both.high > none.high, "{both:?}");
        // A twin that is three times as slow now and then is not to be called alike.
        let one = with(&[1.0, 1.1, 1.2, 0.9, 1.1, 1.2]);
        assert_eq!(one.wild, [0, 6]);
        assert!(one.high > 1.3 && one.low < 1.0, "{one:?}");
    }
}
