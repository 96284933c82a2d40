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

    /// Hours that the handbook wants a state to be watched before the next step; `None` where it
    /// names none.
    pub fn watched_h(self) -> Option<f64> {
        match self {
            Self::Dev => None,
            Self::Staging | Self::Increment | Self::PostRollout => Some(24.0),
            Self::Pilot => Some(72.0),
        }
    }
}

/// A limit that a configuration may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// The criterion it belongs to.
    pub criterion: &'static str,
    /// The handbook's value.
    pub handbook: f64,
    /// Smallest and largest value that makes sense.
    pub range: (f64, f64),
    /// What the value counts.
    pub unit: &'static str,
}

/// Every limit that can be changed. What is not here is not negotiable: a row that differs is a
/// failure, and so is a measurement that cannot be trusted.
pub const LIMITS: [Limit; 7] = [
    limit("p95_overall", 0.10, (0.0, 10.0), "share above the baseline"),
    limit("p95_operations", 0.20, (0.0, 10.0), "share above the baseline"),
    limit("p95_history", 0.10, (0.0, 10.0), "share above earlier runs"),
    limit("error_rate", 0.001, (0.0, 1.0), "share of requests"),
    limit("cache_hit_rate", 0.70, (0.0, 1.0), "share of look-ups"),
    limit("row_delta", 10.0, (0.0, 1e9), "rows per table"),
    limit("replica_lag", 30.0, (0.0, 86_400.0), "seconds"),
];

const fn limit(
    criterion: &'static str,
    handbook: f64,
    range: (f64, f64),
    unit: &'static str,
) -> Limit {
    Limit { criterion, handbook, range, unit }
}

/// A limit that is not the handbook's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherLimit {
    /// The criterion, as in [`LIMITS`].
    pub criterion: String,
    /// The value that holds instead, in the unit of [`Limit::unit`].
    pub limit: f64,
    /// Why; shown beside the criterion wherever it is reported.
    pub reason: String,
    /// Only in this phase; in every phase where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}
