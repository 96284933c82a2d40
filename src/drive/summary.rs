//! From samples to evidence: percentiles, windows, time line.
//!
//! A failed or skipped arrival counts as infinitely slow, so that a target which fails fast cannot
//! look quick. In histograms, which have an end, infinity is [`CEILING_US`].

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::recorder::{Outcome, Sample};
use crate::evidence::drive::{
    DriveEvidence, Mode, ModeLatency, OperationEvidence, Percentiles, TimelinePoint, Window,
    WindowLatency,
};
use crate::scenario::{Plan, Scenario};

/// The largest latency a histogram holds: 60 s.
pub(super) const CEILING_US: u64 = 60_000_000;

/// Points of the curve drawn in reports: an equal number per halving of what is left to 100 %.
const CURVE_POINTS_PER_HALVING: u32 = 5;

/// A histogram of microseconds, 1 µs to 60 s, three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, CEILING_US, 3).expect("constant bounds that are valid")
}

/// Where a sample belongs, and how long it took in the eyes of whoever asked.
struct Judged<'a> {
    sample: &'a Sample,
    mode: Mode,
    operation: usize,
    /// `None`: never answered rightly.
    response_us: Option<u64>,
}

/// Fills in everything that follows from the samples.
pub(super) fn summarise(scenario: &Scenario, plan: &Plan, samples: &[Sample]) -> DriveEvidence {
    let judged: Vec<Judged<'_>> = samples
        .iter()
        .filter(|sample| plan.arrivals[sample.arrival as usize].measured)
        .map(|sample| {
            let arrival = &plan.arrivals[sample.arrival as usize];
            Judged {
                sample,
                mode: plan.windows[usize::from(arrival.window)].mode,
                operation: usize::from(arrival.operation),
                response_us: (sample.outcome == Outcome::Ok).then(|| sample.response_us()),
            }
        })
        .collect();
    let mut errors_by_kind = BTreeMap::new();
    for judged in judged.iter().filter(|j| j.response_us.is_none()) {
        *errors_by_kind.entry(judged.sample.outcome.name()).or_insert(0) += 1;
    }
    let skipped = judged.iter().filter(|j| j.sample.outcome == Outcome::Skipped).count() as u64;
    let failed = judged.iter().filter(|j| j.response_us.is_none()).count() as u64;
    let mut lag = histogram();
    for judged in judged.iter().filter(|j| !j.sample.queued) {
        lag.saturating_record(u64::from(judged.sample.lag_us));
    }
    DriveEvidence {
        scenario: scenario.name.clone(),
        arrivals_planned: plan.arrivals.len() as u64,
        requests: judged.len() as u64 - skipped,
        errors: failed - skipped,
        skipped,
        wrong_mode: samples.iter().filter(|s| s.outcome == Outcome::WrongMode).count() as u64,
        errors_by_kind,
        scheduling_lag_us: percentiles(&lag),
        overall: by_mode(judged.iter()),
        operations: operations(scenario, &judged),
        windows: windows(scenario, plan, samples),
        timeline: timeline(plan, samples),
        ..DriveEvidence::default()
    }
}

fn operations(scenario: &Scenario, judged: &[Judged<'_>]) -> Vec<OperationEvidence> {
    scenario
        .operations
        .iter()
        .enumerate()
        .map(|(index, operation)| OperationEvidence {
            name: operation.name.clone(),
            writes: operation.writes,
            modes: by_mode(judged.iter().filter(|j| j.operation == index)),
        })
        .collect()
}

fn by_mode<'a>(judged: impl Iterator<Item = &'a Judged<'a>>) -> BTreeMap<Mode, ModeLatency> {
    struct Tally {
        requests: u64,
        errors: u64,
        response: Histogram<u64>,
        service: Histogram<u64>,
    }
    let mut tallies: BTreeMap<Mode, Tally> = BTreeMap::new();
    for judged in judged {
        let tally = tallies.entry(judged.mode).or_insert_with(|| Tally {
            requests: 0,
            errors: 0,
            response: histogram(),
            service: histogram(),
        });
        if judged.sample.outcome != Outcome::Skipped {
            tally.requests += 1;
        }
        let service_us = u64::from(judged.sample.service_us);
        match judged.response_us {
            Some(response_us) => {
                tally.response.saturating_record(response_us);
                tally.service.saturating_record(service_us);
            }
            None => {
                tally.errors += u64::from(judged.sample.outcome != Outcome::Skipped);
                tally.response.saturating_record(CEILING_US);
                tally.service.saturating_record(CEILING_US);
            }
        }
    }
    tallies
        .into_iter()
        .map(|(mode, tally)| {
            let latency = ModeLatency {
                requests: tally.requests,
                errors: tally.errors,
                response_us: percentiles(&tally.response),
                service_us: percentiles(&tally.service),
                curve: curve(&tally.response),
            };
            (mode, latency)
        })
        .collect()
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    if histogram.is_empty() {
        return Percentiles::default();
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max(),
    }
}

