//! The arrival plan: every request of a run, with the moment it is due, fixed before the first is
//! sent.
//!
//! Windows of the two modes alternate. Two adjacent ones form a pair: the same arrivals, operations
//! and orgs, in an order drawn for each pair, so that what drifts on the machine or in the target
//! falls on both modes alike. Requests are drawn window by window, so that a load of many hours
//! needs no more memory than a short one.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::arrivals::Intensity;
use super::check::Scenario;
use super::popularity::Popularity;
use super::random;
use crate::error::{Error, Result};
use crate::evidence::drive::Mode;
use crate::evidence::shard::Shard;

/// What a plan is made from, beside the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// Arrivals per second.
    pub rate_per_s: f64,
    /// Pairs of windows.
    pub pairs: u32,
    /// How often further pairs may follow where those before did not decide.
    pub extensions: u32,
    /// Pairs of each extension.
    pub extension_pairs: u32,
    /// Length of a window, its settling time included, microseconds.
    pub window_us: u64,
    /// Start of a window that is driven but not measured, microseconds.
    pub settle_us: u64,
    /// Driven before the first window, not measured, microseconds; an equal part in each mode.
    pub warm_up_us: u64,
    /// The modes of a pair, baseline first: usually legacy and partitioned, twice legacy for a
    /// calibration, or a single mode where nothing is compared.
    pub modes: Vec<Mode>,
    /// Orgs are numbered from 1 to this.
    pub orgs: u64,
    /// Seed of every random choice.
    pub rng_seed: u64,
}

/// One request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the plan, from 0.
    pub index: u64,
    /// When it is due, microseconds from the start of the run.
    pub due_us: u64,
    /// The org that asks.
    pub org: u64,
    /// Random bits for the blanks of its templates; the same in both windows of a pair.
    pub draw: u64,
    /// Its number among the requests that differ: the same in both windows of a pair.
    pub turn: u64,
    /// Index of its operation in the scenario.
    pub operation: u16,
    /// Index of its window in the plan.
    pub window: u16,
    /// Whether the org is one of the few that make half of the requests.
    pub hot: bool,
    /// Whether it counts: false in warm-up and settling time.
    pub measured: bool,
}

impl Arrival {
    /// The window of what is sent before the first.
    pub const AHEAD: u16 = u16::MAX;
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowPlan {
    /// Its pair; `None` for warm-up, and while the pairs before are looked at.
    pub pair: Option<u32>,
    /// The mode that is asked for.
    pub mode: Mode,
    /// Whether it stands for the second mode of its pair: what is compared with the baseline.
    pub candidate: bool,
    /// Start, microseconds from the start of the run.
    pub start_us: u64,
    /// Start of the measured part, microseconds from the start of the run.
    pub measured_from_us: u64,
    /// End, microseconds from the start of the run.
    pub end_us: u64,
}

/// At the end of a window that needs time to settle, so much is not measured: what is on its way
/// while the flag is switched may be answered by the other side.
const DRAIN_US: u64 = 1_000_000;

impl WindowPlan {
    /// End of the measured part, microseconds from the start of the run.
    pub fn measured_to_us(&self) -> u64 {
        let settle_us = self.measured_from_us - self.start_us;
        let at_most_us = (self.end_us - self.measured_from_us) / 10;
        self.end_us - settle_us.min(DRAIN_US).min(at_most_us)
    }

