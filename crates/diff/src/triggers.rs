//! The triggers that carry the writes of one side to the other: are they there, do they fire, on what.

use std::collections::{BTreeMap, BTreeSet};

use super::direction::{Direction, other};
use super::probe::{Carried, Coverage, EVENTS};
use super::refusals::{Refused, refused};
use super::schema::{PairPlan, Side};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::QualifiedName;
use cutover_ground::pg::catalog::Trigger;

/// What is wrong with the triggers of the side that is written to; `triggers` are all of them.
///
/// Pure. The one that the configuration names and every one whose function names the other side count;
/// together they have to carry each event. What was tried outweighs what the catalog says.
/// `direction` says which side is written to.
pub(super) fn check(
    plan: &PairPlan,
    direction: &Direction,
    triggers: &[Trigger],
    coverage: &Coverage,
) -> Vec<Finding> {
    let plan = &Written { plan, side: direction.written };
    let carriers = carriers(plan, triggers, coverage);
    if let Some(missing) = missing(plan, triggers, &carriers, coverage) {
        return vec![missing];
    }
    let mut findings: Vec<Finding> =
        carriers.iter().filter_map(|trigger| enabling(plan, trigger)).collect();
    let firing: Vec<&Trigger> = carriers.iter().copied().filter(|t| t.is_enabled()).collect();
    let (missing, silent) = events(plan, &carriers, &firing, coverage);
    findings.extend(missing);
    findings.extend(truncate(plan, triggers));
    findings.extend(conditional(plan, &carriers));
    findings.extend(columns(plan, &firing, coverage, &silent));
    if !silent.contains(&"UPDATE") {
        findings.extend(swallowed(plan, coverage));
        findings.extend(coverage.forms.iter().map(|form| form_missing(plan, form)));
    }
    let refused = refused(&firing, coverage);
    if !refused.is_empty() {
        findings.push(writes_refused(plan, &refused));
    }
    if silent.len() < EVENTS.len() {
        findings.extend(unknown(plan, coverage, &refused));
    }
    findings
}

fn writes_refused(plan: &Written<'_>, refused: &Refused) -> Finding {
    let detail = format!(
        "writes to {} fail while its trigger works, and nobody can make them; {}; mend the trigger's function",
        plan.table(),
        refused.words()
    );
    let finding = plan.finding(CatalogClass::WritesRefused, Severity::Error, detail);
    Finding { columns: refused.columns.keys().cloned().collect(), ..finding }
}

/// A pair, and which side of it is written to.
struct Written<'p> {
    plan: &'p PairPlan,
    side: Side,
}

impl Written<'_> {
    /// The table that is written to.
    fn table(&self) -> &QualifiedName {
        &self.plan.table(self.side).name
    }

    /// The table that is carried to.
    fn follower(&self) -> &QualifiedName {
        &self.plan.table(other(self.side)).name
    }

    /// What people call the one that is written to.
    fn word(&self) -> &'static str {
        match self.side {
            Side::Legacy => "legacy",
            Side::Partitioned => "the partitioned side",
        }
    }

    /// What people call the one that is carried to.
    fn follower_word(&self) -> &'static str {
        match self.side {
            Side::Legacy => "the twin",
            Side::Partitioned => "the legacy side",
        }
    }
}

impl std::ops::Deref for Written<'_> {
    type Target = PairPlan;

    fn deref(&self) -> &PairPlan {
        self.plan
    }
}

/// The triggers that write the other side. One that does so by dynamic SQL or by way of another function
/// does not name it: if nothing else does and the probe saw writes arrive, all that fire count.
fn carriers<'t>(
    plan: &Written<'_>,
    triggers: &'t [Trigger],
    coverage: &Coverage,
) -> Vec<&'t Trigger> {
    let twin = &plan.follower().name;
    let named = |trigger: &Trigger| plan.trigger.as_ref() == Some(&trigger.name);
    let found: Vec<&Trigger> = triggers.iter().filter(|t| named(t) || t.mentions(twin)).collect();
    if found.is_empty() && plan.trigger.is_none() && coverage.is_proven() {
        return triggers.iter().filter(|trigger| trigger.is_enabled()).collect();
    }
    found
}

