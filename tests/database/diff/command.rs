//! What the command prints, writes and returns, and what it does not touch.

use std::time::Duration;

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Options};
use cutover::error::Error;
use cutover::evidence::finding::DiffEvidence;
use sqlx::{AssertSqlSafe, Executor};

use crate::diff::cases::told;
use crate::diff::{MANY_ROWS, compare_into};
use crate::support::{self, compare, reference_database};

/// Of secret columns nothing is shown but whether they differ.
#[tokio::test]
async fn secrets_are_seen_to_differ_and_never_shown() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "UPDATE revenue_transactions_partitioned SET customer = 'guest 9' WHERE id = 1;
         UPDATE revenue_transactions_partitioned SET customer = 'somebody else' WHERE id = 2;
         UPDATE revenue_transactions_partitioned SET customer = NULL WHERE id = 3;
         DELETE FROM revenue_transactions_partitioned WHERE id = 4",
    )
    .await;
    let mut tables = TablePair::reference();
    tables[0].secret = vec!["customer".into()];
    let out = tempfile::tempdir().expect("a folder");
    let options = Options::default();
    let (_, findings) =
        compare_into(&database.url, &tables, &options, out.path()).await.expect("a diff");
    let customers: Vec<_> = findings
        .iter()
        .map(|finding| {
            [&finding.legacy, &finding.partitioned].map(|row| row.as_ref()?["customer"].clone())
        })
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        customers,
        [
            [text("*** (differs, same length)"), text("*** (differs, same length)")],
            [text("*** (differs in length)"), text("*** (differs in length)")],
            [text("***"), None],
            [text("***"), None],
        ]
    );
    let written = std::fs::read_to_string(out.path().join("findings.jsonl")).expect("a file");
    assert!(!written.contains("guest") && !written.contains("somebody"), "{written}");
}

/// The probe leaves no trace, and says so if it may not or cannot try.
#[tokio::test]
async fn the_probe_changes_nothing_and_says_what_it_could_not_try() {
    let database = reference_database().await;
    let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
    let mut state = async || -> (String, i64, i64) {
        let query =
            "SELECT (SELECT md5(string_agg(r::text, ',' ORDER BY id)) FROM revenue_transactions r)
                            || (SELECT md5(string_agg(p::text, ',' ORDER BY id, date))
                                  FROM revenue_transactions_partitioned p),
                            (SELECT last_value FROM revenue_transactions_id_seq),
                            (SELECT last_value FROM daily_cash_balances_id_seq)";
        sqlx::query_as(query).fetch_one(&mut connection).await.expect("an answer")
    };
    let before = state().await;
    let (_, findings) = compare(&database.url, &TablePair::reference(), &Options::default()).await;
    assert_eq!(findings, []);
    assert_eq!(state().await, before);

    let why = async |options: &Options| {
        let out = tempfile::tempdir().expect("a folder");
        let tables = &TablePair::reference()[..1];
        let outcome = compare_into(&database.url, tables, options, out.path()).await;
        let (evidence, findings) = outcome.expect("a diff");
        assert!(!evidence.has_differences());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(told(&findings[0]).starts_with("revenue trigger_coverage_unknown advice"));
        findings[0].detail.clone().unwrap_or_default()
    };
    let off = Options { probe: false, ..Options::default() };
    assert!(why(&off).await.contains("switched off"));
    let set = |value: &str| {
        format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {value}',
                 current_database()); END $$")
    };
    support::execute(&database.url, &set("on")).await;
    assert!(why(&Options::default()).await.contains("25006"));
    let mut writer = cutover::pg::connect(&database.url).await.expect("the server is up");
    for statement in ["SET default_transaction_read_only = off".to_owned(), set("off")] {
        writer.execute(AssertSqlSafe(statement)).await.expect("may be set back");
    }
    let locked = "BEGIN; LOCK TABLE revenue_transactions IN SHARE MODE";
    writer.execute(locked).await.expect("the lock is free");
    assert!(why(&Options::default()).await.contains("55P03"));
}

