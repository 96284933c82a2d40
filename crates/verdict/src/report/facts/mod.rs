//! What a record says between the lines; shared by every format, so that they agree.

mod latency;
mod observed;

pub use latency::{LatencyRow, latency_rows};
pub use observed::{cache_rates, lost_spans, observed};

use super::text::{NOTHING, count, counted, duration};
use cutover_evidence::drive::{DriveEvidence, Side};
use cutover_evidence::finding::{Counts, DiffEvidence, DiffPhase};
use cutover_evidence::run_record::{Act, ActState, RunRecord};
use cutover_evidence::verdict::{Criterion, Decision, Kind, State, Verdict};

/// A piece of evidence that is not there.
pub struct Missing {
    /// Which, in a few words.
    pub what: String,
    /// Why, and what follows from it.
    pub why: String,
}

/// How good something is; decides a colour, and always goes with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look, or not known.
    Doubtful,
    /// As it must not be.
    Bad,
    /// Neither.
    Plain,
}

/// Whether the gate has judged this record at all.
pub fn is_judged(record: &RunRecord) -> bool {
    record.verdict != Verdict::default()
}

/// What a verdict needs and this record does not hold. Nothing of it may be taken for good.
pub fn missing(record: &RunRecord) -> Vec<Missing> {
    let mut list = Vec::new();
    let mut tell = |what: &str, why: String| list.push(Missing { what: what.to_owned(), why });
    if !is_judged(record) {
        tell("verdict", "The gate has not judged this record; that is not a pass.".to_owned());
    }
    if record.criteria.is_empty() {
        tell("criteria", "Not one criterion was judged.".to_owned());
    }
    if record.acts.is_empty() {
        tell("acts", "The record names no act, so nobody can say how far the run came.".to_owned());
    }
    for act in record.acts.iter().filter(|act| act.state != ActState::Done) {
        tell(&format!("act “{}”", act.name), unfinished(act));
    }
    if record.rollout.is_some() {
        // Loads and comparisons stand in the runs of its increments.
        return list;
    }
    if record.manifest.is_none() {
        tell(
            "manifest",
            "What was seeded is not known, so lost rows cannot be counted.".to_owned(),
        );
    }
    match &record.drive {
        None => {
            tell("load", "No latency, no error rate and no comparison of the modes.".to_owned())
        }
        Some(drive) => missing_in_drive(drive, &mut tell),
    }
    let alone = record.diff.as_ref().is_some_and(|diff| diff.phase == DiffPhase::Alone);
    match &record.diff_before {
        None if alone => {}
        None => tell(
            "diff before the load",
            "A difference found later may have been there from the start.".to_owned(),
        ),
        Some(diff) => missing_in_diff("diff before the load", diff, &mut tell),
    }
    match &record.diff {
        None => tell("diff after the load", "Whether rows were lost is not known.".to_owned()),
        Some(diff) => missing_in_diff("diff after the load", diff, &mut tell),
    }
    if record.observations.is_empty() {
        let why = "The platform's cache, alerts and replica lag are not known.";
        tell("observations", why.to_owned());
    }
    list
}

fn unfinished(act: &Act) -> String {
    let end = match act.state {
        ActState::Failed => "It failed",
        ActState::Interrupted => "It was interrupted",
        ActState::Skipped | ActState::Done => "It was not begun",
    };
    if act.note.is_empty() { format!("{end}.") } else { format!("{end}: {}", act.note) }
}

fn missing_in_drive(drive: &DriveEvidence, tell: &mut impl FnMut(&str, String)) {
    if !drive.complete {
        let planned = counted(drive.arrivals_planned, "planned arrival", "planned arrivals");
        let sent = counted(drive.requests, "measured request was", "measured requests were");
        tell("rest of the load", format!("Of {planned}, {sent} sent before the load ended early."));
    }
    for mode in Side::BOTH {
        if drive.overall.get(&mode).is_none_or(|side| side.requests == 0) {
            let why = format!("Not one request was measured in {} mode.", mode.as_str());
            tell(&format!("latency, {}", mode.as_str()), why);
        }
    }
    if drive.comparison.as_ref().is_none_or(|comparison| comparison.pairs < 2) {
        let why = "Fewer than two pairs of windows have a p95 on both sides.";
        tell("comparison of the modes", why.to_owned());
    }
}

fn missing_in_diff(what: &str, diff: &DiffEvidence, tell: &mut impl FnMut(&str, String)) {
    if !diff.complete {
        let orgs = counted(diff.orgs_checked, "org was", "orgs were");
        let reason = match diff.incomplete_reason.as_str() {
            "" => "no reason is recorded",
            reason => reason,
        };
        tell(
            what,
            format!("It is not complete ({reason}); {orgs} checked. The rest is not known."),
        );
    } else if diff.tables.is_empty() || diff.orgs_checked == 0 {
        tell(what, "It compared nothing: no table pair or no org.".to_owned());
    }
}

