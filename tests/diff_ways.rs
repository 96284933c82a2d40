//! The ways in which rows are read: in shards, since a time, over several snapshots, resumed after
//! `kill -9`, held back, ended early, from servers that freeze or go away.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options, Shard, Throttle};
use cutover::error::{Error, Result};
use cutover::evidence::finding::{DiffEvidence, Finding};
use sqlx::{AssertSqlSafe, Executor};
use support::{compare, reference_database};

const BOTH: [Digest; 2] = [Digest::Client, Digest::Server];

/// Rows enough to be killed in the middle of; carried to the twin by the trigger.
const MANY_ROWS: &str = "
INSERT INTO revenue_transactions (id, org_id, date, amount)
SELECT i, i % 997 + 1, current_date - (i % 60)::int, i FROM generate_series(10001, 30000) AS i;
SELECT setval('revenue_transactions_id_seq', 1000000000)";

fn revenue() -> Vec<TablePair> {
    vec![TablePair::reference().remove(0)]
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

#[tokio::test]
async fn shards_together_equal_one_run() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let faults = "
        DELETE FROM revenue_transactions_partitioned WHERE id IN (1, 10500, 20001);
        UPDATE revenue_transactions_partitioned SET org_id = org_id + 1 WHERE id = 20004;
        UPDATE revenue_transactions SET org_id = -7 WHERE id = 20002;
        UPDATE revenue_transactions_partitioned SET amount = 0 WHERE id IN (20002, 20003)";
    support::execute(&database.url, faults).await;
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (whole, all) = compare(&database.url, &revenue(), &options).await;
        assert_eq!(all.len(), 6);
        let (mut orgs, mut diverged, mut rows, mut found) = (0, 0, 0, Vec::new());
        for index in 1..=3 {
            let shard = Some(Shard { index, of: 3 });
            let options = Options { shard, ..options.clone() };
            let (evidence, findings) = compare(&database.url, &revenue(), &options).await;
            assert!(evidence.scope.ends_with(&format!("shard {index} of 3")), "{}", evidence.scope);
            orgs += evidence.orgs_checked;
            diverged += evidence.orgs_diverged;
            rows += evidence.tables[0].legacy_rows;
            found.extend(findings.iter().map(key));
        }
        let mut all: Vec<String> = all.iter().map(key).collect();
        all.sort();
        found.sort();
        assert_eq!(found, all);
        assert_eq!((orgs, diverged), (whole.orgs_checked, whole.orgs_diverged));
        assert_eq!(rows, whole.tables[0].legacy_rows);
    }
}

#[tokio::test]
async fn since_a_time_only_what_changed_then_is_told() {
    let database = reference_database().await;
    let faults = "
        DELETE FROM revenue_transactions_partitioned WHERE id = 1;
        UPDATE revenue_transactions SET updated_at = '2026-06-02' WHERE id IN (6, 7, 8);
        UPDATE revenue_transactions_partitioned SET updated_at = '2026-01-02', amount = 0 WHERE id = 6;
        DELETE FROM revenue_transactions_partitioned WHERE id = 7;
        UPDATE revenue_transactions_partitioned SET amount = 0 WHERE id = 9";
    support::execute(&database.url, faults).await;
    let since = "2026-06-01T00:00:00Z".parse().ok();
    for digest in BOTH {
        let options = Options { digest, since, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &TablePair::reference(), &options).await;
        let mut found: Vec<String> = findings.iter().map(key).collect();
        found.sort();
        assert_eq!(found, ["mismatched 6", "missing 7"], "{digest:?}");
        assert!(evidence.scope.contains("a row deleted since"), "{}", evidence.scope);
        assert_eq!(evidence.tables[0].legacy_rows, 3);
    }
    let mut pairs = revenue();
    for (changed_at, text) in [(None, "changed_at"), (Some("amount".to_owned()), "not a time")] {
        pairs[0].changed_at = changed_at;
        let options = Options { since, ..Options::default() };
        let error = fails(&database.url, &pairs, &options).await;
        assert!(matches!(error, Error::Usage { .. }), "{error}");
        assert!(format!("{error} {:?}", error.hint()).contains(text), "{error}");
    }
}

/// Runs a diff that must fail and leave nothing behind.
async fn fails(url: &str, pairs: &[TablePair], options: &Options) -> Error {
    let out = tempfile::tempdir().expect("a folder");
    let outcome = diff::run(url, pairs, options, out.path(), &ActContext::silent()).await;
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
    outcome.expect_err("cannot be compared")
}

