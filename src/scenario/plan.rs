//! The arrival plan: every request of a run, with the moment it is due, before the first is sent.
//!
//! Windows of the two modes alternate. Two adjacent ones form a pair: the same arrivals, operations
//! and orgs, in an order drawn for each pair, so that what drifts on the machine or in the target
//! falls on both modes alike.

use rand_chacha::ChaCha8Rng;

use super::file::Scenario;
use super::popularity::Popularity;
use super::{arrivals, random};
use crate::error::{Error, Result};
use crate::evidence::drive::Mode;

/// What a plan is made from, beside the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// Arrivals per second.
    pub rate_per_s: f64,
    /// Pairs of windows.
    pub pairs: u32,
    /// Length of a window, its settling time included, microseconds.
    pub window_us: u64,
    /// Start of a window that is driven but not measured, microseconds.
    pub settle_us: u64,
    /// Driven before the first window, not measured, microseconds; half in each mode.
    pub warm_up_us: u64,
    /// Modes of a pair: usually legacy and partitioned.
    pub modes: [Mode; 2],
    /// Orgs are numbered from 1 to this.
    pub orgs: u64,
    /// Seed of every random choice.
    pub rng_seed: u64,
}

/// One request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it is due, microseconds from the start of the run.
    pub due_us: u64,
    /// The org that asks.
    pub org: u64,
    /// Random bits for the blanks of its templates; the same in both windows of a pair.
    pub draw: u64,
    /// Index of its operation in the scenario.
    pub operation: u16,
    /// Index of its window in the plan.
    pub window: u16,
    /// Whether it counts: false in warm-up and settling time.
    pub measured: bool,
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPlan {
    /// Its pair; `None` for warm-up.
    pub pair: Option<u32>,
    /// The mode that is asked for.
    pub mode: Mode,
    /// Start of the measured part, microseconds from the start of the run.
    pub measured_from_us: u64,
    /// End, microseconds from the start of the run.
    pub end_us: u64,
}

/// Every request of a run in the order in which they are due.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Ascending by `due_us`.
    pub arrivals: Vec<Arrival>,
    /// In time order.
    pub windows: Vec<WindowPlan>,
}

/// Streams of randomness, so that one use never shifts another.
const ORDER_STREAM: u64 = 1;
const WARM_UP_STREAM: u64 = 2;
const FIRST_PAIR_STREAM: u64 = 16;

impl Plan {
    /// Makes the plan; a pure function of its arguments.
    ///
    /// # Errors
    /// A usage error where it would be empty or larger than can be numbered.
    pub fn new(scenario: &Scenario, options: &PlanOptions) -> Result<Self> {
        let windows = u64::from(options.pairs) * 2 + 2;
        if windows > u64::from(u16::MAX) {
            let what = format!("--pairs: {} is more than the 32000 a plan can hold", options.pairs);
            return Err(Error::usage(what, ""));
        }
        let source = Source::new(scenario, options);
        let mut plan = Self { arrivals: Vec::new(), windows: Vec::new() };
        let mut start_us = 0;
        let half = options.warm_up_us / 2;
        for (index, mode) in options.modes.into_iter().enumerate() {
            let mut rng = random::stream(options.rng_seed, WARM_UP_STREAM + index as u64);
            let pattern = source.draw(half, &mut rng);
            plan.add_window(None, mode, &pattern, start_us, half, half);
            start_us += half;
        }
        let mut order = random::stream(options.rng_seed, ORDER_STREAM);
        for pair in 0..options.pairs {
            let stream = FIRST_PAIR_STREAM + u64::from(pair);
            let mut rng = random::stream(options.rng_seed, stream);
            let pattern = source.draw(options.window_us, &mut rng);
            let mut modes = options.modes;
            if random::unit(&mut order) < 0.5 {
                modes.reverse();
            }
            for mode in modes {
                let (length, settle) = (options.window_us, options.settle_us);
                plan.add_window(Some(pair), mode, &pattern, start_us, length, settle);
                start_us += length;
            }
        }
        if !plan.arrivals.iter().any(|arrival| arrival.measured) {
            let what = "the plan holds no measured request";
            return Err(Error::usage(what, "raise --rate or --duration"));
        }
        Ok(plan)
    }

    /// Length of the run, microseconds.
    pub fn length_us(&self) -> u64 {
        self.windows.last().map_or(0, |window| window.end_us)
    }

