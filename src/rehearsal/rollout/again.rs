//! What is looked at again: servers that ended by themselves, the writes of a step that broke, and the
//! verdicts of all steps where a rollout is judged once more.

use std::path::Path;

use super::Rollout;
use super::step::{LEDGER, folder_of, is_accounted_for, take};
use crate::evidence::exit::Exit;
use crate::evidence::ledger::LedgerEvidence;
use crate::evidence::rollout::{RolloutEvidence, RolloutStep};
use crate::evidence::run_record::RunRecord;
use crate::rig::Stack;
use crate::run_folder::read_record;
use crate::{drive, gate};

impl Rollout<'_> {
    /// Starts again what ended by itself, so that the flag can be put back and the step's writes be
    /// looked up.
    pub(super) async fn revive(&self, stack: &mut Stack, step: &mut RolloutStep) {
        for component in stack.ended() {
            let name = component.name();
            self.context.note(format!("{name} ended by itself; starting it again"));
            // A signal that came meanwhile must not keep us from leaving things in order.
            let silent = crate::act::ActContext::silent();
            match stack.revive(component, &silent).await {
                Ok(()) => step.revived.push(name.to_owned()),
                Err(error) => step.reasons.push(format!("{name} was not started again: {error}")),
            }
        }
        let folder = self.folder.path().join(&step.folder);
        if !step.folder.is_empty() && !is_accounted_for(&folder) {
            step.ledger = Some(self.account_for(&folder).await);
        }
    }

    /// Holds what a step wrote against the tables, where its own run could not.
    async fn account_for(&self, folder: &Path) -> LedgerEvidence {
        let (url, tables) = (&self.target.database_url, &self.target.config.tables);
        self.context.note("looking up the writes of the increment that broke");
        let held = drive::reconcile(&folder.join(LEDGER), url, tables, folder).await;
        held.unwrap_or_else(|error| LedgerEvidence {
            incomplete_reason: error.to_string(),
            ..LedgerEvidence::default()
        })
    }
}

/// Judges every step of a rollout once more, from its own folder. What no longer says what the rollout
/// noted is altered evidence.
///
/// A step that ran to its verdict before the rollout was killed, and could not be noted any more, is
/// taken up as if it had been.
pub fn judge_steps(folder: &Path, record: &mut RunRecord) {
    let Some(rollout) = &mut record.rollout else { return };
    if let Some(step) = not_noted(folder, rollout).filter(|_| !record.ended) {
        rollout.steps.push(step);
        rollout.flag_left_at = None;
    }
    let RolloutEvidence { steps, .. } = rollout;
    let mut altered = Vec::new();
    for step in steps.iter_mut().filter(|step| !step.folder.is_empty()) {
        let name = &step.folder;
        let mut own = match read_record(&folder.join(name)) {
            Ok(own) => own,
            Err(error) => {
                altered.push(format!("{name}: {error}"));
                continue;
            }
        };
        altered.extend(own.altered.iter().map(|what| format!("{name}: {what}")));
        gate::judge(&mut own);
        let mut found = RolloutStep::default();
        take(&mut found, &own);
        // What a rollout noted before there was a place for it.
        if step.untested.is_empty() {
            step.untested = std::mem::take(&mut found.untested);
        }
        let same = (found.requests, found.orgs_checked, found.orgs_diverged)
            == (step.requests, step.orgs_checked, step.orgs_diverged);
        // A step that was refused for another reason than its load's is worse than its run, never
        // better.
        let verdict = match (found.exit_code, step.exit_code) {
            (Exit::OK, _) => true,
            (Exit::NO_GO_INTEGRITY, noted) => noted == Exit::NO_GO_INTEGRITY,
            (Exit::NO_GO_PERFORMANCE, noted) => {
                [Exit::NO_GO_PERFORMANCE, Exit::NO_GO_INTEGRITY].contains(&noted)
            }
            (_, noted) => noted != Exit::OK,
        };
        if !same || !verdict {
            let (now, then) = (found.decision.label(), step.decision.label());
            altered.push(format!("{name}: its run says {now}, the rollout noted {then}"));
        }
    }
    record.altered.extend(altered);
}

