//! What was found so far: counted, kept in part, and passed on to the files.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::digest::{Digests, OrgKey, OrgState, RowHasher};
use super::output::{FindingsFile, OrgsFile};
use super::repair;
use super::run::Options;
use super::schema::{PairPlan, catalog_finding};
use crate::error::Result;
use crate::evidence::finding::{
    Counts, DiffEvidence, Finding, OrgDiff, Severity, TableDiff, WalDivergence, WalEvidence,
};

/// Counts findings and writes them as they come; memory grows with diverging orgs, not with rows.
pub(super) struct Outcome {
    all_orgs: bool,
    allow_empty: bool,
    listed_orgs: Option<Vec<String>>,
    org_column: String,
    findings_file: FindingsFile,
    orgs_file: OrgsFile,
    evidence: DiffEvidence,
    catalog_findings: Vec<Finding>,
    row_findings: Vec<Finding>,
    /// Row findings of the table at hand, by org.
    counts: HashMap<String, Counts>,
    /// Hashes of the orgs seen in any pair, and what they are hashed with.
    checked: HashSet<u128, OrgState>,
    hasher: RowHasher,
    diverged: HashSet<String>,
    empty: Vec<String>,
}

impl Outcome {
    /// Creates both files, so that a folder that cannot be written is known at the start.
    pub(super) fn create(out: &Path, options: &Options) -> Result<Self> {
        let scope = match &options.orgs {
            None => "all orgs".into(),
            Some(orgs) => format!("{} listed orgs", orgs.len()),
        };
        let phase = options.phase.clone();
        Ok(Self {
            all_orgs: options.all_orgs,
            allow_empty: options.allow_empty,
            listed_orgs: options.orgs.clone(),
            org_column: String::new(),
            findings_file: FindingsFile::create(out)?,
            orgs_file: OrgsFile::create(out)?,
            evidence: DiffEvidence { phase, scope, ..DiffEvidence::default() },
            catalog_findings: Vec::new(),
            row_findings: Vec::new(),
            counts: HashMap::new(),
            checked: HashSet::default(),
            hasher: RowHasher::new(),
            diverged: HashSet::new(),
            empty: Vec::new(),
        })
    }

    /// Takes a finding about a catalog.
    pub(super) fn catalog_finding(&mut self, finding: Finding) -> Result<()> {
        self.evidence.integrity_errors += u64::from(finding.severity == Some(Severity::Error));
        self.evidence.findings_total += 1;
        self.findings_file.write(&finding)?;
        keep(&mut self.catalog_findings, finding);
        Ok(())
    }

    /// Takes a finding about a row of the table at hand.
    pub(super) fn row_finding(&mut self, finding: Finding) -> Result<()> {
        let org = finding.org_id.clone().unwrap_or_default();
        self.counts.entry(org).or_default().count(&finding.class);
        if finding.class == "wrong_org" {
            // The org that holds the row in the twin differs for this reason and no other.
            let holder = finding.partitioned.as_ref().and_then(|row| row.get(&self.org_column));
            self.counts.entry(holder.cloned().flatten().unwrap_or_default()).or_default();
        }
        self.evidence.findings_total += 1;
        self.findings_file.write(&finding)?;
        keep(&mut self.row_findings, finding);
        Ok(())
    }

    /// Begins the row findings of a table whose org column is called so.
    pub(super) fn begin_table(&mut self, org_column: &str) {
        self.org_column = org_column.to_owned();
        self.counts.clear();
    }

    /// Sums up the table at hand; `diverging` are its orgs that differ, with their rows by side.
    pub(super) fn end_table<K: OrgKey>(
        &mut self,
        plan: &PairPlan,
        digests: &Digests<K>,
        diverging: HashMap<String, [u32; 2]>,
    ) -> Result<()> {
        let mut table = TableDiff {
            name: plan.name.clone(),
            legacy_rows: digests.rows[0],
            partitioned_rows: digests.rows[1],
            counts: Counts::default(),
        };
        if digests.rows == [0, 0] {
            self.empty.push(plan.name.clone());
        }
        let line = |org_id: String, rows: [u32; 2], counts: Counts| OrgDiff {
            org_id,
            table: plan.name.clone(),
            legacy_rows: rows[0].into(),
            partitioned_rows: rows[1].into(),
            counts,
        };
        let mut lines = Vec::with_capacity(diverging.len());
        let mut unexplained = Vec::new();
        for (org, rows) in &diverging {
            let counts = self.counts.remove(org);
            if counts.is_none() {
                unexplained.push(org.clone());
            }
            let counts = counts.unwrap_or_default();
            table.counts.add(&counts);
            lines.push(line(org.clone(), *rows, counts));
        }
        self.unexplained(plan, &unexplained)?;
        lines.sort_by(|a, b| {
            b.counts.total().cmp(&a.counts.total()).then_with(|| a.org_id.cmp(&b.org_id))
        });
        for org in &lines {
            self.orgs_file.write(org)?;
        }
        lines.truncate(DiffEvidence::KEPT_ORGS);
        self.evidence.orgs.extend(lines);
        self.checked.reserve(digests.len().saturating_sub(self.checked.len()));
        for (org, digest) in digests.orgs() {
            let text = org.text();
            self.checked.insert(self.hasher.hash(text.as_bytes()));
            if self.all_orgs && !diverging.contains_key(&text) {
                self.orgs_file.write(&line(text, digest.rows, Counts::default()))?;
            }
        }
        self.diverged.extend(diverging.into_keys());
        self.evidence.tables.push(table);
        Ok(())
    }

