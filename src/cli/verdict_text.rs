//! A verdict in a few lines for a terminal.

use crate::error::foreign::line;
use crate::evidence::rollout::{RolloutEvidence, RolloutStep};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Criterion, Kind, State};

/// Decision, action, reasons, steps, and where the criteria stand.
pub(super) fn verdict(record: &RunRecord) -> String {
    let verdict = &record.verdict;
    let mut lines: Vec<String> = record.rollout.iter().map(journey).collect();
    lines.extend([criteria(&record.criteria), String::new()]);
    let about = match record.increment_percent {
        Some(percent) => format!(" ({} to {percent} %)", record.phase.as_str()),
        None => String::new(),
    };
    lines.push(format!("{}: {}{about}", verdict.decision.label(), verdict.action.label()));
    lines.extend(verdict.reasons.iter().map(|reason| format!("  - {}", line(reason))));
    let steps = verdict.steps.iter().enumerate();
    lines.extend(steps.map(|(i, step)| format!("  {}. {}", i + 1, line(step))));
    lines.join("\n")
}

/// One line per increment.
fn journey(rollout: &RolloutEvidence) -> String {
    let one = |step: &RolloutStep| {
        let share = step.routing.share.map_or("?".into(), |share| format!("{:.2}", share * 100.0));
        let (percent, label) = (step.percent, step.decision.label());
        let done = line(&step.done);
        format!("  {percent:>5} %  {share:>6} % measured  {label:<12} {done}\n")
    };
    rollout.steps.iter().map(one).collect()
}

/// One line per criterion.
pub(super) fn criteria(criteria: &[Criterion]) -> String {
    let one = |criterion: &Criterion| {
        let asked = criterion.kind != Kind::Advice;
        let (state, unmeasured) = match criterion.state {
            State::Pass => ("pass   ", ""),
            State::Fail => ("FAIL   ", "not measured"),
            State::Unknown if asked => ("unknown", "not measured"),
            State::Unknown => ("   -   ", "not measured, and decides nothing here"),
        };
        let measured = criterion.measured.as_deref().unwrap_or(unmeasured);
        // Why, if something is not as it should be; the report has all of it.
        let why = match criterion.state {
            State::Fail | State::Unknown if asked && !criterion.note.is_empty() => {
                format!(": {}", shortened(&criterion.note))
            }
            _ => String::new(),
        };
        let (title, limit) = (&criterion.title, &criterion.limit);
        line(&format!("  {state}  {title}: {measured} ({limit}){why}")).into_owned()
    };
    criteria.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Characters of a reason that a line holds.
const WHY: usize = 160;

fn shortened(why: &str) -> String {
    match why.char_indices().nth(WHY) {
        Some((at, _)) => format!("{}…", &why[..at]),
        None => why.to_owned(),
    }
}
