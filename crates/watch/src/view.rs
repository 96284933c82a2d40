//! The live view of a terminal: each metric's figure, how it went in the last looks, and its limits.

use std::collections::{BTreeMap, VecDeque};

use cutover_evidence::policy::Threshold;
use cutover_evidence::watch::{AlarmLevel, Metric, Sample};

use super::{metrics, poll};

/// Looks whose figures are drawn.
const DRAWN: usize = 30;
/// From nothing to the critical threshold.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The figures of the last looks; `None` if nobody said.
#[derive(Debug)]
pub(super) struct View {
    thresholds: Vec<Threshold>,
    last: BTreeMap<Metric, VecDeque<Option<f64>>>,
}

impl View {
    pub(super) fn new(thresholds: Vec<Threshold>) -> Self {
        Self { thresholds, last: BTreeMap::new() }
    }

    /// Takes a look; returns what is to be seen now: a sentence, then a line per metric.
    pub(super) fn take(&mut self, look: &Sample) -> String {
        let mut lines = vec![poll::words(look)];
        for Threshold { metric, warning, critical, .. } in self.thresholds.iter().copied() {
            let last = self.last.entry(metric).or_default();
            last.push_back(metrics::value(metric, look));
            if last.len() > DRAWN {
                last.pop_front();
            }
            let now = last.back().copied().flatten();
            let now = now.map_or("?".to_owned(), |value| format!("{value:.1}"));
            let drawn: String = last.iter().map(|value| bar(*value, critical)).collect();
            let raised = look.alarms.iter().find(|alarm| alarm.metric == metric);
            let raised = match raised.map(|alarm| alarm.level) {
                Some(AlarmLevel::Critical) => "  CRITICAL",
                Some(AlarmLevel::Warning) => "  WARNING",
                Some(AlarmLevel::Clear) | None => "",
            };
            let limits = match warning < critical {
                true => format!("warning > {warning}, critical > {critical}"),
                false => "critical where there is any".to_owned(),
            };
            let (name, unit) = metric.words();
            lines.push(format!("  {name:<18} {now:>7}{unit:<7} {drawn:<DRAWN$}  {limits}{raised}"));
        }
        lines.join("\n")
    }
}

/// How much of the critical threshold a figure takes.
fn bar(value: Option<f64>, critical: f64) -> char {
    let Some(value) = value else { return ' ' };
    let top = BARS.len() - 1;
    let share = (value / critical).clamp(0.0, 1.0);
    BARS[((share * top as f64).ceil() as usize).min(top)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::limits::Limits;
    use cutover_evidence::policy::thresholds;

    #[test]
    fn a_line_per_metric_says_figure_course_and_alarm() {
        let thresholds = thresholds(&Limits::default());
        let mut view = View::new(thresholds.clone());
        let mut memory = super::super::alerts::Alerts::new(thresholds.clone());
        let mut shown = String::new();
        for lag_s in [Some(0.0), None, Some(15.0), Some(40.0), Some(40.0), Some(40.0), Some(40.0)] {
            let mut look = Sample { replica_lag_s: lag_s, ..Sample::default() };
            memory.take(&look);
            look.alarms = memory.raised();
            shown = view.take(&look);
        }
        let lag = shown.lines().find(|line| line.contains("replica lag")).expect("a line");
        assert!(lag.contains(" 40.0 s      ▁ ▅████") && lag.ends_with("  CRITICAL"), "{lag}");
        let pool = shown.lines().find(|line| line.contains("pool")).expect("a line");
        assert!(pool.contains(" ? %") && pool.ends_with("critical > 99.9"), "{pool}");
        assert_eq!(shown.lines().count(), 1 + thresholds.len());
    }

    #[test]
    fn only_the_last_looks_are_drawn() {
        let mut view = View::new(thresholds(&Limits::default()));
        let look = Sample { row_delta: Some(2000.0), ..Sample::default() };
        let shown = (0..100).map(|_| view.take(&look)).last().expect("a hundred");
        assert_eq!(shown.matches('█').count(), DRAWN);
    }
}
