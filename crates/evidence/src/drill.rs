//! Drills: what was rehearsed, and how long it took. `drills.json` holds a list of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One drill, by the stopwatch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drill {
    /// Its name, for example `standard-rollback`.
    pub name: String,
    /// Seconds it may take; `None` if only its proof counts.
    #[serde(default)]
    pub limit_s: Option<f64>,
    /// Seconds it took; `None` if it did not come to its end.
    #[serde(default)]
    pub measured_s: Option<f64>,
    /// Whether what it was to reach was seen to be reached.
    #[serde(default)]
    pub proven: bool,
    /// What was seen, or why not; for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What else whoever made it has noted.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

impl Drill {
    /// Whether it was proven, within its time.
    pub fn passed(&self) -> bool {
        let within = |s: f64| s.is_finite() && self.limit_s.is_none_or(|limit_s| s <= limit_s);
        self.proven && self.measured_s.is_some_and(within)
    }
}
