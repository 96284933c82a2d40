//! How long and how hard: from a profile and the few options that override it to pairs of windows.

use std::time::Duration;

use crate::config::RoutingConfig;
use crate::error::{Error, Result};
use crate::evidence::drive::Mode;
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
    /// Pairs of windows.
    pub pairs: u32,
    /// How often further pairs may follow where those before did not decide.
    pub extensions: u32,
    /// Which of the loads it is that one increment may be driven with, from 1 on; else 0.
    pub attempt: u32,
    /// Length of a window, its settling time included.
    pub window: Duration,
    /// Start of each window that is driven but not measured.
    pub settle: Duration,
    /// Driven before the first window, not measured.
    pub warm_up: Duration,
}

/// With fewer pairs a healthy run would often end undecided.
const USUAL_PAIRS: u32 = 12;
/// In a shorter window, too few requests make a percentile.
const SHORTEST_WINDOW: Duration = Duration::from_millis(1500);

impl Profile {
    /// Orgs that are seeded unless told otherwise.
    pub fn orgs(self) -> u64 {
        match self {
            Self::Quick => 10_000,
            Self::Default | Self::Nightly => 100_000,
        }
    }

    fn load(self) -> LoadShape {
        let (pairs, window_s, warm_up_s) = match self {
            // More pairs rather than longer windows: what disturbs a window comes in bursts.
            Self::Quick => (16, 2.4, 6.0),
            Self::Default => (24, 6.0, 12.0),
            Self::Nightly => (90, 10.0, 20.0),
        };
        LoadShape {
            rate_per_s: 250.0,
            connections: 64,
            pairs,
            extensions: gate::MAX_EXTENSIONS,
            attempt: 0,
            window: Duration::from_secs_f64(window_s),
            settle: Duration::from_millis(700),
            warm_up: Duration::from_secs_f64(warm_up_s),
        }
    }
}

impl LoadShape {
    /// The profile's shape with what the user said instead.
    ///
    /// A `duration` is the length of the whole load. It is divided into windows of the profile's
    /// length where it is long, and into twelve shorter pairs where it is not. A pair has a window
    /// for each of the `modes`.
    ///
    /// # Errors
    /// A usage error where the duration is too short to compare anything.
    pub fn resolve(
        profile: Profile,
        rate_per_s: Option<f64>,
        connections: Option<usize>,
        duration: Option<Duration>,
        (pairs, modes): (Option<u32>, usize),
    ) -> Result<Self> {
        let modes = u32::try_from(modes).unwrap_or(2).max(1);
        let mut load = profile.load();
        load.rate_per_s = rate_per_s.unwrap_or(load.rate_per_s);
        load.connections = connections.unwrap_or(load.connections);
        if let Some(duration) = duration {
            load.warm_up = load.warm_up.min(duration / 10);
            let measured = duration - load.warm_up;
            let in_it = |window: Duration| {
                (measured.as_secs_f64() / (f64::from(modes) * window.as_secs_f64())) as u32
            };
            let longest = in_it(load.window);
            let shortest = in_it(SHORTEST_WINDOW);
            load.pairs = pairs.unwrap_or(longest.max(USUAL_PAIRS)).min(shortest);
            if load.pairs == 0 {
                let what = format!("--duration {duration:?}: too short to hold a pair of windows");
                return Err(Error::usage(what, "give at least 4s; a decision wants 60s or more"));
            }
            load.window = measured / (modes * load.pairs);
        } else if let Some(pairs) = pairs {
            load.pairs = pairs;
        }
        Ok(load)
    }

    /// The same with at most so many extensions.
    pub fn extended(self, at_most: u32) -> Self {
        Self { extensions: at_most.min(gate::MAX_EXTENSIONS), ..self }
    }

    /// The same with the settling time that a switched flag needs.
    pub fn settled_for(self, routing: &RoutingConfig) -> Self {
        match routing.switches_a_flag() {
            true => Self { settle: routing.settle(), ..self },
            false => self,
        }
    }

    /// What the plan is made from.
    pub fn plan_options(&self, modes: &[Mode], orgs: u64, rng_seed: u64) -> PlanOptions {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        PlanOptions {
            rate_per_s: self.rate_per_s,
            pairs: self.pairs,
            extensions: self.extensions,
            // Half as many again each time: most of what is undecided is so by little.
            extension_pairs: self.pairs.div_ceil(2),
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

    fn with_duration(seconds: u64) -> Result<LoadShape> {
        let duration = Some(Duration::from_secs(seconds));
        LoadShape::resolve(Profile::Default, None, None, duration, (None, 2))
    }

    #[test]
    fn a_duration_is_kept_whatever_its_length() {
        for seconds in [4, 20, 60, 300, 3600] {
            let load = with_duration(seconds).expect("long enough");
            let whole = load.warm_up + load.window * load.pairs * 2;
            let off = (whole.as_secs_f64() - seconds as f64).abs();
            assert!(off < 0.01, "{seconds} s became {whole:?}");
            assert!(load.window >= SHORTEST_WINDOW);
        }
        assert!(with_duration(1).is_err());
    }

    #[test]
    fn a_single_mode_drives_as_long_as_two() {
        let duration = Some(Duration::from_secs(6));
        let load = LoadShape::resolve(Profile::Default, None, None, duration, (Some(1), 1));
        let load = load.expect("long enough");
        assert_eq!(load.warm_up + load.window, Duration::from_secs(6));
    }

    #[test]
    fn an_hour_gives_more_pairs_not_longer_windows() {
        let load = with_duration(3600).expect("long enough");
        assert!(load.pairs > 100 && load.window.as_secs() < 20, "{load:?}");
    }
}
