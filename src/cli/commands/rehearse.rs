//! `cutover rehearse`: all acts, one verdict.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::cli::{Exit, NotifyArgs, Printer, TargetArgs, intents, values, verdict_text};
use crate::config::{Config, Intent, RoutingConfig, RoutingKind, WritingAct};
use crate::diff;
use crate::error::{Context, Error, Result};
use crate::evidence::drive::Side;
use crate::evidence::run_record::RunRecord;
use crate::platform::Misbehaviour;
use crate::rehearsal::{self, LoadShape, Options, Overrides, RolloutOptions, SCHEDULE};
use crate::routing::Switch;
use crate::run_folder::{self, RunFolder};
use crate::scenario::{FINANCE, Scenario};
use crate::seed;
use crate::{drill, drive, pg};

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// Where the target is; without one a local rig is started.
    #[command(flatten)]
    pub target: TargetArgs,
    /// How much to do
    #[arg(long, value_enum, default_value_t = Profile::Default)]
    pub profile: Profile,
    /// Organisations to seed [default: the profile's]
    #[arg(long, value_name = "N", value_parser = values::orgs, allow_negative_numbers = true)]
    pub orgs: Option<u64>,
    /// Longest load, for example 5m or 1h; --looks 1 drives all of it [default: the profile's]
    #[arg(long, value_name = "D", value_parser = values::duration, allow_negative_numbers = true)]
    pub duration: Option<Duration>,
    /// Arrivals per second [default: the profile's]
    #[arg(long, value_name = "R", value_parser = values::rate, allow_negative_numbers = true)]
    pub rate: Option<f64>,
    /// Connections that drain the plan
    #[arg(long, value_name = "C", value_parser = values::connections)]
    pub connections: Option<usize>,
    /// Pairs, each compared as one, at most [default: as many as the load holds]
    #[arg(long, value_name = "K", value_parser = values::pairs)]
    pub pairs: Option<u32>,
    /// Mean transactions per org over all table pairs
    #[arg(long, value_name = "M", value_parser = values::transactions, default_value = "12")]
    pub transactions_per_org: f64,
    /// Traffic [default: the finance scenario]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Change nothing: no seed, no operation that changes data, no try of the triggers
    #[arg(long)]
    pub read_only: bool,
    /// Description of your own tables, to seed them [default: the reference schema's]
    #[arg(long, value_name = "FILE")]
    pub profile_file: Option<PathBuf>,
    /// Use the data that is there, orgs numbered from 1 to --orgs
    #[arg(long)]
    pub skip_seed: bool,
    /// Drive even when the first diff finds differences
    #[arg(long)]
    pub keep_going: bool,
    /// Follow the write-ahead log during the load: does each transaction change both sides alike?
    #[arg(long)]
    pub wal: bool,
    /// The day the data's calendar is anchored to [default: today]
    #[arg(long, value_name = "DATE", value_parser = values::day)]
    pub as_of: Option<NaiveDate>,
    /// The handbook's schedule in compressed time: 1, 5, 10, 25, 50, 100 %, each set, proven, driven,
    /// compared and judged; --duration is then that of one increment
    #[arg(long, conflicts_with_all = ["misbehave", "wal", "keep_going"])]
    pub rollout: bool,
    /// Give the rig a streaming replica and PgBouncer, too; with --rollout, rehearse every drill at
    /// the end
    #[arg(long)]
    pub full: bool,
    /// From an increment on the rig's platform goes wrong: 25=torn-write=5%
    #[arg(long, value_name = "PCT=NAME[=VALUE]", requires = "rollout", value_parser = planted)]
    pub plant: Vec<(f64, String)>,
    /// Looks at the load, its end included; the first that decides ends it [default: the profile's]
    #[arg(long, value_name = "N", value_parser = values::looks, allow_negative_numbers = true)]
    pub looks: Option<u32>,
    /// A run, or a folder of runs, that this one must not be slower than
    #[arg(long, value_name = "RUN_DIR")]
    pub baseline: Option<PathBuf>,
    /// Of a folder of runs, look at the newest so many
    #[arg(long, value_name = "N", default_value = "14", requires = "baseline")]
    #[arg(value_parser = values::runs, allow_negative_numbers = true)]
    pub nights: usize,
    /// Whom to tell.
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Make the rig's platform go wrong on purpose, for example slow-partitioned=25%
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub misbehave: Vec<String>,
}

