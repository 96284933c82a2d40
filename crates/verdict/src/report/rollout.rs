//! The journey of a rollout: one page, and a table.

use serde::Serialize;

use super::escape::escape;
use super::facts;
use super::html::{Sheet, clip, environment};
use cutover_evidence::drill::Drill;
use cutover_evidence::exit::Exit;
use cutover_evidence::rollout::{RolloutEvidence, RolloutStep};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Criterion, State};

#[derive(Serialize)]
struct Page {
    #[serde(flatten)]
    sheet: Sheet,
    label: &'static str,
    tone: &'static str,
    action: &'static str,
    exit_code: Exit,
    reasons: Vec<String>,
    run_id: String,
    facts: Vec<String>,
    command: String,
    steps: Vec<Step>,
    drills: Vec<DrillRow>,
    criteria: Vec<CriterionRow>,
}

#[derive(Serialize)]
struct CriterionRow {
    title: String,
    word: &'static str,
    tone: &'static str,
    kind: &'static str,
    measured: String,
    limit: String,
    note: String,
    source: String,
}

#[derive(Serialize)]
struct Step {
    percent: String,
    /// Width of its bar, percent.
    width: String,
    share: String,
    routing: String,
    ratio: String,
    requests: String,
    rows: String,
    label: &'static str,
    tone: &'static str,
    done: String,
    planted: String,
    folder: String,
    took: String,
}

#[derive(Serialize)]
struct DrillRow {
    name: String,
    took: String,
    word: &'static str,
    tone: &'static str,
    note: String,
}

/// The page as text.
pub fn render(record: &RunRecord, rollout: &RolloutEvidence) -> String {
    let left = rollout.flag_left_at.map_or("unknown".to_owned(), |percent| format!("{percent} %"));
    let verdict = &record.verdict;
    let page = Page {
        sheet: Sheet::new(format!("{} · rollout {}", verdict.decision.label(), record.run_id)),
        label: verdict.decision.label(),
        tone: facts::tone(verdict.decision),
        action: verdict.action.label(),
        exit_code: verdict.exit_code,
        reasons: verdict.reasons.iter().map(|reason| clip(reason)).collect(),
        run_id: record.run_id.clone(),
        facts: vec![
            record.started_at.clone(),
            format!("{:.1} min", record.duration_s / 60.0),
            format!("{} orgs", rollout.orgs),
            format!("flag left at {left}"),
        ],
        command: record.command.clone(),
        steps: rollout.steps.iter().map(step).collect(),
        drills: record.drills.iter().map(drill).collect(),
        criteria: facts::ordered_criteria(record).into_iter().map(criterion).collect(),
    };
    environment()
        .get_template("rollout.html")
        .and_then(|template| template.render(minijinja::value::Serde(&page)))
        .expect("the template and its view are compiled in, and rendered by a test")
}

fn criterion(criterion: &Criterion) -> CriterionRow {
    let tone = match criterion.state {
        State::Pass => "go",
        State::Fail => "no-go",
        State::Unknown => "inconclusive",
    };
    CriterionRow {
        title: criterion.title.clone(),
        word: facts::state_label(criterion.state),
        tone,
        kind: facts::kind_label(criterion.kind),
        measured: clip(criterion.measured.as_deref().unwrap_or("not measured")),
        limit: criterion.limit.clone(),
        note: clip(&criterion.note),
        source: clip(&criterion.source),
    }
}

fn step(step: &RolloutStep) -> Step {
    let routing = &step.routing;
    let share = routing.share.map(|share| format!("{:.2} %", share * 100.0));
    let words = match routing.proven {
        true => format!("{} orgs, sticky, monotone", routing.orgs),
        false => format!(
            "of {} orgs {} silent, {} wavering, {} dropped; allowed ± {:.2} points",
            routing.orgs,
            routing.silent,
            routing.wavering,
            routing.dropped,
            routing.tolerance * 100.0
        ),
    };
    Step {
        percent: format!("{} %", step.percent),
        width: format!("{:.1}", routing.share.unwrap_or(0.0) * 100.0),
        share: share.unwrap_or("no answer".into()),
        routing: words,
        ratio: step.p95_ratio.map_or("—".into(), |ratio| format!("{ratio:.3}")),
        requests: step.requests.to_string(),
        rows: format!("{} of {} orgs differ", step.orgs_diverged, step.orgs_checked),
        label: step.decision.label(),
        tone: facts::tone(step.decision),
        done: after(step),
        planted: step.planted.clone().unwrap_or_default(),
        folder: step.folder.clone(),
        took: format!("{:.0} s", step.duration_s),
    }
}

/// What was done then, and what had to be started again.
fn after(step: &RolloutStep) -> String {
    match step.revived.as_slice() {
        [] => step.done.clone(),
        revived => {
            format!("{} (ended by itself and started again: {})", step.done, revived.join(", "))
        }
    }
}

/// The journey as Markdown, a row per increment.
pub(super) fn table(rollout: &RolloutEvidence) -> String {
    let mut table = String::from(
        "| set to | reads from the twin | p95 ratio | orgs that differ | verdict | then |\n\
         | ---: | ---: | ---: | ---: | --- | --- |\n",
    );
    for step in rollout.steps.iter().map(step) {
        table.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            step.percent,
            step.share,
            step.ratio,
            step.rows,
            step.label,
            escape(&step.done)
        ));
    }
    if rollout.steps.is_empty() {
        return "No increment was begun.\n".to_owned();
    }
    table
}

fn drill(drill: &Drill) -> DrillRow {
    let limit = drill.limit_s.map_or(String::new(), |limit| format!(" of {limit:.0} s"));
    let took = drill.measured_s.map_or("no time".into(), |took| format!("{took:.1} s{limit}"));
    let (word, tone) = if drill.passed() { ("PROVEN", "go") } else { ("NOT PROVEN", "no-go") };
    DrillRow { name: drill.name.clone(), took, word, tone, note: clip(&drill.note) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::verdict::{Decision, Verdict};

    #[test]
    fn an_empty_journey_and_a_hostile_one_are_pages() {
        let of = |record: &RunRecord, rollout| render(record, &rollout);
        let empty = of(&RunRecord::default(), RolloutEvidence::default());
        assert!(empty.contains("INVALID") && empty.contains("flag left at unknown"));
        assert!(table(&RolloutEvidence::default()).contains("No increment"));
        let step = RolloutStep {
            percent: 25.0,
            decision: Decision::NoGo,
            planted: Some("<script>".into()),
            done: "a | b <u>".into(),
            ..RolloutStep::default()
        };
        let rollout = RolloutEvidence { steps: vec![step], ..RolloutEvidence::default() };
        let drills = vec![Drill { name: "restore".into(), note: "<b>".into(), ..Drill::default() }];
        let verdict = Verdict { reasons: vec!["<i>".into()], ..Verdict::default() };
        let record = RunRecord { drills, verdict, ..RunRecord::default() };
        let page = of(&record, rollout.clone());
        assert!(page.contains("25 %") && page.contains("NOT PROVEN"), "{page}");
        for hostile in ["<script>", "<b>", "<i>", "<u>"] {
            assert!(!page.contains(hostile), "{hostile}");
        }
        let rows = table(&rollout);
        assert!(rows.contains("a \\| b") && !rows.contains("<u>"), "{rows}");
    }
}
