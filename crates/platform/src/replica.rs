//! Reads from a streaming replica, as long as it is near enough to the primary.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use sqlx::PgPool;

use super::lag::Lag;
use super::pool::Database;
use super::sql;

/// A replica further behind than this is not read from.
const LAG_LIMIT_S: f64 = 5.0;
/// How often the lag is measured, and how long that may take.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
const MEASURE_TIMEOUT: Duration = Duration::from_secs(1);
/// For so long after a write an org reads from the primary, so that it sees what it wrote: longer
/// than the lag limit and the age of the measurement together.
const OWN_WRITES: Duration = Duration::from_secs(15);
/// How many recent writers are remembered before the old ones are swept out.
const WRITERS_SWEEP: usize = 10_000;

/// The replica and what is known of it.
pub(super) struct Replica {
    database: Database,
    /// Seconds behind; `None` while it does not answer.
    lag_s: Arc<RwLock<Option<f64>>>,
    writers: Mutex<HashMap<i64, Instant>>,
}

impl Replica {
    /// Watches how far behind it is, until `stop`.
    pub async fn watch(database: Database, primary: Database, stop: CancellationToken) -> Self {
        let mut gauge = LagGauge { primary, replica: database.clone(), lag: Lag::default() };
        let lag_s = Arc::new(RwLock::new(gauge.measure().await));
        let known = lag_s.clone();
        tokio::spawn(async move {
            let watch = async {
                loop {
                    tokio::time::sleep(MEASURE_EVERY).await;
                    let lag_s = gauge.measure().await;
                    *known.write().expect("no panic while held") = lag_s;
                }
            };
            stop.run_until_cancelled(watch).await;
        });
        Self { database, lag_s, writers: Mutex::default() }
    }

    /// Seconds behind the primary; `None` while it does not answer.
    pub fn lag_s(&self) -> Option<f64> {
        *self.lag_s.read().expect("no panic while held")
    }

    /// Whether it is read from.
    pub fn healthy(&self) -> bool {
        self.lag_s().is_some_and(|lag_s| lag_s < LAG_LIMIT_S)
    }

    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// The database, if this org may read from it.
    pub fn reader_for(&self, org_id: i64) -> Option<&Database> {
        let wrote = self.writers.lock().expect("no panic while held").get(&org_id).copied();
        let own_writes = wrote.is_some_and(|at| at.elapsed() < OWN_WRITES);
        (self.healthy() && !own_writes).then_some(&self.database)
    }

    pub fn note_write(&self, org_id: i64) {
        let mut writers = self.writers.lock().expect("no panic while held");
        if writers.len() >= WRITERS_SWEEP {
            writers.retain(|_, at| at.elapsed() < OWN_WRITES);
        }
        writers.insert(org_id, Instant::now());
    }
}

/// Measures how long ago the primary was where the replica is now.
struct LagGauge {
    primary: Database,
    replica: Database,
    lag: Lag,
}

impl LagGauge {
    /// Seconds, to the second or so; `None` if one of the two does not answer.
    async fn measure(&mut self) -> Option<f64> {
        let work = async {
            let seen = Instant::now();
            let primary = sqlx::query_as::<_, (i64,)>(sql::PRIMARY_POSITION);
            let (primary,) = self.primary.fetch_one(primary).await.ok()?;
            let replica = sqlx::query_as::<_, (Option<i64>,)>(sql::REPLICA_POSITION);
            let (replica,) = self.replica.fetch_one(replica).await.ok()?;
            Some((seen, primary, replica?))
        };
        let answered = tokio::time::timeout(MEASURE_TIMEOUT, work).await.ok().flatten();
        let (seen, primary, replica) = answered?;
        Some(self.lag.measured(seen, primary, replica))
    }
}
