//! A session that may not be ours alone, because a pooler may stand in between.
//!
//! Nothing of ours stays in it: each question is a transaction of its own, read-only, with settings that
//! end with it and statements without a name.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::QueryAs;
use sqlx::{AssertSqlSafe, Connection, FromRow, Postgres, Transaction};

use super::connect::{in_time, refused};
use super::{failure, options, sql};
use cutover_error::Result;

/// A connection for questions.
pub struct Shared {
    connection: PgConnection,
    limit: Duration,
    /// Whether an answer is still on its way, which must not be taken for the next one.
    stuck: bool,
}

/// A question whose answer's rows are tuples.
type Question<'q, T> = QueryAs<'q, Postgres, T, PgArguments>;

impl Shared {
    /// Connects; each question may take as long as `limit`, after which the server ends it.
    ///
    /// # Errors
    /// A usage error if the URL does not parse, a run error if the server cannot be reached.
    pub async fn connect(database_url: &str, limit: Duration) -> Result<Self> {
        let options = options(database_url)?;
        let connected = in_time(&options, PgConnection::connect_with(&options)).await?;
        let connection = connected.map_err(|error| refused(&options, &error))?;
        Ok(Self { connection, limit, stuck: false })
    }

    /// A transaction for several questions, whose statements must have no name either. Whoever gets to
    /// its end says so with `commit`: dropped, it stays open until the next question, and a pooler throws
    /// a session away that is left so.
    ///
    /// # Errors
    /// A run error if the server refuses.
    pub async fn look(&mut self) -> Result<Transaction<'_, Postgres>> {
        let begun = self.begin().await;
        begun.map_err(|error| failure("cannot begin to look", &error))
    }

    async fn begin(&mut self) -> sqlx::Result<Transaction<'_, Postgres>> {
        self.connection.begin_with(AssertSqlSafe(sql::begin_look(self.limit))).await
    }

    /// Asks; all the rows of the answer.
    ///
    /// # Errors
    /// If the server fails or refuses, or does not answer within the limit.
    pub async fn all<T>(&mut self, question: Question<'_, T>) -> sqlx::Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        if self.stuck {
            return Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        }
        self.stuck = true;
        // The server keeps the limit; this is for one that does not answer at all.
        let patience = self.limit + GRACE;
        let asked = tokio::time::timeout(patience, async {
            let mut look = self.begin().await?;
            match question.persistent(false).fetch_all(&mut *look).await {
                Ok(rows) => look.commit().await.map(|()| rows),
                Err(error) => {
                    // A pooler throws a session away that is left within a transaction, with all that an
                    // application has set in it.
                    let _ = look.rollback().await;
                    Err(error)
                }
            }
        });
        let answer =
            asked.await.map_err(|_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))?;
        self.stuck = false;
        answer
    }

    /// Asks for a row that is always there.
    ///
    /// # Errors
    /// As [`Self::all`]; [`sqlx::Error::RowNotFound`] if there is none.
    pub async fn one<T>(&mut self, question: Question<'_, T>) -> sqlx::Result<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.all(question).await?.pop().ok_or(sqlx::Error::RowNotFound)
    }

    /// Ends the connection.
    pub async fn close(self) {
        // It has served its purpose whether or not it closes politely.
        let _ = tokio::time::timeout(GRACE, self.connection.close()).await;
    }
}

/// Beyond the limit of a question, for what goes to and fro.
const GRACE: Duration = Duration::from_secs(2);
