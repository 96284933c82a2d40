//! What was found so far: counted, kept in part, and passed on to the files.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::at_hand::TableAtHand;
use super::drill_down::Difference;
use super::options::Options;
use super::org::placed;
use super::output::{FindingsFile, OrgsFile};
use super::repair;
use super::scan::{Digests, Method, OrgKey, OrgState, Secret};
use super::schema::{PairPlan, catalog_finding};
use super::scope::Rows;
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{
    Counts, DiffEvidence, Finding, OrgDiff, RepairPlan, Severity, TableDiff, WalDivergence,
    WalEvidence,
};
use cutover_evidence::pruning::Pruning;
use cutover_ground::act::ActContext;
use cutover_ground::config::{Accept, TablePair};

/// Counts findings and writes them as they come; memory grows with diverging orgs, not with rows.
pub(super) struct Outcome {
    several_pairs: bool,
    /// Whether digests are sums over bytes rather than texts.
    sums_bytes: bool,
    /// What is meant to be so.
    accepted: Vec<Accept>,
    all_orgs: bool,
    allow_empty: bool,
    listed_orgs: Option<Vec<String>>,
    max_findings: u64,
    findings_file: FindingsFile,
    orgs_file: OrgsFile,
    evidence: DiffEvidence,
    catalog_findings: Vec<Finding>,
    row_findings: Vec<Finding>,
    /// The table at hand, between its beginning and its end.
    table: Option<TableAtHand>,
    /// Hashes of the orgs seen in any pair, and what they are hashed with.
    checked: HashSet<u128, OrgState>,
    secret: Secret,
    /// The orgs of all pairs, and the listed ones without a row, where the server counted them.
    counted: Option<(u64, Vec<String>)>,
    diverged: HashSet<String>,
    empty: Vec<String>,
    /// Why the comparison ended early; empty if it did not.
    stopped: String,
}

impl Outcome {
    /// Creates both files, so that a folder that cannot be written is known at the start; `pairs` is
    /// how many table pairs are compared.
    pub(super) fn create(out: &Path, options: &Options, pairs: &[TablePair]) -> Result<Self> {
        let phase = options.phase;
        let scope = Rows::asked(options).words();
        Ok(Self {
            several_pairs: pairs.len() > 1,
            sums_bytes: false,
            accepted: pairs.iter().flat_map(|pair| pair.accepted.clone()).collect(),
            all_orgs: options.all_orgs,
            allow_empty: options.allow_empty,
            listed_orgs: options.orgs.clone(),
            max_findings: options.max_findings.unwrap_or(u64::MAX),
            findings_file: FindingsFile::create(out)?,
            orgs_file: OrgsFile::create(out)?,
            evidence: DiffEvidence {
                phase,
                scope,
                shard: options.shard,
                ..DiffEvidence::default()
            },
            catalog_findings: Vec::new(),
            row_findings: Vec::new(),
            table: None,
            checked: HashSet::default(),
            secret: Secret::new(),
            counted: None,
            diverged: HashSet::new(),
            empty: Vec::new(),
            stopped: String::new(),
        })
    }

    /// Takes how the comparison is made and of which server, and says it.
    pub(super) fn describe(
        &mut self,
        method: Method,
        reason: String,
        (replica, server): (Option<String>, Option<String>),
        context: &ActContext,
    ) {
        let name = match method {
            Method::Client => "client",
            Method::Server => "server",
        };
        context.note(format!("digest: {name}: {reason}"));
        if let Some(position) = &replica {
            context.note(format!("a replica, replayed up to {position}"));
        }
        self.sums_bytes = method == Method::Client;
        self.evidence.digest = name.into();
        self.evidence.digest_reason = reason;
        self.evidence.replica_position = replica;
        self.evidence.system_identifier = server;
    }

    /// Takes whether anything was left to go on from.
    pub(super) fn resumed(&mut self, resumed: bool) {
        self.evidence.resumed = resumed;
    }

    /// Takes how many snapshots there were.
    pub(super) fn snapshots(&mut self, count: u32) {
        self.evidence.snapshots = count;
    }

    /// Takes what the server counted over all pairs: orgs, and the listed ones without a row.
    pub(super) fn orgs_counted(&mut self, orgs: u64, absent: Vec<String>) {
        self.counted = Some((orgs, absent));
    }

    /// Ends the comparison early.
    pub(super) fn stop(&mut self, why: &str) {
        if self.stopped.is_empty() {
            self.stopped = format!("it was stopped: {why}");
        }
    }

    /// Whether it is to end early.
    pub(super) fn is_stopped(&self) -> bool {
        !self.stopped.is_empty()
    }

