//! `cutover merge`: the shards of one load as one run.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::target::read_config;
use crate::cli::{Exit, Printer, verdict_text};
use crate::error::{Error, Result};
use crate::evidence::run_record::{Act, ActState, RunRecord};
use crate::evidence::verdict::{Criterion, Kind};
use crate::run_folder::{self, RunFolder};
use crate::{drive, gate, pg, rehearsal};

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of the shards' runs
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
}

/// Puts shards together, looks what became of their writes, judges, and says what was measured.
///
/// # Errors
/// A usage error where the folders do not hold shards of one load.
pub async fn run(args: &MergeArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let database_url = args.database_url.as_deref();
    database_url.map(pg::options).transpose()?;
    let config = read_config(args.config.as_deref())?;
    let mut records = Vec::new();
    for folder in &args.run_dirs {
        records.push(run_folder::read_record(folder)?);
    }
    let mut parts = Vec::new();
    for (folder, record) in args.run_dirs.iter().zip(&records) {
        let place = folder.display();
        if !record.altered.is_empty() {
            let what = format!("{place}: its evidence is not as it was left");
            return Err(Error::usage(format!("{what}: {}", record.altered.join("; ")), ""));
        }
        if (&record.config_sha256, record.rng_seed)
            != (&records[0].config_sha256, records[0].rng_seed)
        {
            let what = format!("{place} was driven with another scenario, config or --rng-seed");
            return Err(Error::usage(what, "every shard has to be given the same"));
        }
        let load = record.drive.as_ref().ok_or_else(|| {
            Error::usage(
                format!("{place} holds no load"),
                "give folders of `cutover drive --shard`",
            )
        })?;
        parts.push((folder.as_path(), load));
    }
    if database_url.is_some() && rehearsal::pairs(&config) != records[0].target.pairs {
        let what = "--config: its table pairs are not those of the shards";
        return Err(Error::usage(what, "give the configuration that the shards were given"));
    }
    let shards = drive::Shards::new(parts.clone())?;
    let folder = RunFolder::create(args.out.as_deref())?;
    let mut load = shards.merge(folder.path())?;
    let tables = config.tables.as_slice();
    let held = drive::merged_ledger(&parts, &load, database_url, tables, folder.path());
    load.ledger = tokio::select! {
        ledger = held => ledger,
        () = stop.cancelled() => return Err(Error::run("a signal ended the merge", "")),
    };
    if let Some(ledger) = load.ledger.as_ref().filter(|ledger| !ledger.complete) {
        let why = &ledger.incomplete_reason;
        printer.note(&format!("the ledgers were not held against the tables: {why}"));
    }
    let mut record = merged(&records, &folder);
    record.duration_s = load.duration_s;
    record.drive = Some(load);
    rehearsal::conclude(&folder, &mut record)?;
    printer.json(&record);
    // The data was not looked at, so there is no verdict on the cut-over, only on the load.
    let told = |c: &Criterion| c.kind != Kind::Integrity || c.evidence.starts_with("drive");
    record.criteria.retain(|c| told(c) && c.kind != Kind::Advice);
    printer.result(&verdict_text::criteria(&record.criteria));
    printer.result(&format!("report: {}", folder.path().join("report.html").display()));
    if gate::fails_integrity(&record.criteria) {
        return Ok(Exit::NO_GO_INTEGRITY);
    }
    if !gate::is_trustworthy(&record.criteria) {
        return Ok(Exit::INVALID);
    }
    Ok(if gate::fails_requests(&record.criteria) { Exit::NO_GO_PERFORMANCE } else { Exit::OK })
}

/// The record of all shards, the load itself left out.
fn merged(records: &[RunRecord], folder: &RunFolder) -> RunRecord {
    let acts = records.iter().flat_map(|record| {
        record.acts.iter().map(|act| Act {
            note: format!("run {} {}", record.run_id, act.note).trim().to_owned(),
            ..act.clone()
        })
    });
    let mut record = RunRecord {
        run_id: folder.run_id().to_owned(),
        acts: acts.collect(),
        record_sha256: String::new(),
        files: Vec::new(),
        criteria: Vec::new(),
        ..records[0].clone()
    };
    record.acts.push(Act {
        name: "merge".into(),
        state: ActState::Done,
        duration_s: 0.0,
        note: format!("{} shards", records.len()),
    });
    record
}
