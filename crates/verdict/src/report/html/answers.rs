//! What the answers held: other orgs' data, and whether both sides answer alike.

use serde::Serialize;

use super::clip;
use super::integrity::{Sample, sample};
use crate::report::text::{self, count};
use cutover_evidence::answers::{IsolationEvidence, ParityEvidence};
use cutover_evidence::drive::DriveEvidence;
use cutover_evidence::finding::Finding;

/// Findings shown at once; the rest unfolds.
const OPEN: usize = 6;

#[derive(Serialize)]
pub(super) struct View {
    isolation: Option<Isolation>,
    parity: Option<Parity>,
}

#[derive(Serialize)]
struct Isolation {
    checked: String,
    leaks: String,
    clean: bool,
    samples: Samples,
}

#[derive(Serialize)]
struct Parity {
    asked: String,
    compared: String,
    differing: String,
    unsettled: String,
    unanswered: String,
    clean: bool,
    complete: bool,
    reason: String,
    duration: String,
    samples: Samples,
}

#[derive(Serialize)]
struct Samples {
    open: Vec<Sample>,
    more: Vec<Sample>,
}

pub(super) fn view(drive: &DriveEvidence) -> View {
    View {
        isolation: drive.isolation.as_ref().map(isolation),
        parity: drive.parity.as_ref().map(parity),
    }
}

fn isolation(isolation: &IsolationEvidence) -> Isolation {
    Isolation {
        checked: count(isolation.answers_checked),
        leaks: count(isolation.leaks),
        clean: isolation.leaks == 0,
        samples: samples(&isolation.findings),
    }
}

fn parity(parity: &ParityEvidence) -> Parity {
    Parity {
        asked: count(parity.asked),
        compared: count(parity.compared),
        differing: count(parity.differing),
        unsettled: count(parity.unsettled),
        unanswered: count(parity.unanswered),
        clean: parity.complete && parity.compared > 0 && parity.differing == 0,
        complete: parity.complete,
        reason: clip(&parity.incomplete_reason),
        duration: text::duration(parity.duration_s),
        samples: samples(&parity.findings),
    }
}

fn samples(findings: &[Finding]) -> Samples {
    let mut open: Vec<Sample> = findings.iter().map(sample).collect();
    let more = open.split_off(open.len().min(OPEN));
    Samples { open, more }
}
