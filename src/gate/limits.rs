//! Which limit holds: the handbook's, or the one its owner gave a reason for.

use crate::evidence::limits::{LIMITS, Limit, OtherLimit};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::Criterion;

/// The value of a limit of [`LIMITS`] in this run.
pub(super) fn of(record: &RunRecord, name: &str) -> f64 {
    other(record, name).map_or_else(|| limit(name).in_phase(record.phase), |other| other.limit)
}

/// Says in a criterion's source that its limit is not the handbook's, and why.
pub(super) fn explain(record: &RunRecord, criterion: &mut Criterion) {
    for limit in LIMITS.iter().filter(|limit| limit.criterion == criterion.id) {
        let Some(other) = other(record, limit.name) else { continue };
        let (handbook, here) = (limit.in_phase(record.phase), other.limit);
        criterion
            .source
            .push_str(&format!("; {} {handbook} there, {here} here: {}", limit.name, other.reason));
    }
}

fn limit(name: &str) -> &'static Limit {
    let limit = LIMITS.iter().find(|limit| limit.name == name);
    limit.expect("asked for by the criteria that are listed there")
}

/// The changed limit: one for this phase before one for every phase. A value that is no number
/// within the range is not heeded, wherever the record has it from.
fn other<'r>(record: &'r RunRecord, name: &str) -> Option<&'r OtherLimit> {
    let range = limit(name).range;
    let fits =
        |other: &&OtherLimit| other.criterion == name && (range.0..=range.1).contains(&other.limit);
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
