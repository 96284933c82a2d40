//! Every criterion as data: what it asks, if it comes from, what it needs, and in which phases of
//! the handbook it decides.

use super::limits;
use cutover_evidence::criterion::{CriterionId, Source};
use cutover_evidence::limits::{LIMITS, LimitId, Phase};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Action, Criterion, Kind, State};

/// What a criterion counts for in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Has to be measured and to pass: without evidence the run is INCONCLUSIVE.
    Required,
    /// A measured failure decides; without evidence it is shown as unknown and decides nothing.
    Judged,
    /// Shown, and decides nothing.
    Shown,
}

/// One criterion.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Stable name.
    pub id: CriterionId,
    /// What kind of truth it protects, if it decides: its severity.
    pub kind: Kind,
    /// What it says.
    pub title: &'static str,
    /// The section of the handbook.
    pub source: &'static str,
    /// The evidence it needs.
    pub evidence: &'static [Source],
    /// The limit in words; `{name}` stands for a limit of [`LIMITS`].
    pub limit: &'static str,
    /// What it counts for in each phase of [`Phase::ALL`].
    pub needs: [Need; 5],
    /// Under which circumstances it is judged at all; empty for always.
    pub only: &'static str,
}

const REQUIRED: [Need; 5] = [Need::Required; 5];
const JUDGED: [Need; 5] = [Need::Judged; 5];
const SHOWN: [Need; 5] = [Need::Shown; 5];
/// A development environment is there for its tests; its speed is shown.
const FROM_STAGING: [Need; 5] =
    [Need::Shown, Need::Required, Need::Required, Need::Required, Need::Required];

#[expect(clippy::too_many_arguments, reason = "a row of a table, by its columns")]
const fn row(
    id: CriterionId,
    kind: Kind,
    title: &'static str,
    source: &'static str,
    evidence: &'static [Source],
    limit: &'static str,
    needs: [Need; 5],
    only: &'static str,
) -> Spec {
    Spec { id, kind, title, source, evidence, limit, needs, only }
}

