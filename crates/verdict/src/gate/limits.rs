//! Which limit holds: the handbook's, or the one its owner gave a reason for.

use cutover_evidence::limits::{LIMITS, LimitId, Limits};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::Criterion;

/// The value of a limit of [`LIMITS`] in this run.
pub(super) fn value(record: &RunRecord, name: LimitId) -> f64 {
    of(record).value(name)
}

/// Says in a criterion's source that its limit is not the handbook's, and why.
pub(super) fn explain(record: &RunRecord, criterion: &mut Criterion) {
    for limit in LIMITS.iter().filter(|limit| limit.criterion == criterion.id) {
        let Some(other) = of(record).other(limit.name) else { continue };
        let (handbook, here) = (limit.in_phase(record.phase), other.limit);
        criterion
            .source
            .push_str(&format!("; {} {handbook} there, {here} here: {}", limit.name, other.reason));
    }
}

fn of(record: &RunRecord) -> Limits<'_> {
    Limits { own: &record.limits, phase: Some(record.phase) }
}
