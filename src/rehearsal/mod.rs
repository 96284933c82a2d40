//! The order of the acts. Nothing else knows two of them.
//!
//! rig → seed → diff → drive → diff → judge. Each act leaves its evidence in the record as it ends,
//! so that whatever happens next, what was measured is kept. However the run ends, the rig is
//! stopped and the report is written.

mod acts;
mod calibrate;
mod drills;
mod earlier;
mod faults;
mod load_shape;
mod record;
pub mod reference;
mod rollout;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::evidence::exit::Exit;
use chrono::NaiveDate;
use url::Url;

pub use acts::{judge, sizes_of_orgs};
pub use drills::{DrillOptions, drill};
pub use earlier::hold_against;
pub use faults::{FaultOptions, plant_faults};
pub use load_shape::{LoadShape, Overrides, Profile};
pub use record::{begin as begin_record, note_triggers, pairs};
pub use rollout::{RolloutOptions, SCHEDULE, judge_steps, rollout};

use acts::{compare, fill, load, start_rig};
use calibrate::calibrate;

use crate::act::{ActContext, Event};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::evidence::drive::{DriveEvidence, Side};
use crate::evidence::finding::{DiffEvidence, DiffPhase};
use crate::evidence::limits::Phase;
use crate::evidence::machine::Calibration;
use crate::evidence::run_record::{Act, ActKind, ActName, ActState, RunRecord};
use crate::evidence::watch::Sample;
use crate::http::without_secrets;
use crate::routing::Switch;
use crate::run_folder::{RunFolder, inventory};
use crate::scenario::{Plan, Scenario};
use crate::{diff, gate, pg, report, rig, seed};

/// What is rehearsed, and on what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The target as its owner describes it.
    pub config: Config,
    /// Database and platform; `None` starts a rig.
    pub target: Option<(String, Url)>,
    /// The traffic.
    pub scenario: Arc<Scenario>,
    /// Size and pace of the load.
    pub load: LoadShape,
    /// Whether a few seconds of reads tell how long windows have to be.
    pub tries: bool,
    /// Whether they also tell the rate that this machine can carry.
    pub calibrates: bool,
    /// Orgs to seed.
    pub orgs: u64,
    /// Mean transactions per org.
    pub transactions_per_org: f64,
    /// What to seed; `None` if the data is there already.
    pub seed_profile: Option<seed::Profile>,
    /// Whether it describes other tables than the reference schema's, which are there already.
    pub own_schema: bool,
    /// Whether the diff may try the triggers.
    pub probe: bool,
    /// What is not tested because nothing may be changed, in words.
    pub left_out: Vec<String>,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// Whether to drive even when the first diff finds differences.
    pub keep_going: bool,
    /// Whether the write-ahead log is followed during the load, and how many bytes of it may be held back.
    pub wal: Option<u64>,
    /// Whether a rig of ours has a replica and a pooler, too.
    pub full: bool,
    /// Whether the target that is given is a rig.
    pub on_rig: bool,
    /// The increment of a rollout that this is made for.
    pub increment: Option<Increment>,
    /// Earlier runs that this one is held against, the newest so many of them.
    pub baseline: Option<(PathBuf, usize)>,
    /// Misbehaviours of the rig's platform, `NAME[=VALUE]`.
    pub misbehave: Vec<String>,
    /// This program, for the rig's processes.
    pub executable: PathBuf,
}

/// An increment of a rollout, and what was seen of its routing.
#[derive(Debug, Clone)]
pub struct Increment {
    /// Percent of the orgs.
    pub percent: f64,
    /// How requests without a wish of their own were routed.
    pub samples: Vec<Sample>,
}

/// A run in progress.
struct Run<'a> {
    options: &'a Options,
    folder: &'a RunFolder,
    context: &'a ActContext,
    record: RunRecord,
    /// The first act that broke.
    broken: Option<Error>,
}

