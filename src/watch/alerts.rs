//! The alert thresholds, with hysteresis: an alarm is raised by several looks in a row and cleared by
//! several that are well below, so that a figure at the threshold does not ring all night.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Look;

/// Looks in a row that raise an alarm, and that clear it.
const RAISED_BY: u32 = 2;
const CLEARED_BY: u32 = 3;
/// An alarm is cleared only below this share of its threshold.
const CLEAR_AT: f64 = 0.9;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Rows apart.
    RowDelta,
    /// Misses of the cache, percent; 30 is a hit rate of 70.
    CacheMisses,
    /// Lag of a replica, seconds.
    ReplicaLag,
    /// Share of our own reads that fail, percent.
    ErrorRate,
    /// p95 of our own reads against the first looks, percent more.
    P95,
    /// Connections in use, percent of the fullest pool.
    Pool,
    /// Dual-write triggers that do not work.
    Triggers,
    /// Connections of the database server in use, percent.
    Connections,
    /// Critical alerts of the platform's own.
    PlatformAlerts,
    /// Looks without an answer.
    Silence,
    /// Looks at which the database said nothing.
    DatabaseSilence,
}

impl Metric {
    /// In words, and the unit of its figures with what parts the two.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RowDelta => ("row delta", ""),
            Self::CacheMisses => ("cache misses", " %"),
            Self::ReplicaLag => ("replica lag", " s"),
            Self::ErrorRate => ("error rate", " %"),
            Self::P95 => ("p95 of our reads", " % more"),
            Self::Pool => ("pool in use", " %"),
            Self::Triggers => ("triggers off", ""),
            Self::Connections => ("connections", " %"),
            Self::PlatformAlerts => ("platform's alerts", ""),
            Self::Silence => ("silence", ""),
            Self::DatabaseSilence => ("database's silence", ""),
        }
    }
}

/// Metric, warning above, critical above, and what to do: the handbook's table, then its lists of
/// what to watch for.
const THRESHOLDS: [(Metric, f64, f64, &str); 11] = [
    (Metric::RowDelta, 100.0, 1000.0, "check the dual-write triggers"),
    (Metric::CacheMisses, 30.0, 50.0, "investigate the cache's configuration"),
    (Metric::ReplicaLag, 10.0, 30.0, "check replication"),
    (Metric::ErrorRate, 0.5, 1.0, "consider rollback"),
    (Metric::P95, 20.0, 50.0, "investigate performance"),
    (Metric::Pool, 90.0, 99.9, "connection pool exhaustion: find what holds connections"),
    (Metric::Triggers, 0.5, 0.5, "enable them, then cutover diff --repair: writes are missed"),
    (Metric::Connections, 90.0, 99.9, "connection pool exhaustion: find what holds connections"),
    (Metric::PlatformAlerts, 0.5, 0.5, "see /monitoring/unified/metrics"),
    (Metric::Silence, 0.5, 0.5, "is the platform up?"),
    (Metric::DatabaseSilence, 0.5, 0.5, "is the database up?"),
];

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All is well.
    #[default]
    Clear,
    /// Above the warning.
    Warning,
    /// Above the critical threshold.
    Critical,
}

/// An alarm that changed its level, or stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarm {
    /// What it is about.
    pub metric: Metric,
    /// How bad it is now.
    pub level: Level,
    /// The figure of the look that decided.
    pub value: f64,
    /// What to do.
    pub action: &'static str,
}

impl Alarm {
    /// In words.
    pub fn text(&self) -> String {
        let (name, unit) = self.metric.words();
        let what = format!("{name} is {:.1}{unit}", self.value);
        match self.level {
            Level::Clear => format!("cleared: {what}"),
            Level::Warning => format!("WARNING: {what}; {}", self.action),
            Level::Critical => format!("CRITICAL: {what}; {}", self.action),
        }
    }
}

/// One metric's memory.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    level: Level,
    value: f64,
    /// Looks in a row that ask for a higher level, and which one all of them ask for.
    above: u32,
    asks: Level,
    /// Looks in a row that are well below the present level.
    below: u32,
}

/// Every metric's memory.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    memory: BTreeMap<Metric, Memory>,
}

impl Alerts {
    /// Takes a look; returns the alarms that changed.
    pub(super) fn take(&mut self, look: &Look) -> Vec<Alarm> {
        let mut changed = Vec::new();
        for (metric, warning, critical, action) in THRESHOLDS {
            // What nobody said is neither good nor bad.
            let Some(value) = value(metric, look) else { continue };
            let memory = self.memory.entry(metric).or_default();
            if memory.step(value, warning, critical) {
                changed.push(Alarm { metric, level: memory.level, value, action });
            }
        }
        changed
    }

    /// The alarms that stand.
    pub(super) fn raised(&self) -> Vec<Alarm> {
        let action = |metric| THRESHOLDS.iter().find(|(m, ..)| *m == metric).map_or("", |t| t.3);
        let raised = self.memory.iter().filter(|(_, memory)| memory.level > Level::Clear);
        raised
            .map(|(metric, memory)| Alarm {
                metric: *metric,
                level: memory.level,
                value: memory.value,
                action: action(*metric),
            })
            .collect()
    }
}

