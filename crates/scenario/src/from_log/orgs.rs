//! Which orgs ask how often, and how long each waits until it asks again.

use std::collections::HashMap;

use chrono::{DateTime, FixedOffset};
use hdrhistogram::Histogram;
use xxhash_rust::xxh3::xxh3_64;

/// Orgs that are counted one by one, about 60 bytes each.
const MOST_ORGS: usize = 1_000_000;
/// Longest wait that is told apart from longer ones, milliseconds: 30 days.
const LONGEST_MS: u64 = 30 * 86_400_000;

/// What is known of the orgs of a log.
#[derive(Debug)]
pub(super) struct Orgs {
    /// By the hash of its name: requests, and the moment of the latest, milliseconds from 1970.
    seen: HashMap<u64, (u64, i64)>,
    /// Requests of orgs that came when enough others were counted.
    pub beyond: u64,
    /// Requests that name no org.
    pub without: u64,
    /// Whether an org's name was not a number.
    pub named: bool,
    /// The largest org number.
    pub largest: u64,
    gaps_ms: Histogram<u64>,
}

impl Orgs {
    pub(super) fn new() -> Self {
        Self {
            seen: HashMap::new(),
            beyond: 0,
            without: 0,
            named: false,
            largest: 0,
            gaps_ms: Histogram::new_with_bounds(1, LONGEST_MS, 2)
                .expect("the bounds stand in the right order"),
        }
    }

    pub(super) fn add(&mut self, org: Option<&str>, at: &DateTime<FixedOffset>) {
        let Some(org) = org else {
            self.without += 1;
            return;
        };
        match org.parse::<u64>() {
            Ok(number) => self.largest = self.largest.max(number),
            Err(_) => self.named = true,
        }
        let (now_ms, hash) = (at.timestamp_millis(), xxh3_64(org.as_bytes()));
        let room = self.seen.len() < MOST_ORGS;
        match self.seen.get_mut(&hash) {
            Some((count, last_ms)) => {
                // Logs are written as answers end, so neighbours may stand in the wrong order.
                let gap_ms = u64::try_from(now_ms.saturating_sub(*last_ms)).unwrap_or(0);
                self.gaps_ms.saturating_record(gap_ms);
                *count += 1;
                *last_ms = now_ms.max(*last_ms);
            }
            None if room => {
                self.seen.insert(hash, (1, now_ms));
            }
            None => self.beyond += 1,
        }
    }

    /// Requests of each org, the most first.
    pub(super) fn counts(&self) -> Vec<u64> {
        let mut counts: Vec<u64> = self.seen.values().map(|(count, _)| *count).collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        counts
    }

    /// Median wait between two requests of one org, seconds.
    pub(super) fn think_gap_s(&self) -> Option<f64> {
        let median_ms = self.gaps_ms.value_at_quantile(0.5) as f64;
        (!self.gaps_ms.is_empty()).then_some(median_ms / 1000.0)
    }
}