    /// Whether a request that is due then counts.
    pub fn measures(&self, due_us: u64) -> bool {
        self.pair.is_some() && (self.measured_from_us..self.measured_to_us()).contains(&due_us)
    }
}

/// Every request of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// In time order, without a gap.
    pub windows: Vec<WindowPlan>,
    /// Where the plan may end early: windows before which somebody decides whether they are needed.
    pub looks: Vec<usize>,
    source: Arc<Source>,
    shard: Option<Shard>,
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
        let further = u64::from(options.extensions) * (u64::from(options.extension_pairs) + 1);
        let windows = (u64::from(options.pairs) + further + 1) * options.modes.len() as u64;
        if windows > u64::from(u16::MAX) {
            let what = format!("--pairs: {} is more than the 32000 a plan can hold", options.pairs);
            return Err(Error::usage(what, ""));
        }
        if options.settle_us >= options.window_us {
            let (settle_s, window_s) =
                (options.settle_us / 1_000_000, options.window_us / 1_000_000);
            let what = format!(
                "the settling time of {settle_s} s leaves nothing to measure of windows of {window_s} s"
            );
            let hint = "give a longer --duration, fewer --pairs, or a shorter [routing] settle_s";
            return Err(Error::usage(what, hint));
        }
        scenario.check_orgs(options.orgs)?;
        let (windows, looks) = lay_out(options);
        let plan = Self {
            windows,
            looks,
            source: Arc::new(Source::new(scenario, options.clone())),
            shard: None,
        };
        let measured = plan.windows.iter().map(|window| plan.source.expected(window)).sum::<f64>();
        if measured < 1.0 {
            let what = "the plan holds no measured request";
            return Err(Error::usage(what, "raise --rate or --duration"));
        }
        Ok(plan)
    }

    /// The same plan with the arrivals of one shard alone; their numbers and times stay.
    pub fn of_shard(self, shard: Shard) -> Self {
        Self { shard: Some(shard), ..self }
    }

    /// Length of the run, microseconds.
    pub fn length_us(&self) -> u64 {
        self.windows.last().map_or(0, |window| window.end_us)
    }

    /// How many of the most popular orgs make half of the requests of the scenario's first
    /// operation, and how many orgs there are.
    pub fn hot_orgs(&self) -> (u64, u64) {
        (self.source.popularities[0].hot_orgs(), self.source.options.orgs)
    }

    /// How many arrivals are to be expected before the first look, for whoever watches.
    pub fn expected_arrivals(&self) -> u64 {
        self.expected_between(0, self.looks.first().copied())
    }

    /// The same from one look to the next; `None` after the last.
    pub fn expected_after_look(&self, look: usize) -> Option<u64> {
        let from = *self.looks.get(look)?;
        Some(self.expected_between(from, self.looks.get(look + 1).copied()))
    }

    fn expected_between(&self, from: usize, to: Option<usize>) -> u64 {
        let of = |window: &WindowPlan| {
            let length_s = (window.end_us - window.start_us) as f64 / 1e6;
            let from_s = self.source.virtual_start_s(window);
            self.source.intensity.area(from_s + length_s) - self.source.intensity.area(from_s)
        };
        let to = to.unwrap_or(self.windows.len());
        let all = self.windows[from..to].iter().map(of).sum::<f64>() as u64;
        self.shard.map_or(all, |shard| all / shard.of)
    }

    /// The arrivals window by window, each in the order in which they are due.
    pub fn walk(&self) -> impl Iterator<Item = Vec<Arrival>> + use<> {
        let Self { windows, source, shard, .. } = self.clone();
        let mut pattern: (Option<u32>, Vec<Arrival>) = (None, Vec::new());
        let mut next_index = 0;
        let mut next_turn = 0;
        windows.into_iter().enumerate().map(move |(index, window)| {
            // Both windows of a pair are made from one draw.
            if window.pair.is_none() || pattern.0 != window.pair {
                next_turn += pattern.1.len() as u64;
                pattern = (window.pair, source.draw(index, &window));
            }
            let mut arrivals: Vec<Arrival> = (next_index..)
                .zip(&pattern.1)
                .zip(next_turn..)
                .map(|((number, arrival), turn)| Arrival {
                    index: number,
                    turn,
                    due_us: window.start_us + arrival.due_us,
                    window: index as u16,
                    measured: window.measures(window.start_us + arrival.due_us),
                    ..*arrival
                })
                .collect();
            next_index += arrivals.len() as u64;
            arrivals.retain(|arrival| shard.is_none_or(|shard| shard.holds(arrival.index)));
            arrivals
        })
    }

    /// Arrivals without a time, for a load that sends as fast as it is answered.
    pub fn endless(&self, count: usize) -> Vec<Arrival> {
        let mut rng = random::stream(self.source.options.rng_seed, FIRST_PAIR_STREAM);
        let numbered = |turn| Arrival { turn, ..self.source.request(0, &mut rng) };
        (0..count as u64).map(numbered).collect()
    }
}

/// While the pairs so far are looked at, the load goes on for so long, unmeasured.
const LOOK_US: u64 = 2_000_000;

/// Warm-up in each mode, then the pairs, then what may follow; with the windows before which the
/// plan may end.
fn lay_out(options: &PlanOptions) -> (Vec<WindowPlan>, Vec<usize>) {
    let mut windows: Vec<WindowPlan> = Vec::new();
    let add =
        |windows: &mut Vec<WindowPlan>, pair, (side, mode): (usize, Mode), length_us, settle_us| {
            let start_us = windows.last().map_or(0, |window: &WindowPlan| window.end_us);
            windows.push(WindowPlan {
                pair,
                mode,
                candidate: side == 1,
                start_us,
                measured_from_us: start_us + settle_us,
                end_us: start_us + length_us,
            });
        };
    let sides: Vec<(usize, Mode)> = options.modes.iter().copied().enumerate().collect();
    let part = options.warm_up_us / sides.len().max(1) as u64;
    for side in &sides {
        add(&mut windows, None, *side, part, part);
    }
    let mut order = random::stream(options.rng_seed, ORDER_STREAM);
    let mut looks = Vec::new();
    let mut pair = 0;
    for stage in 0..=options.extensions {
        let pairs = if stage == 0 { options.pairs } else { options.extension_pairs };
        if let (1.., Some(side)) = (stage, sides.last()) {
            add(&mut windows, None, *side, LOOK_US, LOOK_US);
            looks.push(windows.len());
        }
        for _ in 0..pairs {
            let mut sides = sides.clone();
            if random::unit(&mut order) < 0.5 {
                sides.reverse();
            }
            for side in sides {
                add(&mut windows, Some(pair), side, options.window_us, options.settle_us);
            }
            pair += 1;
        }
    }
    (windows, looks)
}

