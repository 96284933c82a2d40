//! Which partitions a question would read, by the planner's word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the planner would read for one question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pruning {
    /// The pair's name.
    pub table: String,
    /// The read of the configuration; `None` for a question about the range of one partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<String>,
    /// Partitions of the twin.
    pub partitions: u64,
    /// Of those, partitions that the plan reads.
    pub scanned: u64,
    /// It should read no more than so many; `None` if nobody says so, and it is only shown.
    #[serde(default = "one_partition")]
    pub expected: Option<u64>,
    /// What the planner believes the read to cost on the legacy side, in its own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy_cost: Option<f64>,
    /// The same on the partitioned side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioned_cost: Option<f64>,
    /// Why there is no plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Before reads were asked for, every question was about one range.
fn one_partition() -> Option<u64> {
    Some(1)
}

impl Pruning {
    /// Whether the plan reads what it should and no more; `None` if that is not judged.
    pub fn is_right(&self) -> Option<bool> {
        self.expected.map(|expected| (1..=expected).contains(&self.scanned))
    }

    /// Whether every partition is read, of several.
    pub fn reads_all(&self) -> bool {
        self.partitions > 1 && self.scanned >= self.partitions
    }

    /// In words: which question, what it reads, what that costs.
    pub fn words(&self) -> String {
        let question = match &self.read {
            Some(read) => format!("{}: {read}", self.table),
            None => self.table.clone(),
        };
        let mut words = format!("{question} reads {} of {}", self.scanned, self.partitions);
        if let (Some(legacy), Some(twin)) = (self.legacy_cost, self.partitioned_cost) {
            words += &format!(" (planner cost {legacy:.0} → {twin:.0})");
        }
        words
    }
}
