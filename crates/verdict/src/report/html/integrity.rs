//! The data: rows of both sides, orgs that diverge, rows that differ, what the catalog shows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{clip, short};
use crate::report::facts;
use crate::report::text::{self, NOTHING, count, signed_count};
use cutover_error::foreign;
use cutover_evidence::finding::{
    Counts, DiffEvidence, Finding, GROUP, OrgDiff, Severity, TableDiff,
};
use cutover_evidence::manifest::Manifest;
use cutover_evidence::run_record::RunRecord;

/// Orgs shown at once; the rest unfolds.
const ORGS_OPEN: usize = 15;
/// Rows shown at once; the rest unfolds.
const SAMPLES_OPEN: usize = 6;
/// Columns of one row; those that differ come first.
const MOST_COLUMNS: usize = 40;

#[derive(Serialize)]
pub(super) struct View {
    diffs: Vec<DiffView>,
    orgs_open: Vec<OrgRow>,
    orgs_more: Vec<OrgRow>,
    orgs_diverged: String,
    samples_open: Vec<Sample>,
    samples_more: Vec<Sample>,
    findings_total: String,
    catalog: Vec<CatalogRow>,
    has_after: bool,
}

/// One comparison of all tables.
#[derive(Serialize)]
struct DiffView {
    title: &'static str,
    complete: bool,
    reason: String,
    orgs_checked: String,
    orgs_diverged: String,
    clean: bool,
    duration: String,
    log: Option<String>,
    tables: Vec<TableRow>,
}

#[derive(Serialize)]
struct TableRow {
    name: String,
    seeded: String,
    legacy_rows: String,
    partitioned_rows: String,
    delta: String,
    counts: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    bad: bool,
}

#[derive(Serialize)]
struct OrgRow {
    org_id: String,
    table: String,
    legacy_rows: String,
    partitioned_rows: String,
    counts: Vec<Cell>,
}

/// One row that differs, column by column.
#[derive(Serialize)]
pub(super) struct Sample {
    class: &'static str,
    table: String,
    org_id: String,
    key: String,
    partition: Option<String>,
    columns: Vec<Column>,
    columns_left_out: usize,
    /// Whether it is known what the row should hold.
    has_expected: bool,
    detail: String,
}

#[derive(Serialize)]
struct Column {
    name: String,
    differs: bool,
    expected: Shown,
    legacy: Shown,
    partitioned: Shown,
}

/// A value of one side: `text`, `null`, or `absent`.
#[derive(Serialize)]
struct Shown {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct CatalogRow {
    severity: &'static str,
    tone: &'static str,
    class: &'static str,
    table: String,
    partition: String,
    detail: String,
}

pub(super) fn view(record: &RunRecord) -> View {
    let manifest = record.manifest.as_ref();
    let diffs = record.diff_before.iter().chain(&record.diff);
    // What differs is told of the diff that counts; of the one before only if it is alone.
    let telling = record.diff.as_ref().or(record.diff_before.as_ref());
    let findings = telling.map_or(&[][..], |d| &d.findings);
    let (catalog, rows): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.is_of_catalog());
    let mut orgs: Vec<OrgRow> = telling.map_or(&[][..], |d| &d.orgs).iter().map(org_row).collect();
    let mut samples: Vec<Sample> = rows.into_iter().map(sample).collect();
    let orgs_more = orgs.split_off(orgs.len().min(ORGS_OPEN));
    let samples_more = samples.split_off(samples.len().min(SAMPLES_OPEN));
    View {
        diffs: diffs.map(|diff| diff_view(diff, manifest)).collect(),
        orgs_open: orgs,
        orgs_more,
        orgs_diverged: count(telling.map_or(0, |d| d.orgs_diverged)),
        samples_open: samples,
        samples_more,
        findings_total: count(telling.map_or(0, |d| d.findings_total)),
        catalog: catalog.into_iter().map(catalog_row).collect(),
        has_after: record.diff.is_some(),
    }
}

fn diff_view(diff: &DiffEvidence, manifest: Option<&Manifest>) -> DiffView {
    let found = facts::total(diff).total() > 0 || diff.orgs_diverged > 0;
    let reason = match diff.incomplete_reason.as_str() {
        "" => "no reason is recorded".to_owned(),
        reason => clip(reason),
    };
    DiffView {
        title: facts::diff_title(diff),
        complete: diff.complete,
        reason,
        orgs_checked: count(diff.orgs_checked),
        orgs_diverged: count(diff.orgs_diverged),
        clean: diff.complete && diff.orgs_checked > 0 && !found,
        duration: text::duration(diff.duration_s),
        log: facts::followed_log(diff),
        tables: diff.tables.iter().map(|table| table_row(table, manifest)).collect(),
    }
}

