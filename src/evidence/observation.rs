//! What the platform said about itself while the load ran.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One look at the platform's monitoring endpoints.
///
/// A field is `None` where the endpoint did not answer or did not say; that is itself an
/// observation and never taken for a good value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    /// Seconds since the load began (negative: before).
    pub at_s: f64,
    /// `healthy`, `degraded`, `unhealthy`.
    pub system_status: Option<String>,
    /// Cache hits since the platform started.
    pub cache_hits: Option<u64>,
    /// Cache look-ups since the platform started.
    pub cache_lookups: Option<u64>,
    /// Whether the external cache answered.
    pub cache_available: Option<bool>,
    /// The platform's own figure of its hit rate, in percent.
    pub cache_hit_rate_percent: Option<f64>,
    /// The largest lag of a replica, in seconds; `None` where there is no replica.
    pub replica_lag_s: Option<f64>,
    /// Critical alerts raised by the platform.
    pub critical_alerts: Option<u64>,
    /// Warnings raised by the platform.
    pub warning_alerts: Option<u64>,
    /// Connections of the fullest pool that are in use.
    #[serde(default)]
    pub pool_in_use: Option<u64>,
    /// Connections that this pool may have.
    #[serde(default)]
    pub pool_max: Option<u64>,
    /// Why there is no answer.
    pub error: Option<String>,
}
