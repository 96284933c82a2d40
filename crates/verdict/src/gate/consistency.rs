//! Whether the parts of a record tell one story: totals against lists, tables against pairs, files against
//! acts. A record may be whole by its digest and say nothing all the same; nothing that it leaves out may
//! pass for proven.

use std::collections::BTreeSet;

use chrono::DateTime;

use super::catalogue::criterion;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::{DriveEvidence, ModeLatency, Percentiles, Side};
use cutover_evidence::finding::DiffEvidence;
use cutover_evidence::ledger::LedgerEvidence;
use cutover_evidence::run_record::{ActKind, ActState, RunRecord, TargetPair};
use cutover_evidence::verdict::Criterion;

/// The criterion, if the parts of a record that came to its end contradict each other. It hides no failure of
/// integrity: that may be what the record tells of elsewhere.
pub(super) fn judge(record: &RunRecord) -> Option<Criterion> {
    let done = record.acts.iter().all(|act| act.state == ActState::Done);
    let is_whole = record.ended && done && !record.acts.is_empty();
    let found = if is_whole { contradictions(record) } else { Vec::new() };
    let measured = format!("{} contradictions", found.len());
    (!found.is_empty()).then(|| {
        criterion(CriterionId::RecordConsistent).measured(false, measured).note(found.join("; "))
    })
}

/// What does not hold, one sentence each.
fn contradictions(record: &RunRecord) -> Vec<String> {
    let mut found = Flaws::default();
    header(record, &mut found);
    pairs(&record.target.pairs, &mut found);
    for (name, diff) in [("diff_before", &record.diff_before), ("diff", &record.diff)] {
        if let Some(diff) = diff {
            comparison(name, diff, &record.target.pairs, &mut found);
        }
    }
    if let Some(drive) = &record.drive {
        load(drive, &mut found);
    }
    target(record, &mut found);
    acts(record, &mut found);
    found.0
}

/// The sentences so far.
#[derive(Default)]
struct Flaws(Vec<String>);

impl Flaws {
    fn unless(&mut self, holds: bool, sentence: impl FnOnce() -> String) {
        if !holds {
            self.0.push(sentence());
        }
    }
}

/// Seconds that can have passed.
fn is_time(seconds: f64) -> bool {
    (0.0..1e9).contains(&seconds)
}

fn header(record: &RunRecord, found: &mut Flaws) {
    let began = DateTime::parse_from_rfc3339(&record.started_at);
    let ended = DateTime::parse_from_rfc3339(&record.ended_at);
    found.unless(began.is_ok(), || "started_at is no time".into());
    if record.ended {
        // Records of earlier builds did not say when.
        let in_order = record.ended_at.is_empty() || began.ok() <= ended.ok();
        found.unless(in_order, || "the run ended before it began".into());
    }
    found.unless(!record.run_id.is_empty(), || "the run has no name".into());
    found.unless(is_time(record.duration_s), || "the run took no possible time".into());
    let digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    found.unless(digest(&record.config_sha256), || "config_sha256 is no digest".into());
    let share = record.increment_percent.is_none_or(|percent| (0.0..=100.0).contains(&percent));
    found.unless(share, || "the increment is no percentage".into());
    let observed = record.observations.iter().all(|look| is_time(look.at_s));
    found.unless(observed, || "an observation was made at no possible time".into());
}

/// What was looked at has a name, and what was filled is what was looked at.
fn target(record: &RunRecord, found: &mut Flaws) {
    let named = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    let kinds = [ActKind::Connect, ActKind::Rig];
    let reached = record.acts.iter().any(|act| kinds.iter().any(|kind| act.name == *kind));
    found.unless(!reached || named(&record.target.database), || {
        "a database was reached, and target names none".into()
    });
    found.unless(!reached || record.drive.is_none() || named(&record.target.base_url), || {
        "a platform was driven, and target names none".into()
    });
    let Some(manifest) = &record.manifest else { return };
    found.unless(is_time(manifest.duration_s), || "the seed took no possible time".into());
    let filled = !manifest.tables.is_empty() && manifest.tables.iter().all(|t| t.rows > 0);
    found.unless(filled && manifest.orgs > 0, || "manifest promises no rows".into());
    for table in &manifest.tables {
        let known = record.target.pairs.iter().any(|pair| pair.name == table.name);
        found.unless(known, || format!("manifest has `{}`, target.pairs has not", table.name));
    }
}

