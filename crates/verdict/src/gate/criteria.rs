//! The criteria that need no statistics: the record, the data, the platform's own word.

use std::collections::BTreeSet;

use super::catalogue::criterion;
use super::{consistency, limits};
use cutover_error::foreign::value;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::finding::{DiffEvidence, DiffPhase, GROUP, NO_ORG, OrgDiff};
use cutover_evidence::limits::LimitId;
use cutover_evidence::run_record::{ActKind, ActState, RunRecord, TargetPair};
use cutover_evidence::verdict::{Action, Criterion};

/// A number with its thousands apart: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Criteria about the record and the data.
pub(super) fn judge(record: &RunRecord) -> Vec<Criterion> {
    let mut criteria = vec![whole_record(record)];
    criteria.extend(consistency::judge(record));
    if record.diff_before.is_some() || record.drive.is_some() {
        let before = record.diff_before.as_ref();
        criteria.push(content(CriterionId::ContentIdenticalBefore, before, &record.target.pairs));
    }
    criteria.push(content(
        CriterionId::ContentIdentical,
        deciding_diff(record),
        &record.target.pairs,
    ));
    criteria.push(row_delta(record));
    criteria.push(catalog(record.diff.as_ref()));
    if record.manifest.is_some() || record.acts.iter().any(|act| act.name == ActKind::Seed) {
        criteria.push(nothing_lost_since_seed(record));
    }
    criteria.extend(tested_whole(record));
    criteria
}

/// Tells what was not tested, if there is any such thing.
pub(super) fn tested_whole(record: &RunRecord) -> Option<Criterion> {
    let untested = untested(record);
    (!untested.is_empty()).then(|| criterion(CriterionId::TestedWhole).note(untested.join("; ")))
}