/// Of the increment after the last that was noted, what its last load came to.
fn not_noted(folder: &Path, rollout: &RolloutEvidence) -> Option<RolloutStep> {
    let percent = *rollout.schedule.get(rollout.steps.len())?;
    (1..=gate::MAX_ATTEMPTS).rev().find_map(|attempt| {
        let name = folder_of(percent, attempt);
        let mut own = read_record(&folder.join(&name)).ok()?;
        gate::judge(&mut own);
        let mut step = RolloutStep { percent, attempts: attempt, ..RolloutStep::default() };
        take(&mut step, &own);
        step.folder = name;
        step.done = "nothing: the rollout ended before".to_owned();
        Some(step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::SCHEMA_VERSION;
    use crate::evidence::finding::{DiffEvidence, DiffPhase};
    use crate::evidence::run_record::{Act, ActKind};
    use crate::run_folder::write_record;

    #[test]
    fn what_a_killed_rollout_could_not_note_is_taken_up() {
        let out = tempfile::tempdir().expect("a folder");
        let mut of_step = RunRecord {
            schema_version: SCHEMA_VERSION,
            ended: true,
            acts: vec![Act::done(ActKind::Diff, 1.0)],
            diff: Some(DiffEvidence {
                phase: DiffPhase::After,
                complete: true,
                orgs_checked: 9,
                orgs_diverged: 3,
                differences_total: 3,
                findings_total: 3,
                ..DiffEvidence::default()
            }),
            ..RunRecord::default()
        };
        gate::judge(&mut of_step);
        for name in ["step-5", "step-5-2"] {
            std::fs::create_dir(out.path().join(name)).expect("our own folder");
            write_record(&out.path().join(name), &of_step).expect("our own folder");
        }
        let gone = RolloutStep { percent: 1.0, ..RolloutStep::default() };
        let rollout = RolloutEvidence {
            schedule: vec![1.0, 5.0, 10.0],
            steps: vec![gone],
            flag_left_at: Some(1.0),
            orgs: 9,
        };
        let taken_up = |ended| {
            let mut record =
                RunRecord { ended, rollout: Some(rollout.clone()), ..RunRecord::default() };
            judge_steps(out.path(), &mut record);
            record.rollout.expect("as it was")
        };
        let of_killed = taken_up(false);
        let step = &of_killed.steps[1];
        assert_eq!((step.percent, step.folder.as_str(), step.attempts), (5.0, "step-5-2", 2));
        assert_eq!(
            (step.exit_code, step.orgs_diverged),
            (of_step.verdict.exit_code, 3),
            "{:?}",
            step.reasons
        );
        assert_eq!(of_killed.flag_left_at, None);
        assert_eq!(taken_up(true), rollout);
    }

    #[test]
    fn what_an_older_rollout_noted_in_words_alone_is_taken_from_the_steps_own_run() {
        let out = tempfile::tempdir().expect("a folder");
        let name = folder_of(1.0, 1);
        let left_out = vec!["writes".to_owned()];
        let own = RunRecord {
            schema_version: SCHEMA_VERSION,
            left_out,
            ended: true,
            ..RunRecord::default()
        };
        std::fs::create_dir(out.path().join(&name)).expect("our own folder");
        write_record(&out.path().join(&name), &own).expect("our own folder");
        let step = RolloutStep { percent: 1.0, folder: name, ..RolloutStep::default() };
        let rollout = RolloutEvidence { steps: vec![step], ..RolloutEvidence::default() };
        let mut record = RunRecord { ended: true, rollout: Some(rollout), ..RunRecord::default() };
        judge_steps(out.path(), &mut record);
        assert_eq!(gate::untested(&record), ["writes"]);
    }
}
