//! How unevenly orgs ask: the exponent of Zipf–Mandelbrot's law by maximum likelihood.

/// What fits best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fit {
    /// 0 if all orgs ask alike.
    pub exponent: f64,
    pub flat_head: f64,
    /// Ranks it was fitted to.
    pub ranks: usize,
}

/// Differences between orgs beyond those of pure chance, relative to the mean, that are none.
const ALIKE: f64 = 0.1;
/// Standard deviations by which chance may differ from its own law.
const CHANCE: f64 = 4.0;
/// Ranks are those of the log, not those of the law: an org with few requests may stand anywhere. So
/// the fit looks at orgs with this many requests, if there are enough of them.
const SURE_COUNTS: [u64; 4] = [20, 10, 5, 1];
const ENOUGH_RANKS: usize = 100;
const MOST_RANKS: usize = 20_000;
const HIGHEST: f64 = 5.0;
/// What a flatter head must gain in log likelihood to be preferred to a simpler law.
const GAIN: f64 = 2.0;
const FLAT_HEADS: [f64; 20] = [
    0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 25.0, 35.0, 50.0, 75.0, 100.0, 150.0,
    200.0, 300.0, 500.0, 1000.0,
];

/// Fits the requests of each org, the most first.
pub(super) fn fit(counts: &[u64]) -> Fit {
    if is_even(counts) {
        return Fit { exponent: 0.0, flat_head: 0.0, ranks: counts.len() };
    }
    let of = |least: u64| counts.partition_point(|count| *count >= least);
    let ranks = SURE_COUNTS.into_iter().map(of).find(|ranks| *ranks >= ENOUGH_RANKS);
    let ranks = ranks.unwrap_or(counts.len()).min(MOST_RANKS);
    let head = &counts[..ranks];
    let mut best: Option<(f64, Fit)> = None;
    for flat_head in FLAT_HEADS {
        let logs: Vec<f64> = (1..=ranks).map(|rank| (rank as f64 + flat_head).ln()).collect();
        let (exponent, likelihood) = best_exponent(head, &logs);
        if best.is_none_or(|(known, _)| likelihood > known + GAIN) {
            best = Some((likelihood, Fit { exponent, flat_head, ranks }));
        }
    }
    let (_, fit) = best.expect("there is more than one flat head to try");
    Fit { exponent: (fit.exponent * 100.0).round() / 100.0, ..fit }
}

/// Whether the counts differ no more than those of equal orgs would by chance.
fn is_even(counts: &[u64]) -> bool {
    let n = counts.len() as f64;
    if n < 2.0 {
        return true;
    }
    let mean = counts.iter().sum::<u64>() as f64 / n;
    let variance = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>() / n;
    let by_chance = variance / mean <= 1.0 + CHANCE * (2.0 / n).sqrt();
    by_chance || (variance - mean) / (mean * mean) <= ALIKE * ALIKE
}

/// The exponent of the greatest likelihood, and its logarithm. The likelihood of one parameter of an
/// exponential family has a single peak, so golden sections find it.
fn best_exponent(counts: &[u64], logs: &[f64]) -> (f64, f64) {
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    let weighted: f64 = counts.iter().zip(logs).map(|(count, log)| *count as f64 * log).sum();
    let likelihood = |exponent: f64| {
        let sum: f64 = logs.iter().map(|log| (-exponent * log).exp()).sum();
        -exponent * weighted - total * sum.ln()
    };
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let (mut low, mut high) = (0.0, HIGHEST);
    while high - low > 1e-4 {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        match likelihood(left) > likelihood(right) {
            true => high = right,
            false => low = left,
        }
    }
    let exponent = f64::midpoint(low, high);
    (exponent, likelihood(exponent))
}

#[cfg(test)]
mod tests {
    use super::super::super::popularity::Popularity;
    use super::super::super::{Spread, random};
    use super::*;

    fn drawn(orgs: u64, spread: Spread, requests: usize) -> Vec<u64> {
        let popularity = Popularity::new(orgs, &spread);
        let mut rng = random::stream(11, 0);
        let mut counts = std::collections::BTreeMap::<u64, u64>::new();
        for _ in 0..requests {
            *counts.entry(popularity.draw(&mut rng).0).or_default() += 1;
        }
        let mut counts: Vec<u64> = counts.into_values().collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        counts
    }

    #[test]
    fn the_law_that_was_drawn_from_comes_back() {
        for (orgs, exponent, flat_head, requests) in [
            (1000, 1.1, 0.0, 50_000),
            (1000, 1.1, 10.0, 50_000),
            (100_000, 1.1, 10.0, 100_000),
            (300, 2.0, 25.0, 20_000),
            (1000, 0.8, 0.0, 20_000),
        ] {
            let fit = fit(&drawn(orgs, Spread { exponent, flat_head }, requests));
            assert!((fit.exponent - exponent).abs() < 0.1, "{exponent}, {flat_head}: {fit:?}");
            assert!((fit.flat_head - flat_head).abs() <= 0.2 * flat_head, "{flat_head}: {fit:?}");
        }
    }

    #[test]
    fn equal_orgs_are_seen_to_be_equal() {
        let even = Spread { exponent: 0.0, flat_head: 0.0 };
        for (orgs, requests) in [(1000, 20_000), (50, 100_000), (5000, 6000), (1, 10)] {
            assert_eq!(fit(&drawn(orgs, even, requests)).exponent, 0.0, "{orgs}, {requests}");
        }
    }
}
