//! What the tests share: a PostgreSQL server, and a database of its own for each test.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use cutover::pg;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

/// A database that is dropped at the end of its test.
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    server: String,
    name: String,
}

/// Creates a database on the server of `CUTOVER_TEST_DATABASE_URL`.
pub async fn database() -> TestDatabase {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server =
        std::env::var("CUTOVER_TEST_DATABASE_URL").expect("CUTOVER_TEST_DATABASE_URL is set");
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("seed_test_{}_{number}", std::process::id());
    let mut control = pg::connect(&server).await.expect("the test server answers");
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut control)
        .await
        .expect("may create databases");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    TestDatabase { url: format!("{base}/{name}"), server, name }
}

impl TestDatabase {
    /// A connection to it.
    pub async fn connect(&self) -> PgConnection {
        pg::connect(&self.url).await.expect("the database was just created")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be on its way out.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let options = PgConnectOptions::from_str(&server).expect("parsed before");
                let mut control = PgConnection::connect_with(&options).await.expect("answers");
                let statement = format!("DROP DATABASE {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut control).await
            })
        });
        if !matches!(dropped.join(), Ok(Ok(_))) {
            eprintln!("cannot drop the test database {}", self.name);
        }
    }
}