fn missing(
    plan: &Written<'_>,
    triggers: &[Trigger],
    carriers: &[&Trigger],
    coverage: &Coverage,
) -> Option<Finding> {
    let legacy = plan.table();
    let there: Vec<&str> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    let there = if there.is_empty() { "none".into() } else { there.join(", ") };
    let what = match &plan.trigger {
        Some(name) if !triggers.iter().any(|trigger| trigger.name == *name) => {
            format!("{legacy} has no trigger `{name}`")
        }
        None if carriers.is_empty() => {
            let twin = plan.follower();
            let tried = coverage.events.iter().map(|(event, carried)| match carried {
                Carried::Yes => format!("{event} was tried and arrives"),
                Carried::No => format!("{event} was tried and does not arrive"),
                Carried::Unknown(why) => format!("{event} could not be tried: {why}"),
            });
            format!(
                "{legacy} has no trigger whose function names {twin} ({}; if one writes it by other \
                 means, name it under `trigger`)",
                tried.collect::<Vec<_>>().join(", ")
            )
        }
        _ => return None,
    };
    let follower = plan.follower_word();
    let detail = format!(
        "{what} (triggers there: {there}): no write reaches {follower}; create the trigger, backfill, \
         and compare again"
    );
    Some(plan.finding(CatalogClass::TriggerMissing, Severity::Error, detail))
}

fn enabling(plan: &Written<'_>, trigger: &Trigger) -> Option<Finding> {
    let (table, name, follower) = (plan.table(), &trigger.name, plan.follower_word());
    let (class, severity, detail) = match trigger.enabled.as_str() {
        "A" => return None,
        "O" => (
            CatalogClass::TriggerNotAlways,
            Severity::Advice,
            format!(
                "trigger `{name}` does not fire in sessions with session_replication_role = replica; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\""
            ),
        ),
        "R" => (
            CatalogClass::TriggerReplicaOnly,
            Severity::Error,
            format!(
                "trigger `{name}` fires only in replica sessions, ordinary writes do not reach \
                 {follower}; ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\""
            ),
        ),
        _ => (
            CatalogClass::TriggerDisabled,
            Severity::Error,
            format!(
                "trigger `{name}` is disabled, writes do not reach {follower}; \
                 ALTER TABLE {table} ENABLE ALWAYS TRIGGER \"{name}\", backfill, and compare again"
            ),
        ),
    };
    Some(plan.finding(class, severity, detail))
}

/// Events that do not reach the twin, by the catalog or by trying; and all of which nothing more
/// need be said: these, and those of triggers that do not fire, which are findings of their own.
fn events(
    plan: &Written<'_>,
    carriers: &[&Trigger],
    firing: &[&Trigger],
    coverage: &Coverage,
) -> (Vec<Finding>, Vec<&'static str>) {
    let (legacy, follower) = (plan.table(), plan.follower_word());
    let mut findings = Vec::new();
    let mut silent = Vec::new();
    for event in EVENTS {
        let fires = |triggers: &[&Trigger]| triggers.iter().any(|t| t.fires_on(event));
        let detail = match coverage.events.get(event) {
            Some(Carried::Yes) => continue,
            Some(Carried::No) if fires(firing) => format!(
                "{event} was tried in a transaction that was undone: a trigger on {legacy} fires, \
                 {follower} does not follow; mend its function"
            ),
            _ if !fires(carriers) => format!(
                "no trigger on {legacy} carries {event} to {follower}; add the event to the trigger \
                 and its function"
            ),
            _ if fires(firing) => continue,
            _ => {
                silent.push(event);
                continue;
            }
        };
        silent.push(event);
        let detail = format!("{detail}, backfill, and compare again");
        findings.push(plan.finding(CatalogClass::TriggerEventMissing, Severity::Error, detail));
    }
    (findings, silent)
}

/// An update by another statement than UPDATE, which does not reach the twin though an UPDATE does.
fn form_missing(plan: &Written<'_>, form: &str) -> Finding {
    let detail = format!(
        "{form} was tried on {} in a transaction that was undone, and {} does not follow, though it follows an \
         UPDATE: carry it in the trigger's function, backfill, and compare again",
        plan.table(),
        plan.follower_word()
    );
    plan.finding(CatalogClass::TriggerEventMissing, Severity::Error, detail)
}

