//! `cutover report`: every report of a run again, from its record alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, Printer};
use crate::error::{Context, Error, Result};
use crate::evidence::run_record::RunRecord;
use crate::run_folder::{read_record, trusted, write_whole};
use crate::{gate, rehearsal, report};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folder, for example reports/latest
    #[arg(value_name = "RUN_DIR")]
    pub run_dir: PathBuf,
    /// Show the page afterwards, with the program this desktop shows pages with
    #[arg(long)]
    pub open: bool,
}

/// Writes every report of the run, and shows the page if that was asked for.
///
/// # Errors
/// If there is no record that this version can read, a file cannot be written, or nothing can
/// show the page.
pub fn run(args: &ReportArgs, printer: &Printer) -> Result<Exit> {
    let mut record = read_record(&args.run_dir)?;
    rehearsal::judge_steps(&args.run_dir, &mut record);
    if !record.altered.is_empty() {
        // Whatever verdict is written there, it no longer stands.
        gate::judge(&mut record);
    }
    trusted(&args.run_dir)?;
    let written = write(&args.run_dir, &record)?;
    for path in &written {
        printer.result(&path.display().to_string());
    }
    let verdict = &record.verdict;
    printer.note(&format!("{}: {}", verdict.decision.label(), verdict.action.label()));
    printer.json(&json!({
        "run_id": record.run_id,
        "decision": verdict.decision,
        "action": verdict.action,
        "files": written,
    }));
    if args.open {
        open(&args.run_dir.join("report.html"))?;
    }
    Ok(Exit::OK)
}

/// Writes every report of a record into the run's folder, and says where.
pub(super) fn write(run_dir: &Path, record: &RunRecord) -> Result<Vec<PathBuf>> {
    let write_one = |(name, bytes): (&str, Vec<u8>)| {
        let path = run_dir.join(name);
        write_whole(&path, &bytes).map(|()| path)
    };
    report::render_all(record).into_iter().map(write_one).collect()
}

/// Hands the page to whatever shows pages here.
fn open(page: &Path) -> Result<()> {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let failed = format!("cannot open {} with {opener}", page.display());
    let hint = "the reports are written; open the page by hand";
    let status = Command::new(opener)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .or_run(&failed, hint)?;
    if status.success() { Ok(()) } else { Err(Error::run(format!("{failed}: {status}"), hint)) }
}
