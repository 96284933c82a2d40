//! `cutover drive`: the load alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cli::{Exit, Printer, TargetArgs, values, verdict_text};
use crate::config::{RoutingConfig, RoutingKind};
use crate::error::{Error, Result};
use crate::evidence::drive::{DriveEvidence, Mode, Shard};
use crate::evidence::run_record::{Act, ActState};
use crate::evidence::verdict::{Criterion, Kind};
use crate::rehearsal::{self, LoadShape, Profile};
use crate::routing::Switch;
use crate::run_folder::RunFolder;
use crate::scenario::{FINANCE, Plan, Scenario};
use crate::{drive, gate, pg};

/// Arguments of `drive`.
#[derive(Debug, Args)]
pub struct DriveArgs {
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Traffic [default: the finance scenario]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Arrivals per second; `max` sends as fast as answers come, which tells the capacity of target
    /// and generator together, and nothing about latency
    #[arg(long, value_name = "R|max", default_value = "250", value_parser = values::rate_or_max)]
    #[arg(allow_negative_numbers = true)]
    rate: values::Rate,
    /// Connections that drain the plan
    #[arg(long, value_name = "C", default_value = "64", value_parser = values::connections)]
    pub connections: usize,
    /// Length of the load
    #[arg(long, value_name = "D", default_value = "5m", value_parser = values::duration)]
    #[arg(allow_negative_numbers = true)]
    pub duration: Duration,
    /// The modes of a pair, baseline first: `legacy,partitioned` compares, `legacy,legacy`
    /// calibrates, a single mode only measures [default: legacy,partitioned; legacy where reads
    /// cannot be routed]
    #[arg(long, value_name = "MODES", value_parser = values::modes)]
    modes: Option<values::Modes>,
    /// Pairs of windows, one per mode
    #[arg(long, value_name = "K", value_parser = values::pairs)]
    pub pairs: Option<u32>,
    /// How often half as many pairs again may follow where those before did not decide
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::extensions)]
    #[arg(allow_negative_numbers = true)]
    pub extensions: u32,
    /// Orgs are numbered from 1 to this
    #[arg(long, value_name = "N", default_value = "100000", value_parser = values::orgs)]
    #[arg(allow_negative_numbers = true)]
    pub orgs: u64,
    /// The day the data's calendar is anchored to [default: today]
    #[arg(long, value_name = "DATE", value_parser = values::day)]
    pub as_of: Option<NaiveDate>,
    /// Only every Nth arrival of the plan, beginning with the Ith: N generators together are one.
    /// `cutover merge` puts their runs together
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "start_at")]
    pub shard: Option<Shard>,
    /// When the plan's clock starts, the same for every shard: RFC 3339, for example
    /// 2026-03-01T10:15:00Z
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub start_at: Option<DateTime<Utc>>,
    /// Answer Prometheus here while the load runs
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::listen)]
    pub metrics_listen: Option<SocketAddr>,
}

/// A plan needs some rate even where nobody keeps to it.
const NOMINAL_RATE_PER_S: f64 = 1000.0;

impl DriveArgs {
    /// The modes to drive; refuses to compare what cannot be told apart.
    fn modes(&self, routing: &RoutingConfig) -> Result<Vec<Mode>> {
        let unrouted = routing.kind == RoutingKind::None;
        match &self.modes {
            None if unrouted => Ok(vec![Mode::Legacy]),
            None => Ok(Mode::ALL.to_vec()),
            Some(values::Modes(modes)) if unrouted && modes.contains(&Mode::Partitioned) => {
                let what = "--modes: with [routing] kind = \"none\" only legacy can be asked";
                Err(Error::usage(what, "give --modes legacy"))
            }
            Some(values::Modes(modes)) => Ok(modes.clone()),
        }
    }

    /// Refuses what several generators cannot share, and pairs that nobody compares.
    fn check_sharing(&self) -> Result<()> {
        let compares = self.modes.as_ref().is_none_or(|modes| modes.0 == Mode::ALL);
        if self.extensions > 0
            && (self.shard.is_some() || self.rate == values::Rate::Max || !compares)
        {
            let what = "--extensions: only a load of one generator that compares both modes can be \
                        extended";
            return Err(Error::usage(what, "leave out --shard, --rate max and --modes"));
        }
        if self.shard.is_some() && self.rate == values::Rate::Max {
            let what = "--shard: with --rate max there is no plan to share";
            return Err(Error::usage(what, "give a --rate"));
        }
        match self.start_at.filter(|at| *at <= Utc::now()) {
            Some(at) => Err(Error::usage(
                format!("--start-at: {at} is over"),
                "give a time far enough ahead for every shard to be ready",
            )),
            None => Ok(()),
        }
    }

