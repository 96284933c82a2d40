//! Steps up until one fails, then bisection. Pure.

use cutover_evidence::capacity::{Capacity, LimitedBy, StepOutcome};

const LOWEST_PER_S: f64 = 1.0;
const HIGHEST_PER_S: f64 = 1_000_000.0;

/// If one mode's search stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Search {
    first: f64,
    precision: f64,
    passed: Option<f64>,
    failed: Option<f64>,
    /// Whether `failed` was the generator's doing.
    generator: bool,
}

impl Search {
    pub(super) fn new(first: f64, precision: f64) -> Self {
        Self { first, precision, passed: None, failed: None, generator: false }
    }

    /// The next rate to try; `None` at the end.
    pub(super) fn next(&self) -> Option<f64> {
        match (self.passed, self.failed) {
            (None, None) => Some(self.first),
            (Some(passed), None) => Some(passed * 2.0).filter(|rate| *rate <= HIGHEST_PER_S),
            (None, Some(failed)) => {
                (failed > LOWEST_PER_S).then(|| (failed / 2.0).max(LOWEST_PER_S))
            }
            (Some(passed), Some(failed)) if failed / passed <= self.precision => None,
            (Some(passed), Some(failed)) => Some((passed * failed).sqrt()),
        }
    }

    pub(super) fn learn(&mut self, rate: f64, outcome: StepOutcome) {
        match outcome {
            StepOutcome::Passed => self.passed = Some(rate),
            _ => {
                self.failed = Some(rate);
                self.generator = outcome == StepOutcome::Generator;
            }
        }
    }

    pub(super) fn found(&self) -> Capacity {
        let limited_by = match self.failed {
            Some(_) if self.next().is_some() => LimitedBy::Search,
            Some(_) if self.generator => LimitedBy::Generator,
            Some(_) => LimitedBy::Target,
            None => LimitedBy::Search,
        };
        Capacity { passed_per_s: self.passed, failed_per_s: self.failed, limited_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a target of known capacity with a generator of known capacity.
    fn searched(target: f64, generator: f64, first: f64) -> (Capacity, usize) {
        let mut search = Search::new(first, 1.05);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            steps += 1;
            assert!(steps < 60, "{search:?}");
            search.learn(
                rate,
                match () {
                    () if rate > generator => StepOutcome::Generator,
                    () if rate > target => StepOutcome::TooSlow,
                    () => StepOutcome::Passed,
                },
            );
        }
        (search.found(), steps)
    }

    #[test]
    fn the_interval_holds_the_capacity_and_is_narrow() {
        for target in [1.3, 7.0, 250.0, 251.0, 4999.0, 123_456.0] {
            let (found, steps) = searched(target, f64::INFINITY, 250.0);
            let (low, high) =
                (found.passed_per_s.expect("a low"), found.failed_per_s.expect("a high"));
            assert!(low <= target && target < high && high / low <= 1.05, "{target}: {found:?}");
            assert_eq!(found.limited_by, LimitedBy::Target);
            assert!(steps <= 20, "{target}: {steps} steps");
        }
    }

    #[test]
    fn what_the_generator_cannot_send_is_not_the_targets_limit() {
        let (found, _) = searched(5000.0, 900.0, 250.0);
        assert_eq!(found.limited_by, LimitedBy::Generator);
        assert!(found.passed_per_s.is_some_and(|low| (850.0..=900.0).contains(&low)), "{found:?}");
        // If the target fails below that, it is the target's again.
        assert_eq!(searched(700.0, 900.0, 250.0).0.limited_by, LimitedBy::Target);
        let (none, _) = searched(0.5, f64::INFINITY, 250.0);
        assert_eq!((none.passed_per_s, none.limited_by), (None, LimitedBy::Target));
        let (all, _) = searched(f64::INFINITY, f64::INFINITY, 250.0);
        assert_eq!((all.failed_per_s, all.limited_by), (None, LimitedBy::Search));
    }
}
