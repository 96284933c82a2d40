//! Exact row counts of the table pairs: dear, so they are kept for a while.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::sql;

/// How long counts are kept before anybody counts again by himself.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// One table pair as counted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PairCount {
    pub name: String,
    pub row_count: i64,
    pub partitioned_row_count: i64,
    /// How far apart the two are; without a sign, so that no limit is met by a twin with too many.
    pub row_count_delta: u64,
    pub status: &'static str,
    pub partition_count: i64,
    /// `enabled`, `disabled`, or `missing`.
    pub dual_write_trigger: &'static str,
}

/// All pairs, counted on one snapshot.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub tables: Vec<PairCount>,
    pub at: DateTime<Utc>,
    taken: Instant,
}

impl Counted {
    /// Whether reads may go to the twins: every pair equal and every trigger at work.
    pub fn switchover_ready(&self) -> bool {
        let ready = |t: &PairCount| t.status == "synced" && t.dual_write_trigger == "enabled";
        !self.tables.is_empty() && self.tables.iter().all(ready)
    }
}

/// The newest counts.
#[derive(Default)]
pub(super) struct Counts {
    newest: RwLock<Option<Counted>>,
    /// One count at a time.
    counting: Mutex<()>,
}

impl Counts {
    /// The newest counts, whatever their age.
    pub fn newest(&self) -> Option<Counted> {
        self.newest.read().expect("no panic while held").clone()
    }

    /// The newest counts if they are fresh enough, else counts anew.
    pub async fn recent(&self, pool: &PgPool) -> sqlx::Result<Counted> {
        match self.newest().filter(|counted| counted.taken.elapsed() < KEPT_FOR) {
            Some(counted) => Ok(counted),
            None => self.fresh(pool).await,
        }
    }

    /// Counts; who asks while somebody counts gets a count that began after he asked.
    pub async fn fresh(&self, pool: &PgPool) -> sqlx::Result<Counted> {
        let asked = Instant::now();
        let _turn = self.counting.lock().await;
        if let Some(counted) = self.newest().filter(|counted| counted.taken >= asked) {
            return Ok(counted);
        }
        self.count(pool).await
    }

    /// Starts a count in the background if the newest is too old and nobody counts.
    pub fn refresh_in_background(self: &Arc<Self>, pool: &PgPool) {
        let old = self.newest().is_none_or(|counted| counted.taken.elapsed() >= KEPT_FOR);
        if old {
            let (counts, pool) = (self.clone(), pool.clone());
            tokio::spawn(async move {
                if let Ok(_turn) = counts.counting.try_lock() {
                    // A failure shows in the database's own health; the next poll tries again.
                    let _ = counts.count(&pool).await;
                }
            });
        }
    }

    async fn count(&self, pool: &PgPool) -> sqlx::Result<Counted> {
        let (taken, at) = (Instant::now(), Utc::now());
        let mut transaction = pool.begin().await?;
        // Without names: a pooler may hand the session to somebody else afterwards.
        sqlx::query(sql::COUNT_TIMEOUT).persistent(false).execute(&mut *transaction).await?;
        let rows: Vec<(String, i64, i64, i64, Option<String>)> =
            sqlx::query_as(sql::COUNTS).persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let tables = rows
            .into_iter()
            .map(|(name, row_count, partitioned_row_count, partition_count, trigger)| PairCount {
                name,
                row_count,
                partitioned_row_count,
                row_count_delta: row_count.abs_diff(partitioned_row_count),
                status: if row_count == partitioned_row_count { "synced" } else { "out_of_sync" },
                partition_count,
                dual_write_trigger: match trigger.as_deref() {
                    None => "missing",
                    Some("O" | "A") => "enabled",
                    Some(_) => "disabled",
                },
            })
            .collect();
        let counted = Counted { tables, at, taken };
        *self.newest.write().expect("no panic while held") = Some(counted.clone());
        Ok(counted)
    }
}
