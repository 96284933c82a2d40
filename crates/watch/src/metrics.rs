//! What a look says of each metric that is watched.

use cutover_evidence::watch::{Metric, Sample};
use cutover_ground::http::Failure;

/// What a look says of a metric; `None` if nobody said.
pub(super) fn value(metric: Metric, sample: &Sample) -> Option<f64> {
    match metric {
        Metric::RowDelta => sample.row_delta,
        Metric::CacheMisses if sample.cache_filling => None,
        Metric::CacheMisses => sample.hit_rate_percent.map(|hit| 100.0 - hit),
        Metric::ReplicaLag => sample.replica_lag_s,
        Metric::ErrorRate => sample.error_rate_percent,
        Metric::P95 => sample.p95_more_percent,
        Metric::Pool => percent(sample.pool_in_use, sample.pool_max),
        Metric::ReplicasGone => sample.replicas_gone.map(|count| count as f64),
        Metric::Triggers => sample.triggers_off.map(|count| count as f64),
        Metric::Connections => percent(sample.connections, sample.connections_max),
        Metric::Health => sample.system_status.as_deref().map(steps_from_healthy),
        Metric::PlatformAlerts => sample.critical_alerts.map(|count| count as f64),
        // That we had no file handle or port left says nothing of the platform.
        Metric::Silence => {
            let silent = sample.error.as_ref().is_some_and(|why| why != Failure::Local.name());
            Some(f64::from(silent))
        }
        Metric::DatabaseSilence => Some(f64::from(sample.database_error.is_some())),
    }
    .filter(|value| value.is_finite())
}

/// By the platform's own word; one that nobody knows is none of health.
fn steps_from_healthy(status: &str) -> f64 {
    match status.to_ascii_lowercase().as_str() {
        "healthy" | "ok" | "up" | "pass" => 0.0,
        "degraded" | "warning" | "warn" => 1.0,
        _ => 2.0,
    }
}

fn percent(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some(part? as f64 * 100.0 / whole as f64)
}
