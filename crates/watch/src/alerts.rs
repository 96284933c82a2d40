//! The alert thresholds, with hysteresis: an alarm is raised by several looks and cleared by several
//! that are well below, so that a figure at the threshold does not ring all night.

use std::collections::BTreeMap;

use cutover_evidence::policy::Threshold;
use cutover_evidence::watch::{Alarm, AlarmLevel, Metric, Sample};

use super::metrics::value;

/// Looks in a row that raise an alarm, and that clear it.
const RAISED_BY: usize = 2;
const CLEARED_BY: u32 = 3;
/// So many of the last looks raise it as well: what comes and goes does not stay unheard.
const RAISED_OF: usize = 3;
const LAST: usize = 5;
/// An alarm is cleared only below this share of its threshold.
const CLEAR_AT: f64 = 0.9;

/// One metric's memory.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    level: AlarmLevel,
    value: f64,
    /// What each of the last looks asks for, the newest last.
    asked: [AlarmLevel; LAST],
    /// Looks in a row that are well below the present level.
    below: u32,
}

/// Every metric's memory.
#[derive(Debug)]
pub(super) struct Alerts {
    thresholds: Vec<Threshold>,
    memory: BTreeMap<Metric, Memory>,
}

impl Alerts {
    pub(super) fn new(thresholds: Vec<Threshold>) -> Self {
        Self { thresholds, memory: BTreeMap::new() }
    }

    /// Takes a look; returns the alarms that changed.
    pub(super) fn take(&mut self, look: &Sample) -> Vec<Alarm> {
        let mut changed = Vec::new();
        for Threshold { metric, warning, critical, action } in self.thresholds.iter().copied() {
            // What nobody said is neither good nor bad.
            let Some(value) = value(metric, look) else { continue };
            let memory = self.memory.entry(metric).or_default();
            if memory.step(value, warning, critical) {
                changed.push(Alarm { metric, level: memory.level, value, action: action.into() });
            }
        }
        changed
    }

    /// What was critical at the last look that spoke of it, and nobody knows whether it stays so.
    pub(super) fn open(&self) -> Vec<Metric> {
        let is_open = |memory: &Memory| {
            memory.asked[LAST - 1] == AlarmLevel::Critical && memory.level < AlarmLevel::Critical
        };
        self.memory.iter().filter(|(_, memory)| is_open(memory)).map(|(m, _)| *m).collect()
    }

    /// The alarms that stand.
    pub(super) fn raised(&self) -> Vec<Alarm> {
        let of = |metric| self.thresholds.iter().find(|threshold| threshold.metric == metric);
        let action = |metric| of(metric).map_or("", |threshold| threshold.action);
        let raised = self.memory.iter().filter(|(_, memory)| memory.level > AlarmLevel::Clear);
        raised
            .map(|(metric, memory)| Alarm {
                metric: *metric,
                level: memory.level,
                value: memory.value,
                action: action(*metric).into(),
            })
            .collect()
    }
}

impl Memory {
    /// Whether the level changed.
    fn step(&mut self, value: f64, warning: f64, critical: f64) -> bool {
        self.value = value;
        let level_of = |value: f64| match value {
            value if value > critical => AlarmLevel::Critical,
            value if value > warning => AlarmLevel::Warning,
            _ => AlarmLevel::Clear,
        };
        self.asked.rotate_left(1);
        self.asked[LAST - 1] = level_of(value);
        for level in [AlarmLevel::Critical, AlarmLevel::Warning] {
            if level > self.level && self.is_asked_for(level) {
                (self.level, self.below) = (level, 0);
                return true;
            }
        }
        if self.asked[LAST - 1] > self.level {
            self.below = 0;
            return false;
        }
        // What it would be if the figure were a little worse.
        let settled = level_of(value / CLEAR_AT);
        if settled >= self.level {
            self.below = 0;
            return false;
        }
        self.below += 1;
        if self.below >= CLEARED_BY {
            (self.level, self.below) = (settled, 0);
            self.asked = [AlarmLevel::Clear; LAST];
            return true;
        }
        false
    }