/// An enum takes its labels and nothing else; one that no row bears yet is tried, too.
#[tokio::test]
async fn a_trigger_that_forgets_an_enum_is_seen_though_every_row_has_the_same_label() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "CREATE TYPE state AS ENUM ('open', 'paid');
         ALTER TABLE revenue_transactions ADD COLUMN state state NOT NULL DEFAULT 'open';
         ALTER TABLE revenue_transactions_partitioned ADD COLUMN state state NOT NULL DEFAULT 'open'",
    )
    .await;
    let tables = &TablePair::reference()[..1];
    let (_, findings) = compare(&database.url, tables, &Options::default()).await;
    let told: Vec<String> = findings.iter().map(told).collect();
    assert!(
        told.len() == 1 && told[0].starts_with("revenue trigger_column_missing error"),
        "{told:?}"
    );
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

/// Whoever looks inside sees statements, and no value of a row or of the URL.
#[tokio::test]
async fn statements_are_shown_without_values_to_whoever_asks_twice() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "UPDATE revenue_transactions_partitioned SET customer = 'guest 9' WHERE id = 1",
    )
    .await;
    let said = |arguments: &[&str]| {
        let out = tempfile::tempdir().expect("a folder");
        let mut command = support::cutover();
        command.env("CUTOVER_DATABASE_URL", &database.url).env_remove("RUST_LOG");
        command.args(["diff", "--out"]).arg(out.path()).args(arguments);
        String::from_utf8_lossy(&command.assert().code(11).get_output().stderr).into_owned()
    };
    let (decided, all) = (said(&["-v"]), said(&["-vv"]));
    assert!(decided.contains("reading") && !decided.contains("SELECT"), "{decided}");
    assert!(all.contains("sqlx::query") && all.contains("SELECT"), "{all}");
    assert!(!all.contains("guest 9"), "{all}");
    let url = url::Url::parse(&database.url).expect("a URL");
    assert!(url.password().is_none_or(|password| !all.contains(password)), "{all}");
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
    let (_, by_us) = compare(&database.url, &TablePair::reference(), &Options::default()).await;
    let (_, by_sqlx) =
        compare(elsewhere.as_str(), &TablePair::reference(), &Options::default()).await;
    assert_eq!(by_us.len(), 2);
    assert_eq!(by_us, by_sqlx);
}

#[tokio::test]
async fn two_runs_do_not_share_a_folder() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let out = tempfile::tempdir().expect("a folder");
    let command = || {
        let mut command = support::cutover_command();
        command.args([
            "diff",
            "--quiet",
            "--table",
            "revenue",
            "--throttle",
            "1000rows/s",
            "--out",
        ]);
        command.arg(out.path()).env("CUTOVER_DATABASE_URL", &database.url);
        command
    };
    let mut first = command().spawn().expect("it starts");
    let is_taken = || cutover::run_folder::claim(out.path()).is_err();
    assert!(support::wait_until(Duration::from_secs(20), is_taken), "it has not begun");
    let second = command().output().expect("it runs");
    first.kill().expect("it is killed");
    first.wait().expect("it ends");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("another run is writing into"), "{said}");
}

/// A table that is not there is a wrong configuration: nothing was touched, not even `reports/`.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_is_refused_by_what_the_database_holds_leaves_nothing() {
    let database = support::database();
    let desk = tempfile::tempdir().expect("a folder");
    for more in
        [&[][..], &["--out", "some/where"], &["--repair", "--wal", "--resume", "--out", "r"]]
    {
        let output = support::cutover()
            .args(["diff", "--database-url", &database.url])
            .args(more)
            .current_dir(desk.path())
            .output()
            .expect("cutover runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {said}");
        let named = ["describes no [[tables]]", "there is no table"];
        assert!(named.iter().any(|words| said.contains(words)), "{said}");
        let left = std::fs::read_dir(desk.path()).expect("our own folder").count();
        assert_eq!(left, 0, "{more:?}: {said}");
    }
}