/// After this a request counts as failed.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Rehearses: all acts in order, then the verdict and the report.
///
/// # Errors
/// If a component was missing or broke and nothing worse was measured; the report is written
/// all the same.
pub async fn run(options: &Options, folder: &RunFolder, context: &ActContext) -> Result<RunRecord> {
    // What cannot be driven is refused before anything is touched.
    plan(options, options.load)?;
    let scenario = Some(options.scenario.as_ref());
    let mut record = record::begin(folder, &options.config, scenario, options.rng_seed);
    record.left_out.clone_from(&options.left_out);
    if !record.command.contains("--as-of") {
        // Tomorrow's default is another day.
        record.command.push_str(&format!(" --as-of {}", options.as_of));
    }
    if let Some(increment) = &options.increment {
        record.increment_percent = Some(increment.percent);
        record.phase = Phase::Increment;
        record.watch = Some(gate::watched(&increment.samples, None));
        folder.write_samples(&increment.samples)?;
    }
    record.target.rig = options.on_rig;
    let mut run = Run { options, folder, context, record, broken: None };
    let began = Instant::now();
    folder.write_record(&run.record)?;
    let stack = run.acts().await;
    if let Some(stack) = stack {
        context.note("stopping the rig");
        if let Err(error) = stack.stop().await {
            run.broken.get_or_insert(error);
        }
    }
    run.record.duration_s = began.elapsed().as_secs_f64();
    if let Some((baseline, newest)) = &options.baseline {
        hold_against(&mut run.record, baseline, *newest)?;
    }
    conclude(folder, &mut run.record)?;
    match run.broken {
        // What broke is why it is inconclusive; a measured failure or a signal says more.
        Some(error) if run.record.verdict.exit_code == Exit::INCONCLUSIVE => Err(error),
        _ => Ok(run.record),
    }
}

/// Ends a run: lists its evidence files, judges, then writes the record and every report.
///
/// # Errors
/// If the folder cannot be read or written.
pub fn conclude(folder: &RunFolder, record: &mut RunRecord) -> Result<()> {
    record.ended = true;
    record.ended_at = record::now();
    // Before the verdict, which counts them.
    record.files = inventory(folder.path(), &report::FILES)?;
    gate::judge(record);
    folder.write_record(record)?;
    for (name, bytes) in report::render_all(record) {
        folder.write(name, &bytes)?;
    }
    Ok(())
}

/// Windows are so many times as long as the p95 of what is asked: what is under way when the modes take
/// turns is little then.
const WINDOW_OF_P95: u64 = 10;

/// The load as it would be driven.
///
/// # Errors
/// A usage error if it would be empty or too large.
fn plan(options: &Options, shape: LoadShape) -> Result<Plan> {
    let plan_options = shape.plan_options(&Side::BOTH, options.orgs, options.rng_seed);
    Plan::new(&options.scenario, &plan_options)
}

