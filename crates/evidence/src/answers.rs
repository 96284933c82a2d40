//! What the answers held: rows of other orgs, and whether both sides answer alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::Finding;

/// Whether answers held what belongs to other orgs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IsolationEvidence {
    /// Answers whose org was looked at, warm-up included.
    pub answers_checked: u64,
    /// Of those, answers that held another org's data.
    pub leaks: u64,
    /// The first of them, at most [`IsolationEvidence::KEPT_FINDINGS`].
    pub findings: Vec<Finding>,
}

impl IsolationEvidence {
    /// Findings kept in the run record.
    pub const KEPT_FINDINGS: usize = 50;

    /// What two generators saw at the same time.
    pub fn and(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        self.findings.truncate(Self::KEPT_FINDINGS);
        Self {
            answers_checked: self.answers_checked + other.answers_checked,
            leaks: self.leaks + other.leaks,
            findings: self.findings,
        }
    }
}

/// Whether both sides answer alike: reads asked of legacy, of the twin, and of legacy again, after
/// the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ParityEvidence {
    /// Questions that were asked.
    pub asked: u64,
    /// Of those, questions that both sides answered while nothing changed.
    pub compared: u64,
    /// Questions whose answer changed from one time to the next on one and the same side.
    pub unsettled: u64,
    /// Questions that one of the sides did not answer rightly.
    pub unanswered: u64,
    /// Questions that the sides answered differently.
    pub differing: u64,
    /// True only if every question was asked.
    pub complete: bool,
    /// Why not; empty otherwise.
    pub incomplete_reason: String,
    /// The first differences, at most [`ParityEvidence::KEPT_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Seconds it took.
    pub duration_s: f64,
}

impl ParityEvidence {
    /// Findings kept in the run record.
    pub const KEPT_FINDINGS: usize = 50;

    /// What two generators asked.
    pub fn and(mut self, other: Self) -> Self {
        self.findings.extend(other.findings);
        self.findings.truncate(Self::KEPT_FINDINGS);
        let reasons = [self.incomplete_reason, other.incomplete_reason];
        let reasons: Vec<String> = reasons.into_iter().filter(|text| !text.is_empty()).collect();
        Self {
            asked: self.asked + other.asked,
            compared: self.compared + other.compared,
            unsettled: self.unsettled + other.unsettled,
            unanswered: self.unanswered + other.unanswered,
            differing: self.differing + other.differing,
            complete: self.complete && other.complete,
            incomplete_reason: reasons.join("; "),
            findings: self.findings,
            duration_s: self.duration_s.max(other.duration_s),
        }
    }
}