#[tokio::test]
async fn what_ended_early_says_so_and_is_no_pass() {
    let database = reference_database().await;
    let faults = "DELETE FROM revenue_transactions_partitioned WHERE id IN (1, 2, 7, 8, 13)";
    support::execute(&database.url, faults).await;
    for digest in BOTH {
        let options = Options { digest, max_findings: Some(2), ..Options::default() };
        let (evidence, findings) = compare(&database.url, &TablePair::reference(), &options).await;
        assert_eq!(findings.len(), 2, "{digest:?}");
        assert!(!evidence.complete && evidence.has_differences());
        assert!(evidence.incomplete_reason.contains("--max-findings"));
        // What the digests have told is not forgotten.
        assert_eq!(evidence.orgs_diverged, 3);
    }
    let (database, pairs) = fat_database().await;
    let options = Options {
        max_time: Some(Duration::from_millis(500)),
        throttle: Some(Throttle::Bytes(1e6)),
        digest: Digest::Client,
        ..Options::default()
    };
    let (evidence, _) = compare(&database.url, &pairs, &options).await;
    assert!(!evidence.complete && evidence.incomplete_reason.contains("--max-time"));
}

#[tokio::test]
async fn reading_is_held_back() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    for digest in BOTH {
        let throttle = Some(Throttle::Rows(40_000.0));
        let options = Options { digest, throttle, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &revenue(), &options).await;
        assert_eq!(findings, []);
        // 40,000 rows and some; never faster, however slow the machine is.
        assert!(evidence.duration_s > 1.0, "{} s", evidence.duration_s);
    }
}

/// Correct writes of every kind, as fast as the server takes them, until dropped.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    async fn start(url: &str) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let write = |n| tokio::spawn(write(url.to_owned(), n, stop.clone(), written.clone()));
        let tasks = (0..2).map(write).collect();
        let writers = Self { stop, written, tasks };
        writers.more_than(10).await;
        writers
    }

    async fn more_than(&self, writes: u64) {
        let before = self.written.load(Ordering::Relaxed);
        while self.written.load(Ordering::Relaxed) < before + writes {
            assert!(!self.tasks.iter().any(|task| task.is_finished()), "a writer broke");
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("the writer did not break");
        }
    }
}

async fn write(url: String, writer: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut connection = cutover::pg::connect(&url).await.expect("the server is up");
    let mut turn = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        // Rows of its own among the many, so that writers do not wait for each other.
        let id = 10_001 + (turn * 7919 % 9_000) * 2 + writer;
        let statement = match turn % 4 {
            0 => format!(
                "UPDATE revenue_transactions SET date = current_date - {} WHERE id = {id}",
                turn % 90
            ),
            1 => format!("UPDATE revenue_transactions SET amount = amount + 1 WHERE id = {id}"),
            2 => format!("DELETE FROM revenue_transactions WHERE id = {id}"),
            _ => format!(
                "INSERT INTO revenue_transactions (id, org_id, date, amount)
                 VALUES ({}, {}, current_date, 1)",
                100_000 + turn * 2 + writer,
                turn % 997 + 1
            ),
        };
        connection.execute(AssertSqlSafe(statement)).await.expect("a correct write");
        written.fetch_add(1, Ordering::Relaxed);
    }
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
            writers.more_than(1).await;
        }
    }
    writers.stop().await;
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
            command.args([way, "--checkpoint-every", "0s", "--throttle", "10000rows/s"]);
            command.args(["--no-probe", "--out"]);
            command.arg(out.path()).args(more).env("CUTOVER_DATABASE_URL", &database.url);
            command.stdout(std::process::Stdio::piped());
            command
        };
        for kill in 0..4 {
            let resume: &[&str] = if kill == 0 { &[] } else { &["--resume"] };
            let mut child = command(resume).spawn().expect("it starts");
            if kill == 0 {
                something_is_saved(out.path()).await;
            }
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..600))).await;
            child.kill().expect("it is killed");
            child.wait().expect("it ends");
        }
        something_is_saved(out.path()).await;
        let output = command(&["--resume"]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(11));
        let evidence: DiffEvidence = serde_json::from_slice(&output.stdout).expect("one object");
        let found: Vec<String> =
            evidence.findings.iter().filter(|f| f.org_id.is_some()).map(key).collect();
        assert_eq!(found, ["missing 3"], "{way}");
        assert!(evidence.complete && evidence.resumed);
        assert!(!out.path().join("checkpoint").exists());
        writers.more_than(1).await;
    }
    writers.stop().await;
}

