//! Latencies as histograms, and what is said of them.

use hdrhistogram::Histogram;

use super::recorder::{Outcome, Sample};
use cutover_evidence::drive::{ModeLatency, Percentiles};

/// The largest latency a histogram holds: 60 s.
pub(super) const CEILING_US: u64 = 60_000_000;

/// Points of the curve drawn in reports: an equal number per halving of what is left to 100 %.
const CURVE_POINTS_PER_HALVING: u32 = 5;

/// A histogram of microseconds, 1 µs to 60 s, three digits.
pub(super) fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, CEILING_US, 3).expect("constant bounds that are valid")
}

/// What some requests have in common: how long they took.
///
/// A failed or skipped arrival counts as infinitely slow, so that a target which fails fast cannot
/// look quick. In histograms, which have an end, infinity is [`CEILING_US`].
pub(super) struct Latency {
    requests: u64,
    errors: u64,
    bytes_out: u64,
    bytes_in: u64,
    response: Histogram<u32>,
    service: Histogram<u32>,
    lag: Histogram<u32>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            requests: 0,
            errors: 0,
            bytes_out: 0,
            bytes_in: 0,
            response: histogram(),
            service: histogram(),
            lag: Histogram::new(3).expect("three digits are valid"),
        }
    }
}

impl Latency {
    pub(super) fn record(&mut self, sample: &Sample) {
        let unsent = sample.outcome.is_unsent();
        let failed = sample.outcome != Outcome::Ok;
        self.requests += u64::from(!unsent);
        self.errors += u64::from(failed && !unsent);
        self.bytes_out += u64::from(sample.bytes_out);
        self.bytes_in += u64::from(sample.bytes_in);
        let (response_us, service_us) = match failed {
            true => (CEILING_US, CEILING_US),
            false => (sample.response_us(), u64::from(sample.service_us)),
        };
        self.response.saturating_record(response_us);
        self.service.saturating_record(service_us);
        if !sample.queued {
            let lag_us = u64::from(sample.lag_us).min(CEILING_US);
            self.lag.record(lag_us).expect("a histogram that grows takes every value");
        }
    }

    /// Adds what another has recorded.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        for (mine, theirs) in [
            (&mut self.response, &other.response),
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
        ] {
            mine.add(theirs).expect("a histogram that grows takes every value of another");
        }
    }

    pub(super) fn lag(&self) -> Percentiles {
        percentiles(&self.lag)
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    pub(super) fn response(&self) -> &Histogram<u32> {
        &self.response
    }

    /// As evidence; `measured_s` is the time in which the requests were sent.
    pub(super) fn evidence(&self, measured_s: f64, with_curve: bool) -> ModeLatency {
        ModeLatency {
            requests: self.requests,
            errors: self.errors,
            response_us: percentiles(&self.response),
            service_us: percentiles(&self.service),
            lag_us: percentiles(&self.lag),
            throughput_per_s: match measured_s > 0.0 {
                true => self.requests as f64 / measured_s,
                false => 0.0,
            },
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
            curve: if with_curve { curve(&self.response) } else { Vec::new() },
        }
    }
}

fn percentiles(histogram: &Histogram<u32>) -> Percentiles {
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

fn curve(histogram: &Histogram<u32>) -> Vec<(f64, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    histogram
        .iter_quantiles(CURVE_POINTS_PER_HALVING)
        .map(|step| (step.quantile_iterated_to() * 100.0, step.value_iterated_to()))
        .collect()
}

/// The exact 95th percentile of latencies in which `u64::MAX` stands for infinitely slow; `None`
/// if it is infinite, or if there is none. Sorts them.
pub(super) fn exact_p95(latencies: &mut [u64]) -> Option<u64> {
    rank(latencies, 0.95).filter(|latency| *latency != u64::MAX)
}

/// The exact order statistic. Sorts what it is given.
pub(super) fn rank(values: &mut [u64], share: f64) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() as f64 * share).ceil() as usize;
    rank.checked_sub(1).map(|index| values[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_failure_cannot_improve_p95() {
        let of = |fails: fn(u64) -> bool| {
            let mut latencies: Vec<u64> =
                (1..=100).map(|us| if fails(us) { u64::MAX } else { us }).collect();
            exact_p95(&mut latencies)
        };
        assert_eq!(of(|_| false), Some(95));
        // Ten of a hundred fail at once: p95 is infinite, not better.
        assert_eq!(of(|us| us % 10 == 0), None);
        // Two of a hundred: what was the 97th of 100 is now the 95th.
        assert_eq!(of(|us| us <= 2), Some(97));
    }

    #[test]
    fn no_arrival_has_no_p95() {
        assert_eq!(exact_p95(&mut []), None);
    }
}