    /// Keeps a finding and asks whether that is enough of them.
    fn take(&mut self, finding: &Finding) -> Result<()> {
        self.evidence.findings_total += 1;
        self.findings_file.write(finding)?;
        self.evidence.differences_total += u64::from(!finding.is_advice());
        if self.evidence.differences_total >= self.max_findings {
            self.stop(&format!("{} findings, as many as --max-findings allows", self.max_findings));
        }
        Ok(())
    }

    /// Takes what the planner would read of a twin.
    pub(super) fn planned(&mut self, pruning: Vec<Pruning>) {
        self.evidence.pruning.extend(pruning);
    }

    /// Takes a finding about a catalog.
    pub(super) fn catalog_finding(&mut self, finding: Finding) -> Result<()> {
        let sorted = Accept::sort(&self.accepted, finding);
        sorted.into_iter().try_for_each(|finding| self.sorted_finding(finding))
    }

    fn sorted_finding(&mut self, finding: Finding) -> Result<()> {
        self.evidence.integrity_errors += u64::from(finding.is_error());
        self.take(&finding)?;
        // The verdict tells of it, however much else was found.
        if finding.class.is_blindness() {
            self.catalog_findings.truncate(DiffEvidence::KEPT_FINDINGS - 1);
            self.catalog_findings.insert(0, finding);
        } else {
            keep(&mut self.catalog_findings, finding);
        }
        Ok(())
    }

    /// Takes a difference of the table at hand.
    pub(super) fn difference(&mut self, difference: Difference) -> Result<()> {
        let Difference { finding, ours } = difference;
        if let Some(table) = &mut self.table {
            table.count(&finding, ours);
        }
        if ours {
            let in_groups = self.table.as_ref().is_some_and(|table| table.is_in_groups());
            let finding = placed(finding, in_groups);
            self.take(&finding)?;
            keep(&mut self.row_findings, finding);
        }
        Ok(())
    }

    /// Begins the row findings of a table with so many rows on each side; `diverging` are its orgs that
    /// differ.
    pub(super) fn begin_table<K: OrgKey>(
        &mut self,
        plan: &PairPlan,
        rows: [u64; 2],
        digests: &Digests<K>,
        diverging: HashMap<String, [u32; 2]>,
    ) -> Result<()> {
        if rows == [0, 0] {
            self.empty.push(plan.name.clone());
        }
        if self.several_pairs || self.all_orgs || self.listed_orgs.is_some() {
            self.remember_orgs(&plan.name, digests, &diverging)?;
        } else {
            self.counted = Some((digests.len(), Vec::new()));
        }
        self.table = Some(TableAtHand::begin(plan, rows, diverging));
        Ok(())
    }

    /// Remembers which orgs were seen, to count each once over all pairs; lists those that agree
    /// where that is asked for.
    fn remember_orgs<K: OrgKey>(
        &mut self,
        table: &str,
        digests: &Digests<K>,
        diverging: &HashMap<String, [u32; 2]>,
    ) -> Result<()> {
        self.checked.reserve(digests.listed().saturating_sub(self.checked.len()));
        for (org, digest) in digests.orgs() {
            let text = org.text();
            self.checked.insert(self.secret.hash(text.as_bytes()));
            if self.all_orgs && !diverging.contains_key(&text) {
                let line = org_line(table, text, digest.rows, Counts::default());
                self.orgs_file.write(&line)?;
            }
        }
        Ok(())
    }

    /// Sums up the table at hand, if there is one. Where digests and rows came from one state of the
    /// database (`exact`), an org that differs must have a row that does, unless bytes alone differ.
    pub(super) fn end_table(&mut self, exact: bool) -> Result<()> {
        let Some(at_hand) = self.table.take() else { return Ok(()) };
        let TableAtHand { mut table, mut diverging, mut counts, has_many_forms, .. } = at_hand;
        for (org, _) in counts.iter().filter(|(_, found)| !exact && found.total() > 0) {
            diverging.entry(org.clone()).or_default();
        }
        let mut lines = Vec::with_capacity(diverging.len());
        let mut unexplained = Vec::new();
        for (org, rows) in diverging {
            let found = counts.remove(&org);
            if found.is_none() && !self.is_stopped() {
                // Bytes alone explain no row that one side has more than the other, and the server sums texts.
                let bytes_alone = has_many_forms && self.sums_bytes && rows[0] == rows[1];
                if !exact || bytes_alone {
                    // It differed for a moment only, or in its bytes only.
                    self.agrees_after_all(&table.name, org, rows)?;
                    continue;
                }
                unexplained.push(org.clone());
            }
            let found = found.unwrap_or_default();
            table.counts.add(&found);
            self.diverged.insert(org.clone());
            lines.push(org_line(&table.name, org, rows, found));
        }
        self.unexplained(&table.name, &unexplained)?;
        lines.sort_by(|a, b| {
            b.counts.total().cmp(&a.counts.total()).then_with(|| a.org_id.cmp(&b.org_id))
        });
        for org in &lines {
            self.orgs_file.write(org)?;
        }
        lines.truncate(DiffEvidence::KEPT_ORGS);
        self.evidence.orgs.extend(lines);
        self.evidence.tables.push(table);
        Ok(())
    }

