//! The verdict on the p95 by simulation: how often is it wrong, on a machine that drifts and on the
//! noise of a real one?

use flate2::read::GzDecoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Read;

use super::boundaries::confidences;
use super::interval::interval;

const RUNS: u32 = 3000;
const LIMIT: f64 = 1.10;
const CHANCE: f64 = 0.05;

/// How a load is cut up: pairs at each look, rounds of windows in a pair.
#[derive(Clone, Copy)]
struct Shape {
    looks_at: &'static [u32],
    rounds: usize,
}

/// The rehearsal's own: a test of `rehearsal::LoadShape` holds it to these.
const QUICK: Shape = Shape { looks_at: &[18, 22, 26, 30, 35], rounds: 12 };
const DEFAULT: Shape = Shape { looks_at: &[50, 98, 147, 196, 245], rounds: 12 };
/// Few pairs, and some more, looked at once.
const FEW: Shape = Shape { looks_at: &[6], rounds: 12 };
const SOME: Shape = Shape { looks_at: &[12], rounds: 12 };

/// Where pairs come from.
trait Noise {
    /// The log ratio of the next pair at a true ratio.
    fn pair(&mut self, true_ratio: f64) -> f64;
    /// The ratio of the p95 of all requests so far.
    fn pooled(&self) -> f64;
}

#[derive(Debug)]
struct Shares {
    go: f64,
    no_go: f64,
    /// Pairs until the end, on average.
    pairs: f64,
}

/// Looks at pairs until they decide, as `statistics::look` does.
fn simulate<N: Noise>(shape: Shape, true_ratio: f64, mut begin: impl FnMut(u32) -> N) -> Shares {
    let levels = confidences(shape.looks_at, CHANCE);
    let (mut go, mut no_go, mut pairs) = (0, 0, 0);
    for run in 0..RUNS {
        let mut noise = begin(run);
        let mut ratios = Vec::new();
        for (look_at, level) in shape.looks_at.iter().zip(&levels) {
            while ratios.len() < *look_at as usize {
                ratios.push(noise.pair(true_ratio));
            }
            let interval = interval(&ratios, *level).expect("pairs");
            let is_go = interval.high < LIMIT && noise.pooled() < LIMIT;
            let is_no_go = interval.low > LIMIT;
            go += u32::from(is_go);
            no_go += u32::from(is_no_go);
            if is_go || is_no_go {
                break;
            }
        }
        pairs += ratios.len();
    }
    let share = |count: u32| f64::from(count) / f64::from(RUNS);
    Shares { go: share(go), no_go: share(no_go), pairs: pairs as f64 / f64::from(RUNS) }
}

fn unit(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A machine whose log speed drifts from window to window as an AR(1) with ρ 0.8 and a standard
/// deviation of 12 %.
struct Drifting {
    rng: ChaCha8Rng,
    drift: f64,
}

const RHO: f64 = 0.8;
const DRIFT: f64 = 0.12;
const OWN_NOISE: f64 = 0.03;

impl Drifting {
    fn begin(run: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(20_260_301 + u64::from(run));
        let drift = DRIFT * Self::normal(&mut rng);
        Self { rng, drift }
    }

    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (u, v) = (unit(rng), unit(rng));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn window(&mut self) -> f64 {
        let pushed = DRIFT * (1.0 - RHO * RHO).sqrt() * Self::normal(&mut self.rng);
        self.drift = RHO * self.drift + pushed;
        self.drift + OWN_NOISE * Self::normal(&mut self.rng)
    }
}

impl Noise for Drifting {
    fn pair(&mut self, true_ratio: f64) -> f64 {
        let (first, second) = (self.window(), self.window());
        let ordered = if unit(&mut self.rng) < 0.5 { second - first } else { first - second };
        ordered + true_ratio.ln()
    }

    fn pooled(&self) -> f64 {
        0.0
    }
}

/// An hour of `drive --modes legacy` against a rig on a small virtual machine, response times by slots
/// of 100 ms: for each slot the number of requests that were due in it, then their response times as
/// steps of 5 % from 100 µs on.
const RECORDED: &[u8] = include_bytes!("../../../../fixtures/noise.bin.gz");
const SLOT_S: f64 = 0.1;
const STEP: f64 = 0.05;
/// Slots of a window: 100 ms.
const WINDOW_SLOTS: usize = 1;

/// The recorded slots, each a list of steps.
struct Recorded {
    steps: Vec<u8>,
    /// If each slot begins in them, and if the last ends.
    from: Vec<usize>,
}

impl Recorded {
    fn read() -> Self {
        let mut bytes = Vec::new();
        GzDecoder::new(RECORDED).read_to_end(&mut bytes).expect("a fixture of ours");
        let (mut steps, mut from, mut at) = (Vec::new(), vec![0], 0);
        while let Some(count) = bytes.get(at) {
            let end = at + 1 + usize::from(*count);
            steps.extend_from_slice(&bytes[at + 1..end]);
            from.push(steps.len());
            at = end;
        }
        Self { steps, from }
    }

    fn slots(&self) -> usize {
        self.from.len() - 1
    }
}

/// A load that is replayed from some moment of the hour on; after its end it begins anew.
struct Replay<'a> {
    recorded: &'a Recorded,
    rng: ChaCha8Rng,
    slot: usize,
    rounds: usize,
    /// Requests of each side by their logarithm, for the p95 of all.
    counts: [Vec<u32>; 2],
}

