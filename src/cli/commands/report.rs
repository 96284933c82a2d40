//! `cutover report`: every report of a run again, from its record alone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, Printer};
use crate::error::{Context, Error, Result};
use crate::evidence::SCHEMA_VERSION;
use crate::evidence::run_record::RunRecord;
use crate::report;

/// The record's name in a run folder.
const RECORD: &str = "run.json";

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

/// Writes every report of the run, and shows the page where that was asked for.
///
/// # Errors
/// Where there is no record that this version can read, a file cannot be written, or nothing can
/// show the page.
pub fn run(args: &ReportArgs, printer: &Printer) -> Result<Exit> {
    let record = read_record(&args.run_dir)?;
    let mut written = Vec::new();
    for (name, bytes) in report::render_all(&record) {
        write_whole(&args.run_dir, name, &bytes)?;
        written.push(args.run_dir.join(name));
    }
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

fn read_record(run_dir: &Path) -> Result<RunRecord> {
    let path = run_dir.join(RECORD);
    let place = path.display();
    let hint = "give a folder that `cutover rehearse` has written, for example reports/latest";
    let text = std::fs::read(&path).or_usage(format!("cannot read {place}"), hint)?;
    // Only the version first: what another version wrote may not fit our types at all.
    let version = serde_json::from_slice::<serde_json::Value>(&text)
        .or_run(format!("{place} is damaged"), "run the rehearsal again")?["schema_version"]
        .as_u64();
    if version.is_some_and(|version| version > u64::from(SCHEMA_VERSION)) {
        let found = version.unwrap_or_default();
        return Err(Error::usage(
            format!(
                "{place} has layout version {found}, this program reads up to {SCHEMA_VERSION}"
            ),
            "use the version of cutover that wrote it, or a newer one",
        ));
    }
    serde_json::from_slice(&text)
        .or_run(format!("{place} is damaged"), "the record does not have the fields of its version")
}

/// Writes a file as a whole or not at all: a reader sees the old one or the new one.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let what = format!("cannot write {}", path.display());
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As for any new file, less what the umask forbids; reports are there to be passed on.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(".report-").tempfile_in(folder).or_run(&what, "")?;
    file.write_all(bytes).or_run(&what, "")?;
    file.persist(&path).or_run(&what, "")?;
    Ok(())
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
