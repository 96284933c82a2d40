//! Numbers that no request of this load and none of another has had.

use std::sync::atomic::{AtomicU64, Ordering};

use cutover_evidence::shard::Shard;

/// Numbers requests; what is made from its numbers (a text, an idempotency key) meets nothing of
/// before, and nothing of another shard.
pub(super) struct Unique {
    next: AtomicU64,
    step: u64,
}

impl Unique {
    /// Begins at the time of day: a run has far fewer than 256 requests in a microsecond, so it ends
    /// below if a later one begins. Shards run at the same time and take turns at the numbers.
    pub(super) fn new(shard: Option<Shard>) -> Self {
        let Shard { index, of } = shard.unwrap_or(Shard { index: 1, of: 1 });
        let now = chrono::Utc::now().timestamp_micros().unsigned_abs() << 8;
        Self { next: AtomicU64::new(now - now % of + index - 1), step: of }
    }

    pub(super) fn next(&self) -> u64 {
        self.next.fetch_add(self.step, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_never_draw_the_same_number() {
        let shards = [1, 2, 3].map(|index| Unique::new(Some(Shard { index, of: 3 })));
        for _ in 0..5 {
            for (number, shard) in shards.iter().enumerate() {
                assert_eq!(shard.next() % 3, number as u64);
            }
        }
    }
}
