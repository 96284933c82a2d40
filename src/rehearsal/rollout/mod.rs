//! The handbook's schedule in compressed time: set the percentage, prove it, drive, compare, judge;
//! go on, hold, or roll back by the verdict.
//!
//! Each increment is a run of its own in a folder below, judged as the handbook's Phase 4 wants it;
//! the rollout's own record holds what they came to, and is judged by that.

mod again;
mod step;

use crate::evidence::exit::Exit;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub use again::judge_steps;
pub(in crate::rehearsal) use step::misbehave;

use super::drills::{DrillOptions, on_stage};
use super::{Options, Run, conclude, fill, record, start_rig};
use crate::act::ActContext;
use crate::drill::{self, Target};
use crate::error::{Error, Result};
use crate::evidence::drill::Drill;
use crate::evidence::limits::{LimitId, OtherLimit, Phase};
use crate::evidence::rollout::RolloutEvidence;
use crate::evidence::run_record::{ActKind, ActName, ActState, RunRecord};
use crate::evidence::verdict::Decision;
use crate::evidence::watch::Sample;
use crate::http::without_secrets;
use crate::rig::Stack;
use crate::routing::{Percentage, ShareWatchdog, sample};
use crate::run_folder::RunFolder;
use crate::{gate, pg};

/// Percentages of the handbook's schedule.
pub const SCHEDULE: [f64; 6] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0];

/// Orgs that are asked for to see how reads are routed; at 1 % some twenty of them have moved.
const SAMPLE: usize = 2000;
/// How long a change may take to reach every request: the handbook's ten minutes, compressed.
const PROPAGATION: Duration = Duration::from_secs(20);

/// A rollout, and what is planted on its way.
#[derive(Debug, Clone)]
pub struct RolloutOptions {
    /// What each step drives and compares.
    pub rehearsal: Options,
    /// Faults of the reference platform, each from a percentage on.
    pub plant: Vec<(f64, String)>,
    /// Drills after the last increment.
    pub drills: Vec<drill::Name>,
}

/// A rollout under way.
struct Rollout<'a> {
    options: &'a RolloutOptions,
    folder: &'a RunFolder,
    context: ActContext,
    target: Target,
    flag: Percentage,
    /// Sets the share that held last, if we are killed.
    watchdog: Option<ShareWatchdog>,
    on_rig: bool,
    /// The orgs whose routing is watched.
    orgs: Vec<String>,
    /// Those that the largest percentage until now has let in.
    inside: BTreeSet<String>,
    /// What was seen of the routing, over all increments.
    samples: Vec<Sample>,
    evidence: RolloutEvidence,
    /// What broke within the step under way.
    broken: Option<Error>,
}

/// Goes through the schedule as far as the verdicts let it; the record is whole after each step.
///
/// # Errors
/// If a component was missing or broke and nothing worse was measured; the report is written all
/// the same.
pub async fn rollout(
    options: &RolloutOptions,
    folder: &RunFolder,
    context: &ActContext,
) -> Result<RunRecord> {
    let began = Instant::now();
    let record = begin(options, folder);
    let mut run = Run { options: &options.rehearsal, folder, context, record, broken: None };
    folder.write_record(&run.record)?;
    let mut stack = None;
    travel(options, &mut run, &mut stack, began).await;
    if let Some(stack) = stack {
        context.note("stopping the rig");
        if let Err(error) = stack.stop().await {
            run.broken.get_or_insert(error);
        }
    }
    run.record.duration_s = began.elapsed().as_secs_f64();
    conclude(folder, &mut run.record)?;
    match run.broken {
        Some(error) if run.record.verdict.exit_code == Exit::INCONCLUSIVE => Err(error),
        _ => Ok(run.record),
    }
}

/// The record before its first act.
fn begin(options: &RolloutOptions, folder: &RunFolder) -> RunRecord {
    let rehearsal = &options.rehearsal;
    let scenario = Some(rehearsal.scenario.as_ref());
    let mut record = record::begin(folder, &rehearsal.config, scenario, rehearsal.rng_seed);
    record.phase = Phase::Increment;
    record.limits = compressed(&record.limits);
    record.rollout = Some(RolloutEvidence {
        orgs: rehearsal.orgs,
        schedule: SCHEDULE.to_vec(),
        ..RolloutEvidence::default()
    });
    record
}

