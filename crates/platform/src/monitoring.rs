//! The handbook's monitoring endpoints, with true figures.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::answer::{Failure, ok_json};
use super::cache::CacheFigures;
use super::counts::Counted;
use super::input::Params;
use super::request::App;

/// The handbook's alert thresholds, warning and critical.
const ROW_DELTA: (u64, u64) = (100, 1000);
const HIT_RATE_PERCENT: (f64, f64) = (70.0, 50.0);
const REPLICA_LAG_S: (f64, f64) = (10.0, 30.0);
/// A hit rate over fewer lookups speaks of a cold start, not of the cache.
const LOOKUPS_ENOUGH: u64 = 10_000;

/// `GET /monitoring/partitions/metrics`: counts kept up to five minutes, `?fresh=true` counts now.
pub(super) async fn partitions(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let pool = app.store.primary.pool();
    let counted = match Params::read(query.as_deref()).get("fresh") {
        Some("true") => app.counts.fresh(pool).await,
        _ => app.counts.recent(pool).await,
    };
    match counted {
        Ok(counted) => ok_json(&partition_metrics(&app, Some(&counted))),
        Err(error) => Failure::from(error).into_response(),
    }
}

/// `GET /monitoring/unified/health`.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let state = Condition::look(&app).await;
    ok_json(&json!({
        "status": state.status(),
        "uptimeSeconds": app.started.elapsed().as_secs(),
        "database": state.database,
        "cache": state.cache.available,
    }))
}

/// `GET /monitoring/unified/metrics`: cheap enough to be polled every second.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.counts.refresh_in_background(app.store.primary.pool());
    let state = Condition::look(&app).await;
    let alerts = state.alerts();
    let critical = alerts.iter().filter(|(critical, _)| *critical).count();
    let messages: Vec<&String> = alerts.iter().map(|(_, message)| message).collect();
    let cache = state.cache;
    ok_json(&json!({
        "system": {
            "status": state.status(),
            "uptimeSeconds": app.started.elapsed().as_secs(),
        },
        "partitions": partition_metrics(&app, state.counted.as_ref()),
        "cache": {
            "hitRate": cache.hit_rate(),
            "hits": cache.hits,
            "lookups": cache.hits + cache.misses,
            "available": cache.available,
            "backend": cache.backend,
        },
        "database": {
            "available": state.database,
            "maxReplicaLag": state.replica_lag_s,
            "pool": pools(&app),
        },
        "alerts": {
            "critical": critical,
            "warning": alerts.len() - critical,
            "messages": messages,
        },
    }))
}

/// `GET /monitoring/cache/invalidation-metrics`.
pub(super) async fn invalidations(State(app): State<Arc<App>>) -> Response {
    let cache = app.cache.figures();
    ok_json(&json!({
        "cacheHitStats": {
            "hitRate": cache.hit_rate(),
            "hits": cache.hits,
            "misses": cache.misses,
        },
        "invalidations": cache.invalidations,
        "failures": cache.failures,
        "available": cache.available,
        "backend": cache.backend,
    }))
}

/// `GET /database/replica/lag`.
pub(super) async fn replica_lag(State(app): State<Arc<App>>) -> Response {
    let replicas: Vec<Value> = app
        .store
        .replica
        .iter()
        .map(|r| json!({ "name": "replica", "lagSeconds": r.lag_s(), "healthy": r.healthy() }))
        .collect();
    let max = app.store.replica.as_ref().and_then(|replica| replica.lag_s());
    ok_json(&json!({ "maxReplicaLag": max, "replicas": replicas }))
}

/// `GET /database/replica/pool-stats`.
pub(super) async fn pool_stats(State(app): State<Arc<App>>) -> Response {
    ok_json(&pools(&app))
}

fn pools(app: &App) -> Value {
    json!({
        "primary": pool(app.store.primary.pool()),
        "replica": app.store.replica.as_ref().map(|replica| pool(replica.pool())),
    })
}

fn pool(pool: &PgPool) -> Value {
    let (size, idle) = (pool.size(), pool.num_idle());
    json!({
        "size": size,
        "idle": idle,
        "inUse": (size as usize).saturating_sub(idle),
        "max": pool.options().get_max_connections(),
    })
}

/// Before the first count there are no tables, and nothing is ready.
fn partition_metrics(app: &App, counted: Option<&Counted>) -> Value {
    json!({
        "partitionedTablesEnabled": app.flags.get().any_partitioned(),
        "tables": counted.map_or(&[][..], |counted| &counted.tables),
        "switchoverReady": counted.is_some_and(Counted::switchover_ready),
        "countedAt": counted.map(|counted| counted.at),
    })
}

/// What health and alerts are judged by.
struct Condition {
    database: bool,
    cache: CacheFigures,
    has_replica: bool,
    replica_lag_s: Option<f64>,
    counted: Option<Counted>,
}

impl Condition {
    async fn look(app: &App) -> Self {
        let replica = app.store.replica.as_ref();
        Self {
            database: app.store.ping().await,
            cache: app.cache.figures(),
            has_replica: replica.is_some(),
            replica_lag_s: replica.and_then(|replica| replica.lag_s()),
            counted: app.counts.newest(),
        }
    }

    /// Unhealthy: requests fail, or the tables are far apart. Degraded: something is missing that
    /// has a fallback. A low hit rate alone is an alert, not an illness.
    fn status(&self) -> &'static str {
        let delta = self.largest_delta();
        let replica_missing =
            self.has_replica && self.replica_lag_s.is_none_or(|lag_s| lag_s > REPLICA_LAG_S.0);
        if !self.database || delta > ROW_DELTA.1 {
            "unhealthy"
        } else if !self.cache.available || replica_missing || delta > ROW_DELTA.0 {
            "degraded"
        } else {
            "healthy"
        }
    }

    /// Whether critical, and the message.
    fn alerts(&self) -> Vec<(bool, String)> {
        let mut alerts = Vec::new();
        if !self.database {
            alerts.push((true, "the database does not answer".into()));
        }
        for table in self.counted.iter().flat_map(|counted| &counted.tables) {
            let delta = table.row_count_delta;
            if delta > ROW_DELTA.0 {
                let what = format!("{}: row counts differ by {delta}", table.name);
                alerts.push((delta > ROW_DELTA.1, what));
            }
        }
        if !self.cache.available {
            alerts.push((false, "Redis does not answer; the cache is in memory".into()));
        }
        let (rate, lookups) = (self.cache.hit_rate(), self.cache.hits + self.cache.misses);
        if lookups >= LOOKUPS_ENOUGH && rate < HIT_RATE_PERCENT.0 {
            let what = format!("cache hit rate is {rate:.1} % of {lookups} lookups");
            alerts.push((rate < HIT_RATE_PERCENT.1, what));
        }
        if self.has_replica {
            match self.replica_lag_s {
                None => alerts.push((false, "the replica does not answer".into())),
                Some(lag_s) if lag_s > REPLICA_LAG_S.0 => {
                    let what = format!("the replica is {lag_s:.1} s behind");
                    alerts.push((lag_s > REPLICA_LAG_S.1, what));
                }
                Some(_) => {}
            }
        }
        alerts
    }

    fn largest_delta(&self) -> u64 {
        let tables = self.counted.iter().flat_map(|counted| &counted.tables);
        tables.map(|table| table.row_count_delta).max().unwrap_or(0)
    }
}