fn curve(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    histogram
        .iter_quantiles(CURVE_POINTS_PER_HALVING)
        .map(|step| (step.quantile_iterated_to() * 100.0, step.value_iterated_to()))
        .collect()
}

/// p95 per window; a window whose samples are not all there (the run was ended) is left out.
fn windows(scenario: &Scenario, plan: &Plan, samples: &[Sample]) -> Vec<Window> {
    let mut planned = vec![0_usize; plan.windows.len()];
    for arrival in plan.arrivals.iter().filter(|arrival| arrival.measured) {
        planned[usize::from(arrival.window)] += 1;
    }
    let mut latencies: Vec<BTreeMap<usize, Vec<Option<u64>>>> =
        vec![BTreeMap::new(); plan.windows.len()];
    for sample in samples {
        let arrival = &plan.arrivals[sample.arrival as usize];
        if arrival.measured {
            let response_us = (sample.outcome == Outcome::Ok).then(|| sample.response_us());
            latencies[usize::from(arrival.window)]
                .entry(usize::from(arrival.operation))
                .or_default()
                .push(response_us);
        }
    }
    let mut windows = Vec::new();
    for ((window, by_operation), planned) in plan.windows.iter().zip(latencies).zip(planned) {
        let Some(pair) = window.pair else { continue };
        let mut all: Vec<Option<u64>> = by_operation.values().flatten().copied().collect();
        if all.len() < planned {
            continue;
        }
        windows.push(Window {
            pair,
            mode: Some(window.mode),
            start_s: window.measured_from_us as f64 / 1e6,
            end_s: window.end_us as f64 / 1e6,
            all: window_latency(&mut all),
            operations: by_operation
                .into_iter()
                .map(|(operation, mut latencies)| {
                    let name = scenario.operations[operation].name.clone();
                    (name, window_latency(&mut latencies))
                })
                .collect(),
        });
    }
    windows
}

/// The exact order statistic, with `None` sorted last as infinitely slow.
fn window_latency(latencies: &mut [Option<u64>]) -> WindowLatency {
    let arrivals = latencies.len();
    let errors = latencies.iter().filter(|latency| latency.is_none()).count();
    latencies.sort_unstable_by_key(|latency| latency.unwrap_or(u64::MAX));
    let rank = (arrivals as f64 * 0.95).ceil() as usize;
    let p95_us = rank.checked_sub(1).and_then(|index| latencies[index]);
    WindowLatency { arrivals: arrivals as u64, errors: errors as u64, p95_us }
}

fn timeline(plan: &Plan, samples: &[Sample]) -> Vec<TimelinePoint> {
    let mut seconds: BTreeMap<u32, (TimelinePoint, Vec<u64>)> = BTreeMap::new();
    for sample in samples {
        let arrival = &plan.arrivals[sample.arrival as usize];
        let window = &plan.windows[usize::from(arrival.window)];
        let at_s = u32::try_from(arrival.due_us / 1_000_000).unwrap_or(u32::MAX);
        let (point, latencies) = seconds.entry(at_s).or_default();
        point.at_s = at_s;
        point.mode = window.pair.map(|_| window.mode);
        point.requests += 1;
        match sample.outcome {
            Outcome::Ok => latencies.push(sample.response_us()),
            _ => point.errors += 1,
        }
    }
    seconds
        .into_values()
        .map(|(mut point, mut latencies)| {
            latencies.sort_unstable();
            let rank = (latencies.len() as f64 * 0.95).ceil() as usize;
            point.p95_us = rank.checked_sub(1).map_or(0, |index| latencies[index]);
            point
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_failure_cannot_improve_p95() {
        let mut healthy: Vec<Option<u64>> = (1..=100).map(Some).collect();
        assert_eq!(window_latency(&mut healthy).p95_us, Some(95));
        // Ten of a hundred fail at once: p95 is infinite, not better.
        let mut failing: Vec<Option<u64>> =
            (1..=100).map(|us| (us % 10 != 0).then_some(us)).collect();
        assert_eq!(window_latency(&mut failing).p95_us, None);
        // Two of a hundred: what was the 97th of 100 is now the 95th.
        let mut two: Vec<Option<u64>> = (1..=100).map(|us| (us > 2).then_some(us)).collect();
        let latency = window_latency(&mut two);
        assert_eq!((latency.p95_us, latency.errors), (Some(97), 2));
    }

    #[test]
    fn no_arrival_has_no_p95() {
        assert_eq!(window_latency(&mut []).p95_us, None);
    }
}
