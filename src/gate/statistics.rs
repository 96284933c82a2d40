//! Is the partitioned side slower? The paired comparison of window p95s.
//!
//! For each pair of adjacent windows dᵢ = ln p95(partitioned) − ln p95(legacy). What drifts on the
//! machine or in the target falls on both windows of a pair, so the mean of the dᵢ over its own
//! standard error follows a t law even where single windows wander. Comparing pooled percentiles,
//! or resampling single requests, calls a true +10 % a GO in a quarter to a half of all runs.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::evidence::drive::{
    Comparison, DriveEvidence, Look, Mode, ModeLatency, OperationComparison, Window, WindowLatency,
};

/// Confidence of a one-sided bound that is looked at once.
pub const CONFIDENCE: f64 = 0.95;
/// The chance of a wrong bound, split over as many looks as are planned. The first look gets most of
/// it, because most runs are decided there.
const SPLITS: [&[f64]; 3] = [&[1.0 - CONFIDENCE], &[0.04, 0.01], &[0.03, 0.01, 0.01]];
/// More looks than these are not planned.
pub const MAX_EXTENSIONS: u32 = SPLITS.len() as u32 - 1;
/// What part of that chance each of the loads has that one increment may be driven with.
const ATTEMPTS: [f64; 3] = [0.6, 0.2, 0.2];
/// More loads than these are not driven for one increment.
pub const MAX_ATTEMPTS: u32 = ATTEMPTS.len() as u32;
/// Chance of a decision that the number of further pairs is worked out for.
const POWER: f64 = 0.90;
/// With fewer pairs nothing is decided.
pub const MIN_PAIRS: usize = 6;

/// A ratio with its one-sided bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub pairs: usize,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
    /// Standard deviation of the log ratios.
    pub deviation: f64,
    /// Of each bound.
    pub confidence: f64,
}

/// Confidence of the bounds at a look; `taken` of the `planned` looks ended undecided before it.
fn confidence(planned: usize, taken: usize) -> f64 {
    let split = SPLITS[planned.clamp(1, SPLITS.len()) - 1];
    1.0 - split[taken.min(split.len() - 1)]
}

fn confidence_of(drive: &DriveEvidence) -> f64 {
    let undecided = drive.looks.iter().filter(|look| look.undecided).count();
    let chance = 1.0 - confidence(drive.looks_planned as usize, undecided);
    let part = match drive.attempt as usize {
        0 => 1.0,
        attempt => ATTEMPTS[attempt.min(ATTEMPTS.len()) - 1],
    };
    1.0 - part * chance
}

/// exp(d̄ ± t_c,K₋₁ · s/√K) for a confidence c; `None` with fewer than two pairs.
pub(super) fn interval(log_ratios: &[f64], confidence: f64) -> Option<Interval> {
    let pairs = log_ratios.len();
    if pairs < 2 || log_ratios.iter().any(|d| !d.is_finite()) {
        return None;
    }
    let k = pairs as f64;
    let mean = log_ratios.iter().sum::<f64>() / k;
    let variance = log_ratios.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (k - 1.0);
    let deviation = variance.sqrt();
    let margin = t_quantile(confidence, k - 1.0) * deviation / k.sqrt();
    let (ratio, low, high) = (mean.exp(), (mean - margin).exp(), (mean + margin).exp());
    // A spread beyond all numbers is no interval, and could not be written as JSON either.
    [ratio, low, high].iter().all(|bound| bound.is_finite()).then_some(Interval {
        pairs,
        ratio,
        low,
        high,
        deviation,
        confidence,
    })
}

pub(super) fn t_quantile(p: f64, degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom)
        .map_or(f64::INFINITY, |distribution| distribution.inverse_cdf(p))
}

/// How many pairs a decision at `limit` needs with the spread seen so far:
/// K ≈ ((t_α + t_β) · s / ln limit)² + 2.
fn pairs_needed(interval: &Interval, limit: f64) -> f64 {
    let freedom = interval.pairs as f64 - 1.0;
    let t = t_quantile(interval.confidence, freedom) + t_quantile(POWER, freedom);
    (t * interval.deviation / limit.ln()).powi(2) + 2.0
}