/// All of them, in the order in which they decide.
#[rustfmt::skip]
pub static CRITERIA: [Spec; 36] = [
    row(CriterionId::RecordWhole, Kind::Record,
        "The run was not cut short, and its evidence is as it was left",
        "Phase 2, load tests pass", &[Source::Acts, Source::Files],
        "every act to its end, every digest the same", REQUIRED, ""),
    row(CriterionId::ContentIdenticalBefore, Kind::Integrity,
        "Every row was the same on both sides before the load",
        "Phase 4, data integrity maintained", &[Source::DiffBefore], "0 differing rows", REQUIRED,
        "where there was a load"),
    row(CriterionId::ContentIdentical, Kind::Integrity,
        "Every row of every org is the same on both sides",
        "Phase 4, data integrity maintained", &[Source::Diff], "0 differing rows", REQUIRED, ""),
    row(CriterionId::RowDelta, Kind::Integrity, "Row counts of both sides agree",
        "data validation, row count delta < 10; alerts > 100, > 1000", &[Source::Diff],
        "< {row_delta} rows per table; above {row_delta_emergency} an emergency", REQUIRED, ""),
    row(CriterionId::CatalogSound, Kind::Integrity,
        "Triggers, partitions and columns can keep both sides the same",
        "infrastructure readiness, dual-write triggers active", &[Source::Diff], "0 errors", REQUIRED, ""),
    row(CriterionId::SeededRowsPresent, Kind::Integrity,
        "Everything that was seeded was there to be compared", "data validation",
        &[Source::Manifest, Source::Diff], "all seeded orgs and rows", REQUIRED, "where the run seeded"),
    row(CriterionId::Ledger, Kind::Integrity,
        "Every acknowledged write is there, whole, once, on both sides, and no refused one is",
        "data validation, recent writes appear in both legacy and partitioned tables",
        &[Source::DriveLedger], "0 lost, phantom, doubled, torn, stale or altered writes", REQUIRED,
        "where the load wrote"),
    row(CriterionId::OrgIsolation, Kind::Integrity, "No answer held another org's data",
        "Phase 3, data integrity maintained", &[Source::DriveIsolation], "0 answers", REQUIRED,
        "where there was a load"),
    row(CriterionId::AnswersAlike, Kind::Integrity, "Both sides answer the same question alike",
        "Phase 2, no data inconsistencies detected", &[Source::DriveParity], "0 answers that differ",
        REQUIRED, "where the load read on both sides"),
    row(CriterionId::TestedWhole, Kind::Advice, "Nothing was left out that nobody may take for tested",
        "Phase 2, load testing", &[Source::LeftOut, Source::DiffFindings], "0 things left out", SHOWN,
        "where the run was to change nothing, or a trigger could not be tried"),
    row(CriterionId::RecordConsistent, Kind::Validity, "The parts of the record tell one story",
        "Phase 2, monitoring", &[Source::Acts], "no contradiction", REQUIRED, "where they do not"),
    row(CriterionId::IncrementsIntact, Kind::Integrity,
        "No increment found a row or a write that is not as it must be",
        "Phase 4, data inconsistencies: rollback and investigate", &[Source::RolloutSteps],
        "0 increments, each looked at to its end", REQUIRED, "where a whole rollout was rehearsed"),
    row(CriterionId::IncrementsSound, Kind::Validity, "The measurement of every increment can be trusted",
        "Phase 4, steps for each increment", &[Source::RolloutSteps], "0 increments INVALID", REQUIRED,
        "where a whole rollout was rehearsed"),
    row(CriterionId::IncrementsReached, Kind::Performance, "Every increment of the schedule is GO",
        "Phase 4, rollout schedule", &[Source::RolloutSteps], "1, 5, 10, 25, 50, 100 %", REQUIRED,
        "where a whole rollout was rehearsed"),
    row(CriterionId::FlagLeft, Kind::Performance,
        "The flag was left where the last verdict wants it, proven by answers",
        "Phase 4, pause if issues detected; standard rollback, verify configuration",
        &[Source::RolloutFlag], "the last increment that was GO, or 0 %", REQUIRED,
        "where a whole rollout was rehearsed"),
    row(CriterionId::ServedAsAsked, Kind::Validity,
        "Every answer came from the side that was asked for",
        "Phase 1, queries route to partitioned tables", &[Source::Drive], "0 answers from the other side",
        REQUIRED, ""),
    row(CriterionId::GeneratorSound, Kind::Validity, "The load generator was not the bottleneck",
        "Phase 2, load testing", &[Source::Drive],
        "skipped ≤ 0.1 %, own processor share ≤ 80 %, no worker lost", REQUIRED, ""),
    row(CriterionId::SchedulingLag, Kind::Validity, "Requests left when they were due",
        "Phase 2, load testing", &[Source::Drive],
        "the same verdict without it, alike in both modes, p95 ≤ 50 % of the baseline's p95", REQUIRED,
        ""),
    row(CriterionId::ClockSound, Kind::Validity, "Time went forwards", "Phase 2, load testing",
        &[Source::DriveWindows], "each window ends after it began, each pair begins after the one before",
        REQUIRED, ""),
    row(CriterionId::WholePlan, Kind::Validity, "Every shard of the load is there",
        "Phase 2, load testing", &[Source::Drive], "none missing", REQUIRED,
        "where several generators shared the load"),
    row(CriterionId::Calibration, Kind::Validity,
        "The same side compared with itself shows no difference", "Phase 2, load testing",
        &[Source::DriveComparison], "an interval that holds +0 %, narrower than ±{p95_overall} %",
        REQUIRED, "where both windows of a pair ran in one mode"),
    row(CriterionId::ErrorRate, Kind::Performance, "Requests succeed",
        "Phase 4, error rate < 0.1 %; decision matrix, error rate > 1 %", &[Source::Drive],
        "< {error_rate} % in each mode; above {error_rate_rollback} % roll back", REQUIRED, ""),
    row(CriterionId::P95Overall, Kind::Performance,
        "p95 of all requests is not worse on the partitioned side",
        "Phase 4, P95 latency < baseline + 10 %; decision matrix, latency +50 %",
        &[Source::DriveComparison],
        "< +{p95_overall} %, upper bound; above +{p95_rollback} % roll back", FROM_STAGING, ""),
    row(CriterionId::P95Operations, Kind::Performance,
        "No operation is much worse on the partitioned side",
        "alert thresholds, P95 latency +20 % / +50 %", &[Source::DriveOperations],
        "≤ +{p95_operations} % each, lower bound, differences under {p95_felt} ms aside; above \
         +{p95_rollback} % roll back", FROM_STAGING, ""),
    row(CriterionId::P95OrgSizes, Kind::Performance,
        "No size of org is much worse off on the partitioned side",
        "alert thresholds, P95 latency +20 % / +50 %", &[Source::DriveOrgSizes],
        "≤ +{p95_org_sizes} % each, lower bound, differences under {p95_felt} ms aside; above \
         +{p95_rollback} % roll back", FROM_STAGING, ""),
    row(CriterionId::P95History, Kind::Performance,
        "The partitioned side is not slower than in earlier runs",
        "post-rollout, performance verification", &[Source::Drive, Source::History],
        "≤ +{p95_history} %, lower 95 % bound", REQUIRED, "where earlier runs were named"),
    row(CriterionId::CacheHitRate, Kind::Performance, "The cache answers most of what it is asked",
        "Phase 2 and 4, cache hit rate > 70 %", &[Source::Observations], "> {cache_hit_rate} %",
        FROM_STAGING, ""),
    row(CriterionId::CriticalAlerts, Kind::Performance, "The platform raised no critical alert",
        "Phase 2 and 4, no critical alerts", &[Source::Observations, Source::Watch], "0", FROM_STAGING, ""),
    row(CriterionId::PoolExhaustion, Kind::Performance, "Connection pools were not exhausted",
        "database metrics, watch for connection pool exhaustion", &[Source::Observations, Source::Watch],
        "every connection in use at ≤ {pool_exhaustion} % of looks", JUDGED, ""),
    row(CriterionId::PartitionPruning, Kind::Performance,
        "Questions read the partitions they are about and no others",
        "troubleshooting, partition pruning not working; week 1, review partition pruning",
        &[Source::DiffPruning], "1 partition for the range of one, for a read those that its `days` lie in", JUDGED, ""),
    row(CriterionId::RouteShare, Kind::Performance,
        "The platform sends the share of requests to the twins that its percentage says",
        "Phase 4, update feature flag percentage and verify metrics", &[Source::Watch],
        "within {route_share} percentage points and chance",
        [Need::Shown, Need::Shown, Need::Judged, Need::Judged, Need::Judged], ""),
    row(CriterionId::Drills, Kind::Performance, "A rollback was rehearsed, and was quick enough",
        "rollback decision matrix, timelines (standard 15 min, emergency 30 min)", &[Source::Drills],
        "each proven, within its time",
        [Need::Judged, Need::Judged, Need::Required, Need::Judged, Need::Shown], ""),
    row(CriterionId::FaultsSeen, Kind::Performance,
        "Every fault planted on purpose was seen, and led to the right action",
        "rollback decision matrix", &[Source::Faults], "each by its check, with its action", JUDGED, ""),
    row(CriterionId::Watched, Kind::Performance, "The platform was watched long enough for this phase",
        "Phase 2 (24 hours), Phase 3 (72 hours), Phase 4 (24 hours between increments)",
        &[Source::Observations, Source::Watch], "≥ {watched} h",
        [Need::Shown, Need::Shown, Need::Required, Need::Required, Need::Required], ""),
    row(CriterionId::ReplicaLag, Kind::Performance, "Replicas kept up",
        "alert thresholds, replica lag > 30 s; decision matrix: continue (has fallback)",
        &[Source::Observations, Source::Watch], "≤ {replica_lag} s", SHOWN, ""),
    row(CriterionId::ExternalCache, Kind::Performance, "The external cache was there all the time",
        "decision matrix: cache unavailable, continue (has fallback)", &[Source::Observations],
        "always available", SHOWN, ""),
];

