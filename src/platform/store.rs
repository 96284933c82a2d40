//! The database: pools that answer or fail in bounded time, and one function a statement.

use std::time::Duration;

use chrono::NaiveDate;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, FromRow, Row};
use tokio_util::sync::CancellationToken;

use super::flags::Side;
use super::replica::Replica;
use super::rows::{CashBalance, Change, Kind, NewBalance, NewTransaction, Transaction};
use super::sql;
use crate::error::{Context, Result};
use crate::pg;

/// Connections per pool: enough to keep a small server busy, few enough to keep it fast.
const CONNECTIONS: u32 = 16;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the server works on one statement.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a request waits altogether; a frozen server times nothing out by itself.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection idle for longer is tried before it is used: the server may have been restarted.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long the health check waits.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The pools.
pub(super) struct Store {
    primary: PgPool,
    pub replica: Option<Replica>,
}

/// Count and total of a group; `group` is absent on the row of the whole.
pub(super) struct Group<T> {
    pub group: Option<T>,
    pub count: i64,
    pub total: String,
}

impl Store {
    /// Opens the pools, all connections at once, so that none is opened while it is measured.
    pub async fn open(
        database_url: &str,
        replica_url: Option<&str>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let primary = open_pool(database_url).await?;
        let replica = match replica_url {
            Some(url) => Some(Replica::open(url, primary.clone(), stop).await?),
            None => None,
        };
        Ok(Self { primary, replica })
    }

    /// Where this org's reads go: the replica where it is near enough, else the primary.
    fn reader(&self, org_id: i64) -> &PgPool {
        self.replica.as_ref().and_then(|replica| replica.pool_for(org_id)).unwrap_or(&self.primary)
    }

    /// Where writes go; the org then reads from the primary for a while.
    fn writer(&self, org_id: i64) -> &PgPool {
        if let Some(replica) = &self.replica {
            replica.note_write(org_id);
        }
        &self.primary
    }

    pub async fn list(
        &self,
        kind: Kind,
        side: Side,
        org_id: i64,
        days: (NaiveDate, NaiveDate),
        limit: i64,
    ) -> sqlx::Result<Vec<Transaction>> {
        let query = sqlx::query_as(sql::reads(kind, side).list);
        let query = query.bind(org_id).bind(days.0).bind(days.1).bind(limit);
        bounded(query.fetch_all(self.reader(org_id))).await
    }

    pub async fn by_id(
        &self,
        kind: Kind,
        side: Side,
        org_id: i64,
        id: i64,
        date: Option<NaiveDate>,
    ) -> sqlx::Result<Option<Transaction>> {
        let reads = sql::reads(kind, side);
        let query = match date {
            Some(date) => sqlx::query_as(reads.by_id_and_date).bind(id).bind(org_id).bind(date),
            None => sqlx::query_as(reads.by_id).bind(id).bind(org_id),
        };
        bounded(query.fetch_optional(self.reader(org_id))).await
    }

    /// Count and total by category from the first day to the day before the second, the whole last.
    pub async fn by_category(
        &self,
        kind: Kind,
        side: Side,
        org_id: i64,
        days: (NaiveDate, NaiveDate),
    ) -> sqlx::Result<Vec<Group<String>>> {
        let statement = sql::reads(kind, side).by_category;
        bounded(groups(self.reader(org_id), statement, org_id, days)).await
    }

    /// Count and total by month of the year, only months that have rows.
    pub async fn by_month(
        &self,
        kind: Kind,
        side: Side,
        org_id: i64,
        days: (NaiveDate, NaiveDate),
    ) -> sqlx::Result<Vec<Group<i32>>> {
        let statement = sql::reads(kind, side).by_month;
        bounded(groups(self.reader(org_id), statement, org_id, days)).await
    }

    /// Writes a row; `None` where its idempotency key wrote one that is gone since.
    pub async fn insert(
        &self,
        kind: Kind,
        new: &NewTransaction,
    ) -> sqlx::Result<Option<Transaction>> {
        let pool = self.writer(new.org_id);
        let writes = sql::writes(kind);
        let Some(key) = &new.idempotency_key else {
            let query = bind_new(writes.insert, new);
            return bounded(query.fetch_one(pool)).await.map(Some);
        };
        let written = bind_new(writes.insert_once, new).bind(key).fetch_optional(pool);
        if let Some(row) = bounded(written).await? {
            return Ok(Some(row));
        }
        let earlier = sqlx::query_as(writes.by_key).bind(new.org_id).bind(key);
        bounded(earlier.fetch_optional(pool)).await
    }

    /// The row as it is after the change; `None` where org and id do not match.
    pub async fn update(&self, kind: Kind, change: &Change) -> sqlx::Result<Option<Transaction>> {
        let pool = self.writer(change.org_id);
        bounded(bind_change(kind, change).fetch_optional(pool)).await
    }

