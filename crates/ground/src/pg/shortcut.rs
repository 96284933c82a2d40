//! The short way to a server on this machine: over its UNIX socket rows cost both ends less than over
//! the loopback interface.

use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use super::sql;
use super::wire::is_this_machine;

/// How long the try may take.
const SHORTCUT_TIMEOUT: Duration = Duration::from_secs(5);

/// The same options by way of the server's UNIX socket; `None` if it has none that we may use.
///
/// The address alone proves nothing: a tunnel's end is on this machine, too, and so may be another
/// server with the same socket. So the server behind the socket must know the session at hand.
pub(super) async fn shortcut(
    options: &PgConnectOptions,
    connection: &mut PgConnection,
) -> Option<PgConnectOptions> {
    let encrypted = !matches!(
        options.get_ssl_mode(),
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer
    );
    if options.get_socket().is_some() || !is_this_machine(options.get_host()) || encrypted {
        return None;
    }
    tokio::time::timeout(SHORTCUT_TIMEOUT, find(options, connection)).await.ok()?
}

async fn find(
    options: &PgConnectOptions,
    connection: &mut PgConnection,
) -> Option<PgConnectOptions> {
    let (folders, port, pid, began): (String, String, i32, String) =
        sqlx::query_as(sql::THIS_SESSION).persistent(false).fetch_one(connection).await.ok()?;
    let port: u16 = port.parse().ok()?;
    let folders = folders.split(',').map(|folder| folder.trim().trim_matches('"'));
    let has_socket = |folder: &&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    let folder = folders.into_iter().find(has_socket)?.to_owned();
    let shorter = options.clone().socket(folder).port(port).ssl_mode(PgSslMode::Disable);
    let mut other = PgConnection::connect_with(&shorter).await.ok()?;
    let knows = sqlx::query_scalar(sql::KNOWS_SESSION).persistent(false).bind(pid).bind(began);
    let knows: bool = knows.fetch_one(&mut other).await.ok()?;
    // Nothing was changed; how the goodbye fares changes nothing.
    drop(other.close().await);
    knows.then_some(shorter)
}
