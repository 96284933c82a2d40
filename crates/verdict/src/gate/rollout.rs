//! The criteria of a whole rollout: what its increments came to, and where it left the flag.

use super::catalogue::criterion;
use super::{consistency, criteria, outside};
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::exit::Exit;
use cutover_evidence::rollout::{RolloutEvidence, RolloutStep};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Action, Criterion, Decision};

/// All of them.
pub(super) fn judge(record: &RunRecord, rollout: &RolloutEvidence) -> Vec<Criterion> {
    let mut all = vec![
        criteria::whole_record(record),
        intact(rollout),
        sound(rollout),
        reached(rollout),
        flag(rollout),
    ];
    all.extend(outside::of_rollout(record));
    all.extend(criteria::tested_whole(record));
    all.extend(consistency::judge(record));
    all
}

/// Steps by their names, each with its first reason.
fn per_step(steps: &[&RolloutStep]) -> String {
    let lines = steps.iter().map(|step| {
        let why = step.reasons.first().map_or("no reason is recorded", String::as_str);
        format!("{} %: {}: {why}", step.percent, step.decision.label())
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn action_of(steps: &[&RolloutStep]) -> Action {
    steps
        .iter()
        .map(|step| step.action)
        .max_by_key(|action| action.urgency())
        .unwrap_or(Action::Hold)
}

/// Rows and writes of all increments.
fn intact(rollout: &RolloutEvidence) -> Criterion {
    let criterion = criterion(CriterionId::IncrementsIntact);
    let lost = |step: &RolloutStep| {
        let ledger = step.ledger.as_ref();
        ledger.is_some_and(|l| l.counts.total() > 0 || !l.findings.is_empty())
    };
    let steps = &rollout.steps;
    let broken: Vec<_> =
        steps.iter().filter(|s| s.exit_code == Exit::NO_GO_INTEGRITY || lost(s)).collect();
    if !broken.is_empty() {
        let measured = format!("{} of {} increments", broken.len(), steps.len());
        let action = match action_of(&broken) {
            // The writes of that step were looked up after its verdict.
            Action::Proceed | Action::Hold => Action::EmergencyRollback,
            action => action,
        };
        return criterion.measured(false, measured).note(per_step(&broken)).asks_for(action);
    }
    let unseen = steps.iter().find(|step| match &step.ledger {
        Some(ledger) => !ledger.complete,
        None => !matches!(step.decision, Decision::Go | Decision::NoGo),
    });
    match unseen {
        _ if steps.is_empty() => criterion.note("no increment was begun"),
        Some(step) => criterion.note(format!("{} % was not looked at to its end", step.percent)),
        None => criterion.measured(true, format!("0 of {} increments", steps.len())),
    }
}

/// Whether what was measured can be trusted.
fn sound(rollout: &RolloutEvidence) -> Criterion {
    let criterion = criterion(CriterionId::IncrementsSound);
    let steps = &rollout.steps;
    let invalid: Vec<_> = steps.iter().filter(|s| s.decision == Decision::Invalid).collect();
    match steps.len() {
        0 => criterion.note("no increment was begun"),
        all => criterion
            .measured(invalid.is_empty(), format!("{} of {all} increments", invalid.len()))
            .note(per_step(&invalid)),
    }
}

/// How far it came.
fn reached(rollout: &RolloutEvidence) -> Criterion {
    let criterion = criterion(CriterionId::IncrementsReached);
    let gone: Vec<f64> = rollout
        .steps
        .iter()
        .take_while(|step| step.decision == Decision::Go)
        .map(|step| step.percent)
        .collect();
    let failed: Vec<_> =
        rollout.steps.iter().filter(|s| s.exit_code == Exit::NO_GO_PERFORMANCE).collect();
    let so_far = match gone.last() {
        Some(percent) => format!("{percent} %"),
        None => "none".to_owned(),
    };
    if !failed.is_empty() {
        let action = action_of(&failed);
        return criterion.measured(false, so_far).note(per_step(&failed)).asks_for(action);
    }
    if !gone.is_empty() && gone == rollout.schedule {
        return criterion.measured(true, so_far);
    }
    let open: Vec<_> = rollout.steps.iter().filter(|s| s.decision != Decision::Go).collect();
    let why = match open.is_empty() {
        true => "the rollout has not come to its end".to_owned(),
        false => per_step(&open),
    };
    Criterion { measured: Some(so_far), ..criterion }.note(why)
}

/// Where the flag was left, against if the last verdict wants it.
fn flag(rollout: &RolloutEvidence) -> Criterion {
    let criterion = criterion(CriterionId::FlagLeft).asks_for(Action::StandardRollback);
    let Some(last) = rollout.steps.last() else { return criterion.note("it was never set") };
    let before = rollout.steps.iter().rev().nth(1).map_or(0.0, |step| step.percent);
    let due = match last.decision {
        Decision::Go => last.percent,
        Decision::NoGo => 0.0,
        Decision::Inconclusive | Decision::Invalid => before,
    };
    match rollout.flag_left_at {
        // Off is where it can always be.
        Some(left) => criterion
            .measured(left == due || left == 0.0, format!("{left} %"))
            .note(format!("the last verdict leaves it at {due} %")),
        None => criterion
            .measured(false, "unknown")
            .note(format!("no answers proved it: set it to {due} % by hand")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::ledger::{LedgerCounts, LedgerEvidence};
    use cutover_evidence::run_record::{Act, ActKind};

    const SCHEDULE: [f64; 3] = [1.0, 5.0, 100.0];

    fn step(percent: f64, decision: Decision, exit_code: Exit, action: Action) -> RolloutStep {
        RolloutStep { percent, decision, exit_code, action, ..RolloutStep::default() }
    }

    fn go(percent: f64) -> RolloutStep {
        step(percent, Decision::Go, Exit::OK, Action::Proceed)
    }

    fn verdict(steps: Vec<RolloutStep>, flag_left_at: Option<f64>) -> (Decision, Action, u8) {
        let schedule = SCHEDULE.to_vec();
        let rollout = RolloutEvidence { schedule, steps, flag_left_at, orgs: 9 };
        let mut record = RunRecord {
            acts: vec![Act::done(ActKind::FlagOff, 1.0)],
            rollout: Some(rollout),
            ..super::super::consistency::bare_record()
        };
        super::super::judge(&mut record);
        (record.verdict.decision, record.verdict.action, record.verdict.exit_code.code())
    }

    #[test]
    fn only_the_whole_schedule_is_go() {
        let all = || SCHEDULE.map(go).to_vec();
        assert_eq!(verdict(all(), Some(100.0)), (Decision::Go, Action::Proceed, 0));
        assert_eq!(verdict(all(), None).2, 10);
        assert_eq!(verdict(all(), Some(25.0)).2, 10);
        assert_eq!(verdict(all()[..2].to_vec(), Some(5.0)).2, 20);
        assert_eq!(verdict(Vec::new(), Some(0.0)).2, 20);
        assert_eq!(verdict(Vec::new(), None).2, 20);
    }

    #[test]
    fn what_stopped_it_decides() {
        let emergency = step(5.0, Decision::NoGo, Exit::NO_GO_INTEGRITY, Action::EmergencyRollback);
        let slow = step(5.0, Decision::NoGo, Exit::NO_GO_PERFORMANCE, Action::StandardRollback);
        let open = step(5.0, Decision::Inconclusive, Exit::INCONCLUSIVE, Action::Hold);
        let invalid = step(5.0, Decision::Invalid, Exit::INVALID, Action::Hold);
        let after = |last: RolloutStep, left| verdict(vec![go(1.0), last], left);
        let (no_go, off) = (Decision::NoGo, Some(0.0));
        assert_eq!(after(emergency, off), (no_go, Action::EmergencyRollback, 11));
        assert_eq!(after(slow, off), (no_go, Action::StandardRollback, 10));
        assert_eq!(after(open, Some(1.0)), (Decision::Inconclusive, Action::Hold, 20));
        assert_eq!(after(invalid, Some(1.0)), (Decision::Invalid, Action::Hold, 30));
    }

    #[test]
    fn what_an_increment_did_not_test_the_rollout_did_not_either() {
        let note = "Not tested: whether the triggers of revenue carry every write";
        let what = note.trim_start_matches("Not tested: ").to_owned();
        let untested = |percent| RolloutStep { untested: vec![what.clone()], ..go(percent) };
        let rollout = RolloutEvidence {
            schedule: SCHEDULE.to_vec(),
            steps: SCHEDULE.map(untested).to_vec(),
            flag_left_at: Some(100.0),
            orgs: 9,
        };
        let mut record = RunRecord { rollout: Some(rollout), ..RunRecord::default() };
        super::super::judge(&mut record);
        let of_it = record.verdict.reasons.iter().filter(|reason| *reason == note);
        assert_eq!(of_it.count(), 1, "{:?}", record.verdict.reasons);
    }

    #[test]
    fn a_write_that_is_missed_later_takes_the_step_back() {
        let counts = LedgerCounts { lost: 1, ..LedgerCounts::default() };
        let lost = LedgerEvidence { counts, complete: true, ..LedgerEvidence::default() };
        let broke = |ledger| RolloutStep {
            ledger: Some(ledger),
            ..step(1.0, Decision::Inconclusive, Exit::COULD_NOT_RUN, Action::Hold)
        };
        let (decision, action, code) = verdict(vec![broke(lost)], Some(0.0));
        assert_eq!((decision, action, code), (Decision::NoGo, Action::EmergencyRollback, 11));
        let held = LedgerEvidence { complete: true, ..LedgerEvidence::default() };
        assert_eq!(verdict(vec![broke(held)], Some(0.0)).2, 20);
    }
}
