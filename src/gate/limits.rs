//! Which limit holds: the handbook's, or the one its owner gave a reason for.

use crate::evidence::limits::{LIMITS, OtherLimit};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::Criterion;

/// The limit of a criterion in this run.
pub(super) fn of(record: &RunRecord, criterion: &str) -> f64 {
    other(record, criterion).map_or_else(|| handbook(criterion), |other| other.limit)
}

/// Says in a criterion's source that its limit is not the handbook's, and why.
pub(super) fn explain(record: &RunRecord, criterion: &mut Criterion) {
    if let Some(other) = other(record, &criterion.id) {
        let (handbook, reason) = (handbook(&criterion.id), &other.reason);
        criterion.source =
            format!("{}; limit {handbook} there, {} here: {reason}", criterion.source, other.limit);
    }
}

fn handbook(criterion: &str) -> f64 {
    let limit = LIMITS.iter().find(|limit| limit.criterion == criterion);
    limit.expect("asked for by the criteria that are listed there").handbook
}

/// The changed limit: one for this phase before one for every phase. A value that is no number
/// within the range is not heeded, wherever the record has it from.
fn other<'r>(record: &'r RunRecord, criterion: &str) -> Option<&'r OtherLimit> {
    let range = LIMITS.iter().find(|limit| limit.criterion == criterion)?.range;
    let fits = |other: &&OtherLimit| {
        other.criterion == criterion && (range.0..=range.1).contains(&other.limit)
    };
    let of_phase = record.limits.iter().filter(fits).find(|o| o.phase == Some(record.phase));
    of_phase.or_else(|| record.limits.iter().filter(fits).find(|o| o.phase.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::limits::Phase;

    #[test]
    fn a_limit_of_the_phase_goes_before_one_of_every_phase_and_nonsense_before_none() {
        let other = |limit, phase| OtherLimit {
            criterion: "error_rate".into(),
            limit,
            reason: "measured behind a proxy".into(),
            phase,
        };
        let mut record = RunRecord::default();
        assert_eq!(of(&record, "error_rate"), 0.001);
        record.limits = vec![other(0.002, None), other(0.003, Some(Phase::Staging))];
        assert_eq!(of(&record, "error_rate"), 0.003);
        record.phase = Phase::Pilot;
        assert_eq!(of(&record, "error_rate"), 0.002);
        record.limits = vec![other(f64::NAN, None), other(7.0, None)];
        assert_eq!(of(&record, "error_rate"), 0.001);
    }
}
