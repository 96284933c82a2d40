//! What to do next: the handbook's steps, filled in with the names of this target.

use super::sql;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::finding::Severity;
use cutover_evidence::policy::SCHEDULE;
use cutover_evidence::run_record::{RunRecord, TargetPair};
use cutover_evidence::verdict::{Action, Criterion, Decision, Kind, State};

/// The steps that follow from a decision, in order.
pub(super) fn after(decision: Decision, action: Action, record: &RunRecord) -> Vec<String> {
    match (decision, action) {
        (Decision::Go, _) => proceed(record),
        (Decision::Inconclusive, _) => vec![
            stay(record),
            "Run again longer (--duration), or supply what is missing.".into(),
        ],
        (Decision::Invalid, _) => vec![
            stay(record),
            "Mend what spoiled the measurement, named above, then run again; docs/troubleshooting.md \
             says how, under \"The verdict is INVALID\"."
                .into(),
        ],
        (_, Action::EmergencyRollback) => emergency_rollback(record),
        (_, Action::StandardRollback) => standard_rollback(record),
        (_, Action::DisableOrgs) => disable_orgs(record),
        _ => vec![
            "Stay at the present percentage.".into(),
            "Investigate and mend, then run again.".into(),
        ],
    }
}

/// If nothing is decided, nothing is moved, but for a share that nobody has seen put back.
fn stay(record: &RunRecord) -> String {
    match &record.rollout {
        Some(rollout) if rollout.flag_left_at.is_none() && !rollout.steps.is_empty() => {
            let ended = "the rollout ended before it had seen where it leaves the share";
            format!("Set USE_PARTITIONED_TABLES_PERCENTAGE=0: {ended}.")
        }
        _ => "Stay where you are.".into(),
    }
}

fn proceed(record: &RunRecord) -> Vec<String> {
    if record.target.rig {
        return vec![
            "This was the local rig: it says that the harness works here, nothing of your platform.".into(),
            "Rehearse on staging: cutover rehearse --database-url URL --base-url URL".into(),
        ];
    }
    let Some(asked) = record.increment_percent else {
        return vec!["Proceed to the next increment of the handbook's schedule.".into()];
    };
    let mut steps = vec![
        format!("Set USE_PARTITIONED_TABLES_PERCENTAGE={asked}, and wait 10 minutes."),
        format!("Check: {}", ask(record, "/monitoring/unified/metrics", ".partitions")),
        "Watch for 24 hours before the next increment.".into(),
    ];
    if let Some(next) = SCHEDULE.iter().find(|percent| **percent > asked) {
        steps.push(format!("Then ask again: cutover gate RUN_DIR --increment {next}"));
    }
    steps
}

fn standard_rollback(record: &RunRecord) -> Vec<String> {
    let flag = ask(record, "/monitoring/partitions/metrics", ".partitionedTablesEnabled");
    let health = ask(record, "/monitoring/unified/health", ".status");
    vec![
        "Within 15 minutes: USE_PARTITIONED_TABLES_PERCENTAGE=0.".into(),
        format!("Check that reads are back on legacy: {flag} says false."),
        format!("Watch errors and latency for 30 minutes: {health} says healthy."),
    ]
}

/// Whether every row and write is as it must be, and the catalogs alone are not.
fn only_the_schema(record: &RunRecord) -> bool {
    let failed = |c: &&Criterion| c.kind == Kind::Integrity && c.state == State::Fail;
    let failed: Vec<_> = record.criteria.iter().filter(failed).collect();
    !failed.is_empty() && failed.iter().all(|criterion| criterion.id == CriterionId::CatalogSound)
}

/// Nothing is damaged yet: what the twins will miss is mended if it begins.
fn mend_the_schema(record: &RunRecord) -> Vec<String> {
    let mut steps = vec![
        "Where any reads go to the partitioned side, send them back to legacy: the twins will miss \
         writes or refuse them."
            .into(),
    ];
    let errors = record.diff.iter().flat_map(|diff| &diff.findings);
    let errors: Vec<_> = errors.filter(|f| f.severity == Some(Severity::Error)).collect();
    for finding in errors.iter().take(NAMED_FINDINGS) {
        let detail = finding.detail.as_deref().unwrap_or_default();
        steps.push(format!("Mend {} of {}: {detail}", finding.class, finding.table));
    }
    if errors.len() > NAMED_FINDINGS {
        let more = errors.len() - NAMED_FINDINGS;
        steps.push(format!("Mend {more} further findings: findings.jsonl."));
    }
    steps.push("Run cutover diff until it is clean.".into());
    steps
}

/// Findings that have a step of their own.
const NAMED_FINDINGS: usize = 5;

fn emergency_rollback(record: &RunRecord) -> Vec<String> {
    if record.rollout.is_none() && only_the_schema(record) {
        return mend_the_schema(record);
    }
    let mut steps = vec![
        "Now: USE_PARTITIONED_TABLES=false and USE_PARTITIONED_TABLES_PERCENTAGE=0.".into(),
        "Tell the incident channel and page the database administrator.".into(),
        "Assess the differences in findings.jsonl; where the dual-write triggers do harm:".into(),
    ];
    steps.extend(triggers(record, "DISABLE"));
    steps.push("Repair the twin: cutover diff --repair, then apply repair.sql; restore from backup if legacy itself lost data.".into());
    steps.push("Enable the triggers again:".into());
    steps.extend(triggers(record, "ENABLE"));
    steps.push("Run cutover diff until it is clean, then write the post-mortem.".into());
    steps
}

/// Orgs that a step names at most; `orgs.csv` holds all of them.
const NAMED: usize = 20;

fn disable_orgs(record: &RunRecord) -> Vec<String> {
    let mut orgs: Vec<&str> =
        record.diff.iter().flat_map(|diff| &diff.orgs).map(|org| org.org_id.as_str()).collect();
    orgs.dedup();
    let more = if orgs.len() > NAMED { ", … (all in orgs.csv)" } else { "" };
    orgs.truncate(NAMED);
    vec![
        format!("Within 5 minutes: take org {}{more} off the partitioned side.", orgs.join(", ")),
        "Repair their rows: cutover diff --repair, then apply repair.sql.".into(),
        "Run cutover diff --orgs-file for them until it is clean.".into(),
    ]
}

fn triggers(record: &RunRecord, what: &str) -> Vec<String> {
    let statement =
        |pair: &TargetPair| Some(sql::alter_trigger(&pair.legacy, what, pair.trigger.as_ref()?));
    record.target.pairs.iter().filter_map(statement).collect()
}

/// A question to the platform's monitoring, ready to be pasted.
fn ask(record: &RunRecord, path: &str, field: &str) -> String {
    let base_url = record.target.base_url.as_deref().unwrap_or("BASE_URL").trim_end_matches('/');
    format!("curl -s '{base_url}{path}' | jq '{field}'")
}
