//! A rollout rehearsed in compressed time: a run of its own for each increment, in a folder below.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exit::Exit;
use super::ledger::LedgerEvidence;
use super::verdict::{Action, Decision};

/// The whole journey; its verdict is that of the run record that holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutEvidence {
    /// Orgs of the data.
    pub orgs: u64,
    /// The percentages that it was to go through.
    pub schedule: Vec<f64>,
    /// The increments in their order; those that were never reached are not there.
    pub steps: Vec<RolloutStep>,
    /// The percentage at which the flag was left, if answers proved it; `None` if they did not.
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
    /// The fault that was planted before the load, if one was.
    pub planted: Option<String>,
    /// The step's verdict.
    pub decision: Decision,
    /// The action that it asks for.
    pub action: Action,
    /// Its exit code.
    pub exit_code: Exit,
    /// Why, worst first.
    pub reasons: Vec<String>,
    /// What its run left out and nobody may take for tested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    /// How often it was driven: more than once if the first time left it open.
    pub attempts: u32,
    /// Ratio of p95, partitioned to legacy, if there was one.
    pub p95_ratio: Option<f64>,
    /// Requests of the load.
    pub requests: u64,
    /// Orgs compared after the load.
    pub orgs_checked: u64,
    /// Of those, orgs that differ.
    pub orgs_diverged: u64,
    /// Servers of the rig that ended by themselves meanwhile and were started again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revived: Vec<String>,
    /// What became of the step's writes, looked up once more where its own run could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerEvidence>,
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
