//! What the tests share: a PostgreSQL server, and a database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use cutover::pg;
use sqlx::{AssertSqlSafe, Executor};

/// A database that is dropped at the end of its test.
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    name: String,
    server: url::Url,
}

/// A fresh database on the server of `CUTOVER_TEST_DATABASE_URL`.
pub async fn database() -> TestDatabase {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("CUTOVER_TEST_DATABASE_URL")
        .expect("CUTOVER_TEST_DATABASE_URL names a server to create databases on");
    let server = url::Url::parse(&server).expect("a URL");
    let name = format!("diff_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    execute(server.as_str(), &format!("CREATE DATABASE {name}")).await;
    let mut url = server.clone();
    url.set_path(&name);
    TestDatabase { url: url.into(), name, server }
}

/// Runs statements on a connection of their own.
pub async fn execute(url: &str, sql: &str) {
    let mut connection = pg::connect(url).await.expect("the server is up");
    connection
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    let _ = sqlx::Connection::close(connection).await;
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.to_string(), self.name.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            runtime.expect("a runtime").block_on(execute(&server, &sql));
        });
        let _ = dropped.join();
    }
}
