//! The criteria about what the answers held.

use super::catalogue::criterion;
use super::criteria::count;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::{DriveEvidence, Side};
use cutover_evidence::finding::{DiffEvidence, Finding};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Action, Criterion};

/// Questions that may stay without a comparison because the data changed meanwhile.
const UNSETTLED_LIMIT: f64 = 0.05;
/// Findings that a note names.
const NAMED: usize = 3;

/// Criteria about what the answers held, if there was a load.
pub(super) fn judge(record: &RunRecord) -> Vec<Criterion> {
    let Some(drive) = record.drive.as_ref().filter(|drive| drive.requests > 0) else {
        return Vec::new();
    };
    let both = Side::BOTH.iter().all(|mode| drive.overall.contains_key(mode));
    let reads = drive.operations.iter().any(|operation| !operation.writes);
    let compares = both && reads && !drive.closed_loop;
    let mut criteria = vec![isolation(drive)];
    criteria
        .extend((compares || drive.parity.is_some()).then(|| parity(drive, record.diff.as_ref())));
    criteria
}

fn isolation(drive: &DriveEvidence) -> Criterion {
    let criterion = criterion(CriterionId::OrgIsolation);
    let Some(isolation) = drive.isolation.as_ref().filter(|i| i.answers_checked > 0) else {
        let why = "no answer was looked at: say in the scenario where answers name their org (own)";
        return criterion.note(why);
    };
    let leaks = isolation.leaks.max(isolation.findings.len() as u64);
    criterion
        .measured(leaks == 0, format!("{leaks} of {} answers", count(isolation.answers_checked)))
        .note(named(&isolation.findings))
        .asks_for(Action::EmergencyRollback)
}

fn parity(drive: &DriveEvidence, diff: Option<&DiffEvidence>) -> Criterion {
    let criterion = criterion(CriterionId::AnswersAlike);
    let Some(parity) = &drive.parity else {
        return criterion.note("no question was asked of both sides");
    };
    let differing = parity.differing.max(parity.findings.len() as u64);
    if differing > 0 {
        return criterion
            .measured(false, format!("{differing} of {} answers", count(parity.compared)))
            .note(named(&parity.findings))
            .asks_for(match of_the_one_org(&parity.findings, diff) {
                true => Action::DisableOrgs,
                false => Action::StandardRollback,
            });
    }
    if !parity.complete {
        return criterion.note(parity.incomplete_reason.clone());
    }
    let left = parity.unsettled + parity.unanswered;
    if parity.compared == 0 || left as f64 > UNSETTLED_LIMIT * parity.asked as f64 {
        return criterion.note(format!(
            "of {} questions, {} were not answered and {} changed from one time to the next",
            parity.asked, parity.unanswered, parity.unsettled
        ));
    }
    criterion.measured(true, format!("0 of {} answers", count(parity.compared)))
}

/// Whether every answer that differs is about the one org whose rows differ.
fn of_the_one_org(findings: &[Finding], diff: Option<&DiffEvidence>) -> bool {
    let Some(diff) = diff.filter(|diff| diff.complete && diff.orgs_diverged == 1) else {
        return false;
    };
    let Some(one) = diff.orgs.first() else { return false };
    let about_it = |finding: &Finding| finding.org_id.as_ref() == Some(&one.org_id);
    !findings.is_empty() && findings.iter().all(about_it)
}

fn named(findings: &[Finding]) -> String {
    let name = |finding: &Finding| {
        let detail = finding.detail.as_deref().unwrap_or_default();
        format!("{}: {detail}", finding.class)
    };
    findings.iter().take(NAMED).map(name).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::answers::{IsolationEvidence, ParityEvidence};
    use cutover_evidence::class::AnswerFault;
    use cutover_evidence::finding::OrgDiff;
    use cutover_evidence::verdict::State;

    #[test]
    fn answers_about_the_one_org_whose_rows_differ_ask_for_that_org_alone() {
        let of = |org: &str| Finding {
            org_id: Some(org.into()),
            ..Finding::new("list", AnswerFault::ForeignOrg)
        };
        let diff = |orgs_diverged| DiffEvidence {
            complete: true,
            orgs_diverged,
            orgs: vec![OrgDiff { org_id: "7".into(), ..OrgDiff::default() }],
            ..DiffEvidence::default()
        };
        assert!(of_the_one_org(&[of("7")], Some(&diff(1))));
        assert!(!of_the_one_org(&[of("7"), of("8")], Some(&diff(1))));
        assert!(!of_the_one_org(&[of("7")], Some(&diff(2))));
        assert!(!of_the_one_org(&[of("7")], None));
        assert!(!of_the_one_org(&[], Some(&diff(1))));
    }

    fn state(criterion: &Criterion) -> State {
        criterion.state
    }

    #[test]
    fn what_was_not_looked_at_is_not_known() {
        let with = |answers_checked, leaks| {
            let seen = IsolationEvidence { answers_checked, leaks, ..IsolationEvidence::default() };
            isolation(&DriveEvidence { isolation: Some(seen), ..DriveEvidence::default() }).state
        };
        assert_eq!(state(&isolation(&DriveEvidence::default())), State::Unknown);
        assert_eq!(
            (with(0, 0), with(9, 0), with(9, 1)),
            (State::Unknown, State::Pass, State::Fail)
        );
    }

    #[test]
    fn answers_are_alike_only_where_they_were_compared() {
        let with = |change: fn(&mut ParityEvidence)| {
            let mut asked =
                ParityEvidence { asked: 100, compared: 100, complete: true, ..Default::default() };
            change(&mut asked);
            parity(&DriveEvidence { parity: Some(asked), ..DriveEvidence::default() }, None).state
        };
        assert_eq!(state(&parity(&DriveEvidence::default(), None)), State::Unknown);
        assert_eq!(with(|_| ()), State::Pass);
        assert_eq!(with(|p| p.complete = false), State::Unknown);
        assert_eq!(with(|p| p.compared = 0), State::Unknown);
        assert_eq!(with(|p| p.unsettled = 6), State::Unknown);
        assert_eq!(with(|p| p.unanswered = 6), State::Unknown);
        assert_eq!(with(|p| p.differing = 1), State::Fail);
        assert_eq!(
            with(|p| p.findings = vec![Finding::new("list", AnswerFault::Value)]),
            State::Fail
        );
    }
}
