//! One increment: set, prove, plant, drive and compare, look again.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::SecondsFormat;
use hyper::Method;
use url::Url;

use super::super::{Increment, Options, run};
use super::{PROPAGATION, Rollout, compressed};
use crate::act::ActContext;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::evidence::exit::Exit;
use crate::evidence::rollout::{RolloutStep, Routing};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Action, Decision};
use crate::evidence::watch::Sample;
use crate::gate;
use crate::http::{Site, TrustedRoots};
use crate::routing::{Survey, survey};
use crate::run_folder::{RunFolder, read_record};

/// What each org is asked for to see where its reads go.
const READ: &str = "/finance/revenue?orgId={{org}}&limit=5";
/// How long after a request that was not taken the next one is sent.
const BEFORE_ANOTHER_TRY: Duration = Duration::from_secs(1);

impl Rollout<'_> {
    /// One increment: its own run in a folder of its own.
    pub(super) async fn step(&mut self, number: usize, percent: f64) -> RolloutStep {
        let began = Instant::now();
        self.context.note(format!("increment {percent} %"));
        let mut step = RolloutStep { percent, exit_code: Exit::INVALID, ..RolloutStep::default() };
        if let Err(error) = self.increment(number, percent, &mut step).await {
            let interrupted = matches!(error, Error::Interrupted);
            if step.decision != Decision::NoGo {
                // Nobody knows what it would have shown: hold. The flag is put back all the same.
                step.decision =
                    if interrupted { Decision::Invalid } else { Decision::Inconclusive };
                step.exit_code = if interrupted { Exit::INVALID } else { Exit::INCONCLUSIVE };
                step.action = Action::Hold;
            }
            step.reasons.insert(0, error.to_string());
            self.broken = Some(error);
        }
        step.duration_s = began.elapsed().as_secs_f64();
        step
    }

    async fn increment(
        &mut self,
        number: usize,
        percent: f64,
        step: &mut RolloutStep,
    ) -> Result<()> {
        self.context.check_stop()?;
        self.flag.set(percent).await?;
        let seen_before = self.samples.len();
        step.routing = self.prove(percent).await?;
        if !step.routing.proven {
            refuse(step, format!("reads are not routed as {percent} % asks for"));
            return Ok(());
        }
        step.planted = self.plant(percent).await?;
        while step.attempts < gate::MAX_ATTEMPTS {
            step.attempts += 1;
            step.folder = folder_of(percent, step.attempts);
            let mut options = self.step_options(number, step.attempts);
            let samples = self.samples[seen_before..].to_vec();
            options.increment = Some(Increment { percent, samples });
            let own = RunFolder::create(Some(&self.folder.path().join(&step.folder)))?;
            let (record, broke) = match run(&options, &own, &self.context).await {
                Ok(record) => (record, None),
                Err(error) => (read_record(own.path())?, Some(error)),
            };
            take(step, &record);
            if let Some(error) = broke {
                return Err(error);
            }
            // A machine that was busy with something else for a while may be quiet now.
            let open = matches!(step.decision, Decision::Inconclusive | Decision::Invalid);
            // One whose writes nobody has looked up stays open: the next would be taken for all.
            if !open || !is_accounted_for(own.path()) || self.context.stop.is_cancelled() {
                break;
            }
            self.context.note(format!("{percent} %: left open, driven again"));
        }
        if step.decision == Decision::Go {
            self.look_again(percent, step).await?;
        }
        Ok(())
    }

    /// The same rehearsal on what stands there already; longer if it was left open before.
    fn step_options(&self, number: usize, attempt: u32) -> Options {
        let rehearsal = &self.options.rehearsal;
        let mut options = rehearsal.clone();
        options.target = Some((self.target.database_url.clone(), self.target.base_url.clone()));
        options.seed_profile = None;
        options.on_rig = self.on_rig;
        options.config.limits = compressed(&rehearsal.config.limits);
        (options.load.pairs, options.load.attempt) = (options.load.pairs * attempt, attempt);
        if number == 0 {
            // A cache that has just been started is not the platform's: one second per 1,000 orgs.
            options.load.warm_up += Duration::from_millis(rehearsal.orgs.min(180_000));
        }
        // Other orgs and other keys at each step.
        let salt = number as u64 * u64::from(gate::MAX_ATTEMPTS) + u64::from(attempt);
        options.rng_seed = rehearsal.rng_seed.wrapping_add(salt);
        options
    }

    /// Waits until reads are routed as the percentage asks for, then looks whether they stay.
    pub(super) async fn prove(&mut self, percent: f64) -> Result<Routing> {
        let tolerance = Survey::tolerance(self.orgs.len(), percent);
        let mut end = None;
        loop {
            let (one, other) = (self.survey().await?, self.survey().await?);
            // A survey of a distant platform takes longer than a flag does to spread.
            let end = *end.get_or_insert_with(|| Instant::now() + PROPAGATION);
            let wavering = one.partitioned.symmetric_difference(&other.partitioned).count();
            let dropped = self.inside.difference(&other.partitioned).count();
            let silent = one.silent.len().max(other.silent.len());
            let share = other.share();
            // Of a small sample chance allows nobody; that proves nothing.
            let near = share.is_some_and(|share| {
                (share - percent / 100.0).abs() <= tolerance && (share > 0.0) == (percent > 0.0)
            });
            let proven = near && wavering == 0 && dropped == 0 && silent == 0;
            if !proven && Instant::now() < end {
                continue;
            }
            self.note_sample(percent, &one);
            self.note_sample(percent, &other);
            if proven {
                self.inside = other.partitioned;
            }
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
    }

    /// After a load that went well: is every org still where it was?
    async fn look_again(&mut self, percent: f64, step: &mut RolloutStep) -> Result<()> {
        let last = self.survey().await?;
        self.note_sample(percent, &last);
        let wavering = self.inside.symmetric_difference(&last.partitioned).count();
        let silent = last.silent.len();
        step.routing.silent += silent as u64;
        step.routing.wavering += wavering as u64;
        if wavering + silent > 0 {
            step.routing.proven = false;
            let why = format!(
                "after the load {wavering} orgs were on another side than before, {silent} silent"
            );
            refuse(step, why);
        }
        Ok(())
    }

    /// Asks for every org, unless somebody ends us meanwhile.
    async fn survey(&self) -> Result<Survey> {
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => Err(Error::Interrupted),
            asked = self.ask_all() => asked,
        }
    }

    /// Asks for every org, and once more for those without an answer: one that was lost on its way says
    /// nothing of the routing.
    pub(super) async fn ask_all(&self) -> Result<Survey> {
        let (config, base_url) = (&self.target.config, &self.target.base_url);
        let mut asked = survey(config, base_url, READ, &self.orgs).await?;
        let silent: Vec<String> = asked.silent.keys().cloned().collect();
        if !silent.is_empty() {
            let again = survey(config, base_url, READ, &silent).await?;
            asked.partitioned.extend(again.partitioned);
            asked.legacy.extend(again.legacy);
            asked.silent = again.silent;
        }
        Ok(asked)
    }

    /// What the gate reads of a survey.
    fn note_sample(&mut self, percent: f64, survey: &Survey) {
        let (partitioned, legacy) = (survey.partitioned.len(), survey.legacy.len());
        let silent = survey.silent.len();
        self.samples.push(Sample {
            at: chrono::Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            error: (silent > 0).then(|| format!("{silent} orgs without an answer")),
            percentage: Some(percent),
            routed_requests: Some((partitioned + legacy) as u64),
            routed_partitioned: Some(partitioned as u64),
            ..Sample::default()
        });
    }

    /// Tells the platform to go wrong from here on, if that is asked for.
    async fn plant(&self, percent: f64) -> Result<Option<String>> {
        let here = self.options.plant.iter().filter(|(from, _)| *from == percent);
        let faults: Vec<&str> = here.map(|(_, fault)| fault.as_str()).collect();
        if faults.is_empty() {
            return Ok(None);
        }
        misbehave(&self.target.base_url, &self.target.config, &faults).await?;
        Ok(Some(faults.join(", ")))
    }

    /// Sets a smaller percentage and proves it; whatever a signal has asked for in between.
    pub(super) async fn roll_back(&mut self, percent: f64) -> bool {
        // A platform that is in trouble may not take the first request.
        let end = Instant::now() + PROPAGATION;
        while let Err(error) = self.flag.set(percent).await {
            if Instant::now() >= end {
                self.context.note(format!("the share is not set to {percent} %: {error}"));
                return false;
            }
            tokio::time::sleep(BEFORE_ANOTHER_TRY).await;
        }
        self.inside.clear();
        let context = std::mem::replace(&mut self.context, ActContext::silent());
        let proven = self.prove(percent).await;
        self.context = context;
        proven.is_ok_and(|routing| routing.proven)
    }
}