/// Draws what arrives within one window.
#[derive(Debug)]
struct Source {
    options: PlanOptions,
    intensity: Intensity,
    cumulative_weights: Vec<f64>,
    /// Per operation, the index of its popularity among `popularities`.
    popularity_of: Vec<usize>,
    popularities: Vec<Popularity>,
}

impl Source {
    fn new(scenario: &Scenario, options: PlanOptions) -> Self {
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
        let length_s = f64::from(options.pairs) * options.window_us as f64 / 1e6;
        let intensity = Intensity::new(&scenario.shape, options.rate_per_s, length_s);
        Self { options, intensity, cumulative_weights, popularity_of, popularities }
    }

    /// Where a window begins in virtual time, which runs once per pair; warm-up stands at its start.
    /// Further pairs begin anew where the planned ones began.
    fn virtual_start_s(&self, window: &WindowPlan) -> f64 {
        let pair = window.pair.map_or(0, |pair| pair % self.options.pairs.max(1));
        f64::from(pair) * self.options.window_us as f64 / 1e6
    }

    /// How many measured requests a window is expected to hold.
    fn expected(&self, window: &WindowPlan) -> f64 {
        if window.pair.is_none() {
            return 0.0;
        }
        let start_s = self.virtual_start_s(window);
        let at = |us: u64| self.intensity.area(start_s + (us - window.start_us) as f64 / 1e6);
        at(window.measured_to_us()) - at(window.measured_from_us)
    }

    /// The arrivals of a window, counted from its start.
    fn draw(&self, index: usize, window: &WindowPlan) -> Vec<Arrival> {
        let stream = match window.pair {
            Some(pair) => FIRST_PAIR_STREAM + u64::from(pair),
            None => WARM_UP_STREAM + index as u64,
        };
        let mut rng = random::stream(self.options.rng_seed, stream);
        let length_us = window.end_us - window.start_us;
        let times = self.intensity.times_us(self.virtual_start_s(window), length_us, &mut rng);
        times.into_iter().map(|due_us| self.request(due_us, &mut rng)).collect()
    }

