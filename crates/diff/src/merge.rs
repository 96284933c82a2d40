//! Shards of one comparison, put together: every org was compared by exactly one of them.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::output::{FindingsFile, OrgsFile};
use cutover_error::{Context, Error, Result};
use cutover_evidence::finding::{Counts, DiffEvidence, Finding};
use cutover_evidence::shard::Shard;

/// One shard: its folder and what it found.
pub type Part<'a> = (&'a Path, &'a DiffEvidence);

/// Shards that belong together.
pub struct Shards<'a> {
    parts: Vec<Part<'a>>,
    missing: Vec<u64>,
}

impl<'a> Shards<'a> {
    /// Looks whether the parts are shards of one comparison, or one that was not divided.
    ///
    /// # Errors
    /// A usage error if they do not belong together.
    pub fn new(parts: Vec<Part<'a>>) -> Result<Self> {
        let missing = check(&parts)?;
        Ok(Self { parts, missing })
    }

    /// Puts the parts together, and their files into `out`. A shard that is missing makes the whole
    /// incomplete, which is never a pass.
    ///
    /// # Errors
    /// A run error if a file of theirs cannot be read, or one in `out` not written.
    pub fn merge(self, out: &Path) -> Result<DiffEvidence> {
        let mut merged = add_up(&self.parts);
        let mut kept = Kept::default();
        let mut findings = FindingsFile::create(out)?;
        // What the catalogs say, every shard has found; the rows, each its own.
        for catalog in [true, false] {
            for (folder, _) in &self.parts {
                read_findings(folder, |finding| match finding.severity.is_some() == catalog {
                    true if kept.take(&finding) => findings.write(&finding),
                    _ => Ok(()),
                })?;
            }
        }
        findings.finish()?;
        let mut orgs = OrgsFile::create(out)?;
        for (folder, _) in &self.parts {
            orgs.append(folder)?;
        }
        orgs.finish()?;
        merged.findings_total = kept.total;
        merged.differences_total = kept.differences;
        merged.integrity_errors = kept.integrity_errors;
        merged.findings = kept.first;
        if !self.missing.is_empty() {
            let missing: Vec<String> = self.missing.iter().map(u64::to_string).collect();
            merged.complete = false;
            merged.incomplete_reason = format!("shards that are not there: {}", missing.join(", "));
        }
        Ok(merged)
    }
}

/// The shards that are missing; an error if the others do not belong together.
fn check(parts: &[Part<'_>]) -> Result<Vec<u64>> {
    let no_shards = |why: String| {
        let hint = "give each folder of `cutover diff --shard I/N` of one comparison once";
        Error::usage(format!("these comparisons are not shards of one: {why}"), hint)
    };
    let Some((_, first)) = parts.first() else { return Err(no_shards("none is named".into())) };
    if parts.len() == 1 && first.shard.is_none() {
        return Ok(Vec::new());
    }
    let of = first.shard.map(|shard| shard.of);
    let mut seen: Vec<Shard> = Vec::new();
    for (folder, diff) in parts {
        let folder = folder.display();
        let Some(shard) = diff.shard.filter(|shard| Some(shard.of) == of) else {
            return Err(no_shards(format!("{folder} is of another division: {}", diff.scope)));
        };
        if asked(diff) != asked(first) {
            return Err(no_shards(format!("{folder} compared other tables or orgs")));
        }
        let servers = diff.system_identifier.as_ref().zip(first.system_identifier.as_ref());
        if servers.is_some_and(|(one, other)| one != other) {
            return Err(no_shards(format!("{folder} compared the tables of another server")));
        }
        if seen.contains(&shard) {
            return Err(no_shards(format!("shard {} is there twice", shard.index)));
        }
        seen.push(shard);
    }
    Ok(Shard::missing(&seen))
}

/// What a comparison was asked to compare, its shard left out.
fn asked(diff: &DiffEvidence) -> (String, Vec<&str>) {
    let shard =
        diff.shard.map_or(String::new(), |Shard { index, of }| format!(", shard {index} of {of}"));
    let tables = diff.tables.iter().map(|table| table.name.as_str()).collect();
    (diff.scope.replace(&shard, ""), tables)
}

/// Sums of what adds up, the worst of what does not.
fn add_up(parts: &[Part<'_>]) -> DiffEvidence {
    let all = || parts.iter().map(|(_, diff)| *diff);
    let (_, first) = parts[0];
    let mut merged = DiffEvidence { scope: asked(first).0, shard: None, ..first.clone() };
    for diff in all().skip(1) {
        for (sum, table) in merged.tables.iter_mut().zip(&diff.tables) {
            sum.legacy_rows += table.legacy_rows;
            sum.partitioned_rows += table.partitioned_rows;
            Counts::add(&mut sum.counts, &table.counts);
        }
        merged.orgs.extend(diff.orgs.iter().cloned());
    }
    merged.orgs.sort_by_key(|org| std::cmp::Reverse(org.counts.total()));
    merged.orgs.truncate(DiffEvidence::KEPT_ORGS);
    merged.orgs_checked = all().map(|diff| diff.orgs_checked).sum();
    merged.orgs_diverged = all().map(|diff| diff.orgs_diverged).sum();
    merged.snapshots = all().map(|diff| diff.snapshots).sum();
    merged.resumed = all().any(|diff| diff.resumed);
    merged.duration_s = all().map(|diff| diff.duration_s).fold(0.0, f64::max);
    merged.wal = all().find_map(|diff| diff.wal.clone());
    merged.complete = all().all(|diff| diff.complete);
    let reasons = all().find(|diff| !diff.complete);
    merged.incomplete_reason = reasons.map_or(String::new(), |diff| diff.incomplete_reason.clone());
    // Each shard's repair stays in its own folder.
    merged.repair = None;
    merged.repairs = Vec::new();
    merged
}

/// Findings as they come: counted, and the first of them kept.
#[derive(Default)]
struct Kept {
    first: Vec<Finding>,
    catalog: Vec<Finding>,
    total: u64,
    differences: u64,
    integrity_errors: u64,
}

impl Kept {
    /// Counts a finding; false for one of the catalogs that another shard had told.
    fn take(&mut self, finding: &Finding) -> bool {
        if finding.severity.is_some() {
            if self.catalog.contains(finding) {
                return false;
            }
            self.catalog.push(finding.clone());
        }
        self.total += 1;
        self.differences += u64::from(!finding.is_advice());
        self.integrity_errors += u64::from(finding.is_error());
        if self.first.len() < DiffEvidence::KEPT_FINDINGS {
            self.first.push(finding.clone());
        }
        true
    }
}

fn read_findings(folder: &Path, mut each: impl FnMut(Finding) -> Result<()>) -> Result<()> {
    let path = folder.join("findings.jsonl");
    let place = format!("cannot read {}", path.display());
    let file = cutover_ground::own_file::open(&path).or_run(&place, "is this a run's folder?")?;
    for line in BufReader::new(file).lines() {
        let line = line.or_run(&place, "")?;
        each(serde_json::from_str(&line).or_run(&place, "")?)?;
    }
    Ok(())
}