    /// Size and pace of the load.
    fn load(&self, routing: &RoutingConfig, modes: usize) -> Result<LoadShape> {
        let rate_per_s = match self.rate {
            values::Rate::PerSecond(rate_per_s) => rate_per_s,
            values::Rate::Max => NOMINAL_RATE_PER_S,
        };
        LoadShape::resolve(
            Profile::Default,
            Some(rate_per_s),
            Some(self.connections),
            Some(self.duration),
            (self.pairs, modes),
        )
        .map(|load| load.settled_for(routing).extended(self.extensions))
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    values::shard(text).map(|(index, of)| Shard { index, of })
}

/// Drives, judges the measurement itself, and says what was measured.
///
/// # Errors
/// Where the platform is not named, does not take the first requests, or Goose does not start.
pub async fn run(args: DriveArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    args.check_sharing()?;
    let config = args.target.read_config()?;
    let base_url = args.target.base_url(&config)?.ok_or_else(|| {
        Error::usage("no platform is named", "give --base-url or CUTOVER_BASE_URL")
    })?;
    let switch = Switch::new(&config, &base_url)?;
    let scenario = Arc::new(match &args.scenario {
        Some(path) => Scenario::read(path)?,
        None => Scenario::parse("the built-in finance scenario", FINANCE)?,
    });
    let database_url = args.target.database_url.as_deref();
    database_url.map(pg::options).transpose()?;
    let (modes, rng_seed) = (args.modes(&config.routing)?, args.target.rng_seed);
    let load = args.load(&config.routing, modes.len())?;
    let plan = Plan::new(&scenario, &load.plan_options(&modes, args.orgs, rng_seed))?;
    let folder = RunFolder::create(args.target.out.as_deref())?;
    let mut record = rehearsal::begin_record(&folder, &config, Some(&scenario), rng_seed);
    let context = printer.context(stop);
    let org_sizes = match database_url {
        Some(url) => rehearsal::sizes_of_orgs(&config, url, &context).await,
        None => None,
    };
    let options = drive::Options {
        connections: load.connections,
        timeout: rehearsal::REQUEST_TIMEOUT,
        as_of: args.as_of.unwrap_or_else(|| chrono::Utc::now().date_naive()),
        rate_per_s: load.rate_per_s,
        closed_loop: args.rate == values::Rate::Max,
        database_url: database_url.map(str::to_owned),
        tables: config.tables.clone(),
        parity: config.parity.clone(),
        org_sizes,
        shard: args.shard,
        start_at: args.start_at,
        metrics_listen: args.metrics_listen,
        extension: rehearsal::extension(&config, load.extensions),
    };
    let outcome = drive::run(scenario, plan, switch, &options, folder.path(), &context).await?;
    if context.check_stop().is_ok() {
        anything_succeeded(&outcome.evidence, &base_url)?;
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
    let told = |c: &Criterion| c.kind != Kind::Integrity || c.evidence.starts_with("drive");
    record.criteria.retain(|c| told(c) && c.kind != Kind::Advice);
    if let Some(drive) = &record.drive {
        printer.result(&capacity(drive));
    }
    printer.result(&verdict_text::criteria(&record.criteria));
    printer.result(&format!("report: {}", folder.path().join("report.html").display()));
    if gate::fails_integrity(&record.criteria) {
        return Ok(Exit::NO_GO_INTEGRITY);
    }
    // Of a shard nobody expects the whole plan.
    record.criteria.retain(|c| args.shard.is_none() || c.id != gate::WHOLE_PLAN);
    let as_asked = record.drive.as_ref().is_some_and(|drive| drive.closed_loop && drive.complete);
    Ok(if as_asked || gate::is_trustworthy(&record.criteria) { Exit::OK } else { Exit::INVALID })
}

/// A load that only failed measured nothing.
fn anything_succeeded(drive: &DriveEvidence, base_url: &Url) -> Result<()> {
    if drive.requests != drive.errors {
        return Ok(());
    }
    let kinds: Vec<&str> = drive.errors_by_kind.keys().map(String::as_str).collect();
    let what = format!("{base_url}: not one request succeeded: {}", kinds.join(", "));
    Err(Error::run(what, "is the platform up, and does the scenario fit it?"))
}

/// Requests a second in each mode.
fn capacity(drive: &DriveEvidence) -> String {
    let rates: Vec<String> = drive
        .overall
        .iter()
        .map(|(mode, latency)| format!("{} {:.0} req/s", mode.as_str(), latency.throughput_per_s))
        .collect();
    let rates = rates.join(", ");
    match drive.closed_loop {
        true => format!(
            "capacity with {} connections: {rates}\n\
             as fast as answers come: a figure of capacity, not of latency, and no ground for a GO",
            drive.connections
        ),
        false => rates,
    }
}
