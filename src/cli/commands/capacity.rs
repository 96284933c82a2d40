//! `cutover drive --find-capacity`: what each mode can take.

use std::sync::Arc;

use crate::act::ActContext;
use crate::cli::{Exit, Printer, verdict_text};
use crate::drive::{self, CapacityOptions};
use crate::error::{Error, Result};
use crate::evidence::capacity::{Capacity, CapacityEvidence, LimitedBy};
use crate::evidence::run_record::{Act, ActKind, ActState, RunRecord};
use crate::evidence::verdict::{Kind, State};
use crate::rehearsal;
use crate::routing::Switch;
use crate::run_folder::RunFolder;
use crate::scenario::Scenario;

/// Searches, records, and says what was found.
///
/// # Errors
/// If the platform does not take the first requests, or Goose does not start.
pub(super) async fn run(
    (folder, mut record): (RunFolder, RunRecord),
    (scenario, switch): (Arc<Scenario>, Switch),
    search: &CapacityOptions,
    options: &drive::Options,
    printer: &Printer,
    context: &ActContext,
) -> Result<Exit> {
    let begin = std::time::Instant::now();
    let out = folder.path();
    let drive = drive::find_capacity(&scenario, &switch, search, options, out, context).await?;
    let (state, note) = match context.check_stop() {
        Ok(()) => (ActState::Done, String::new()),
        Err(error) => (ActState::Interrupted, error.to_string()),
    };
    if drive.requests == drive.errors && state == ActState::Done {
        let what = "not one request succeeded";
        return Err(Error::run(what, "is the platform up, and does the scenario fit it?"));
    }
    record.duration_s = begin.elapsed().as_secs_f64();
    record.acts.push(Act {
        name: ActKind::Drive.into(),
        state,
        duration_s: record.duration_s,
        note,
    });
    let sound = drive.complete && drive.wrong_mode == 0;
    let wrong_mode = drive.wrong_mode;
    record.drive = Some(drive);
    rehearsal::conclude(&folder, &mut record)?;
    printer.json(&record);
    let found = record.drive.as_ref().and_then(|drive| drive.capacity.as_ref());
    let Some(found) = found else { return Ok(Exit::INVALID) };
    printer.result(&told(found));
    if record.drive.as_ref().is_some_and(|drive| !drive.complete) {
        printer.result("the search did not come to its end: not to be trusted");
    }
    if wrong_mode > 0 {
        printer
            .result(&format!("{wrong_mode} answers came from the other side: not to be trusted"));
    }
    printer.result(&format!("record: {}", folder.path().join("run.json").display()));
    if record.criteria.iter().any(|c| c.kind == Kind::Integrity && c.state == State::Fail) {
        printer.result(&verdict_text::criteria(&record.criteria));
        return Ok(Exit::NO_GO_INTEGRITY);
    }
    let something = found.modes.values().all(|capacity| {
        capacity.passed_per_s.is_some() || capacity.limited_by == LimitedBy::Target
    });
    Ok(if sound && something { Exit::OK } else { Exit::INVALID })
}

/// The result for people.
fn told(found: &CapacityEvidence) -> String {
    let mut lines = vec![format!(
        "capacity with p95 up to {} ms and up to {} % failed, by {} steps:",
        found.p95_limit_us as f64 / 1000.0,
        found.error_limit * 100.0,
        found.steps.len()
    )];
    for (mode, capacity) in &found.modes {
        lines.push(format!("  {}: {}", mode.as_str(), in_words(capacity)));
    }
    lines.push("a figure of capacity, and no ground for a GO".into());
    lines.join("\n")
}

fn in_words(capacity: &Capacity) -> String {
    match (capacity.passed_per_s, capacity.failed_per_s, capacity.limited_by) {
        (Some(passed), Some(failed), LimitedBy::Target) => {
            format!("{passed:.1} req/s sustained, {failed:.1} not")
        }
        (Some(passed), Some(failed), LimitedBy::Generator) => format!(
            "at least {passed:.1} req/s; at {failed:.1} the generator was the limit, not the target"
        ),
        (Some(passed), ..) => format!("at least {passed:.1} req/s; the search ended there"),
        (None, Some(failed), LimitedBy::Target) => {
            format!("not even {failed:.1} req/s was sustained")
        }
        (None, Some(failed), _) => {
            format!(
                "not known: nothing was sustained down to {failed:.1} req/s, and the generator was the limit or the search ended"
            )
        }
        (None, None, _) => "not known: no step came to its end".into(),
    }
}
