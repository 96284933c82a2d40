//! What the tests share: a PostgreSQL server, and a database of its own for each test.

#![allow(
    dead_code,
    reason = "each test file uses the part it needs; `expect` would fail in others"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use cutover::pg;
use sqlx::Connection;
use url::Url;

/// Names the server to use; its user must be allowed to make databases.
const SERVER_VARIABLE: &str = "CUTOVER_TEST_DATABASE_URL";

/// A database of one test's own, dropped with this value.
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    name: String,
}

/// Makes a database on the server of `CUTOVER_TEST_DATABASE_URL`.
pub fn database() -> TestDatabase {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::SeqCst);
    let name = format!("platform_test_{}_{number}", std::process::id());
    execute(format!("CREATE DATABASE {name}"));
    let mut url = Url::parse(&server()).expect("a URL that we have just connected to");
    url.set_path(&name);
    TestDatabase { url: url.into(), name }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        execute(format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The built `cutover`, without what the caller's environment would tell it.
pub fn cutover_command() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cutover"));
    for name in ["CUTOVER_DATABASE_URL", "CUTOVER_BASE_URL", "CUTOVER_CONFIG"] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command
}

fn server() -> String {
    std::env::var(SERVER_VARIABLE).expect("CUTOVER_TEST_DATABASE_URL names a server")
}

fn execute(statement: String) {
    let work = async move {
        let mut connection = pg::connect(&server()).await.expect("the test server answers");
        let statement = sqlx::AssertSqlSafe(statement);
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement runs");
        connection.close().await.expect("the connection closes");
    };
    // Works in ordinary and in async tests: a runtime cannot be started on a thread that runs one.
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime starts").block_on(work);
    })
    .join()
    .expect("the work does not panic");
}
