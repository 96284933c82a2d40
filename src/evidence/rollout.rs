//! A rollout rehearsed in compressed time: `rollout.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drill::Drill;
use super::verdict::{Action, Decision};

/// The whole journey.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutEvidence {
    /// Name of the run and of its folder.
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Seconds from start to end.
    pub duration_s: f64,
    /// Command line that repeats it.
    pub command: String,
    /// Orgs of the data.
    pub orgs: u64,
    /// The increments in their order; those that were never reached are not there.
    pub steps: Vec<RolloutStep>,
    /// Drills rehearsed after the last increment.
    pub drills: Vec<Drill>,
    /// What the journey came to.
    pub decision: Decision,
    /// What follows from it.
    pub action: Action,
    /// The exit code of the contract that goes with it.
    pub exit_code: i32,
    /// Why.
    pub reasons: Vec<String>,
    /// The percentage at which the flag was left, where answers proved it; `None` where they did not.
    pub flag_left_at: Option<f64>,
}

/// One increment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutStep {
    /// The percentage that was set.
    pub percent: f64,
    /// How reads were routed at it.
    pub routing: Routing,
    /// Folder of the step's own run, below the journey's.
    pub folder: String,
    /// The fault that was planted before the load, where one was.
    pub planted: Option<String>,
    /// The step's verdict.
    pub decision: Decision,
    /// The action that it asks for.
    pub action: Action,
    /// Its exit code.
    pub exit_code: i32,
    /// Why, worst first.
    pub reasons: Vec<String>,
    /// How often it was driven: more than once where the first time left it open.
    pub attempts: u32,
    /// Ratio of p95, partitioned to legacy, where there was one.
    pub p95_ratio: Option<f64>,
    /// Requests of the load.
    pub requests: u64,
    /// Orgs compared after the load.
    pub orgs_checked: u64,
    /// Of those, orgs that differ.
    pub orgs_diverged: u64,
    /// What was done then, in words.
    pub done: String,
    /// Seconds it took.
    pub duration_s: f64,
}

/// How reads of a sample of orgs were routed while a percentage held.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Routing {
    /// Orgs that were asked for.
    pub orgs: u64,
    /// Of those, orgs without an answer that names a side.
    pub silent: u64,
    /// Share of the answers from the partitioned side; `None` without an answer.
    pub share: Option<f64>,
    /// How far that may honestly be from the percentage.
    pub tolerance: f64,
    /// Orgs that were on one side and on the other while nothing changed.
    pub wavering: u64,
    /// Orgs that an earlier, smaller percentage had let in and this one has not.
    pub dropped: u64,
    /// Whether all of it is as it should be.
    pub proven: bool,
}
