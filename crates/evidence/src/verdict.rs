//! What the gate decided and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::criterion::CriterionId;
use super::exit::Exit;

/// The four verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Every criterion passed.
    Go,
    /// A criterion failed.
    NoGo,
    /// Too little evidence.
    Inconclusive,
    /// The measurement cannot be trusted.
    #[default]
    Invalid,
}

impl Decision {
    /// The word people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::NoGo => "NO-GO",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Invalid => "INVALID",
        }
    }
}

/// What to do, in the words of the handbook's decision matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Go on to the next increment.
    Proceed,
    /// Stay where you are.
    #[default]
    Hold,
    /// Flag off within 15 minutes.
    StandardRollback,
    /// Flag off at once, then assess the data.
    EmergencyRollback,
    /// Flag off for the named orgs only.
    DisableOrgs,
}

impl Action {
    /// The word people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::Proceed => "proceed",
            Self::Hold => "hold",
            Self::StandardRollback => "standard rollback",
            Self::EmergencyRollback => "emergency rollback",
            Self::DisableOrgs => "disable the affected orgs",
        }
    }
}

/// Whether a criterion is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Measured and within the limit.
    Pass,
    /// Measured and outside the limit.
    Fail,
    /// Not measured, or too little of it: never a pass.
    Unknown,
}

/// What kind of truth a criterion protects; decides precedence and exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The record is there and whole (30, first of all).
    Record,
    /// Not a row differs (11).
    Integrity,
    /// The measurement can be trusted (30).
    Validity,
    /// Latency, errors, availability (10).
    Performance,
    /// Shown, but decides nothing.
    Advice,
}

/// One line of the criteria table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Criterion {
    /// Stable name, for example `p95_overall`.
    pub id: CriterionId,
    /// What it says, for people.
    pub title: String,
    /// If it comes from, for example `handbook: Phase 4, success criteria`.
    pub source: String,
    /// What kind of truth it protects.
    pub kind: Kind,
    /// The evidence it needs.
    pub evidence: String,
    /// The limit in words, for example `< +10 %`.
    pub limit: String,
    /// What was measured, in the limit's unit; `None` if nothing was.
    pub measured: Option<String>,
    /// How much room the measured value leaves, as a share of the limit: 0.25 a quarter, below 0
    /// beyond it; `None` if there is no number to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Whether it is met.
    pub state: State,
    /// What a failure asks for.
    pub action: Action,
    /// Why, in one sentence; names what suffered.
    pub note: String,
}

impl Criterion {
    /// Measured: passes or fails.
    #[must_use]
    pub fn measured(self, pass: bool, measured: impl Into<String>) -> Self {
        let state = if pass { State::Pass } else { State::Fail };
        Self { state, measured: Some(measured.into()), ..self }
    }

    /// How far below its limit a value is, as a share of the limit.
    #[must_use]
    pub fn below(self, value: f64, limit: f64) -> Self {
        let margin = (limit - value) / limit;
        Self { margin: Some(margin).filter(|margin| margin.is_finite()), ..self }
    }

    /// How far above its limit a value is, as a share of the limit.
    #[must_use]
    pub fn above(self, value: f64, limit: f64) -> Self {
        let margin = (value - limit) / limit;
        Self { margin: Some(margin).filter(|margin| margin.is_finite()), ..self }
    }

    /// Why, in one sentence.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// What a failure asks for.
    #[must_use]
    pub fn asks_for(self, action: Action) -> Self {
        Self { action, ..self }
    }
}

/// The decision with its reasons.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Go, no-go, inconclusive, invalid.
    pub decision: Decision,
    /// What to do.
    pub action: Action,
    /// The exit code of the contract that goes with it.
    pub exit_code: Exit,
    /// Why, worst first; for GO what was proven.
    pub reasons: Vec<String>,
    /// The steps of the action, in order.
    pub steps: Vec<String>,
}

impl Exit {
    /// Whether a verdict of this decision may end with it.
    pub fn fits(self, decision: Decision) -> bool {
        match decision {
            Decision::Go => self == Self::OK,
            Decision::NoGo => [Self::NO_GO_PERFORMANCE, Self::NO_GO_INTEGRITY].contains(&self),
            Decision::Inconclusive => self == Self::INCONCLUSIVE,
            Decision::Invalid => self == Self::INVALID,
        }
    }
}

impl Action {
    /// How much it asks for; the greater goes before the smaller.
    pub fn urgency(self) -> u8 {
        match self {
            Self::Proceed => 0,
            Self::Hold => 1,
            Self::DisableOrgs => 2,
            Self::StandardRollback => 3,
            Self::EmergencyRollback => 4,
        }
    }
}
