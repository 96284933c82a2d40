//! What earlier runs measured, as far as a later one is held against it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One earlier run on the same kind of machine, with the same scenario and the same data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastRun {
    /// Its name.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// p95 of response time of all requests in legacy mode, microseconds.
    pub legacy_p95_us: u64,
    /// The same in partitioned mode.
    pub partitioned_p95_us: u64,
    /// p95 in partitioned mode by operation, microseconds.
    pub operations_p95_us: BTreeMap<String, u64>,
}

/// An earlier run that says nothing about this one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncomparableRun {
    /// Its name.
    pub run_id: String,
    /// Why: another machine, scenario or amount of data, or a run that is no measure.
    pub why: String,
}
