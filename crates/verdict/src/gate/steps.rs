//! What to do next: the handbook's steps, filled in with the names of this target.

use super::sql;
use cutover_error::foreign::value;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::policy::SCHEDULE;
use cutover_evidence::run_record::{RunRecord, TargetPair};
use cutover_evidence::trigger::TriggerState;
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
    let errors: Vec<_> = errors.filter(|f| f.is_error()).collect();
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
    steps.extend(look_at_triggers(record));
    steps.extend(triggers(record, |_| TriggerState::Disabled));
    steps.push("Repair the twin: cutover diff --repair, then apply repair.sql; restore from backup if legacy itself lost data.".into());
    steps.push(
        "Put each trigger back as it was; ENABLE alone would keep one that was ENABLE ALWAYS from \
         firing for applied changes:"
            .into(),
    );
    steps.extend(triggers(record, |pair| state_of(record, pair).unwrap_or(TriggerState::Origin)));
    steps.push("Run cutover diff until it is clean, then write the post-mortem.".into());
    steps
}

/// Orgs that a step names at most; `orgs.csv` holds all of them.
const NAMED: usize = 20;

fn disable_orgs(record: &RunRecord) -> Vec<String> {
    let orgs = record.diff.iter().flat_map(|diff| &diff.orgs);
    let mut orgs: Vec<String> = orgs.map(|org| value(&org.org_id)).collect();
    orgs.dedup();
    let more = if orgs.len() > NAMED { ", … (all in orgs.csv)" } else { "" };
    orgs.truncate(NAMED);
    vec![
        format!("Within 5 minutes: take org {}{more} off the partitioned side.", orgs.join(", ")),
        "Repair their rows: cutover diff --repair, then apply repair.sql.".into(),
        "Run cutover diff --orgs-file for them until it is clean.".into(),
    ]
}

/// In which sessions a trigger is to fire; `None` if nobody saw it at work.
fn state_of(record: &RunRecord, pair: &TargetPair) -> Option<TriggerState> {
    let state = record.target.triggers_enabled.get(&pair.name);
    state.copied().filter(|state| *state != TriggerState::Disabled)
}

/// Where that is not known, it is looked at before anything is switched.
fn look_at_triggers(record: &RunRecord) -> Vec<String> {
    let unknown = |pair: &&TargetPair| pair.trigger.is_some() && state_of(record, pair).is_none();
    let pairs = record.target.pairs.iter().filter(unknown);
    let look = |pair: &TargetPair| {
        let look = sql::trigger_states(&pair.legacy.replace('\'', "''"));
        format!("Note how it is enabled (A: ENABLE ALWAYS, R: ENABLE REPLICA): {look}")
    };
    pairs.map(look).collect()
}

fn triggers(record: &RunRecord, state: impl Fn(&TargetPair) -> TriggerState) -> Vec<String> {
    let statement = |pair: &TargetPair| {
        Some(sql::alter_trigger(&pair.legacy, state(pair), pair.trigger.as_ref()?))
    };
    record.target.pairs.iter().filter_map(statement).collect()
}

/// A question to the platform's monitoring, ready to be pasted.
fn ask(record: &RunRecord, path: &str, field: &str) -> String {
    let base_url = record.target.base_url.as_deref().unwrap_or("BASE_URL").trim_end_matches('/');
    format!("curl -s '{base_url}{path}' | jq '{field}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(state: Option<TriggerState>) -> String {
        let mut record = RunRecord::default();
        record.target.pairs.push(TargetPair {
            legacy: "public.orders".into(),
            trigger: Some("carry".into()),
            ..TargetPair::default()
        });
        record.target.triggers_enabled.extend(state.map(|state| (String::new(), state)));
        emergency_rollback(&record).join("\n")
    }

    #[test]
    fn a_trigger_is_put_back_as_the_run_found_it() {
        for (state, clause) in [
            (TriggerState::Origin, "ALTER TABLE public.orders ENABLE TRIGGER carry;"),
            (TriggerState::Always, "ALTER TABLE public.orders ENABLE ALWAYS TRIGGER carry;"),
            (TriggerState::Replica, "ALTER TABLE public.orders ENABLE REPLICA TRIGGER carry;"),
        ] {
            let steps = steps(Some(state));
            assert!(steps.contains("ALTER TABLE public.orders DISABLE TRIGGER carry;"), "{steps}");
            assert!(steps.contains(clause) && !steps.contains("tgenabled"), "{steps}");
        }
    }

    #[test]
    fn where_nobody_saw_it_at_work_it_is_looked_at_first() {
        for state in [None, Some(TriggerState::Disabled)] {
            let steps = steps(state);
            let look = steps.find("tgenabled FROM pg_trigger WHERE tgrelid = 'public.orders'");
            assert!(look < steps.find("DISABLE TRIGGER") && look.is_some(), "{steps}");
            assert!(steps.contains("ENABLE TRIGGER carry;"), "{steps}");
        }
    }
}