fn pairs(pairs: &[TargetPair], found: &mut Flaws) {
    let names: BTreeSet<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    found.unless(names.len() == pairs.len(), || "target.pairs names a pair twice".into());
    for pair in pairs {
        let named = ![&pair.name, &pair.legacy, &pair.partitioned].iter().any(|n| n.is_empty());
        found.unless(named, || format!("target.pairs: `{}` does not name its tables", pair.name));
        let keyed = !pair.key.is_empty() && pair.key.iter().all(|column| !column.is_empty());
        found.unless(keyed, || format!("target.pairs: `{}` has no key", pair.name));
    }
}

fn comparison(name: &str, diff: &DiffEvidence, pairs: &[TargetPair], found: &mut Flaws) {
    let known: BTreeSet<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    let compared: BTreeSet<&str> = diff.tables.iter().map(|table| table.name.as_str()).collect();
    let strangers: Vec<&str> = compared.difference(&known).copied().collect();
    found.unless(strangers.is_empty(), || {
        format!("{name}.tables has {}, which target.pairs has not", strangers.join(", "))
    });
    found.unless(compared.len() == diff.tables.len(), || format!("{name}.tables repeats a table"));
    found.unless(is_time(diff.duration_s), || format!("{name} took no possible time"));
    findings(name, diff, found);
    for look in &diff.pruning {
        let possible = known.contains(look.table.as_str())
            && (look.problem.is_some() || look.partitions > 0 && look.scanned <= look.partitions);
        found.unless(possible, || format!("{name}.pruning: no possible plan of `{}`", look.table));
    }
    if !diff.complete {
        return;
    }
    found.unless(diff.incomplete_reason.is_empty(), || {
        format!("{name} is complete, and is not: {}", diff.incomplete_reason)
    });
    found.unless(!diff.tables.is_empty(), || format!("{name} is complete without a table"));
    let left_out: Vec<&str> = known.difference(&compared).copied().collect();
    found.unless(left_out.is_empty(), || {
        format!("{name} is complete without {}", left_out.join(", "))
    });
    found.unless(diff.snapshots > 0, || format!("{name} is complete without a snapshot"));
    let rows: u128 = diff.tables.iter().map(|t| row_sum(t.legacy_rows, t.partitioned_rows)).sum();
    let possible = u128::from(diff.orgs_checked) <= rows;
    found.unless(possible, || format!("{name} checked more orgs than it read rows"));
    // Rows of no org are counted and not compared: an error tells of them.
    let compared = diff.tables.iter().filter(|_| diff.integrity_errors == 0);
    for table in compared.filter(|table| table.counts.total() == 0) {
        found.unless(table.legacy_rows == table.partitioned_rows, || {
            format!(
                "{name}.tables: no row of {} differs, and the sides count differently",
                table.name
            )
        });
    }
}

fn row_sum(legacy: u64, partitioned: u64) -> u128 {
    u128::from(legacy) + u128::from(partitioned)
}

/// Totals of a comparison against what it lists.
fn findings(name: &str, diff: &DiffEvidence, found: &mut Flaws) {
    let listed = diff.findings.len() as u64;
    let cut = listed >= DiffEvidence::KEPT_FINDINGS as u64;
    found.unless(diff.findings_total == listed || cut && diff.findings_total > listed, || {
        format!("{name}.findings_total is {}, {listed} are listed", diff.findings_total)
    });
    let of_catalog = diff.findings.iter().filter(|finding| finding.is_of_catalog());
    let errors = of_catalog.filter(|finding| finding.is_error()).count();
    let errors = errors as u64;
    found.unless(diff.integrity_errors == errors || cut && diff.integrity_errors > errors, || {
        format!("{name}.integrity_errors is {}, {errors} are listed", diff.integrity_errors)
    });
    found.unless(diff.differences_total <= diff.findings_total, || {
        format!("{name}.differences_total is above findings_total")
    });
    let rows: u64 =
        diff.tables.iter().map(|table| table.counts.total()).fold(0, u64::saturating_add);
    found.unless((diff.orgs_diverged > 0) == (rows > 0), || {
        format!("{name}: {rows} rows differ in {} orgs", diff.orgs_diverged)
    });
    found.unless((diff.orgs_diverged > 0) != diff.orgs.is_empty(), || {
        format!("{name}: {} orgs differ, {} are listed", diff.orgs_diverged, diff.orgs.len())
    });
}

