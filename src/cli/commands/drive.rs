//! `cutover drive`: the load alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::capacity;
use crate::cli::{Exit, Printer, TargetArgs, intents, values, verdict_text};
use crate::config::{Config, RoutingConfig, RoutingKind};
use crate::drive::CapacityOptions;
use crate::error::{Error, Result};
use crate::evidence::criterion::CriterionId;
use crate::evidence::drive::{DriveEvidence, Side};
use crate::evidence::limits::{LimitId, Limits};
use crate::evidence::run_record::{Act, ActKind, ActState};
use crate::evidence::shard::Shard;
use crate::evidence::verdict::{Criterion, Kind};
use crate::http::without_secrets;
use crate::rehearsal::{self, LoadShape, Overrides, Profile};
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
    /// Change nothing: leave out what changes data, and what needs a row that such an operation makes
    #[arg(long)]
    pub read_only: bool,
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
    /// Pairs, each compared as one [default: as many as the load holds]
    #[arg(long, value_name = "K", value_parser = values::pairs)]
    pub pairs: Option<u32>,
    /// Windows in which the modes take turns if each request carries its own: four times the p95 of
    /// the target at least [default: 100ms]
    #[arg(long, value_name = "D", value_parser = values::latency)]
    pub window: Option<Duration>,
    /// Looks at the load, its end included; the first that decides ends it
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::looks)]
    #[arg(allow_negative_numbers = true)]
    pub looks: u32,
    /// Orgs are numbered from 1 to this
    #[arg(long, value_name = "N", default_value = "100000", value_parser = values::orgs)]
    #[arg(allow_negative_numbers = true)]
    pub orgs: u64,
    /// The day the data's calendar is anchored to [default: today]
    #[arg(long, value_name = "DATE", value_parser = values::day)]
    pub as_of: Option<NaiveDate>,
    /// Only every Nth arrival of the plan, beginning with the Ith; `cutover merge` puts N such
    /// runs together
    #[arg(long, value_name = "I/N", value_parser = values::shard, requires = "start_at")]
    pub shard: Option<Shard>,
    /// When the plan's clock starts, the same for every shard: RFC 3339, for example
    /// 2026-03-01T10:15:00Z
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    pub start_at: Option<DateTime<Utc>>,
    /// Answer Prometheus here while the load runs
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::listen)]
    pub metrics_listen: Option<SocketAddr>,
    /// Serve Goose's own page while the load runs, fed with response times from the moment a request
    /// was due, and write Goose's own report into the run's folder, goose/report.html
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = values::page)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:5118")]
    pub dashboard: Option<SocketAddr>,
    /// Search the highest rate that each mode sustains, from --rate on: steps twice as high until
    /// one fails, then bisection, the modes in turns. A figure, never a GO
    #[arg(long, conflicts_with_all = ["pairs", "duration", "dashboard", "looks", "window"])]
    #[arg(conflicts_with_all = ["metrics_listen", "shard", "start_at"])]
    pub find_capacity: bool,
    /// Response time p95 that a step of --find-capacity may have at most
    #[arg(long, value_name = "D", default_value = "100ms", value_parser = values::latency)]
    #[arg(requires = "find_capacity")]
    pub p95_limit: Duration,
    /// Measured time of a step of --find-capacity
    #[arg(long, value_name = "D", default_value = "6s", value_parser = values::duration)]
    #[arg(requires = "find_capacity")]
    pub capacity_step: Duration,
}

/// A plan needs some rate even if nobody keeps to it.
const NOMINAL_RATE_PER_S: f64 = 1000.0;
/// Longer than a pair.
const ONE_TURN: Duration = Duration::from_secs(86_400);
/// Failed over passed rate at which a search of the capacity ends.
const CAPACITY_PRECISION: f64 = 1.05;
/// As many as a machine takes without a word to its administrator.
const MOST_CONNECTIONS: usize = 2000;

impl DriveArgs {
    /// The modes to drive; refuses to compare what cannot be told apart.
    fn modes(&self, routing: &RoutingConfig) -> Result<Vec<Side>> {
        let unrouted = routing.kind == RoutingKind::None;
        match &self.modes {
            None if unrouted => Ok(vec![Side::Legacy]),
            None => Ok(Side::BOTH.to_vec()),
            Some(values::Modes(modes)) if unrouted && modes.contains(&Side::Partitioned) => {
                let what = "--modes: with [routing] kind = \"none\" only legacy can be asked";
                Err(Error::usage(what, "give --modes legacy"))
            }
            Some(values::Modes(modes)) => Ok(modes.clone()),
        }
    }

