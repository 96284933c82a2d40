//! The top of the page: the verdict, what is missing, the four figures, the criteria.

use serde::Serialize;

use super::{clip, short};
use crate::report::facts::{self, Tone};
use crate::report::text::{self, NOTHING, count, counted};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Criterion, Kind, State};

#[derive(Serialize)]
pub(super) struct View {
    pub(super) label: &'static str,
    tone: &'static str,
    gate: String,
    action: &'static str,
    meaning: &'static str,
    exit_code: String,
    exit_meaning: &'static str,
    reasons: Vec<String>,
    steps: Vec<String>,
    contradictions: Vec<String>,
    missing: Vec<Missing>,
    tiles: Vec<Tile>,
    criteria: Vec<Row>,
    criteria_summary: String,
}

#[derive(Serialize)]
struct Missing {
    what: String,
    why: String,
}

/// One of the figures at the top.
#[derive(Serialize)]
struct Tile {
    title: &'static str,
    figure: String,
    tone: Tone,
    detail: String,
}

#[derive(Serialize)]
struct Row {
    id: &'static str,
    title: String,
    kind: &'static str,
    state: &'static str,
    class: &'static str,
    measured: Option<String>,
    limit: String,
    room: String,
    note: String,
    source: String,
    evidence: String,
    action: &'static str,
}

pub(super) fn view(record: &RunRecord) -> View {
    let verdict = &record.verdict;
    let judged = facts::is_judged(record);
    let missing = facts::missing(record);
    View {
        label: verdict.decision.label(),
        tone: facts::tone(verdict.decision),
        gate: short(&facts::gate_name(record)),
        action: verdict.action.label(),
        meaning: facts::meaning(verdict.decision),
        exit_code: if judged { verdict.exit_code.to_string() } else { NOTHING.to_owned() },
        exit_meaning: if judged { verdict.exit_code.meaning() } else { "not judged" },
        reasons: verdict.reasons.iter().map(|reason| clip(reason)).collect(),
        steps: verdict.steps.iter().map(|step| clip(step)).collect(),
        contradictions: facts::contradictions(record),
        missing: missing
            .into_iter()
            .map(|m| Missing { what: short(&m.what), why: clip(&m.why) })
            .collect(),
        tiles: vec![ratio_tile(record), rows_tile(record), errors_tile(record), tally_tile(record)],
        criteria: facts::ordered_criteria(record).into_iter().map(row).collect(),
        criteria_summary: tally(record),
    }
}

fn ratio_tile(record: &RunRecord) -> Tile {
    let title = "p95, partitioned against legacy";
    let comparison = record.drive.as_ref().and_then(|drive| drive.comparison.as_ref());
    let compared = comparison.filter(|c| c.pairs > 1 && c.p95_ratio.is_finite());
    let Some(c) = compared.filter(|c| c.p95_ratio > 0.0) else {
        return unmeasured(title, "The two modes were not compared.");
    };
    let (low, high) = (text::change(c.p95_ratio_low), text::change(c.p95_ratio_high));
    let mut detail = format!("Between {low} and {high}, from {} pairs of windows.", c.pairs);
    // Beside a regression that was seen, what else would have been seen only confuses.
    if let Some(seen) = c.smallest_detectable_ratio.filter(|_| c.p95_ratio_low <= 1.0) {
        let seen = text::change(seen);
        detail.push_str(&format!(" A regression of {seen} would have been seen 9 times in 10."));
    }
    Tile { title, figure: text::change(c.p95_ratio), tone: Tone::Plain, detail }
}

fn rows_tile(record: &RunRecord) -> Tile {
    let title = "Rows that differ";
    let Some(diff) = &record.diff else {
        return unmeasured(title, "No diff was made after the load.");
    };
    let rows = facts::total(diff).total();
    let orgs = counted(diff.orgs_checked, "org", "orgs");
    let mut detail = format!("In {} of {orgs} checked.", count(diff.orgs_diverged));
    if !diff.complete {
        detail.push_str(" The diff is not complete.");
    }
    let tone = match rows {
        1.. => Tone::Bad,
        0 if diff.complete && diff.orgs_checked > 0 => Tone::Good,
        0 => Tone::Doubtful,
    };
    Tile { title, figure: count(rows), tone, detail }
}

fn errors_tile(record: &RunRecord) -> Tile {
    let title = "Failed requests";
    let Some(drive) = record.drive.as_ref().filter(|drive| drive.requests > 0) else {
        return unmeasured(title, "No request was measured.");
    };
    let (errors, requests) = (count(drive.errors), count(drive.requests));
    let skipped = match drive.skipped {
        0 => "none was skipped".to_owned(),
        n => format!("{} could not be sent in time", counted(n, "arrival", "arrivals")),
    };
    Tile {
        title,
        figure: text::share(drive.errors, drive.requests),
        tone: Tone::Plain,
        detail: format!("{errors} of {requests}; {skipped}."),
    }
}

fn tally_tile(record: &RunRecord) -> Tile {
    let title = "Criteria passed";
    let binding: Vec<&Criterion> =
        record.criteria.iter().filter(|c| c.kind != Kind::Advice).collect();
    if binding.is_empty() {
        return unmeasured(title, "No binding criterion was judged.");
    }
    let passed = binding.iter().filter(|c| c.state == State::Pass).count();
    let failed = binding.iter().any(|c| c.state == State::Fail);
    let tone = match (failed, passed == binding.len()) {
        (true, _) => Tone::Bad,
        (false, true) => Tone::Good,
        (false, false) => Tone::Doubtful,
    };
    Tile { title, figure: format!("{passed} of {}", binding.len()), tone, detail: tally(record) }
}

fn unmeasured(title: &'static str, why: &str) -> Tile {
    let figure = "not known".to_owned();
    Tile { title, figure, tone: Tone::Doubtful, detail: why.to_owned() }
}

/// How many criteria ended in which state, advice left out.
fn tally(record: &RunRecord) -> String {
    let of = |state: State| {
        let binding = record.criteria.iter().filter(|c| c.kind != Kind::Advice);
        count(binding.filter(|c| c.state == state).count() as u64)
    };
    let (failed, unknown, passed) = (of(State::Fail), of(State::Unknown), of(State::Pass));
    format!("{failed} failed, {unknown} unknown, {passed} passed.")
}

fn row(criterion: &Criterion) -> Row {
    let advice = criterion.kind == Kind::Advice;
    let (state, class) = match criterion.state {
        State::Pass => ("pass", "good"),
        State::Fail if advice => ("note", "doubtful"),
        State::Fail => ("fail", "bad"),
        State::Unknown if advice => ("unknown", "plain"),
        State::Unknown => ("unknown", "doubtful"),
    };
    Row {
        id: criterion.id.word(),
        title: short(&criterion.title),
        kind: facts::kind_label(criterion.kind),
        state,
        class,
        measured: criterion.measured.as_deref().map(short),
        limit: short(&criterion.limit),
        room: criterion.margin.map_or(String::new(), text::room),
        note: clip(&criterion.note),
        source: short(&criterion.source),
        evidence: short(&criterion.evidence),
        action: if criterion.state == State::Fail && !advice {
            criterion.action.label()
        } else {
            ""
        },
    }
}