/// The smallest true ratio that such a run calls worse than `limit` with probability [`POWER`].
fn smallest_detectable(interval: &Interval, limit: f64) -> f64 {
    let k = interval.pairs as f64;
    let t = t_quantile(interval.confidence, k - 1.0) + t_quantile(POWER, k - 1.0);
    limit * (t * interval.deviation / k.sqrt()).exp()
}

/// Compares the modes over the measured windows; `limit` is the criterion for all operations
/// together, for example 1.10. `None` where there are not two pairs to compare.
pub fn compare(drive: &DriveEvidence, limit: f64) -> Option<Comparison> {
    let confidence = confidence_of(drive);
    let all = interval(&log_ratios(&drive.windows, |window| Some(&window.all)), confidence)?;
    let undecided = all.low <= limit && all.high >= limit;
    let further = (pairs_needed(&all, limit) - all.pairs as f64).ceil().max(1.0);
    Some(Comparison {
        pairs: all.pairs as u32,
        p95_ratio: all.ratio,
        p95_ratio_low: all.low,
        p95_ratio_high: all.high,
        confidence,
        pooled_p95_ratio: pooled_ratio(drive),
        smallest_detectable_ratio: Some(smallest_detectable(&all, limit)),
        // Known to whoever knows the limits.
        judged_from_us: 0,
        further_pairs_needed: if undecided { further as u32 } else { 0 },
        operations: drive.operations.iter().map(|o| compare_operation(drive, &o.name)).collect(),
        org_sizes: drive.org_sizes.iter().map(|c| compare_org_size(drive, &c.name)).collect(),
    })
}

/// A look at a load that still runs: do its pairs decide, or are more needed?
///
/// It is undecided where neither bound has crossed the limit, and where what the generator itself
/// was late makes the difference. `None` where there is nothing that more pairs could decide.
pub fn look(drive: &DriveEvidence, limit: f64) -> Option<Look> {
    let comparison = compare(drive, limit)?;
    let (low, high) = (comparison.p95_ratio_low, comparison.p95_ratio_high);
    let pooled = comparison.pooled_p95_ratio.unwrap_or(f64::INFINITY);
    let finding = |low: f64, high: f64| match () {
        () if low > limit => Some(false),
        () if high < limit => Some(true),
        () => None,
    };
    let felt = finding(low, high).filter(|go| !go || pooled < limit);
    let own = without_own_lag(drive).map(|own| finding(own.low, own.high));
    let few = (comparison.pairs as usize) < MIN_PAIRS;
    Some(Look {
        pairs: comparison.pairs,
        confidence: comparison.confidence,
        p95_ratio: comparison.p95_ratio,
        p95_ratio_low: low,
        p95_ratio_high: high,
        undecided: few || felt.is_none() || own.is_some_and(|own| own != felt),
    })
}

/// The same comparison of response times from which what the generator itself was late is taken
/// out.
pub(super) fn without_own_lag(drive: &DriveEvidence) -> Option<Interval> {
    let ratios = log_ratios(&drive.windows, |window| Some(&window.without_own_lag));
    interval(&ratios, confidence_of(drive))
}

fn compare_org_size(drive: &DriveEvidence, name: &str) -> OperationComparison {
    let windows = of_windows(&drive.windows, |window| window.org_sizes.get(name));
    let slice = drive
        .slices
        .iter()
        .find(|slice| slice.operation.is_none() && slice.by == "org_size" && slice.class == name);
    named_comparison(name, &windows, confidence_of(drive), slice.map(|slice| &slice.modes))
}

fn compare_operation(drive: &DriveEvidence, name: &str) -> OperationComparison {
    let windows = of_windows(&drive.windows, |window| window.operations.get(name));
    let operation = drive.operations.iter().find(|operation| operation.name == name);
    let modes = operation.map(|operation| &operation.modes);
    named_comparison(name, &windows, confidence_of(drive), modes)
}

fn named_comparison(
    name: &str,
    (ratios, failed_pairs): &(Vec<f64>, [u32; 2]),
    confidence: f64,
    modes: Option<&BTreeMap<Mode, ModeLatency>>,
) -> OperationComparison {
    let interval = interval(ratios, confidence);
    let p95 = |mode| Some(modes?.get(&mode)?.response_us.p95 as i64);
    let difference = match (p95(Mode::Legacy), p95(Mode::Partitioned)) {
        (Some(legacy), Some(partitioned)) => partitioned - legacy,
        _ => 0,
    };
    OperationComparison {
        name: name.to_owned(),
        pairs: ratios.len() as u32,
        p95_ratio: interval.map(|i| i.ratio),
        p95_ratio_low: interval.map(|i| i.low),
        p95_ratio_high: interval.map(|i| i.high),
        p95_difference_us: difference,
        failed_pairs: *failed_pairs,
    }
}

