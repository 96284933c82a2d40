//! The page: whole, harmless, readable without eyes, and plain about what is missing.

use cutover::evidence::run_record::RunRecord;
use cutover::evidence::verdict::{Decision, State};
use cutover::report::html::render;

use crate::report::build::{self, EVIL, states};
use crate::report::page::Page;
use cutover::evidence::exit::Exit;

fn page(record: &RunRecord) -> Page {
    let html = render(record);
    Page::parse(&html).unwrap_or_else(|problem| panic!("{problem}\n{html}"))
}

#[test]
fn every_page_is_whole_and_needs_nothing_but_itself() {
    for (name, record) in states().into_iter().chain([("hostile", build::hostile())]) {
        let page = page(&record);
        assert_eq!(page.reaches_out(), Vec::<String>::new(), "{name}");
        assert_eq!(page.barriers(), Vec::<String>::new(), "{name}");
        let html = render(&record);
        for loading in ["url(", "@import", "<script", "javascript:"] {
            let style = html.split("</style>").next().expect("a page has a style");
            assert!(!style.contains(loading), "{name}: {loading}");
        }
        assert!(html.contains("Content-Security-Policy"), "{name}");
    }
}

#[test]
fn the_same_record_gives_the_same_bytes() {
    assert_eq!(render(&build::hostile()), render(&build::hostile()));
}

#[test]
fn the_verdict_comes_first_and_whole() {
    for (name, record) in states() {
        let words = page(&record).words();
        let verdict = &record.verdict;
        let place = |text: &str| words.find(text).unwrap_or_else(|| panic!("{name}: no {text:?}"));
        let label = place(&format!("Verdict for {}", gate(&record)));
        assert!(label < place("Criteria"), "{name}");
        assert!(words.contains(verdict.decision.label()), "{name}");
        assert!(words.contains(verdict.action.label()), "{name}");
        for text in verdict.reasons.iter().chain(&verdict.steps) {
            assert!(place(text) < place("Performance Time line"), "{name}: {text}");
        }
        if !record.criteria.is_empty() && verdict.exit_code != Exit::OK {
            place(&format!("Exit code {}", verdict.exit_code));
        }
    }
}

fn gate(record: &RunRecord) -> &str {
    record.phase.as_str()
}

#[test]
fn failed_criteria_come_before_undecided_ones_and_those_before_passed_ones() {
    let mut record = build::no_go_performance();
    record.criteria[0].state = State::Unknown;
    record.criteria[0].measured = None;
    let words = page(&record).words();
    let at = |title: &str| words.find(title).unwrap_or_else(|| panic!("{title} is not shown"));
    assert!(at("p95 against legacy, all operations") < at("Every act ran to its end"));
    assert!(at("Every act ran to its end") < at("Not one row differs after the load"));
    assert!(words.contains("3 failed, 1 unknown, 6 passed."));
    assert!(words.contains("not measured"));
}

#[test]
fn what_is_missing_is_said_and_never_shown_as_good() {
    for record in [build::interrupted(), RunRecord::default()] {
        let page = page(&record);
        let words = page.words();
        for sentence in [
            "What is missing",
            "No load was measured",
            "No diff was made, so nobody knows whether a row differs.",
            "Not one criterion was judged, so nothing was passed.",
            "The platform was not observed",
        ] {
            assert!(words.contains(sentence), "{sentence}");
        }
        let tiles = page.elements.iter().filter(|e| {
            e.get("class").is_some_and(|class| class.starts_with("tile ")) && e.name == "div"
        });
        let tones: Vec<_> = tiles.map(|tile| tile.get("class").unwrap_or("")).collect();
        assert_eq!(tones, ["tile doubtful"; 4]);
    }
    let words = page(&build::interrupted()).words();
    assert!(words.contains("It was interrupted: stopped by a signal after 412,000 rows"));
    let words = page(&RunRecord::default()).words();
    assert!(words.contains("The gate has not judged this record; that is not a pass."));
    assert!(words.contains("Exit code – · not judged"));
}

