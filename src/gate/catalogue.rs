//! Every criterion as data: what it asks, where it comes from, what it needs, and in which phases of
//! the handbook it decides.

use super::limits;
use crate::evidence::limits::{LIMITS, Phase};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Action, Criterion, Kind, State};

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
    pub id: &'static str,
    /// What kind of truth it protects, where it decides: its severity.
    pub kind: Kind,
    /// What it says.
    pub title: &'static str,
    /// The section of the handbook.
    pub source: &'static str,
    /// The evidence it needs, as fields of the run record.
    pub evidence: &'static str,
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
    id: &'static str,
    kind: Kind,
    title: &'static str,
    source: &'static str,
    evidence: &'static str,
    limit: &'static str,
    needs: [Need; 5],
    only: &'static str,
) -> Spec {
    Spec { id, kind, title, source, evidence, limit, needs, only }
}

/// All of them, in the order in which they decide.
#[rustfmt::skip]
pub const CRITERIA: [Spec; 35] = [
    row("record_whole", Kind::Record,
        "The run was not cut short, and its evidence is as it was left",
        "Phase 2, load tests pass", "acts, files",
        "every act to its end, every digest the same", REQUIRED, ""),
    row("content_identical_before", Kind::Integrity,
        "Every row was the same on both sides before the load",
        "Phase 4, data integrity maintained", "diff_before", "0 differing rows", REQUIRED,
        "where there was a load"),
    row("content_identical", Kind::Integrity,
        "Every row of every org is the same on both sides",
        "Phase 4, data integrity maintained", "diff", "0 differing rows", REQUIRED, ""),
    row("row_delta", Kind::Integrity, "Row counts of both sides agree",
        "data validation, row count delta < 10; alerts > 100, > 1000", "diff",
        "< {row_delta} rows per table; above {row_delta_emergency} an emergency", REQUIRED, ""),
    row("catalog_sound", Kind::Integrity,
        "Triggers, partitions and columns can keep both sides the same",
        "infrastructure readiness, dual-write triggers active", "diff", "0 errors", REQUIRED, ""),
    row("seeded_rows_present", Kind::Integrity,
        "Everything that was seeded was there to be compared", "data validation",
        "manifest, diff", "all seeded orgs and rows", REQUIRED, "where the run seeded"),
    row("ledger", Kind::Integrity,
        "Every acknowledged write is there, whole, once, on both sides, and no refused one is",
        "data validation, recent writes appear in both legacy and partitioned tables",
        "drive.ledger", "0 lost, phantom, doubled, torn, stale or altered writes", REQUIRED,
        "where the load wrote"),
    row("org_isolation", Kind::Integrity, "No answer held another org's data",
        "Phase 3, data integrity maintained", "drive.isolation", "0 answers", REQUIRED,
        "where there was a load"),
    row("answers_alike", Kind::Integrity, "Both sides answer the same question alike",
        "Phase 2, no data inconsistencies detected", "drive.parity", "0 answers that differ",
        REQUIRED, "where the load read on both sides"),
    row("tested_whole", Kind::Advice, "Nothing was left out that nobody may take for tested",
        "Phase 2, load testing", "left_out, diff.findings", "0 things left out", SHOWN,
        "where the run was to change nothing, or a trigger could not be tried"),
    row("increments_intact", Kind::Integrity,
        "No increment found a row or a write that is not as it must be",
        "Phase 4, data inconsistencies: rollback and investigate", "rollout.steps",
        "0 increments, each looked at to its end", REQUIRED, "where a whole rollout was rehearsed"),
    row("increments_sound", Kind::Validity, "The measurement of every increment can be trusted",
        "Phase 4, steps for each increment", "rollout.steps", "0 increments INVALID", REQUIRED,
        "where a whole rollout was rehearsed"),
    row("increments_reached", Kind::Performance, "Every increment of the schedule is GO",
        "Phase 4, rollout schedule", "rollout.steps", "1, 5, 10, 25, 50, 100 %", REQUIRED,
        "where a whole rollout was rehearsed"),
    row("flag_left", Kind::Performance,
        "The flag was left where the last verdict wants it, proven by answers",
        "Phase 4, pause if issues detected; standard rollback, verify configuration",
        "rollout.flag_left_at", "the last increment that was GO, or 0 %", REQUIRED,
        "where a whole rollout was rehearsed"),
    row("served_as_asked", Kind::Validity,
        "Every answer came from the side that was asked for",
        "Phase 1, queries route to partitioned tables", "drive", "0 answers from the other side",
        REQUIRED, ""),
    row("generator_sound", Kind::Validity, "The load generator was not the bottleneck",
        "Phase 2, load testing", "drive",
        "skipped ≤ 0.1 %, own processor share ≤ 80 %, no worker lost", REQUIRED, ""),
    row("scheduling_lag", Kind::Validity, "Requests left when they were due",
        "Phase 2, load testing", "drive",
        "the same verdict without it, alike in both modes, p95 ≤ 50 % of the baseline's p95", REQUIRED,
        ""),
    row("clock_sound", Kind::Validity, "Time went forwards", "Phase 2, load testing",
        "drive.windows", "each window ends after it began, each pair begins after the one before",
        REQUIRED, ""),
    row("whole_plan", Kind::Validity, "Every shard of the load is there",
        "Phase 2, load testing", "drive", "none missing", REQUIRED,
        "where several generators shared the load"),
    row("calibration", Kind::Validity,
        "The same side compared with itself shows no difference", "Phase 2, load testing",
        "drive.comparison", "an interval that holds +0 %, narrower than ±{p95_overall} %",
        REQUIRED, "where both windows of a pair ran in one mode"),
    row("error_rate", Kind::Performance, "Requests succeed",
        "Phase 4, error rate < 0.1 %; decision matrix, error rate > 1 %", "drive",
        "< {error_rate} % in each mode; above {error_rate_rollback} % roll back", REQUIRED, ""),
    row("p95_overall", Kind::Performance,
        "p95 of all requests is not worse on the partitioned side",
        "Phase 4, P95 latency < baseline + 10 %; decision matrix, latency +50 %",
        "drive.comparison",
        "< +{p95_overall} %, upper bound; above +{p95_rollback} % roll back", FROM_STAGING, ""),
    row("p95_operations", Kind::Performance,
        "No operation is much worse on the partitioned side",
        "alert thresholds, P95 latency +20 % / +50 %", "drive.comparison.operations",
        "≤ +{p95_operations} % each, lower bound, differences under {p95_felt} ms aside; above \
         +{p95_rollback} % roll back", FROM_STAGING, ""),
    row("p95_org_sizes", Kind::Performance,
        "No size of org is much worse off on the partitioned side",
        "alert thresholds, P95 latency +20 % / +50 %", "drive.comparison.org_sizes",
        "≤ +{p95_org_sizes} % each, lower bound, differences under {p95_felt} ms aside; above \
         +{p95_rollback} % roll back", FROM_STAGING, ""),
    row("p95_history", Kind::Performance,
        "The partitioned side is not slower than in earlier runs",
        "post-rollout, performance verification", "drive, history",
        "≤ +{p95_history} %, lower 95 % bound", REQUIRED, "where earlier runs were named"),
    row("cache_hit_rate", Kind::Performance, "The cache answers most of what it is asked",
        "Phase 2 and 4, cache hit rate > 70 %", "observations", "> {cache_hit_rate} %",
        FROM_STAGING, ""),
    row("critical_alerts", Kind::Performance, "The platform raised no critical alert",
        "Phase 2 and 4, no critical alerts", "observations, watch", "0", FROM_STAGING, ""),
    row("pool_exhaustion", Kind::Performance, "Connection pools were not exhausted",
        "database metrics, watch for connection pool exhaustion", "observations, watch",
        "every connection in use at ≤ {pool_exhaustion} % of looks", JUDGED, ""),
    row("partition_pruning", Kind::Performance,
        "Questions read the partitions they are about and no others",
        "troubleshooting, partition pruning not working; week 1, review partition pruning",
        "diff.pruning", "1 partition for the range of one, for a read those that its `days` lie in", JUDGED, ""),
    row("route_share", Kind::Performance,
        "The platform sends the share of requests to the twins that its percentage says",
        "Phase 4, update feature flag percentage and verify metrics", "watch",
        "within {route_share} percentage points and chance",
        [Need::Shown, Need::Shown, Need::Judged, Need::Judged, Need::Judged], ""),
    row("drills", Kind::Performance, "A rollback was rehearsed, and was quick enough",
        "rollback decision matrix, timelines (standard 15 min, emergency 30 min)", "drills",
        "each proven, within its time",
        [Need::Judged, Need::Judged, Need::Required, Need::Judged, Need::Shown], ""),
    row("faults_seen", Kind::Performance,
        "Every fault planted on purpose was seen, and led to the right action",
        "rollback decision matrix", "faults", "each by its check, with its action", JUDGED, ""),
    row("watched", Kind::Performance, "The platform was watched long enough for this phase",
        "Phase 2 (24 hours), Phase 3 (72 hours), Phase 4 (24 hours between increments)",
        "observations, watch", "≥ {watched} h",
        [Need::Shown, Need::Shown, Need::Required, Need::Required, Need::Required], ""),
    row("replica_lag", Kind::Performance, "Replicas kept up",
        "alert thresholds, replica lag > 30 s; decision matrix: continue (has fallback)",
        "observations, watch", "≤ {replica_lag} s", SHOWN, ""),
    row("external_cache", Kind::Performance, "The external cache was there all the time",
        "decision matrix: cache unavailable, continue (has fallback)", "observations",
        "always available", SHOWN, ""),
];

