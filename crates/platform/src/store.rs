//! The database: one function a statement.

use chrono::NaiveDate;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{FromRow, Postgres, Row};
use tokio_util::sync::CancellationToken;

use super::options::Options;
use super::pool::{Database, PING_TIMEOUT, Way, bounded};
use super::replica::Replica;
use super::rows::{CashBalance, Change, Kind, NewBalance, NewTransaction, Transaction};
use super::side::Side;
use super::sql;
use crate::error::Result;

/// The pools.
pub(super) struct Store {
    pub primary: Database,
    pub replica: Option<Replica>,
}

/// Count and total of a group; `group` is absent on the row of the whole.
pub(super) struct Group<T> {
    pub group: Option<T>,
    pub count: i64,
    pub total: String,
}

impl Store {
    /// Opens the pools, through the pooler if there is one.
    pub async fn open(options: &Options, stop: CancellationToken) -> Result<Self> {
        let way = |direct: &Option<String>, pooler: &Option<String>| match pooler {
            Some(url) => Some((url.clone(), Way::Pooler)),
            None => direct.clone().map(|url| (url, Way::Direct)),
        };
        let (url, through) = way(&Some(options.database_url.clone()), &options.pooler_url)
            .unwrap_or((options.database_url.clone(), Way::Direct));
        let primary = Database::open(&url, through).await?;
        let replica = match way(&options.replica_url, &options.replica_pooler_url) {
            Some((url, through)) => {
                let replica = Database::open_lazily(&url, through)?;
                Some(Replica::watch(replica, primary.clone(), stop).await)
            }
            None => None,
        };
        Ok(Self { primary, replica })
    }

    /// Where this org's reads go: the replica if it is near enough, else the primary.
    fn reader(&self, org_id: i64) -> &Database {
        self.replica
            .as_ref()
            .and_then(|replica| replica.reader_for(org_id))
            .unwrap_or(&self.primary)
    }

    /// Where writes go; the org then reads from the primary for a while.
    fn writer(&self, org_id: i64) -> &Database {
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
        bounded(self.reader(org_id).fetch_all(query)).await
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
        bounded(self.reader(org_id).fetch_optional(query)).await
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

    /// Writes a row; `None` if its idempotency key wrote one that is gone since.
    pub async fn insert(
        &self,
        kind: Kind,
        new: &NewTransaction,
    ) -> sqlx::Result<Option<Transaction>> {
        let pool = self.writer(new.org_id);
        let writes = sql::writes(kind);
        let Some(key) = &new.idempotency_key else {
            let query = bind_new(writes.insert, new);
            return bounded(pool.fetch_one(query)).await.map(Some);
        };
        let written = pool.fetch_optional(bind_new(writes.insert_once, new).bind(key));
        if let Some(row) = bounded(written).await? {
            return Ok(Some(row));
        }
        let earlier = sqlx::query_as(writes.by_key).bind(new.org_id).bind(key);
        bounded(pool.fetch_optional(earlier)).await
    }

    /// The row as it is after the change; `None` if org and id do not match.
    pub async fn update(&self, kind: Kind, change: &Change) -> sqlx::Result<Option<Transaction>> {
        let pool = self.writer(change.org_id);
        bounded(pool.fetch_optional(bind_change(kind, change))).await
    }

    /// Whether there was such a row.
    pub async fn delete(&self, kind: Kind, org_id: i64, id: i64) -> sqlx::Result<bool> {
        let query = sqlx::query(sql::writes(kind).delete).bind(id).bind(org_id);
        let done = bounded(self.writer(org_id).execute(query)).await?;
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
        bounded(self.reader(org_id).fetch_all(query)).await
    }

    pub async fn upsert_balance(&self, new: &NewBalance) -> sqlx::Result<CashBalance> {
        let pool = self.writer(new.org_id);
        bounded(pool.fetch_one(bind_balance(new))).await
    }

    /// Whether the primary answers within a second.
    pub async fn ping(&self) -> bool {
        let query = self.primary.execute(sqlx::query(sql::PING));
        matches!(tokio::time::timeout(PING_TIMEOUT, query).await, Ok(Ok(_)))
    }
}

pub(super) type Fetch<T> = sqlx::query::QueryAs<'static, Postgres, T, PgArguments>;

pub(super) fn bind_new(statement: &'static str, new: &NewTransaction) -> Fetch<Transaction> {
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

pub(super) fn bind_change(kind: Kind, change: &Change) -> Fetch<Transaction> {
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

pub(super) fn bind_balance(new: &NewBalance) -> Fetch<CashBalance> {
    sqlx::query_as(sql::UPSERT_BALANCE)
        .bind(new.org_id)
        .bind(new.property_id)
        .bind(new.date)
        .bind(new.opening)
        .bind(new.closing)
        .bind(new.note.clone())
}

async fn groups<T>(
    pool: &Database,
    statement: &'static str,
    org_id: i64,
    days: (NaiveDate, NaiveDate),
) -> sqlx::Result<Vec<Group<T>>>
where
    Group<T>: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    pool.fetch_all(sqlx::query_as(statement).bind(org_id).bind(days.0).bind(days.1)).await
}

impl<'r, T> FromRow<'r, PgRow> for Group<T>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        Ok(Self { group: row.try_get(0)?, count: row.try_get(1)?, total: row.try_get(2)? })
    }
}
