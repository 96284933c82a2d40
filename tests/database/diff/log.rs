//! The slot of `--wal` is bounded, and gone whatever happens.

use std::time::Duration;

use cutover::diff::Options;

use crate::diff::{compare_into, revenue, support};
use crate::support::{compare, reference_database};

const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()";

/// A slot is listed before it is ready: until then it waits for the transactions that are open.
async fn is_ready(url: &str) {
    let mut connection = cutover::pg::connect(url).await.expect("the server is up");
    let ready = "SELECT count(*) FROM pg_replication_slots
                  WHERE database = current_database() AND confirmed_flush_lsn IS NOT NULL";
    for _ in 0..1500 {
        let found: i64 =
            sqlx::query_scalar(ready).fetch_one(&mut connection).await.expect("a number");
        if found == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the slot was never ready");
}

/// Writes some ten megabytes of the log.
async fn write_much(url: &str) {
    let much = "CREATE TABLE much AS
        SELECT g, repeat(md5(g::text), 20) AS t FROM generate_series(1, 30000) AS g";
    support::execute(url, much).await;
}

async fn slots(url: &str, wanted: i64) {
    let mut connection = cutover::pg::connect(url).await.expect("the server is up");
    for _ in 0..1500 {
        let found: i64 =
            sqlx::query_scalar(SLOTS).fetch_one(&mut connection).await.expect("a number");
        if found == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there were never {wanted} slots");
}

/// A slot that holds back more than it may is dropped while the run goes on, which says so and proves nothing.
async fn a_slot_that_holds_back_too_much_is_dropped_and_the_run_says_so() {
    let database = reference_database().await;
    let url = database.url.clone();
    let run = tokio::spawn(async move {
        let wal = Some(Duration::from_secs(6));
        let options = Options { wal, wal_keep_bytes: 4_000_000, ..Options::default() };
        compare(&url, &revenue(), &options).await.0
    });
    is_ready(&database.url).await;
    // A transaction that stays open keeps the log from being let go of, however fast it is read.
    let mut open = cutover::pg::connect(&database.url).await.expect("the server is up");
    let begin = "BEGIN; CREATE TABLE held (n int); SELECT pg_current_xact_id()";
    sqlx::raw_sql(begin).execute(&mut open).await.expect("a transaction");
    write_much(&database.url).await;
    slots(&database.url, 0).await;
    assert!(!run.is_finished(), "the slot went with the run");
    let evidence = run.await.expect("it does not panic");
    assert!(!evidence.complete && !evidence.has_differences(), "{evidence:?}");
    assert!(evidence.incomplete_reason.contains("--wal-keep"), "{}", evidence.incomplete_reason);
    drop(open);
}

/// A slot that is not ready yet, because a transaction stays open, holds back the log as well.
async fn a_slot_that_waits_for_a_transaction_is_bounded_too() {
    let database = reference_database().await;
    let mut open = cutover::pg::connect(&database.url).await.expect("the server is up");
    let begin = "BEGIN; CREATE TABLE held (n int); SELECT pg_current_xact_id()";
    sqlx::raw_sql(begin).execute(&mut open).await.expect("a transaction");
    let url = database.url.clone();
    let run = tokio::spawn(async move {
        let (out, wal) = (tempfile::tempdir().expect("a folder"), Some(Duration::from_secs(1)));
        let options = Options { wal, wal_keep_bytes: 4_000_000, ..Options::default() };
        compare_into(&url, &revenue(), &options, out.path()).await
    });
    slots(&database.url, 1).await;
    write_much(&database.url).await;
    slots(&database.url, 0).await;
    let refused = run.await.expect("it does not panic").expect_err("it cannot be followed");
    assert!(refused.to_string().contains("--wal-keep"), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("stays open")), "{refused}");
    drop(open);
}

/// One after the other: a transaction that stays open holds up every slot of the server.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slot_holds_back_is_bounded() {
    a_slot_that_holds_back_too_much_is_dropped_and_the_run_says_so().await;
    a_slot_that_waits_for_a_transaction_is_bounded_too().await;
}

/// A run that stands still, as on a machine that was suspended, does not keep the log for ever: the server ends
/// its session.
#[tokio::test(flavor = "multi_thread")]
async fn the_slot_of_a_frozen_run_goes() {
    let database = reference_database().await;
    let out = tempfile::tempdir().expect("a folder");
    let mut command = support::cutover_command();
    command
        .args(["diff", "--quiet", "--wal", "--for", "10m", "--table", "revenue", "--out"])
        .arg(out.path());
    command.env("CUTOVER_DATABASE_URL", &database.url).stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("it starts");
    slots(&database.url, 1).await;
    let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
    // The session ends by itself after a minute without a question; here the clock is asked whether it would.
    let limited = "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
                    WHERE s.temporary AND s.database = current_database()";
    let temporary: i64 =
        sqlx::query_scalar(limited).fetch_one(&mut connection).await.expect("a number");
    assert_eq!(temporary, 1);
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("it is frozen");
    for _ in 0..45 {
        let left: i64 =
            sqlx::query_scalar(SLOTS).fetch_one(&mut connection).await.expect("a number");
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    slots(&database.url, 0).await;
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
}