    fn add_window(
        &mut self,
        pair: Option<u32>,
        mode: Mode,
        pattern: &[Arrival],
        start_us: u64,
        length_us: u64,
        settle_us: u64,
    ) {
        let window = u16::try_from(self.windows.len()).expect("counted by Plan::new");
        self.arrivals.extend(pattern.iter().map(|arrival| Arrival {
            due_us: start_us + arrival.due_us,
            window,
            measured: pair.is_some() && arrival.due_us >= settle_us,
            ..*arrival
        }));
        let (measured_from_us, end_us) = (start_us + settle_us, start_us + length_us);
        self.windows.push(WindowPlan { pair, mode, measured_from_us, end_us });
    }
}

/// Draws what arrives within one window.
struct Source<'a> {
    scenario: &'a Scenario,
    rate_per_s: f64,
    cumulative_weights: Vec<f64>,
    /// Per operation, the index of its popularity among `popularities`.
    popularity_of: Vec<usize>,
    popularities: Vec<Popularity>,
}

impl<'a> Source<'a> {
    fn new(scenario: &'a Scenario, options: &PlanOptions) -> Self {
        let mut sum = 0.0;
        let mut spreads = Vec::new();
        let mut cumulative_weights = Vec::new();
        let mut popularity_of = Vec::new();
        for operation in &scenario.operations {
            sum += operation.weight;
            cumulative_weights.push(sum);
            let known = spreads.iter().position(|spread| *spread == operation.orgs);
            popularity_of.push(known.unwrap_or_else(|| {
                spreads.push(operation.orgs);
                spreads.len() - 1
            }));
        }
        let popularities =
            spreads.iter().map(|spread| Popularity::new(options.orgs, spread)).collect();
        let rate_per_s = options.rate_per_s;
        Self { scenario, rate_per_s, cumulative_weights, popularity_of, popularities }
    }

    fn draw(&self, length_us: u64, rng: &mut ChaCha8Rng) -> Vec<Arrival> {
        use rand_chacha::rand_core::Rng;
        let times = arrivals::times_us(self.scenario.shape, self.rate_per_s, length_us, rng);
        let total = self.cumulative_weights.last().copied().unwrap_or(0.0);
        times
            .into_iter()
            .map(|due_us| {
                let point = random::unit(rng) * total;
                let operation = self
                    .cumulative_weights
                    .partition_point(|&sum| sum <= point)
                    .min(self.cumulative_weights.len() - 1);
                let org = self.popularities[self.popularity_of[operation]].draw(rng);
                let draw = rng.next_u64();
                let operation = u16::try_from(operation).expect("a file holds fewer operations");
                Arrival { due_us, org, draw, operation, window: 0, measured: false }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PlanOptions {
        PlanOptions {
            rate_per_s: 200.0,
            pairs: 4,
            window_us: 2_000_000,
            settle_us: 500_000,
            warm_up_us: 1_000_000,
            modes: Mode::ALL,
            orgs: 1000,
            rng_seed: 42,
        }
    }

    fn plan(options: &PlanOptions) -> Plan {
        let scenario = Scenario::parse("finance", super::super::FINANCE).expect("ships valid");
        Plan::new(&scenario, options).expect("a plan")
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(plan(&options()), plan(&options()));
        assert_ne!(plan(&options()), plan(&PlanOptions { rng_seed: 43, ..options() }));
    }

    #[test]
    fn both_windows_of_a_pair_hold_the_same_requests() {
        let plan = plan(&options());
        for pair in 0..4 {
            let of_mode = |mode| {
                let (index, window) = plan
                    .windows
                    .iter()
                    .enumerate()
                    .find(|(_, w)| w.pair == Some(pair) && w.mode == mode)
                    .expect("each pair has each mode");
                plan.arrivals
                    .iter()
                    .filter(|a| usize::from(a.window) == index)
                    .map(|a| (a.due_us + 2_000_000 - window.end_us, a.org, a.draw, a.operation))
                    .collect::<Vec<_>>()
            };
            assert!(!of_mode(Mode::Legacy).is_empty());
            assert_eq!(of_mode(Mode::Legacy), of_mode(Mode::Partitioned));
        }
    }

    #[test]
    fn requests_are_in_time_order_and_settling_time_does_not_count() {
        let plan = plan(&options());
        assert!(plan.arrivals.is_sorted_by_key(|a| a.due_us));
        for arrival in &plan.arrivals {
            let window = plan.windows[usize::from(arrival.window)];
            assert!(arrival.due_us < window.end_us);
            let counts = window.pair.is_some() && arrival.due_us >= window.measured_from_us;
            assert_eq!(arrival.measured, counts);
        }
        assert_eq!(plan.length_us(), 1_000_000 + 8 * 2_000_000);
    }
}