    /// Whether there was such a row.
    pub async fn delete(&self, kind: Kind, org_id: i64, id: i64) -> sqlx::Result<bool> {
        let query = sqlx::query(sql::writes(kind).delete).bind(id).bind(org_id);
        let done = bounded(query.execute(self.writer(org_id))).await?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn balances(
        &self,
        side: Side,
        org_id: i64,
        days: (NaiveDate, NaiveDate),
        limit: i64,
    ) -> sqlx::Result<Vec<CashBalance>> {
        let query = sqlx::query_as(sql::balances(side)).bind(org_id);
        let query = query.bind(days.0).bind(days.1).bind(limit);
        bounded(query.fetch_all(self.reader(org_id))).await
    }

    pub async fn upsert_balance(&self, new: &NewBalance) -> sqlx::Result<CashBalance> {
        let pool = self.writer(new.org_id);
        bounded(bind_balance(new).fetch_one(pool)).await
    }

    /// Whether the primary answers within a second.
    pub async fn ping(&self) -> bool {
        let query = sqlx::query(sql::PING).execute(&self.primary);
        matches!(tokio::time::timeout(PING_TIMEOUT, query).await, Ok(Ok(_)))
    }

    pub fn primary(&self) -> &PgPool {
        &self.primary
    }
}

/// Writes that go wrong on purpose.
impl Store {
    /// Does a write and takes it back; the caller gets what it would have got.
    pub async fn lose_insert(&self, kind: Kind, new: &NewTransaction) -> sqlx::Result<Transaction> {
        let mut transaction = self.primary.begin().await?;
        let query = bind_new(sql::writes(kind).insert, new);
        let row = bounded(query.fetch_one(&mut *transaction)).await?;
        transaction.rollback().await?;
        Ok(row)
    }

    pub async fn lose_update(
        &self,
        kind: Kind,
        change: &Change,
    ) -> sqlx::Result<Option<Transaction>> {
        let mut transaction = self.primary.begin().await?;
        let query = bind_change(kind, change);
        let row = bounded(query.fetch_optional(&mut *transaction)).await?;
        transaction.rollback().await?;
        Ok(row)
    }

    pub async fn lose_delete(&self, kind: Kind, org_id: i64, id: i64) -> sqlx::Result<bool> {
        self.by_id(kind, Side::Legacy, org_id, id, None).await.map(|row| row.is_some())
    }

    pub async fn lose_balance(&self, new: &NewBalance) -> sqlx::Result<CashBalance> {
        let mut transaction = self.primary.begin().await?;
        let row = bounded(bind_balance(new).fetch_one(&mut *transaction)).await?;
        transaction.rollback().await?;
        Ok(row)
    }

    /// An update, and the row as it was before.
    pub async fn update_and_remember(
        &self,
        kind: Kind,
        change: &Change,
    ) -> sqlx::Result<Option<(Transaction, Transaction)>> {
        let mut transaction = self.primary.begin().await?;
        let lock = sqlx::query_as(sql::writes(kind).lock).bind(change.id).bind(change.org_id);
        let before = bounded(lock.fetch_optional(&mut *transaction)).await?;
        let after = bounded(bind_change(kind, change).fetch_optional(&mut *transaction)).await?;
        transaction.commit().await?;
        Ok(before.zip(after))
    }

    /// Writes a row back as it was.
    pub async fn restore(&self, kind: Kind, old: &Transaction) -> sqlx::Result<()> {
        let query = sqlx::query(sql::writes(kind).restore)
            .bind(old.id)
            .bind(old.org_id)
            .bind(old.date)
            .bind(&old.amount)
            .bind(&old.category)
            .bind(&old.description)
            .bind(&old.status);
        bounded(query.execute(&self.primary)).await.map(|_| ())
    }
}

type Fetch<T> = sqlx::query::QueryAs<'static, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

fn bind_new(statement: &'static str, new: &NewTransaction) -> Fetch<Transaction> {
    sqlx::query_as(statement)
        .bind(new.org_id)
        .bind(new.property_id)
        .bind(new.date)
        .bind(new.amount)
        .bind(new.tax_rate)
        .bind(new.category.clone())
        .bind(new.payment_mode.clone())
        .bind(new.party.clone())
        .bind(new.description.clone())
}

fn bind_change(kind: Kind, change: &Change) -> Fetch<Transaction> {
    sqlx::query_as(sql::writes(kind).update)
        .bind(change.id)
        .bind(change.org_id)
        .bind(change.date)
        .bind(change.amount)
        .bind(change.description.is_some())
        .bind(change.description.clone().flatten())
        .bind(change.category.clone())
        .bind(change.payment_mode.clone())
        .bind(change.approve)
}

fn bind_balance(new: &NewBalance) -> Fetch<CashBalance> {
    sqlx::query_as(sql::UPSERT_BALANCE)
        .bind(new.org_id)
        .bind(new.property_id)
        .bind(new.date)
        .bind(new.opening)
        .bind(new.closing)
        .bind(new.note.clone())
}

async fn groups<T>(
    pool: &PgPool,
    statement: &'static str,
    org_id: i64,
    days: (NaiveDate, NaiveDate),
) -> sqlx::Result<Vec<Group<T>>>
where
    Group<T>: for<'r> FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    sqlx::query_as(statement).bind(org_id).bind(days.0).bind(days.1).fetch_all(pool).await
}

impl<'r, T> FromRow<'r, sqlx::postgres::PgRow> for Group<T>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    fn from_row(row: &'r sqlx::postgres::PgRow) -> sqlx::Result<Self> {
        Ok(Self { group: row.try_get(0)?, count: row.try_get(1)?, total: row.try_get(2)? })
    }
}

/// Gives up where nothing comes back in time.
async fn bounded<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(TOTAL_TIMEOUT, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// A pool whose sessions keep one generic plan per statement.
///
/// A custom plan is made anew for each execution, and its making costs more than running it where
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
pub(super) async fn open_pool(database_url: &str) -> Result<PgPool> {
    let timeout_ms = STATEMENT_TIMEOUT.as_millis().to_string();
    let options = pg::options(database_url)?
        .application_name("finance-platform")
        .options([("plan_cache_mode", "force_generic_plan"), ("statement_timeout", &*timeout_ms)]);
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
        .after_connect(|connection, _| Box::pin(prepare_reads(connection)))
        .connect_with(options)
        .await
        .or_run(
            format!("cannot connect to PostgreSQL at {}", pg::describe(database_url)),
            "is the server running, and may this user log in from here?",
        )
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
