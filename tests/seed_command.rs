//! `cutover seed` as a process: exit codes, what it prints, and what a kill -9 leaves behind.

mod support;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::NaiveDate;
use cutover::{pg, platform};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use support::TestDatabase;

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
    let cases: [(&[&str], &str); 8] = [
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
    // As on a server that is not a rig's, where what is there may be somebody's.
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

#[tokio::test(flavor = "multi_thread")]
async fn five_kills_change_nothing() {
    let schema = "SELECT string_agg(format('%s %s %s', tgname, tgenabled, tgrelid::regclass), ';' ORDER BY tgname)
        || (SELECT string_agg(indexdef, ';' ORDER BY indexdef) FROM pg_indexes WHERE schemaname = 'public')
        FROM pg_trigger WHERE NOT tgisinternal";
    let database = support::database();
    let mut connection = connect(&database).await;
    let arguments = [
        "--database-url",
        &database.url,
        "--as-of",
        "2025-06-30",
        "--orgs",
        "20000",
        "--format",
        "json",
        "-q",
    ];
    let resume = [&arguments[..], &["--resume"]].concat();
    let mut killed = 0;
    for wait_ms in [40, 180, 420, 730, 560] {
        let mut child =
            seed(&resume).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        if child.try_wait().expect("may wait").is_none() {
            child.kill().expect("may kill");
            killed += 1;
        }
        child.wait().expect("may wait");
    }
    assert!(killed > 0, "no round was interrupted: the machine is too fast for these waits");
    let last = output(&resume);
    assert_eq!(last.status.code(), Some(0), "{}", String::from_utf8_lossy(&last.stderr));
    let found: Value = serde_json::from_slice(&last.stdout).expect("one JSON object");

    let undisturbed = reference_database().await;
    let url = ["--database-url", &undisturbed.url];
    let whole = output(
        &[&["--as-of", "2025-06-30", "--orgs", "20000", "--format", "json", "-q"], &url[..]]
            .concat(),
    );
    let promised: Value = serde_json::from_slice(&whole.stdout).expect("one JSON object");
    assert_eq!(found["tables"], promised["tables"]);

    let mut other = connect(&undisturbed).await;
    for table in [
        "organizations",
        "revenue_transactions",
        "revenue_transactions_partitioned",
        "expense_transactions",
        "expense_transactions_partitioned",
        "daily_cash_balances",
        "daily_cash_balances_partitioned",
    ] {
        let digest = format!("SELECT md5(string_agg(t::text, '|' ORDER BY t.id)) FROM {table} t");
        let ours: String = sqlx::query_scalar(AssertSqlSafe(digest.clone()))
            .fetch_one(&mut connection)
            .await
            .expect("reads");
        let theirs: String =
            sqlx::query_scalar(AssertSqlSafe(digest)).fetch_one(&mut other).await.expect("reads");
        assert_eq!(ours, theirs, "{table}");
    }
    let after: String = sqlx::query_scalar(schema).fetch_one(&mut connection).await.expect("reads");
    let untouched = reference_database().await;
    let before: String =
        sqlx::query_scalar(schema).fetch_one(&mut connect(&untouched).await).await.expect("reads");
    assert_eq!(after, before);
}