    /// Two looks, a warning and a critical one, agree on the warning.
    fn is_asked_for(&self, level: AlarmLevel) -> bool {
        let in_a_row = self.asked[LAST - RAISED_BY..].iter().all(|asked| *asked >= level);
        in_a_row || self.asked.iter().filter(|asked| **asked >= level).count() >= RAISED_OF
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::limits::Limits;
    use cutover_evidence::policy::thresholds;

    fn alerts() -> Alerts {
        Alerts::new(thresholds(&Limits::default()))
    }

    /// The levels after looks with these lags; `None` is a look that does not say.
    fn levels(lags_s: &[Option<f64>]) -> Vec<AlarmLevel> {
        let mut alerts = alerts();
        let mut level = AlarmLevel::Clear;
        let step = |lag: &Option<f64>| {
            let look = Sample { replica_lag_s: *lag, ..Sample::default() };
            for alarm in alerts.take(&look) {
                level = alarm.level;
            }
            level
        };
        lags_s.iter().map(step).collect()
    }

    #[test]
    fn one_look_raises_nothing_and_two_do() {
        use AlarmLevel::{Clear, Critical, Warning};
        assert_eq!(levels(&[Some(40.0), Some(1.0), Some(40.0)]), [Clear, Clear, Clear]);
        assert_eq!(levels(&[Some(11.0), Some(11.0)]), [Clear, Warning]);
        assert_eq!(
            levels(&[Some(11.0), Some(31.0), Some(31.0), Some(31.0)])[1..],
            [Warning, Critical, Critical]
        );
    }

    #[test]
    fn what_comes_and_goes_is_heard() {
        use AlarmLevel::{Clear, Critical};
        let lags = [Some(40.0), Some(1.0), Some(40.0), Some(1.0), Some(40.0)];
        assert_eq!(levels(&lags), [Clear, Clear, Clear, Clear, Critical]);
        let rarely = [Some(40.0), Some(1.0), Some(1.0)].repeat(50);
        assert!(levels(&rarely).iter().all(|level| *level == Clear));
    }

    #[test]
    fn what_the_last_look_saw_is_open_until_another_has_seen_it() {
        let mut alerts = alerts();
        let off = Sample { triggers_off: Some(1), ..Sample::default() };
        alerts.take(&off);
        assert_eq!(alerts.open(), [Metric::Triggers]);
        alerts.take(&off);
        assert!(alerts.open().is_empty() && alerts.raised().len() == 1);
    }

    #[test]
    fn a_platform_that_calls_itself_ill_is_an_alarm() {
        let level = |status: &str| {
            let mut alerts = alerts();
            let look = Sample { system_status: Some(status.into()), ..Sample::default() };
            alerts.take(&look);
            alerts.take(&look);
            alerts.raised().first().map(|alarm| alarm.level)
        };
        assert_eq!(level("healthy"), None);
        assert_eq!(level("degraded"), Some(AlarmLevel::Warning));
        for status in ["unhealthy", "critical", "purple", ""] {
            assert_eq!(level(status), Some(AlarmLevel::Critical), "{status}");
        }
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
        use AlarmLevel::{Clear, Warning};
        let good = [Some(11.0), Some(11.0), Some(1.0), Some(1.0), Some(1.0)];
        assert_eq!(levels(&good)[2..], [Warning, Warning, Clear]);
        assert_eq!(levels(&[Some(11.0), Some(11.0), None, None, None, None])[5], Warning);
    }

    #[test]
    fn a_cache_that_still_fills_rings_no_bell_and_one_that_stays_empty_does() {
        let raised = |filling: &[bool]| {
            let mut alerts = alerts();
            for cache_filling in filling {
                let look = Sample {
                    hit_rate_percent: Some(40.0),
                    cache_filling: *cache_filling,
                    ..Sample::default()
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
        let mut alerts = alerts();
        let down = Sample { error: Some("refused".into()), ..Sample::default() };
        assert!(alerts.take(&down).is_empty());
        let raised = alerts.take(&down);
        assert_eq!((raised[0].metric, raised[0].level), (Metric::Silence, AlarmLevel::Critical));
    }
}