/// Where the record contradicts its own verdict. One such sentence is enough not to act on it.
pub fn contradictions(record: &RunRecord) -> Vec<String> {
    if !is_judged(record) {
        return Vec::new();
    }
    let verdict = &record.verdict;
    let mut list = Vec::new();
    if !verdict.exit_code.fits(verdict.decision) {
        let (label, code) = (verdict.decision.label(), verdict.exit_code);
        list.push(format!("The decision is {label}, yet the exit code is {code}."));
    }
    if verdict.decision != Decision::Go {
        return list;
    }
    let binding = || record.criteria.iter().filter(|c| c.kind != Kind::Advice);
    let open = binding().filter(|c| c.state != State::Pass).count() as u64;
    if open > 0 {
        let which = counted(open, "criterion is", "criteria are");
        list.push(format!("The decision is GO, yet {which} not passed."));
    }
    if binding().next().is_none() {
        list.push("The decision is GO, yet no binding criterion was judged.".to_owned());
    }
    if let Some(diff) = &record.diff {
        let rows = total(diff).total();
        if rows > 0 || diff.orgs_diverged > 0 {
            let rows = count(rows);
            list.push(format!("The decision is GO, yet the diff has {rows} row findings."));
        }
        if !diff.complete {
            list.push("The decision is GO, yet the diff is not complete.".to_owned());
        }
    }
    list
}

/// What the write-ahead log told of the writes made meanwhile, if it was followed.
pub(super) fn followed_log(diff: &DiffEvidence) -> Option<String> {
    let wal = diff.wal.as_ref()?;
    let (transactions, changes) = (count(wal.transactions), count(wal.changes));
    let verdict = match wal.diverged {
        0 => "each of which changed both sides alike".to_owned(),
        diverged => format!("{} of which changed one side only", count(diverged)),
    };
    Some(format!(
        "the write-ahead log holds {transactions} transactions with {changes} changes, {verdict}"
    ))
}

/// When a diff was made, as a heading.
pub fn diff_title(diff: &DiffEvidence) -> &'static str {
    match diff.phase {
        DiffPhase::Alone => "Without a load",
        DiffPhase::Before => "Before the load",
        DiffPhase::After => "After the load",
        DiffPhase::Drill => "In a drill",
    }
}

/// The word for how an act ended.
pub fn act_label(state: ActState) -> &'static str {
    match state {
        ActState::Done => "done",
        ActState::Failed => "failed",
        ActState::Interrupted => "interrupted",
        ActState::Skipped => "skipped",
    }
}

/// How long an act took; nothing for one that was not begun.
pub fn act_duration(act: &Act) -> String {
    match act.state {
        ActState::Skipped => NOTHING.to_owned(),
        _ => duration(act.duration_s),
    }
}

/// Row findings of all tables together.
pub fn total(diff: &DiffEvidence) -> Counts {
    let mut total = Counts::default();
    for table in &diff.tables {
        total.add(&table.counts);
    }
    total
}

/// The criteria, failed ones first, then undecided ones; within a state the weightier kind first.
pub fn ordered_criteria(record: &RunRecord) -> Vec<&Criterion> {
    let mut criteria: Vec<&Criterion> = record.criteria.iter().collect();
    criteria.sort_by_key(|c| (c.kind == Kind::Advice, state_rank(c.state), kind_rank(c.kind)));
    criteria
}

fn state_rank(state: State) -> u8 {
    match state {
        State::Fail => 0,
        State::Unknown => 1,
        State::Pass => 2,
    }
}

fn kind_rank(kind: Kind) -> u8 {
    match kind {
        Kind::Record => 0,
        Kind::Integrity => 1,
        Kind::Validity => 2,
        Kind::Performance => 3,
        Kind::Advice => 4,
    }
}

/// The word for a kind of criterion.
pub fn kind_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Record => "record",
        Kind::Integrity => "integrity",
        Kind::Validity => "validity",
        Kind::Performance => "performance",
        Kind::Advice => "advice",
    }
}

/// The name of a decision in a style sheet.
pub fn tone(decision: Decision) -> &'static str {
    match decision {
        Decision::Go => "go",
        Decision::NoGo => "no-go",
        Decision::Inconclusive => "inconclusive",
        Decision::Invalid => "invalid",
    }
}

/// The word for a state.
pub fn state_label(state: State) -> &'static str {
    match state {
        State::Pass => "pass",
        State::Fail => "fail",
        State::Unknown => "unknown",
    }
}

/// What a decision means, in one sentence.
pub fn meaning(decision: Decision) -> &'static str {
    match decision {
        Decision::Go => "Every binding criterion was measured and passed.",
        Decision::NoGo => "At least one criterion was measured and failed.",
        Decision::Inconclusive => "There is too little evidence to decide. That is not a pass.",
        Decision::Invalid => "The measurement cannot be trusted. That is not a pass.",
    }
}

/// Which of the handbook's gates the run is about: `staging`, `increment to 10 %`.
pub fn gate_name(record: &RunRecord) -> String {
    let phase = record.phase.as_str();
    match record.increment_percent {
        Some(percent) => format!("{phase} to {percent} %"),
        None => phase.to_owned(),
    }
}
