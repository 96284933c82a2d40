//! Every fault of the catalogue, planted in a real database: SQL in, exact findings out.
//!
//! A case is a file of `tests/diff_cases/`; a new one needs no code. Each expected line reads
//! `table class`, then for a row `org=… key=…`, for a catalog finding its severity, then
//! `columns=…` and for catalog findings and misrouted rows `partition=…`. A date of a key is told
//! as days from today.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options};
use cutover::error::Error;
use cutover::evidence::finding::{DiffEvidence, Finding, Severity};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Executor};
use support::reference_database;

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

/// Runs a diff and returns its evidence with every line of `findings.jsonl`.
async fn compare(url: &str, tables: &[TablePair], digest: Digest) -> (DiffEvidence, Vec<Finding>) {
    support::compare(url, tables, &Options { digest, ..Options::default() }).await
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
        for digest in [Digest::Client, Digest::Server] {
            wrong.extend(found_wrong(&database.url, &case, digest).await);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a comparison found that was not planted, or did not find.
async fn found_wrong(url: &str, case: &Case, digest: Digest) -> Option<String> {
    let (evidence, findings) = compare(url, &case.tables, digest).await;
    let mut found: Vec<String> = findings.iter().map(told).collect();
    let mut expected = case.expect.clone();
    found.sort();
    expected.sort();
    let errors = findings.iter().filter(|f| f.severity == Some(Severity::Error)).count();
    let rows = findings.iter().filter(|f| f.org_id.is_some()).count();
    let counted: u64 = evidence.tables.iter().map(|table| table.counts.total()).sum();
    assert_eq!(evidence.integrity_errors, errors as u64, "{}", case.fault);
    assert_eq!(evidence.has_differences(), errors + rows > 0, "{}", case.fault);
    assert_eq!(counted, rows as u64, "{}", case.fault);
    (found != expected).then(|| {
        let fault = &case.fault;
        format!("{fault} ({digest:?})\n  expected {expected:#?}\n  found {found:#?}")
    })
}

/// A write that goes to both sides by trigger must never look like a difference, however the diff
/// and the writers interleave.
#[tokio::test(flavor = "multi_thread")]
async fn ten_diffs_by_each_way_during_dual_writes_and_date_moves_report_nothing() {
    let database = reference_database().await;
    let numbers = "SELECT setval('revenue_transactions_id_seq', 1000000000)";
    support::execute(&database.url, numbers).await;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            tokio::spawn(write_on(database.url.clone(), writer, stop.clone(), written.clone()))
        })
        .collect();
    while written.load(Ordering::Relaxed) < 30 {
        assert!(!writers.iter().any(|writer| writer.is_finished()), "a writer broke");
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    for round in 0..20 {
        let before = written.load(Ordering::Relaxed);
        let digest = if round % 2 == 0 { Digest::Client } else { Digest::Server };
        let (evidence, findings) = compare(&database.url, &TablePair::reference(), digest).await;
        assert_eq!(findings, [], "round {round}");
        assert!(evidence.complete && !evidence.has_differences(), "round {round}");
        assert!(
            written.load(Ordering::Relaxed) > before,
            "nothing was written during round {round}"
        );
    }
    let rate = written.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} writes a second");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("the writer did not break");
    }
}

async fn write_on(url: String, writer: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut connection = cutover::pg::connect(&url).await.expect("the server is up");
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        // Each writer has rows of its own, so that none waits for another's lock.
        let (id, org) = (1_000_000 * (writer + 1) + turn, turn % 7 + 1);
        let one_of_mine = 1_000_000 * (writer + 1) + turn / 2;
        let statements = [
            format!(
                "INSERT INTO revenue_transactions (id, org_id, date, amount)
                 VALUES ({id}, {org}, current_date - {}, {turn})",
                turn % 60
            ),
            format!("UPDATE revenue_transactions SET date = date - 31 WHERE id = {one_of_mine}"),
            format!("UPDATE revenue_transactions SET org_id = {org} + 1 WHERE id = {one_of_mine}"),
            format!("DELETE FROM revenue_transactions WHERE id = {}", one_of_mine / 3 * 2),
            format!(
                "INSERT INTO daily_cash_balances (org_id, property_id, balance_date, opening, closing)
                 VALUES ({org}, {writer} + 2, date '2020-01-01' + {turn}, 1, 2)"
            ),
        ];
        for statement in statements {
            connection.execute(AssertSqlSafe(statement)).await.expect("a correct write");
            written.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the command prints, writes and returns.
#[tokio::test]
async fn the_command_tells_identical_different_empty_and_wrong_apart() {
    let database = reference_database().await;
    let out = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::cargo_bin("cutover").expect("the binary");
        command.args(["diff", "--quiet", "--out"]).arg(out.path()).args(arguments);
        command.env("CUTOVER_DATABASE_URL", &database.url).assert()
    };
    let identical = run(&["--format", "json"]).code(0);
    let json: DiffEvidence =
        serde_json::from_slice(&identical.get_output().stdout).expect("one JSON object");
    assert_eq!((json.orgs_checked, json.orgs_diverged, json.complete), (4, 0, true));
    let orgs = std::fs::read_to_string(out.path().join("orgs.csv")).expect("orgs.csv");
    assert_eq!(
        orgs,
        "org_id,table,legacy_rows,partitioned_rows,row_delta,missing,extra,mismatched,duplicate,\
         wrong_org,misrouted\n"
    );
    run(&["--all-orgs"]).code(0);
    let orgs = std::fs::read_to_string(out.path().join("orgs.csv")).expect("orgs.csv");
    assert_eq!(orgs.lines().count(), 1 + 3 * 4);

    support::execute(
        &database.url,
        "UPDATE revenue_transactions_partitioned SET org_id = 4 WHERE id = 3;
         DELETE FROM expense_transactions_partitioned WHERE id = 1",
    )
    .await;
    let different = run(&[]).code(11);
    let text = String::from_utf8_lossy(&different.get_output().stdout).into_owned();
    assert!(text.starts_with("DIFFERENT: 2 of 4 orgs"), "{text}");
    assert!(text.contains("revenue org 1 id=3: wrong_org; org_id 1 ≠ 4"), "{text}");
    let orgs = std::fs::read_to_string(out.path().join("orgs.csv")).expect("orgs.csv");
    let lines: Vec<&str> = orgs.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "1,revenue,5,4,1,0,0,0,0,1,0",
            "4,revenue,5,6,-1,0,0,0,0,0,0",
            "1,expense,5,4,1,1,0,0,0,0,0"
        ]
    );

    let listed = out.path().join("orgs.txt");
    std::fs::write(&listed, "2 # untouched\n3\n").expect("a list");
    run(&["--orgs-file", listed.to_str().expect("a path")]).code(0);
    std::fs::write(&listed, "2\n12345\n").expect("a list");
    run(&["--orgs-file", listed.to_str().expect("a path")]).code(20);
    std::fs::write(&listed, "two\n").expect("a list");
    run(&["--orgs-file", listed.to_str().expect("a path")]).code(2);

    run(&["--table", "no_such"]).code(2);
    support::execute(&database.url, "TRUNCATE daily_cash_balances").await;
    run(&["--table", "cash_balance"]).code(20);
    run(&["--table", "cash_balance", "--allow-empty"]).code(0);
}

