//! Every fault of the catalogue, planted in a real database: SQL in, exact findings out.
//!
//! A case is a file of `tests/diff_cases/`; a new one needs no code. Each expected line reads
//! `table class`, then for a row `org=… key=…`, for a catalog finding its severity, then
//! `columns=…` and for catalog findings and misrouted rows `partition=…`. A date of a key is told
//! as days from today.

mod support;

use std::path::{Path, PathBuf};

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Options};
use cutover::evidence::finding::{DiffEvidence, Finding, Severity};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    fault: String,
    sql: String,
    expect: Vec<String>,
    #[serde(default = "TablePair::reference")]
    tables: Vec<TablePair>,
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diff_cases");
    let files = std::fs::read_dir(folder).expect("the folder of cases").map(|f| f.expect("a file"));
    let mut cases: Vec<_> = files
        .map(|f| f.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

async fn reference_database() -> support::TestDatabase {
    let database = support::database().await;
    for sql in [
        include_str!("../src/platform/migrations/0001_tables.sql"),
        include_str!("../src/platform/migrations/0002_partitioned_twins.sql"),
        include_str!("../src/platform/migrations/0003_dual_write.sql"),
        include_str!("diff_cases/base.sql"),
    ] {
        support::execute(&database.url, sql).await;
    }
    database
}

/// Runs a diff and returns its evidence with every line of `findings.jsonl`.
async fn compare(url: &str, tables: &[TablePair]) -> (DiffEvidence, Vec<Finding>) {
    let out = tempfile::tempdir().expect("a folder");
    let context = ActContext::silent();
    let evidence = diff::run(url, tables, &Options::default(), out.path(), &context).await;
    let evidence = evidence.unwrap_or_else(|e| panic!("{e}; {:?}", e.hint()));
    let lines = std::fs::read_to_string(out.path().join("findings.jsonl")).expect("findings.jsonl");
    let findings = lines.lines().map(|line| serde_json::from_str(line).expect("a finding"));
    (evidence, findings.collect())
}

fn told(finding: &Finding) -> String {
    let mut text = format!("{} {}", finding.table, finding.class);
    match (&finding.org_id, finding.severity) {
        (Some(org), _) => text += &format!(" org={org}"),
        (None, Some(Severity::Error)) => text += " error",
        (None, _) => text += " advice",
    }
    for (column, value) in &finding.key {
        let value = value.clone().unwrap_or_else(|| "NULL".into());
        text += &format!(" {column}={}", days_from_today(&value).unwrap_or(value));
    }
    if !finding.columns.is_empty() {
        text += &format!(" columns={}", finding.columns.join(","));
    }
    let leaf_matters = finding.org_id.is_none() || finding.class == "misrouted";
    if let Some(leaf) = finding.partition.as_ref().filter(|_| leaf_matters) {
        text += &format!(" partition={leaf}");
    }
    text
}

fn days_from_today(value: &str) -> Option<String> {
    let date = chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?;
    Some((date - chrono::Utc::now().date_naive()).num_days().to_string())
}

#[tokio::test]
async fn each_fault_yields_its_own_findings_and_nothing_else() {
    let mut wrong = Vec::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).expect("a readable case");
        let case: Case =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let database = reference_database().await;
        support::execute(&database.url, &case.sql).await;
        let (evidence, findings) = compare(&database.url, &case.tables).await;
        let mut found: Vec<String> = findings.iter().map(told).collect();
        let mut expected = case.expect.clone();
        found.sort();
        expected.sort();
        if found != expected {
            wrong.push(format!("{}\n  expected {expected:#?}\n  found {found:#?}", case.fault));
        }
        let errors = findings.iter().filter(|f| f.severity == Some(Severity::Error)).count();
        let rows = findings.iter().filter(|f| f.org_id.is_some()).count();
        let counted: u64 = evidence.tables.iter().map(|table| table.counts.total()).sum();
        assert_eq!(evidence.integrity_errors, errors as u64, "{}", case.fault);
        assert_eq!(evidence.has_differences(), errors + rows > 0, "{}", case.fault);
        assert_eq!(counted, rows as u64, "{}", case.fault);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
