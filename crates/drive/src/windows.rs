//! The measured windows, those of one mode in a pair together: kept open while their answers come in,
//! reduced to a few figures once all are there, so that a load of many hours needs no more memory
//! than a short one.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use super::frame::{Frame, Names};
use super::latency::{CEILING_US, exact_p95, histogram};
use super::recorder::{Outcome, Sample};
use cutover_evidence::drive::{Window, WindowLatency};
use cutover_scenario::WindowPlan;

/// By pair, the baseline first.
#[derive(Default)]
pub(super) struct Windows {
    open: BTreeMap<Part, Vec<Answered>>,
    done: BTreeMap<Part, Done>,
    serializer: V2DeflateSerializer,
}

/// A pair, and whether its candidate is meant.
type Part = (u32, bool);

/// The windows of one mode in a pair, once all of their answers are there.
struct Done {
    evidence: Window,
    /// Their response times as a compressed histogram.
    histogram: Vec<u8>,
}

/// What a window needs of a sample. `u64::MAX`: infinitely slow.
#[derive(Clone, Copy)]
struct Answered {
    response_us: u64,
    without_own_lag_us: u64,
    operation: u16,
    org_class: Option<u8>,
}

impl Windows {
    /// Adds a measured sample; reduces its windows if that was the last one missing.
    pub(super) fn record(&mut self, sample: &Sample, frame: Frame<'_>, names: &Names) {
        let index = sample.arrival.window as usize;
        let window = frame.windows[index];
        let part = (window.pair.unwrap_or_default(), window.candidate);
        let ok = sample.outcome == Outcome::Ok;
        let answered = Answered {
            response_us: if ok { sample.response_us() } else { u64::MAX },
            without_own_lag_us: if ok { sample.response_without_own_lag_us() } else { u64::MAX },
            operation: sample.arrival.operation,
            org_class: sample.org_class,
        };
        let open = self.open.entry(part).or_default();
        open.push(answered);
        let Some(together) =
            Together::with(index, frame).filter(|t| t.arrivals == open.len() as u64)
        else {
            return;
        };
        let answers = self.open.remove(&part).unwrap_or_default();
        let evidence = Window {
            pair: part.0,
            mode: Some(window.mode),
            candidate: window.candidate,
            start_s: together.from_us as f64 / 1e6,
            end_s: together.to_us as f64 / 1e6,
            ..reduce(&answers, names)
        };
        let histogram = self.compress(&answers);
        self.done.insert(part, Done { evidence, histogram });
    }

    fn compress(&mut self, answers: &[Answered]) -> Vec<u8> {
        let mut all = histogram();
        answers.iter().for_each(|a| all.saturating_record(a.response_us.min(CEILING_US)));
        let mut bytes = Vec::new();
        self.serializer.serialize(&all, &mut bytes).expect("memory can be written");
        bytes
    }

    /// The windows that are whole, in time order.
    pub(super) fn evidence(&self) -> impl Iterator<Item = &Window> {
        self.done.values().map(|done| &done.evidence)
    }

    /// The windows that are whole, with their histograms, in time order. One whose answers are not
    /// all there (the run was ended) is left out.
    pub(super) fn whole(&self) -> impl Iterator<Item = (&Window, Histogram<u32>)> {
        let mut deserializer = hdrhistogram::serialization::Deserializer::new();
        self.done.values().map(move |done| {
            let histogram = deserializer.deserialize(&mut done.histogram.as_slice());
            (&done.evidence, histogram.expect("what we have just written"))
        })
    }
}

/// The windows of one mode in a pair.
struct Together {
    /// Measured arrivals.
    arrivals: u64,
    /// From the start of the first to the end of the last, microseconds since the run began.
    from_us: u64,
    to_us: u64,
}

impl Together {
    /// Those that the window at `index` belongs to; `None` as long as not all of them are drawn.
    fn with(index: usize, frame: Frame<'_>) -> Option<Self> {
        let WindowPlan { pair, candidate, .. } = frame.windows[index];
        let before = frame.windows[..index].iter().rev().take_while(|w| w.pair == pair).count();
        let of_pair = frame.windows.iter().enumerate().skip(index - before);
        let mut together: Option<Self> = None;
        for (number, window) in of_pair.take_while(|(_, w)| w.pair == pair) {
            if window.candidate != candidate {
                continue;
            }
            let arrivals = (frame.planned)(number)?;
            let so_far = together.get_or_insert(Self {
                arrivals: 0,
                from_us: window.measured_from_us,
                to_us: 0,
            });
            so_far.arrivals += arrivals;
            so_far.to_us = window.measured_to_us();
        }
        together
    }
}

/// The figures of the windows of one mode in a pair.
fn reduce(answers: &[Answered], names: &Names) -> Window {
    let mut operations: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut org_sizes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for answer in answers {
        let (operation, _) = &names.operations[usize::from(answer.operation)];
        list_of(&mut operations, operation).push(answer.without_own_lag_us);
        let class = answer.org_class.and_then(|class| names.org_classes.get(usize::from(class)));
        if let Some(class) = class {
            list_of(&mut org_sizes, &class.name).push(answer.without_own_lag_us);
        }
    }
    let reduce = |lists: BTreeMap<String, Vec<u64>>| {
        lists.into_iter().map(|(name, list)| (name, window_latency(list))).collect()
    };
    Window {
        all: window_latency(answers.iter().map(|a| a.response_us).collect()),
        without_own_lag: window_latency(answers.iter().map(|a| a.without_own_lag_us).collect()),
        operations: reduce(operations),
        org_sizes: reduce(org_sizes),
        ..Window::default()
    }
}

fn list_of<'a>(lists: &'a mut BTreeMap<String, Vec<u64>>, name: &str) -> &'a mut Vec<u64> {
    if !lists.contains_key(name) {
        lists.insert(name.to_owned(), Vec::new());
    }
    lists.get_mut(name).expect("just inserted")
}

fn window_latency(mut latencies: Vec<u64>) -> WindowLatency {
    let errors = latencies.iter().filter(|latency| **latency == u64::MAX).count() as u64;
    let arrivals = latencies.len() as u64;
    WindowLatency { arrivals, errors, p95_us: exact_p95(&mut latencies) }
}
