//! How much each mode can take: the steps of the search, and what follows from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::side::Side;

/// The highest rate that each mode sustains. A figure: no ground for a go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityEvidence {
    /// Response-time p95 that a step may have at most, microseconds, failed requests as infinitely
    /// slow.
    pub p95_limit_us: u64,
    /// Share of requests that may fail.
    pub error_limit: f64,
    /// What was found, by mode.
    pub modes: BTreeMap<Side, Capacity>,
    /// Every step, in the order in which they were driven.
    pub steps: Vec<CapacityStep>,
}

/// What was found for one mode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// The highest rate that was sustained, requests per second; `None` if none was.
    pub passed_per_s: Option<f64>,
    /// The lowest rate that was not, requests per second; `None` if none was tried.
    pub failed_per_s: Option<f64>,
    /// What was at its end above `passed_per_s`.
    pub limited_by: LimitedBy,
}

/// What was at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The target: both bounds are its capacity's.
    Target,
    /// The load generator: the target takes `passed_per_s` at least.
    Generator,
    /// Nothing yet: the search was ended, or no higher rate can be asked for.
    #[default]
    Search,
}

/// One step: one mode at one rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityStep {
    /// The mode asked for; `None` only in an empty record.
    pub mode: Option<Side>,
    /// Arrivals per second.
    pub rate_per_s: f64,
    /// Connections that drained them.
    pub connections: u64,
    /// Requests sent within the measured time.
    pub requests: u64,
    /// Of those, failed ones.
    pub errors: u64,
    /// Arrivals that nobody could send in time.
    pub skipped: u64,
    /// Answers from the other side.
    pub wrong_mode: u64,
    /// Response-time p95, microseconds.
    pub p95_us: u64,
    /// The same without waiting for a free connection or a late generator.
    pub service_p95_us: u64,
    /// Response-time p95 of each third, microseconds; `None` if more than 5 % failed.
    pub thirds_p95_us: Vec<Option<u64>>,
    /// p99 of how late the generator was, microseconds.
    pub lag_p99_us: u64,
    /// Share of the processors that the generator used.
    pub generator_cpu_share: f64,
    /// How it ended.
    pub outcome: StepOutcome,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// Within every limit.
    Passed,
    /// p95 above its limit.
    TooSlow,
    /// Within its limit still, but growing from third to third: more comes in than goes out.
    Growing,
    /// Too many failed.
    Errors,
    /// It failed, and the generator could have been the reason.
    Generator,
    /// It did not come to its end.
    #[default]
    Incomplete,
}
