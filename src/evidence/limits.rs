//! The limits that a run is judged by: the handbook's, unless its owner gives a reason for another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Phases of the handbook, in their order.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Phase 1, development.
    Dev,
    /// Phase 2, the rehearsal in staging.
    #[default]
    Staging,
    /// Phase 3, the first organisations in production.
    Pilot,
    /// Phase 4, before and during each step of the percentage.
    Increment,
    /// After 100 %.
    PostRollout,
}

impl Phase {
    /// All of them, in the handbook's order.
    pub const ALL: [Self; 5] =
        [Self::Dev, Self::Staging, Self::Pilot, Self::Increment, Self::PostRollout];

    /// The word used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Pilot => "pilot",
            Self::Increment => "increment",
            Self::PostRollout => "post-rollout",
        }
    }
}

/// A limit that a configuration may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Its name in a configuration; that of the criterion it belongs to, or one of its own.
    pub name: &'static str,
    /// The criterion that it decides, and whose source says where it is not the handbook's.
    pub criterion: &'static str,
    /// The handbook's value in each phase of [`Phase::ALL`].
    pub handbook: [f64; 5],
    /// Smallest and largest value that makes sense.
    pub range: (f64, f64),
    /// What the value counts.
    pub unit: &'static str,
}

impl Limit {
    /// The handbook's value in a phase.
    pub fn in_phase(&self, phase: Phase) -> f64 {
        self.handbook[phase as usize]
    }

    /// A value as people read it: shares as percentages, without needless digits.
    pub fn shown(&self, value: f64) -> String {
        let value = if self.unit.starts_with("share") { value * 100.0 } else { value };
        ((value * 1e4).round() / 1e4).to_string()
    }
}

/// Every limit that can be changed. What is not here is not negotiable: a row that differs is a
/// failure, and so is a measurement that cannot be trusted.
pub const LIMITS: [Limit; 15] = [
    limit("p95_overall", "p95_overall", 0.10, (0.0, 10.0), "share above the baseline"),
    limit("p95_operations", "p95_operations", 0.20, (0.0, 10.0), "share above the baseline"),
    limit("p95_org_sizes", "p95_org_sizes", 0.20, (0.0, 10.0), "share above the baseline"),
    limit("p95_rollback", "p95_overall", 0.50, (0.0, 10.0), "share above the baseline"),
    limit("p95_felt", "p95_operations", 1.0, (0.0, 60_000.0), "milliseconds"),
    limit("p95_history", "p95_history", 0.10, (0.0, 10.0), "share above earlier runs"),
    limit("error_rate", "error_rate", 0.001, (0.0, 1.0), "share of requests"),
    limit("error_rate_rollback", "error_rate", 0.01, (0.0, 1.0), "share of requests"),
    limit("cache_hit_rate", "cache_hit_rate", 0.70, (0.0, 1.0), "share of look-ups"),
    limit("row_delta", "row_delta", 10.0, (0.0, 1e9), "rows per table"),
    limit("row_delta_emergency", "row_delta", 1000.0, (0.0, 1e9), "rows per table"),
    limit("replica_lag", "replica_lag", 30.0, (0.0, 86_400.0), "seconds"),
    limit("pool_exhaustion", "pool_exhaustion", 0.05, (0.0, 1.0), "share of looks"),
    limit("route_share", "route_share", 0.02, (0.0, 1.0), "share of requests"),
    Limit {
        // Phase 2, 24 hours; phase 3, 72 hours at least; phase 4, 24 hours between increments; the
        // first day after 100 %.
        handbook: [0.0, 24.0, 72.0, 24.0, 24.0],
        ..limit("watched", "watched", 0.0, (0.0, 8760.0), "hours")
    },
];

const fn limit(
    name: &'static str,
    criterion: &'static str,
    handbook: f64,
    range: (f64, f64),
    unit: &'static str,
) -> Limit {
    Limit { name, criterion, handbook: [handbook; 5], range, unit }
}

/// A limit that is not the handbook's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherLimit {
    /// The limit's name, as in [`LIMITS`].
    pub criterion: String,
    /// The value that holds instead, in the unit of [`Limit::unit`].
    pub limit: f64,
    /// Why; shown beside the criterion wherever it is reported.
    pub reason: String,
    /// Only in this phase; in every phase where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}
