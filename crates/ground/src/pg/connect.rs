//! Connections: sessions of our own, which read the same whatever the server's defaults are.

use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::failure;
use super::session::{Access, Own};
use cutover_error::{Context, Error, Result};

/// Reads a `postgres://` URL into options that ask nothing of the server but to log in: what a session
/// is asked for in its first message, a pooler may keep for whoever comes next, drop, or refuse.
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
    Ok(options.extra_float_digits(None).disable_statement_logging())
}

/// How long a server may take to say hello; a frozen one would take for ever.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens one connection that may write.
///
/// # Errors
/// A run error that names host, port and database, never the password; a usage error if a pooler
/// answers there.
pub fn connect(database_url: &str) -> BoxFuture<'_, Result<PgConnection>> {
    // In a box: else whoever waits for it compiles the handshake once more.
    Box::pin(async { own(database_url, Access::Write).await })
}

/// Opens one connection whose transactions cannot write.
///
/// # Errors
/// As [`connect`].
pub fn connect_reading(database_url: &str) -> BoxFuture<'_, Result<PgConnection>> {
    Box::pin(async { own(database_url, Access::Read).await })
}

/// Refuses a pooler, before anything is done that needs sessions of its own; how else a connection
/// fails is for whoever needs one.
///
/// # Errors
/// A usage error if the URL does not parse, or a pooler answers there.
pub async fn refuse_pooler(database_url: Option<&str>) -> Result<()> {
    let Some(database_url) = database_url else { return Ok(()) };
    match connect_reading(database_url).await {
        Err(error @ Error::Usage { .. }) => Err(error),
        Err(_) => Ok(()),
        Ok(connection) => {
            // It has served its purpose whether or not it closes politely.
            let _ = connection.close().await;
            Ok(())
        }
    }
}

async fn own(database_url: &str, access: Access) -> Result<PgConnection> {
    let own = Own::new(database_url, access)?;
    in_time(own.options(), own.connect()).await?
}

/// Why somebody was not let in.
pub(super) fn refused(options: &PgConnectOptions, error: &sqlx::Error) -> Error {
    let what = cannot_connect(options);
    match error {
        sqlx::Error::Database(_) => failure(what, error),
        error if error.to_string().contains(OLD_CERTIFICATE) => Error::run(
            format!(
                "{what}: its certificate is X.509 version 1 or 2, which TLS 1.3 and this program do not take"
            ),
            "give the server one of version 3 (openssl req -x509 makes them), or write sslmode=disable where \
             the way to it is safe",
        ),
        error => Error::run(format!("{what}: {error}"), "is the server running there?"),
    }
}

/// How rustls says it, at whatever `sslmode`.
const OLD_CERTIFICATE: &str = "UnsupportedCertVersion";

fn cannot_connect(options: &PgConnectOptions) -> String {
    format!("cannot connect to PostgreSQL at {}", place(options))
}

/// Waits for a connection no longer than a server that is well needs.
pub(super) async fn in_time<T>(
    options: &PgConnectOptions,
    asked: impl Future<Output = T>,
) -> Result<T> {
    let hint = "the server accepts connections but does not answer: is it frozen?";
    tokio::time::timeout(CONNECT_TIMEOUT, asked).await.or_run(cannot_connect(options), hint)
}

/// `host:port/database` of a URL, for messages and reports.
pub fn describe(database_url: &str) -> String {
    match PgConnectOptions::from_str(database_url) {
        Ok(options) => place(&options),
        Err(_) => "(unreadable URL)".into(),
    }
}

/// The same of options.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let host = options
        .get_socket()
        .map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    let database = options.get_database().unwrap_or("(default)");
    format!("{host}:{}/{database}", options.get_port())
}
