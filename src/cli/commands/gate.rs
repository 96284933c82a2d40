//! `cutover gate`: the verdict again, from the run's folder alone.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::{Exit, Printer, values, verdict_text};
use crate::error::{Error, Result};
use crate::evidence::history::PastRun;
use crate::evidence::limits::Phase;
use crate::evidence::run_record::RunRecord;
use crate::{gate, run_folder};

/// Arguments of `gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// The run's folder, for example reports/latest
    pub run_dir: PathBuf,
    /// Phase of the handbook: dev, staging, pilot, increment or post-rollout [default: the run's own]
    #[arg(long, value_name = "PHASE", value_parser = phase)]
    pub phase: Option<Phase>,
    /// The increment that is asked about, percent of orgs; implies --phase increment
    #[arg(long, value_name = "PCT", value_parser = increment)]
    pub increment: Option<f64>,
    /// An earlier run, or a folder of runs, that this one must not be slower than
    #[arg(long, value_name = "RUN_DIR")]
    pub baseline: Option<PathBuf>,
    /// Of a folder of runs, look at the newest so many
    #[arg(long, value_name = "N", default_value = "14", requires = "baseline")]
    #[arg(value_parser = values::runs, allow_negative_numbers = true)]
    pub nights: usize,
}

fn phase(text: &str) -> Result<Phase, String> {
    let named = Phase::ALL.into_iter().find(|phase| phase.as_str() == text);
    named.ok_or_else(|| format!("give one of {}", Phase::ALL.map(Phase::as_str).join(", ")))
}

fn increment(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("give a percentage above 0 and up to 100".into()),
    }
}

/// What the earlier runs say, oldest first.
fn history(
    record: &RunRecord,
    baseline: &Path,
    nights: usize,
    printer: &Printer,
) -> Result<Vec<PastRun>> {
    let mut history = Vec::new();
    for past in run_folder::read_runs(baseline)? {
        match gate::past_run(record, &past) {
            Ok(past) => history.push(past),
            Err(why) => printer.note(&format!("run {} is left out: {why}", past.run_id)),
        }
    }
    if history.is_empty() {
        return Err(Error::usage(
            format!(
                "--baseline {}: no run there can be compared with this one",
                baseline.display()
            ),
            "runs compare on the same kind of machine, with the same scenario and data",
        ));
    }
    history.drain(..history.len().saturating_sub(nights));
    Ok(history)
}

/// Judges the record, writes the verdict into it, and says it.
///
/// # Errors
/// A usage error where a folder holds no run record, or none that can be compared.
pub fn run(args: &GateArgs, printer: &Printer) -> Result<Exit> {
    let mut record = match run_folder::read_record(&args.run_dir) {
        // A record that cannot be read is a record that cannot be trusted.
        Err(error @ Error::Run { .. }) => {
            printer.error(&error);
            return Ok(Exit::INVALID);
        }
        read => read?,
    };
    if args.increment.is_some() {
        record.increment_percent = args.increment;
        record.phase = Phase::Increment;
    }
    record.phase = args.phase.unwrap_or(record.phase);
    if let Some(baseline) = &args.baseline {
        record.history = history(&record, baseline, args.nights, printer)?;
    }
    gate::judge(&mut record);
    if !record.altered.is_empty() {
        // A fresh digest would make the alteration look like the original.
        printer.note("the verdict is not stored: the record is left as it was found");
    } else if let Err(error) = run_folder::write_record(&args.run_dir, &record) {
        printer.note(&format!("the verdict is not stored: {error}"));
    }
    printer.json(&record);
    printer.result(&verdict_text::of(&record));
    Ok(Exit::from(&record.verdict))
}
