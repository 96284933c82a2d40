//! Which org asks: a few often, most seldom.

use rand_chacha::ChaCha8Rng;

use super::file::Spread;
use super::random;

/// Draws orgs `1..=orgs` with Zipf–Mandelbrot popularity: the org of rank `r` is asked for in
/// proportion to `(r + flat_head)^-exponent`; an exponent of 0 makes all orgs equal.
#[derive(Debug, Clone)]
pub(super) struct Popularity {
    cumulative: Vec<f64>,
}

/// Spreads the ranks over the ids, so that popular orgs are not simply the oldest ones. Prime, so
/// that it maps ranks onto ids one to one unless it divides the number of orgs.
const STRIDE: u64 = 2_654_435_761;

impl Popularity {
    pub(super) fn new(orgs: u64, spread: &Spread) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=orgs)
            .map(|rank| {
                sum += (rank as f64 + spread.flat_head).powf(-spread.exponent);
                sum
            })
            .collect();
        Self { cumulative }
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> u64 {
        let orgs = self.cumulative.len() as u64;
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let point = random::unit(rng) * total;
        let rank = self.cumulative.partition_point(|&sum| sum <= point) as u64;
        let rank = rank.min(orgs.saturating_sub(1));
        1 + (u128::from(rank) * u128::from(STRIDE) % u128::from(orgs.max(1))) as u64
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

    #[test]
    fn a_steeper_exponent_gives_the_head_more() {
        let share_of_most_popular = |exponent| {
            let spread = Spread { exponent, flat_head: 0.0 };
            let popularity = Popularity::new(1000, &spread);
            let mut rng = random::stream(1, 0);
            let draws = 20_000;
            let hits = (0..draws).filter(|_| popularity.draw(&mut rng) == 1).count();
            hits as f64 / f64::from(draws)
        };
        assert!(share_of_most_popular(0.0) < 0.005);
        assert!(share_of_most_popular(1.2) > 0.1);
    }
}
