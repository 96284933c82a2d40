//! Reads from a streaming replica, as long as it is near enough to the primary.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::pool::open_pool_lazily;
use super::sql;
use crate::error::Result;

/// A replica further behind than this is not read from.
const LAG_LIMIT_S: f64 = 5.0;
/// How often the lag is measured, and how long that may take.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
const MEASURE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many positions are remembered: an hour's, after which it is late enough.
const MOST_AHEAD: usize = 3600;
/// For so long after a write an org reads from the primary, so that it sees what it wrote: longer
/// than the lag limit and the age of the measurement together.
const OWN_WRITES: Duration = Duration::from_secs(15);
/// How many recent writers are remembered before the old ones are swept out.
const WRITERS_SWEEP: usize = 10_000;

/// The replica and what is known of it.
pub(super) struct Replica {
    pool: PgPool,
    /// Seconds behind; `None` while it does not answer.
    lag_s: Arc<RwLock<Option<f64>>>,
    writers: Mutex<HashMap<i64, Instant>>,
}

impl Replica {
    pub async fn open(url: &str, primary: PgPool, stop: CancellationToken) -> Result<Self> {
        let pool = open_pool_lazily(url)?;
        let mut gauge = LagGauge { primary, replica: pool.clone(), ahead: VecDeque::new() };
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
        Ok(Self { pool, lag_s, writers: Mutex::default() })
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
        &self.pool
    }

    /// The pool, where this org may read from it.
    pub fn pool_for(&self, org_id: i64) -> Option<&PgPool> {
        let wrote = self.writers.lock().expect("no panic while held").get(&org_id).copied();
        let own_writes = wrote.is_some_and(|at| at.elapsed() < OWN_WRITES);
        (self.healthy() && !own_writes).then_some(&self.pool)
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
///
/// The age of the last replayed transaction would be simpler, and wrong: after a quiet hour the
/// first write makes it an hour for a moment.
struct LagGauge {
    primary: PgPool,
    replica: PgPool,
    /// Positions of the primary that the replica has not reached, and when each was seen.
    ahead: VecDeque<(Instant, i64)>,
}

impl LagGauge {
    /// Seconds, to the second or so; `None` where one of the two does not answer.
    async fn measure(&mut self) -> Option<f64> {
        let work = async {
            let seen = Instant::now();
            let primary: i64 =
                sqlx::query_scalar(sql::PRIMARY_POSITION).fetch_one(&self.primary).await.ok()?;
            let replica: Option<i64> =
                sqlx::query_scalar(sql::REPLICA_POSITION).fetch_one(&self.replica).await.ok()?;
            Some((seen, primary, replica?))
        };
        let answered = tokio::time::timeout(MEASURE_TIMEOUT, work).await.ok().flatten();
        let (seen, primary, replica) = answered?;
        if self.ahead.len() < MOST_AHEAD {
            self.ahead.push_back((seen, primary));
        }
        while self.ahead.front().is_some_and(|(_, position)| *position <= replica) {
            self.ahead.pop_front();
        }
        Some(self.ahead.front().map_or(0.0, |(seen, _)| seen.elapsed().as_secs_f64()))
    }
}
