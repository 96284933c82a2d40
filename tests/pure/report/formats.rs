//! Markdown and JUnit: what each state reads like, and what they make of hostile text.

use cutover::evidence::run_record::RunRecord;
use cutover::evidence::verdict::{Kind, State};
use cutover::report::{junit, markdown};
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};

use crate::report::build::{self, states};

#[test]
fn markdown_of_every_state() {
    for (name, record) in states() {
        insta::assert_snapshot!(format!("{name}.md"), markdown::render(&record));
    }
}

#[test]
fn junit_of_every_state() {
    for (name, record) in states() {
        insta::assert_snapshot!(format!("{name}.xml"), junit::render(&record));
    }
}

#[test]
fn hostile_text_makes_neither_markup_nor_cells_nor_mentions_in_markdown() {
    let text = markdown::render(&build::hostile());
    for bad in ["<script", "<img", "</style>", "@everyone", "\u{202e}", "\u{0}", "https://evil"] {
        assert!(!text.contains(bad), "{bad:?} in\n{text}");
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut width = None;
    for line in text.lines() {
        match line.starts_with('|') {
            true => assert_eq!(*width.get_or_insert(cells(line)), cells(line), "{line}"),
            false => width = None,
        }
    }
}

#[test]
fn markdown_fits_into_a_comment_on_a_pull_request() {
    let mut record = build::hostile();
    let criterion = record.criteria[0].clone();
    record.criteria = vec![criterion; 500];
    record.verdict.reasons = vec!["<".repeat(5_000); 500];
    let text = markdown::render(&record);
    assert!(text.len() < 65_536, "{} bytes", text.len());
    assert!(text.contains("Too long for this page"));
}

/// Failures and errors of a JUnit file as a CI system would count them.
fn counts(record: &RunRecord) -> (Report, usize, usize) {
    let xml = junit::render(record);
    let report = Report::deserialize_from_str(&xml).unwrap_or_else(|e| panic!("{e}\n{xml}"));
    let of = |wanted: NonSuccessKind| {
        let cases = report.test_suites.iter().flat_map(|suite| &suite.test_cases);
        cases
            .filter(|case| match &case.status {
                TestCaseStatus::NonSuccess { kind, .. } => *kind == wanted,
                _ => false,
            })
            .count()
    };
    let (failures, errors) = (of(NonSuccessKind::Failure), of(NonSuccessKind::Error));
    assert_eq!((report.failures, report.errors), (failures, errors));
    (report, failures, errors)
}

#[test]
fn junit_is_red_for_everything_but_go() {
    let expected = [
        ("go", (0, 0)),
        ("no_go_performance", (4, 0)),
        ("no_go_integrity", (3, 0)),
        ("inconclusive", (0, 3)),
        ("interrupted", (0, 1)),
        ("empty", (0, 1)),
    ];
    for ((name, record), (same, (failures, errors))) in states().into_iter().zip(expected) {
        assert_eq!(name, same);
        let (_, f, e) = counts(&record);
        assert_eq!((f, e), (failures, errors), "{name}");
    }
}

#[test]
fn advice_never_fails_and_a_contradicted_go_does() {
    let mut record = build::go();
    let advice = record.criteria.iter_mut().find(|c| c.kind == Kind::Advice);
    advice.expect("the builder gives advice").state = State::Fail;
    let (_, failures, errors) = counts(&record);
    assert_eq!((failures, errors), (0, 0));
    record.criteria.clear();
    let (_, failures, errors) = counts(&record);
    assert_eq!((failures, errors), (0, 1));
}

#[test]
fn hostile_text_leaves_junit_valid() {
    let xml = junit::render(&build::hostile());
    counts(&build::hostile());
    let forbidden = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}');
    assert_eq!(xml.chars().find(|c| forbidden(*c)), None);
    assert!(!xml.contains("<script>"));
}
