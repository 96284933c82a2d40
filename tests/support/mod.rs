//! What the tests share: a PostgreSQL server, a database of its own for each test, the built
//! executable, and waiting for a condition instead of for a time.

#![allow(
    dead_code,
    reason = "each test file uses the part it needs; `expect` would fail in others"
)]

pub mod raw_http;
pub mod rig;
pub mod webhook;
pub mod writers;

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::evidence::finding::{DiffEvidence, Finding};
use cutover::rig::{Options, Stack};
use cutover::{diff, pg};
use sqlx::Connection;
use url::Url;

/// Names a server to use instead of a temporary one; its user must be allowed to make databases.
const SERVER_VARIABLE: &str = "CUTOVER_TEST_DATABASE_URL";

/// A database of one test's own, dropped with this value.
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    name: String,
}

/// Makes a database, on the server of `CUTOVER_TEST_DATABASE_URL` or else on a temporary server that
/// all tests of this file share. The rig's watchdog stops that server when the test process ends.
pub fn database() -> TestDatabase {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::SeqCst);
    let name = format!("cutover_test_{}_{number}", std::process::id());
    execute_on_server(format!("CREATE DATABASE {name}"));
    let mut url = Url::parse(server()).expect("a URL that we have just connected to");
    url.set_path(&name);
    TestDatabase { url: url.into(), name }
}

/// A database with the reference schema, four orgs, and not one difference.
pub async fn reference_database() -> TestDatabase {
    let database = database();
    fill(&database.url).await;
    database
}

/// Puts the tables and rows of [`reference_database`] into an empty database.
pub async fn fill(url: &str) {
    for sql in [
        include_str!("../../crates/platform/src/migrations/0001_tables.sql"),
        include_str!("../../crates/platform/src/migrations/0002_partitioned_twins.sql"),
        include_str!("../../crates/platform/src/migrations/0003_dual_write.sql"),
        include_str!("../../crates/platform/src/migrations/0005_carry_truncate.sql"),
        cutover::drill::faults::BASE,
    ] {
        execute(url, sql).await;
    }
}

/// Runs a diff and returns its evidence with every line of `findings.jsonl`.
pub async fn compare(
    url: &str,
    tables: &[TablePair],
    options: &diff::Options,
) -> (DiffEvidence, Vec<Finding>) {
    let out = tempfile::tempdir().expect("a folder");
    let evidence = diff::run(url, tables, options, out.path(), &ActContext::silent()).await;
    let evidence = evidence.unwrap_or_else(|e| panic!("{e}; {:?}", e.hint()));
    let lines = std::fs::read_to_string(out.path().join("findings.jsonl")).expect("findings.jsonl");
    let findings = lines.lines().map(|line| serde_json::from_str(line).expect("a finding"));
    (evidence, findings.collect())
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        execute_on_server(format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The built `cutover`, without what the caller's environment would tell it.
pub fn cutover() -> assert_cmd::Command {
    assert_cmd::Command::from_std(cutover_command())
}

/// The same as a plain command, to start it and go on.
pub fn cutover_command() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cutover"));
    for name in ["CUTOVER_DATABASE_URL", "CUTOVER_BASE_URL", "CUTOVER_CONFIG"] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command
}

/// Looks again and again until `condition` holds; false if it does not within `limit`.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    condition()
}

fn server() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| own_server().into()))
}

fn own_server() -> &'static str {
    // Statics are never dropped; the watchdog sees the end of this process and clears the rig away.
    static RIG: OnceLock<Stack> = OnceLock::new();
    RIG.get_or_init(start_server).database_url()
}

/// A PostgreSQL server with nothing in it.
pub fn start_server() -> Stack {
    let options = Options::postgres_only(env!("CARGO_BIN_EXE_cutover"));
    on_own_runtime(async move { Stack::start(options, &ActContext::silent()).await })
        .unwrap_or_else(|error| panic!("{error}\n{}", error.hint().unwrap_or_default()))
}

fn execute_on_server(statement: String) {
    let server = server();
    on_own_runtime(async move { execute(server, &statement).await });
}

/// Runs statements on a connection of their own.
pub async fn execute(url: &str, statements: &str) {
    let mut connection = pg::connect(url).await.expect("the test server answers");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statements}: {error}"));
    connection.close().await.expect("the connection closes");
}

/// Whether a comparison of the reference pairs says that a seed did not come to its end.
pub async fn says_unfinished(url: &str) -> bool {
    let out = tempfile::tempdir().expect("a folder");
    let (tables, options) = (TablePair::reference(), diff::Options::default());
    let compared = diff::run(url, &tables, &options, out.path(), &ActContext::silent()).await;
    let findings = compared.expect("the tables are there").findings;
    findings.iter().any(|finding| finding.class.word() == "seed_unfinished")
}

/// Works in ordinary and in async tests: a runtime cannot be started on a thread that runs one.
fn on_own_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(work)
    })
    .join()
    .expect("the work does not panic")
}

/// Moments at which something is killed: drawn anew each time, and drawn again from the seed that a test
/// prints, if `CUTOVER_KILL_SEED` names it.
pub struct Moments {
    seed: u64,
    drawn: u64,
}

impl Moments {
    /// Prints the seed: a test that fails shows it.
    pub fn announced() -> Self {
        let seed = std::env::var("CUTOVER_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(rand::random);
        println!("CUTOVER_KILL_SEED={seed}");
        Self { seed, drawn: 0 }
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.drawn += 1;
        xxhash_rust::xxh3::xxh3_64(&self.seed.wrapping_add(self.drawn).to_le_bytes())
    }
}
