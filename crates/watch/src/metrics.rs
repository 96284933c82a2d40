//! What is watched: each metric's words, its thresholds, and if a look says it.

use cutover_evidence::watch::{Metric, Sample};

/// Metric, warning above, critical above, and what to do: the handbook's table, then its lists of
/// what to watch for.
pub(super) const THRESHOLDS: [(Metric, f64, f64, &str); 13] = [
    (Metric::RowDelta, 100.0, 1000.0, "check the dual-write triggers"),
    (Metric::CacheMisses, 30.0, 50.0, "investigate the cache's configuration"),
    (Metric::ReplicaLag, 10.0, 30.0, "check replication"),
    (Metric::ErrorRate, 0.5, 1.0, "consider rollback"),
    (Metric::P95, 20.0, 50.0, "investigate performance"),
    (Metric::Pool, 90.0, 99.9, "connection pool exhaustion: find what holds connections"),
    (
        Metric::ReplicasGone,
        0.5,
        0.5,
        "are they up? watch anew where they were taken away on purpose",
    ),
    (Metric::Triggers, 0.5, 0.5, "enable them, then cutover diff --repair: writes are missed"),
    (Metric::Connections, 90.0, 99.9, "connection pool exhaustion: find what holds connections"),
    (Metric::Health, 0.5, 1.5, "see /monitoring/unified/health"),
    (Metric::PlatformAlerts, 0.5, 0.5, "see /monitoring/unified/metrics"),
    (Metric::Silence, 0.5, 0.5, "is the platform up?"),
    (Metric::DatabaseSilence, 0.5, 0.5, "is the database up, and may the role see all of it?"),
];

/// Every metric with the figures above which it is a warning, and critical.
pub(super) fn limits() -> impl Iterator<Item = (Metric, f64, f64)> {
    THRESHOLDS.iter().map(|(metric, warning, critical, _)| (*metric, *warning, *critical))
}

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
        Metric::Silence => Some(f64::from(sample.error.is_some())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_is_the_handbooks() {
        let of = |metric| THRESHOLDS.iter().find(|(m, ..)| *m == metric).map(|t| (t.1, t.2));
        assert_eq!(of(Metric::RowDelta), Some((100.0, 1000.0)));
        assert_eq!(of(Metric::CacheMisses), Some((100.0 - 70.0, 100.0 - 50.0)));
        assert_eq!(of(Metric::ReplicaLag), Some((10.0, 30.0)));
        assert_eq!(of(Metric::ErrorRate), Some((0.5, 1.0)));
        assert_eq!(of(Metric::P95), Some((20.0, 50.0)));
    }
}
