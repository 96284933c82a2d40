//! The arrival plan: every request of a run, with the moment it is due, fixed before the first is
//! sent.
//!
//! Windows of the modes alternate. A round is one window of each mode: the same arrivals, operations
//! and orgs, in an order drawn for each round, so that what drifts on the machine or in the target
//! falls on both modes alike. A pair is what is compared: one round if a flag has to be switched
//! and needs its time to settle, several short ones if each request carries its own mode, for the
//! noise of a shared machine comes in bursts that only near neighbours share. Requests are drawn
//! window by window, so that a load of many hours needs no more memory than a short one.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::arrivals::Intensity;
use super::check::Scenario;
use super::popularity::Popularity;
use super::random;
use cutover_error::{Error, Result};
use cutover_evidence::drive::Side;
use cutover_evidence::shard::Shard;

/// What a plan is made from, beside the scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// Arrivals per second.
    pub rate_per_s: f64,
    /// Pairs, each compared as one.
    pub pairs: u32,
    /// Rounds of windows in a pair.
    pub rounds: u32,
    /// After how many pairs the load is looked at and may end, ascending, each below `pairs`. A rate
    /// that changes over the load is driven to its end whatever stands here.
    pub looks: Vec<u32>,
    /// Length of a window, its settling time included, microseconds.
    pub window_us: u64,
    /// Start of a window that is driven but not measured, microseconds.
    pub settle_us: u64,
    /// Driven before the first window, not measured, microseconds; an equal part in each mode.
    pub warm_up_us: u64,
    /// The modes of a pair, baseline first: usually legacy and partitioned, twice legacy for a
    /// calibration, or a single mode if nothing is compared.
    pub modes: Vec<Side>,
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
    /// Random bits for the blanks of its templates; the same in all windows of a round.
    pub draw: u64,
    /// Its number among the requests that differ: the same in all windows of a round.
    pub turn: u64,
    /// Index of its operation in the scenario.
    pub operation: u16,
    /// Index of its window in the plan.
    pub window: u32,
    /// Whether the org is one of the few that make half of the requests.
    pub hot: bool,
    /// Whether it counts: false in warm-up and settling time.
    pub measured: bool,
}

