//! Several shards of one load, put together: from their samples, so that every figure is what one
//! generator would have written. Percentiles are never averaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::collector::histogram_logs;
use super::frame::{Frame, Names};
use super::ledger::{Waiting, put_together, reconcile};
use super::samples::{self, SampleFile, SampleReader};
use super::tally::Tally;
use cutover_error::{Error, Result};
use cutover_evidence::answers::{IsolationEvidence, ParityEvidence};
use cutover_evidence::drive::{DriveEvidence, Side, Throttled, Window};
use cutover_evidence::ledger::LedgerEvidence;
use cutover_evidence::shard::Shard;
use cutover_ground::config::TablePair;
use cutover_scenario::WindowPlan;

/// One shard: its folder and what its record says of the load.
pub type Part<'a> = (&'a Path, &'a DriveEvidence);

/// Shards that belong together.
pub struct Shards<'a> {
    parts: Vec<Part<'a>>,
    missing: Vec<u64>,
    readers: Vec<SampleReader>,
    planned: Vec<Option<u64>>,
}

impl<'a> Shards<'a> {
    /// Looks whether the parts are shards of one load. One that is missing is none that is wrong.
    ///
    /// # Errors
    /// A usage error if they do not belong together; a run error if samples cannot be read.
    pub fn new(parts: Vec<Part<'a>>) -> Result<Self> {
        let missing = check(&parts)?;
        let mut readers = Vec::new();
        for (folder, _) in &parts {
            readers.push(SampleReader::open(&folder.join(samples::FILE))?);
        }
        if readers.iter().any(|reader| reader.first_line != readers[0].first_line) {
            return Err(no_shards("their samples belong to different plans"));
        }
        let planned = planned(&parts, &readers[0].first_line.windows)?;
        Ok(Self { parts, missing, readers, planned })
    }

    /// Writes their samples and histograms into `out` and counts them, every arrival once.
    ///
    /// # Errors
    /// A run error if samples cannot be read or written.
    pub fn merge(mut self, out: &Path) -> Result<DriveEvidence> {
        let (_, first) = self.parts[0];
        let first_line = self.readers[0].first_line.clone();
        let frame = Frame {
            windows: &first_line.windows,
            planned: &|window| self.planned[window],
            settles: false,
            closed_loop: false,
        };
        let mut tally = Tally::new(Names {
            scenario: first.scenario.clone(),
            operations: first.operations.iter().map(|o| (o.name.clone(), o.writes)).collect(),
            org_classes: first.org_sizes.clone(),
        });
        let mut file = SampleFile::create(out, &first_line)?;
        for reader in &mut self.readers {
            while let Some(sample) = reader.next()? {
                tally.record(&sample, frame);
                file.write(&sample, &frame.windows[sample.arrival.window as usize])?;
            }
        }
        file.finish(out)?;
        histogram_logs(out, &tally)?;
        let measured = tally.evidence(&measured_s(&first_line.windows, &first.windows));
        Ok(together(&self.parts, measured, self.missing))
    }
}

