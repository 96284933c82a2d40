//! The record of one run: `run.json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drill::Drill;
use super::drive::DriveEvidence;
use super::fault::PlantedFault;
use super::finding::DiffEvidence;
use super::history::{IncomparableRun, PastRun};
use super::limits::{OtherLimit, Phase};
use super::manifest::Manifest;
use super::observation::Observation;
use super::rollout::RolloutEvidence;
use super::trigger::TriggerState;
use super::verdict::{Criterion, Verdict};
use super::watch::WatchEvidence;
use super::words::words;

/// Everything a verdict and a report need.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// See [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// SHA-256 of the file that holds this record, hexadecimal, with zeros in this place.
    #[serde(default)]
    pub record_sha256: String,
    /// Name of the run and of its folder.
    pub run_id: String,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// Seconds from start to the end of the last act.
    pub duration_s: f64,
    /// Version of this program.
    pub cutover_version: String,
    /// Whether the run came to its own end, whatever it found; false while it runs and after a kill.
    #[serde(default)]
    pub ended: bool,
    /// When, RFC 3339; empty if it did not.
    #[serde(default)]
    pub ended_at: String,
    /// Command line that repeats the run.
    pub command: String,
    /// SHA-256 of the resolved configuration and scenario, hexadecimal.
    pub config_sha256: String,
    /// Which of the handbook's criteria apply.
    pub phase: Phase,
    /// Percentage of the increment that is asked about, if one is.
    pub increment_percent: Option<f64>,
    /// What the run was made for, if something else has been asked about since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<Question>,
    /// What was tested, without secrets.
    pub target: Target,
    /// The machine it ran on.
    pub environment: Environment,
    /// The acts in order, with how each ended.
    pub acts: Vec<Act>,
    /// What the seed promised.
    pub manifest: Option<Manifest>,
    /// What the load measured.
    pub drive: Option<DriveEvidence>,
    /// The diff before the load.
    pub diff_before: Option<DiffEvidence>,
    /// The diff that counts: after the load, or the only one.
    pub diff: Option<DiffEvidence>,
    /// What the platform said about itself.
    pub observations: Vec<Observation>,
    /// Limits that are not the handbook's.
    #[serde(default)]
    pub limits: Vec<OtherLimit>,
    /// Earlier runs that this one was held against, oldest first.
    #[serde(default)]
    pub history: Vec<PastRun>,
    /// Earlier runs that were named and cannot be compared with this one, each with why.
    #[serde(default)]
    pub incomparable: Vec<IncomparableRun>,
    /// Name of the run with which the level of p95 changed, if it did.
    #[serde(default)]
    pub level_changed_with: Option<String>,
    /// SHA-256 of the scenario as it was read, hexadecimal; empty if there was none.
    #[serde(default)]
    pub scenario_sha256: String,
    /// The evidence files beside the record, as they were when the run ended.
    #[serde(default)]
    pub files: Vec<EvidenceFile>,
    /// What is no longer as the run left it, in words; found while reading, never stored.
    #[serde(skip)]
    pub altered: Vec<String>,
    /// What was not tested because the run was to change nothing, in words.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Drills rehearsed.
    #[serde(default)]
    pub drills: Vec<Drill>,
    /// Faults planted on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<PlantedFault>,
    /// What hours or days of watching came to, if there were any.
    #[serde(default)]
    pub watch: Option<WatchEvidence>,
    /// The way through the handbook's schedule, if the run was a whole rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutEvidence>,
    /// The criteria with their states.
    pub criteria: Vec<Criterion>,
    /// The decision.
    pub verdict: Verdict,
}

/// What was tested; host, port and database name, never a password.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// `host:port/database`.
    pub database: Option<String>,
    /// Base URL of the platform.
    pub base_url: Option<String>,
    /// True if it was the local rig.
    pub rig: bool,
    /// The environment of the configuration, if it describes any.
    #[serde(default)]
    pub environment: Option<String>,
    /// `version()` of the server.
    pub postgres_version: Option<String>,
    /// The table pairs.
    #[serde(default)]
    pub pairs: Vec<TargetPair>,
    /// In which sessions the trigger of a pair, by its name, fired when the run began; without those that
    /// nobody saw.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub triggers_enabled: BTreeMap<String, TriggerState>,
}