#[tokio::test]
async fn what_cannot_be_compared_is_said_and_leaves_no_file() {
    let database = reference_database().await;
    let out = tempfile::tempdir().expect("a folder");
    let options = Options::default();
    let context = ActContext::silent();
    let attempt = async |change: &dyn Fn(&mut TablePair)| {
        let mut pair = TablePair::reference().remove(0);
        change(&mut pair);
        let outcome = diff::run(&database.url, &[pair], &options, out.path(), &context).await;
        let left = std::fs::read_dir(out.path()).expect("the folder").count();
        assert_eq!(left, 0, "a file was left behind");
        outcome.expect_err("cannot be compared")
    };
    let usage = |error: Error, text: &str| {
        assert!(matches!(error, Error::Usage { .. }), "{error}");
        assert!(format!("{error} {:?}", error.hint()).contains(text), "{error} {:?}", error.hint());
    };
    usage(attempt(&|pair| pair.legacy = "public.nothing".into()).await, "revenue_transactions");
    usage(attempt(&|pair| pair.org = "tenant".into()).await, "property_id");
    usage(attempt(&|pair| pair.key = vec!["uid".into()]).await, "`uid`");
    usage(attempt(&|pair| pair.ignore = vec!["x".into()]).await, "`x`");
    usage(attempt(&|pair| pair.map = [("amount".into(), "sum".into())].into()).await, "`sum`");
    let role = format!("reader_{}", std::process::id());
    support::execute(&database.url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'reads'")).await;
    let mut url = url::Url::parse(&database.url).expect("a URL");
    url.set_username(&role).expect("a user");
    url.set_password(Some("reads")).expect("a password");
    let pairs = TablePair::reference();
    let refused = diff::run(url.as_str(), &pairs, &options, out.path(), &context).await;
    support::execute(
        &database.url,
        &format!(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
             GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};
             ALTER TABLE revenue_transactions ENABLE ROW LEVEL SECURITY"
        ),
    )
    .await;
    let hidden = diff::run(url.as_str(), &pairs, &options, out.path(), &context).await;
    support::execute(&database.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    for (outcome, text) in [(refused, "may not read"), (hidden, "row-level security")] {
        let error = outcome.expect_err("not readable");
        assert!(matches!(error, Error::Run { .. }) && error.to_string().contains(text), "{error}");
    }
    let stopped = ActContext::silent();
    stopped.stop.cancel();
    let outcome = diff::run(&database.url, &pairs, &options, out.path(), &stopped).await;
    assert!(matches!(outcome, Err(Error::Interrupted)));
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
}

/// Where the connection may be encrypted, sqlx reads it; the findings are the same. An address that
/// is not known to be this machine's is such a place.
#[tokio::test]
async fn a_connection_that_sqlx_reads_yields_the_same_findings() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "DELETE FROM revenue_transactions_partitioned WHERE id = 1;
         UPDATE expense_transactions_partitioned SET vendor = NULL WHERE id = 6",
    )
    .await;
    let mut elsewhere = url::Url::parse(&database.url).expect("a URL");
    elsewhere.set_host(Some("0.0.0.0")).expect("a host");
    let pairs = TablePair::reference();
    let (_, by_us) = compare(&database.url, &pairs, Digest::Client).await;
    let (_, by_sqlx) = compare(elsewhere.as_str(), &pairs, Digest::Client).await;
    assert_eq!(by_us.len(), 2);
    assert_eq!(by_us, by_sqlx);
}