/// Named sizes of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// 10,000 orgs, under two minutes.
    Quick,
    /// 100,000 orgs, two and a half to twelve minutes.
    Default,
    /// 100,000 orgs, half an hour of load.
    Nightly,
}

impl From<Profile> for rehearsal::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Quick => Self::Quick,
            Profile::Default => Self::Default,
            Profile::Nightly => Self::Nightly,
        }
    }
}

impl RehearseArgs {
    fn check_misbehaviour(&self, rig: bool) -> Result<()> {
        if !rig && !self.misbehave.is_empty() {
            let what = "--misbehave: only the rig's own platform can be told to go wrong";
            return Err(Error::usage(what, "leave out --database-url and --base-url"));
        }
        for misbehaviour in &self.misbehave {
            misbehaviour.parse::<Misbehaviour>().map_err(|error| {
                let hint = error.hint().unwrap_or_default();
                Error::usage(format!("--misbehave: {error}"), hint)
            })?;
        }
        Ok(())
    }

    /// Whether the rate follows what this machine can carry: not if somebody has named one, nor
    /// if the load is held against others, which must be as fast.
    fn calibrates(&self, rig: bool) -> bool {
        let alone = self.baseline.is_none() && self.profile != Profile::Nightly && !self.rollout;
        rig && alone && self.rate.is_none()
    }

    /// What to seed; `None` if the data is there already.
    fn seed_profile(&self, config: &Config, rig: bool) -> Result<Option<seed::Profile>> {
        let skip_seed = self.skip_seed || self.read_only;
        if skip_seed && rig {
            let option = if self.read_only { "--read-only" } else { "--skip-seed" };
            let what = format!("{option}: a rig of its own holds no data");
            return Err(Error::usage(what, "give --database-url and --base-url, or let it seed"));
        }
        // Only what is compared is seeded: rows that nobody looks at prove nothing.
        Ok(match (skip_seed, &self.profile_file) {
            (true, _) => None,
            (false, Some(path)) => Some(seed::Profile::read(path)?.only(&config.tables)?),
            (false, None) => Some(seed::Profile::reference().only(&config.tables)?),
        })
    }

    /// Size and pace of the load.
    fn load(&self, routing: &RoutingConfig) -> Result<LoadShape> {
        // An increment is short by nature; there are six of them.
        let shape = match self.rollout {
            true => rehearsal::Profile::Quick,
            false => rehearsal::Profile::from(self.profile),
        };
        let over = Overrides {
            rate_per_s: self.rate,
            connections: self.connections,
            duration: self.duration,
            pairs: self.pairs,
            looks: self.looks,
            window: None,
        };
        LoadShape::resolve(shape, over, &Side::BOTH, routing)
    }

    /// Checks everything that can be checked before anything is touched.
    fn resolve(&self) -> Result<Options> {
        let mut config = self.target.read_config()?;
        let target = self.target.both_or_none(&config)?;
        if let (Some(name), None) = (&config.environment.name, &target) {
            let what = format!("environment `{name}`: it names no database and no platform");
            return Err(Error::usage(what, "give it base_url and database, or --database-url"));
        }
        self.check_misbehaviour(target.is_none())?;
        if self.read_only {
            config.environment = std::mem::take(&mut config.environment).read_only();
        }
        if config.routing.kind == RoutingKind::None {
            let what = "[routing] kind = \"none\": a rehearsal has to ask both sides";
            return Err(Error::usage(what, "give kind = \"header\" or \"urls\""));
        }
        let rig = target.is_none();
        let seed_profile = self.seed_profile(&config, rig)?;
        let rig_url = Url::parse("http://127.0.0.1:1").expect("a URL");
        let base_url = target.as_ref().map_or(&rig_url, |(_, base_url)| base_url);
        let switch = Switch::new(&config, base_url)?;
        let mut scenario = match &self.scenario {
            Some(path) => Scenario::read(path)?,
            None => Scenario::parse("the built-in finance scenario", FINANCE)?,
        };
        if self.full && target.is_some() {
            let what = "--full: only a rig of our own can be given more servers";
            return Err(Error::usage(what, "leave out --database-url and --base-url"));
        }
        let mut left_out: Vec<String> = Vec::new();
        if self.read_only {
            let (reads, operations) = scenario.reads_only()?;
            scenario = reads;
            left_out.extend(intents::untested_operations(&operations));
        }
        let probe = config.environment.allows(WritingAct::Probe);
        left_out.extend(intents::untried(&config.environment));
        let profile = rehearsal::Profile::from(self.profile);
        let load = self.load(&config.routing)?;
        drive::make_room(load.connections, &switch)?;
        if let Some(baseline) = &self.baseline {
            // In an hour it would be too late to learn that there is nothing to read.
            run_folder::read_runs(baseline)?;
        }
        Ok(Options {
            config,
            target,
            scenario: Arc::new(scenario),
            load,
            tries: true,
            calibrates: self.calibrates(rig),
            orgs: self.orgs.unwrap_or_else(|| profile.orgs()),
            transactions_per_org: self.transactions_per_org,
            own_schema: self.profile_file.is_some(),
            seed_profile,
            probe,
            left_out,
            as_of: self.as_of.unwrap_or_else(|| chrono::Utc::now().date_naive()),
            rng_seed: self.target.rng_seed,
            keep_going: self.keep_going,
            wal: self.wal.then_some(diff::WAL_KEEP_BYTES),
            full: self.full,
            on_rig: false,
            increment: None,
            baseline: self.baseline.clone().map(|baseline| (baseline, self.nights)),
            misbehave: self.misbehave.clone(),
            executable: std::env::current_exe()
                .or_run("cannot find this program's own path", "")?,
        })
    }
}

