//! `cutover drive`: the load alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, values, verdict_text};
use crate::error::{Error, Result};
use crate::evidence::run_record::{Act, ActState};
use crate::evidence::verdict::Kind;
use crate::rehearsal::{self, LoadShape, Profile};
use crate::routing::Switch;
use crate::run_folder::RunFolder;
use crate::scenario::{FINANCE, Plan, Scenario};
use crate::{drive, gate};

/// Arguments of `drive`.
#[derive(Debug, Args)]
pub struct DriveArgs {
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Traffic [default: the finance scenario]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Arrivals per second
    #[arg(long, value_name = "R", default_value = "250", value_parser = values::rate)]
    #[arg(allow_negative_numbers = true)]
    pub rate: f64,
    /// Connections that drain the plan
    #[arg(long, value_name = "C", default_value = "64", value_parser = values::connections)]
    pub connections: usize,
    /// Length of the load
    #[arg(long, value_name = "D", default_value = "5m", value_parser = values::duration)]
    #[arg(allow_negative_numbers = true)]
    pub duration: Duration,
    /// Pairs of windows, one per mode
    #[arg(long, value_name = "K", value_parser = values::pairs)]
    pub pairs: Option<u32>,
    /// Orgs are numbered from 1 to this
    #[arg(long, value_name = "N", default_value = "100000", value_parser = values::orgs)]
    #[arg(allow_negative_numbers = true)]
    pub orgs: u64,
    /// The day the data's calendar is anchored to [default: today]
    #[arg(long, value_name = "DATE", value_parser = values::day)]
    pub as_of: Option<NaiveDate>,
}

/// Drives, judges the measurement itself, and says what was measured.
///
/// # Errors
/// Where the platform is not named, does not take the first requests, or Goose does not start.
pub async fn run(args: DriveArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let config = args.target.read_config()?;
    let base_url = args.target.base_url(&config)?.ok_or_else(|| {
        Error::usage("no platform is named", "give --base-url or CUTOVER_BASE_URL")
    })?;
    let switch = Switch::new(&config.routing, &base_url)?;
    let scenario = Arc::new(match &args.scenario {
        Some(path) => Scenario::read(path)?,
        None => Scenario::parse("the built-in finance scenario", FINANCE)?,
    });
    let load = LoadShape::resolve(
        Profile::Default,
        Some(args.rate),
        Some(args.connections),
        Some(args.duration),
        args.pairs,
    )?;
    let plan = Plan::new(&scenario, &load.plan_options(args.orgs, args.target.rng_seed))?;
    let folder = RunFolder::create(args.target.out.as_deref())?;
    let rng_seed = args.target.rng_seed;
    let mut record = rehearsal::begin_record(&folder, &config, Some(&scenario), rng_seed);
    let options = drive::Options {
        connections: load.connections,
        timeout: rehearsal::REQUEST_TIMEOUT,
        as_of: args.as_of.unwrap_or_else(|| chrono::Utc::now().date_naive()),
        rate_per_s: load.rate_per_s,
    };
    let context = printer.context(stop);
    let outcome =
        drive::run(scenario, Arc::new(plan), switch, &options, folder.path(), &context).await?;
    if outcome.evidence.requests == outcome.evidence.errors && context.check_stop().is_ok() {
        let kinds: Vec<&str> = outcome.evidence.errors_by_kind.keys().map(String::as_str).collect();
        let what = format!("{base_url}: not one request succeeded: {}", kinds.join(", "));
        return Err(Error::run(what, "is the platform up, and does the scenario fit it?"));
    }
    let (state, note) = match context.check_stop() {
        Ok(()) => (ActState::Done, String::new()),
        Err(error) => (ActState::Interrupted, error.to_string()),
    };
    record.duration_s = outcome.evidence.duration_s;
    let act = Act { name: "drive".into(), state, duration_s: record.duration_s, note };
    record.acts.push(act);
    record.drive = Some(outcome.evidence);
    record.observations = outcome.observations;
    rehearsal::conclude(&folder, &mut record)?;
    printer.json(&record);
    // The data was not looked at, so there is no verdict on the cut-over, only on the measurement.
    record.criteria.retain(|c| matches!(c.kind, Kind::Validity | Kind::Performance | Kind::Record));
    printer.result(&verdict_text::criteria(&record.criteria));
    printer.result(&format!("report: {}", folder.path().join("report.html").display()));
    Ok(if gate::is_trustworthy(&record.criteria) { Exit::OK } else { Exit::INVALID })
}
