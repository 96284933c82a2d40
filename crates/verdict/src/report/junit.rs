//! `junit.xml`: a suite for each kind of criterion, a case for each criterion.
//!
//! A measured failure is a `<failure>`, missing evidence an `<error>`; advice never fails. The
//! verdict itself is the last case, so that a run without a single failed criterion is still red
//! where it is INCONCLUSIVE or INVALID.

use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::facts::{self, kind_label};
use super::text::clip;
use cutover_error::foreign;
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Criterion, Decision, Kind, State};

/// Characters of one foreign text.
const TEXT_LIMIT: usize = 2000;

/// The suites in the order in which they decide.
const KINDS: [Kind; 5] =
    [Kind::Record, Kind::Integrity, Kind::Validity, Kind::Performance, Kind::Advice];

/// The report as XML.
pub fn render(record: &RunRecord) -> String {
    let mut report = Report::new("cutover");
    if let Ok(started) = DateTime::parse_from_rfc3339(&record.started_at) {
        report.set_timestamp(started);
    }
    if let Ok(took) = Duration::try_from_secs_f64(record.duration_s) {
        report.set_time(took);
    }
    for kind in KINDS {
        let mut cases = record.criteria.iter().filter(|c| c.kind == kind).peekable();
        if cases.peek().is_some() {
            let mut suite = TestSuite::new(kind_label(kind));
            suite.add_test_cases(cases.map(case));
            report.add_test_suite(suite);
        }
    }
    let mut suite = TestSuite::new("verdict");
    suite.add_test_case(verdict(record));
    report.add_test_suite(suite);
    report.to_string().expect("writing to memory cannot fail, and every text is made valid XML")
}

fn case(criterion: &Criterion) -> TestCase {
    let measured = criterion.measured.as_deref().unwrap_or("nothing");
    let figures = format!("measured {measured}, limit {}", criterion.limit);
    let (kind, word) = match (criterion.kind, criterion.state) {
        (Kind::Advice, _) | (_, State::Pass) => (None, ""),
        (_, State::Fail) => (Some(NonSuccessKind::Failure), "fail"),
        (_, State::Unknown) => (Some(NonSuccessKind::Error), "unknown"),
    };
    let mut case = match kind {
        None => TestCase::new(safe(&criterion.title), TestCaseStatus::success()),
        Some(kind) => {
            let needs = format!("needs: {}", criterion.evidence);
            let source = format!("source: {}", criterion.source);
            let action = format!("asks for: {}", criterion.action.label());
            let lines = [&criterion.note, &figures, &needs, &source, &action];
            let lines = lines.into_iter().filter(|line| !line.is_empty());
            let text = lines.map(|line| safe(line)).collect::<Vec<_>>().join("\n");
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(word).set_message(safe(&figures)).set_description(text);
            TestCase::new(safe(&criterion.title), status)
        }
    };
    case.set_classname(safe(&format!("cutover.{}.{}", kind_label(criterion.kind), criterion.id)));
    if kind.is_none() {
        let state = facts::state_label(criterion.state);
        let said = match criterion.kind {
            Kind::Advice => format!("advice, decides nothing: {state}, {figures}"),
            _ => figures,
        };
        case.set_system_out(format!("{}\n{}", safe(&said), safe(&criterion.note)).trim_end());
    }
    case
}

fn verdict(record: &RunRecord) -> TestCase {
    let verdict = &record.verdict;
    let contradictions = facts::contradictions(record);
    let kind = match verdict.decision {
        _ if !contradictions.is_empty() => Some(NonSuccessKind::Error),
        Decision::Go => None,
        Decision::NoGo => Some(NonSuccessKind::Failure),
        Decision::Inconclusive | Decision::Invalid => Some(NonSuccessKind::Error),
    };
    let headline = format!("{}: {}", verdict.decision.label(), verdict.action.label());
    let mut lines = contradictions;
    lines.extend(verdict.reasons.iter().cloned());
    let missing = facts::missing(record);
    lines.extend(missing.into_iter().map(|m| format!("missing: {}: {}", m.what, m.why)));
    lines.extend(verdict.steps.iter().enumerate().map(|(i, step)| format!("{}. {step}", i + 1)));
    let text = lines.iter().map(|line| safe(line)).collect::<Vec<_>>().join("\n");
    let name = "the verdict is GO";
    let mut case = match kind {
        None => {
            let mut case = TestCase::new(name, TestCaseStatus::success());
            case.set_system_out(format!("{headline}\n{text}").trim_end());
            case
        }
        Some(kind) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(verdict.decision.label()).set_message(headline).set_description(text);
            TestCase::new(name, status)
        }
    };
    case.set_classname("cutover.verdict");
    case
}

/// Foreign text that XML allows, and that a viewer shows as it is, on one line.
fn safe(text: &str) -> String {
    foreign::line(&clip(text, TEXT_LIMIT)).into_owned()
}