/// What nobody may take for tested: what was left out, and triggers that could not be tried; of a
/// rollout, what its increments left out.
pub fn untested(record: &RunRecord) -> Vec<String> {
    if let Some(rollout) = &record.rollout {
        let untested: BTreeSet<&String> =
            rollout.steps.iter().flat_map(|step| &step.untested).collect();
        return untested.into_iter().cloned().collect();
    }
    let findings = record.diff.iter().flat_map(|diff| &diff.findings);
    let unseen = findings.filter(|finding| finding.class.is_blindness()).map(|finding| {
        let table = &finding.table;
        let what = match finding.class == CatalogClass::PartitionHorizonUnknown.into() {
            true => format!("for how long {table} has partitions"),
            false => format!("whether the triggers of {table} carry every write"),
        };
        format!("{what} (findings.jsonl says why)")
    });
    let mut all: Vec<String> = record.left_out.clone();
    for one in unseen {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// The comparison that counts: if there was a load, one made after it.
fn deciding_diff(record: &RunRecord) -> Option<&DiffEvidence> {
    record.diff.as_ref().filter(|diff| record.drive.is_none() || diff.phase != DiffPhase::Before)
}

pub(super) fn whole_record(record: &RunRecord) -> Criterion {
    let criterion = criterion(CriterionId::RecordWhole);
    if !record.altered.is_empty() {
        return criterion.measured(false, "altered").note(record.altered.join("; "));
    }
    match record.acts.iter().find(|act| act.state == ActState::Interrupted) {
        Some(act) => {
            let note = format!("a signal ended the run in the act `{}`", act.name);
            criterion.measured(false, "interrupted").note(note)
        }
        None if !record.ended => {
            let act = record.acts.last().map(|act| act.name.to_string());
            let act = act.as_deref().unwrap_or("before its first act");
            let note = format!("the run was killed; the last act that ended: {act}");
            criterion.measured(false, "cut short").note(note)
        }
        None if record.acts.is_empty() => criterion.note("no act left a trace"),
        None => match record.acts.iter().find(|act| act.state != ActState::Done) {
            Some(act) => {
                criterion.note(format!("the act `{}` was not done: {}", act.name, act.note))
            }
            None => {
                let (acts, files) = (record.acts.len(), record.files.len());
                criterion.measured(true, format!("{acts} acts, {files} files"))
            }
        },
    }
}

fn content(id: CriterionId, diff: Option<&DiffEvidence>, pairs: &[TargetPair]) -> Criterion {
    let criterion = criterion(id);
    let Some(diff) = diff else {
        return criterion.note("the tables were not compared");
    };
    // Summary and details must tell one story; the worse one counts.
    let rows = diff.findings.iter().filter(|finding| !finding.is_of_catalog()).count() as u64;
    let in_orgs: u64 = diff.orgs.iter().map(|org| org.counts.total()).sum();
    let in_tables: u64 = diff.tables.iter().map(|table| table.counts.total()).sum();
    let differences = in_tables.max(in_orgs).max(rows);
    if differences > 0 || diff.orgs_diverged > 0 {
        let belongs = |org: &OrgDiff| !org.org_id.starts_with(GROUP) && org.org_id != NO_ORG;
        let action = match diff.orgs_diverged {
            // Rows without org cannot be taken off the partitioned side by themselves.
            1 if diff.orgs.iter().all(belongs) => Action::DisableOrgs,
            _ => Action::EmergencyRollback,
        };
        let measured =
            format!("{} rows differ in {} orgs", count(differences), count(diff.orgs_diverged));
        return criterion.measured(false, measured).note(worst_orgs(diff)).asks_for(action);
    }
    if !diff.complete {
        return criterion.note(format!("not compared to the end: {}", diff.incomplete_reason));
    }
    if diff.orgs_checked == 0 {
        return criterion.note("there was no row to compare");
    }
    if !diff.is_of_all_orgs() {
        return criterion.note(format!("only a part was compared: {}", diff.scope));
    }
    let rows: u64 = diff.tables.iter().map(|table| table.legacy_rows).sum();
    let (rows, orgs) = (count(rows), count(diff.orgs_checked));
    let ignored = pairs
        .iter()
        .flat_map(|pair| pair.ignore.iter().map(move |column| format!("{}.{column}", pair.name)));
    let ignored: Vec<String> = ignored.collect();
    let note = match ignored.is_empty() {
        true => String::new(),
        false => format!("the configuration ignores {}", ignored.join(", ")),
    };
    criterion.measured(true, format!("0 of {rows} rows differ in {orgs} orgs")).note(note)
}

fn worst_orgs(diff: &DiffEvidence) -> String {
    const NAMED: usize = 5;
    let named: Vec<String> = diff
        .orgs
        .iter()
        .take(NAMED)
        .map(|org| {
            format!("org {} in {} ({})", value(&org.org_id), value(&org.table), org.counts.total())
        })
        .collect();
    let more = diff.orgs.len().saturating_sub(NAMED);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{and_more}", named.join(", "))
}

fn row_delta(record: &RunRecord) -> Criterion {
    let limit = limits::value(record, LimitId::RowDelta);
    let emergency = limits::value(record, LimitId::RowDeltaEmergency);
    let criterion = criterion(CriterionId::RowDelta);
    let whole = |diff: &&DiffEvidence| diff.complete && diff.is_of_all_orgs();
    let compared = record.diff.as_ref().filter(whole).filter(|diff| !diff.tables.is_empty());
    let Some(diff) = compared else {
        return criterion.note("the tables were not counted to the end");
    };
    let delta = |table: &cutover_evidence::finding::TableDiff| table.row_delta().unsigned_abs();
    let Some(worst) = diff.tables.iter().max_by_key(|table| delta(table)) else {
        return criterion;
    };
    let action =
        if delta(worst) as f64 > emergency { Action::EmergencyRollback } else { Action::Hold };
    criterion
        .measured((delta(worst) as f64) < limit, delta(worst).to_string())
        .below(delta(worst) as f64, limit)
        .note(format!("largest in `{}`", worst.name))
        .asks_for(action)
}

fn catalog(diff: Option<&DiffEvidence>) -> Criterion {
    let criterion = criterion(CriterionId::CatalogSound);
    let Some(diff) = diff else {
        return criterion.note("the catalog was not checked");
    };
    let errors: Vec<String> = diff
        .findings
        .iter()
        .filter(|finding| finding.is_error())
        .map(|finding| {
            let detail = finding.detail.as_deref().unwrap_or_default();
            format!("{}: {}: {detail}", finding.table, finding.class)
        })
        .collect();
    let count = diff.integrity_errors.max(errors.len() as u64);
    if count == 0 && !diff.complete {
        return criterion.note("the catalog was not checked to the end");
    }
    criterion
        .measured(count == 0, count.to_string())
        .note(errors.join("; "))
        .asks_for(Action::EmergencyRollback)
}

/// The seed's promise: what was loaded is there, org by org and row by row, before the load.
fn nothing_lost_since_seed(record: &RunRecord) -> Criterion {
    let criterion = criterion(CriterionId::SeededRowsPresent);
    let diffs: Vec<&DiffEvidence> =
        record.diff_before.iter().chain(&record.diff).filter(|diff| diff.complete).collect();
    let (Some(manifest), false) = (&record.manifest, diffs.is_empty()) else {
        return criterion.note("there is no manifest, or nothing to hold it against");
    };
    let compared = |diff: &DiffEvidence, name: &str| diff.tables.iter().any(|t| t.name == name);
    let absent: Vec<&str> = manifest
        .tables
        .iter()
        .map(|seeded| seeded.name.as_str())
        .filter(|name| !diffs.iter().all(|diff| compared(diff, name)))
        .collect();
    if !absent.is_empty() || manifest.tables.is_empty() || manifest.orgs == 0 {
        return criterion.note(format!("seeded but not compared: {}", absent.join(", ")));
    }
    // The load removes only rows that it made itself, so this holds after it, too.
    let short: Vec<String> = manifest
        .tables
        .iter()
        .filter_map(|seeded| {
            let tables = diffs.iter().flat_map(|diff| &diff.tables);
            let found = tables.filter(|table| table.name == seeded.name);
            let rows = found.map(|table| table.legacy_rows.min(table.partitioned_rows)).min()?;
            (rows < seeded.rows).then(|| format!("{}: {rows} of {}", seeded.name, seeded.rows))
        })
        .collect();
    let orgs = diffs.iter().map(|diff| diff.orgs_checked).min().unwrap_or(0);
    let all_there = short.is_empty() && orgs >= manifest.orgs;
    criterion
        .measured(all_there, format!("{} of {} orgs", count(orgs), count(manifest.orgs)))
        .note(short.join(", "))
}
