//! One state of the database, seen alike by several connections.
//!
//! A legacy write and its trigger's write commit together, so any single snapshot sees both or
//! neither. Two statements that each look at their own moment report differences that never were.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::connect::{self, CONNECT_TIMEOUT};
use super::copy::{CopyConnection, Link};
use super::session::{Access, Own};
use super::shortcut::shortcut;
use super::wire::Relayed;
use super::{Session, connect_reading, failure, sql};
use cutover_error::{Context, Error, Result};

/// A read-only transaction whose snapshot others can take; it lasts as long as this value.
///
/// It locks no table. Whoever reads on it has a table locked only while reading it, and has to see for
/// itself whether it was emptied, rewritten or dropped since: TRUNCATE heeds no snapshot.
pub struct Snapshot {
    connection: PgConnection,
    session: Session,
    /// How readers reach the server.
    readers: Own,
    id: String,
}

impl Snapshot {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// A run error if the server cannot be reached or refuses.
    pub async fn take(database_url: &str) -> Result<Self> {
        let mut connection = connect_reading(database_url).await?;
        let readers = Own::new(database_url, Access::Read)?;
        let shorter = shortcut(readers.options(), &mut connection).await;
        let readers = readers.by_way_of(shorter);
        let session = Session::of(&mut connection).await?;
        let id = begin(&mut connection).await?;
        Ok(Self { connection, session, readers, id })
    }

    /// Takes another, after the old one was let go.
    ///
    /// # Errors
    /// A run error if the new one is refused.
    pub async fn take_again(&mut self) -> Result<()> {
        self.id = begin(&mut self.connection).await?;
        Ok(())
    }

    /// Ends the transaction, and with it whatever others wait for.
    ///
    /// # Errors
    /// A run error if it was lost.
    pub async fn let_go(&mut self) -> Result<()> {
        in_time("the snapshot was lost", self.connection.execute(sql::END_SNAPSHOT)).await?;
        Ok(())
    }

    /// The session that holds it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The connection that holds the snapshot, for statements on it.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// A further connection that sees exactly this state, for reading by COPY; its readers give up
    /// if nothing comes for `stall`.
    ///
    /// # Errors
    /// A run error if the server cannot be reached or no longer knows the snapshot.
    pub async fn reader(&self, stall: Duration) -> Result<CopyConnection> {
        reader(&self.readers, stall, Some(self)).await
    }

    async fn share(&self, connection: &mut PgConnection) -> Result<()> {
        for statement in [sql::BEGIN_SNAPSHOT.to_owned(), sql::set_snapshot(&self.id)] {
            in_time("cannot share the snapshot", connection.execute(AssertSqlSafe(statement)))
                .await?;
        }
        Ok(())
    }

    /// Lets go of the snapshot, having asked whether it was held until now: a lost holder makes
    /// everything void that was read after it.
    ///
    /// # Errors
    /// A run error if it was lost.
    pub async fn close(mut self) -> Result<()> {
        in_time("the snapshot was lost", self.connection.ping()).await?;
        // Nothing was changed and all was read; how the goodbye fares changes nothing.
        drop(self.connection.close().await);
        Ok(())
    }
}

/// Begins the transaction; what its snapshot is called.
async fn begin(connection: &mut PgConnection) -> Result<String> {
    let refused = |error: sqlx::Error| failure("cannot take a snapshot", &error);
    connection.execute(sql::BEGIN_SNAPSHOT).await.map_err(refused)?;
    sqlx::query_scalar(sql::EXPORT_SNAPSHOT).fetch_one(connection).await.map_err(refused)
}

/// A connection for reading by COPY on which every statement sees the state of its own moment.
///
/// # Errors
/// A run error if the server cannot be reached.
pub async fn lone_reader(database_url: &str, stall: Duration) -> Result<CopyConnection> {
    reader(&Own::new(database_url, Access::Read)?, stall, None).await
}

async fn reader(own: &Own, stall: Duration, snapshot: Option<&Snapshot>) -> Result<CopyConnection> {
    let parts = snapshot.is_some();
    let (options, mark) = own.marked();
    let relayed = Relayed::connect(&options).await;
    let Some(mut relayed) = relayed.map_err(|error| own.refused(&error))? else {
        let mut connection = connect::in_time(own.options(), own.connect()).await??;
        let session = Session::of(&mut connection).await?;
        if let Some(snapshot) = snapshot {
            snapshot.share(&mut connection).await?;
        }
        return Ok(CopyConnection::new(Link::Sqlx(connection), session, stall, parts));
    };
    own.settle(&mut relayed.connection, &mark).await?;
    let session = Session::of(&mut relayed.connection).await?;
    if let Some(snapshot) = snapshot {
        snapshot.share(&mut relayed.connection).await?;
    }
    let wire = relayed.take().await;
    let wire = wire.ok_or_else(|| Error::run("the connection of a reader was lost", ""))?;
    Ok(CopyConnection::new(Link::Wire(wire), session, stall, parts))
}

/// Does what takes no time on a healthy server.
async fn in_time<T>(what: &str, asked: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, asked)
        .await
        .or_run(what, "the server does not answer: is it frozen?")?
        .map_err(|error| failure(what, &error))
}
