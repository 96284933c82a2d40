//! From samples to evidence, one sample at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::latency::Latency;
use super::org_sizes::OrgSizes;
use super::recorder::{Outcome, Sample};
use super::timeline::Timeline;
use super::windows::{Names, Windows};
use super::worker::Shared;
use crate::evidence::drive::{
    DriveEvidence, Mode, ModeLatency, OperationEvidence, Slice, Throttled,
};
use crate::scenario::Scenario;

/// Everything that is counted while the load runs.
pub(super) struct Tally {
    scenario: Arc<Scenario>,
    sizes: Option<Arc<OrgSizes>>,
    class_names: Vec<String>,
    /// By operation, mode and what is behind it.
    measured: BTreeMap<(u16, Mode, Behind), Latency>,
    windows: Windows,
    timeline: Timeline,
    errors_by_kind: BTreeMap<String, u64>,
    skipped: u64,
    wrong_mode: u64,
    throttled: Throttled,
    /// Samples in all, and failed ones, warm-up included.
    pub done: u64,
    pub failed: u64,
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
    pub(super) fn new(scenario: Arc<Scenario>, sizes: Option<Arc<OrgSizes>>) -> Self {
        let classes = sizes.as_ref().map(|sizes| sizes.classes());
        let class_names = classes.into_iter().flatten().map(|class| class.name).collect();
        Self {
            scenario,
            sizes,
            class_names,
            measured: BTreeMap::new(),
            windows: Windows::default(),
            timeline: Timeline::default(),
            errors_by_kind: BTreeMap::new(),
            skipped: 0,
            wrong_mode: 0,
            throttled: Throttled::default(),
            done: 0,
            failed: 0,
        }
    }

    pub(super) fn record(&mut self, sample: &Sample, shared: &Shared) {
        let queue = &shared.queue;
        let window = &queue.windows[usize::from(sample.arrival.window)];
        self.done += 1;
        self.failed += u64::from(sample.outcome != Outcome::Ok);
        // While a switched flag settles, answers from the other side are to be expected.
        let settled = sample.arrival.measured || shared.switch.flag().is_none();
        self.wrong_mode += u64::from(sample.outcome == Outcome::WrongMode && settled);
        if let Some(seconds) = sample.retry_after_s {
            self.throttled.answers += 1;
            let longest = self.throttled.longest_retry_after_s.max(u64::from(seconds));
            self.throttled.longest_retry_after_s = longest;
        }
        self.timeline.record(sample, window);
        if !sample.arrival.measured {
            return;
        }
        if sample.outcome != Outcome::Ok {
            *self.errors_by_kind.entry(sample.outcome.name()).or_default() += 1;
            self.skipped += u64::from(sample.outcome == Outcome::Skipped);
        }
        let size = self.sizes.as_ref().and_then(|sizes| sizes.class_of(sample.arrival.org));
        let behind = [
            Some(Behind::All),
            Some(Behind::Hot(sample.arrival.hot)),
            size.map(Behind::OrgSize),
            sample.cached.map(Behind::Cached),
        ];
        for behind in behind.into_iter().flatten() {
            let key = (sample.arrival.operation, window.mode, behind);
            self.measured.entry(key).or_default().record(sample);
        }
        // As fast as it goes, a window has no number of requests at which it is whole.
        if !shared.closed_loop {
            let names = Names { scenario: &self.scenario, org_classes: &self.class_names };
            self.windows.record(sample, size, queue, &names);
        }
    }

    /// Reduces the seconds before `at_s` to their figures.
    pub(super) fn close_before(&mut self, at_s: u32) {
        self.timeline.close_before(at_s);
    }

    /// Latencies of each operation by mode, for whoever watches.
    pub(super) fn live(&self) -> impl Iterator<Item = (&str, Mode, &Latency)> {
        self.measured.iter().filter(|((_, _, behind), _)| *behind == Behind::All).map(
            |((operation, mode, _), latency)| {
                (self.scenario.operations[usize::from(*operation)].name.as_str(), *mode, latency)
            },
        )
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Everything that follows from the samples; `measured_s` is the time measured in each mode.
    pub(super) fn evidence(self, measured_s: &BTreeMap<Mode, f64>) -> DriveEvidence {
        let overall = self.sum(measured_s, None, Behind::All, true);
        let mut lag = Latency::default();
        for ((_, _, behind), latency) in &self.measured {
            if *behind == Behind::All {
                lag.add(latency);
            }
        }
        let sent: u64 = overall.values().map(|latency| latency.requests).sum();
        DriveEvidence {
            scenario: self.scenario.name.clone(),
            requests: sent,
            errors: overall.values().map(|latency| latency.errors).sum(),
            skipped: self.skipped,
            wrong_mode: self.wrong_mode,
            throttled: self.throttled,
            scheduling_lag_us: lag.lag(),
            overall,
            operations: self.operations(measured_s),
            slices: self.slices(measured_s),
            org_sizes: self.sizes.as_ref().map_or_else(Vec::new, |sizes| sizes.classes()),
            windows: self.windows.whole().map(|(window, _)| window.clone()).collect(),
            errors_by_kind: self.errors_by_kind,
            timeline: self.timeline.points(),
            ..DriveEvidence::default()
        }
    }

    fn operations(&self, measured_s: &BTreeMap<Mode, f64>) -> Vec<OperationEvidence> {
        let of = |(index, operation): (usize, &crate::scenario::Operation)| OperationEvidence {
            name: operation.name.clone(),
            writes: operation.writes,
            modes: self.sum(measured_s, Some(index as u16), Behind::All, true),
        };
        self.scenario.operations.iter().enumerate().map(of).collect()
    }

    fn slices(&self, measured_s: &BTreeMap<Mode, f64>) -> Vec<Slice> {
        let mut kinds: Vec<(&str, &str, Behind)> = vec![
            ("popularity", "hot", Behind::Hot(true)),
            ("popularity", "cold", Behind::Hot(false)),
            ("cache", "hit", Behind::Cached(true)),
            ("cache", "miss", Behind::Cached(false)),
        ];
        for (class, name) in self.class_names.iter().enumerate() {
            kinds.push(("org_size", name, Behind::OrgSize(class as u8)));
        }
        let mut slices = Vec::new();
        let numbers = (0..self.scenario.operations.len()).map(|index| Some(index as u16));
        for operation in std::iter::once(None).chain(numbers) {
            for (by, class, behind) in &kinds {
                let modes = self.sum(measured_s, operation, *behind, false);
                if modes.is_empty() {
                    continue;
                }
                let name = |index: u16| self.scenario.operations[usize::from(index)].name.clone();
                let (by, class) = ((*by).to_owned(), (*class).to_owned());
                slices.push(Slice { operation: operation.map(name), by, class, modes });
            }
        }
        slices
    }

    /// One operation, or all of them together, by mode.
    fn sum(
        &self,
        measured_s: &BTreeMap<Mode, f64>,
        operation: Option<u16>,
        behind: Behind,
        with_curve: bool,
    ) -> BTreeMap<Mode, ModeLatency> {
        let mut sums: BTreeMap<Mode, Latency> = BTreeMap::new();
        for ((of, mode, what), latency) in &self.measured {
            if *what == behind && operation.is_none_or(|wanted| wanted == *of) {
                sums.entry(*mode).or_default().add(latency);
            }
        }
        let evidence = |(mode, latency): (Mode, Latency)| {
            let measured_s = measured_s.get(&mode).copied().unwrap_or(0.0);
            (mode, latency.evidence(measured_s, with_curve))
        };
        sums.into_iter().map(evidence).collect()
    }
}