    /// The traffic, and what is left out of it because nothing is to be changed.
    fn scenario(&self, config: &mut Config) -> Result<(Arc<Scenario>, Vec<String>)> {
        let scenario = match &self.scenario {
            Some(path) => Scenario::read(path)?,
            None => Scenario::parse("the built-in finance scenario", FINANCE)?,
        };
        if !self.read_only {
            return Ok((Arc::new(scenario), Vec::new()));
        }
        config.environment = std::mem::take(&mut config.environment).read_only();
        let (scenario, left_out) = scenario.reads_only()?;
        let note = intents::untested_operations(&left_out);
        Ok((Arc::new(scenario), note.into_iter().collect()))
    }

    /// What `--find-capacity` looks for.
    fn search(&self, modes: &[Side], config: &Config, switch: &Switch) -> Result<CapacityOptions> {
        let values::Rate::PerSecond(first_per_s) = self.rate else {
            let what = "--rate max: a search of the capacity begins at a rate";
            return Err(Error::usage(what, "give a number, or leave --find-capacity out"));
        };
        // A flag that is switched needs its time before each step.
        let settle = match config.routing.switches_a_flag() {
            true => config.routing.settle(),
            false => Duration::ZERO,
        };
        Ok(CapacityOptions {
            modes: modes.to_vec(),
            first_per_s,
            p95_limit: self.p95_limit,
            error_limit: Limits { own: &config.limits, phase: None }.value(LimitId::ErrorRate),
            step: self.capacity_step,
            warm_up: settle.max(Duration::from_secs(1)),
            precision: CAPACITY_PRECISION,
            most_connections: drive::room_for(MOST_CONNECTIONS.max(self.connections), switch),
            orgs: self.orgs,
            rng_seed: self.target.rng_seed,
        })
    }

