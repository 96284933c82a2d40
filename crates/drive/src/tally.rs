//! From samples to evidence, one sample at a time.

use std::collections::BTreeMap;

use super::frame::{Frame, Names};
use super::latency::Latency;
use super::recorder::{Outcome, Sample};
use super::timeline::Timeline;
use super::windows::Windows;
use cutover_evidence::drive::{
    DriveEvidence, ModeLatency, OperationEvidence, Side, Slice, Throttled,
};

/// Everything that is counted while the load runs.
pub(super) struct Tally {
    names: Names,
    /// By operation, mode and what is behind it.
    measured: BTreeMap<(u16, Side, Behind), Latency>,
    windows: Windows,
    timeline: Timeline,
    errors_by_kind: BTreeMap<String, u64>,
    skipped: u64,
    own_want: u64,
    wrong_mode: u64,
    throttled: Throttled,
    /// Samples in all, and failed ones, warm-up included.
    pub done: u64,
    pub failed: u64,
    unmeasured: u64,
    unmeasured_errors: u64,
}

/// What some requests of an operation have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Behind {
    /// Nothing: all of them.
    All,
    OrgSize(u8),
    Hot(bool),
    Cached(bool),
}

impl Tally {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            measured: BTreeMap::new(),
            windows: Windows::default(),
            timeline: Timeline::default(),
            errors_by_kind: BTreeMap::new(),
            skipped: 0,
            own_want: 0,
            wrong_mode: 0,
            throttled: Throttled::default(),
            done: 0,
            failed: 0,
            unmeasured: 0,
            unmeasured_errors: 0,
        }
    }

    pub(super) fn record(&mut self, sample: &Sample, frame: Frame<'_>) {
        let window = &frame.windows[sample.arrival.window as usize];
        self.done += 1;
        self.failed += u64::from(sample.outcome != Outcome::Ok);
        self.own_want += u64::from(sample.outcome.is_own_want());
        let settled = sample.arrival.measured || !frame.settles;
        self.wrong_mode += u64::from(sample.outcome == Outcome::WrongMode && settled);
        if let Some(seconds) = sample.retry_after_s {
            self.throttled.answers += 1;
            let longest = self.throttled.longest_retry_after_s.max(u64::from(seconds));
            self.throttled.longest_retry_after_s = longest;
        }
        self.timeline.record(sample, window);
        if !sample.arrival.measured {
            self.unmeasured += 1;
            // While a flag settles, answers from the side before are as they should be.
            let failed = !matches!(sample.outcome, Outcome::Ok | Outcome::WrongMode);
            self.unmeasured_errors += u64::from(failed && !sample.outcome.is_own_want());
            return;
        }
        if sample.outcome != Outcome::Ok && !sample.outcome.is_own_want() {
            *self.errors_by_kind.entry(sample.outcome.name()).or_default() += 1;
            self.skipped += u64::from(sample.outcome == Outcome::Skipped);
        }
        let behind = [
            Some(Behind::All),
            Some(Behind::Hot(sample.arrival.hot)),
            sample.org_class.map(Behind::OrgSize),
            sample.cached.map(Behind::Cached),
        ];
        for behind in behind.into_iter().flatten() {
            let key = (sample.arrival.operation, window.mode, behind);
            self.measured.entry(key).or_default().record(sample);
        }
        // As fast as it goes, a window has no number of requests at which it is whole.
        if !frame.closed_loop {
            self.windows.record(sample, frame, &self.names);
        }
    }

    /// Reduces the seconds before `at_s` to their figures.
    pub(super) fn close_before(&mut self, at_s: u32) {
        self.timeline.close_before(at_s);
    }

    /// Latencies of each operation by mode, for whoever watches.
    pub(super) fn live(&self) -> impl Iterator<Item = (&str, Side, &Latency)> {
        self.measured.iter().filter(|((_, _, behind), _)| *behind == Behind::All).map(
            |((operation, mode, _), latency)| {
                (self.names.operations[usize::from(*operation)].0.as_str(), *mode, latency)
            },
        )
    }

    /// What a comparison of the modes needs, as far as it is known by now.
    pub(super) fn so_far(&self) -> DriveEvidence {
        DriveEvidence {
            overall: self.sum(&BTreeMap::new(), None, Behind::All, false),
            windows: self.windows.evidence().cloned().collect(),
            ..DriveEvidence::default()
        }
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Everything that follows from the samples; `measured_s` is the time measured in each mode.
    pub(super) fn evidence(self, measured_s: &BTreeMap<Side, f64>) -> DriveEvidence {
        let overall = self.sum(measured_s, None, Behind::All, true);
        let mut lag = Latency::default();
        for ((_, _, behind), latency) in &self.measured {
            if *behind == Behind::All {
                lag.add(latency);
            }
        }
        let sent: u64 = overall.values().map(|latency| latency.requests).sum();
        DriveEvidence {
            scenario: self.names.scenario.clone(),
            requests: sent,
            errors: overall.values().map(|latency| latency.errors).sum(),
            unmeasured_requests: self.unmeasured,
            unmeasured_errors: self.unmeasured_errors,
            skipped: self.skipped,
            own_want: self.own_want,
            wrong_mode: self.wrong_mode,
            throttled: self.throttled,
            scheduling_lag_us: lag.lag(),
            overall,
            operations: self.operations(measured_s),
            slices: self.slices(measured_s),
            org_sizes: self.names.org_classes.clone(),
            windows: self.windows.whole().map(|(window, _)| window.clone()).collect(),
            errors_by_kind: self.errors_by_kind,
            timeline: self.timeline.points(),
            ..DriveEvidence::default()
        }
    }

    fn operations(&self, measured_s: &BTreeMap<Side, f64>) -> Vec<OperationEvidence> {
        let of = |(index, (name, writes)): (usize, &(String, bool))| OperationEvidence {
            name: name.clone(),
            writes: *writes,
            modes: self.sum(measured_s, Some(index as u16), Behind::All, true),
        };
        self.names.operations.iter().enumerate().map(of).collect()
    }

    fn slices(&self, measured_s: &BTreeMap<Side, f64>) -> Vec<Slice> {
        let mut kinds: Vec<(&str, &str, Behind)> = vec![
            ("popularity", "hot", Behind::Hot(true)),
            ("popularity", "cold", Behind::Hot(false)),
            ("cache", "hit", Behind::Cached(true)),
            ("cache", "miss", Behind::Cached(false)),
        ];
        for (number, class) in self.names.org_classes.iter().enumerate() {
            kinds.push(("org_size", &class.name, Behind::OrgSize(number as u8)));
        }
        let mut slices = Vec::new();
        let numbers = (0..self.names.operations.len()).map(|index| Some(index as u16));
        for operation in std::iter::once(None).chain(numbers) {
            for (by, class, behind) in &kinds {
                let modes = self.sum(measured_s, operation, *behind, false);
                if modes.is_empty() {
                    continue;
                }
                let name = |index: u16| self.names.operations[usize::from(index)].0.clone();
                let (by, class) = ((*by).to_owned(), (*class).to_owned());
                slices.push(Slice { operation: operation.map(name), by, class, modes });
            }
        }
        slices
    }

    /// One operation, or all of them together, by mode.
    fn sum(
        &self,
        measured_s: &BTreeMap<Side, f64>,
        operation: Option<u16>,
        behind: Behind,
        with_curve: bool,
    ) -> BTreeMap<Side, ModeLatency> {
        let mut sums: BTreeMap<Side, Latency> = BTreeMap::new();
        for ((of, mode, what), latency) in &self.measured {
            if *what == behind && operation.is_none_or(|wanted| wanted == *of) {
                sums.entry(*mode).or_default().add(latency);
            }
        }
        let evidence = |(mode, latency): (Side, Latency)| {
            let measured_s = measured_s.get(&mode).copied().unwrap_or(0.0);
            (mode, latency.evidence(measured_s, with_curve))
        };
        sums.into_iter().map(evidence).collect()
    }
}
