//! Pools that answer or fail in bounded time, with sessions that keep the two sides comparable.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgQueryResult, PgRow,
};
use sqlx::{Connection, FromRow, Postgres};

use super::rows::Kind;
use super::side::Side;
use super::sql;
use crate::database;
use crate::error::{Context, Result};

/// Connections per pool: enough to keep a small server busy, few enough that each has its plans made
/// and its catalog entries loaded soon after a start, and again after statistics have changed.
const CONNECTIONS: u32 = 6;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is tried at the start, when nobody waits for us.
const STARTUP_ATTEMPTS: u32 = 5;
/// How long the server works on one statement.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a request waits altogether; a frozen server times nothing out by itself.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection idle for longer is tried before it is used: the server may have been restarted.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long the health check waits.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Gives up if nothing comes back in time.
pub(super) async fn bounded<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(TOTAL_TIMEOUT, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// A pool whose sessions keep one generic plan per statement.
///
/// A custom plan is made anew for each execution, and its making costs more than running it if
/// there are partitions; a generic plan prunes when it starts. Left to itself, PostgreSQL compares
/// estimated costs that know nothing of pruning and stays with custom plans on the partitioned
/// side only. Average of one session, 1 million rows, 28 monthly partitions, PostgreSQL 15, ms:
///
/// | read | legacy auto | partitioned auto | custom | generic | legacy generic |
/// | --- | --- | --- | --- | --- | --- |
/// | list of 60 days | 0.116 | 0.206 | 0.213 | 0.128 | 0.111 |
/// | by id and date | 0.083 | 0.110 | 0.124 | 0.092 | 0.090 |
/// | by id alone | 0.085 | 0.186 | 0.816 | 0.191 | 0.083 |
/// | month | 0.097 | 0.143 | 0.147 | 0.111 | 0.100 |
/// | year | 0.165 | 0.476 | 0.459 | 0.201 | 0.149 |
///
/// Opens every connection before it returns, so that none is opened while it is measured: one after
/// the other, because sixteen at once would run into the timeout of each on a busy machine.
async fn open_pool(database_url: &str, way: Way) -> Result<PgPool> {
    // The pool knows only that it timed out; one plain connection says why.
    let plain = database::connect(database_url).await?;
    let pool = open_pool_lazily(database_url, way)?;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(acquire_patiently(&pool).await.or_run(
            format!("cannot open {CONNECTIONS} sessions at {}", database::describe(database_url)),
            "is max_connections of the server large enough?",
        )?);
    }
    drop(held);
    plain.close().await.or_run("cannot close a connection", "")?;
    Ok(pool)
}

async fn acquire_patiently(pool: &PgPool) -> sqlx::Result<PoolConnection<Postgres>> {
    for _ in 1..STARTUP_ATTEMPTS {
        match pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {}
            outcome => return outcome,
        }
    }
    pool.acquire().await
}

/// The same, of a server that need not be there yet.
fn open_pool_lazily(database_url: &str, way: Way) -> Result<PgPool> {
    let pool = match way {
        Way::Direct => {
            pool_options().after_connect(|connection, _| Box::pin(prepare_reads(connection)))
        }
        Way::Pooler => pool_options(),
    };
    Ok(pool.connect_lazy_with(session(database_url, way)?))
}

fn session(database_url: &str, way: Way) -> Result<PgConnectOptions> {
    let options = database::options(database_url)?;
    let timeout_ms = STATEMENT_TIMEOUT.as_millis().to_string();
    Ok(match way {
        Way::Direct => options.options([
            ("plan_cache_mode", "force_generic_plan"),
            ("statement_timeout", &*timeout_ms),
        ]),
        Way::Pooler => options,
    })
}

/// How a database is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Sessions of our own, with prepared statements and settings that last.
    Direct,
    /// Through a pooler in transaction mode, which lends a session for one transaction: nothing that
    /// is prepared or set outlasts it, so each statement is a transaction of its own, without a name.
    Pooler,
}

/// A database, and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: PgPool,
    way: Way,
}

impl Database {
    /// Opens every connection before it returns.
    pub async fn open(url: &str, way: Way) -> Result<Self> {
        Ok(Self { pool: open_pool(url, way).await?, way })
    }

    /// The same, of a server that need not be there yet.
    pub fn open_lazily(url: &str, way: Way) -> Result<Self> {
        Ok(Self { pool: open_pool_lazily(url, way)?, way })
    }

    /// The connections, for transactions of several statements.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub async fn fetch_all<'q, T>(&self, query: Asking<'q, T>) -> sqlx::Result<Vec<T>>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + 'q,
    {
        if self.way == Way::Direct {
            return query.fetch_all(&self.pool).await;
        }
        let mut transaction = self.pool.begin().await?;
        let rows = query.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await.map(|()| rows)
    }

    pub async fn fetch_optional<'q, T>(&self, query: Asking<'q, T>) -> sqlx::Result<Option<T>>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + 'q,
    {
        if self.way == Way::Direct {
            return query.fetch_optional(&self.pool).await;
        }
        let mut transaction = self.pool.begin().await?;
        let row = query.persistent(false).fetch_optional(&mut *transaction).await?;
        transaction.commit().await.map(|()| row)
    }

    pub async fn fetch_one<'q, T>(&self, query: Asking<'q, T>) -> sqlx::Result<T>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow> + 'q,
    {
        self.fetch_optional(query).await?.ok_or(sqlx::Error::RowNotFound)
    }

    pub async fn execute(
        &self,
        query: sqlx::query::Query<'_, Postgres, PgArguments>,
    ) -> sqlx::Result<PgQueryResult> {
        if self.way == Way::Direct {
            return query.execute(&self.pool).await;
        }
        let mut transaction = self.pool.begin().await?;
        let done = query.persistent(false).execute(&mut *transaction).await?;
        transaction.commit().await.map(|()| done)
    }
}

type Asking<'q, T> = sqlx::query::QueryAs<'q, Postgres, T, PgArguments>;

fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .min_connections(CONNECTIONS)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A round trip that every request would pay; a dead connection is found when it is given
        // back, or here when it has not been used for a while.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Prepares and plans every read once for an org that does not exist, so that the first requests
/// after a connect are as fast as the thousandth.
async fn prepare_reads(connection: &mut PgConnection) -> sqlx::Result<()> {
    let today = chrono::Utc::now().date_naive();
    for kind in Kind::ALL {
        for side in [Side::Legacy, Side::Partitioned] {
            let reads = sql::reads(kind, side);
            for statement in [reads.by_category, reads.by_month] {
                let query = sqlx::query(statement).bind(0_i64).bind(today).bind(today);
                query.execute(&mut *connection).await?;
            }
            let list = sqlx::query(reads.list).bind(0_i64).bind(today).bind(today).bind(1_i64);
            list.execute(&mut *connection).await?;
            let by_id = sqlx::query(reads.by_id).bind(0_i64).bind(0_i64);
            by_id.execute(&mut *connection).await?;
            let by_date = sqlx::query(reads.by_id_and_date).bind(0_i64).bind(0_i64).bind(today);
            by_date.execute(&mut *connection).await?;
        }
    }
    Ok(())
}
