//! What the load wrote, and what became of it.

use serde::Serialize;

use super::clip;
use super::integrity::{Sample, sample};
use crate::evidence::ledger::LedgerEvidence;
use crate::report::text::{self, count};

/// Findings shown at once; the rest unfolds.
const OPEN: usize = 6;

#[derive(Serialize)]
pub(super) struct View {
    complete: bool,
    reason: String,
    writes: String,
    figures: Vec<Figure>,
    classes: Vec<Class>,
    not_noted: String,
    clean: bool,
    duration: String,
    total: String,
    open: Vec<Sample>,
    more: Vec<Sample>,
}

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Class {
    name: &'static str,
    meaning: &'static str,
    text: String,
    bad: bool,
}

pub(super) fn view(ledger: &LedgerEvidence) -> View {
    let mut samples: Vec<Sample> = ledger.findings.iter().map(sample).collect();
    let more = samples.split_off(samples.len().min(OPEN));
    let class = |(name, number): (&'static str, u64)| Class {
        name,
        meaning: meaning(name),
        text: count(number),
        bad: number > 0,
    };
    let figure = |(name, number): (&'static str, u64)| Figure { name, text: count(number) };
    let not_noted: Vec<&str> = ledger.not_noted.keys().map(String::as_str).collect();
    View {
        complete: ledger.complete,
        reason: clip(&ledger.incomplete_reason),
        writes: count(ledger.writes),
        figures: [
            ("acknowledged", ledger.ok),
            ("refused", ledger.fail),
            ("unknown", ledger.unknown),
            ("sent again", ledger.retried),
            ("rows looked up", ledger.rows_checked),
        ]
        .map(figure)
        .into(),
        classes: ledger.counts.by_class().map(class).into(),
        not_noted: clip(&not_noted.join(", ")),
        clean: ledger.complete && ledger.writes > 0 && ledger.counts.total() == 0,
        duration: text::duration(ledger.duration_s),
        total: count(ledger.counts.total()),
        open: samples,
        more,
    }
}

fn meaning(class: &str) -> &'static str {
    match class {
        "lost" => "acknowledged, and its effect is on neither side",
        "phantom" => "refused, and its effect is there",
        "doubled" => "its row stands more than once",
        "torn" => "there in part: on one side only, or with some of its columns",
        "stale" => "was there, and older values are there now",
        _ => "the row holds what no write of this load put there",
    }
}
