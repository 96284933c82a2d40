//! Under live writes: no false finding however diff and writers interleave, repairs that lose
//! nothing, and the log that names the transaction.

use std::time::Duration;

use cutover::act::{ActContext, Event};
use cutover::config::TablePair;
use cutover::diff::{self, Options};
use cutover::evidence::finding::DiffEvidence;
use sqlx::{AssertSqlSafe, Executor};
use tokio_util::sync::CancellationToken;

use crate::diff::{
    BOTH, MANY_ROWS, compare_into, is_something_saved, key, repair, revenue, something_is_saved,
};
use crate::support::writers::Writers;
use crate::support::{self, compare, reference_database};

/// A write that goes to both sides by trigger must never look like a difference, however the diff
/// and the writers interleave.
#[tokio::test(flavor = "multi_thread")]
async fn ten_diffs_by_each_way_during_dual_writes_and_date_moves_report_nothing() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let writers = Writers::start(&database.url).await;
    let mut meanwhile = 0;
    for round in 0..10 {
        for digest in BOTH {
            let before = writers.written();
            let options = Options { digest, ..Options::default() };
            let (evidence, findings) =
                compare(&database.url, &TablePair::reference(), &options).await;
            assert_eq!(findings, [], "round {round}, {digest:?}");
            assert!(evidence.complete && !evidence.has_differences(), "round {round}");
            meanwhile += writers.written() - before;
        }
    }
    eprintln!("{:.0} writes/s", writers.stop().await);
    assert!(meanwhile >= 200, "only {meanwhile} writes during twenty diffs");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_snapshots_under_writes_find_what_is_there_and_nothing_else() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let fault = "DELETE FROM revenue_transactions_partitioned WHERE id = 3";
    support::execute(&database.url, fault).await;
    let writers = Writers::start(&database.url).await;
    for digest in BOTH {
        let options = Options { digest, snapshot_time: Duration::ZERO, ..Options::default() };
        for _ in 0..5 {
            let (evidence, findings) = compare(&database.url, &revenue(), &options).await;
            let found: Vec<String> = findings.iter().map(key).collect();
            assert_eq!(found, ["missing 3"], "{digest:?}");
            assert!(evidence.snapshots > 1, "{} snapshots", evidence.snapshots);
            assert!(evidence.complete);
            writers.more(1).await;
        }
    }
    writers.stop().await;
}

/// Makes a partition of the twin while a comparison is under way, and rows that belong there.
const A_MONTH_MORE: &str = "
    CREATE TABLE revenue_transactions_later (LIKE revenue_transactions_partitioned INCLUDING ALL);
    ALTER TABLE revenue_transactions_partitioned ATTACH PARTITION revenue_transactions_later
        FOR VALUES FROM ('2090-01-01') TO ('2090-02-01');
    INSERT INTO revenue_transactions (id, org_id, date, amount)
        SELECT i, i % 5 + 1, '2090-01-07', i FROM generate_series(40001, 50000) AS i";

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_made_meanwhile_is_no_difference() {
    for digest in BOTH {
        let database = reference_database().await;
        support::execute(&database.url, MANY_ROWS).await;
        let (url, once) = (database.url.clone(), std::sync::Once::new());
        let context = ActContext::new(
            move |event| {
                let begins =
                    matches!(&event, Event::Started { what, .. } if what == "diff: revenue");
                if begins {
                    once.call_once(|| {
                        let handle = tokio::runtime::Handle::current();
                        let made = support::execute(&url, A_MONTH_MORE);
                        tokio::task::block_in_place(|| handle.block_on(made));
                    });
                }
            },
            CancellationToken::new(),
        );
        let out = tempfile::tempdir().expect("a folder");
        let options = Options { digest, snapshot_time: Duration::ZERO, ..Options::default() };
        let evidence = diff::run(&database.url, &revenue(), &options, out.path(), &context).await;
        let evidence = evidence.expect("a diff");
        assert!(evidence.complete && evidence.snapshots > 1, "{evidence:?}");
        assert!(!evidence.has_differences(), "{:?}", evidence.tables);
        // What is there has been compared: the new rows, too.
        assert!(evidence.tables[0].legacy_rows > 30_000, "{:?}", evidence.tables);
    }
}

/// Of a run that is killed while it follows the log, no slot is left to hold the log back.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_follower_of_the_log_leaves_no_slot() {
    let database = reference_database().await;
    let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
    let mut slots = async |wanted: i64| {
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";
        for _ in 0..1000 {
            let found: i64 =
                sqlx::query_scalar(slots).fetch_one(&mut connection).await.expect("a number");
            if found == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there were never {wanted} slots");
    };
    let out = tempfile::tempdir().expect("a folder");
    let mut command = support::cutover_command();
    command.args(["diff", "--quiet", "--wal", "--for", "10m", "--out"]).arg(out.path());
    command.env("CUTOVER_DATABASE_URL", &database.url).stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("it starts");
    slots(1).await;
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
    slots(0).await;
}