fn table_row(table: &TableDiff, manifest: Option<&Manifest>) -> TableRow {
    let seeded = manifest.and_then(|m| m.tables.iter().find(|t| t.name == table.name));
    TableRow {
        name: short(&table.name),
        seeded: seeded.map_or(NOTHING.to_owned(), |t| count(t.rows)),
        legacy_rows: count(table.legacy_rows),
        partitioned_rows: count(table.partitioned_rows),
        delta: signed_count(table.row_delta()),
        counts: cells(&table.counts),
    }
}

fn org_row(org: &OrgDiff) -> OrgRow {
    OrgRow {
        org_id: short(&org.org_id),
        table: short(&org.table),
        legacy_rows: count(org.legacy_rows),
        partitioned_rows: count(org.partitioned_rows),
        counts: cells(&org.counts),
    }
}

/// The classes in the order of the tables' heads.
fn cells(c: &Counts) -> Vec<Cell> {
    [c.missing, c.extra, c.mismatched, c.duplicate, c.wrong_org, c.misrouted]
        .into_iter()
        .map(|n| Cell { text: count(n), bad: n > 0 })
        .collect()
}

pub(super) fn sample(finding: &Finding) -> Sample {
    let absent = BTreeMap::new();
    let expected = finding.expected.as_ref().unwrap_or(&absent);
    let legacy = finding.legacy.as_ref().unwrap_or(&absent);
    let partitioned = finding.partitioned.as_ref().unwrap_or(&absent);
    let names: BTreeSet<&String> = legacy
        .keys()
        .chain(partitioned.keys())
        .chain(expected.keys())
        .chain(&finding.columns)
        .collect();
    let mut columns: Vec<Column> = names
        .into_iter()
        .map(|name| Column {
            name: short(name),
            differs: finding.columns.contains(name) || legacy.get(name) != partitioned.get(name),
            expected: shown(expected.get(name)),
            legacy: shown(legacy.get(name)),
            partitioned: shown(partitioned.get(name)),
        })
        .collect();
    columns.sort_by_key(|column| !column.differs);
    let columns_left_out = columns.len().saturating_sub(MOST_COLUMNS);
    columns.truncate(MOST_COLUMNS);
    let key = finding.key.iter().map(|(name, value)| {
        format!("{name} = {}", foreign::value(value.as_deref().unwrap_or("NULL")))
    });
    Sample {
        class: finding.class.word(),
        table: short(&finding.table),
        org_id: org_or_group(finding),
        key: clip(&key.collect::<Vec<_>>().join(", ")),
        partition: finding.partition.as_deref().map(short),
        columns,
        columns_left_out,
        has_expected: finding.expected.is_some(),
        detail: finding.detail.as_deref().map_or(String::new(), clip),
    }
}

fn org_or_group(finding: &Finding) -> String {
    match (&finding.org_id, finding.group) {
        (Some(org), _) => short(org),
        (None, Some(group)) => format!("{GROUP}{group}"),
        (None, None) => NOTHING.to_owned(),
    }
}

fn shown(value: Option<&Option<String>>) -> Shown {
    match value {
        None => Shown { kind: "absent", text: "not there".to_owned() },
        Some(None) => Shown { kind: "null", text: "NULL".to_owned() },
        Some(Some(text)) if text.is_empty() => {
            Shown { kind: "null", text: "empty text".to_owned() }
        }
        Some(Some(value)) => {
            Shown { kind: "text", text: text::clip(value, foreign::VALUE_LIMIT).into_owned() }
        }
    }
}

fn catalog_row(finding: &Finding) -> CatalogRow {
    let (severity, tone) = match finding.severity {
        _ if finding.accepted.is_some() => ("accepted", "plain"),
        Some(Severity::Error) => ("error", "bad"),
        Some(Severity::Advice) => ("advice", "plain"),
        None => ("not rated", "doubtful"),
    };
    CatalogRow {
        severity,
        tone,
        class: finding.class.word(),
        table: short(&finding.table),
        partition: finding.partition.as_deref().map_or(String::new(), short),
        detail: clip(&match (&finding.detail, &finding.accepted) {
            (Some(detail), Some(reason)) => format!("accepted ({reason}): {detail}"),
            (Some(detail), None) => detail.clone(),
            (None, _) => "no detail recorded".into(),
        }),
    }
}
