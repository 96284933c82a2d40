//! The catalogue's cases as the tests of the comparison use them: planted in a database at rest, and
//! what a diff found said in words.

use std::path::Path;

use cutover::drill::faults::{self, Case};
use cutover::evidence::class::FindingClass;
use cutover::evidence::finding::{Finding, Severity};

use crate::support;

/// The cases that are planted in tables, in the order of their names.
pub fn all() -> Vec<Case> {
    let mut cases = every();
    cases.retain(|case| case.misbehave.is_empty());
    assert!(cases.len() > 50, "only {} cases", cases.len());
    cases
}

/// Those that the platform is told to do, too.
pub fn every() -> Vec<Case> {
    faults::all().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_file_is_in_the_catalogue() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/faults");
    let files = std::fs::read_dir(folder).expect("the folder of cases").map(|f| f.expect("a file"));
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    let mut files: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)).collect();
    files.sort();
    let known: Vec<String> = every().into_iter().map(|case| case.name).collect();
    assert_eq!(known, files);
}

/// A database with the fault in it; `role` stands for `{role}`.
pub async fn plant(case: &Case, role: &str) -> support::TestDatabase {
    let database = support::reference_database().await;
    let planted = case.plant(&database.url, role, false).await;
    planted.unwrap_or_else(|error| panic!("{error}; {}", error.hint().unwrap_or_default()));
    database
}

/// A finding as a line of `expect`: `table class`, then for a row `org=… key=…`, for a catalog
/// finding its severity, then `columns=…` and for catalog findings and misrouted rows
/// `partition=…`. A date of a key is told as days from today.
pub fn told(finding: &Finding) -> String {
    let mut text = format!("{} {}", finding.table, finding.class);
    match (&finding.org_id, finding.severity) {
        (Some(org), _) => text += &format!(" org={org}"),
        (None, Some(Severity::Error)) => text += " error",
        (None, Some(Severity::Advice)) => text += " advice",
        (None, None) => text += " org=NULL",
    }
    for (column, value) in &finding.key {
        let value = value.clone().unwrap_or_else(|| "NULL".into());
        text += &format!(" {column}={}", days_from_today(&value).unwrap_or(value));
    }
    if !finding.columns.is_empty() {
        text += &format!(" columns={}", finding.columns.join(","));
    }
    let leaf_matters = finding.is_of_catalog() || finding.class.word() == "misrouted";
    if let Some(leaf) = finding.partition.as_ref().filter(|_| leaf_matters) {
        text += &format!(" partition={leaf}");
    }
    text
}

fn days_from_today(value: &str) -> Option<String> {
    let date = chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?;
    Some((date - chrono::Utc::now().date_naive()).num_days().to_string())
}

/// Which check sees findings of a class.
fn check_of(class: FindingClass) -> &'static str {
    match class.word() {
        "missing" | "extra" | "mismatched" | "duplicate" | "wrong_org" | "misrouted"
        | "null_key" => "rows",
        "trigger_column_missing" | "trigger_swallows_errors" | "trigger_coverage_unknown" => {
            "probe of the triggers"
        }
        "trigger_event_missing" => "triggers, catalog and probe",
        _ => "catalog",
    }
}

/// `docs/faults.md`: what is planted, how, and which check sees it.
pub fn scoreboard(cases: &[Case]) -> String {
    let mut text = String::from(
        "# Faults, planted and seen\n\n\
         Each line is a case file of `fixtures/faults/`, planted in a real database by `tests/database/diff/`: the \
         diff has to find\nexactly these classes, at the org and key that the file names, and nothing \
         else. `cutover drill faults` plants\nthem while a load runs: then these criteria have to fail, \
         and the verdict to ask for this action. This page is made from the files\n(`CUTOVER_WRITE_SCOREBOARD=1 cargo test --test diff \
         scoreboard`); a test fails where it is out of date.\n\n\
         | fault | planted | seen by | classes | criteria under load | action |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for case in cases {
        let classes = case.classes();
        let mut checks: Vec<&str> = classes.iter().map(|class| check_of(*class)).collect();
        checks.sort_unstable();
        checks.dedup();
        let seen = match (&case.refused, checks.is_empty()) {
            (Some(why), _) => format!("refuses to compare: {why}"),
            (None, true) if !case.under_load.seen_by.is_empty() => "a load alone".into(),
            (None, true) => "nothing to see".into(),
            (None, false) => checks.join(", "),
        };
        let how = case.planted();
        let under_load = words(&case.under_load.seen_by);
        let action = case.under_load.action.label();
        let fault = case.fault.replace('|', "\\|");
        text += &format!(
            "| {fault} | {how}: [{name}](../fixtures/faults/{name}.toml) | {seen} | {} | {under_load} \
             | {action} |\n",
            words(&classes),
            name = case.name
        );
    }
    text
}

fn words(of: &[impl ToString]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