/// The log ratios, and the pairs that have none because one side failed.
fn of_windows<'a>(
    windows: &'a [Window],
    pick: impl Fn(&'a Window) -> Option<&'a WindowLatency> + Copy,
) -> (Vec<f64>, [u32; 2]) {
    let mut pairs: BTreeMap<u32, [Option<bool>; 2]> = BTreeMap::new();
    for window in windows {
        if let Some(latency) = pick(window).filter(|latency| latency.arrivals > 0) {
            let sides = pairs.entry(window.pair).or_default();
            sides[usize::from(window.candidate)] = Some(latency.p95_us.is_some());
        }
    }
    let only = |side: usize| {
        let failed =
            |pair: &&[Option<bool>; 2]| pair[side] == Some(false) && pair[1 - side] == Some(true);
        pairs.values().filter(failed).count() as u32
    };
    (log_ratios(windows, pick), [only(0), only(1)])
}

fn pooled_ratio(drive: &DriveEvidence) -> Option<f64> {
    let p95 = |mode| drive.overall.get(&mode).map(|latency| latency.response_us.p95);
    match (p95(Mode::Legacy)?, p95(Mode::Partitioned)?) {
        (0, _) => None,
        (legacy, partitioned) => Some(partitioned as f64 / legacy as f64),
    }
}

