//! One state of the database, seen alike by several connections.
//!
//! A legacy write and its trigger's write commit together, so any single snapshot sees both or
//! neither. Two statements that each look at their own moment report differences that never were.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::copy::{CopyConnection, Link};
use super::wire::Relayed;
use super::{QualifiedName, connect, failure, options, sql};
use crate::error::{Error, Result};

/// A read-only transaction whose snapshot others can take; it lasts as long as this value.
pub struct Snapshot {
    connection: PgConnection,
    database_url: String,
    id: String,
}

impl Snapshot {
    /// Locks `tables` against being emptied or altered, then takes the snapshot.
    ///
    /// The locks come first: TRUNCATE heeds no snapshot, so a table emptied between the two would
    /// look as if it had been empty all along.
    ///
    /// # Errors
    /// A run error where the server cannot be reached or refuses.
    pub async fn take(database_url: &str, tables: &[QualifiedName]) -> Result<Self> {
        let mut connection = connect(database_url).await?;
        let refused = |error: sqlx::Error| failure("cannot take a snapshot", &error);
        connection.execute(sql::BEGIN_SNAPSHOT).await.map_err(refused)?;
        if !tables.is_empty() {
            let lock = AssertSqlSafe(sql::lock_tables(tables));
            connection.execute(lock).await.map_err(|e| failure("cannot lock the tables", &e))?;
        }
        let id: String = sqlx::query_scalar(sql::EXPORT_SNAPSHOT)
            .fetch_one(&mut connection)
            .await
            .map_err(refused)?;
        Ok(Self { connection, database_url: database_url.to_owned(), id })
    }

    /// The connection that holds the snapshot, for statements on it.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// A further connection that sees exactly this state, for reading by COPY.
    ///
    /// # Errors
    /// A run error where the server cannot be reached or no longer knows the snapshot.
    pub async fn reader(&self) -> Result<CopyConnection> {
        let options = options(&self.database_url)?;
        let relayed = Relayed::connect(&options).await;
        let Some(mut relayed) = relayed.map_err(|e| failure("cannot connect a reader", &e))? else {
            let mut connection = connect(&self.database_url).await?;
            self.share(&mut connection).await?;
            return Ok(CopyConnection(Link::Sqlx(connection)));
        };
        self.share(&mut relayed.connection).await?;
        let wire = relayed.take().await;
        let wire = wire.ok_or_else(|| Error::run("the connection of a reader was lost", ""))?;
        Ok(CopyConnection(Link::Wire(wire)))
    }

    async fn share(&self, connection: &mut PgConnection) -> Result<()> {
        for statement in [sql::BEGIN_SNAPSHOT.to_owned(), sql::set_snapshot(&self.id)] {
            connection
                .execute(AssertSqlSafe(statement))
                .await
                .map_err(|e| failure("cannot share the snapshot", &e))?;
        }
        Ok(())
    }

    /// Lets go of the snapshot, having asked whether it was held until now: a lost holder makes
    /// everything void that was read after it.
    ///
    /// # Errors
    /// A run error where it was lost.
    pub async fn close(mut self) -> Result<()> {
        let held = self.connection.ping().await;
        held.map_err(|e| Error::run(format!("the snapshot was lost: {e}"), "run the diff again"))?;
        // Nothing was changed and all was read; how the goodbye fares changes nothing.
        drop(self.connection.close().await);
        Ok(())
    }
}