/// Tells a reference platform to go wrong in these ways and in no other.
pub(in crate::rehearsal) async fn misbehave(
    base_url: &Url,
    config: &Config,
    faults: &[&str],
) -> Result<()> {
    let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
    let mut site = Site::new(base_url, &roots, PROPAGATION)?;
    let body = serde_json::json!({ "misbehave": faults }).to_string();
    let answer = site.send(Method::PUT, "/admin/misbehave", body, &[]).await;
    match answer.map_err(|failure| failure.name().to_owned()) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            Err(Error::run(format!("planting a fault: status {}", answer.status), said))
        }
        Err(why) => Err(Error::run(format!("planting a fault: {why}"), "")),
    }
}

/// Reads that are not if the flag says are a reason to roll back.
fn refuse(step: &mut RolloutStep, why: String) {
    step.decision = Decision::NoGo;
    (step.action, step.exit_code) = (Action::StandardRollback, Exit::NO_GO_PERFORMANCE);
    step.reasons = vec![why];
}

/// What a step's run came to.
pub(super) fn take(step: &mut RolloutStep, record: &RunRecord) {
    step.decision = record.verdict.decision;
    step.action = record.verdict.action;
    step.exit_code = record.verdict.exit_code;
    step.reasons = record.verdict.reasons.clone();
    step.untested = gate::untested(record);
    let drive = record.drive.as_ref();
    step.requests = drive.map_or(0, |drive| drive.requests);
    step.p95_ratio = drive.and_then(|d| d.comparison.as_ref()).map(|c| c.p95_ratio);
    let diff = record.diff.as_ref();
    step.orgs_checked = diff.map_or(0, |diff| diff.orgs_checked);
    step.orgs_diverged = diff.map_or(0, |diff| diff.orgs_diverged);
}

/// What a load wrote.
pub(super) const LEDGER: &str = "ledger.jsonl";

/// Whether the step's own run came to hold its writes against the tables, or wrote nothing.
pub(super) fn is_accounted_for(folder: &Path) -> bool {
    if !folder.join(LEDGER).exists() {
        return true;
    }
    let drive = read_record(folder).ok().and_then(|record| record.drive);
    drive.and_then(|drive| drive.ledger).is_some_and(|ledger| ledger.complete)
}

/// The folder of an increment's load, below the rollout's own.
pub(super) fn folder_of(percent: f64, attempt: u32) -> String {
    match attempt {
        1 => format!("step-{percent}"),
        later => format!("step-{percent}-{later}"),
    }
}
