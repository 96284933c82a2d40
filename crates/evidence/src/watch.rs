//! What a platform that serves both sides said over hours and days. `watch.jsonl` holds a line per
//! sample.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// What is watched.
    Metric {
        /// Rows apart.
        RowDelta = "row_delta",
        /// Misses of the cache, percent; 30 is a hit rate of 70.
        CacheMisses = "cache_misses",
        /// Lag of a replica, seconds.
        ReplicaLag = "replica_lag",
        /// Share of our own reads that fail, percent.
        ErrorRate = "error_rate",
        /// p95 of our own reads against the first looks, percent more.
        P95 = "p95",
        /// Connections in use, percent of the fullest pool.
        Pool = "pool",
        /// Replicas that the database had at an earlier look, and has no longer.
        ReplicasGone = "replicas_gone",
        /// Dual-write triggers that do not work.
        Triggers = "triggers",
        /// Connections of the database server in use, percent.
        Connections = "connections",
        /// How far from healthy the platform calls itself: 1 for degraded, 2 for anything worse.
        Health = "health",
        /// Critical alerts of the platform's own.
        PlatformAlerts = "platform_alerts",
        /// Looks without an answer.
        Silence = "silence",
        /// Looks at which the database said nothing.
        DatabaseSilence = "database_silence",
    }
}

impl Metric {
    /// In words, and the unit of its figures with what parts the two.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RowDelta => ("row delta", ""),
            Self::CacheMisses => ("cache misses", " %"),
            Self::ReplicaLag => ("replica lag", " s"),
            Self::ErrorRate => ("error rate", " %"),
            Self::P95 => ("p95 of our reads", " % more"),
            Self::Pool => ("pool in use", " %"),
            Self::ReplicasGone => ("replicas gone", ""),
            Self::Triggers => ("triggers off", ""),
            Self::Connections => ("connections", " %"),
            Self::Health => ("steps from healthy", ""),
            Self::PlatformAlerts => ("platform's alerts", ""),
            Self::Silence => ("silence", ""),
            Self::DatabaseSilence => ("database's silence", ""),
        }
    }
}

words! {
    /// How bad an alarm is.
    #[derive(Default)]
    AlarmLevel {
        /// All is well.
        #[default]
        Clear = "clear",
        /// Above the warning.
        Warning = "warning",
        /// Above the critical threshold.
        Critical = "critical",
    }
}

/// An alarm that changed its level, or stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// What it is about.
    pub metric: Metric,
    /// How bad it is now.
    pub level: AlarmLevel,
    /// The figure of the sample that decided.
    #[serde(default)]
    pub value: f64,
    /// What to do.
    #[serde(default)]
    pub action: String,
}

impl Alarm {
    /// In words.
    pub fn text(&self) -> String {
        let (name, unit) = self.metric.words();
        let what = format!("{name} is {:.1}{unit}", self.value);
        match self.level {
            AlarmLevel::Clear => format!("cleared: {what}"),
            AlarmLevel::Warning => format!("WARNING: {what}; {}", self.action),
            AlarmLevel::Critical => format!("CRITICAL: {what}; {}", self.action),
        }
    }
}

/// One sample: a line of `watch.jsonl`. A field is `None` if nobody said; further fields are for others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When, RFC 3339.
    pub at: String,
    /// The platform that was looked at, without secrets.
    pub base_url: Option<String>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// `healthy`, `degraded`, `unhealthy`.
    pub system_status: Option<String>,
    /// Critical alerts raised by the platform.
    pub critical_alerts: Option<u64>,
    /// The largest lag of a replica, seconds, by the platform's word or the database's.
    pub replica_lag_s: Option<f64>,
    /// Cache hit rate of late, percent.
    pub hit_rate_percent: Option<f64>,
    /// Whether that rate still rises, as a cache's does that was empty; it raises no alarm then.
    #[serde(default)]
    pub cache_filling: bool,
    /// The largest difference of row counts.
    pub row_delta: Option<f64>,
    /// Connections of the fullest pool that are in use.
    pub pool_in_use: Option<u64>,
    /// Connections that this pool may have.
    pub pool_max: Option<u64>,
    /// Why the database said nothing; absent, too, if none is named.
    pub database_error: Option<String>,
    /// Dual-write triggers that are missing or disabled, of those that the configuration names.
    pub triggers_off: Option<u64>,
    /// Replicas that an earlier sample saw and this one does not.
    pub replicas_gone: Option<u64>,
    /// Connections of the database server that are in use.
    pub connections: Option<u64>,
    /// Connections that it may have.
    pub connections_max: Option<u64>,
    /// The share of our own reads that failed of late, percent.
    pub error_rate_percent: Option<f64>,
    /// 95th percentile of our own reads of late, milliseconds: the median of the last samples'.
    pub p95_ms: Option<f64>,
    /// The same against the first samples, percent more.
    pub p95_more_percent: Option<f64>,
    /// The percentage of orgs that the platform sends to the partitioned side at that moment.
    pub percentage: Option<f64>,
    /// Our own reads since the sample before that did not name a side.
    pub routed_requests: Option<u64>,
    /// Of those, reads that the partitioned side answered.
    pub routed_partitioned: Option<u64>,
    /// Alarms that are raised.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

/// What the samples come to.
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
    /// The most critical alerts at one look; `None` if no look learned of them.
    pub critical_alerts: Option<u64>,
    /// What the watch itself had a critical alarm about, each once.
    #[serde(default)]
    pub critical_alarms: Vec<Metric>,
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
