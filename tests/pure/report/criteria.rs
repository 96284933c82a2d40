//! The table of criteria in `docs/verdict.md` is the one the gate judges by.

use std::collections::BTreeSet;
use std::path::Path;

use cutover::evidence::verdict::Kind;
use cutover::gate;

use crate::report::build;
use cutover::evidence::criterion::CriterionId;
use cutover::evidence::exit::Exit;

/// Set to anything, writes the table instead of comparing it.
const WRITE: &str = "CUTOVER_WRITE_CRITERIA";
const BEGIN: &str = "<!-- criteria: written by the tests -->\n";
const END: &str = "<!-- end of criteria -->";

#[test]
fn the_table_of_the_docs_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verdict.md");
    let page = std::fs::read_to_string(&path).expect("docs/verdict.md is there");
    let (head, rest) = page.split_once(BEGIN).expect("it says where the table begins");
    let (there, tail) = rest.split_once(END).expect("and where it ends");
    let made = gate::criteria_table();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{made}{END}{tail}")).expect("writable");
        return;
    }
    assert!(there == made, "docs/verdict.md has another table; {WRITE}=1 writes it anew");
}

#[test]
fn the_gate_judges_by_what_is_listed_and_by_all_of_it() {
    let mut record = build::go();
    gate::judge(&mut record);
    let judged: BTreeSet<CriterionId> = record.criteria.iter().map(|c| c.id).collect();
    let listed: BTreeSet<CriterionId> = gate::CRITERIA.iter().map(|spec| spec.id).collect();
    assert!(judged.is_subset(&listed), "{judged:?}");
    // Those that a run with everything in it does not have, are said to have a condition.
    let conditional = gate::CRITERIA.iter().filter(|spec| !spec.only.is_empty()).map(|s| s.id);
    let conditional: BTreeSet<CriterionId> = conditional.collect();
    let absent: Vec<_> = listed.difference(&judged).collect();
    assert!(absent.iter().all(|id| conditional.contains(*id)), "{absent:?}");
    for criterion in &record.criteria {
        assert!(!criterion.limit.contains('{'), "{}: {}", criterion.id, criterion.limit);
        assert!(criterion.source.starts_with("handbook: "), "{}", criterion.source);
    }
    let binding = record.criteria.iter().filter(|c| c.kind != Kind::Advice).count();
    assert!(binding > 15, "{binding} criteria decide");
}

#[test]
fn columns_that_nobody_compared_are_told_with_the_verdict() {
    let mut record = build::go();
    record.target.pairs[0].ignore = vec!["meta".into(), "note".into()];
    gate::judge(&mut record);
    assert_eq!(record.verdict.exit_code, Exit::OK, "{:?}", record.verdict);
    let told = "; the configuration ignores revenue.meta, revenue.note";
    let told = record.verdict.reasons.iter().filter(|why| why.ends_with(told));
    assert_eq!(told.count(), 1, "{:?}", record.verdict.reasons);
}
