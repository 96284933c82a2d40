//! The statements around planted faults: a database to begin from, made afresh for each, and how to
//! see that a session waits.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use url::Url;

use cutover_error::{Context, Error, Result};
use cutover_ground::pg::{connect, failure, quote_ident};

/// The database that is copied for each fault.
const BASE_DATABASE: &str = "cutover_faults";
/// One that is always there.
const MAINTENANCE: &str = "postgres";

pub(super) async fn backend(connection: &mut PgConnection) -> Result<i32> {
    let asked = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await;
    asked.map_err(|error| failure("cannot ask for the session's process", &error))
}

pub(super) async fn waits(connection: &mut PgConnection, pid: i32) -> Result<bool> {
    let asked = sqlx::query_scalar("SELECT cardinality(pg_blocking_pids($1)) > 0").bind(pid);
    let asked = asked.fetch_one(connection).await;
    asked.map_err(|error| failure("cannot ask who waits for whom", &error))
}

/// Makes the database that each fault begins from, empty; returns its URL.
///
/// # Errors
/// If the server does not let us.
pub async fn make_base(database_url: &str) -> Result<String> {
    let statements = [
        format!("DROP DATABASE IF EXISTS {BASE_DATABASE} WITH (FORCE)"),
        format!("CREATE DATABASE {BASE_DATABASE} TEMPLATE template0"),
    ];
    maintain(database_url, &statements).await?;
    on_server(database_url, BASE_DATABASE)
}

/// Fills it.
///
/// # Errors
/// If a statement fails.
pub async fn fill_base(base_url: &str) -> Result<()> {
    let mut connection = connect(base_url).await?;
    let done = sqlx::raw_sql(AssertSqlSafe(super::BASE)).execute(&mut connection).await;
    let _ = connection.close().await;
    done.map(drop).map_err(|error| failure("cannot fill the base of the faults", &error))
}

/// Puts a copy of the base in the place of a rig's database, whoever is connected to it.
///
/// # Errors
/// If the server does not let us.
pub async fn renew(database_url: &str) -> Result<()> {
    let url = Url::parse(database_url).or_run("the rig's database URL", "")?;
    let name = quote_ident(url.path().trim_start_matches('/'));
    let statements = [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name} TEMPLATE {BASE_DATABASE}"),
        format!("ALTER DATABASE {name} SET cutover.rig = 'on'"),
    ];
    maintain(database_url, &statements).await
}

async fn maintain(database_url: &str, statements: &[String]) -> Result<()> {
    let mut connection = connect(&on_server(database_url, MAINTENANCE)?).await?;
    for statement in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await;
        done.map_err(|error| failure("cannot make the rig's database afresh", &error))?;
    }
    let _ = connection.close().await;
    Ok(())
}

fn on_server(database_url: &str, name: &str) -> Result<String> {
    let mut url = Url::parse(database_url)
        .map_err(|error| Error::run(format!("the rig's database URL: {error}"), ""))?;
    url.set_path(name);
    Ok(url.into())
}
