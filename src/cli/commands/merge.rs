//! `cutover merge`: the shards of one load and of one comparison as one run.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::target::read_config;
use crate::cli::{Exit, Printer, verdict_text};
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::evidence::drive::DriveEvidence;
use crate::evidence::finding::DiffEvidence;
use crate::evidence::observation::Observation;
use crate::evidence::run_record::{Act, ActKind, RunRecord};
use crate::evidence::verdict::{Criterion, Kind};
use crate::run_folder::{self, RunFolder};
use crate::{diff, drive, gate, pg, rehearsal};

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of the shards' runs, of `drive` and of `diff`; a comparison made after the load is the
    /// one that counts
    #[arg(value_name = "RUN_DIR", required = true)]
    pub run_dirs: Vec<PathBuf>,
    /// Where the merged run goes [default: a new folder below reports/]
    #[arg(long, value_name = "RUN_DIR")]
    pub out: Option<PathBuf>,
    /// PostgreSQL of the target, to see what became of the writes of all shards; without it they stay
    /// without judgement. Give it once every shard has ended and before anything else writes there
    #[arg(long, env = "CUTOVER_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Configuration file that the shards were given (cutover.toml), for its table pairs
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The environment of the configuration that is meant
    #[arg(long, env = "CUTOVER_ENV", hide_env_values = true, value_name = "NAME")]
    pub env: Option<String>,
}

/// Puts shards together, looks what became of their writes, judges, and says what was measured.
///
/// # Errors
/// A usage error if the folders do not hold shards of one load and of one comparison.
pub async fn run(args: &MergeArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let config = read_config(args.config.as_deref(), args.env.as_deref())?;
    let database_url = config.database_url(args.database_url.as_deref())?;
    let database_url = database_url.as_deref();
    database_url.map(pg::options).transpose()?;
    let runs = read(&args.run_dirs)?;
    if database_url.is_some() && rehearsal::pairs(&config) != runs[0].1.target.pairs {
        let what = "--config: its table pairs are not those of the shards";
        return Err(Error::usage(what, "give the configuration that the shards were given"));
    }
    let (loads, comparisons): (Vec<_>, Vec<_>) =
        runs.iter().partition(|(_, record)| record.drive.is_some());
    let sides = around(&loads, &comparisons)?;
    let parts: Vec<drive::Part<'_>> = loads
        .iter()
        .filter_map(|(folder, record)| Some((*folder, record.drive.as_ref()?)))
        .collect();
    let shards = (!parts.is_empty()).then(|| drive::Shards::new(parts.clone())).transpose()?;
    let [before, after] = [sides.before, sides.after].map(|parts| match parts.is_empty() {
        true => Ok(None),
        false => diff::Shards::new(parts).map(Some),
    });
    let (before, after) = (before?, after?);
    pg::refuse_pooler(database_url).await?;
    let folder = RunFolder::create(args.out.as_deref())?;
    let mut record = merged(&runs, &folder);
    record.diff_before = put_together(before, &folder.path().join("before"))?;
    record.diff = put_together(after, folder.path())?;
    if let Some(shards) = shards {
        let load = shards.merge(folder.path())?;
        record.duration_s = load.duration_s;
        record.drive = Some(
            judge_writes(load, &parts, (database_url, &config), printer, &stop, &folder).await?,
        );
    }
    rehearsal::conclude(&folder, &mut record)?;
    printer.json(&record);
    Ok(say(&mut record, &folder, printer))
}

/// A run: its folder and its record.
type Run<'a> = (&'a Path, RunRecord);

/// The runs of the folders, which must have been given the same.
fn read(folders: &[PathBuf]) -> Result<Vec<Run<'_>>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    for folder in folders {
        let record = run_folder::read_record(folder)?;
        let place = folder.display();
        if !record.altered.is_empty() {
            let what = format!("{place}: its evidence is not as it was left");
            return Err(Error::usage(format!("{what}: {}", record.altered.join("; ")), ""));
        }
        if record.drive.is_none() && record.diff.is_none() {
            let hint = "give folders of `cutover drive --shard` and `cutover diff`";
            return Err(Error::usage(format!("{place} holds no load and no comparison"), hint));
        }
        let alike = runs.iter().find(|(_, other)| other.drive.is_some() == record.drive.is_some());
        let given = |record: &RunRecord| (record.config_sha256.clone(), record.rng_seed);
        if alike.is_some_and(|(_, other)| given(other) != given(&record))
            || runs.first().is_some_and(|(_, first)| first.target.pairs != record.target.pairs)
            || alike.is_some_and(|(_, other)| is_elsewhere(other, &record))
        {
            let what =
                format!("{place} was given another platform, scenario, config or --rng-seed");
            return Err(Error::usage(what, "every shard has to be given the same"));
        }
        runs.push((folder, record));
    }
    Ok(runs)
}

/// Whether two runs went to different platforms, or databases of different names; the servers may
/// differ, because a replica serves as well.
fn is_elsewhere(one: &RunRecord, other: &RunRecord) -> bool {
    let database = |record: &RunRecord| {
        let place = record.target.database.as_deref()?;
        Some(place.rsplit('/').next()?.to_owned())
    };
    let databases = database(one).zip(database(other));
    one.target.base_url != other.target.base_url || databases.is_some_and(|(a, b)| a != b)
}

/// Comparisons before and after a load.
struct Sides<'a> {
    before: Vec<diff::Part<'a>>,
    after: Vec<diff::Part<'a>>,
}

