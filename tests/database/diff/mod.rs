//! The diff against real databases.

mod cases;
mod command;
mod faults;
mod firing;
mod groups;
mod guards;
mod horizon;
mod hostile;
mod leaves;
mod limits;
mod live;
mod log;
mod probe;
mod pruning;
mod repair;
mod shards;
mod tried;
mod trouble;
mod values;
mod waiters;
mod wal;
mod ways;

use crate::support;
use std::path::Path;
use std::time::Duration;

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options};
use cutover::error::{Error, Result};
use cutover::evidence::finding::{DiffEvidence, Finding};

const BOTH: [Digest; 2] = [Digest::Client, Digest::Server];

/// Rows enough to be killed in the middle of; carried to the twin by the trigger.
const MANY_ROWS: &str = "
INSERT INTO revenue_transactions (id, org_id, date, amount)
SELECT i, i % 997 + 1, current_date - (i % 60)::int, i FROM generate_series(10001, 30000) AS i;
SELECT setval('revenue_transactions_id_seq', 1000000000)";

fn revenue() -> Vec<TablePair> {
    vec![TablePair::reference().remove(0)]
}

/// A pair that is tied by whatever triggers there are.
fn pair(legacy: &str, partitioned: &str) -> TablePair {
    TablePair {
        name: legacy.into(),
        legacy: legacy.into(),
        partitioned: partitioned.into(),
        trigger: None,
        changed_at: None,
        ..TablePair::reference().remove(0)
    }
}

/// The classes of rows that differ and of the catalog's errors, each once.
fn errors(findings: &[Finding]) -> String {
    let is_error = |finding: &&Finding| !finding.is_of_catalog() || finding.is_error();
    let mut classes: Vec<&str> =
        findings.iter().filter(is_error).map(|finding| finding.class.word()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes.join(", ")
}

fn key(finding: &Finding) -> String {
    let id = finding.key.get("id").cloned().flatten().unwrap_or_default();
    format!("{} {id}", finding.class)
}

/// Tables whose rows are fat, so that one COPY outlasts every buffer on the way.
async fn fat_database() -> (support::TestDatabase, Vec<TablePair>) {
    let database = support::database();
    let sql = "
        CREATE TABLE fat (id bigint PRIMARY KEY, org_id bigint NOT NULL, body text NOT NULL);
        CREATE TABLE fat_partitioned (LIKE fat, PRIMARY KEY (id, org_id)) PARTITION BY HASH (org_id);
        CREATE TABLE fat_all PARTITION OF fat_partitioned FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO fat SELECT i, i % 10, repeat(md5(i::text), 50) FROM generate_series(1, 20000) AS i;
        INSERT INTO fat_partitioned SELECT * FROM fat";
    support::execute(&database.url, sql).await;
    let pair = TablePair {
        name: "fat".into(),
        legacy: "fat".into(),
        partitioned: "fat_partitioned".into(),
        trigger: None,
        changed_at: None,
        ..TablePair::reference().remove(0)
    };
    (database, vec![pair])
}

async fn compare_into(
    url: &str,
    tables: &[TablePair],
    options: &Options,
    out: &Path,
) -> Result<(DiffEvidence, Vec<Finding>)> {
    let evidence = diff::run(url, tables, options, out, &ActContext::silent()).await?;
    let lines = std::fs::read_to_string(out.join("findings.jsonl")).expect("findings.jsonl");
    let findings = lines.lines().map(|line| serde_json::from_str(line).expect("a finding"));
    Ok((evidence, findings.collect()))
}

/// Applies `repair.sql` as people are told to; what it says on its error output if it fails.
fn repair(url: &str, out: &Path) -> std::result::Result<(), String> {
    let psql = assert_cmd::Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(out.join("repair.sql"))
        .arg(url)
        .output()
        .expect("psql starts");
    let told = String::from_utf8_lossy(&psql.stderr).into_owned();
    if psql.status.success() { Ok(()) } else { Err(told) }
}

/// Runs a diff that must fail and leave nothing behind.
async fn fails(url: &str, pairs: &[TablePair], options: &Options) -> Error {
    let out = tempfile::tempdir().expect("a folder");
    let outcome = diff::run(url, pairs, options, out.path(), &ActContext::silent()).await;
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
    outcome.expect_err("cannot be compared")
}

/// Whether a server is of this version or a later one.
async fn is_at_least(url: &str, version: i32) -> bool {
    let mut connection = cutover::pg::connect(url).await.expect("the server is up");
    let number = "SELECT current_setting('server_version_num')::int / 10000";
    let found: i32 = sqlx::query_scalar(number).fetch_one(&mut connection).await.expect("a number");
    found >= version
}

/// Whether a comparison has put a checkpoint in place.
fn is_something_saved(out: &Path) -> bool {
    let is_whole = |file: std::io::Result<std::fs::DirEntry>| {
        file.is_ok_and(|file| file.path().extension().is_none())
    };
    std::fs::read_dir(out.join("checkpoint")).is_ok_and(|mut files| files.any(is_whole))
}

/// Waits until a comparison has put a checkpoint in place, or has come to its end.
async fn something_is_saved(out: &Path, mut has_ended: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_something_saved(out) || has_ended() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was saved within a minute");
}
