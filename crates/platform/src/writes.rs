//! The writes, and the places where they can be told to go wrong.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Failure;
use super::cache::Scope;
use super::misbehave::Fault;
use super::request::App;
use super::rows::{CashBalance, Change, Kind, NewBalance, NewTransaction, Transaction};

/// How long after an update a stale one writes the old values back.
const STALE_AFTER: Duration = Duration::from_millis(500);

impl App {
    /// Writes a row, once per idempotency key.
    pub async fn insert(
        self: &Arc<Self>,
        kind: Kind,
        new: NewTransaction,
    ) -> Result<Transaction, Failure> {
        let (app, org_id) = (self.clone(), new.org_id);
        let work = async move {
            if app.injector.injects(Fault::LostWrite) {
                return app.store.lose_insert(kind, &new).await.map(Some);
            }
            let row = app.store.insert(kind, &new).await?;
            app.tear(kind, row.as_ref()).await?;
            if app.injector.injects(Fault::DoubleWrite) {
                let again = NewTransaction { idempotency_key: None, ..new };
                app.store.insert(kind, &again).await?;
            }
            Ok(row)
        };
        self.write((kind.name(), org_id), work).await?.ok_or_else(|| {
            Failure::Conflict("this Idempotency-Key wrote a row that is deleted since".into())
        })
    }

    /// Changes a row; `None` if org and id do not match.
    pub async fn update(
        self: &Arc<Self>,
        kind: Kind,
        change: Change,
    ) -> Result<Option<Transaction>, Failure> {
        let (app, org_id) = (self.clone(), change.org_id);
        let work = async move {
            if app.injector.injects(Fault::LostWrite) {
                return app.store.lose_update(kind, &change).await;
            }
            if app.injector.injects(Fault::StaleUpdate) {
                let rows = app.store.update_and_remember(kind, &change).await?;
                return Ok(rows.map(|(before, after)| {
                    tokio::spawn(write_back(app, kind, before));
                    after
                }));
            }
            let row = app.store.update(kind, &change).await?;
            app.tear(kind, row.as_ref()).await?;
            Ok(row)
        };
        self.write((kind.name(), org_id), work).await
    }

    /// Takes the twin's row away if writes are to be torn.
    async fn tear(&self, kind: Kind, row: Option<&Transaction>) -> sqlx::Result<()> {
        match row {
            Some(row) if self.injector.injects(Fault::TornWrite) => {
                self.store.forget_twin(kind, row.id).await
            }
            _ => Ok(()),
        }
    }

    /// Deletes a row; whether it was there.
    pub async fn delete(
        self: &Arc<Self>,
        kind: Kind,
        org_id: i64,
        id: i64,
    ) -> Result<bool, Failure> {
        let app = self.clone();
        let work = async move {
            match app.injector.injects(Fault::LostWrite) {
                true => app.store.lose_delete(kind, org_id, id).await,
                false => app.store.delete(kind, org_id, id).await,
            }
        };
        self.write((kind.name(), org_id), work).await
    }

    /// Sets a property's cash balance of a day.
    pub async fn upsert(
        self: &Arc<Self>,
        scope: (&str, i64),
        new: NewBalance,
    ) -> Result<CashBalance, Failure> {
        let app = self.clone();
        let work = async move {
            match app.injector.injects(Fault::LostWrite) {
                true => app.store.lose_balance(&new).await,
                false => app.store.upsert_balance(&new).await,
            }
        };
        self.write(scope, work).await
    }
}

async fn write_back(app: Arc<App>, kind: Kind, before: Transaction) {
    tokio::time::sleep(STALE_AFTER).await;
    // Nobody asked for it, so nobody is told when it fails.
    let _ = app.store.restore(kind, &before).await;
    app.cache.invalidate(&Scope::new(kind.name(), before.org_id)).await;
}
