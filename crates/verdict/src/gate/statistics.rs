//! Is the partitioned side slower? The paired comparison of p95s.
//!
//! For each pair dᵢ = ln p95(partitioned) − ln p95(legacy). What drifts on the machine or in the target
//! falls on both sides of a pair, whose windows take turns, so the middle of the dᵢ over its own
//! standard error ([`super::interval`]) follows a t law even if single windows wander. Comparing
//! pooled percentiles, or resampling single requests, calls a true +10 % a GO in a quarter to a half
//! of all runs.

use std::collections::BTreeMap;

use super::boundaries;
use super::interval::{Interval, interval, t_quantile};
use cutover_evidence::drive::{
    Comparison, DriveEvidence, Look, ModeLatency, OperationComparison, Side, Window, WindowLatency,
};

/// Confidence of a one-sided bound that is looked at once.
pub const CONFIDENCE: f64 = 0.95;
/// More looks than these are not planned.
pub const MOST_LOOKS: u32 = 10;
/// What part of that chance each of the loads has that one increment may be driven with.
const ATTEMPTS: [f64; 3] = [0.6, 0.2, 0.2];
/// More loads than these are not driven for one increment.
pub const MAX_ATTEMPTS: u32 = ATTEMPTS.len() as u32;
/// Chance of a decision that the number of further pairs is worked out for.
const POWER: f64 = 0.90;
/// With fewer requests in a mode, a rate of one failure in a thousand cannot be seen.
pub(super) const MIN_REQUESTS: u64 = 1000;
/// With fewer pairs nothing is decided.
pub const MIN_PAIRS: usize = 6;