/// What a rehearsal changes on its target.
fn changes(options: &Options, config: &Config, rollout: bool) -> Vec<Intent> {
    let seeds = options.seed_profile.as_ref().map(|profile| intents::seed(profile, false));
    let mut changes: Vec<Intent> = seeds.into_iter().collect();
    changes.extend(intents::drive(&options.scenario, config));
    changes.extend(intents::probe(&config.tables).filter(|_| options.probe));
    changes.extend(options.wal.map(|_| intents::wal()));
    changes.extend(rollout.then(intents::percentage));
    changes
}

/// Runs all acts.
///
/// # Errors
/// What the acts could not do.
pub async fn run(args: RehearseArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let options = args.resolve()?;
    let target = options.target.as_ref();
    let place = intents::place(target.map(|(url, _)| url.as_str()), target.map(|(_, url)| url));
    let changes = changes(&options, &options.config, args.rollout);
    let environment = &options.config.environment;
    intents::announce(printer, environment, &place, &changes, &options.left_out)?;
    let notifier = args.notify.resolve(&options.config)?;
    pg::refuse_pooler(target.map(|(url, _)| url.as_str())).await?;
    let folder = RunFolder::create(args.target.out.as_deref())?;
    printer.note(&format!(
        "run {}: {} orgs, {}, rng_seed {}",
        folder.run_id(),
        options.orgs,
        options.load.words(),
        options.rng_seed
    ));
    let outcome = match args.rollout {
        true => roll_out(&args, options, &folder, printer, stop).await,
        false => rehearsal::run(&options, &folder, &printer.context(stop)).await,
    };
    if let Ok(record) = &outcome {
        printer.json(record);
        printer.result(&verdict_text::verdict(record));
    }
    let report = folder.path().join("report.html");
    if report.exists() {
        printer.result(&format!("report: {}", report.display()));
    }
    if let Ok(record) = &outcome {
        notifier.tell(record, folder.path(), printer).await;
    }
    outcome.map(|record| record.verdict.exit_code)
}

/// `25=torn-write=5%`: a percentage of the schedule, and a misbehaviour.
fn planted(text: &str) -> Result<(f64, String), String> {
    let steps = SCHEDULE.map(|percent| percent.to_string()).join(", ");
    let (percent, fault) =
        text.split_once('=').ok_or("give PCT=NAME[=VALUE], for example 25=torn-write=5%")?;
    let percent = percent.trim_end_matches('%').parse().ok();
    let percent = percent.filter(|percent| SCHEDULE.contains(percent));
    let percent = percent.ok_or(format!("give a percentage of the schedule first: {steps}"))?;
    fault.parse::<Misbehaviour>().map_err(|error| match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })?;
    Ok((percent, fault.to_owned()))
}

async fn roll_out(
    args: &RehearseArgs,
    rehearsal: Options,
    folder: &RunFolder,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<RunRecord> {
    let drills = if args.full { drill::Name::ALL.to_vec() } else { Vec::new() };
    let options = RolloutOptions { rehearsal, plant: args.plant.clone(), drills };
    rehearsal::rollout(&options, folder, &printer.context(stop)).await
}