/// What the shards of a load wrote, all together; `None` if it wrote nothing. Looked at once, when
/// all have ended: what one wrote over a row of another would look like a fault to each alone.
///
/// `load` is what came of merging the `parts`, into the folder `out`; without a `database_url`, and
/// wherever something is missing, the writes stay without judgement, and the evidence says why.
pub async fn merged_ledger(
    parts: &[Part<'_>],
    load: &DriveEvidence,
    database_url: Option<&str>,
    tables: &[TablePair],
    out: &Path,
) -> Option<LedgerEvidence> {
    let of_each: Vec<&LedgerEvidence> =
        parts.iter().filter_map(|(_, load)| load.ledger.as_ref()).collect();
    let first = of_each.first()?;
    let mut noted = LedgerEvidence {
        incomplete_reason: first.incomplete_reason.clone(),
        writes: of_each.iter().map(|ledger| ledger.writes).sum(),
        ..LedgerEvidence::default()
    };
    for (operation, writes) in of_each.iter().flat_map(|ledger| &ledger.not_noted) {
        *noted.not_noted.entry(operation.clone()).or_default() += writes;
    }
    let held = match (ledgers(parts), database_url) {
        (Err(why), _) => Err(why),
        (Ok(ledgers), _) if ledgers.is_empty() => return Some(noted),
        _ if !load.missing_shards.is_empty() => {
            let missing: Vec<String> = load.missing_shards.iter().map(u64::to_string).collect();
            Err(format!("what these shards wrote is missing: {}", missing.join(", ")))
        }
        (Ok(_), None) => Err("no database was named: give merge --database-url".into()),
        (Ok(ledgers), Some(url)) => hold(&ledgers, url, tables, out).await,
    };
    let not_noted = std::mem::take(&mut noted.not_noted);
    let evidence = held.unwrap_or_else(|why| LedgerEvidence { incomplete_reason: why, ..noted });
    Some(LedgerEvidence { not_noted, ..evidence })
}

async fn hold(
    ledgers: &[Waiting<'_>],
    database_url: &str,
    tables: &[TablePair],
    out: &Path,
) -> std::result::Result<LedgerEvidence, String> {
    let path = put_together(ledgers, out).map_err(|error| error.to_string())?;
    reconcile(&path, database_url, tables, out).await.map_err(|error| error.to_string())
}

/// Where the ledgers are that wait to be put together; none if nothing was noted.
///
/// # Errors
/// Why not all of them can be.
fn ledgers<'a>(parts: &[Part<'a>]) -> std::result::Result<Vec<Waiting<'a>>, String> {
    let mut waiting = Vec::new();
    let mut why_not = None;
    for (folder, load) in parts {
        let ledger = load.ledger.as_ref();
        let begun_at = ledger.and_then(|ledger| ledger.begun_at.as_deref());
        match (load.shard, begun_at.and_then(|text| text.parse().ok())) {
            (Some(shard), Some(begun_at)) => waiting.push((*folder, shard, begun_at)),
            _ => {
                let why = ledger.map_or("it has no ledger", |l| l.incomplete_reason.as_str());
                why_not = Some(format!("{}: {why}", folder.display()));
            }
        }
    }
    match why_not {
        Some(why) if !waiting.is_empty() => Err(why),
        _ => Ok(waiting),
    }
}

fn no_shards(why: &str) -> Error {
    Error::usage(
        format!("these runs are not shards of one load: {why}"),
        "merge runs of `cutover drive --shard I/N --start-at T` that were given the same options",
    )
}