const _: () = {
    let mut at = 0;
    while at < CRITERIA.len() {
        assert!(CRITERIA[at].id as usize == at, "CRITERIA stand in the order of their names");
        at += 1;
    }
};

fn spec(id: CriterionId) -> &'static Spec {
    &CRITERIA[id as usize]
}

/// Whether a criterion rests on the load before all: a load alone can decide it.
pub fn is_of_load(id: CriterionId) -> bool {
    spec(id).evidence[0].is_of_load()
}

/// A criterion before it is measured.
pub(super) fn criterion(id: CriterionId) -> Criterion {
    let spec = spec(id);
    Criterion {
        id,
        title: spec.title.into(),
        source: format!("handbook: {}", spec.source),
        kind: spec.kind,
        evidence: evidence(spec, ", "),
        limit: spec.limit.into(),
        measured: None,
        margin: None,
        state: State::Unknown,
        action: Action::Hold,
        note: String::new(),
    }
}

fn evidence(spec: &Spec, between: &str) -> String {
    spec.evidence.iter().map(|source| source.word()).collect::<Vec<_>>().join(between)
}

/// Gives a measured criterion the weight it has in the record's phase, and its limits their figures.
pub(super) fn finish(record: &RunRecord, criterion: &mut Criterion) {
    let spec = spec(criterion.id);
    for limit in &LIMITS {
        let value = limits::value(record, limit.name);
        criterion.limit =
            criterion.limit.replace(&format!("{{{}}}", limit.name), &limit.shown(value));
    }
    limits::explain(record, criterion);
    let unmeasured = criterion.state == State::Unknown;
    criterion.kind = match spec.needs[record.phase as usize] {
        Need::Shown => Kind::Advice,
        Need::Judged if unmeasured => Kind::Advice,
        // Nobody waits for hours that are not asked for.
        _ if criterion.id == CriterionId::Watched
            && limits::value(record, LimitId::Watched) == 0.0 =>
        {
            Kind::Advice
        }
        Need::Required | Need::Judged => spec.kind,
    };
}