/// Sorts comparisons by whether they were made before or after the load.
fn around<'a>(loads: &[&'a Run<'a>], comparisons: &[&'a Run<'a>]) -> Result<Sides<'a>> {
    let load_times = loads.iter().map(|run| times(run)).collect::<Result<Vec<_>>>()?;
    let began = load_times.iter().map(|(began, _)| *began).min();
    let ended = load_times.iter().map(|(_, ended)| *ended).max();
    let mut sides = Sides { before: Vec::new(), after: Vec::new() };
    for run in comparisons {
        let (folder, Some(diff)) = (run.0, &run.1.diff) else { continue };
        let (from, to) = times(run)?;
        if ended.is_none_or(|ended| from >= ended) {
            sides.after.push((folder, diff));
        } else if began.is_some_and(|began| to <= began) {
            sides.before.push((folder, diff));
        } else {
            let what = format!("{} was compared while the load ran", folder.display());
            return Err(Error::usage(what, "compare before the load, or once it has ended"));
        }
    }
    Ok(sides)
}

/// When a run began, a shard of a load with its first arrival, and when it ended.
fn times((folder, record): &Run<'_>) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let start_at = record.drive.as_ref().and_then(|load| load.start_at.as_deref());
    let moment = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc));
    match (moment(start_at.unwrap_or(&record.started_at)), moment(&record.ended_at)) {
        (Ok(began), Ok(ended)) => Ok((began, ended)),
        _ => {
            let what = format!("{}: its record does not tell when it ran", folder.display());
            Err(Error::usage(what, "give runs that have come to their end"))
        }
    }
}

fn put_together(shards: Option<diff::Shards<'_>>, out: &Path) -> Result<Option<DiffEvidence>> {
    let Some(shards) = shards else { return Ok(None) };
    std::fs::create_dir_all(out).or_run(format!("cannot make {}", out.display()), "")?;
    shards.merge(out).map(Some)
}

/// The load with what became of its writes, all shards together.
async fn judge_writes(
    mut load: DriveEvidence,
    parts: &[drive::Part<'_>],
    (database_url, config): (Option<&str>, &Config),
    printer: &Printer,
    stop: &CancellationToken,
    folder: &RunFolder,
) -> Result<DriveEvidence> {
    let tables = config.tables.as_slice();
    let held = drive::merged_ledger(parts, &load, database_url, tables, folder.path());
    load.ledger = tokio::select! {
        ledger = held => ledger,
        () = stop.cancelled() => return Err(Error::run("a signal ended the merge", "")),
    };
    if let Some(ledger) = load.ledger.as_ref().filter(|ledger| !ledger.complete) {
        let why = &ledger.incomplete_reason;
        printer.note(&format!("the ledgers were not held against the tables: {why}"));
    }
    Ok(load)
}

/// What was put together, in words, and the exit code that says the same.
fn say(record: &mut RunRecord, folder: &RunFolder, printer: &Printer) -> Exit {
    let report = format!("report: {}", folder.path().join("report.html").display());
    if record.diff.is_some() && record.drive.is_some() {
        // Load and data: what a rehearsal would say.
        printer.result(&verdict_text::verdict(record));
        printer.result(&report);
        return record.verdict.exit_code;
    }
    // One of both alone is no verdict on the cut-over.
    let diff_alone = record.drive.is_none();
    let counts = |c: &Criterion| {
        let about_data = c.kind == Kind::Integrity && !gate::is_of_load(c.id);
        about_data == diff_alone && c.kind != Kind::Advice
    };
    record.criteria.retain(counts);
    printer.result(&verdict_text::criteria(&record.criteria));
    printer.result(&report);
    if gate::fails_integrity(&record.criteria) {
        return Exit::NO_GO_INTEGRITY;
    }
    if diff_alone {
        let whole = record.diff.as_ref().is_some_and(|diff| diff.complete);
        return if whole { Exit::OK } else { Exit::INCONCLUSIVE };
    }
    if !gate::is_trustworthy(&record.criteria) {
        return Exit::INVALID;
    }
    if gate::fails_requests(&record.criteria) { Exit::NO_GO_PERFORMANCE } else { Exit::OK }
}

/// What the platform said to each of the generators, in the order of time.
fn observations(runs: &[Run<'_>]) -> Vec<Observation> {
    let each = runs.iter().flat_map(|(_, record)| record.observations.iter().cloned());
    let mut all: Vec<Observation> = each.collect();
    all.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    all
}

/// The record of all shards, what they measured and found left out.
fn merged(runs: &[Run<'_>], folder: &RunFolder) -> RunRecord {
    let acts = runs.iter().flat_map(|(_, record)| {
        record.acts.iter().map(|act| Act {
            note: format!("run {} {}", record.run_id, act.note).trim().to_owned(),
            ..act.clone()
        })
    });
    // A load's record knows of the scenario, too.
    let load = runs.iter().find(|(_, record)| record.drive.is_some());
    let (_, first) = load.unwrap_or(&runs[0]);
    let database = runs.iter().find_map(|(_, record)| record.target.database.clone());
    let mut left_out: Vec<String> =
        runs.iter().flat_map(|(_, record)| record.left_out.iter().cloned()).collect();
    left_out.sort();
    left_out.dedup();
    let mut record = RunRecord {
        left_out,
        run_id: folder.run_id().to_owned(),
        acts: acts.collect(),
        record_sha256: String::new(),
        files: Vec::new(),
        criteria: Vec::new(),
        // Each generator has looked for itself.
        observations: observations(runs),
        diff: None,
        diff_before: None,
        drive: None,
        ..first.clone()
    };
    record.target.database = database;
    let note = format!("{} runs", runs.len());
    record.acts.push(Act { note, ..Act::done(ActKind::Merge, 0.0) });
    record
}