/// Waits until a comparison has put a checkpoint in place.
async fn something_is_saved(out: &Path) {
    let is_whole = |file: std::io::Result<std::fs::DirEntry>| {
        file.is_ok_and(|file| file.path().extension().is_none())
    };
    for _ in 0..1000 {
        if std::fs::read_dir(out.join("checkpoint")).is_ok_and(|mut files| files.any(is_whole)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was saved within 20 s");
}

#[tokio::test]
async fn only_the_same_comparison_is_resumed() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let out = tempfile::tempdir().expect("a folder");
    let options = Options {
        throttle: Some(Throttle::Rows(20_000.0)),
        checkpoint_every: Duration::ZERO,
        digest: Digest::Client,
        probe: false,
        ..Options::default()
    };
    let context = ActContext::silent();
    let pairs = revenue();
    let stopped = diff::run(&database.url, &pairs, &options, out.path(), &context);
    let (stopped, ()) = tokio::join!(stopped, async {
        something_is_saved(out.path()).await;
        context.stop.cancel();
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let run = async |options: &Options| {
        let context = ActContext::silent();
        diff::run(&database.url, &revenue(), options, out.path(), &context).await
    };
    let options = Options { resume: true, throttle: None, ..options };
    let other = Options { shard: Some(Shard { index: 1, of: 2 }), ..options.clone() };
    let error = run(&other).await.expect_err("another comparison");
    assert!(matches!(&error, Error::Usage { .. }), "{error}");
    let resumed = run(&options).await.expect("goes on");
    assert!(resumed.complete && !resumed.has_differences());
    assert_eq!(resumed.tables[0].legacy_rows, 20_020);
    assert_eq!(resumed.tables[0].partitioned_rows, 20_020);
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
                        WHERE datname = current_database() AND query LIKE 'COPY%'";
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

/// A partition on another server is out of reach of our snapshot, so `auto` has one statement
/// look at both sides.
#[tokio::test]
async fn tables_over_several_servers_are_compared_by_the_server() {
    let database = reference_database().await;
    let url = url::Url::parse(&database.url).expect("a URL");
    let name = url.path().trim_start_matches('/');
    let sql = format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '{}', port '{}', dbname '{name}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere
             OPTIONS (user '{}', password '{}');
         CREATE FOREIGN TABLE far_leaf PARTITION OF revenue_transactions_partitioned
             FOR VALUES FROM ('1990-01-01') TO ('1990-02-01')
             SERVER elsewhere OPTIONS (table_name 'far');
         INSERT INTO revenue_transactions (id, org_id, date, amount) VALUES (91, 1, '1990-01-05', 1);
         INSERT INTO revenue_transactions (id, org_id, date, amount) VALUES (92, 2, '1990-01-06', 1)",
        url.host_str().expect("a host"),
        url.port().unwrap_or(5432),
        url.username(),
        url.password().unwrap_or_default(),
    );
    // A foreign leaf takes no index, and so no key.
    let no_key = "ALTER TABLE revenue_transactions_partitioned DROP CONSTRAINT
                      revenue_transactions_partitioned_pkey";
    support::execute(&database.url, no_key).await;
    support::execute(&database.url, "CREATE TABLE far (LIKE revenue_transactions)").await;
    support::execute(&database.url, &sql).await;
    support::execute(&database.url, "UPDATE far SET amount = 2 WHERE id = 92").await;
    let (evidence, findings) = compare(&database.url, &revenue(), &Options::default()).await;
    assert_eq!(evidence.digest, "server");
    assert!(evidence.digest_reason.contains("far_leaf"), "{}", evidence.digest_reason);
    let rows: Vec<String> = findings.iter().filter(|f| f.org_id.is_some()).map(key).collect();
    assert_eq!(rows, ["mismatched 92"]);
}

/// Hands bytes on, from the server slowly.
async fn thin_wire(server: &url::Url) -> url::Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut url = server.clone();
    url.set_port(Some(listener.local_addr().expect("an address").port())).expect("a port");
    let server = (server.host_str().expect("a host").to_owned(), server.port().unwrap_or(5432));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(server.clone()).await.expect("the server");
            tokio::spawn(carry(client, server));
        }
    });
    url
}

async fn carry(client: tokio::net::TcpStream, server: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let slowly = async {
        let mut buffer = vec![0; 65536];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    let _ = tokio::join!(tokio::io::copy(&mut from_client, &mut to_server), slowly);
}

#[tokio::test]
async fn auto_hashes_in_the_server_behind_a_thin_wire() {
    let database = reference_database().await;
    let far = thin_wire(&url::Url::parse(&database.url).expect("a URL")).await;
    let began = Instant::now();
    let (evidence, findings) = compare(far.as_str(), &revenue(), &Options::default()).await;
    assert_eq!((evidence.digest.as_str(), findings), ("server", vec![]), "{:?}", began.elapsed());
    assert!(evidence.digest_reason.contains("MB/s"), "{}", evidence.digest_reason);
}
