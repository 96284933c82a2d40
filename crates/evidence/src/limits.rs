//! The limits that a run is judged by: the handbook's, unless its owner gives a reason for another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::criterion::CriterionId;
use super::words::words;

/// Phases of the handbook, in their order.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Phase 1, development.
    Dev,
    /// Phase 2, the rehearsal in staging.
    #[default]
    Staging,
    /// Phase 3, the first organisations in production.
    Pilot,
    /// Phase 4, before and during each step of the percentage.
    Increment,
    /// After 100 %.
    PostRollout,
}

impl Phase {
    /// All of them, in the handbook's order.
    pub const ALL: [Self; 5] =
        [Self::Dev, Self::Staging, Self::Pilot, Self::Increment, Self::PostRollout];

    /// The word used in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Pilot => "pilot",
            Self::Increment => "increment",
            Self::PostRollout => "post-rollout",
        }
    }
}

words! {
    /// A limit that a configuration may change, by its name there: that of the criterion it belongs to,
    /// or one of its own.
    LimitId {
        /// How much worse the p95 of all requests may be.
        P95Overall = "p95_overall",
        /// How much worse the p95 of one operation may be.
        P95Operations = "p95_operations",
        /// How much worse the p95 of one size of org may be.
        P95OrgSizes = "p95_org_sizes",
        /// From how much worse on a rollback is asked for.
        P95Rollback = "p95_rollback",
        /// Differences of single operations below it are shown and not judged.
        P95Felt = "p95_felt",
        /// How much worse than in earlier runs.
        P95History = "p95_history",
        /// How many requests may fail.
        ErrorRate = "error_rate",
        /// From how many failures on a rollback is asked for.
        ErrorRateRollback = "error_rate_rollback",
        /// How much the cache has to answer.
        CacheHitRate = "cache_hit_rate",
        /// By how much row counts may differ.
        RowDelta = "row_delta",
        /// From which difference on it is an emergency.
        RowDeltaEmergency = "row_delta_emergency",
        /// How far replicas may be behind.
        ReplicaLag = "replica_lag",
        /// How often pools may be exhausted.
        PoolExhaustion = "pool_exhaustion",
        /// How far the share of routed requests may be off.
        RouteShare = "route_share",
        /// How long the platform has to be watched.
        Watched = "watched",
    }
}

/// A limit that a configuration may change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Its name in a configuration.
    pub name: LimitId,
    /// The criterion that it decides, and whose source says if it is not the handbook's.
    pub criterion: CriterionId,
    /// The handbook's value in each phase of [`Phase::ALL`].
    pub handbook: [f64; 5],
    /// Smallest and largest value that makes sense.
    pub range: (f64, f64),
    /// What the value counts.
    pub unit: &'static str,
}

const _: () = {
    let mut at = 0;
    while at < LIMITS.len() {
        assert!(LIMITS[at].name as usize == at, "LIMITS stand in the order of their names");
        at += 1;
    }
};

impl LimitId {
    /// The limit of this name.
    pub const fn limit(self) -> &'static Limit {
        &LIMITS[self as usize]
    }
}

impl Limit {
    /// The handbook's value in a phase.
    pub fn in_phase(&self, phase: Phase) -> f64 {
        self.handbook[phase as usize]
    }

    /// A value as people read it: shares as percentages, without needless digits.
    pub fn shown(&self, value: f64) -> String {
        let value = if self.unit.starts_with("share") { value * 100.0 } else { value };
        ((value * 1e4).round() / 1e4).to_string()
    }
}