/// The limits of a rehearsal in compressed time: whoever has not said otherwise waits for no hours.
fn compressed(limits: &[OtherLimit]) -> Vec<OtherLimit> {
    let mut limits = limits.to_vec();
    let of_ours = |limit: &OtherLimit| {
        limit.criterion == LimitId::Watched
            && limit.phase.is_none_or(|phase| phase == Phase::Increment)
    };
    if !limits.iter().any(of_ours) {
        limits.push(OtherLimit {
            criterion: LimitId::Watched,
            limit: 0.0,
            reason: "a rehearsal in compressed time drives each increment for minutes; before a \
                     real one, watch for 24 hours (cutover watch --for 24h)"
                .into(),
            phase: Some(Phase::Increment),
        });
    }
    limits
}

/// Rig, data, every increment, drills; `None` if it ended before the first increment.
async fn travel(
    options: &RolloutOptions,
    run: &mut Run<'_>,
    stack: &mut Option<Stack>,
    began: Instant,
) -> Option<()> {
    let (rehearsal, context, folder) = (&options.rehearsal, run.context, run.folder);
    let (database_url, base_url) = match rehearsal.target.clone() {
        Some(target) => target,
        None => {
            let (started, target) = run.act(ActKind::Rig, start_rig(rehearsal, context)).await?;
            *stack = Some(started);
            target
        }
    };
    run.record.target.database = Some(pg::describe(&database_url));
    run.record.target.base_url = Some(without_secrets(&base_url));
    let on_rig = run.act(ActKind::Connect, first_look(options, &database_url)).await?;
    run.record.target.rig = on_rig;
    run.record.target.postgres_version =
        Some(run.act(ActKind::Version, pg::server_version(&database_url)).await?);
    if let Some(profile) = &rehearsal.seed_profile {
        let seed = fill(rehearsal, profile, folder, &database_url, context);
        run.record.manifest = Some(run.act(ActKind::Seed, seed).await?);
    }
    record::note_triggers(&mut run.record, &rehearsal.config, &database_url).await;
    let replica_url = stack.as_ref().and_then(|stack| stack.urls().replica_url.clone());
    let config = rehearsal.config.clone();
    // A rig's platform ends with us.
    let watchdog = stack.is_none().then(|| rehearsal.executable.clone());
    let target = Target { database_url, base_url, replica_url, config, watchdog };
    let (flag, watchdog) = run.act(ActKind::FlagOff, flag_off(options, &target)).await?;
    let mut rollout = Rollout {
        options,
        folder,
        context: context.clone(),
        target,
        flag,
        watchdog,
        on_rig,
        orgs: sample(rehearsal.orgs, SAMPLE, rehearsal.rng_seed),
        inside: BTreeSet::new(),
        samples: Vec::new(),
        evidence: run.record.rollout.clone().unwrap_or_default(),
        broken: None,
    };
    let arrived = rollout.increments(run, stack.as_mut(), began).await;
    if arrived {
        run.record.drills = rollout.drills(run, stack.as_mut()).await.unwrap_or_default();
    }
    // If nobody has seen where the flag stands, the watchdog tries on after us.
    if let Some(watchdog) =
        rollout.watchdog.take().filter(|_| rollout.evidence.flag_left_at.is_some())
    {
        watchdog.release();
    }
    if let Err(error) = rollout.save(run, began) {
        run.broken.get_or_insert(error);
    }
    Some(())
}

/// Whether it is a rig; refuses what is for rigs alone.
async fn first_look(options: &RolloutOptions, database_url: &str) -> Result<bool> {
    let on_rig = drill::is_rig(database_url).await?;
    if !on_rig && !options.plant.is_empty() {
        let what = "--plant: only a rig's platform can be told to go wrong";
        return Err(Error::usage(what, "leave out --database-url and --base-url"));
    }
    Ok(on_rig)
}

async fn flag_off(
    options: &RolloutOptions,
    target: &Target,
) -> Result<(Percentage, Option<ShareWatchdog>)> {
    let flag = Percentage::new(&options.rehearsal.config, &target.base_url)?;
    let watchdog = match target.watchdog.as_deref() {
        Some(program) => Some(ShareWatchdog::start(program, &flag, Vec::new()).await?),
        None => None,
    };
    flag.set(0.0).await?;
    Ok((flag, watchdog))
}