/// What a verdict is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// Which of the handbook's criteria apply.
    pub phase: Phase,
    /// Percentage of the increment, if one is asked about.
    pub increment_percent: Option<f64>,
}

/// A table pair by its names, quoted as SQL wants them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetPair {
    /// What reports call it.
    pub name: String,
    /// The legacy table.
    pub legacy: String,
    /// Its twin.
    pub partitioned: String,
    /// The trigger that carries writes over, if the configuration names one.
    pub trigger: Option<String>,
    /// The columns that identify a row.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns that may differ: nobody compared them.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// The machine the run was made on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Kernel and architecture.
    pub os: String,
    /// Processor model.
    pub cpu: String,
    /// Processors available.
    pub cores: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// One evidence file of the run's folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceFile {
    /// Path within the folder, for example `latency/legacy.hlog`.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
}

words! {
    /// What an act of a run does.
    ActKind {
        /// Starting the local servers.
        Rig = "rig",
        /// Reaching a database that others keep.
        Connect = "connect",
        /// Asking the server for its version.
        Version = "version",
        /// Filling the tables.
        Seed = "seed",
        /// Comparing before the load.
        DiffBefore = "diff before",
        /// Finding a rate that the machine carries.
        Calibrate = "calibrate",
        /// Taking up the write-ahead log.
        FollowLog = "follow log",
        /// Driving the load.
        Drive = "drive",
        /// Reaching the database again after the load.
        Reconnect = "reconnect",
        /// Reading the write-ahead log to its end.
        ReadLog = "read log",
        /// Comparing after the load.
        DiffAfter = "diff after",
        /// Comparing without a load.
        Diff = "diff",
        /// Switching the flag off before a rollout.
        FlagOff = "flag off",
        /// Rehearsing drills.
        Drills = "drills",
        /// Putting shards together.
        Merge = "merge",
    }
}

/// An act's name: its kind, or `increment 5 %` for a step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ActName {
    /// Named by what it does.
    Kind(ActKind),
    /// A step of a rollout, by its percentage.
    Increment(f64),
}

impl std::fmt::Display for ActName {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind(kind) => kind.fmt(to),
            Self::Increment(percent) => write!(to, "increment {percent} %"),
        }
    }
}

impl From<ActKind> for ActName {
    fn from(kind: ActKind) -> Self {
        Self::Kind(kind)
    }
}

impl From<ActName> for String {
    fn from(name: ActName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for ActName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let percent = name.strip_prefix("increment ").and_then(|rest| rest.strip_suffix(" %"));
        if let Some(percent) = percent.and_then(|percent| percent.parse().ok()) {
            return Ok(Self::Increment(percent));
        }
        let kind = ActKind::ALL.iter().find(|kind| kind.word() == name);
        kind.map(|kind| Self::Kind(*kind)).ok_or_else(|| format!("no act is called `{name}`"))
    }
}

impl PartialEq<ActKind> for ActName {
    fn eq(&self, kind: &ActKind) -> bool {
        *self == Self::Kind(*kind)
    }
}

/// One act of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Act {
    /// Which.
    pub name: ActName,
    /// How it ended.
    pub state: ActState,
    /// Seconds it took.
    pub duration_s: f64,
    /// Why it failed or was skipped; empty otherwise.
    pub note: String,
}

impl Act {
    /// An act that came to its end.
    pub fn done(name: impl Into<ActName>, duration_s: f64) -> Self {
        Self { name: name.into(), state: ActState::Done, duration_s, note: String::new() }
    }
}

/// How an act ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActState {
    /// To its end.
    Done,
    /// Broke; its note says why.
    Failed,
    /// A signal ended it.
    Interrupted,
    /// Not begun.
    #[default]
    Skipped,
}
