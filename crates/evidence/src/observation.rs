//! What the platform said about itself while the load ran.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One look at the platform's monitoring endpoints.
///
/// A field is `None` if the endpoint did not answer or did not say; that is itself an
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
    /// The largest lag of a replica, in seconds; `None` if there is no replica.
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

/// Look-ups below which a share of hits says nothing.
const FEW_LOOKUPS: u64 = 100;

/// Whether a cache still fills: the hit rates of the earlier and the later half of a series of `(hits,
/// look-ups)`, counted since some start, if the later is higher by more than chance (two
/// proportions, one-sided, z > 2).
pub fn still_filling(counts: &[(u64, u64)]) -> Option<(f64, f64)> {
    let (first, middle) = (counts.first()?, counts.get(counts.len() / 2)?);
    let of = |from: &(u64, u64), to: &(u64, u64)| {
        let (hits, lookups) = (to.0.checked_sub(from.0)?, to.1.checked_sub(from.1)?);
        (hits <= lookups && lookups >= FEW_LOOKUPS).then_some((hits as f64, lookups as f64))
    };
    let (earlier, later) = (of(first, middle)?, of(middle, counts.last()?)?);
    let pooled = (earlier.0 + later.0) / (earlier.1 + later.1);
    let error = (pooled * (1.0 - pooled) * (1.0 / earlier.1 + 1.0 / later.1)).sqrt();
    let (earlier, later) = (earlier.0 / earlier.1, later.0 / later.1);
    (later - earlier > 2.0 * error).then_some((earlier, later))
}
