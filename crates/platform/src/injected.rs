//! Writes that go wrong on purpose; what [`super::misbehave`] decides, this does.
//!
//! Statements have no names here: a pooler may hand the session to somebody else.

use super::pool::bounded;
use super::rows::{CashBalance, Change, Kind, NewBalance, NewTransaction, Transaction};
use super::side::Side;
use super::sql;
use super::store::{Store, bind_balance, bind_change, bind_new};

impl Store {
    /// Does a write and takes it back; the caller gets what it would have got.
    pub async fn lose_insert(&self, kind: Kind, new: &NewTransaction) -> sqlx::Result<Transaction> {
        let mut transaction = self.primary.pool().begin().await?;
        let query = bind_new(sql::writes(kind).insert, new);
        let row = bounded(query.persistent(false).fetch_one(&mut *transaction)).await?;
        transaction.rollback().await?;
        Ok(row)
    }

    pub async fn lose_update(
        &self,
        kind: Kind,
        change: &Change,
    ) -> sqlx::Result<Option<Transaction>> {
        let mut transaction = self.primary.pool().begin().await?;
        let query = bind_change(kind, change);
        let row = bounded(query.persistent(false).fetch_optional(&mut *transaction)).await?;
        transaction.rollback().await?;
        Ok(row)
    }

    pub async fn lose_delete(&self, kind: Kind, org_id: i64, id: i64) -> sqlx::Result<bool> {
        self.by_id(kind, Side::Legacy, org_id, id, None).await.map(|row| row.is_some())
    }

    pub async fn lose_balance(&self, new: &NewBalance) -> sqlx::Result<CashBalance> {
        let mut transaction = self.primary.pool().begin().await?;
        let row = bounded(bind_balance(new).persistent(false).fetch_one(&mut *transaction)).await?;
        transaction.rollback().await?;
        Ok(row)
    }

    /// An update, and the row as it was before.
    pub async fn update_and_remember(
        &self,
        kind: Kind,
        change: &Change,
    ) -> sqlx::Result<Option<(Transaction, Transaction)>> {
        let mut transaction = self.primary.pool().begin().await?;
        let lock = sqlx::query_as(sql::writes(kind).lock).bind(change.id).bind(change.org_id);
        let before = bounded(lock.persistent(false).fetch_optional(&mut *transaction)).await?;
        let after =
            bounded(bind_change(kind, change).persistent(false).fetch_optional(&mut *transaction))
                .await?;
        transaction.commit().await?;
        Ok(before.zip(after))
    }

    /// Deletes the twin's row behind the trigger's back.
    pub async fn forget_twin(&self, kind: Kind, id: i64) -> sqlx::Result<()> {
        let query = sqlx::query(sql::writes(kind).forget_twin).bind(id);
        bounded(self.primary.execute(query)).await.map(|_| ())
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
        bounded(self.primary.execute(query)).await.map(|_| ())
    }
}
