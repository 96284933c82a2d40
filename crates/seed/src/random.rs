//! Randomness that reads the same on every machine: ChaCha streams and integer arithmetic.
//!
//! The distributions of `rand` may change from one version to the next, so whatever decides about
//! content is drawn here from raw words of the stream, in a few lines that a golden test pins.

use chrono::{Datelike, NaiveDate};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The stream numbers above every org's: vocabularies draw from these.
pub const VOCABULARY_STREAMS: u64 = 1 << 63;

/// Draws for one org. The stream's number is the org, its key is `rng_seed` and `as_of`.
pub struct Stream(ChaCha8Rng);

/// A probability in units of 2⁻³².
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    /// Rounds a share between 0 and 1 to units of 2⁻³².
    pub fn new(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64)
    }

    /// The share in units of 2⁻³².
    pub fn units(self) -> u64 {
        self.0
    }
}

/// The key all streams of a run share; `as_of` is left out where content must not depend on it.
pub fn key(rng_seed: u64, as_of: Option<NaiveDate>) -> ChaCha8Rng {
    let mut bytes = *b"cutover seed v1\0................";
    bytes[16..24].copy_from_slice(&rng_seed.to_le_bytes());
    let day = as_of.map_or(0, |date| i64::from(date.num_days_from_ce()));
    bytes[24..32].copy_from_slice(&day.to_le_bytes());
    ChaCha8Rng::from_seed(bytes)
}

impl Stream {
    /// The stream with this number under `key`.
    pub fn new(key: &ChaCha8Rng, number: u64) -> Self {
        let mut rng = key.clone();
        rng.set_stream(number);
        Self(rng)
    }

    /// Uniform over 32 bits.
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `0..n` (multiply and shift: a bias below `n` · 2⁻³², and no branch).
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.word()) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in `0..n` for wide ranges, for example microseconds.
    pub fn below_wide(&mut self, n: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// True with the given probability; draws nothing if it is zero.
    pub fn chance(&mut self, share: Share) -> bool {
        share.0 > 0 && u64::from(self.word()) < share.0
    }
}

/// Choice by weight in constant time (Walker's alias method, Vose's construction, in integers).
#[derive(Debug, Clone)]
pub struct Weighted {
    /// By slot: below this the slot itself is drawn, else its alias.
    slots: Vec<(u64, u32)>,
}

impl Weighted {
    /// A table for the given weights; their sum must be above 0 and below 2⁶⁴.
    pub fn new(weights: &[u64]) -> Self {
        let total: u128 = weights.iter().map(|&w| u128::from(w)).sum();
        assert!(total > 0, "callers check that a weight is above zero");
        let count = weights.len() as u128;
        // Each weight as a multiple of the mean weight, in units of total / 1.
        let mut rest: Vec<u128> = weights.iter().map(|&w| u128::from(w) * count).collect();
        let mut slots = vec![(1u64 << 32, 0u32); weights.len()];
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&i| rest[i] < total);
        while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
            small.pop();
            slots[s] = (((rest[s] << 32) / total) as u64, l as u32);
            rest[l] -= total - rest[s];
            if rest[l] < total {
                large.pop();
                small.push(l);
            }
        }
        Self { slots }
    }

    /// The index of one draw.
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        let slot = stream.below(self.slots.len() as u32);
        let (threshold, alias) = self.slots[slot as usize];
        if u64::from(stream.word()) < threshold { slot } else { alias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream::new(&key(42, NaiveDate::from_ymd_opt(2025, 6, 30)), 7)
    }

    #[test]
    fn the_stream_is_pinned() {
        let mut stream = stream();
        let words: Vec<u32> = (0..4).map(|_| stream.word()).collect();
        assert_eq!(words, [2_141_299_062, 2_738_949_542, 4_290_007_757, 1_754_496_268]);
    }

    #[test]
    fn weights_come_out_as_shares() {
        let weighted = Weighted::new(&[1, 0, 7, 2]);
        let mut stream = stream();
        let mut counts = [0u32; 4];
        for _ in 0..100_000 {
            counts[weighted.draw(&mut stream) as usize] += 1;
        }
        assert_eq!(counts[1], 0, "weight zero is never drawn");
        for (count, expected) in counts.iter().zip([10_000, 0, 70_000, 20_000]) {
            assert!(count.abs_diff(expected) < 800, "{counts:?}");
        }
    }
}
