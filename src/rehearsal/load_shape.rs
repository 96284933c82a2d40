//! How long and how hard: from a profile and the few options that override it to pairs of windows.

use std::time::Duration;

use crate::config::RoutingConfig;
use crate::error::{Error, Result};
use crate::evidence::drive::Side;
use crate::gate;
use crate::scenario::PlanOptions;

/// Named sizes of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// 10,000 orgs, done in under two minutes.
    Quick,
    /// 100,000 orgs, done in under twelve minutes.
    Default,
    /// 100,000 orgs, half an hour of load.
    Nightly,
}

/// Size and pace of the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadShape {
    /// Arrivals per second.
    pub rate_per_s: f64,
    /// Connections that drain the plan.
    pub connections: usize,
    /// Pairs, each compared as one: so many at most.
    pub pairs: u32,
    /// Rounds of windows in a pair, one window per mode in each.
    pub rounds: u32,
    /// How often the comparison is looked at, the end included; the load ends at the first look that
    /// decides.
    pub looks: u32,
    /// Pairs before the first of several looks.
    pub first_look: u32,
    /// Which of the loads it is that one increment may be driven with, from 1 on; else 0.
    pub attempt: u32,
    /// Length of a window, its settling time included.
    pub window: Duration,
    /// Start of each window that is driven but not measured.
    pub settle: Duration,
    /// Driven before the first window, not measured.
    pub warm_up: Duration,
}

/// How the time of a load is cut up.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The longest load, warm-up included.
    whole: Duration,
    warm_up: Duration,
    /// Length of a window if a flag has to be switched, its settling time included.
    switched: Duration,
    /// Measured before the first look.
    before_a_look: Duration,
}

/// What small machines carry beside their own servers.
const USUAL_RATE_PER_S: f64 = 250.0;
/// With fewer pairs a healthy run would often end undecided.
const USUAL_PAIRS: u32 = 12;
/// More pairs than these make no interval narrower, and records longer.
const MOST_PAIRS: u32 = 300;
/// What disturbs a window on a shared machine comes in bursts of half a second and more: windows that
/// are shorter share it with their neighbours.
const SHORT_WINDOW: Duration = Duration::from_millis(100);
/// Long enough for a percentile and for a burst not to fill it, short enough for many pairs.
const USUAL_PAIR: Duration = Duration::from_millis(2400);
/// Of more rounds in a pair nothing is gained, and plans get long.
const MOST_ROUNDS: u32 = 100;
/// Requests of a mode in a pair: with fewer their p95 is hardly more than the slowest one.
const USUAL_REQUESTS: f64 = 200.0;
/// In a shorter pair, too few requests make a percentile.
const SHORTEST_PAIR: Duration = Duration::from_millis(1200);
/// The same, of a window that begins with its settling time.
const SHORTEST_SWITCHED: Duration = Duration::from_millis(1500);
/// More looks would save minutes, and ask for more certainty at each.
const USUAL_LOOKS: u32 = 5;
/// A load that is looked at has run for so long, unless it is a short one.
const BEFORE_A_LOOK: Duration = Duration::from_secs(120);

impl Profile {
    /// Orgs that are seeded unless told otherwise.
    pub fn orgs(self) -> u64 {
        match self {
            Self::Quick => 10_000,
            Self::Default | Self::Nightly => 100_000,
        }
    }

    fn cut(self) -> Cut {
        let seconds = |whole, warm_up, switched, before_a_look| Cut {
            whole: Duration::from_secs(whole),
            warm_up: Duration::from_secs(warm_up),
            switched: Duration::from_millis(switched),
            before_a_look: Duration::from_secs(before_a_look),
        };
        match self {
            Self::Quick => seconds(90, 6, 2400, 43),
            Self::Default => seconds(600, 12, 6000, BEFORE_A_LOOK.as_secs()),
            Self::Nightly => seconds(1820, 20, 10_000, BEFORE_A_LOOK.as_secs()),
        }
    }

    /// A night is held against other nights: it drives as long as they did.
    fn looks(self) -> u32 {
        match self {
            Self::Quick | Self::Default => USUAL_LOOKS,
            Self::Nightly => 1,
        }
    }
}

