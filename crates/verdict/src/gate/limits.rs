//! Which limit holds: the handbook's, or the one its owner gave a reason for.

use cutover_evidence::limits::{LIMITS, LimitId, OtherLimit};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::Criterion;

/// The value of a limit of [`LIMITS`] in this run.
pub(super) fn value(record: &RunRecord, name: LimitId) -> f64 {
    other(record, name).map_or_else(|| name.limit().in_phase(record.phase), |other| other.limit)
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

/// The changed limit: one for this phase before one for every phase. A value that is no number
/// within the range is not heeded, wherever the record has it from.
fn other(record: &RunRecord, name: LimitId) -> Option<&OtherLimit> {
    let range = name.limit().range;
    let fits =
        |other: &&OtherLimit| other.criterion == name && (range.0..=range.1).contains(&other.limit);
    let of_phase = record.limits.iter().filter(fits).find(|o| o.phase == Some(record.phase));
    of_phase.or_else(|| record.limits.iter().filter(fits).find(|o| o.phase.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::limits::Phase;

    #[test]
    fn a_limit_of_the_phase_goes_before_one_of_every_phase_and_nonsense_before_none() {
        let other = |limit, phase| OtherLimit {
            criterion: LimitId::ErrorRate,
            limit,
            reason: "measured behind a proxy".into(),
            phase,
        };
        let mut record = RunRecord::default();
        assert_eq!(value(&record, LimitId::ErrorRate), 0.001);
        record.limits = vec![other(0.002, None), other(0.003, Some(Phase::Staging))];
        assert_eq!(value(&record, LimitId::ErrorRate), 0.003);
        record.phase = Phase::Pilot;
        assert_eq!(value(&record, LimitId::ErrorRate), 0.002);
        record.limits = vec![other(f64::NAN, None), other(7.0, None)];
        assert_eq!(value(&record, LimitId::ErrorRate), 0.001);
    }
}
