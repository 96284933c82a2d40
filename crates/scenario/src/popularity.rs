//! Which org asks: a few often, most seldom.

use rand_chacha::ChaCha8Rng;

use super::file::Spread;
use super::random;

/// Draws orgs `1..=orgs` with Zipf–Mandelbrot popularity: the org of rank `r` is asked for in
/// proportion to `(r + flat_head)^-exponent`; an exponent of 0 makes all orgs equal.
#[derive(Debug, Clone)]
pub(super) struct Popularity {
    cumulative: Vec<f64>,
    hot: u64,
}

/// Spreads the ranks over the ids, so that popular orgs are not simply the oldest ones. Prime, so
/// that it maps ranks onto ids one to one unless it divides the number of orgs.
const STRIDE: u64 = 2_654_435_761;

impl Popularity {
    pub(super) fn new(orgs: u64, spread: &Spread) -> Self {
        let mut sum = 0.0;
        let cumulative: Vec<f64> = (1..=orgs)
            .map(|rank| {
                sum += (rank as f64 + spread.flat_head).powf(-spread.exponent);
                sum
            })
            .collect();
        let hot = cumulative.partition_point(|&until| until < sum / 2.0) as u64 + 1;
        Self { cumulative, hot: hot.min(orgs) }
    }

    /// How many of the most popular orgs make half of the requests.
    pub(super) fn hot_orgs(&self) -> u64 {
        self.hot
    }

    /// An org, and whether it is one of the hot ones.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> (u64, bool) {
        let orgs = self.cumulative.len() as u64;
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let point = random::unit(rng) * total;
        let rank = self.cumulative.partition_point(|&sum| sum <= point) as u64;
        let rank = rank.min(orgs.saturating_sub(1));
        let org = 1 + (u128::from(rank) * u128::from(STRIDE) % u128::from(orgs.max(1))) as u64;
        (org, rank < self.hot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_is_another_org_and_within_range() {
        let orgs = 1000;
        let ids: std::collections::BTreeSet<u64> =
            (0..orgs).map(|rank| 1 + rank * STRIDE % orgs).collect();
        assert_eq!(ids.len() as u64, orgs);
        assert!(ids.iter().all(|id| (1..=orgs).contains(id)));
    }

    fn share(popularity: &Popularity, counts: impl Fn((u64, bool)) -> bool) -> f64 {
        let mut rng = random::stream(1, 0);
        let draws = 20_000;
        let hits = (0..draws).filter(|_| counts(popularity.draw(&mut rng))).count();
        hits as f64 / f64::from(draws)
    }

    #[test]
    fn a_steeper_exponent_gives_the_head_more() {
        let of = |exponent| Popularity::new(1000, &Spread { exponent, flat_head: 0.0 });
        let most_popular = |popularity| share(&popularity, |(org, _)| org == 1);
        assert!(most_popular(of(0.0)) < 0.005);
        assert!(most_popular(of(1.2)) > 0.1);
    }

    #[test]
    fn hot_orgs_are_few_and_make_half_of_the_requests() {
        let popularity = Popularity::new(1000, &Spread { exponent: 1.1, flat_head: 10.0 });
        assert!((10..200).contains(&popularity.hot_orgs()), "{}", popularity.hot_orgs());
        assert!((share(&popularity, |(_, hot)| hot) - 0.5).abs() < 0.03);
        let even = Popularity::new(1000, &Spread { exponent: 0.0, flat_head: 0.0 });
        assert!(even.hot_orgs().abs_diff(500) <= 1);
    }
}