    /// Digests differ and the rows do not: never a pass, whatever the cause.
    fn unexplained(&mut self, plan: &PairPlan, orgs: &[String]) -> Result<()> {
        if orgs.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "the digests of {} orgs differ (first: {}) and none of their rows does; please report \
             this",
            orgs.len(),
            orgs[..orgs.len().min(5)].join(", ")
        );
        self.catalog_finding(plan.finding("unexplained", Severity::Error, detail))
    }

    /// Takes what the write-ahead log told: a finding per transaction, as far as they were kept.
    pub(super) fn log_read(&mut self, wal: WalEvidence) -> Result<()> {
        for found in &wal.divergences {
            let WalDivergence { table, xid, committed_at, detail } = found;
            let detail = format!("transaction {xid}, committed {committed_at}: {detail}");
            let class = "transaction_diverged";
            self.catalog_finding(catalog_finding(table, class, Severity::Error, detail))?;
        }
        self.evidence.wal = Some(wal);
        Ok(())
    }

    /// Notes that `repair.sql` mends the orgs that differ.
    pub(super) fn repair_written(&mut self) {
        self.evidence.repair = Some(repair::FILE.into());
    }

    /// Puts the files in place and closes the account.
    pub(super) fn finish(mut self, duration_s: f64) -> Result<DiffEvidence> {
        let absent = self.absent_orgs();
        self.findings_file.finish()?;
        self.orgs_file.finish()?;
        let mut evidence = self.evidence;
        evidence.orgs_checked = self.checked.len() as u64;
        evidence.orgs_diverged = self.diverged.len() as u64;
        evidence.duration_s = duration_s;
        evidence.orgs.sort_by_key(|org| std::cmp::Reverse(org.counts.total()));
        evidence.orgs.truncate(DiffEvidence::KEPT_ORGS);
        evidence.findings = self.catalog_findings;
        evidence.findings.append(&mut self.row_findings);
        evidence.findings.truncate(DiffEvidence::KEPT_FINDINGS);
        let uncompared = uncompared(&self.empty, &absent);
        evidence.complete = uncompared.is_empty() || self.allow_empty;
        if !evidence.complete {
            evidence.incomplete_reason =
                format!("{}: nothing was compared there (--allow-empty accepts this)", uncompared);
        }
        if let Some(wal) = evidence.wal.as_ref().filter(|wal| !wal.incomplete_reason.is_empty()) {
            evidence.complete = false;
            evidence.incomplete_reason = format!("write-ahead log: {}", wal.incomplete_reason);
        }
        Ok(evidence)
    }

    /// Orgs that were asked for and have no row in any pair.
    fn absent_orgs(&self) -> Vec<String> {
        let seen = |org: &&String| self.checked.contains(&self.hasher.hash(org.as_bytes()));
        self.listed_orgs.iter().flatten().filter(|org| !seen(org)).cloned().collect()
    }
}

/// What was asked for and not there to be compared, in words; empty where it was all there.
fn uncompared(empty: &[String], absent: &[String]) -> String {
    let mut parts = Vec::new();
    if !empty.is_empty() {
        parts.push(format!("no row on either side of {}", empty.join(", ")));
    }
    if !absent.is_empty() {
        let first = absent[..absent.len().min(5)].join(", ");
        parts.push(format!("{} listed orgs have no row at all (first: {first})", absent.len()));
    }
    parts.join("; ")
}

fn keep(kept: &mut Vec<Finding>, finding: Finding) {
    if kept.len() < DiffEvidence::KEPT_FINDINGS {
        kept.push(finding);
    }
}