/// Confidence of the bounds at the look that comes after those that were taken and undecided.
pub(super) fn confidence_of(drive: &DriveEvidence) -> f64 {
    let part = match drive.attempt as usize {
        0 => 1.0,
        attempt => ATTEMPTS[attempt.min(ATTEMPTS.len()) - 1],
    };
    let chance = part * (1.0 - CONFIDENCE);
    let taken = drive.looks.iter().filter(|look| look.undecided).count();
    let planned = boundaries::confidences(&drive.looks_at, chance);
    // Looks of which nobody says when they were to come share the chance evenly.
    let unplanned = 1.0 - chance / (taken + 1).max(drive.looks_planned as usize) as f64;
    planned.get(taken).copied().unwrap_or(unplanned)
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
/// together, for example 1.10. `None` if there are not two pairs to compare.
///
/// The bounds hold the interval of what was felt and that of response times from which what the
/// generator itself was late is taken out: a lag that could decide makes them wider.
pub fn compare(drive: &DriveEvidence, limit: f64) -> Option<Comparison> {
    let confidence = confidence_of(drive);
    let all = as_felt(drive, confidence)?;
    let own = without_own_lag(drive, confidence).unwrap_or(all);
    let (low, high) = (all.low.min(own.low), all.high.max(own.high));
    let undecided = low <= limit && high >= limit;
    let further = (pairs_needed(&all, limit) - all.pairs as f64).ceil().max(1.0);
    Some(Comparison {
        pairs: all.pairs as u32,
        p95_ratio: all.ratio,
        p95_ratio_low: low,
        p95_ratio_high: high,
        confidence: all.confidence,
        standard_error: all.deviation / (all.pairs as f64).sqrt(),
        pooled_p95_ratio: pooled_ratio(drive),
        smallest_detectable_ratio: Some(smallest_detectable(&all, limit)),
        // Known to whoever knows the limits.
        judged_from_us: 0,
        further_pairs_needed: if undecided { further as u32 } else { 0 },
        wild_pairs: all.wild,
        operations: drive
            .operations
            .iter()
            .map(|o| compare_operation(drive, &o.name, confidence))
            .collect(),
        org_sizes: drive
            .org_sizes
            .iter()
            .map(|c| compare_org_size(drive, &c.name, confidence))
            .collect(),
    })
}

/// A look at a load that still runs: do its pairs decide, or are more needed?
///
/// It is undecided if neither bound has crossed the limit, or too little is there for it, or for what
/// else a GO asks of a load. `None` if there is nothing that more pairs could decide.
pub fn look(drive: &DriveEvidence, limit: f64) -> Option<Look> {
    let comparison = compare(drive, limit)?;
    let (low, high) = (comparison.p95_ratio_low, comparison.p95_ratio_high);
    let pooled = comparison.pooled_p95_ratio.unwrap_or(f64::INFINITY);
    let decided = low > limit || (high < limit && pooled < limit && is_enough(drive));
    Some(Look {
        pairs: comparison.pairs,
        confidence: comparison.confidence,
        p95_ratio: comparison.p95_ratio,
        p95_ratio_low: low,
        p95_ratio_high: high,
        undecided: !decided || (comparison.pairs as usize) < MIN_PAIRS,
    })
}

/// Whether a load that ends here has requests enough to see an error rate, and pairs enough of each
/// operation and size of org.
fn is_enough(drive: &DriveEvidence) -> bool {
    let requests = drive.overall.values().all(|latency| latency.requests >= MIN_REQUESTS);
    let mut pairs: BTreeMap<&str, u32> = BTreeMap::new();
    for window in drive.windows.iter().filter(|window| window.candidate) {
        let classes = window.operations.iter().chain(&window.org_sizes);
        for (name, latency) in classes {
            *pairs.entry(name).or_default() += u32::from(latency.arrivals > 0);
        }
    }
    requests && pairs.values().all(|pairs| *pairs as usize >= MIN_PAIRS)
}

/// The interval of response times as they were felt.
pub(super) fn as_felt(drive: &DriveEvidence, confidence: f64) -> Option<Interval> {
    interval(&log_ratios(&drive.windows, |window| Some(&window.all)), confidence)
}

/// The same of response times from which what the generator itself was late is taken out.
pub(super) fn without_own_lag(drive: &DriveEvidence, confidence: f64) -> Option<Interval> {
    let ratios = log_ratios(&drive.windows, |window| Some(&window.without_own_lag));
    interval(&ratios, confidence)
}

fn compare_org_size(drive: &DriveEvidence, name: &str, confidence: f64) -> OperationComparison {
    let windows = of_windows(&drive.windows, |window| window.org_sizes.get(name));
    let slice = drive
        .slices
        .iter()
        .find(|slice| slice.operation.is_none() && slice.by == "org_size" && slice.class == name);
    named_comparison(name, &windows, confidence, slice.map(|slice| &slice.modes))
}

fn compare_operation(drive: &DriveEvidence, name: &str, confidence: f64) -> OperationComparison {
    let windows = of_windows(&drive.windows, |window| window.operations.get(name));
    let operation = drive.operations.iter().find(|operation| operation.name == name);
    let modes = operation.map(|operation| &operation.modes);
    named_comparison(name, &windows, confidence, modes)
}

fn named_comparison(
    name: &str,
    (ratios, failed_pairs): &(Vec<f64>, [u32; 2]),
    confidence: f64,
    modes: Option<&BTreeMap<Side, ModeLatency>>,
) -> OperationComparison {
    let interval = interval(ratios, confidence);
    let p95 = |mode| Some(modes?.get(&mode)?.response_us.p95 as i64);
    let difference = match (p95(Side::Legacy), p95(Side::Partitioned)) {
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
    match (p95(Side::Legacy)?, p95(Side::Partitioned)?) {
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
    use super::*;

    #[test]
    fn the_chance_of_a_wrong_bound_is_shared_by_looks_and_by_attempts() {
        let level = |drive: DriveEvidence| (confidence_of(&drive) * 1000.0).round();
        let of = |attempt| level(DriveEvidence { attempt, ..DriveEvidence::default() });
        assert_eq!([0, 1, 2, 3].map(of), [950.0, 970.0, 990.0, 990.0]);
        assert!((ATTEMPTS.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let after = |looks_at: &[u32], taken: usize| {
            let looks = vec![Look { undecided: true, ..Look::default() }; taken];
            level(DriveEvidence { looks_at: looks_at.into(), looks, ..DriveEvidence::default() })
        };
        // Two looks of equal information: 0.031 and 0.0264 of 0.05 are spent.
        assert_eq!([after(&[18, 36], 0), after(&[18, 36], 1)], [969.0, 970.0]);
        // A record that does not say when looks were to be taken.
        assert_eq!([after(&[], 0), after(&[], 1)], [950.0, 975.0]);
    }
}