fn load(drive: &DriveEvidence, found: &mut Flaws) {
    found.unless(is_time(drive.duration_s), || "drive took no possible time".into());
    let cpu = drive.generator_cpu_share;
    found.unless(cpu.is_finite() && cpu >= 0.0, || "drive.generator_cpu_share is no share".into());
    if let Some(ledger) = &drive.ledger {
        writes(ledger, found);
    }
    answers(drive, found);
    for window in &drive.windows {
        let (all, parts) = (&window.all, window.operations.values());
        let (arrivals, errors) = parts.fold((0, 0), |(arrivals, errors): (u64, u64), part| {
            (arrivals.saturating_add(part.arrivals), errors.saturating_add(part.errors))
        });
        let adds_up =
            all.errors <= all.arrivals && (arrivals, errors) == (all.arrivals, all.errors);
        // Only failures leave a window without a percentile.
        let measured = all.p95_us.map_or(all.errors > 0 || all.arrivals == 0, |p95_us| p95_us > 0);
        found.unless(adds_up && measured, || {
            format!("drive.windows: one of pair {} does not add up", window.pair)
        });
    }
    ascends("drive.scheduling_lag_us", &drive.scheduling_lag_us, found);
    for (mode, all) in &drive.overall {
        of_mode(drive, *mode, all, found);
    }
    let sent = |count: fn(&ModeLatency) -> u64| {
        drive.overall.values().map(count).fold(0, u64::saturating_add)
    };
    if drive.capacity.is_none() {
        let (requests, errors) = (sent(|all| all.requests), sent(|all| all.errors));
        found.unless((requests, errors) == (drive.requests, drive.errors), || {
            format!("drive.requests is {}, its modes had {requests}", drive.requests)
        });
        let known = [drive.requests, drive.unmeasured_requests, drive.skipped];
        let known = known.into_iter().fold(0, u64::saturating_add);
        let drained = !drive.complete || drive.closed_loop || known == drive.arrivals_planned;
        found.unless(drained, || {
            format!("drive planned {} arrivals and tells of {known}", drive.arrivals_planned)
        });
    }
}

/// What was looked at in answers against how many there were.
fn answers(drive: &DriveEvidence, found: &mut Flaws) {
    found.unless(drive.unmeasured_errors <= drive.unmeasured_requests, || {
        "drive has more errors than requests beside its windows".into()
    });
    if let Some(parity) = &drive.parity {
        let known = [parity.compared, parity.unsettled, parity.unanswered];
        let known = known.into_iter().fold(0, u64::saturating_add);
        found.unless(known <= parity.asked && (!parity.complete || known == parity.asked), || {
            format!("drive.parity asked {} times and tells of {known}", parity.asked)
        });
        found.unless(is_time(parity.duration_s), || "drive.parity took no possible time".into());
    }
}

/// The figures of a mode against those of its operations and windows.
fn of_mode(drive: &DriveEvidence, mode: Side, all: &ModeLatency, found: &mut Flaws) {
    let place = format!("drive.overall.{}", mode.as_str());
    ascends(&format!("{place}.response_us"), &all.response_us, found);
    ascends(&format!("{place}.service_us"), &all.service_us, found);
    ascends(&format!("{place}.lag_us"), &all.lag_us, found);
    found.unless(all.errors <= all.requests, || format!("{place} has more errors than requests"));
    let by_operation = drive.operations.iter().filter_map(|operation| operation.modes.get(&mode));
    let by_operation: Vec<&ModeLatency> = by_operation.collect();
    let of_operations = by_operation.iter().map(|one| one.requests).fold(0, u64::saturating_add);
    found.unless(of_operations == all.requests, || {
        format!("{place} has {} requests, its operations have {of_operations}", all.requests)
    });
    let failed = by_operation.iter().map(|one| one.errors).fold(0, u64::saturating_add);
    found.unless(failed == all.errors, || {
        format!("{place} has {} errors, its operations have {failed}", all.errors)
    });
    let windows = drive.windows.iter().filter(|window| window.mode == Some(mode));
    let arrivals = windows.map(|window| window.all.arrivals).fold(0, u64::saturating_add);
    let skipped = arrivals.saturating_sub(all.requests);
    found.unless(arrivals >= all.requests && skipped <= drive.skipped, || {
        format!("{place} has {} requests, its windows have {arrivals}", all.requests)
    });
    for operation in &drive.operations {
        let Some(latency) = operation.modes.get(&mode) else { continue };
        let place = format!("drive.operations: {}", operation.name);
        ascends(&place, &latency.response_us, found);
        ascends(&place, &latency.service_us, found);
    }
}