#[test]
fn an_incomplete_diff_without_findings_is_not_good() {
    let mut record = build::go();
    let diff = record.diff.as_mut().expect("a good run has a diff");
    diff.complete = false;
    diff.incomplete_reason = "the server went away".into();
    diff.orgs_checked = 12;
    let page = page(&record);
    assert!(page.words().contains("This comparison is not complete: the server went away"));
    assert!(page.words().contains("The decision is GO, yet the diff is not complete."));
    let tiles: Vec<_> = page
        .elements
        .iter()
        .filter_map(|e| e.get("class"))
        .filter(|c| c.starts_with("tile "))
        .collect();
    assert_eq!(tiles[1], "tile doubtful");
}

#[test]
fn a_go_that_the_record_does_not_bear_out_is_called_a_contradiction() {
    let flag = "This record contradicts itself: do not act on it";
    assert!(!page(&build::go()).words().contains(flag));
    type Spoil = fn(&mut RunRecord);
    let spoil: [(&str, Spoil); 5] = [
        ("a failed criterion", |r| r.criteria[3].state = State::Fail),
        ("an unknown criterion", |r| r.criteria[3].state = State::Unknown),
        ("no criterion", |r| r.criteria.clear()),
        ("a row finding", |r| r.diff.as_mut().expect("has one").tables[0].counts.missing = 1),
        ("a wrong exit code", |r| r.verdict.exit_code = Exit::NO_GO_PERFORMANCE),
    ];
    for (what, spoil) in spoil {
        let mut record = build::go();
        spoil(&mut record);
        assert!(page(&record).words().contains(flag), "{what}");
    }
    let mut record = build::no_go_integrity();
    record.verdict.decision = Decision::Invalid;
    assert!(page(&record).words().contains("The decision is INVALID, yet the exit code is 11."));
}

#[test]
fn drawings_say_in_words_what_they_show() {
    let record = build::no_go_performance();
    let page = page(&record);
    let label = |start: &str| {
        let mut labels = page.all("svg").filter_map(|svg| svg.get("aria-label"));
        labels.find(|label| label.starts_with(start)).unwrap_or_else(|| panic!("no {start}"))
    };
    let forest = label("Ratio of p95");
    let drive = record.drive.as_ref().expect("has a load");
    for operation in &drive.operations {
        assert!(forest.contains(&operation.name), "{forest}");
        label(&format!("Response time by percentile, {}.", operation.name));
    }
    assert!(forest.contains("year_report 1.372 (1.289 to 1.454)"), "{forest}");
    let curve = label("Response time by percentile, all operations.");
    assert!(curve.contains("p95 6.90 ms") && curve.contains("p95 8.88 ms"), "{curve}");
    assert!(label("Response-time p95").contains("21 requests failed or skipped, in 7 seconds"));
    assert!(label("Cache hit rate").contains("away in 1 span"));
}

#[test]
fn the_loss_of_the_external_cache_is_told_in_words() {
    let words = page(&build::no_go_performance()).words();
    assert!(words.contains(
        "The external cache was lost: 7 of 41 looks found it away, the first at 180 s and the last \
         at 240 s. It was back at the end."
    ));
    assert!(page(&build::go()).words().contains("The external cache was never lost."));
    let mut record = build::go();
    for look in &mut record.observations {
        look.cache_available = None;
    }
    assert!(page(&record).words().contains("No look learned whether the external cache answered."));
}

#[test]
fn rows_that_differ_are_shown_column_by_column() {
    let page = page(&build::no_go_integrity());
    let words = page.words();
    assert!(words.contains("mismatched expense org 4711 id = 881201"), "{words}");
    assert!(words.contains("amount (differs) 12.50 12.05"), "{words}");
    assert!(words.contains("trigger_disabled"), "{words}");
    assert!(page.all("mark").count() >= 2);
}

#[test]
fn hostile_text_stays_text() {
    let html = render(&build::hostile());
    let page = Page::parse(&html).expect("hostile text does not break the page");
    assert_eq!(page.all("style").count(), 1);
    assert!(page.text.contains("<script>alert(1)</script>"), "it is shown as it is");
    assert!(page.text.contains("⟨U+202E⟩gnirts⟨U+0000⟩⟨U+001B⟩[31m"), "what acts is made visible");
    assert!(page.text.contains("{{ 7*7 }}"), "templates in it are not rendered");
    let acting = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert_eq!(html.chars().find(|c| acting(*c)), None);
    assert!(EVIL.chars().any(acting), "the example does hold such characters");
    assert!(!html.contains(&"x".repeat(1_300)), "a text is cut before it floods the page");
}
