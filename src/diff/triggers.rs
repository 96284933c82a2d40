//! The triggers that carry legacy writes to the twin: are they there, do they fire, on what.

use super::schema::{PairPlan, Side};
use crate::evidence::finding::{Finding, Severity};
use crate::pg::catalog::Trigger;

/// What is wrong with the triggers on legacy; `triggers` are all of them.
///
/// Pure. The one that the configuration names and every one whose function names the twin count;
/// together they have to carry each event.
pub(super) fn check(plan: &PairPlan, triggers: &[Trigger]) -> Vec<Finding> {
    let carriers = carriers(plan, triggers);
    if let Some(missing) = missing(plan, triggers, &carriers) {
        return vec![missing];
    }
    let mut findings = Vec::new();
    for trigger in &carriers {
        findings.extend(enabling(plan, trigger));
    }
    findings.extend(events(plan, &carriers));
    findings.extend(column_lists(plan, &carriers));
    findings
}

fn carriers<'t>(plan: &PairPlan, triggers: &'t [Trigger]) -> Vec<&'t Trigger> {
    let twin = &plan.table(Side::Partitioned).name.name;
    let named = |trigger: &Trigger| plan.trigger.as_ref() == Some(&trigger.name);
    triggers.iter().filter(|t| named(t) || names(&t.source, twin)).collect()
}

/// Whether a source text holds `name` as a word of its own.
fn names(source: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(name).any(|(at, _)| {
        !source[..at].ends_with(part_of_name)
            && !source[at + name.len()..].starts_with(part_of_name)
    })
}

fn missing(plan: &PairPlan, triggers: &[Trigger], carriers: &[&Trigger]) -> Option<Finding> {
    let legacy = &plan.table(Side::Legacy).name;
    let there: Vec<&str> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    let there = if there.is_empty() { "none".into() } else { there.join(", ") };
    let what = match &plan.trigger {
        Some(name) if !triggers.iter().any(|trigger| trigger.name == *name) => {
            format!("{legacy} has no trigger `{name}`")
        }
        None if carriers.is_empty() => {
            let twin = &plan.table(Side::Partitioned).name;
            format!("{legacy} has no trigger whose function writes {twin}")
        }
        _ => return None,
    };
    let detail = format!(
        "{what} (triggers there: {there}): no write reaches the twin; create the trigger, backfill, \
         and compare again"
    );
    Some(plan.finding("trigger_missing", Severity::Error, detail))
}

fn enabling(plan: &PairPlan, trigger: &Trigger) -> Option<Finding> {
    let (table, name) = (&plan.table(Side::Legacy).name, &trigger.name);
    let (class, severity, detail) = match trigger.enabled.as_str() {
        "A" => return None,
        "O" => (
            "trigger_not_always",
            Severity::Advice,
            format!(
                "trigger `{name}` does not fire in sessions with session_replication_role = replica; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\""
            ),
        ),
        "R" => (
            "trigger_replica_only",
            Severity::Error,
            format!(
                "trigger `{name}` fires only in replica sessions, ordinary writes do not reach the \
                 twin; ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\""
            ),
        ),
        _ => (
            "trigger_disabled",
            Severity::Error,
            format!(
                "trigger `{name}` is disabled, writes do not reach the twin; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\", backfill, and compare again"
            ),
        ),
    };
    Some(plan.finding(class, severity, detail))
}

fn events(plan: &PairPlan, carriers: &[&Trigger]) -> Vec<Finding> {
    let carried = |event: &str| carriers.iter().any(|trigger| trigger.fires_on(event));
    let legacy = &plan.table(Side::Legacy).name;
    let mut findings = Vec::new();
    for event in ["INSERT", "UPDATE", "DELETE"] {
        if !carried(event) {
            let detail = format!(
                "no trigger on {legacy} carries {event} to the twin; add the event to the trigger \
                 and its function, backfill, and compare again"
            );
            findings.push(plan.finding("trigger_event_missing", Severity::Error, detail));
        }
    }
    if !carried("TRUNCATE") {
        let detail = format!(
            "a TRUNCATE of {legacy} does not reach the twin; add a statement trigger for it, or \
             revoke TRUNCATE"
        );
        findings.push(plan.finding("trigger_truncate_missing", Severity::Advice, detail));
    }
    for trigger in carriers.iter().filter(|trigger| trigger.conditional) {
        let detail = format!(
            "trigger `{}` has a WHEN clause: writes that it leaves out do not reach the twin",
            trigger.name
        );
        findings.push(plan.finding("trigger_conditional", Severity::Advice, detail));
    }
    findings
}

/// `UPDATE OF a, b` leaves out an update of `c`.
fn column_lists(plan: &PairPlan, carriers: &[&Trigger]) -> Option<Finding> {
    let on_update: Vec<_> = carriers.iter().filter(|t| t.fires_on("UPDATE")).collect();
    if on_update.is_empty() || on_update.iter().any(|trigger| trigger.columns.is_empty()) {
        return None;
    }
    let left_out: Vec<String> = plan
        .columns
        .iter()
        .map(|column| column.on(Side::Legacy).to_owned())
        .filter(|name| !on_update.iter().any(|trigger| trigger.columns.contains(name)))
        .collect();
    if left_out.is_empty() {
        return None;
    }
    let detail = format!(
        "an update of {} alone does not fire the trigger; remove the column list after UPDATE OF",
        left_out.join(", ")
    );
    let mut finding = plan.finding("trigger_column_missing", Severity::Error, detail);
    finding.columns = left_out;
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_name_counts_only_as_a_word() {
        assert!(names("INSERT INTO public.orders_twin (id)", "orders_twin"));
        assert!(names("insert into \"orders_twin\"", "orders_twin"));
        assert!(!names("INSERT INTO orders_twin_old (id)", "orders_twin"));
        assert!(!names("INSERT INTO my_orders_twin", "orders_twin"));
    }
}