    fn request(&self, due_us: u64, rng: &mut ChaCha8Rng) -> Arrival {
        use rand_chacha::rand_core::Rng;
        let total = self.cumulative_weights.last().copied().unwrap_or(0.0);
        let point = random::unit(rng) * total;
        let operation = self
            .cumulative_weights
            .partition_point(|&sum| sum <= point)
            .min(self.cumulative_weights.len() - 1);
        let (org, hot) = self.popularities[self.popularity_of[operation]].draw(rng);
        let draw = rng.next_u64();
        let operation = u16::try_from(operation).expect("a file holds fewer operations");
        let (index, turn, window, measured) = (0, 0, 0, false);
        Arrival { index, due_us, org, draw, turn, operation, window, hot, measured }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> PlanOptions {
        PlanOptions {
            rate_per_s: 200.0,
            pairs: 4,
            extensions: 0,
            extension_pairs: 2,
            window_us: 2_000_000,
            settle_us: 500_000,
            warm_up_us: 1_000_000,
            modes: Mode::ALL.to_vec(),
            orgs: 1000,
            rng_seed: 42,
        }
    }

    fn plan(options: &PlanOptions) -> Plan {
        let scenario = Scenario::parse("finance", super::super::FINANCE).expect("ships valid");
        Plan::new(&scenario, options).expect("a plan")
    }

    fn arrivals(plan: &Plan) -> Vec<Arrival> {
        plan.walk().flatten().collect()
    }

    #[test]
    fn shards_together_are_the_plan_each_arrival_once() {
        let whole = plan(&options());
        let shards = (1..=3).map(|index| whole.clone().of_shard(Shard { index, of: 3 }));
        let mut parts: Vec<Arrival> = shards.flat_map(|shard| arrivals(&shard)).collect();
        parts.sort_by_key(|arrival| arrival.index);
        assert_eq!(parts, arrivals(&whole));
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(arrivals(&plan(&options())), arrivals(&plan(&options())));
        let other = PlanOptions { rng_seed: 43, ..options() };
        assert_ne!(arrivals(&plan(&options())), arrivals(&plan(&other)));
    }

    #[test]
    fn both_windows_of_a_pair_hold_the_same_requests() {
        // Under a rate that changes over time too.
        let text = super::super::FINANCE.replace("\"poisson\"", "\"ramp\"\nfrom = 0.2\nto = 3.0");
        let scenario = Scenario::parse("finance", &text).expect("a scenario");
        let plan = Plan::new(&scenario, &options()).expect("a plan");
        let all = arrivals(&plan);
        let mut sizes = Vec::new();
        for pair in 0..4 {
            let of_mode = |mode| {
                let (index, window) = plan
                    .windows
                    .iter()
                    .enumerate()
                    .find(|(_, w)| w.pair == Some(pair) && w.mode == mode)
                    .expect("each pair has each mode");
                all.iter()
                    .filter(|a| usize::from(a.window) == index)
                    .map(|a| (a.due_us - window.start_us, a.org, a.draw, a.operation))
                    .collect::<Vec<_>>()
            };
            assert_eq!(of_mode(Mode::Legacy), of_mode(Mode::Partitioned));
            sizes.push(of_mode(Mode::Legacy).len());
        }
        assert!(sizes[0] > 50 && sizes.windows(2).all(|s| s[1] > s[0] + 50), "{sizes:?}");
    }

    #[test]
    fn requests_are_in_time_order_and_settling_time_does_not_count() {
        let plan = plan(&options());
        let all = arrivals(&plan);
        assert!(all.is_sorted_by_key(|a| a.due_us));
        assert!(all.iter().enumerate().all(|(number, a)| a.index == number as u64));
        for arrival in &all {
            let window = plan.windows[usize::from(arrival.window)];
            assert!((window.start_us..window.end_us).contains(&arrival.due_us));
            let since_us = arrival.due_us - window.start_us;
            // Half a second settles; of the rest a tenth is left for what is still on its way.
            let counts = window.pair.is_some() && (500_000..1_850_000).contains(&since_us);
            assert_eq!(arrival.measured, counts);
        }
        assert_eq!(plan.length_us(), 1_000_000 + 8 * 2_000_000);
        let expected = plan.expected_arrivals() as f64;
        assert!((all.len() as f64 - expected).abs() < 4.0 * expected.sqrt());
    }

    #[test]
    fn one_mode_alone_and_the_same_mode_twice() {
        let single = plan(&PlanOptions { modes: vec![Mode::Legacy], ..options() });
        assert_eq!(single.windows.len(), 5);
        let twice = plan(&PlanOptions { modes: vec![Mode::Legacy; 2], ..options() });
        assert!(twice.windows.iter().all(|window| window.mode == Mode::Legacy));
        assert_eq!(twice.windows.iter().filter(|window| window.candidate).count(), 5);
    }

    #[test]
    fn what_leaves_nothing_to_measure_is_refused() {
        let scenario = Scenario::parse("finance", super::super::FINANCE).expect("ships valid");
        for bad in [
            PlanOptions { settle_us: 2_000_000, ..options() },
            PlanOptions { rate_per_s: 0.01, pairs: 1, ..options() },
            PlanOptions { pairs: 40_000, ..options() },
        ] {
            assert!(Plan::new(&scenario, &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_may_follow_changes_nothing_of_what_comes_before() {
        let (plain, extended) =
            (plan(&options()), plan(&PlanOptions { extensions: 2, ..options() }));
        assert!(plain.looks.is_empty());
        assert_eq!(extended.looks.len(), 2);
        assert_eq!(extended.windows[..plain.windows.len()], plain.windows);
        // The load goes on while it is looked at.
        let meanwhile = (options().rate_per_s * LOOK_US as f64 / 1e6) as u64;
        assert_eq!(extended.expected_arrivals(), plain.expected_arrivals() + meanwhile);
        // A look is unmeasured, and what follows it are whole pairs with numbers of their own.
        for look in &extended.looks {
            assert_eq!(extended.windows[look - 1].pair, None);
            let pairs: Vec<_> = extended.windows[*look..*look + 4].iter().map(|w| w.pair).collect();
            assert!(pairs.iter().all(Option::is_some), "{pairs:?}");
        }
        let numbers: Vec<u32> = extended.windows.iter().filter_map(|window| window.pair).collect();
        assert_eq!(numbers.iter().max(), Some(&7));
        let (mut first, mut second) = (plain.walk(), extended.walk());
        for _ in 0..plain.windows.len() {
            assert_eq!(first.next(), second.next());
        }
    }
}