/// The table of the criteria in `docs/verdict.md`.
pub fn table() -> String {
    let mut lines = vec![
        format!("| criterion | asks | handbook | evidence | limit | severity | {} |", phases("|")),
        format!(
            "| --- | --- | --- | --- | --- | --- | {} |",
            Phase::ALL.map(|_| "---").join(" | ")
        ),
    ];
    for spec in &CRITERIA {
        let needs = spec.needs.map(|need| match need {
            Need::Required => "required",
            Need::Judged => "judged",
            Need::Shown => "shown",
        });
        let only = if spec.only.is_empty() { String::new() } else { format!(" ({})", spec.only) };
        let kind = format!("{:?}", spec.kind).to_lowercase();
        let (asks, limit) = (format!("{}{only}", spec.title), handbook_limit(spec.limit));
        lines.push(format!(
            "| `{}` | {asks} | {} | `{}` | {limit} | {kind} | {} |",
            spec.id,
            spec.source,
            evidence(spec, "`, `"),
            needs.join(" | ")
        ));
    }
    lines.push(String::new());
    lines.push("| limit | belongs to | handbook | may be | counts |".into());
    lines.push("| --- | --- | --- | --- | --- |".into());
    for limit in &LIMITS {
        let (least, most) = limit.range;
        let values = match limit.handbook.iter().all(|value| *value == limit.handbook[0]) {
            true => limit.handbook[0].to_string(),
            false => {
                let each = Phase::ALL.map(|p| format!("{} {}", p.as_str(), limit.in_phase(p)));
                each.join(", ")
            }
        };
        let (name, criterion, unit) = (limit.name, limit.criterion, limit.unit);
        lines.push(format!("| `{name}` | `{criterion}` | {values} | {least} to {most} | {unit} |"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn phases(between: &str) -> String {
    Phase::ALL.map(Phase::as_str).join(&format!(" {between} "))
}

/// A limit's words with the handbook's figures in it.
fn handbook_limit(words: &str) -> String {
    LIMITS.iter().fold(words.to_owned(), |words, limit| {
        let mut values: Vec<String> =
            limit.handbook.iter().map(|value| limit.shown(*value)).collect();
        values.dedup();
        words.replace(&format!("{{{}}}", limit.name), &values.join(" / "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_criterion_is_listed_and_every_figure_in_a_limit_is_known() {
        assert_eq!(CRITERIA.len(), CriterionId::ALL.len());
        assert_eq!(LIMITS.len(), LimitId::ALL.len());
        for spec in &CRITERIA {
            assert!(!handbook_limit(spec.limit).contains('{'), "{}: {}", spec.id, spec.limit);
            // What decides about data or trust decides everywhere.
            if matches!(spec.kind, Kind::Record | Kind::Integrity | Kind::Validity) {
                assert_eq!(spec.needs, REQUIRED, "{}", spec.id);
            }
        }
    }
}