/// Every limit that can be changed. What is not here is not negotiable: a row that differs is a
/// failure, and so is a measurement that cannot be trusted.
pub static LIMITS: [Limit; 15] = [
    limit(
        LimitId::P95Overall,
        CriterionId::P95Overall,
        0.10,
        (0.0, 10.0),
        "share above the baseline",
    ),
    limit(
        LimitId::P95Operations,
        CriterionId::P95Operations,
        0.20,
        (0.0, 10.0),
        "share above the baseline",
    ),
    limit(
        LimitId::P95OrgSizes,
        CriterionId::P95OrgSizes,
        0.20,
        (0.0, 10.0),
        "share above the baseline",
    ),
    limit(
        LimitId::P95Rollback,
        CriterionId::P95Overall,
        0.50,
        (0.0, 10.0),
        "share above the baseline",
    ),
    limit(LimitId::P95Felt, CriterionId::P95Operations, 1.0, (0.0, 60_000.0), "milliseconds"),
    limit(
        LimitId::P95History,
        CriterionId::P95History,
        0.10,
        (0.0, 10.0),
        "share above earlier runs",
    ),
    limit(LimitId::ErrorRate, CriterionId::ErrorRate, 0.001, (0.0, 1.0), "share of requests"),
    limit(
        LimitId::ErrorRateRollback,
        CriterionId::ErrorRate,
        0.01,
        (0.0, 1.0),
        "share of requests",
    ),
    limit(LimitId::CacheHitRate, CriterionId::CacheHitRate, 0.70, (0.0, 1.0), "share of look-ups"),
    limit(LimitId::RowDelta, CriterionId::RowDelta, 10.0, (0.0, 1e9), "rows per table"),
    limit(LimitId::RowDeltaEmergency, CriterionId::RowDelta, 1000.0, (0.0, 1e9), "rows per table"),
    limit(LimitId::ReplicaLag, CriterionId::ReplicaLag, 30.0, (0.0, 86_400.0), "seconds"),
    limit(LimitId::PoolExhaustion, CriterionId::PoolExhaustion, 0.05, (0.0, 1.0), "share of looks"),
    limit(LimitId::RouteShare, CriterionId::RouteShare, 0.02, (0.0, 1.0), "share of requests"),
    Limit {
        // Phase 2, 24 hours; phase 3, 72 hours at least; phase 4, 24 hours between increments; the
        // first day after 100 %.
        handbook: [0.0, 24.0, 72.0, 24.0, 24.0],
        ..limit(LimitId::Watched, CriterionId::Watched, 0.0, (0.0, 8760.0), "hours")
    },
];

const fn limit(
    name: LimitId,
    criterion: CriterionId,
    handbook: f64,
    range: (f64, f64),
    unit: &'static str,
) -> Limit {
    Limit { name, criterion, handbook: [handbook; 5], range, unit }
}

/// A limit that is not the handbook's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherLimit {
    /// Which limit.
    pub criterion: LimitId,
    /// The value that holds instead, in the unit of [`Limit::unit`].
    pub limit: f64,
    /// Why; shown beside the criterion wherever it is reported.
    pub reason: String,
    /// Only in this phase; in every phase if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
}

/// The limits that hold: the handbook's, unless their owner gave a reason for another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// Those that are not the handbook's.
    pub own: &'a [OtherLimit],
    /// The phase that is judged; `None` for what belongs to no phase, which heeds no limit of a
    /// single one and takes the handbook's value for staging.
    pub phase: Option<Phase>,
}

impl<'a> Limits<'a> {
    /// The value that holds, in the unit of [`Limit::unit`].
    pub fn value(&self, id: LimitId) -> f64 {
        let handbook = || id.limit().in_phase(self.phase.unwrap_or_default());
        self.other(id).map_or_else(handbook, |other| other.limit)
    }

    /// The changed limit: one for this phase before one for every phase. A value that is no number
    /// within the range is not heeded, wherever it comes from.
    pub fn other(&self, id: LimitId) -> Option<&'a OtherLimit> {
        let (lowest, highest) = id.limit().range;
        let fits = |other: &&OtherLimit| {
            other.criterion == id && (lowest..=highest).contains(&other.limit)
        };
        let of = |phase| self.own.iter().filter(fits).find(|other| other.phase == phase);
        self.phase.and_then(|phase| of(Some(phase))).or_else(|| of(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_phase_goes_before_one_of_every_phase_and_nonsense_before_none() {
        let other = |limit, phase| OtherLimit {
            criterion: LimitId::ErrorRate,
            limit,
            reason: "measured behind a proxy".into(),
            phase,
        };
        let value = |own: &[OtherLimit], phase| Limits { own, phase }.value(LimitId::ErrorRate);
        assert_eq!(value(&[], Some(Phase::Staging)), 0.001);
        let own = [other(0.002, None), other(0.003, Some(Phase::Staging))];
        assert_eq!(value(&own, Some(Phase::Staging)), 0.003);
        assert_eq!(value(&own, Some(Phase::Pilot)), 0.002);
        assert_eq!(value(&own, None), 0.002);
        let nonsense = [other(f64::NAN, None), other(7.0, None)];
        assert_eq!(value(&nonsense, Some(Phase::Pilot)), 0.001);
    }
}