    /// Refuses what several generators cannot share, and pairs that nobody compares.
    fn check_sharing(&self) -> Result<()> {
        let compares = self.modes.as_ref().is_none_or(|modes| modes.0 == Side::BOTH);
        if self.looks > 1 && (self.shard.is_some() || self.rate == values::Rate::Max || !compares) {
            let what =
                "--looks: only a load of one generator that compares both modes can end early";
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

    /// How the plan is drained.
    fn options(
        &self,
        load: &LoadShape,
        config: &Config,
        org_sizes: Option<Arc<drive::OrgSizes>>,
    ) -> drive::Options {
        drive::Options {
            connections: load.connections,
            timeout: rehearsal::REQUEST_TIMEOUT,
            as_of: self.as_of.unwrap_or_else(|| Utc::now().date_naive()),
            rate_per_s: load.rate_per_s,
            ahead: self.rate != values::Rate::Max,
            closed_loop: self.rate == values::Rate::Max,
            database_url: self.target.database_url.clone(),
            tables: config.tables.clone(),
            parity: config.parity.clone(),
            org_sizes,
            shard: self.shard,
            start_at: self.start_at,
            metrics_listen: self.metrics_listen,
            dashboard: self.dashboard,
            judge: rehearsal::judge(config, load),
            // Without it a flag is left switched if we are killed; nothing else depends on it.
            executable: std::env::current_exe().ok(),
        }
    }

    /// Size and pace of the load.
    fn load(&self, routing: &RoutingConfig, modes: &[Side]) -> Result<LoadShape> {
        let rate_per_s = match self.rate {
            values::Rate::PerSecond(rate_per_s) => rate_per_s,
            values::Rate::Max => NOMINAL_RATE_PER_S,
        };
        let over = Overrides {
            rate_per_s: Some(rate_per_s),
            connections: Some(self.connections),
            duration: Some(self.duration),
            pairs: self.pairs,
            looks: Some(self.looks),
            // As fast as it goes, connections that one mode holds are missing in the other's turn.
            window: if self.rate == values::Rate::Max { Some(ONE_TURN) } else { self.window },
        };
        LoadShape::resolve(Profile::Default, over, modes, routing)
    }
}

/// Drives, judges the measurement itself, and says what was measured.
///
/// # Errors
/// If the platform is not named, does not take the first requests, or Goose does not start.
pub async fn run(args: DriveArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    args.check_sharing()?;
    let mut config = args.target.read_config()?;
    let base_url = args.target.required_base_url(&config)?;
    let switch = Switch::new(&config, &base_url)?;
    let (scenario, left_out) = args.scenario(&mut config)?;
    let database_url = args.target.checked_database_url()?;
    let place = intents::place(database_url, Some(&base_url));
    let intents = intents::drive(&scenario, &config);
    intents::announce(printer, &config.environment, &place, &intents, &left_out)?;
    let (modes, rng_seed) = (args.modes(&config.routing)?, args.target.rng_seed);
    let search = || args.search(&modes, &config, &switch);
    let search = args.find_capacity.then(search).transpose()?;
    let load = args.load(&config.routing, &modes)?;
    let plan = Plan::new(&scenario, &load.plan_options(&modes, args.orgs, rng_seed))?;
    drive::make_room(load.connections, &switch)?;
    pg::refuse_pooler(database_url).await?;
    let folder = RunFolder::create(args.target.out.as_deref())?;
    let mut record = rehearsal::begin_record(&folder, &config, Some(&scenario), rng_seed);
    record.left_out = left_out;
    record.target.base_url = Some(without_secrets(&base_url));
    record.target.database = database_url.map(pg::describe);
    // What a load that is killed leaves behind must say so.
    folder.write_record(&record)?;
    let context = printer.context(stop);
    let org_sizes = rehearsal::sizes_of_orgs(&config, database_url, &context).await;
    let options = args.options(&load, &config, org_sizes);
    if let Some(search) = search {
        let (record, target) = ((folder, record), (scenario, switch));
        return capacity::run(record, target, &search, &options, printer, &context).await;
    }
    let outcome = drive::run(scenario, plan, switch, &options, folder.path(), &context).await?;
    let (state, note) = match context.check_stop() {
        Ok(()) => (ActState::Done, String::new()),
        Err(error) => (ActState::Interrupted, error.to_string()),
    };
    record.duration_s = outcome.evidence.duration_s;
    let act = Act { name: ActKind::Drive.into(), state, duration_s: record.duration_s, note };
    record.acts.push(act);
    let in_vain = in_vain(&outcome.evidence, &base_url).filter(|_| context.check_stop().is_ok());
    record.drive = Some(outcome.evidence);
    record.observations = outcome.observations;
    rehearsal::conclude(&folder, &mut record)?;
    printer.json(&record);
    if let Some(error) = in_vain {
        return Err(error);
    }
    // The data was not looked at, so there is no verdict on the cut-over, only on the measurement.
    let counts = |c: &Criterion| c.kind != Kind::Integrity || gate::is_of_load(c.id);
    record.criteria.retain(|c| counts(c) && c.kind != Kind::Advice);
    if let Some(drive) = &record.drive {
        printer.result(&rates(drive));
    }
    printer.result(&verdict_text::criteria(&record.criteria));
    printer.result(&format!("report: {}", folder.path().join("report.html").display()));
    if gate::fails_integrity(&record.criteria) {
        return Ok(Exit::NO_GO_INTEGRITY);
    }
    // Of a shard nobody expects the whole plan.
    record.criteria.retain(|c| args.shard.is_none() || c.id != CriterionId::WholePlan);
    let as_asked = record.drive.as_ref().is_some_and(|drive| drive.closed_loop && drive.complete);
    if !as_asked && !gate::is_trustworthy(&record.criteria) {
        printer.result(
            "INVALID: this measurement cannot be trusted; what is not a pass above says why",
        );
        return Ok(Exit::INVALID);
    }
    // A load that was refused too often has measured something else than was asked for.
    Ok(if gate::fails_requests(&record.criteria) { Exit::NO_GO_PERFORMANCE } else { Exit::OK })
}

/// The error of a load of which not one request succeeded.
fn in_vain(drive: &DriveEvidence, base_url: &Url) -> Option<Error> {
    // What could not be sent says nothing of the platform.
    if drive.requests > drive.errors || drive.own_want > 0 {
        return None;
    }
    let kinds: Vec<&str> = drive.errors_by_kind.keys().map(String::as_str).collect();
    let what = format!("{base_url}: not one request succeeded: {}", kinds.join(", "));
    Some(Error::run(what, "is the platform up, and does the scenario fit it?"))
}

/// Requests a second in each mode.
fn rates(drive: &DriveEvidence) -> String {
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
