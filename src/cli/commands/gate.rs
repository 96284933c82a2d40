//! `cutover gate`: the verdict again, from the run's folder alone.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::{Exit, Printer, verdict_text};
use crate::error::{Error, Result};
use crate::{gate, run_folder};

/// Arguments of `gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// The run's folder, for example reports/latest
    pub run_dir: PathBuf,
    /// What the verdict is for; both phases have the same limits [default: the run's own]
    #[arg(long, value_enum)]
    pub phase: Option<Phase>,
    /// The increment that is asked about, percent of orgs; implies --phase increment
    #[arg(long, value_name = "PCT", value_parser = increment)]
    pub increment: Option<f64>,
}

/// Phases of the handbook with criteria of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// Staging rehearsal.
    Staging,
    /// Before an increment in production.
    Increment,
}

fn increment(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("give a percentage above 0 and up to 100".into()),
    }
}

/// Judges the record, writes the verdict into it, and says it.
///
/// # Errors
/// A usage error where the folder holds no run record.
pub fn run(args: &GateArgs, printer: &Printer) -> Result<Exit> {
    let mut record = match run_folder::read_record(&args.run_dir) {
        // A record that cannot be read is a record that cannot be trusted.
        Err(error @ Error::Run { .. }) => {
            printer.error(&error);
            return Ok(Exit::INVALID);
        }
        read => read?,
    };
    match (args.phase, args.increment) {
        (_, Some(percent)) => {
            record.phase = "increment".into();
            record.increment_percent = Some(percent);
        }
        (Some(Phase::Staging), None) => record.phase = "staging".into(),
        (Some(Phase::Increment), None) => record.phase = "increment".into(),
        (None, None) => {}
    }
    gate::judge(&mut record);
    if let Err(error) = run_folder::write_record(&args.run_dir, &record) {
        printer.note(&format!("the verdict is not stored: {error}"));
    }
    printer.json(&record);
    printer.result(&verdict_text::of(&record));
    Ok(Exit::from(&record.verdict))
}
