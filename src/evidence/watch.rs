//! What a platform that serves both sides said over hours and days. `watch.jsonl` holds a line per
//! look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One look: a line of `watch.jsonl`. A field is `None` where nobody said; further fields are for
/// others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// When, RFC 3339.
    pub at: String,
    /// The platform that was looked at.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Why there is no answer.
    #[serde(default)]
    pub error: Option<String>,
    /// Alarms that the watch itself had raised.
    #[serde(default)]
    pub alarms: Vec<RaisedAlarm>,
    /// Critical alerts raised by the platform.
    #[serde(default)]
    pub critical_alerts: Option<u64>,
    /// The largest lag of a replica, seconds.
    #[serde(default)]
    pub replica_lag_s: Option<f64>,
    /// Connections of the fullest pool that are in use.
    #[serde(default)]
    pub pool_in_use: Option<u64>,
    /// Connections that this pool may have.
    #[serde(default)]
    pub pool_max: Option<u64>,
    /// The platform's percentage of orgs on the partitioned side at that moment.
    #[serde(default)]
    pub percentage: Option<f64>,
    /// Requests without a wish of their own that were sent since the look before.
    #[serde(default)]
    pub routed_requests: Option<u64>,
    /// Of those, requests that the partitioned side answered.
    #[serde(default)]
    pub routed_partitioned: Option<u64>,
}

/// An alarm of a look.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RaisedAlarm {
    /// What it is about.
    pub metric: String,
    /// `warning` or `critical`.
    pub level: String,
}

/// What the looks come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchEvidence {
    /// The first look, RFC 3339; empty without one.
    pub from: String,
    /// The last look.
    pub to: String,
    /// Hours between looks that were answered, with none unanswered between them, and not too far apart.
    pub watched_h: f64,
    /// Looks.
    pub looks: u64,
    /// Looks at another platform than the run's; they count for nothing.
    #[serde(default)]
    pub elsewhere: u64,
    /// Of the looks, those that were answered.
    pub answered: u64,
    /// The most critical alerts at one look; `None` where no look learned of them.
    pub critical_alerts: Option<u64>,
    /// What the watch itself had a critical alarm about, each once.
    #[serde(default)]
    pub critical_alarms: Vec<String>,
    /// The largest lag of a replica, seconds.
    pub replica_lag_s: Option<f64>,
    /// Looks that learned of the connection pools.
    pub pool_looks: u64,
    /// Of those, looks at which every connection of a pool was in use.
    pub pool_exhausted: u64,
    /// How requests were routed, by percentage in the order in which they came.
    pub routed: Vec<RoutedShare>,
}

/// How requests were routed while one percentage held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutedShare {
    /// The percentage.
    pub percentage: f64,
    /// Requests.
    pub requests: u64,
    /// Of those, requests that the partitioned side answered.
    pub partitioned: u64,
}
