//! What the load wrote, and what became of it.

use serde::Serialize;

use super::clip;
use super::integrity::{Sample, sample};
use crate::report::text::{self, count};
use cutover_evidence::class::WriteFault;
use cutover_evidence::ledger::LedgerEvidence;

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
    let class = |(fault, number): (WriteFault, u64)| Class {
        name: fault.word(),
        meaning: meaning(fault),
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
        classes: ledger.counts.by_fault().map(class).collect(),
        not_noted: clip(&not_noted.join(", ")),
        clean: ledger.complete && ledger.writes > 0 && ledger.counts.total() == 0,
        duration: text::duration(ledger.duration_s),
        total: count(ledger.counts.total()),
        open: samples,
        more,
    }
}

fn meaning(fault: WriteFault) -> &'static str {
    match fault {
        WriteFault::Lost => "acknowledged, and its effect is on neither side",
        WriteFault::Phantom => "refused, and its effect is there",
        WriteFault::Doubled => "its row stands more than once",
        WriteFault::Torn => "there in part: on one side only, or with some of its columns",
        WriteFault::Stale => "was there, and older values are there now",
        WriteFault::Altered => "the row holds what no write of this load put there",
    }
}