/// A TRUNCATE cannot be tried, it would lock everybody out: any trigger that sees one will do.
fn truncate(plan: &Written<'_>, triggers: &[Trigger]) -> Option<Finding> {
    if triggers.iter().any(|trigger| trigger.is_enabled() && trigger.fires_on("TRUNCATE")) {
        return None;
    }
    let detail = format!(
        "a TRUNCATE of {} does not reach {}; add a statement trigger for it, or revoke TRUNCATE",
        plan.table(),
        plan.follower_word()
    );
    Some(plan.finding(CatalogClass::TriggerTruncateMissing, Severity::Advice, detail))
}

fn conditional(plan: &Written<'_>, carriers: &[&Trigger]) -> Vec<Finding> {
    let tell = |trigger: &&&Trigger| {
        let detail = format!(
            "trigger `{}` has a WHEN clause: writes that it leaves out do not reach {}",
            trigger.name,
            plan.follower_word()
        );
        plan.finding(CatalogClass::TriggerConditional, Severity::Advice, detail)
    };
    carriers.iter().filter(|trigger| trigger.conditional).map(|trigger| tell(&trigger)).collect()
}

/// Columns that were seen not to arrive, and those that no `UPDATE OF a, b` names.
fn columns(
    plan: &Written<'_>,
    firing: &[&Trigger],
    coverage: &Coverage,
    silent: &[&str],
) -> Option<Finding> {
    let unnamed = |name: &str| {
        let mut on_update = firing.iter().filter(|t| t.fires_on("UPDATE")).peekable();
        on_update.peek().is_some()
            && on_update.all(|t| !t.columns.is_empty() && !t.columns.iter().any(|c| c == name))
    };
    let mut lost = Vec::new();
    for name in plan.columns.iter().map(|column| column.on(Side::Legacy)) {
        let mut how: BTreeSet<&str> = coverage.lost.get(name).cloned().unwrap_or_default();
        // What is true of the whole event need not be said of each column.
        how.retain(|how| !silent.iter().any(|event| how.contains(event)));
        if coverage.unknown.contains_key(name) && unnamed(name) {
            how.insert("left out after UPDATE OF");
        }
        if !how.is_empty() {
            lost.push((name, how.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }
    if lost.is_empty() {
        return None;
    }
    let listed: Vec<String> = lost.iter().map(|(name, how)| format!("{name} ({how})")).collect();
    let detail = format!(
        "{} does not follow {} in {}; carry these columns in the trigger's function, name \
         none after UPDATE OF, backfill, and compare again",
        plan.follower_word(),
        plan.word(),
        listed.join("; ")
    );
    let mut finding = plan.finding(CatalogClass::TriggerColumnMissing, Severity::Error, detail);
    finding.columns = lost.into_iter().map(|(name, _)| name.to_owned()).collect();
    Some(finding)
}

fn swallowed(plan: &Written<'_>, coverage: &Coverage) -> Option<Finding> {
    if !coverage.swallows {
        return None;
    }
    let detail = format!(
        "a row that no partition takes was accepted in {} and is not in {}: the trigger's function swallows \
         the error; let the write fail, or catch the error and record the row",
        plan.word(),
        plan.follower_word()
    );
    Some(plan.finding(CatalogClass::TriggerSwallowsErrors, Severity::Error, detail))
}

/// What could not be tried is not known to be carried.
fn unknown(plan: &Written<'_>, coverage: &Coverage, refused: &Refused) -> Option<Finding> {
    let events = coverage.events.iter().filter_map(|(event, carried)| match carried {
        Carried::Unknown(why) => Some((*event, why)),
        _ => None,
    });
    let columns = coverage.unknown.iter().map(|(name, why)| (name.as_str(), why));
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (what, why) in events.chain(columns).filter(|(what, _)| !refused.tells(what)) {
        by_reason.entry(why).or_default().push(what);
    }
    if by_reason.is_empty() {
        return None;
    }
    let told: Vec<String> =
        by_reason.iter().map(|(why, what)| format!("{}: {why}", what.join(", "))).collect();
    let detail = format!(
        "it is not known whether the triggers carry everything, it could not be tried; {}",
        told.join("; ")
    );
    let mut finding = plan.finding(CatalogClass::TriggerCoverageUnknown, Severity::Advice, detail);
    let unknown = coverage.unknown.keys().filter(|name| !refused.tells(name));
    finding.columns = unknown.cloned().collect();
    Some(finding)
}
