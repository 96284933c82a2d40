//! The paired comparison of the two modes, and the looks at it while the load runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A look at the comparison while the load runs: are more pairs needed?
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Look {
    /// Pairs it had.
    pub pairs: u32,
    /// Confidence of each of its one-sided bounds.
    pub confidence: f64,
    /// Middle of the ratios.
    pub p95_ratio: f64,
    /// Lower bound.
    pub p95_ratio_low: f64,
    /// Upper bound.
    pub p95_ratio_high: f64,
    /// Whether neither GO nor NO-GO followed from it.
    pub undecided: bool,
}

/// The paired comparison: partitioned over legacy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Pairs of windows in which both sides have a p95.
    pub pairs: u32,
    /// Middle over pairs of p95(partitioned) / p95(legacy): a geometric mean in which no pair counts
    /// for more than a fixed distance.
    pub p95_ratio: f64,
    /// Lower one-sided bound of the ratio, as felt or without the generator's own lag, whichever is
    /// lower.
    pub p95_ratio_low: f64,
    /// Upper one-sided bound of the ratio, whichever is higher.
    pub p95_ratio_high: f64,
    /// Confidence of each bound: 0.95 if the comparison was looked at once, more if the chance
    /// of a wrong verdict is split over several looks.
    #[serde(default)]
    pub confidence: f64,
    /// Standard error of the middle log ratio, as felt.
    #[serde(default)]
    pub standard_error: f64,
    /// Ratio of the p95 of all requests of each mode.
    pub pooled_p95_ratio: Option<f64>,
    /// The smallest true ratio this run would have called NO-GO in 9 of 10 cases.
    pub smallest_detectable_ratio: Option<f64>,
    /// Below this difference of p95 the ratio of an operation, or of a size of org, is shown and not
    /// judged, microseconds.
    #[serde(default)]
    pub judged_from_us: i64,
    /// Pairs far outside of what the others show: those in which legacy was slower, those in which the
    /// partitioned side was.
    #[serde(default)]
    pub wild_pairs: [u32; 2],
    /// Further pairs that a decision at the limit would need; 0 if it is decided.
    pub further_pairs_needed: u32,
    /// The same for each operation.
    pub operations: Vec<OperationComparison>,
    /// The same for each class of orgs by size.
    pub org_sizes: Vec<OperationComparison>,
}

/// The paired comparison of one operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationComparison {
    /// The operation's name.
    pub name: String,
    /// Pairs of windows in which both sides have a p95.
    pub pairs: u32,
    /// Middle of the ratios; `None` with fewer than two pairs.
    pub p95_ratio: Option<f64>,
    /// Lower one-sided bound.
    pub p95_ratio_low: Option<f64>,
    /// Upper one-sided bound.
    pub p95_ratio_high: Option<f64>,
    /// p95 of all requests in partitioned mode minus that in legacy mode, microseconds.
    pub p95_difference_us: i64,
    /// Pairs in which so many requests of one side failed, and of that side alone, that it has no p95:
    /// legacy's, the partitioned side's.
    #[serde(default)]
    pub failed_pairs: [u32; 2],
}
