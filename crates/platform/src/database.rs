//! The way to PostgreSQL.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::error::{Context, Error, Result};

/// How long a server may take to answer; a frozen one would take for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A `postgres://` URL as options. Days and times are those of UTC, and a statement ends with the
/// platform that asked it.
///
/// # Errors
/// A usage error if the URL does not parse; it never repeats the URL, which may hold a password.
pub(super) fn options(url: &str) -> Result<PgConnectOptions> {
    let hint = "write postgres://user:password@host:port/database";
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::usage("database URL: it does not begin with postgres://", hint));
    }
    let options = PgConnectOptions::from_str(url).or_usage("database URL does not parse", hint)?;
    let session = [("timezone", "UTC"), ("client_connection_check_interval", "5s")];
    Ok(options.application_name("finance-platform").options(session).disable_statement_logging())
}

/// Opens one connection.
///
/// # Errors
/// A run error that names host, port and database, never the password.
pub(super) async fn connect(url: &str) -> Result<PgConnection> {
    let what = format!("cannot connect to PostgreSQL at {}", describe(url));
    tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options(url)?))
        .await
        .or_run(&what, "the server accepts connections but does not answer: is it frozen?")?
        .or_run(&what, "is the server running there, and may this user log in?")
}

/// `host:port/database` of a URL, for messages.
pub(super) fn describe(url: &str) -> String {
    let Ok(options) = PgConnectOptions::from_str(url) else {
        return "(unreadable URL)".to_owned();
    };
    let host = match options.get_socket() {
        Some(path) => path.display().to_string(),
        None => options.get_host().to_owned(),
    };
    format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or("(default)"))
}
