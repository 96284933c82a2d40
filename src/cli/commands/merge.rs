//! `cutover merge`: the shards of one load as one run.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Exit, Printer, verdict_text};
use crate::error::{Error, Result};
use crate::evidence::run_record::{Act, ActState, RunRecord};
use crate::evidence::verdict::{Criterion, Kind};
use crate::run_folder::{self, RunFolder};
use crate::{drive, gate, rehearsal};

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of the shards' runs
    #[arg(value_name = "RUN_DIR", required = true)]
    pub run_dirs: Vec<PathBuf>,
    /// Where the merged run goes [default: a new folder below reports/]
    #[arg(long, value_name = "RUN_DIR")]
    pub out: Option<PathBuf>,
}

/// Puts shards together, judges the measurement, and says what was measured.
///
/// # Errors
/// A usage error where the folders do not hold shards of one load.
pub fn run(args: &MergeArgs, printer: &Printer) -> Result<Exit> {
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
    let shards = drive::Shards::new(parts)?;
    let folder = RunFolder::create(args.out.as_deref())?;
    let load = shards.merge(folder.path())?;
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
    Ok(if gate::is_trustworthy(&record.criteria) { Exit::OK } else { Exit::INVALID })
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
