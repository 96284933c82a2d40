//! The run second by second.

use std::collections::BTreeMap;

use super::latency::{exact_p95, rank};
use super::recorder::{Outcome, Sample};
use cutover_evidence::drive::{Side, TimelinePoint};
use cutover_scenario::WindowPlan;

/// Seconds by their number since the load began, and by mode; none while warming up.
#[derive(Default)]
pub(super) struct Timeline {
    points: BTreeMap<Moment, TimelinePoint>,
    /// Latencies and lags of seconds whose answers may still be on their way.
    open: BTreeMap<Moment, (Vec<u64>, Vec<u64>)>,
}

type Moment = (u32, Option<Side>);

impl Timeline {
    pub(super) fn record(&mut self, sample: &Sample, window: &WindowPlan) {
        let at_s = u32::try_from(sample.arrival.due_us / 1_000_000).unwrap_or(u32::MAX);
        let mode = window.pair.map(|_| window.mode);
        let point = self.points.entry((at_s, mode)).or_insert_with(|| TimelinePoint {
            at_s,
            mode,
            ..TimelinePoint::default()
        });
        point.requests += 1;
        point.bytes_in += u64::from(sample.bytes_in);
        point.cache_lookups += u64::from(sample.cached.is_some());
        point.cache_hits += u64::from(sample.cached == Some(true));
        let (latencies, lags) = self.open.entry((at_s, mode)).or_default();
        match sample.outcome {
            Outcome::Ok => latencies.push(sample.response_us()),
            outcome => point.errors += u64::from(!outcome.is_own_want()),
        }
        if !sample.queued {
            lags.push(u64::from(sample.lag_us));
        }
    }

    /// Reduces the seconds before `at_s` to their figures.
    pub(super) fn close_before(&mut self, at_s: u32) {
        let later = self.open.split_off(&(at_s, None));
        for (moment, (mut latencies, mut lags)) in std::mem::replace(&mut self.open, later) {
            let point = self.points.entry(moment).or_default();
            // A straggler of a second that was closed already cannot move its p95 by much.
            point.p95_us = point.p95_us.max(exact_p95(&mut latencies).unwrap_or(0));
            point.lag_p99_us = point.lag_p99_us.max(rank(&mut lags, 0.99).unwrap_or(0));
        }
    }

    pub(super) fn points(mut self) -> Vec<TimelinePoint> {
        self.close_before(u32::MAX);
        self.points.into_values().collect()
    }
}