impl Memory {
    /// Whether the level changed.
    fn step(&mut self, value: f64, warning: f64, critical: f64) -> bool {
        self.value = value;
        let level_of = |value: f64| match value {
            value if value > critical => Level::Critical,
            value if value > warning => Level::Warning,
            _ => Level::Clear,
        };
        let asked = level_of(value);
        if asked > self.level {
            self.below = 0;
            // Two looks, a warning and a critical one, agree on the warning.
            self.asks = if self.above == 0 { asked } else { self.asks.min(asked) };
            self.above += 1;
            if self.above >= RAISED_BY {
                (self.level, self.above) = (self.asks, 0);
                return true;
            }
            return false;
        }
        self.above = 0;
        // What it would be if the figure were a little worse.
        let settled = level_of(value / CLEAR_AT);
        if settled >= self.level {
            self.below = 0;
            return false;
        }
        self.below += 1;
        if self.below >= CLEARED_BY {
            (self.level, self.below) = (settled, 0);
            return true;
        }
        false
    }
}

/// Every metric with the figures above which it is a warning, and critical.
pub(super) fn limits() -> impl Iterator<Item = (Metric, f64, f64)> {
    THRESHOLDS.iter().map(|(metric, warning, critical, _)| (*metric, *warning, *critical))
}

/// What a look says of a metric; `None` where nobody said.
pub(super) fn value(metric: Metric, look: &Look) -> Option<f64> {
    match metric {
        Metric::RowDelta => look.row_delta,
        Metric::CacheMisses if look.cache_filling => None,
        Metric::CacheMisses => look.hit_rate_percent.map(|hit| 100.0 - hit),
        Metric::ReplicaLag => look.replica_lag_s,
        Metric::ErrorRate => look.error_rate_percent,
        Metric::P95 => look.p95_more_percent,
        Metric::Pool => percent(look.pool_in_use, look.pool_max),
        Metric::Triggers => look.triggers_off.map(|count| count as f64),
        Metric::Connections => percent(look.connections, look.connections_max),
        Metric::PlatformAlerts => look.critical_alerts.map(|count| count as f64),
        Metric::Silence => Some(f64::from(look.error.is_some())),
        Metric::DatabaseSilence => Some(f64::from(look.database_error.is_some())),
    }
    .filter(|value| value.is_finite())
}

fn percent(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some(part? as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels after looks with these lags; `None` is a look that does not say.
    fn levels(lags_s: &[Option<f64>]) -> Vec<Level> {
        let mut alerts = Alerts::default();
        let mut level = Level::Clear;
        let step = |lag: &Option<f64>| {
            let look = Look { replica_lag_s: *lag, ..Look::default() };
            for alarm in alerts.take(&look) {
                level = alarm.level;
            }
            level
        };
        lags_s.iter().map(step).collect()
    }

    #[test]
    fn one_look_raises_nothing_and_two_do() {
        use Level::{Clear, Critical, Warning};
        assert_eq!(levels(&[Some(40.0), Some(1.0), Some(40.0)]), [Clear, Clear, Clear]);
        assert_eq!(levels(&[Some(11.0), Some(11.0)]), [Clear, Warning]);
        assert_eq!(
            levels(&[Some(11.0), Some(31.0), Some(31.0), Some(31.0)])[1..],
            [Warning, Warning, Critical]
        );
    }

    #[test]
    fn a_figure_at_the_threshold_does_not_flap() {
        let mut lags: Vec<Option<f64>> = vec![Some(11.0), Some(11.0)];
        for _ in 0..50 {
            lags.extend([Some(9.9), Some(10.1)]);
        }
        let levels = levels(&lags);
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 1, "{levels:?}");
    }

    #[test]
    fn it_clears_after_three_good_looks_and_silence_clears_nothing() {
        use Level::{Clear, Warning};
        let good = [Some(11.0), Some(11.0), Some(1.0), Some(1.0), Some(1.0)];
        assert_eq!(levels(&good)[2..], [Warning, Warning, Clear]);
        assert_eq!(levels(&[Some(11.0), Some(11.0), None, None, None, None])[5], Warning);
    }

    #[test]
    fn every_threshold_is_the_handbooks() {
        let of = |metric| THRESHOLDS.iter().find(|(m, ..)| *m == metric).map(|t| (t.1, t.2));
        assert_eq!(of(Metric::RowDelta), Some((100.0, 1000.0)));
        assert_eq!(of(Metric::CacheMisses), Some((100.0 - 70.0, 100.0 - 50.0)));
        assert_eq!(of(Metric::ReplicaLag), Some((10.0, 30.0)));
        assert_eq!(of(Metric::ErrorRate), Some((0.5, 1.0)));
        assert_eq!(of(Metric::P95), Some((20.0, 50.0)));
    }

    #[test]
    fn a_cache_that_still_fills_rings_no_bell_and_one_that_stays_empty_does() {
        let raised = |filling: &[bool]| {
            let mut alerts = Alerts::default();
            for cache_filling in filling {
                let look = Look {
                    hit_rate_percent: Some(40.0),
                    cache_filling: *cache_filling,
                    ..Look::default()
                };
                alerts.take(&look);
            }
            alerts.raised().len()
        };
        assert_eq!(raised(&[true; 9]), 0);
        assert_eq!(raised(&[true, true, false, false]), 1);
    }

    #[test]
    fn an_endpoint_that_is_down_is_an_alarm() {
        let mut alerts = Alerts::default();
        let down = Look { error: Some("refused".into()), ..Look::default() };
        assert!(alerts.take(&down).is_empty());
        let raised = alerts.take(&down);
        assert_eq!((raised[0].metric, raised[0].level), (Metric::Silence, Level::Critical));
    }
}
