//! Random draws whose results are pinned by our own arithmetic, not by a library's version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// An independent stream for one purpose, named by `stream`.
pub(super) fn stream(rng_seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
    rng.set_stream(stream);
    rng
}

/// Uniform in `[0, 1)`, 53 bits.
pub(super) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    unit_from(rng.next_u64())
}

/// Uniform in `[0, 1)` from 64 random bits.
pub(super) fn unit_from(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The next value of a SplitMix64 sequence: cheap, and good enough for the blanks of a template.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
pub(super) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