/// What overrides a profile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// Arrivals per second.
    pub rate_per_s: Option<f64>,
    /// Connections that drain the plan.
    pub connections: Option<usize>,
    /// The longest load.
    pub duration: Option<Duration>,
    /// Pairs, at most.
    pub pairs: Option<u32>,
    /// How often the comparison is looked at.
    pub looks: Option<u32>,
    /// Length of a window if each request carries its own mode.
    pub window: Option<Duration>,
}

/// A measured time that is cut into pairs.
struct Time {
    measured: Duration,
    /// Windows of a round.
    sides: u32,
    /// Length of a pair, if there is time for many.
    usual: Duration,
}

impl Time {
    /// How many pairs of that length it holds.
    fn holds(&self, pair: Duration) -> u32 {
        (self.measured.as_secs_f64() / pair.as_secs_f64() + 1e-9) as u32
    }

    /// Pairs of the usual length and of one round of windows at least; shorter ones rather than few.
    fn pairs(&self, window: Duration, most: u32) -> u32 {
        let one_round = window.saturating_mul(self.sides);
        let least = USUAL_PAIRS.min(self.holds(one_round.max(SHORTEST_PAIR))).max(1);
        self.holds(self.usual.max(one_round)).clamp(least, most)
    }

    /// Rounds of windows of about that length in each of so many pairs.
    fn rounds(&self, pairs: u32, window: Duration) -> u32 {
        let one_round = window.saturating_mul(self.sides).as_secs_f64();
        let rounds = (self.measured / pairs).as_secs_f64() / one_round;
        (rounds.round() as u32).clamp(1, MOST_ROUNDS)
    }
}

/// The time in which so many requests of each mode arrive that their p95 is more than the slowest.
fn of_requests(sides: u32, rate_per_s: f64) -> Duration {
    Duration::from_secs_f64(f64::from(sides) * USUAL_REQUESTS / rate_per_s)
}

impl LoadShape {
    /// The profile's shape with what the user said instead, for these modes and this routing.
    ///
    /// A `duration` is the length of the longest load, warm-up included. If each request carries
    /// its own mode a pair is cut into short windows; if a flag is switched it is one window per
    /// mode, each with its settling time. A single mode has nothing to switch.
    ///
    /// # Errors
    /// A usage error if the duration is too short to compare anything.
    pub fn resolve(
        profile: Profile,
        over: Overrides,
        modes: &[Side],
        routing: &RoutingConfig,
    ) -> Result<Self> {
        let cut = profile.cut();
        let whole = over.duration.unwrap_or(cut.whole);
        let sides = u32::try_from(modes.len()).unwrap_or(2).max(1);
        let compares = sides > 1;
        let switched = routing.switches_a_flag() && compares;
        let rate_per_s = over.rate_per_s.unwrap_or(USUAL_RATE_PER_S);
        let warm_up = cut.warm_up.min(whole / if compares { 10 } else { 20 });
        // A flag that is switched once has settled by then, too.
        let warm_up = match routing.switches_a_flag() && !compares {
            true => warm_up.max(routing.settle()),
            false => warm_up,
        };
        let measured = whole.saturating_sub(warm_up);
        let window = match over.window {
            _ if switched => cut.switched,
            given => given.unwrap_or(SHORT_WINDOW),
        };
        let usual = if switched { cut.switched * sides } else { USUAL_PAIR / 2 * sides };
        let shortest = if switched { SHORTEST_SWITCHED * sides } else { SHORTEST_PAIR };
        let most = if switched { u32::MAX } else { MOST_PAIRS };
        let time = Time { measured, sides, usual: usual.max(of_requests(sides, rate_per_s)) };
        let pairs = over.pairs.unwrap_or(time.pairs(window, most));
        let pairs = pairs.min(time.holds(shortest.max(window.min(measured / 2) * sides)));
        if pairs == 0 {
            let what = format!("--duration {whole:?}: too short to hold a pair of windows");
            return Err(Error::usage(what, "give at least 4s; a decision wants 60s or more"));
        }
        let pair = measured / pairs;
        let rounds = if switched || !compares { 1 } else { time.rounds(pairs, window) };
        let before_a_look = cut.before_a_look.min(measured / 2).as_secs_f64();
        Ok(Self {
            rate_per_s,
            connections: over.connections.unwrap_or(64),
            pairs,
            rounds,
            looks: if compares { over.looks.unwrap_or(profile.looks()) } else { 1 },
            first_look: (before_a_look / pair.as_secs_f64()).ceil() as u32,
            attempt: 0,
            window: pair / (sides * rounds),
            settle: if switched { routing.settle() } else { Duration::ZERO },
            warm_up,
        })
    }

