//! The watch's own reads: which share failed of late, and whether they take longer than at first.

use std::collections::VecDeque;

/// Reads of late whose failures make a share.
const OF_LATE: usize = 500;
/// Looks of late, and first looks, whose p95s are compared.
const LOOKS: usize = 12;

/// What is remembered of the reads.
#[derive(Debug, Default)]
pub(super) struct OwnReads {
    /// Whether each read of late failed.
    failed: VecDeque<bool>,
    /// p95 of each of the first looks, microseconds.
    first: Vec<u64>,
    /// p95 of each look of late, microseconds.
    late: VecDeque<u64>,
}

impl OwnReads {
    /// Takes the reads of one look: microseconds each, `None` if it failed.
    pub(super) fn take(&mut self, reads: &[Option<u64>]) {
        self.failed.extend(reads.iter().map(Option::is_none));
        self.failed.drain(..self.failed.len().saturating_sub(OF_LATE));
        let Some(p95_us) = quantile(reads.iter().flatten().copied().collect(), 95) else { return };
        if self.first.len() < LOOKS {
            self.first.push(p95_us);
        }
        self.late.push_back(p95_us);
        self.late.drain(..self.late.len().saturating_sub(LOOKS));
    }

    /// The share of the reads of late that failed, percent.
    pub(super) fn error_rate_percent(&self) -> Option<f64> {
        let failed = self.failed.iter().filter(|failed| **failed).count();
        (!self.failed.is_empty()).then(|| failed as f64 * 100.0 / self.failed.len() as f64)
    }

    /// The p95 of the looks of late, microseconds. It is the median of theirs: a machine that was
    /// busy during a look or two moves nothing, a platform that got slower moves them all.
    pub(super) fn p95_us(&self) -> Option<u64> {
        quantile(self.late.iter().copied().collect(), 50)
    }

    /// How much longer that is than in the first looks, percent; `None` until they are over.
    pub(super) fn p95_more_percent(&self) -> Option<f64> {
        let first = quantile(self.first.clone(), 50).filter(|_| self.first.len() == LOOKS)?;
        // Below a millisecond a longer answer is the clock of the machine.
        let more = self.p95_us()?.saturating_sub(first);
        Some(if more < 1000 { 0.0 } else { more as f64 * 100.0 / first.max(1) as f64 })
    }
}

fn quantile(mut values: Vec<u64>, percent: usize) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() * percent / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told after looks of 25 reads that take so many milliseconds each.
    fn more_percent(looks_ms: &[u64]) -> Vec<Option<f64>> {
        let mut reads = OwnReads::default();
        let step = |ms: &u64| {
            reads.take(&[Some(ms * 1000); 25]);
            reads.p95_more_percent()
        };
        looks_ms.iter().map(step).collect()
    }

    #[test]
    fn a_busy_machine_during_some_looks_moves_nothing() {
        let mut looks = [4; 60];
        for busy in [3, 7, 8, 20, 21, 22, 30, 40, 41, 42, 43, 44] {
            looks[busy] = 40;
        }
        let more = more_percent(&looks);
        assert!(more[..LOOKS - 1].iter().all(Option::is_none), "{more:?}");
        assert!(more[LOOKS - 1..].iter().all(|more| *more == Some(0.0)), "{more:?}");
    }

    #[test]
    fn a_platform_that_got_slower_is_seen_within_half_the_looks() {
        let more = more_percent(&[[4; 12], [6; 12]].concat());
        assert_eq!(more[17], Some(50.0), "{more:?}");
        assert_eq!(more[16], Some(0.0), "{more:?}");
    }

    #[test]
    fn a_failed_read_counts_as_failed_and_not_as_fast() {
        let mut reads = OwnReads::default();
        assert_eq!((reads.error_rate_percent(), reads.p95_us()), (None, None));
        reads.take(&[Some(4000), None, Some(6000), None]);
        assert_eq!((reads.error_rate_percent(), reads.p95_us()), (Some(50.0), Some(6000)));
        for _ in 0..OF_LATE {
            reads.take(&[Some(4000)]);
        }
        assert_eq!(reads.error_rate_percent(), Some(0.0));
    }
}