impl Arrival {
    /// The window of what is sent before the first.
    pub const AHEAD: u32 = u32::MAX;
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowPlan {
    /// Its pair; `None` for warm-up, and while the pairs before are looked at.
    pub pair: Option<u32>,
    /// Its round, counted over all pairs; its windows, one per mode, hold the same arrivals.
    pub round: u32,
    /// The mode that is asked for.
    pub mode: Side,
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
    /// If the plan may end early: windows before which somebody decides whether they are needed.
    pub looks: Vec<usize>,
    source: Arc<Source>,
    shard: Option<Shard>,
}

/// Streams of randomness, so that one use never shifts another.
const ORDER_STREAM: u64 = 1;
const FIRST_ROUND_STREAM: u64 = 16;
const UNMEASURED_STREAM: u64 = 1 << 32;

impl Plan {
    /// Makes the plan; a pure function of its arguments.
    ///
    /// # Errors
    /// A usage error if it would be empty or larger than can be numbered.
    pub fn new(scenario: &Scenario, options: &PlanOptions) -> Result<Self> {
        let rounds = u64::from(options.pairs) * u64::from(options.rounds);
        if rounds > MOST_ROUNDS {
            let what = format!("a plan of {rounds} rounds of windows; it holds {MOST_ROUNDS}");
            return Err(Error::usage(what, "give a shorter --duration"));
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
        let mut options = options.clone();
        if !scenario.shape.is_steady() {
            // Whoever ends early has not seen the rest of the curve.
            options.looks.clear();
        }
        let (windows, looks) = lay_out(&options);
        let source = Arc::new(Source::new(scenario, options));
        let plan = Self { windows, looks, source, shard: None };
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

    /// How many pairs there are at each look, the end of the plan included.
    pub fn pairs_at_looks(&self) -> Vec<u32> {
        let options = &self.source.options;
        options.looks.iter().copied().chain([options.pairs]).collect()
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
            // All windows of a round are made from one draw.
            let round = window.pair.map(|_| window.round);
            if round.is_none() || pattern.0 != round {
                next_turn += pattern.1.len() as u64;
                pattern = (round, source.draw(index, &window));
            }
            let mut arrivals: Vec<Arrival> = (next_index..)
                .zip(&pattern.1)
                .zip(next_turn..)
                .map(|((number, arrival), turn)| Arrival {
                    index: number,
                    turn,
                    due_us: window.start_us + arrival.due_us,
                    window: index as u32,
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
        let mut rng = random::stream(self.source.options.rng_seed, FIRST_ROUND_STREAM);
        let numbered = |turn| Arrival { turn, ..self.source.request(0, &mut rng) };
        (0..count as u64).map(numbered).collect()
    }
}

/// While the pairs so far are looked at, the load goes on for so long, unmeasured.
const LOOK_US: u64 = 1_000_000;

/// Rounds of windows that a plan holds at most: days of the shortest.
const MOST_ROUNDS: u64 = 1_000_000;

/// Warm-up in each mode, then the pairs, with the windows before which the plan may end.
fn lay_out(options: &PlanOptions) -> (Vec<WindowPlan>, Vec<usize>) {
    let mut windows: Vec<WindowPlan> = Vec::new();
    let add = |windows: &mut Vec<WindowPlan>, (pair, round), (side, mode), length_us, settle_us| {
        let start_us = windows.last().map_or(0, |window: &WindowPlan| window.end_us);
        windows.push(WindowPlan {
            pair,
            round,
            mode,
            candidate: side == 1,
            start_us,
            measured_from_us: start_us + settle_us,
            end_us: start_us + length_us,
        });
    };
    let sides: Vec<(usize, Side)> = options.modes.iter().copied().enumerate().collect();
    let part = options.warm_up_us / sides.len().max(1) as u64;
    for side in &sides {
        add(&mut windows, (None, 0), *side, part, part);
    }
    let mut order = random::stream(options.rng_seed, ORDER_STREAM);
    let mut looks = Vec::new();
    for round in 0..options.pairs * options.rounds {
        let (pair, first) = (round / options.rounds, round % options.rounds == 0);
        if let (true, Some(side)) = (first && options.looks.contains(&pair), sides.last()) {
            add(&mut windows, (None, round), *side, LOOK_US, LOOK_US);
            looks.push(windows.len());
        }
        let mut sides = sides.clone();
        if random::unit(&mut order) < 0.5 {
            sides.reverse();
        }
        for side in sides {
            let place = (Some(pair), round);
            add(&mut windows, place, side, options.window_us, options.settle_us);
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
        let rounds = f64::from(options.pairs * options.rounds);
        let length_s = rounds * options.window_us as f64 / 1e6;
        let intensity = Intensity::new(&scenario.shape, options.rate_per_s, length_s);
        Self { options, intensity, cumulative_weights, popularity_of, popularities }
    }

    /// If a window begins in virtual time, which runs once per round; warm-up stands at its start.
    fn virtual_start_s(&self, window: &WindowPlan) -> f64 {
        f64::from(window.round) * self.options.window_us as f64 / 1e6
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
            Some(_) => FIRST_ROUND_STREAM + u64::from(window.round),
            None => UNMEASURED_STREAM + index as u64,
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
            rounds: 1,
            looks: Vec::new(),
            window_us: 2_000_000,
            settle_us: 500_000,
            warm_up_us: 1_000_000,
            modes: Side::BOTH.to_vec(),
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
    fn all_windows_of_a_round_hold_the_same_requests() {
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
                    .filter(|a| a.window as usize == index)
                    .map(|a| (a.due_us - window.start_us, a.org, a.draw, a.operation))
                    .collect::<Vec<_>>()
            };
            assert_eq!(of_mode(Side::Legacy), of_mode(Side::Partitioned));
            sizes.push(of_mode(Side::Legacy).len());
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
            let window = plan.windows[arrival.window as usize];
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
        let single = plan(&PlanOptions { modes: vec![Side::Legacy], ..options() });
        assert_eq!(single.windows.len(), 5);
        let twice = plan(&PlanOptions { modes: vec![Side::Legacy; 2], ..options() });
        assert!(twice.windows.iter().all(|window| window.mode == Side::Legacy));
        assert_eq!(twice.windows.iter().filter(|window| window.candidate).count(), 5);
    }

    #[test]
    fn what_leaves_nothing_to_measure_is_refused() {
        let scenario = Scenario::parse("finance", super::super::FINANCE).expect("ships valid");
        for bad in [
            PlanOptions { settle_us: 2_000_000, ..options() },
            PlanOptions { rate_per_s: 0.01, pairs: 1, ..options() },
            PlanOptions { pairs: 40_000, rounds: 40, ..options() },
        ] {
            assert!(Plan::new(&scenario, &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn short_windows_take_turns_within_a_pair_and_leave_nothing_out() {
        let short = PlanOptions { rounds: 5, window_us: 200_000, settle_us: 0, ..options() };
        let plan = plan(&short);
        let measured: Vec<&WindowPlan> = plan.windows.iter().filter(|w| w.pair.is_some()).collect();
        assert_eq!(measured.len(), 4 * 5 * 2);
        for (number, round) in measured.chunks(2).enumerate() {
            assert!(round.iter().all(|w| w.round == number as u32 && w.pair == Some(w.round / 5)));
            assert_ne!(round[0].mode, round[1].mode);
        }
        // Each mode goes first now and then.
        assert!(
            Side::BOTH.iter().all(|mode| measured.chunks(2).any(|round| round[0].mode == *mode))
        );
        let all = arrivals(&plan);
        assert!(all.iter().all(|a| a.measured == plan.windows[a.window as usize].pair.is_some()));
        let of = |round: u32, mode| {
            let start = |a: &Arrival| plan.windows[a.window as usize].start_us;
            all.iter()
                .filter(|a| {
                    let window = plan.windows[a.window as usize];
                    window.pair.is_some() && window.round == round && window.mode == mode
                })
                .map(|a| (a.due_us - start(a), a.org, a.draw, a.turn, a.operation))
                .collect::<Vec<_>>()
        };
        for round in 0..20 {
            assert_eq!(of(round, Side::Legacy), of(round, Side::Partitioned));
        }
        assert_ne!(of(0, Side::Legacy), of(1, Side::Legacy));
    }

    #[test]
    fn a_look_is_unmeasured_and_changes_nothing_of_what_is_measured() {
        let (plain, looked) =
            (plan(&options()), plan(&PlanOptions { looks: vec![2, 3], ..options() }));
        assert!(plain.looks.is_empty());
        assert_eq!((plain.pairs_at_looks(), looked.pairs_at_looks()), (vec![4], vec![2, 3, 4]));
        assert_eq!(looked.looks.len(), 2);
        for (look, pairs) in looked.looks.iter().zip([2, 3]) {
            assert_eq!(looked.windows[look - 1].pair, None);
            assert_eq!(looked.windows[*look].pair, Some(pairs));
        }
        // The load goes on while it is looked at, and what comes after is as if nobody had looked.
        let measured = |plan: &Plan| {
            let all = arrivals(plan).into_iter().filter(|a| a.measured);
            let start = |a: &Arrival| plan.windows[a.window as usize].start_us;
            all.map(|a| (a.due_us - start(&a), a.org, a.operation)).collect::<Vec<_>>()
        };
        assert_eq!(measured(&plain), measured(&looked));
        assert_eq!(looked.length_us(), plain.length_us() + 2 * LOOK_US);
    }

    #[test]
    fn a_rate_that_changes_over_the_load_is_driven_to_its_end() {
        let text = super::super::FINANCE.replace("\"poisson\"", "\"ramp\"\nfrom = 0.2\nto = 3.0");
        let scenario = Scenario::parse("finance", &text).expect("a scenario");
        let plan = Plan::new(&scenario, &PlanOptions { looks: vec![2], ..options() });
        let plan = plan.expect("a plan");
        assert_eq!((plan.looks.len(), plan.pairs_at_looks()), (0, vec![4]));
    }
}