/// A higher percentile is no smaller.
fn ascends(place: &str, percentiles: &Percentiles, found: &mut Flaws) {
    let Percentiles { p50, p90, p95, p99, p999, max } = *percentiles;
    found.unless([p50, p90, p95, p99, p999, max].is_sorted(), || {
        format!("{place}: a higher percentile is smaller than a lower one")
    });
}

fn writes(ledger: &LedgerEvidence, found: &mut Flaws) {
    let known = ledger.ok.checked_add(ledger.fail).and_then(|sum| sum.checked_add(ledger.unknown));
    // Of a shard alone, and where nobody looked them up, outcomes are not known.
    found.unless(!ledger.complete || known == Some(ledger.writes), || {
        format!("drive.ledger counts {} writes, and not as many outcomes", ledger.writes)
    });
    found.unless(is_time(ledger.duration_s), || "drive.ledger took no possible time".into());
    let looked_up = ledger.rows_checked > 0 || ledger.writes == 0 || !ledger.complete;
    found.unless(looked_up, || "drive.ledger is complete without a row".into());
    found.unless(ledger.rows_checked <= ledger.writes, || {
        "drive.ledger checked more rows than were written".into()
    });
}

/// What each act leaves behind: its part of the record, and its files.
fn acts(record: &RunRecord, found: &mut Flaws) {
    let done = |kind: ActKind| {
        record.acts.iter().any(|act| act.name == kind && act.state == ActState::Done)
    };
    for act in &record.acts {
        found.unless(is_time(act.duration_s), || {
            format!("the act `{}` took no possible time", act.name)
        });
    }
    let parts = [
        (ActKind::DiffBefore, record.diff_before.is_some()),
        (ActKind::DiffAfter, record.diff.is_some()),
        (ActKind::Diff, record.diff.is_some()),
        (ActKind::Drive, record.drive.is_some()),
        (ActKind::Seed, record.manifest.is_some()),
    ];
    for (kind, _) in parts.into_iter().filter(|(kind, there)| done(*kind) && !there) {
        found.0.push(format!("the act `{kind}` is done and left nothing in the record"));
    }
    let began = |kinds: &[ActKind]| {
        record.acts.iter().any(|act| kinds.iter().any(|kind| act.name == *kind))
    };
    let origins = [
        ("diff_before", record.diff_before.is_some(), &[ActKind::DiffBefore, ActKind::Merge][..]),
        ("diff", record.diff.is_some(), &[ActKind::DiffAfter, ActKind::Diff, ActKind::Merge]),
        ("drive", record.drive.is_some(), &[ActKind::Drive, ActKind::Merge]),
    ];
    // A record without an act is none, and said to be so.
    for (name, there, kinds) in origins.into_iter().filter(|_| !record.acts.is_empty()) {
        found.unless(!there || began(kinds), || format!("{name}: no act of the run made it"));
    }
    if !record.ended || record.rollout.is_some() {
        return;
    }
    let compared = record.diff.is_some() || record.diff_before.is_some();
    let wrote = record.drive.as_ref().and_then(|drive| drive.ledger.as_ref());
    let files = [
        ("findings.jsonl", compared),
        ("orgs.csv", compared),
        ("samples.bin", record.drive.as_ref().is_some_and(|drive| drive.capacity.is_none())),
        // What shards wrote stands in their own folders.
        (
            "ledger.jsonl",
            !began(&[ActKind::Merge]) && wrote.is_some_and(|ledger| ledger.writes > 0),
        ),
    ];
    for (name, _) in files.into_iter().filter(|(_, needed)| *needed) {
        found.unless(record.files.iter().any(|file| file.name == name), || {
            format!("files: {name} is not among the evidence")
        });
    }
}

/// What every record has, for the tests of this module.
#[cfg(test)]
pub(super) fn bare_record() -> RunRecord {
    use cutover_evidence::run_record::{EvidenceFile, Target};

    let pair = TargetPair {
        name: "revenue".into(),
        legacy: "revenue".into(),
        partitioned: "revenue_partitioned".into(),
        key: vec!["id".into()],
        ..TargetPair::default()
    };
    let file = |name: &str| EvidenceFile { name: name.into(), ..EvidenceFile::default() };
    RunRecord {
        run_id: "night".into(),
        started_at: "2026-03-01T02:00:00Z".into(),
        config_sha256: "0".repeat(64),
        ended: true,
        target: Target { pairs: vec![pair], ..Target::default() },
        files: ["findings.jsonl", "ledger.jsonl", "orgs.csv", "samples.bin"].map(file).to_vec(),
        ..RunRecord::default()
    }
}