/// One log ratio for each pair in which both windows have a p95.
fn log_ratios<'a>(
    windows: &'a [Window],
    pick: impl Fn(&'a Window) -> Option<&'a WindowLatency>,
) -> Vec<f64> {
    let mut pairs: BTreeMap<u32, [Option<f64>; 2]> = BTreeMap::new();
    for window in windows {
        if let Some(p95_us) = pick(window).and_then(|latency| latency.p95_us) {
            let sides = pairs.entry(window.pair).or_default();
            // Below the clock's resolution everything is alike.
            sides[usize::from(window.candidate)] = Some(p95_us.max(1) as f64);
        }
    }
    pairs
        .values()
        .filter_map(|[baseline, candidate]| Some(((*candidate)? / (*baseline)?).ln()))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let unit = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let (u, v) = (unit(rng.next_u64()), unit(rng.next_u64()));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A machine whose log speed drifts as an AR(1) with ρ 0.8 and a standard deviation of 12 %.
    struct Machine {
        rng: ChaCha8Rng,
        drift: f64,
    }

    const RHO: f64 = 0.8;
    const DRIFT: f64 = 0.12;
    const OWN_NOISE: f64 = 0.03;

    impl Machine {
        fn new(mut rng: ChaCha8Rng) -> Self {
            let drift = normal(&mut rng) * DRIFT;
            Self { rng, drift }
        }

        fn window(&mut self, extra: f64) -> f64 {
            self.drift =
                RHO * self.drift + DRIFT * (1.0 - RHO * RHO).sqrt() * normal(&mut self.rng);
            self.drift + OWN_NOISE * normal(&mut self.rng) + extra
        }

        /// The log ratio of a pair whose order is drawn.
        fn pair(&mut self, true_ratio: f64) -> f64 {
            if self.rng.next_u64() & 1 == 0 {
                let legacy = self.window(0.0);
                self.window(true_ratio.ln()) - legacy
            } else {
                let partitioned = self.window(true_ratio.ln());
                partitioned - self.window(0.0)
            }
        }
    }

    /// Twelve interleaved pairs, and six more for each look that stays undecided, 3000 times;
    /// returns the shares of GO and of NO-GO, and the mean number of pairs.
    fn simulate(true_ratio: f64, planned: usize) -> (f64, f64, f64) {
        const RUNS: u32 = 3000;
        const PAIRS: usize = 12;
        let mut rng = ChaCha8Rng::seed_from_u64(20_260_301);
        let (mut go, mut no_go, mut pairs) = (0, 0, 0);
        for _ in 0..RUNS {
            let mut machine = Machine::new(rng);
            let mut ratios = Vec::new();
            for taken in 0..planned {
                while ratios.len() < PAIRS + taken * PAIRS / 2 {
                    ratios.push(machine.pair(true_ratio));
                }
                let interval = interval(&ratios, confidence(planned, taken)).expect("pairs");
                let (is_go, is_no_go) = (interval.high < 1.10, interval.low > 1.10);
                go += u32::from(is_go);
                no_go += u32::from(is_no_go);
                if is_go || is_no_go {
                    break;
                }
            }
            pairs += ratios.len();
            rng = machine.rng;
        }
        let share = |count: u32| f64::from(count) / f64::from(RUNS);
        (share(go), share(no_go), pairs as f64 / f64::from(RUNS))
    }

    #[test]
    fn a_true_regression_at_the_limit_is_seldom_a_go_however_often_it_is_looked_at() {
        for planned in 1..=SPLITS.len() {
            let (go, ..) = simulate(1.10, planned);
            assert!(go <= 0.07, "{planned} looks: false GO in {go}");
        }
    }

    #[test]
    fn a_healthy_target_is_nearly_always_a_go_and_a_quarter_more_nearly_never() {
        for planned in 1..=SPLITS.len() {
            let (go, no_go, _) = simulate(1.00, planned);
            assert!(go >= 0.90 && no_go <= 0.001, "{planned}: GO in {go}, NO-GO in {no_go}");
            let (go, no_go, _) = simulate(1.25, planned);
            assert!(no_go >= 0.95 && go <= 0.001, "{planned}: NO-GO in {no_go}, GO in {go}");
        }
    }

    #[test]
    fn extending_helps_the_undecided_and_costs_the_others_next_to_nothing() {
        let ((once, ..), (extended, _, pairs)) = (simulate(1.00, 1), simulate(1.00, 3));
        assert!(extended > once, "{extended} {once}");
        assert!(pairs < 13.0, "{pairs} pairs on average");
        // Whatever is looked at more often must not be wrong more often in all.
        for split in SPLITS {
            let sum: f64 = split.iter().sum();
            assert!((sum - (1.0 - CONFIDENCE)).abs() < 1e-9, "{split:?}");
        }
        assert!((ATTEMPTS.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let of = |attempt| confidence_of(&DriveEvidence { attempt, ..DriveEvidence::default() });
        assert_eq!(
            [0, 1, 2, 3].map(of).map(|c| (c * 1000.0).round()),
            [950.0, 970.0, 990.0, 990.0]
        );
    }

    proptest! {
        #[test]
        fn who_is_called_the_baseline_does_not_matter(ratios in vec(-2.0..2.0_f64, 2..60)) {
            let swapped: Vec<f64> = ratios.iter().map(|d| -d).collect();
            let (one, other) = (interval(&ratios, CONFIDENCE), interval(&swapped, CONFIDENCE));
            let (one, other) = (one.expect("two pairs"), other.expect("two pairs"));
            prop_assert!((one.ratio * other.ratio - 1.0).abs() < 1e-9);
            prop_assert!((one.low * other.high - 1.0).abs() < 1e-9);
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
                prop_assert!(pairs_needed(&interval, 1.1) >= 2.0);
            }
        }
    }

    #[test]
    fn the_interval_is_students() {
        // Worked by hand: mean 0.1, s = 0.1, K = 3, t(0.95, 2) = 2.91999.
        let interval = interval(&[0.0, 0.1, 0.2], CONFIDENCE).expect("three pairs");
        let margin = 2.919_985_580_355_516 * 0.1 / 3_f64.sqrt();
        assert!((interval.low.ln() - (0.1 - margin)).abs() < 1e-6);
        assert!((interval.high.ln() - (0.1 + margin)).abs() < 1e-6);
    }

    #[test]
    fn one_pair_or_nonsense_is_no_interval() {
        assert_eq!(interval(&[], CONFIDENCE), None);
        assert_eq!(interval(&[0.1], CONFIDENCE), None);
        assert_eq!(interval(&[0.1, f64::NAN], CONFIDENCE), None);
        assert_eq!(interval(&[0.1, f64::INFINITY], CONFIDENCE), None);
    }
}