/// Killed again and again at any moment while rows are written, the run that reaches the end has
/// found what was planted and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_resumed() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let fault = "DELETE FROM revenue_transactions_partitioned WHERE id = 3";
    support::execute(&database.url, fault).await;
    let writers = Writers::start(&database.url).await;
    for way in ["client", "server"] {
        let out = tempfile::tempdir().expect("a folder");
        let command = |more: &[&str]| {
            let mut command = support::cutover_command();
            command.args(["diff", "--quiet", "--format", "json", "--table", "revenue", "--digest"]);
            command.args([way, "--checkpoint-every", "0s", "--throttle", "5000rows/s"]);
            command.args(["--no-probe", "--out"]);
            command.arg(out.path()).args(more).env("CUTOVER_DATABASE_URL", &database.url);
            command.stdout(std::process::Stdio::piped());
            command
        };
        let mut moments = support::Moments::announced();
        let mut kills = 0;
        while kills < 4 {
            let resume: &[&str] = if kills == 0 { &[] } else { &["--resume"] };
            let mut child = command(resume).spawn().expect("it starts");
            let has_ended = || child.try_wait().expect("our own child").is_some();
            something_is_saved(out.path(), has_ended).await;
            tokio::time::sleep(Duration::from_millis(moments.next() % 600)).await;
            child.kill().expect("it is killed");
            child.wait().expect("it ends");
            // One that came to its end before it was killed has left nothing to resume.
            kills = if is_something_saved(out.path()) { kills + 1 } else { 0 };
        }
        let output = command(&["--resume"]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(11));
        let evidence: DiffEvidence = serde_json::from_slice(&output.stdout).expect("one object");
        let found: Vec<String> =
            evidence.findings.iter().filter(|f| f.org_id.is_some()).map(key).collect();
        assert_eq!(found, ["missing 3"], "{way}");
        assert!(evidence.complete && evidence.resumed);
        let left: std::collections::BTreeSet<_> = std::fs::read_dir(out.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        let whole =
            ["findings.jsonl", "junit.xml", "orgs.csv", "report.html", "report.md", "run.json"];
        let whole = whole.map(str::to_owned);
        assert_eq!(left, whole.into(), "neither a checkpoint nor a draft is left");
        writers.more(1).await;
    }
    writers.stop().await;
}

/// The repair locks an org's rows for a moment; writers wait, and nothing is lost or undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_during_writes_makes_the_next_diff_clean() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    support::execute(
        &database.url,
        "ALTER TABLE revenue_transactions DISABLE TRIGGER revenue_transactions_dual_write_trigger;
         INSERT INTO revenue_transactions (id, org_id, date, amount)
         SELECT 100 + i, i % 7 + 1, current_date - i % 60, i FROM generate_series(1, 700) AS i;
         DELETE FROM revenue_transactions WHERE id IN (1, 7, 13);
         UPDATE revenue_transactions SET date = date - 40 WHERE id IN (2, 8);
         UPDATE revenue_transactions SET org_id = 7 WHERE id = 3;
         ALTER TABLE revenue_transactions
             ENABLE ALWAYS TRIGGER revenue_transactions_dual_write_trigger",
    )
    .await;
    let writers = Writers::start(&database.url).await;
    let out = tempfile::tempdir().expect("a folder");
    let options = Options { repair: true, ..Options::default() };
    let tables = TablePair::reference();
    let compare = || compare_into(&database.url, &tables, &options, out.path());
    let (before, _) = compare().await.expect("a diff");
    assert_eq!(before.orgs_diverged, 7);
    assert_eq!(before.repairs[0].refused, None);
    let at_the_start = writers.written();
    let (url, folder) = (database.url.clone(), out.path().to_owned());
    let applied = tokio::task::spawn_blocking(move || repair(&url, &folder)).await;
    assert_eq!(applied.expect("it does not panic"), Ok(()));
    assert!(writers.written() > at_the_start, "nothing was written meanwhile");
    let (_, after) = compare().await.expect("a diff");
    assert_eq!(after, []);
    writers.stop().await;
}

/// The log tells which transaction changed one side only, even if a later one hid it again.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_transaction_that_changed_one_side_only() {
    let database = reference_database().await;
    support::execute(
        &database.url,
        "UPDATE revenue_transactions SET description = (SELECT string_agg(md5(i::text), '')
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
    // A slot is listed before it is ready: what commits until then is not followed.
    let ready = format!("{slots} AND confirmed_flush_lsn IS NOT NULL");
    let diff = follow(database.url.clone());
    let writers = Writers::start(&database.url).await;
    let clean = diff.await.expect("it does not panic");
    assert_eq!((clean.diverged, &clean.divergences), (0, &vec![]));
    assert!(clean.transactions > 0 && clean.changes > clean.transactions);
    writers.stop().await;

    let diff = follow(database.url.clone());
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(ready.as_str()))
        .fetch_one(&mut connection)
        .await
        .expect("a number")
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
