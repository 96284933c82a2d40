//! `cutover seed` as a process: exit codes, and what it prints.

use crate::support;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::TestDatabase;
use chrono::NaiveDate;
use cutover::{pg, platform};
use serde_json::Value;
use sqlx::PgConnection;

async fn connect(database: &TestDatabase) -> PgConnection {
    pg::connect(&database.url).await.expect("the database was just made")
}

fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 6, 30).expect("a valid day")
}

async fn reference_database() -> TestDatabase {
    let database = support::database();
    platform::migrate(&database.url, as_of()).await.expect("the database is empty");
    database
}

fn seed(arguments: &[&str]) -> Command {
    let mut command = support::cutover_command();
    command.arg("seed").args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    seed(arguments).output().expect("the program starts")
}

#[test]
fn what_makes_no_sense_is_refused_with_its_range() {
    let url = "postgres://nobody@127.0.0.1:1/nowhere";
    let cases: [(&[&str], &str); 14] = [
        (&["--rng-seed", "x"], "'x' for '--rng-seed <N>': give a whole number from 0 to 18446744"),
        (&["--as-of", "2025-02-30"], "--as-of <YYYY-MM-DD>': give a day from 1990-01-01 to 2100"),
        (&["--orgs", "many"], "'many' for '--orgs <N>': give a whole number from 1 to 4294967296"),
        (&["--transactions-per-org", "x"], "per org from 1 to 100000"),
        (
            &["--connections", "65"],
            "'--connections <C>': give a whole number of connections from 1",
        ),
        (&["--yes-reset", "x"], "--reset"),
        (&["--orgs", "0"], "--orgs"),
        (&["--connections", "0"], "--connections"),
        (&["--transactions-per-org", "0.5"], "--transactions-per-org"),
        (&["--transactions-per-org", "NaN"], "--transactions-per-org"),
        (&["--shard", "4/3"], "--shard"),
        (&["--orgs", "2", "--shard", "1/3"], "--shard"),
        (&["--reset", "--resume"], "--resume"),
        (&["--profile-file", "/nonexistent/p.toml"], "/nonexistent/p.toml"),
    ];
    for (arguments, named) in cases {
        let output = output(&[arguments, &["--database-url", url]].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
    assert_eq!(output(&["--orgs", "5", "--database-url", url]).status.code(), Some(1));
    assert_eq!(output(&["--orgs", "5"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_fit_on_the_disk_is_refused() {
    let database = reference_database().await;
    let size = ["--orgs", "100000000", "--transactions-per-org", "200"];
    let mut command = support::cutover();
    command.args(["seed", "--database-url", &database.url]).args(size);
    // On a server whose disk cannot be seen it would begin.
    let output = command.timeout(Duration::from_secs(60)).output().expect("it ends by itself");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--orgs 100000000: needs about"), "{message}");
    let untouched = "SELECT to_regnamespace('cutover_seed') IS NULL";
    let untouched: bool = sqlx::query_scalar(untouched)
        .fetch_one(&mut connect(&database).await)
        .await
        .expect("reads");
    assert!(untouched);
}

#[test]
fn an_org_is_shown_without_a_database() {
    let arguments = ["--show-org", "123", "--as-of", "2025-06-30", "--format", "json"];
    let first = output(&arguments);
    assert_eq!(first.status.code(), Some(0));
    let shown: Value = serde_json::from_slice(&first.stdout).expect("one JSON object");
    assert_eq!(shown["org"], 123);
    let rows = shown["rows"].as_array().expect("rows");
    assert_eq!(rows[0]["values"]["transaction_count"], (rows.len() - 1).to_string().as_str());
    assert_eq!(output(&arguments).stdout, first.stdout);
    assert_eq!(output(&["--show-org", "0"]).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_gets_the_reference_schema_first() {
    let database = support::database();
    let arguments = ["--database-url", &database.url, "--orgs", "10"];
    let first = output(&arguments);
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    let count = "SELECT count(*) FROM organizations";
    let orgs: i64 =
        sqlx::query_scalar(count).fetch_one(&mut connect(&database).await).await.expect("reads");
    assert_eq!(orgs, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_is_printed_and_written_and_a_reset_wants_the_name() {
    let database = reference_database().await;
    // As on a server that is not a rig's, if what is there may be somebody's.
    let name = database.url.rsplit_once('/').expect("a URL").1.to_owned();
    let not_a_rig = format!("ALTER DATABASE {name} SET cutover.rig = 'off'");
    support::execute(&database.url, &not_a_rig).await;
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().join("run").display().to_string();
    let base = [
        "--database-url",
        &database.url,
        "--as-of",
        "2025-06-30",
        "--orgs",
        "50",
        "--out",
        &folder,
    ];
    let first = output(&[&base[..], &["--format", "json"]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    let printed: Value = serde_json::from_slice(&first.stdout).expect("one JSON object");
    let written = std::fs::read_to_string(out.path().join("run/manifest.json")).expect("written");
    assert_eq!(printed, serde_json::from_str::<Value>(&written).expect("JSON"));
    assert_eq!(printed["orgs"], 50);

    let refused = output(&[&base[..], &["--reset"]].concat());
    assert_eq!(refused.status.code(), Some(2));
    let hint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(hint.contains(&format!("--yes-reset {name}")), "{hint}");
    assert_eq!(
        output(&[&base[..], &["--reset", "--yes-reset", "other"]].concat()).status.code(),
        Some(2)
    );
    assert_eq!(
        output(&[&base[..], &["--reset", "--yes-reset", &name]].concat()).status.code(),
        Some(0)
    );
}
