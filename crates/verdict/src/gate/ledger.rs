//! The criterion about what the load wrote.

use super::catalogue::criterion;
use super::criteria::count;
use cutover_error::foreign::value;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::DriveEvidence;
use cutover_evidence::finding::Finding;
use cutover_evidence::ledger::LedgerEvidence;
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Action, Criterion};

/// Findings that the note names.
const NAMED: usize = 3;

/// The criterion, if the load wrote anything.
pub(super) fn judge(record: &RunRecord) -> Vec<Criterion> {
    let Some(drive) = &record.drive else { return Vec::new() };
    let writes = drive.operations.iter().filter(|operation| operation.writes);
    let wrote = writes.flat_map(|operation| operation.modes.values()).any(|m| m.requests > 0);
    match wrote || drive.ledger.is_some() {
        true => vec![judged(drive)],
        false => Vec::new(),
    }
}

fn judged(drive: &DriveEvidence) -> Criterion {
    let criterion = criterion(CriterionId::Ledger);
    let Some(ledger) = &drive.ledger else {
        return criterion.note("the load wrote, and nobody remembered what");
    };
    // Summary and details must tell one story; the worse one counts.
    let findings = ledger.counts.total().max(ledger.findings.len() as u64);
    if findings > 0 {
        let counts = ledger.counts.by_fault().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(fault, count)| format!("{count} {fault}")).collect();
        return criterion
            .measured(false, counts.join(", "))
            .note(named(&ledger.findings))
            .asks_for(Action::EmergencyRollback);
    }
    if !ledger.complete {
        let why = &ledger.incomplete_reason;
        return criterion.note(format!("the ledger was not held against the tables: {why}"));
    }
    if let Some((operation, _)) = ledger.not_noted.iter().next() {
        return criterion.note(format!(
            "not every write was noted: the scenario does not say what `{operation}` writes, or it \
             is no configured table pair (writes = {{ table = … }})"
        ));
    }
    if ledger.writes == 0 {
        return criterion.note("no write was noted");
    }
    criterion.measured(true, accounted(ledger))
}

fn accounted(ledger: &LedgerEvidence) -> String {
    let LedgerEvidence { writes, ok, fail, unknown, rows_checked, .. } = ledger;
    let [writes, ok, fail, unknown, rows_checked] =
        [writes, ok, fail, unknown, rows_checked].map(|number| count(*number));
    format!(
        "{writes} writes ({ok} acknowledged, {fail} refused, {unknown} unknown) to {rows_checked} rows"
    )
}

fn named(findings: &[Finding]) -> String {
    let name = |finding: &Finding| {
        let org = value(finding.org_id.as_deref().unwrap_or("?"));
        let key = finding.key.values().map(|v| value(v.as_deref().unwrap_or("NULL")));
        let key: Vec<String> = key.collect();
        let (class, table) = (&finding.class, value(&finding.table));
        format!("{class}: {} of {table}, org {org}", key.join("/"))
    };
    findings.iter().take(NAMED).map(name).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::class::WriteFault;
    use cutover_evidence::drive::{ModeLatency, OperationEvidence, Side};
    use cutover_evidence::ledger::LedgerCounts;
    use cutover_evidence::verdict::State;

    fn state(ledger: Option<LedgerEvidence>) -> State {
        let written = ModeLatency { requests: 1, ..ModeLatency::default() };
        let operation = OperationEvidence {
            writes: true,
            modes: [(Side::Legacy, written)].into(),
            ..OperationEvidence::default()
        };
        let operations = vec![operation];
        let drive = DriveEvidence { operations, ledger, ..DriveEvidence::default() };
        judge(&RunRecord { drive: Some(drive), ..RunRecord::default() })[0].state
    }

    fn held() -> LedgerEvidence {
        LedgerEvidence { writes: 5, ok: 5, complete: true, ..LedgerEvidence::default() }
    }

    #[test]
    fn only_a_ledger_that_was_held_against_the_tables_passes() {
        assert_eq!(state(Some(held())), State::Pass);
        assert_eq!(state(None), State::Unknown);
        assert_eq!(state(Some(LedgerEvidence { complete: false, ..held() })), State::Unknown);
        assert_eq!(state(Some(LedgerEvidence { writes: 0, ..held() })), State::Unknown);
        let not_noted = [("merge".to_owned(), 1)].into();
        assert_eq!(state(Some(LedgerEvidence { not_noted, ..held() })), State::Unknown);
    }

    #[test]
    fn any_finding_fails_whatever_else_is_missing() {
        let counts = LedgerCounts { stale: 1, ..LedgerCounts::default() };
        assert_eq!(state(Some(LedgerEvidence { counts, ..held() })), State::Fail);
        let findings = vec![Finding::new("revenue", WriteFault::Lost)];
        let cut_short = LedgerEvidence { findings, complete: false, ..held() };
        assert_eq!(state(Some(cut_short)), State::Fail);
    }

    #[test]
    fn a_load_that_only_reads_needs_no_ledger() {
        let drive = Some(DriveEvidence::default());
        assert!(judge(&RunRecord { drive, ..RunRecord::default() }).is_empty());
    }
}