/// Bins of a logarithm.
const BINS: usize = 2000;
const BIN: f64 = 0.01;

impl<'a> Replay<'a> {
    fn begin(recorded: &'a Recorded, run: u32, rounds: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(20_261_130 + u64::from(run));
        let slot = (unit(&mut rng) * recorded.slots() as f64) as usize;
        Self { recorded, rng, slot, rounds, counts: [vec![0; BINS], vec![0; BINS]] }
    }

    /// Logarithms of the response times of the next window, those of a side that is `slower`.
    fn window(&mut self, side: usize, slower: f64, into: &mut Vec<f64>) {
        for _ in 0..WINDOW_SLOTS {
            let range = self.recorded.from[self.slot]..self.recorded.from[self.slot + 1];
            for step in &self.recorded.steps[range] {
                // Somewhere within its step.
                let log = STEP * (f64::from(*step) + unit(&mut self.rng)) + slower;
                self.counts[side][((log / BIN) as usize).min(BINS - 1)] += 1;
                into.push(log);
            }
            self.slot = (self.slot + 1) % self.recorded.slots();
        }
    }
}

fn p95(logs: &mut [f64]) -> f64 {
    let rank = (logs.len() as f64 * 0.95).ceil() as usize - 1;
    *logs.select_nth_unstable_by(rank, f64::total_cmp).1
}

impl Noise for Replay<'_> {
    fn pair(&mut self, true_ratio: f64) -> f64 {
        let slower = [0.0, true_ratio.ln()];
        let mut logs = [Vec::new(), Vec::new()];
        for _ in 0..self.rounds {
            let first = usize::from(unit(&mut self.rng) < 0.5);
            for side in [first, 1 - first] {
                let mut window = std::mem::take(&mut logs[side]);
                self.window(side, slower[side], &mut window);
                logs[side] = window;
            }
        }
        let [legacy, partitioned] = &mut logs;
        p95(partitioned) - p95(legacy)
    }

    fn pooled(&self) -> f64 {
        let of = |counts: &Vec<u32>| {
            let all: u32 = counts.iter().sum();
            let mut left = (f64::from(all) * 0.95).ceil();
            let above = counts.iter().position(|count| {
                left -= f64::from(*count);
                left <= 0.0
            });
            BIN * above.unwrap_or(0) as f64
        };
        (of(&self.counts[1]) - of(&self.counts[0])).exp()
    }
}

#[test]
fn on_a_drifting_machine_a_true_regression_at_the_limit_is_seldom_a_go() {
    for shape in [FEW, SOME, QUICK, DEFAULT] {
        let shares = simulate(shape, LIMIT, Drifting::begin);
        assert!(shares.go <= 0.07, "{:?}: {shares:?}", shape.looks_at);
    }
}

#[test]
fn on_a_drifting_machine_what_is_healthy_is_go_and_a_quarter_more_is_no_go() {
    for shape in [QUICK, DEFAULT] {
        let healthy = simulate(shape, 1.00, Drifting::begin);
        assert!(healthy.go >= 0.90 && healthy.no_go <= 0.001, "{healthy:?}");
        let slow = simulate(shape, 1.25, Drifting::begin);
        assert!(slow.no_go >= 0.95 && slow.go <= 0.001, "{slow:?}");
    }
}

#[test]
fn on_recorded_noise_a_true_regression_at_the_limit_is_seldom_a_go() {
    let recorded = Recorded::read();
    assert!(recorded.slots() as f64 * SLOT_S >= 3500.0, "an hour, less what is cut off");
    for shape in [FEW, SOME, QUICK, DEFAULT] {
        let replay = |run| Replay::begin(&recorded, run, shape.rounds);
        let shares = simulate(shape, LIMIT, replay);
        assert!(shares.go <= 0.07, "{:?}: {shares:?}", shape.looks_at);
    }
}

#[test]
fn on_recorded_noise_what_is_healthy_is_go_and_a_quarter_more_is_no_go() {
    let recorded = Recorded::read();
    let replay = |run| Replay::begin(&recorded, run, DEFAULT.rounds);
    let healthy = simulate(DEFAULT, 1.00, replay);
    assert!(healthy.go >= 0.90 && healthy.no_go <= 0.001, "{healthy:?}");
    // Whoever decides early needs no ten minutes.
    assert!(healthy.pairs < 150.0, "{healthy:?}");
    let slow = simulate(DEFAULT, 1.25, replay);
    assert!(slow.no_go >= 0.95 && slow.go <= 0.001, "{slow:?}");
}