    /// The same time at another rate, in windows that are no shorter than this, where each request
    /// carries its own mode. What has to settle keeps its windows.
    pub fn refit(self, rate_per_s: f64, window: Duration) -> Self {
        let pair = self.window * self.rounds * 2;
        let window = window.max(SHORT_WINDOW);
        if !self.settle.is_zero() {
            return Self { rate_per_s, ..self };
        }
        let time = Time {
            measured: pair * self.pairs,
            sides: 2,
            usual: pair.max(of_requests(2, rate_per_s)),
        };
        let pairs = time.pairs(window, MOST_PAIRS).min(self.pairs).max(1);
        let rounds = time.rounds(pairs, window);
        let scale = f64::from(pairs) / f64::from(self.pairs);
        Self {
            rate_per_s,
            pairs,
            rounds,
            first_look: (f64::from(self.first_look) * scale).ceil() as u32,
            window: time.measured / (pairs * rounds * 2),
            ..self
        }
    }

    /// After how many pairs the load is looked at and may end: in equal steps from the first look to
    /// the end, which is none of them.
    fn looks_at(&self) -> Vec<u32> {
        let first = self.first_look.max(gate::MIN_PAIRS as u32);
        let steps = self.looks.saturating_sub(1);
        let span = u64::from(self.pairs.saturating_sub(first));
        let at = |step: u32| first + (span * u64::from(step) / u64::from(steps)) as u32;
        let mut looks: Vec<u32> = (0..steps).map(at).filter(|look| *look < self.pairs).collect();
        looks.dedup();
        looks
    }

    /// The shape in a line for people.
    pub fn words(&self) -> String {
        let measured = self.window * self.rounds * self.pairs * 2;
        format!(
            "{} req/s, up to {:.0} s in {} pairs of {} × {:.2} s",
            self.rate_per_s,
            measured.as_secs_f64(),
            self.pairs,
            self.rounds * 2,
            self.window.as_secs_f64()
        )
    }