fn spec(id: &str) -> Option<&'static Spec> {
    CRITERIA.iter().find(|spec| spec.id == id)
}

/// A criterion before it is measured.
pub(super) fn criterion(id: &str) -> Criterion {
    let spec = spec(id).expect("asked for by the criteria that are listed here");
    Criterion {
        id: id.into(),
        title: spec.title.into(),
        source: format!("handbook: {}", spec.source),
        kind: spec.kind,
        evidence: spec.evidence.into(),
        limit: spec.limit.into(),
        measured: None,
        margin: None,
        state: State::Unknown,
        action: Action::Hold,
        note: String::new(),
    }
}

/// Gives a measured criterion the weight it has in the record's phase, and its limits their figures.
pub(super) fn finish(record: &RunRecord, criterion: &mut Criterion) {
    let Some(spec) = spec(&criterion.id) else { return };
    for limit in LIMITS {
        let value = limits::of(record, limit.name);
        criterion.limit =
            criterion.limit.replace(&format!("{{{}}}", limit.name), &limit.shown(value));
    }
    limits::explain(record, criterion);
    let unmeasured = criterion.state == State::Unknown;
    criterion.kind = match spec.needs[record.phase as usize] {
        Need::Shown => Kind::Advice,
        Need::Judged if unmeasured => Kind::Advice,
        // Nobody waits for hours that are not asked for.
        _ if criterion.id == "watched" && limits::of(record, "watched") == 0.0 => Kind::Advice,
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
    for spec in CRITERIA {
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
            spec.evidence.replace(", ", "`, `"),
            needs.join(" | ")
        ));
    }
    lines.push(String::new());
    lines.push("| limit | belongs to | handbook | may be | counts |".into());
    lines.push("| --- | --- | --- | --- | --- |".into());
    for limit in LIMITS {
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
    fn names_are_unique_and_every_figure_in_a_limit_is_known() {
        for (index, spec) in CRITERIA.iter().enumerate() {
            assert!(CRITERIA[..index].iter().all(|other| other.id != spec.id), "{}", spec.id);
            assert!(!handbook_limit(spec.limit).contains('{'), "{}: {}", spec.id, spec.limit);
            // What decides about data or trust decides everywhere.
            if matches!(spec.kind, Kind::Record | Kind::Integrity | Kind::Validity) {
                assert_eq!(spec.needs, REQUIRED, "{}", spec.id);
            }
        }
        for limit in LIMITS {
            assert!(spec(limit.criterion).is_some(), "{} belongs to nothing", limit.name);
        }
    }
}