impl Rollout<'_> {
    /// Every increment in turn; whether all of them are behind us.
    async fn increments(
        &mut self,
        run: &mut Run<'_>,
        mut stack: Option<&mut Stack>,
        rollout_began: Instant,
    ) -> bool {
        let mut reached = 0.0;
        for (number, percent) in SCHEDULE.into_iter().enumerate() {
            let began = Instant::now();
            let mut step = self.step(number, percent).await;
            if let Some(stack) = stack.as_deref_mut() {
                self.revive(stack, &mut step).await;
            }
            let (state, note) = match &self.broken {
                None => (ActState::Done, String::new()),
                Some(Error::Interrupted) => (ActState::Interrupted, "a signal ended it".to_owned()),
                Some(error) => (ActState::Failed, error.to_string()),
            };
            // Written down before anything is done about it: whoever kills us meanwhile has the finding.
            self.evidence.flag_left_at = None;
            self.evidence.steps.push(step);
            let noted = self.save(run, rollout_began);
            let left = self.act_on_it(reached).await;
            if let Some(error) = self.broken.take() {
                run.broken.get_or_insert(error);
            }
            run.push_act(ActName::Increment(percent), state, began.elapsed(), &note);
            if let Err(error) = noted.and_then(|()| self.save(run, rollout_began)) {
                run.broken.get_or_insert(error);
                return false;
            }
            if left != percent {
                return false;
            }
            reached = percent;
        }
        true
    }

    /// Does what the last step's verdict asks for and proves it; returns the percentage that holds then.
    async fn act_on_it(&mut self, before: f64) -> f64 {
        let Some(mut step) = self.evidence.steps.pop() else { return before };
        let percent = match step.decision {
            Decision::Go => step.percent,
            // Back to where it was proven to be well.
            Decision::Inconclusive | Decision::Invalid => before,
            Decision::NoGo => 0.0,
        };
        let proven = percent == step.percent || self.roll_back(percent).await;
        let asked = step.action.label();
        step.done = match (step.decision, proven) {
            (Decision::Go, _) => "went on".to_owned(),
            (_, true) => format!("{asked}: flag back at {percent} %, proven"),
            (_, false) => format!("{asked}: flag set to {percent} %, NOT proven: do it by hand"),
        };
        self.evidence.flag_left_at = proven.then_some(percent);
        self.evidence.steps.push(step);
        percent
    }

    /// Rehearses the drills on the same stage; `None` if one of them could not be.
    async fn drills(&mut self, run: &mut Run<'_>, stack: Option<&mut Stack>) -> Option<Vec<Drill>> {
        if self.options.drills.is_empty() {
            return None;
        }
        let rehearsal = &self.options.rehearsal;
        let options = DrillOptions {
            names: self.options.drills.clone(),
            config: rehearsal.config.clone(),
            target: None,
            orgs: rehearsal.orgs,
            rng_seed: rehearsal.rng_seed,
            as_of: rehearsal.as_of,
            executable: rehearsal.executable.clone(),
        };
        // Our own watchdog has the flag.
        let target = Target { watchdog: None, ..self.target.clone() };
        let all = on_stage(&options, stack, &target, self.folder, &self.context);
        let drills = run.act(ActKind::Drills, all).await;
        let passed = |drills: &Vec<Drill>| drills.iter().all(Drill::passed);
        if drills.as_ref().is_some_and(passed) {
            // The rollout is done.
            if let Err(error) = self.flag.set(100.0).await {
                run.broken.get_or_insert(error);
            }
        }
        self.evidence.flag_left_at = self.flag_now().await;
        drills
    }

    /// 0 or 100, if every answer says so; whatever a signal has asked for in between.
    async fn flag_now(&self) -> Option<f64> {
        let share = self.ask_all().await.ok().filter(|survey| survey.silent.is_empty())?.share()?;
        (share == 0.0 || share == 1.0).then_some(share * 100.0)
    }

    /// Puts what is known into the record, and the record and what was seen into the folder.
    fn save(&self, run: &mut Run<'_>, began: Instant) -> Result<()> {
        run.record.increment_percent = self.evidence.steps.last().map(|step| step.percent);
        run.record.rollout = Some(self.evidence.clone());
        run.record.duration_s = began.elapsed().as_secs_f64();
        if !self.samples.is_empty() {
            run.record.watch = Some(gate::watched(&self.samples, None));
            self.folder.write_samples(&self.samples)?;
        }
        self.folder.write_record(&run.record)
    }
}