    /// What the plan is made from.
    pub fn plan_options(&self, modes: &[Side], orgs: u64, rng_seed: u64) -> PlanOptions {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        PlanOptions {
            rate_per_s: self.rate_per_s,
            pairs: self.pairs,
            rounds: self.rounds,
            looks: self.looks_at(),
            window_us: micros(self.window),
            settle_us: micros(self.settle),
            warm_up_us: micros(self.warm_up),
            modes: modes.to_vec(),
            orgs,
            rng_seed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RoutingKind;

    fn resolve(over: Overrides, modes: &[Side], kind: RoutingKind) -> Result<LoadShape> {
        let routing = RoutingConfig { kind, settle_s: 2.0, ..RoutingConfig::default() };
        LoadShape::resolve(Profile::Default, over, modes, &routing)
    }

    fn with_duration(seconds: u64, kind: RoutingKind) -> Result<LoadShape> {
        let duration = Some(Duration::from_secs(seconds));
        resolve(Overrides { duration, ..Overrides::default() }, &Side::BOTH, kind)
    }

    fn measured(load: &LoadShape, modes: u32) -> Duration {
        load.window * load.rounds * load.pairs * modes
    }

    #[test]
    fn a_duration_is_kept_whatever_its_length_and_routing() {
        for kind in [RoutingKind::Header, RoutingKind::Http] {
            for seconds in [4, 20, 60, 300, 3600, 86_400] {
                let load = with_duration(seconds, kind).expect("long enough");
                let whole = load.warm_up + measured(&load, 2);
                let off = (whole.as_secs_f64() - seconds as f64).abs();
                assert!(off < 0.01 * seconds as f64, "{seconds} s became {whole:?}");
            }
            assert!(with_duration(1, kind).is_err());
        }
    }

    #[test]
    fn windows_are_short_where_each_request_carries_its_mode_and_long_where_a_flag_is_switched() {
        let per_request = with_duration(300, RoutingKind::Header).expect("long enough");
        assert!(
            per_request.window <= SHORT_WINDOW * 2 && per_request.rounds >= 10,
            "{per_request:?}"
        );
        assert_eq!(per_request.settle, Duration::ZERO);
        let switched = with_duration(300, RoutingKind::Http).expect("long enough");
        assert!(switched.window >= SHORTEST_SWITCHED && switched.rounds == 1, "{switched:?}");
        assert_eq!(switched.settle, Duration::from_secs(2));
    }

    #[test]
    fn a_single_mode_leaves_nothing_out_and_drives_as_long_as_two() {
        for kind in [RoutingKind::Header, RoutingKind::Http, RoutingKind::None] {
            let duration = Some(Duration::from_secs(60));
            let over = Overrides { duration, ..Overrides::default() };
            let load = resolve(over, &[Side::Legacy], kind).expect("long enough");
            assert_eq!(load.settle, Duration::ZERO);
            let whole = load.warm_up + measured(&load, 1);
            assert!((whole.as_secs_f64() - 60.0).abs() < 0.01, "{whole:?}");
            assert!(load.warm_up <= Duration::from_secs(3), "{load:?}");
        }
    }

    #[test]
    fn a_slow_rate_gets_longer_pairs_and_a_long_load_no_endless_record() {
        let of = |rate_per_s, seconds| {
            let duration = Some(Duration::from_secs(seconds));
            let over = Overrides { rate_per_s, duration, ..Overrides::default() };
            resolve(over, &Side::BOTH, RoutingKind::Header).expect("long enough")
        };
        assert!(of(Some(20.0), 600).pairs < 60);
        assert_eq!(of(None, 86_400).pairs, MOST_PAIRS);
    }

    #[test]
    fn the_profiles_are_those_that_are_simulated() {
        let of = |profile| {
            let routing = RoutingConfig::default();
            let load = LoadShape::resolve(profile, Overrides::default(), &Side::BOTH, &routing);
            let load = load.expect("a profile");
            let looks: Vec<u32> = load.looks_at().into_iter().chain([load.pairs]).collect();
            (looks, load.rounds, load.window)
        };
        let window = SHORT_WINDOW;
        assert_eq!(of(Profile::Quick), (vec![18, 22, 26, 30, 35], 12, window));
        assert_eq!(of(Profile::Default), (vec![50, 98, 147, 196, 245], 12, window));
    }

    #[test]
    fn a_slow_target_gets_longer_windows_and_a_slow_rate_longer_pairs_of_the_same_time() {
        let load = with_duration(120, RoutingKind::Header).expect("long enough");
        let slow = load.refit(250.0, Duration::from_secs(2));
        assert!(slow.window >= Duration::from_secs(2) && slow.rounds == 1, "{slow:?}");
        let seldom = load.refit(50.0, Duration::ZERO);
        assert!(
            seldom.pairs < load.pairs && seldom.window.abs_diff(SHORT_WINDOW) < SHORT_WINDOW / 4
        );
        for refit in [slow, seldom, load.refit(250.0, Duration::ZERO)] {
            assert!(measured(&refit, 2).abs_diff(measured(&load, 2)) < Duration::from_millis(1));
            assert!(refit.first_look <= refit.pairs && refit.pairs >= USUAL_PAIRS);
        }
        let switched = with_duration(120, RoutingKind::Http).expect("long enough");
        let refit = switched.refit(50.0, Duration::ZERO);
        assert_eq!((refit.window, refit.pairs), (switched.window, switched.pairs));
    }

    #[test]
    fn days_of_load_stay_a_plan_that_can_be_held() {
        let load = with_duration(3 * 86_400, RoutingKind::Header).expect("long enough");
        assert!(load.rounds * load.pairs <= 30_000, "{load:?}");
    }

    #[test]
    fn looks_come_in_equal_steps_after_a_time_that_is_worth_a_look() {
        let load = with_duration(600, RoutingKind::Header).expect("long enough");
        let looks = load.looks_at();
        let per_pair = measured(&load, 2) / load.pairs;
        assert_eq!(looks.len() as u32, USUAL_LOOKS - 1);
        assert!(per_pair * looks[0] >= BEFORE_A_LOOK && per_pair * looks[0] < BEFORE_A_LOOK * 2);
        assert!(looks.is_sorted_by(|a, b| a < b) && looks[looks.len() - 1] < load.pairs);
        assert!(LoadShape { looks: 1, ..load }.looks_at().is_empty());
        // Too short to be looked at before its end.
        let short = with_duration(8, RoutingKind::Header).expect("long enough");
        assert!(short.looks_at().is_empty(), "{short:?}");
    }
}