/// The shards that are missing; an error if the parts do not belong together.
fn check(parts: &[Part<'_>]) -> Result<Vec<u64>> {
    let Some((_, first)) = parts.first() else {
        return Err(no_shards("none is named"));
    };
    let plan = |load: &DriveEvidence| {
        (load.scenario.clone(), load.rate_per_s.to_bits(), load.start_at.clone(), load.hot_orgs)
    };
    let mut seen = Vec::new();
    for (folder, load) in parts {
        let folder = folder.display();
        let Some(shard) = load.shard else {
            return Err(no_shards(&format!("{folder} is a load of its own")));
        };
        if load.start_at.is_none() {
            return Err(no_shards(&format!("{folder} was given no --start-at")));
        }
        if plan(load) != plan(first) || first.shard.map(|first| first.of) != Some(shard.of) {
            return Err(no_shards(&format!("{folder} has another scenario, rate or start")));
        }
        if seen.contains(&shard) {
            return Err(no_shards(&format!("shard {} is there twice", shard.index)));
        }
        seen.push(shard);
    }
    Ok(Shard::missing(&seen))
}

/// The measured arrivals of each window over all parts; `None` if not all of them were answered
/// everywhere, so that the window is not whole.
fn planned(parts: &[Part<'_>], windows: &[WindowPlan]) -> Result<Vec<Option<u64>>> {
    let mut sums = vec![Some(0); windows.len()];
    for (folder, load) in parts {
        let mut counts = vec![0; windows.len()];
        let mut reader = SampleReader::open(&folder.join(samples::FILE))?;
        while let Some(sample) = reader.next()? {
            counts[sample.arrival.window as usize] += u64::from(sample.arrival.measured);
        }
        let found: BTreeSet<_> = load.windows.iter().map(|w| (Some(w.pair), w.candidate)).collect();
        for ((sum, window), count) in sums.iter_mut().zip(windows).zip(counts) {
            let whole = load.complete || found.contains(&(window.pair, window.candidate));
            *sum = sum.filter(|_| whole).map(|sum| sum + count);
        }
    }
    Ok(sums)
}

/// Seconds that were measured in each mode: the shards measured the same windows.
fn measured_s(planned: &[WindowPlan], found: &[Window]) -> BTreeMap<Side, f64> {
    let whole: BTreeSet<_> = found.iter().map(|w| (Some(w.pair), w.candidate)).collect();
    let mut seconds = BTreeMap::new();
    for window in planned.iter().filter(|w| whole.contains(&(w.pair, w.candidate))) {
        let measured_us = window.measured_to_us() - window.measured_from_us;
        *seconds.entry(window.mode).or_default() += measured_us as f64 / 1e6;
    }
    seconds
}

/// What does not follow from the samples: sums of what adds up, the worst of what does not.
fn together(
    parts: &[Part<'_>],
    measured: DriveEvidence,
    missing_shards: Vec<u64>,
) -> DriveEvidence {
    let loads = || parts.iter().map(|(_, load)| *load);
    let (_, first) = parts[0];
    let most = |of: fn(&DriveEvidence) -> f64| loads().map(of).fold(0.0, f64::max);
    let busiest = loads().max_by(|a, b| a.generator_cpu_share.total_cmp(&b.generator_cpu_share));
    DriveEvidence {
        rate_per_s: first.rate_per_s,
        connections: loads().map(|load| load.connections).sum(),
        duration_s: most(|load| load.duration_s),
        complete: missing_shards.is_empty() && loads().all(|load| load.complete),
        arrivals_planned: loads().map(|load| load.arrivals_planned).sum(),
        wrong_mode: loads().map(|load| load.wrong_mode).sum(),
        mode_proven: loads().all(|load| load.mode_proven),
        wrong_answer: loads().find_map(|load| load.wrong_answer.clone()),
        unproven_windows: loads().map(|load| load.unproven_windows).max().unwrap_or(0),
        flag_left_changed: loads().find_map(|load| load.flag_left_changed.clone()),
        calibration: first.calibration,
        ran_ahead: loads().all(|load| load.ran_ahead),
        window_s: first.window_s,
        lost_workers: loads().map(|load| load.lost_workers).sum(),
        resent: loads().map(|load| load.resent).sum(),
        generator_cpu_share: most(|load| load.generator_cpu_share),
        generator_memory_bytes: loads().map(|l| l.generator_memory_bytes).max().unwrap_or(0),
        generator: busiest.map(|load| load.generator.clone()).unwrap_or_default(),
        machine: busiest.map(|load| load.machine.clone()).unwrap_or_default(),
        throttled: Throttled {
            answers: loads().map(|load| load.throttled.answers).sum(),
            longest_retry_after_s: loads()
                .map(|load| load.throttled.longest_retry_after_s)
                .max()
                .unwrap_or(0),
        },
        hot_orgs: first.hot_orgs,
        database: first.database.clone(),
        statements: first.statements.clone(),
        start_at: first.start_at.clone(),
        missing_shards,
        isolation: sum(loads().map(|load| load.isolation.clone()), IsolationEvidence::and),
        parity: sum(loads().map(|load| load.parity.clone()), ParityEvidence::and),
        ..measured
    }
}

/// The sum of what was looked at; `None` if one shard did not look, because then nobody knows of
/// its part.
fn sum<T>(parts: impl Iterator<Item = Option<T>>, and: fn(T, T) -> T) -> Option<T> {
    let all: Option<Vec<T>> = parts.collect();
    all?.into_iter().reduce(and)
}
