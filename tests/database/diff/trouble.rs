//! Servers that freeze, go away or run out of patience.

use std::time::Duration;

use cutover::act::ActContext;
use cutover::diff::{self, Digest, Options, Throttle};
use cutover::error::{Error, Result};
use cutover::evidence::finding::DiffEvidence;

use crate::diff::{fails, fat_database, support};

/// Starts a slow comparison and does something to the backend that sends its rows.
async fn meanwhile(act: impl AsyncFn(i32)) -> Result<DiffEvidence> {
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
        let copying = "SELECT pid FROM pg_stat_activity
                        WHERE datname = current_database() AND query LIKE 'SAVEPOINT%COPY%'";
        loop {
            let pid: Option<i32> = sqlx::query_scalar(copying)
                .fetch_optional(&mut connection)
                .await
                .expect("an answer");
            if let Some(pid) = pid {
                act(pid).await;
                return (pid, database.url.clone());
            }
        }
    };
    let (outcome, (pid, _)) = tokio::join!(run, interfere);
    // A backend that was frozen must go on, or the database cannot be dropped.
    let pid = nix::unistd::Pid::from_raw(pid);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT);
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
    outcome
}

#[tokio::test]
async fn a_frozen_server_is_given_up() {
    let freeze = async |pid| {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("it is frozen");
    };
    let error = meanwhile(freeze).await.expect_err("it stands still");
    assert!(error.to_string().contains("sent nothing for 2 s"), "{error}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_an_error() {
    let end = async |pid| {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is told to end");
    };
    let error = meanwhile(end).await.expect_err("it is gone");
    assert!(matches!(&error, Error::Run { .. }) && error.to_string().contains("fat"), "{error}");
}

#[tokio::test]
async fn a_statement_timeout_is_an_error_that_names_it() {
    let (database, pairs) = fat_database().await;
    let name = database.url.rsplit('/').next().expect("a name");
    let limit = format!("ALTER DATABASE {name} SET statement_timeout = '700ms'");
    support::execute(&database.url, &limit).await;
    let throttle = Some(Throttle::Bytes(5e6));
    let options = Options { throttle, digest: Digest::Client, ..Options::default() };
    let error = fails(&database.url, &pairs, &options).await;
    assert!(error.hint().is_some_and(|hint| hint.contains("statement_timeout")), "{error}");
}
