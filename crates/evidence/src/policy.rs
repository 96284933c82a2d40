//! Figures that decide in more than one place, and that no configuration changes. What a
//! configuration may change is in [`super::limits`].

use super::limits::{LimitId, Limits};
use super::watch::Metric;

/// Percentages of the handbook's schedule (Phase 4), in order.
pub const SCHEDULE: [f64; 6] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0];

/// Handbook, rollback procedures: a standard rollback takes about 15 minutes.
pub const STANDARD_ROLLBACK_S: f64 = 900.0;
/// Handbook, rollback procedures: an emergency rollback takes about 30 minutes.
pub const EMERGENCY_ROLLBACK_S: f64 = 1800.0;
/// Handbook, decision matrix: a single org is taken back within 5 minutes.
pub const DISABLE_ORG_S: f64 = 300.0;
/// Handbook, escalation path, level 1: 0 to 15 minutes.
pub const ESCALATION_S: f64 = 900.0;

/// A load generator that was busier than this share of its processors may have been what was slow.
pub const GENERATOR_CPU_LIMIT: f64 = 0.8;
/// A load that did not send more than this share of its arrivals measured another load.
pub const SKIPPED_LIMIT: f64 = 0.001;
/// A cache's hit rate of fewer look-ups says nothing.
pub const LOOKUPS_ENOUGH: u64 = 200;
/// Between looks farther apart nobody watched, seconds: the handbook looks every hour at least.
pub const LONGEST_GAP_S: f64 = 3900.0;

/// Handbook, alert thresholds: a replica that is farther behind is a warning, seconds.
pub const REPLICA_LAG_WARNING_S: f64 = 10.0;
/// Handbook, alert thresholds: a lower hit rate is critical, a share of look-ups.
pub const HIT_RATE_CRITICAL: f64 = 0.50;

/// From when on a metric of a watch is a warning, and critical.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What is watched; the figures are in its unit.
    pub metric: Metric,
    /// Above it: a warning.
    pub warning: f64,
    /// Above it: critical.
    pub critical: f64,
    /// What to do then.
    pub action: &'static str,
}

/// The handbook's alert thresholds, then those of its lists of what to watch for. A limit that a
/// configuration changes moves the threshold that stands for it; a warning never comes after what
/// is critical.
pub fn thresholds(limits: &Limits<'_>) -> Vec<Threshold> {
    let percent = |limit| limits.value(limit) * 100.0;
    let misses = 100.0 - percent(LimitId::CacheHitRate);
    let all = [
        (
            Metric::RowDelta,
            100.0,
            limits.value(LimitId::RowDeltaEmergency),
            "check the dual-write triggers",
        ),
        (
            Metric::CacheMisses,
            misses,
            misses.max(100.0 - HIT_RATE_CRITICAL * 100.0),
            "investigate the cache's configuration",
        ),
        (
            Metric::ReplicaLag,
            REPLICA_LAG_WARNING_S,
            limits.value(LimitId::ReplicaLag),
            "check replication",
        ),
        (Metric::ErrorRate, 0.5, percent(LimitId::ErrorRateRollback), "consider rollback"),
        (Metric::P95, 20.0, percent(LimitId::P95Rollback), "investigate performance"),
        (Metric::Pool, 90.0, 99.9, "connection pool exhaustion: find what holds connections"),
        (
            Metric::ReplicasGone,
            0.5,
            0.5,
            "are they up? watch anew where they were taken away on purpose",
        ),
        (Metric::Triggers, 0.5, 0.5, "enable them, then cutover diff --repair: writes are missed"),
        (
            Metric::Connections,
            90.0,
            99.9,
            "connection pool exhaustion: find what holds connections",
        ),
        (Metric::Health, 0.5, 1.5, "see /monitoring/unified/health"),
        (Metric::PlatformAlerts, 0.5, 0.5, "see /monitoring/unified/metrics"),
        (Metric::Silence, 0.5, 0.5, "is the platform up?"),
        (Metric::DatabaseSilence, 0.5, 0.5, "is the database up, and may the role see all of it?"),
    ];
    let threshold = |(metric, warning, critical, action): (Metric, f64, f64, &'static str)| {
        Threshold { metric, warning: warning.min(critical), critical, action }
    };
    all.map(threshold).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OtherLimit;

    fn of(limits: &Limits<'_>, metric: Metric) -> (f64, f64) {
        let found = thresholds(limits).into_iter().find(|t| t.metric == metric);
        found
            .map(|threshold| (threshold.warning, threshold.critical))
            .expect("every metric has one")
    }

    #[test]
    fn every_threshold_is_the_handbooks_unless_its_owner_gave_a_reason() {
        let handbook = Limits::default();
        assert_eq!(of(&handbook, Metric::RowDelta), (100.0, 1000.0));
        assert_eq!(of(&handbook, Metric::CacheMisses), (30.0, 50.0));
        assert_eq!(of(&handbook, Metric::ReplicaLag), (10.0, 30.0));
        assert_eq!(of(&handbook, Metric::ErrorRate), (0.5, 1.0));
        assert_eq!(of(&handbook, Metric::P95), (20.0, 50.0));
        assert_eq!(thresholds(&handbook).len(), Metric::ALL.len());

        let other = |criterion, limit| OtherLimit {
            criterion,
            limit,
            reason: "agreed with finance".into(),
            phase: None,
        };
        let own = [
            other(LimitId::ReplicaLag, 5.0),
            other(LimitId::CacheHitRate, 0.40),
            other(LimitId::ErrorRateRollback, 0.05),
        ];
        let own = Limits { own: &own, phase: None };
        assert_eq!(of(&own, Metric::ReplicaLag), (5.0, 5.0));
        assert_eq!(of(&own, Metric::CacheMisses), (60.0, 60.0));
        assert_eq!(of(&own, Metric::ErrorRate), (0.5, 5.0));
    }
}
