//! Plants what a case says in a database, over as many sessions as it wants.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::task::JoinHandle;

use super::case::{Case, Step};
use super::sql;
use cutover_error::{Context, Error, Result};
use cutover_ground::pg::{connect, failure};

/// How long a session may take to run into another one's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

impl Case {
    /// Plants the fault, with what is for loads alone if one is `loaded`; `role` stands for
    /// `{role}`.
    ///
    /// # Errors
    /// A run error that names the case if a statement does not end as the case says.
    pub async fn plant(&self, database_url: &str, role: &str, loaded: bool) -> Result<()> {
        let what = format!("fault {}", self.name);
        let mut connection = connect(database_url).await?;
        let more = if loaded { self.under_load.sql.as_str() } else { "" };
        for sql in [self.sql.as_str(), more] {
            let sql = AssertSqlSafe(sql.replace("{role}", role));
            let done = sqlx::raw_sql(sql).execute(&mut connection).await;
            done.map_err(|error| failure(&what, &error))?;
        }
        let _ = connection.close().await;
        let mut sessions = HashMap::new();
        for step in &self.steps {
            step.take(&what, database_url, &mut sessions).await?;
        }
        for (_, session) in sessions {
            let _ = session.idle(&what).await?.close().await;
        }
        Ok(())
    }
}

/// A connection, or what goes on over it.
enum Session {
    Idle(PgConnection),
    Busy(JoinHandle<(PgConnection, Option<String>)>, Option<String>),
}

impl Session {
    async fn idle(self, what: &str) -> Result<PgConnection> {
        match self {
            Self::Idle(connection) => Ok(connection),
            Self::Busy(work, expected) => {
                let (connection, failed) = work.await.or_run(what, "a step broke off")?;
                if failed == expected {
                    return Ok(connection);
                }
                let (failed, expected) = (failed.unwrap_or_default(), expected.unwrap_or_default());
                Err(Error::run(format!("{what}: ended with `{failed}`, not `{expected}`"), ""))
            }
        }
    }
}

impl Step {
    async fn take(
        &self,
        what: &str,
        url: &str,
        sessions: &mut HashMap<String, Session>,
    ) -> Result<()> {
        let mut connection = match sessions.remove(&self.session) {
            Some(session) => session.idle(what).await?,
            None => connect(url).await?,
        };
        let pid = sql::backend(&mut connection).await.unwrap_or_default();
        let sql = self.sql.clone();
        let work = tokio::spawn(async move {
            let outcome = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
            let failed = outcome.err().map(|error| {
                let code = error.as_database_error().and_then(|e| e.code().map(Into::into));
                code.unwrap_or_else(|| error.to_string())
            });
            (connection, failed)
        });
        let session = Session::Busy(work, self.fails.clone());
        let session = match self.blocks {
            true => {
                waits_for_a_lock(what, url, pid).await?;
                session
            }
            false => Session::Idle(session.idle(what).await?),
        };
        if !self.killed {
            sessions.insert(self.session.clone(), session);
        }
        Ok(())
    }
}

async fn waits_for_a_lock(what: &str, url: &str, pid: i32) -> Result<()> {
    let mut connection = connect(url).await?;
    let end = Instant::now() + LOCK_TIMEOUT;
    while Instant::now() < end {
        if sql::waits(&mut connection, pid).await? {
            let _ = connection.close().await;
            return Ok(());
        }
    }
    Err(Error::run(format!("{what}: a step that should wait for a lock does not"), ""))
}