impl Run<'_> {
    /// Everything between start and verdict; returns the rig that has to be stopped.
    async fn acts(&mut self) -> Option<rig::Stack> {
        let (options, context) = (self.options, self.context);
        let (stack, (database_url, base_url)) = match &options.target {
            Some(target) => (None, target.clone()),
            None => {
                let (stack, target) = self.act(ActKind::Rig, start_rig(options, context)).await?;
                self.record.target.rig = true;
                (Some(stack), target)
            }
        };
        self.record.target.database = Some(pg::describe(&database_url));
        self.record.target.base_url = Some(without_secrets(&base_url));
        self.act_by_act(&database_url, &base_url).await;
        stack
    }

    /// Seed, diff, drive, diff; `None` if it ended early because going on made no sense.
    async fn act_by_act(&mut self, database_url: &str, base_url: &Url) -> Option<()> {
        let (options, folder, context) = (self.options, self.folder, self.context);
        let switch = Switch::new(&options.config, base_url);
        let connect = async {
            let version = pg::server_version(database_url).await?;
            // Before the first row is written: a platform that is not there cannot be driven later.
            switch?.reach().await.map(|()| version)
        };
        let version = self.act(ActKind::Connect, connect).await?;
        self.record.target.postgres_version = Some(version);
        if let Some(profile) = &options.seed_profile {
            let seed = fill(options, profile, folder, database_url, context);
            let manifest = self.act(ActKind::Seed, seed).await?;
            self.record.manifest = Some(manifest);
        }
        record::note_triggers(&mut self.record, &options.config, database_url).await;
        let compare = |phase, log| compare(options, folder, database_url, phase, log, context);
        let before = self.act(ActKind::DiffBefore, compare(DiffPhase::Before, None)).await?;
        self.record.diff_before = Some(before.clone());
        self.record.diff = Some(before.clone());
        if !is_clean(&before) && !options.keep_going {
            // There is no use in loading tables that differ already.
            let note = "the tables differed before the load; --keep-going drives all the same";
            self.push_act(ActKind::Drive.into(), ActState::Skipped, Duration::ZERO, note);
            return None;
        }
        // From here on only a comparison made after the load counts.
        self.record.diff = None;
        let (shape, calibrated) = self.shape(base_url).await?;
        let oracle = match options.wal {
            Some(keep_bytes) => {
                let follow = diff::follow(database_url, &options.config.tables, keep_bytes);
                Some(self.act(ActKind::FollowLog, follow).await?)
            }
            None => None,
        };
        if let Some(outcome) = self
            .act(ActKind::Drive, load(options, folder, (database_url, base_url), shape, context))
            .await
        {
            self.record.drive = Some(DriveEvidence { calibrated, ..outcome.evidence });
            self.record.observations = outcome.observations;
        }
        context.check_stop().ok()?;
        // A server that froze under the load must not hold up the comparison for ever.
        self.act(ActKind::Reconnect, pg::server_version(database_url)).await?;
        let log = match oracle {
            Some(oracle) => Some(self.act(ActKind::ReadLog, oracle.finish()).await?),
            None => None,
        };
        self.record.diff =
            Some(self.act(ActKind::DiffAfter, compare(DiffPhase::After, log)).await?);
        Some(())
    }

    /// Size and pace of the load, fitted to what a trial has shown.
    async fn shape(&mut self, base_url: &Url) -> Option<(LoadShape, Option<Calibration>)> {
        let (options, context) = (self.options, self.context);
        // A flag that is switched has long windows anyway.
        if !options.tries || options.config.routing.switches_a_flag() {
            return Some((options.load, None));
        }
        let tried = async {
            // What is wrong with the platform is the load's to find.
            let without = |error| {
                context.note(format!("there was no trial: {error}"));
                None
            };
            Ok(calibrate(options, base_url, context).await.unwrap_or_else(without))
        };
        let Some(found) = self.act(ActKind::Calibrate, tried).await? else {
            return Some((options.load, None));
        };
        let window = Duration::from_micros(found.p95_us * WINDOW_OF_P95);
        let shape = options.load.refit(found.rate_per_s, window);
        context.note(format!("driving {}", shape.words()));
        Some((shape, Some(found)))
    }

    /// Runs one act, notes how it ended, and saves the record.
    async fn act<T>(
        &mut self,
        name: impl Into<ActName>,
        act: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        let name = name.into();
        if self.context.check_stop().is_err() {
            self.push_act(name, ActState::Interrupted, Duration::ZERO, "a signal came before it");
            return None;
        }
        tracing::debug!(act = %name, "begins");
        let began = Instant::now();
        let outcome = act.await;
        self.context.emit(Event::Finished);
        tracing::debug!(act = %name, took_s = began.elapsed().as_secs_f64(), "ends");
        let stopped = self.context.stop.is_cancelled();
        let (state, note) = match &outcome {
            _ if stopped => (ActState::Interrupted, "a signal ended it".to_owned()),
            Ok(_) => (ActState::Done, String::new()),
            Err(error) => (ActState::Failed, error.to_string()),
        };
        self.push_act(name, state, began.elapsed(), &note);
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                if !stopped {
                    self.context.note(format!("act `{name}` broke: {error}"));
                    self.broken.get_or_insert(error);
                }
                None
            }
        }
    }

    fn push_act(&mut self, name: ActName, state: ActState, took: Duration, note: &str) {
        self.record.acts.push(Act {
            name,
            state,
            duration_s: took.as_secs_f64(),
            note: note.to_owned(),
        });
        if let Err(error) = self.folder.write_record(&self.record) {
            self.broken.get_or_insert(error);
        }
    }
}

/// Whether there is nothing wrong with the tables and nothing was left unseen.
fn is_clean(diff: &DiffEvidence) -> bool {
    diff.complete && diff.orgs_diverged == 0 && diff.integrity_errors == 0
}
