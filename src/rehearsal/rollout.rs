//! The handbook's schedule in compressed time: set the percentage, prove it, drive, compare, judge;
//! go on, hold, or roll back by the verdict.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hyper::Method;
use url::Url;

use super::drills::{DrillOptions, on_stage};
use super::{Options, fill, run, start_rig};
use crate::act::ActContext;
use crate::drill::{self, Target};
use crate::error::{Context, Error, Result};
use crate::evidence::drill::Drill;
use crate::evidence::rollout::{RolloutEvidence, RolloutStep, Routing};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Action, Decision};
use crate::http::{Site, TrustedRoots};
use crate::report;
use crate::rig::Stack;
use crate::routing::{Percentage, Survey, sample, survey};
use crate::run_folder::RunFolder;

/// Percentages of the handbook's schedule.
pub const SCHEDULE: [f64; 6] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0];

/// Orgs that are asked for to see how reads are routed; at 1 % some twenty of them have moved.
const SAMPLE: usize = 2000;
/// What is asked of each.
const READ: &str = "/finance/revenue?orgId={{org}}&limit=5";
/// How long a change may take to reach every request: the handbook's ten minutes, compressed.
const PROPAGATION: Duration = Duration::from_secs(20);
/// How often a step is driven before what is left open holds it.
const ATTEMPTS: u32 = 3;

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

/// A journey under way.
struct Journey<'a> {
    options: &'a RolloutOptions,
    folder: &'a RunFolder,
    context: ActContext,
    target: Target,
    flag: Percentage,
    /// The orgs whose routing is watched.
    orgs: Vec<String>,
    /// Those that the largest percentage until now has let in.
    inside: BTreeSet<String>,
    evidence: RolloutEvidence,
}

/// Goes through the schedule as far as the verdicts let it; writes `rollout.json` and `report.html`
/// after each step.
///
/// # Errors
/// Where the rig, the seed or the first look at the platform fails. From the first increment on,
/// what breaks is a verdict.
pub async fn rollout(
    options: &RolloutOptions,
    folder: &RunFolder,
    context: &ActContext,
) -> Result<RolloutEvidence> {
    let (mut stack, database_url, base_url) = match options.rehearsal.target.clone() {
        Some((database_url, base_url)) => (None, database_url, base_url),
        None => {
            let (stack, (database_url, base_url)) = start_rig(&options.rehearsal, context).await?;
            (Some(stack), database_url, base_url)
        }
    };
    let outcome = journey(options, &mut stack, (database_url, base_url), folder, context).await;
    let stopped = match stack {
        Some(stack) => {
            context.note("stopping the rig");
            stack.stop().await
        }
        None => Ok(()),
    };
    outcome.and_then(|evidence| stopped.map(|()| evidence))
}

async fn journey(
    options: &RolloutOptions,
    stack: &mut Option<Stack>,
    (database_url, base_url): (String, Url),
    folder: &RunFolder,
    context: &ActContext,
) -> Result<RolloutEvidence> {
    let began = Instant::now();
    let rehearsal = &options.rehearsal;
    let on_rig = drill::is_rig(&database_url).await?;
    if !on_rig && !options.plant.is_empty() {
        let what = "--plant: only a rig's platform can be told to go wrong";
        return Err(Error::usage(what, "leave out --database-url and --base-url"));
    }
    if let Some(profile) = &rehearsal.seed_profile {
        fill(rehearsal, profile, folder, &database_url, context).await?;
    }
    let flag = Percentage::new(&rehearsal.config, &base_url)?;
    let replica_url = stack.as_ref().and_then(|stack| stack.urls().replica_url.clone());
    let config = rehearsal.config.clone();
    let mut journey = Journey {
        options,
        folder,
        context: context.clone(),
        flag,
        orgs: sample(rehearsal.orgs, SAMPLE, rehearsal.rng_seed),
        inside: BTreeSet::new(),
        target: Target { database_url, base_url, replica_url, config },
        evidence: begin(options, folder),
    };
    journey.flag.set(0.0).await?;
    let mut reached = 0.0;
    for (number, percent) in SCHEDULE.into_iter().enumerate() {
        let step = journey.step(number, percent, on_rig).await;
        let left = journey.after(step, reached).await;
        journey.evidence.duration_s = began.elapsed().as_secs_f64();
        journey.save()?;
        if left != percent {
            return Ok(journey.evidence);
        }
        reached = percent;
    }
    journey.drills(stack.as_mut()).await?;
    journey.evidence.duration_s = began.elapsed().as_secs_f64();
    journey.save()?;
    Ok(journey.evidence)
}

fn begin(options: &RolloutOptions, folder: &RunFolder) -> RolloutEvidence {
    let rehearsal = &options.rehearsal;
    let scenario = Some(rehearsal.scenario.as_ref());
    let record = super::record::begin(folder, &rehearsal.config, scenario, rehearsal.rng_seed);
    RolloutEvidence {
        run_id: record.run_id,
        started_at: record.started_at,
        command: record.command,
        orgs: rehearsal.orgs,
        exit_code: 30,
        reasons: vec!["the rollout has not come to its end".into()],
        ..RolloutEvidence::default()
    }
}

