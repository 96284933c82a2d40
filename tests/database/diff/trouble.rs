//! Servers that freeze, go away or run out of patience.

use std::time::Duration;

use cutover::act::ActContext;
use cutover::diff::{self, Digest, Options, Throttle};
use cutover::error::{Error, Result};
use cutover::evidence::finding::DiffEvidence;
use nix::sys::signal::Signal;

use crate::diff::{fails, fat_database, is_at_least, support};

/// Starts a slow comparison and does something to the backend that sends its rows, so many times, each time to
/// another.
async fn meanwhile(times: usize, act: impl AsyncFn(i32)) -> Result<DiffEvidence> {
    let (database, pairs) = fat_database().await;
    let options = Options {
        throttle: Some(Throttle::Bytes(5e6)),
        stall_timeout: Duration::from_secs(2),
        digest: Digest::Client,
        ..Options::default()
    };
    let out = tempfile::tempdir().expect("a folder");
    let context = ActContext::silent();
    let run = diff::run(&database.url, &pairs, &options, out.path(), &context);
    let interfere = async {
        let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
        // While it waits for us it holds none of the locks that the whole server needs: it alone may be frozen.
        let copying = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                          AND query LIKE 'SAVEPOINT%COPY%' AND state = 'active' AND ($2 OR wait_event = 'ClientWrite')
                          AND pid <> ALL ($1)";
        let mut met = Vec::new();
        while met.len() < times {
            let pid: Option<i32> = sqlx::query_scalar(copying)
                .bind(&met)
                .bind(times > 1)
                .fetch_optional(&mut connection)
                .await
                .expect("an answer");
            if let Some(pid) = pid {
                act(pid).await;
                met.push(pid);
            }
        }
        met
    };
    let mut met = Vec::new();
    let outcome = {
        let mut run = std::pin::pin!(run);
        tokio::select! {
            outcome = &mut run => outcome,
            found = interfere => {
                met = found;
                run.await
            }
        }
    };
    // A backend that was frozen must go on, or the database cannot be dropped.
    for pid in met {
        let _ = signal(pid, Signal::SIGCONT);
    }
    let left = std::fs::read_dir(out.path()).expect("the folder").count();
    assert!(outcome.is_ok() || left == 0, "{left}");
    outcome
}

fn signal(pid: i32, signal: Signal) -> nix::Result<()> {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)
}

#[tokio::test]
async fn a_frozen_server_is_given_up() {
    let freeze = async |pid| signal(pid, Signal::SIGSTOP).expect("it is frozen");
    let error = meanwhile(1, freeze).await.expect_err("it stands still");
    assert!(error.to_string().contains("sent nothing for 2 s"), "{error}");
}

/// A session that an administrator ends, and a statement that somebody cancels, are no end of a comparison.
#[tokio::test]
async fn what_was_ended_or_cancelled_once_is_read_again() {
    for how in [Signal::SIGTERM, Signal::SIGINT] {
        let evidence = meanwhile(1, async |pid| signal(pid, how).expect("it is there")).await;
        let evidence = evidence.unwrap_or_else(|error| panic!("{how}: {error}"));
        assert!(evidence.complete && evidence.orgs_diverged == 0, "{how}: {evidence:?}");
        assert!(!evidence.resumed && evidence.snapshots > 1, "{how}: {evidence:?}");
        assert_eq!(evidence.tables[0].legacy_rows, 20_000, "{how}");
    }
}

#[tokio::test]
async fn what_is_ended_each_time_is_an_error_that_names_who_did_it() {
    for (how, code, who) in
        [(Signal::SIGTERM, "57P01", "administrator"), (Signal::SIGINT, "57014", "cancelled")]
    {
        let act = async |pid| {
            // It may have ended by itself.
            let _ = signal(pid, how);
        };
        let error = meanwhile(1_000, act).await.expect_err("it is ended each time");
        let said = format!("{error}; {}", error.hint().unwrap_or_default());
        assert!(matches!(error, Error::Run { .. }), "{said}");
        assert!(said.contains("fat") && said.contains(code) && said.contains(who), "{said}");
        assert!(said.contains("4 times"), "{said}");
    }
}

/// All sessions of a comparison at once: the snapshot's, the looking ones, the readers'.
#[tokio::test]
async fn a_comparison_that_loses_all_its_sessions_begins_them_anew() {
    let (database, pairs) = fat_database().await;
    let throttle = Some(Throttle::Bytes(5e6));
    let options = Options { throttle, digest: Digest::Client, ..Options::default() };
    let out = tempfile::tempdir().expect("a folder");
    let context = ActContext::silent();
    let run = diff::run(&database.url, &pairs, &options, out.path(), &context);
    let end = async {
        let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
        let all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity AS a
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                      AND EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                     AND query LIKE 'SAVEPOINT%COPY%' AND state = 'active')";
        loop {
            let ended: i64 =
                sqlx::query_scalar(all).fetch_one(&mut connection).await.expect("it answers");
            if ended > 0 {
                return ended;
            }
        }
    };
    let (outcome, ended) = tokio::join!(run, end);
    let evidence = outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(ended > 3, "{ended}");
    assert!(evidence.complete && evidence.orgs_diverged == 0, "{evidence:?}");
}

/// A limit of the role's or the database's to the length of transactions, from PostgreSQL 17 on, is not ours.
#[tokio::test]
async fn a_transaction_timeout_ends_no_snapshot() {
    let (database, pairs) = fat_database().await;
    if !is_at_least(&database.url, 17).await {
        return;
    }
    let name = database.url.rsplit('/').next().expect("a name");
    let limit = format!("ALTER DATABASE {name} SET transaction_timeout = '500ms'");
    support::execute(&database.url, &limit).await;
    let throttle = Some(Throttle::Bytes(2e7));
    let options = Options { throttle, digest: Digest::Client, ..Options::default() };
    let out = tempfile::tempdir().expect("a folder");
    let context = ActContext::silent();
    let run = diff::run(&database.url, &pairs, &options, out.path(), &context).await;
    let evidence = run.unwrap_or_else(|error| panic!("{error}"));
    assert!(evidence.complete && evidence.duration_s > 1.0, "{evidence:?}");
    assert_eq!((evidence.orgs_diverged, evidence.snapshots), (0, 1), "{evidence:?}");
}

#[tokio::test]
async fn a_statement_timeout_is_an_error_that_names_it() {
    let (database, pairs) = fat_database().await;
    let name = database.url.rsplit('/').next().expect("a name");
    let limit = format!("ALTER DATABASE {name} SET statement_timeout = '250ms'");
    support::execute(&database.url, &limit).await;
    let throttle = Some(Throttle::Bytes(5e6));
    let options = Options { throttle, digest: Digest::Client, ..Options::default() };
    let error = fails(&database.url, &pairs, &options).await;
    assert!(error.hint().is_some_and(|hint| hint.contains("statement_timeout")), "{error}");
}