    /// An org that was taken for one that differs.
    fn agrees_after_all(&mut self, table: &str, org: String, rows: [u32; 2]) -> Result<()> {
        match self.all_orgs {
            true => self.orgs_file.write(&org_line(table, org, rows, Counts::default())),
            false => Ok(()),
        }
    }

    /// Digests differ and the rows do not: never a pass, whatever the cause.
    fn unexplained(&mut self, table: &str, orgs: &[String]) -> Result<()> {
        if orgs.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "the digests of {} orgs differ (first: {}) and none of their rows does; please report \
             this",
            orgs.len(),
            orgs[..orgs.len().min(5)].join(", ")
        );
        self.catalog_finding(catalog_finding(
            table,
            CatalogClass::Unexplained,
            Severity::Error,
            detail,
        ))
    }

    /// Takes what the write-ahead log told: a finding per transaction, as far as they were kept.
    pub(super) fn log_read(&mut self, wal: WalEvidence) -> Result<()> {
        for found in &wal.divergences {
            let WalDivergence { table, xid, committed_at, detail } = found;
            let detail = format!("transaction {xid}, committed {committed_at}: {detail}");
            let class = CatalogClass::TransactionDiverged;
            self.catalog_finding(catalog_finding(table, class, Severity::Error, detail))?;
        }
        self.evidence.wal = Some(wal);
        Ok(())
    }

    /// The table that was summed up last.
    pub(super) fn last_table(&self) -> Option<&TableDiff> {
        self.evidence.tables.last()
    }

    /// Takes what `repair.sql` mends, and whether it was written.
    pub(super) fn repaired(&mut self, written: bool, repairs: Vec<RepairPlan>) {
        self.evidence.repair = written.then(|| repair::FILE.into());
        self.evidence.repairs = repairs;
    }

    /// Puts the files in place and closes the account.
    pub(super) fn finish(mut self, duration_s: f64) -> Result<DiffEvidence> {
        self.end_table(false)?;
        let (orgs, absent) = match self.counted.take() {
            Some(counted) => counted,
            None => (self.checked.len() as u64, self.absent_orgs()),
        };
        self.findings_file.finish()?;
        self.orgs_file.finish()?;
        let mut evidence = self.evidence;
        evidence.orgs_checked = orgs;
        evidence.orgs_diverged = self.diverged.len() as u64;
        evidence.duration_s = duration_s;
        evidence.orgs.sort_by_key(|org| std::cmp::Reverse(org.counts.total()));
        evidence.orgs.truncate(DiffEvidence::KEPT_ORGS);
        // However much the catalogs have to say, half of what is kept is rows if so many differ.
        let rows = self.row_findings.len().min(DiffEvidence::KEPT_FINDINGS / 2);
        self.catalog_findings.truncate(DiffEvidence::KEPT_FINDINGS - rows);
        evidence.findings = self.catalog_findings;
        evidence.findings.append(&mut self.row_findings);
        evidence.findings.truncate(DiffEvidence::KEPT_FINDINGS);
        let uncompared = uncompared(&self.empty, &absent);
        if !self.stopped.is_empty() {
            evidence.incomplete_reason = self.stopped;
        } else if !uncompared.is_empty() && !self.allow_empty {
            evidence.incomplete_reason =
                format!("{uncompared}: nothing was compared there (--allow-empty accepts this)");
        }
        if let Some(wal) = evidence.wal.as_ref().filter(|wal| !wal.incomplete_reason.is_empty()) {
            evidence.incomplete_reason = format!("write-ahead log: {}", wal.incomplete_reason);
        }
        evidence.complete = evidence.incomplete_reason.is_empty();
        Ok(evidence)
    }

    /// Orgs that were asked for and have no row in any pair.
    fn absent_orgs(&self) -> Vec<String> {
        let seen = |org: &&String| self.checked.contains(&self.secret.hash(org.as_bytes()));
        self.listed_orgs.iter().flatten().filter(|org| !seen(org)).cloned().collect()
    }
}

fn org_line(table: &str, org_id: String, rows: [u32; 2], counts: Counts) -> OrgDiff {
    OrgDiff {
        org_id,
        table: table.to_owned(),
        legacy_rows: rows[0].into(),
        partitioned_rows: rows[1].into(),
        counts,
    }
}

/// What was asked for and not there to be compared, in words; empty if it was all there.
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