impl Journey<'_> {
    /// One increment: its own run in a folder of its own.
    async fn step(&mut self, number: usize, percent: f64, on_rig: bool) -> RolloutStep {
        let began = Instant::now();
        self.context.note(format!("increment {percent} %"));
        let mut step = RolloutStep { percent, exit_code: 30, ..RolloutStep::default() };
        if let Err(error) = self.increment(number, percent, on_rig, &mut step).await {
            let interrupted = matches!(error, Error::Interrupted);
            // Nobody knows what it would have shown: hold. The flag is put back all the same.
            step.decision = if interrupted { Decision::Invalid } else { Decision::Inconclusive };
            step.exit_code = if interrupted { 30 } else { 1 };
            step.action = Action::Hold;
            step.reasons.insert(0, error.to_string());
        }
        step.duration_s = began.elapsed().as_secs_f64();
        step
    }

    async fn increment(
        &mut self,
        number: usize,
        percent: f64,
        on_rig: bool,
        step: &mut RolloutStep,
    ) -> Result<()> {
        self.context.check_stop()?;
        self.flag.set(percent).await?;
        step.routing = self.prove(percent).await?;
        if !step.routing.proven {
            step.decision = Decision::NoGo;
            (step.action, step.exit_code) = (Action::StandardRollback, 10);
            step.reasons = vec![format!("reads are not routed as {percent} % asks for")];
            return Ok(());
        }
        step.planted = self.plant(percent).await?;
        while step.attempts < ATTEMPTS {
            step.attempts += 1;
            let again =
                if step.attempts > 1 { format!("-{}", step.attempts) } else { String::new() };
            step.folder = format!("step-{percent}{again}");
            let options = self.step_options(number, percent, on_rig, step.attempts);
            let own = RunFolder::create(Some(&self.folder.path().join(&step.folder)))?;
            let record = run(&options, &own, &self.context).await?;
            take(step, &record);
            if step.decision != Decision::Inconclusive {
                break;
            }
            self.context.note(format!("{percent} %: left open, driven again"));
        }
        Ok(())
    }

    /// The same rehearsal on what stands there already; longer where it was left open before.
    fn step_options(&self, number: usize, percent: f64, rig: bool, attempt: u32) -> Options {
        let rehearsal = &self.options.rehearsal;
        let mut options = rehearsal.clone();
        options.target = Some((self.target.database_url.clone(), self.target.base_url.clone()));
        options.seed_profile = None;
        options.on_rig = rig;
        options.increment_percent = Some(percent);
        options.load.pairs *= attempt;
        if number == 0 {
            // A cache that has just been started is not the platform's: one second per 1,000 orgs.
            options.load.warm_up += Duration::from_millis(rehearsal.orgs.min(180_000));
        }
        // Other orgs and other keys at each step.
        let salt = number as u64 * u64::from(ATTEMPTS) + u64::from(attempt);
        options.rng_seed = rehearsal.rng_seed.wrapping_add(salt);
        options
    }

    /// Waits until reads are routed as the percentage asks for, then looks whether they stay.
    async fn prove(&mut self, percent: f64) -> Result<Routing> {
        let end = Instant::now() + PROPAGATION;
        let tolerance = Survey::tolerance(self.orgs.len(), percent);
        loop {
            let (one, other) = (self.survey().await?, self.survey().await?);
            let wavering = one.partitioned.symmetric_difference(&other.partitioned).count();
            let dropped = self.inside.difference(&other.partitioned).count();
            let silent = one.silent.len().max(other.silent.len());
            let share = other.share();
            // Of a small sample chance allows nobody; that proves nothing.
            let near = share.is_some_and(|share| {
                (share - percent / 100.0).abs() <= tolerance && (share > 0.0) == (percent > 0.0)
            });
            let proven = near && wavering == 0 && dropped == 0 && silent == 0;
            if proven {
                self.inside = other.partitioned;
            }
            if proven || Instant::now() >= end {
                return Ok(Routing {
                    orgs: self.orgs.len() as u64,
                    silent: silent as u64,
                    share,
                    tolerance,
                    wavering: wavering as u64,
                    dropped: dropped as u64,
                    proven,
                });
            }
            self.context.check_stop()?;
        }
    }

    async fn survey(&self) -> Result<Survey> {
        survey(&self.target.config, &self.target.base_url, READ, &self.orgs).await
    }

    /// Tells the platform to go wrong from here on, where that is asked for.
    async fn plant(&self, percent: f64) -> Result<Option<String>> {
        let here = self.options.plant.iter().filter(|(from, _)| *from == percent);
        let faults: Vec<&str> = here.map(|(_, fault)| fault.as_str()).collect();
        if faults.is_empty() {
            return Ok(None);
        }
        let roots = TrustedRoots::with_file(self.target.config.tls.ca_file.as_deref())?;
        let mut site = Site::new(&self.target.base_url, &roots, PROPAGATION)?;
        let body = serde_json::json!({ "misbehave": faults }).to_string();
        let answer = site.send(Method::PUT, "/admin/misbehave", body, &[]).await;
        match answer.map_err(|failure| failure.name().to_owned()) {
            Ok(answer) if answer.status == 200 => Ok(Some(faults.join(", "))),
            Ok(answer) => {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                Err(Error::run(format!("--plant: status {}", answer.status), said))
            }
            Err(why) => Err(Error::run(format!("--plant: {why}"), "")),
        }
    }

    /// Does what the verdict asks for and proves it; returns the percentage that holds then.
    async fn after(&mut self, mut step: RolloutStep, before: f64) -> f64 {
        let percent = match step.decision {
            Decision::Go => step.percent,
            // Back to where it was proven to be well.
            Decision::Inconclusive | Decision::Invalid => before,
            Decision::NoGo => 0.0,
        };
        let proven = percent == step.percent || self.roll_back(percent).await;
        step.done = match (step.decision, proven) {
            (Decision::Go, _) => "went on".to_owned(),
            (_, true) => format!("{}: flag back at {percent} %, proven", step.action.label()),
            (_, false) => {
                format!(
                    "{}: flag set to {percent} %, NOT proven: do it by hand",
                    step.action.label()
                )
            }
        };
        let all = step.percent == 100.0 && step.decision == Decision::Go;
        let evidence = &mut self.evidence;
        evidence.decision = step.decision;
        (evidence.action, evidence.exit_code) = (step.action, step.exit_code);
        evidence.flag_left_at = proven.then_some(percent);
        evidence.reasons = match step.decision {
            Decision::Go if all => vec!["every increment of the schedule is GO".into()],
            Decision::Go => vec!["the rollout has not come to its end".into()],
            _ => {
                let at = format!("stopped at {} %: {}", step.percent, step.done);
                std::iter::once(at).chain(step.reasons.clone()).collect()
            }
        };
        if step.decision == Decision::Go && !all {
            // What a run that is killed leaves behind must not read as a GO.
            (evidence.decision, evidence.exit_code) = (Decision::Invalid, 30);
        }
        evidence.steps.push(step);
        percent
    }

    /// Sets a smaller percentage and proves it; whatever a signal has asked for in between.
    async fn roll_back(&mut self, percent: f64) -> bool {
        if self.flag.set(percent).await.is_err() {
            return false;
        }
        self.inside.clear();
        let context = std::mem::replace(&mut self.context, ActContext::silent());
        let proven = self.prove(percent).await;
        self.context = context;
        proven.is_ok_and(|routing| routing.proven)
    }

    /// Rehearses the drills on the same stage; what fails there takes the GO away.
    async fn drills(&mut self, stack: Option<&mut Stack>) -> Result<()> {
        if self.options.drills.is_empty() {
            return Ok(());
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
        let drills = on_stage(&options, stack, &self.target, self.folder, &self.context).await?;
        let missed: Vec<&Drill> = drills.iter().filter(|drill| !drill.passed()).collect();
        if !missed.is_empty() {
            let names = missed.iter().map(|drill| format!("drill {}: {}", drill.name, drill.note));
            self.evidence.reasons = names.collect();
            let broke = missed.iter().any(|drill| drill.measured_s.is_none());
            (self.evidence.decision, self.evidence.exit_code) =
                if broke { (Decision::Inconclusive, 20) } else { (Decision::NoGo, 10) };
            self.evidence.action = Action::Hold;
        } else {
            self.evidence.reasons.push(format!("{} drills proven in their time", drills.len()));
            // A drill leaves the flag off; the rollout is done.
            self.flag.set(100.0).await?;
        }
        self.evidence.flag_left_at = self.flag_now().await;
        self.evidence.drills = drills;
        Ok(())
    }

    /// 0 or 100, where every answer says so.
    async fn flag_now(&self) -> Option<f64> {
        let share = self.survey().await.ok().filter(|survey| survey.silent.is_empty())?.share()?;
        (share == 0.0 || share == 1.0).then_some(share * 100.0)
    }

    fn save(&self) -> Result<()> {
        let folder = self.folder;
        let json = serde_json::to_vec_pretty(&self.evidence).or_run("rollout.json", "")?;
        folder.write("rollout.json", &json)?;
        folder.write("report.html", report::rollout::render(&self.evidence).as_bytes())
    }
}

/// What a step's run came to.
fn take(step: &mut RolloutStep, record: &RunRecord) {
    step.decision = record.verdict.decision;
    step.action = record.verdict.action;
    step.exit_code = record.verdict.exit_code;
    step.reasons = record.verdict.reasons.clone();
    let drive = record.drive.as_ref();
    step.requests += drive.map_or(0, |drive| drive.requests);
    step.p95_ratio = drive.and_then(|d| d.comparison.as_ref()).map(|c| c.p95_ratio);
    let diff = record.diff.as_ref();
    step.orgs_checked = diff.map_or(0, |diff| diff.orgs_checked);
    step.orgs_diverged = diff.map_or(0, |diff| diff.orgs_diverged);
}
