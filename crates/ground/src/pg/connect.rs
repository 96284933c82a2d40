//! Connections, with a session that reads the same whatever the server's defaults are.

use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::failure;
use cutover_error::{Context, Error, Result};
use log::LevelFilter;

/// Session settings under which equal values always look equal, under which row-level security
/// raises an error instead of hiding rows, under which a transaction that keeps a snapshot for others is
/// not ended for idling, and a statement ends with the program that asked it.
const SESSION: [(&str, &str); 8] = [
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("row_security", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    ("client_connection_check_interval", "5s"),
];

/// Reads a `postgres://` URL into options with our session settings.
///
/// # Errors
/// A usage error if the URL does not parse; the message never repeats the URL, which may hold
/// a password.
pub fn options(database_url: &str) -> Result<PgConnectOptions> {
    let hint = "write postgres://user:password@host:port/database";
    if !database_url.starts_with("postgres://") && !database_url.starts_with("postgresql://") {
        return Err(Error::usage("database URL: it does not begin with postgres://", hint));
    }
    let options =
        PgConnectOptions::from_str(database_url).or_usage("database URL does not parse", hint)?;
    Ok(options.application_name("cutover").options(SESSION).disable_statement_logging())
}

/// The same for a session that only reads: each of its transactions is read-only, so that no slip of
/// ours and no function that a statement calls can change anything; and it waits for no lock for long:
/// what it would wait for may be waiting for it.
///
/// # Errors
/// As [`options`].
pub fn reading_options(database_url: &str) -> Result<PgConnectOptions> {
    let reading = [("default_transaction_read_only", "on"), ("lock_timeout", "60s")];
    // What only reads shows its statements to whoever asks: their values stand elsewhere.
    let options = options(database_url)?.options(reading).log_statements(LevelFilter::Trace);
    Ok(options.log_slow_statements(LevelFilter::Debug, SLOW_STATEMENT))
}

/// A statement that takes longer is told of with one `-v`.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);
/// How long a server may take to say hello; a frozen one would take for ever.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens one connection that may write.
///
/// # Errors
/// A run error that names host, port and database, never the password.
pub fn connect(database_url: &str) -> BoxFuture<'_, Result<PgConnection>> {
    // In a box: else whoever waits for it compiles the handshake once more.
    Box::pin(async { open(database_url, options(database_url)?).await })
}

/// Opens one connection whose transactions cannot write.
///
/// # Errors
/// As [`connect`].
pub fn connect_reading(database_url: &str) -> BoxFuture<'_, Result<PgConnection>> {
    Box::pin(async { open(database_url, reading_options(database_url)?).await })
}

async fn open(database_url: &str, options: PgConnectOptions) -> Result<PgConnection> {
    tracing::debug!(server = describe(database_url), "connecting");
    let what = format!("cannot connect to PostgreSQL at {}", describe(database_url));
    tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options))
        .await
        .or_run(&what, "the server accepts connections but does not answer: is it frozen?")?
        .map_err(|error| match error {
            sqlx::Error::Database(_) => failure(&what, &error),
            error => Error::run(format!("{what}: {error}"), "is the server running there?"),
        })
}

/// `host:port/database` of a URL, for messages and reports.
pub fn describe(database_url: &str) -> String {
    match PgConnectOptions::from_str(database_url) {
        Ok(options) => {
            let host = options
                .get_socket()
                .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
            let database = options.get_database().unwrap_or("(default)");
            format!("{host}:{}/{database}", options.get_port())
        }
        Err(_) => "(unreadable URL)".into(),
    }
}
