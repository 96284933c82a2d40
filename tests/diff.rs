//! Every fault of the catalogue, planted in a real database: SQL in, exact findings out.
//!
//! A case is a file of `tests/diff_cases/`; a new one needs no code.

mod support;

#[path = "diff_cases/runner.rs"]
mod cases;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cases::{Case, told};
use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options};
use cutover::error::{Error, Result};
use cutover::evidence::finding::{DiffEvidence, Finding, Severity};
use sqlx::{AssertSqlSafe, Executor};
use support::reference_database;

/// The ways to compare that have to come to the same findings.
fn variants() -> Vec<(&'static str, Options)> {
    let by = |digest| Options { digest, ..Options::default() };
    vec![("client", by(Digest::Client)), ("server", by(Digest::Server))]
}

/// A comparison whose rows are hashed here or there.
async fn compare(url: &str, digest: Digest) -> (DiffEvidence, Vec<Finding>) {
    support::compare(url, &TablePair::reference(), &Options { digest, ..Options::default() }).await
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

/// Applies `repair.sql` as people are told to; what it says on its error output where it fails.
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

#[tokio::test]
async fn each_fault_yields_its_own_findings_and_nothing_else() {
    let role = format!("case_reader_{}", std::process::id());
    let mut wrong = Vec::new();
    for case in cases::all() {
        let database = case.plant(&role).await;
        for (way, options) in variants() {
            let outcome = check(&case, &database.url, &role, &options).await;
            wrong.extend(outcome.err().map(|why| format!("{} ({way}): {why}", case.name)));
        }
        if case.refused.is_some() {
            let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
            support::execute(&database.url, &gone).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares what was planted with what is expected; what is wrong, in words.
async fn check(
    case: &Case,
    url: &str,
    role: &str,
    options: &Options,
) -> std::result::Result<(), String> {
    let out = tempfile::tempdir().expect("a folder");
    if let Some(why) = &case.refused {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_username(role).expect("a user");
        url.set_password(Some("reads")).expect("a password");
        let refused = compare_into(url.as_str(), &case.tables, options, out.path()).await;
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        return if error.contains(why) { Ok(()) } else { Err(format!("refused with `{error}`")) };
    }
    let outcome = compare_into(url, &case.tables, options, out.path()).await;
    let (evidence, findings) = outcome.map_err(|e| format!("{e}; {:?}", e.hint()))?;
    let mut found: Vec<String> = findings.iter().map(told).collect();
    let mut expected = case.expect.clone();
    found.sort();
    expected.sort();
    if found != expected {
        let details = findings.iter().filter_map(|f| f.detail.as_deref()).collect::<Vec<_>>();
        return Err(format!("expected {expected:#?}\n  found {found:#?}\n{}", details.join("\n")));
    }
    let errors = findings.iter().filter(|f| f.severity == Some(Severity::Error)).count();
    let rows = findings.iter().filter(|f| f.org_id.is_some()).count();
    let counted: u64 = evidence.tables.iter().map(|table| table.counts.total()).sum();
    let sums = (evidence.integrity_errors, evidence.has_differences(), counted);
    if sums != (errors as u64, errors + rows > 0, rows as u64) {
        return Err(format!("{errors} errors and {rows} rows are summed up as {sums:?}"));
    }
    Ok(())
}

/// Every row class is mended, and what cannot be is refused without a trace.
#[tokio::test]
async fn the_repair_of_each_fault_makes_the_next_diff_clean() {
    let mut wrong = Vec::new();
    let mut mended = 0;
    for case in cases::all().into_iter().filter(|case| case.refused.is_none()) {
        let rows = |findings: &[Finding]| findings.iter().filter(|f| f.org_id.is_some()).count();
        let database = case.plant("").await;
        let out = tempfile::tempdir().expect("a folder");
        let options = Options { repair: true, ..Options::default() };
        let compare = || compare_into(&database.url, &case.tables, &options, out.path());
        let (_, before) = compare().await.expect("a diff");
        let applied = repair(&database.url, out.path());
        let (_, after) = compare().await.expect("a diff");
        mended += rows(&before) - rows(&after);
        let as_expected = match (&case.unrepairable, &applied) {
            (None, Ok(())) => rows(&after) == 0,
            (Some(why), Err(told)) => told.contains(why) && rows(&after) == rows(&before),
            _ => false,
        };
        if !as_expected {
            let after: Vec<String> = after.iter().map(told).collect();
            wrong.push(format!("{}: {applied:?}, then found {after:#?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(mended > 40, "only {mended} rows were mended");
}

#[test]
fn the_scoreboard_is_made_from_the_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let text = cases::scoreboard(&cases::all());
    if std::env::var_os("CUTOVER_WRITE_SCOREBOARD").is_some() {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/faults.md is out of date; see its own text on how to make it");
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
    for round in 0..20 {
        let before = written.load(Ordering::Relaxed);
        let digest = if round % 2 == 0 { Digest::Client } else { Digest::Server };
        let (evidence, findings) = compare(&database.url, digest).await;
        assert_eq!(findings, [], "round {round}");
        assert!(evidence.complete && !evidence.has_differences(), "round {round}");
        assert!(
            written.load(Ordering::Relaxed) > before,
            "nothing was written during round {round}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("the writer did not break");
    }
}

/// The repair locks an org's rows for a moment; writers wait, and nothing is lost or undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_during_writes_makes_the_next_diff_clean() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "ALTER TABLE revenue_transactions DISABLE TRIGGER revenue_transactions_dual_write_trigger;
         INSERT INTO revenue_transactions (id, org_id, date, amount)
         SELECT 100 + i, i % 7 + 1, current_date - i % 60, i FROM generate_series(1, 700) AS i;
         DELETE FROM revenue_transactions WHERE id IN (1, 7, 13);
         UPDATE revenue_transactions SET date = date - 40 WHERE id IN (2, 8);
         UPDATE revenue_transactions SET org_id = 7 WHERE id = 3;
         SELECT setval('revenue_transactions_id_seq', 1000000000);
         ALTER TABLE revenue_transactions
             ENABLE ALWAYS TRIGGER revenue_transactions_dual_write_trigger",
    )
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            tokio::spawn(write_on(database.url.clone(), writer, stop.clone(), written.clone()))
        })
        .collect();
    let out = tempfile::tempdir().expect("a folder");
    let options = Options { repair: true, ..Options::default() };
    let tables = TablePair::reference();
    let compare = || compare_into(&database.url, &tables, &options, out.path());
    let (before, _) = compare().await.expect("a diff");
    assert_eq!(before.orgs_diverged, 7);
    let at_the_start = written.load(Ordering::Relaxed);
    let (url, folder) = (database.url.clone(), out.path().to_owned());
    let applied = tokio::task::spawn_blocking(move || repair(&url, &folder)).await;
    assert_eq!(applied.expect("it does not panic"), Ok(()));
    assert!(written.load(Ordering::Relaxed) > at_the_start, "nothing was written meanwhile");
    let (_, after) = compare().await.expect("a diff");
    assert_eq!(after, []);
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no writer was ended by the repair");
    }
}

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

/// The probe leaves no trace, and says so where it may not or cannot try.
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
    let (_, findings) = compare(&database.url, Digest::Client).await;
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

/// The log tells which transaction changed one side only, even where a later one hid it again.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_transaction_that_changed_one_side_only() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "SELECT setval('revenue_transactions_id_seq', 1000000000);
         UPDATE revenue_transactions SET description = (SELECT string_agg(md5(i::text), '')
             FROM generate_series(1, 1000) AS i) WHERE id = 9",
    )
    .await;
    let follow = |url: String| {
        tokio::spawn(async move {
            let out = tempfile::tempdir().expect("a folder");
            let wal = Some(std::time::Duration::from_secs(1));
            let options = Options { wal, ..Options::default() };
            let outcome = compare_into(&url, &TablePair::reference(), &options, out.path()).await;
            outcome.expect("a diff").0.wal.expect("the log was read")
        })
    };
    let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
    let diff = follow(database.url.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(write_on(database.url.clone(), 0, stop.clone(), written.clone()));
    let clean = diff.await.expect("it does not panic");
    assert_eq!((clean.diverged, &clean.divergences), (0, &vec![]));
    assert!(clean.transactions > 0 && clean.changes > clean.transactions);
    stop.store(true, Ordering::Relaxed);
    writer.await.expect("the writer did not break");

    let diff = follow(database.url.clone());
    while sqlx::query_scalar::<_, i64>(slots).fetch_one(&mut connection).await.expect("a number")
        == 0
    {
        assert!(!diff.is_finished(), "there was never a slot");
    }
    let mut rogue = Vec::new();
    while !diff.is_finished() {
        for statement in [
            "UPDATE revenue_transactions SET status = status || '.' WHERE id = 9",
            "UPDATE daily_cash_balances SET balance_date = balance_date + 100, org_id = 5 - org_id",
            "UPDATE daily_cash_balances SET balance_date = balance_date - 100, org_id = 5 - org_id",
            "BEGIN; INSERT INTO daily_cash_balances (org_id, property_id, balance_date, opening, closing)
             VALUES (1, 77, current_date, 1, 2); DELETE FROM daily_cash_balances WHERE property_id = 77;
             COMMIT",
        ] {
            connection.execute(statement).await.expect("a correct write");
        }
        for amount in ["amount + 1", "amount - 1"] {
            connection.execute("BEGIN").await.expect("a transaction");
            let statement = format!(
                "UPDATE revenue_transactions_partitioned SET amount = {amount} WHERE id = 5"
            );
            connection.execute(AssertSqlSafe(statement)).await.expect("a rogue write");
            let xid = "SELECT pg_current_xact_id()::text";
            rogue.push(
                sqlx::query_scalar::<_, String>(xid)
                    .fetch_one(&mut connection)
                    .await
                    .expect("a number"),
            );
            connection.execute("COMMIT").await.expect("a commit");
        }
    }
    let told = diff.await.expect("it does not panic");
    assert!(told.diverged >= 2, "{told:?}");
    let xids: Vec<&str> = told.divergences.iter().map(|found| found.xid.as_str()).collect();
    let kept: Vec<&str> = rogue.iter().take(xids.len()).map(String::as_str).collect();
    assert_eq!(xids, kept);
    assert_eq!(told.divergences[0].detail, "1 written in the twin alone (id=5)");
    assert!(told.divergences[0].committed_at.starts_with("20"), "{told:?}");
    assert_eq!(
        sqlx::query_scalar::<_, i64>(slots).fetch_one(&mut connection).await.expect("a number"),
        0
    );
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
    let (_, by_us) = compare(&database.url, Digest::Client).await;
    let (_, by_sqlx) = compare(elsewhere.as_str(), Digest::Client).await;
    assert_eq!(by_us.len(), 2);
    assert_eq!(by_us, by_sqlx);
}
