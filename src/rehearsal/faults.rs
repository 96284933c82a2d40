//! The harness's own scorecard: every fault of the catalogue, planted on a rig while a load runs.
//!
//! For each the rig's database, cache and platform are made afresh; a load is driven and the fault
//! planted in the middle of it; then both sides are compared and the gate judges. What has to come of
//! it stands in the case.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use url::Url;

use super::rollout::misbehave;
use super::{LoadShape, Options, Run, compare, conclude, load, record, reference};
use crate::act::ActContext;
use crate::config::Config;
use crate::drill::faults::{self, Case};
use crate::error::{Context, Error, Result};
use crate::evidence::class::FindingClass;
use crate::evidence::criterion::CriterionId;
use crate::evidence::fault::{PlantedFault, Sight};
use crate::evidence::finding::{DiffPhase, Finding};
use crate::evidence::limits::{LimitId, OtherLimit};
use crate::evidence::run_record::{ActKind, RunRecord};
use crate::evidence::verdict::{Kind, State};
use crate::rig::{self, Component, Stack};
use crate::run_folder::RunFolder;
use crate::scenario::{FINANCE, Scenario};

/// What the scorecard leaves in a run's folder.
const FILE: &str = "faults.json";
/// Orgs of the base of all cases.
const ORGS: u64 = 4;
/// Weight of an operation that a case wants to be asked often; all others together have 101.
const OFTEN: f64 = 100.0;
/// How long a load runs before the fault comes.
const BEFORE: Duration = Duration::from_millis(1200);
/// Criteria that the comparison after the load decides; others are known when the load ends.
const OF_THE_COMPARISON: [CriterionId; 5] = [
    CriterionId::ContentIdentical,
    CriterionId::RowDelta,
    CriterionId::CatalogSound,
    CriterionId::SeededRowsPresent,
    CriterionId::PartitionPruning,
];

/// Criteria that speak of the machine the load came from, not of what was planted.
const OF_THE_MACHINE: [CriterionId; 2] = [CriterionId::SchedulingLag, CriterionId::GeneratorSound];

/// Which faults, and where.
#[derive(Debug, Clone)]
pub struct FaultOptions {
    /// Those whose names contain one of these; all if none is named.
    pub only: Vec<String>,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// This program, for the rig's processes.
    pub executable: PathBuf,
}

/// Plants one fault after the other and leaves `faults.json`, whole after each of them.
///
/// # Errors
/// A usage error if no fault is so named; a run error if the rig does not start. A fault that
/// could not be played is evidence and no error.
pub async fn plant_faults(
    options: &FaultOptions,
    folder: &RunFolder,
    context: &ActContext,
) -> Result<Vec<PlantedFault>> {
    let mut cases = faults::all()?;
    let wanted = |case: &Case| options.only.iter().any(|part| case.name.contains(part.as_str()));
    cases.retain(|case| options.only.is_empty() || wanted(case));
    if cases.is_empty() {
        let what = format!("there is no fault named like {}", options.only.join(", "));
        return Err(Error::usage(what, "the files of fixtures/faults are called like them"));
    }
    let mut stack = Stack::start(rig::Options::new(&options.executable), context).await?;
    let outcome = one_by_one(options, &cases, &mut stack, folder, context).await;
    context.note("stopping the rig");
    stack.stop().await.and(outcome)
}

async fn one_by_one(
    options: &FaultOptions,
    cases: &[Case],
    stack: &mut Stack,
    folder: &RunFolder,
    context: &ActContext,
) -> Result<Vec<PlantedFault>> {
    let base_url = stack.base_url().ok_or_else(|| Error::run("the rig has no platform", ""))?;
    let base_url = Url::parse(base_url).or_run("the rig's platform has no usable URL", "")?;
    let database_url = stack.database_url().to_owned();
    let base = faults::make_base(&database_url).await?;
    reference::migrate(&base, options.as_of).await?;
    faults::fill_base(&base).await?;
    let mut seen = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        context.check_stop()?;
        context.note(format!("fault {} of {}: {}", number + 1, cases.len(), case.fault));
        let mut fault = PlantedFault {
            name: case.name.clone(),
            fault: case.fault.clone(),
            planted: case.planted(),
            expected: case.under_load.seen_by.clone(),
            expected_action: case.under_load.action,
            ..PlantedFault::default()
        };
        let play = Play { options, case, folder, context, scenario: scenario_for(case)? };
        let target = (database_url.clone(), base_url.clone());
        if let Err(error) = play.play(stack, target, &mut fault).await {
            if matches!(error, Error::Interrupted) {
                return Err(error);
            }
            fault.broke = error.to_string();
        }
        seen.push(fault);
        let json = serde_json::to_vec_pretty(&seen).or_run(FILE, "")?;
        folder.write(FILE, &json)?;
    }
    Ok(seen)
}

/// The built-in scenario, with most of the load on what the case wants to be asked often.
fn scenario_for(case: &Case) -> Result<Arc<Scenario>> {
    let mut scenario = Scenario::parse("the built-in finance scenario", FINANCE)?;
    for name in &case.under_load.often {
        let operation = scenario.operations.iter_mut().find(|operation| operation.name == *name);
        let what = || Error::usage(format!("fault {}: no operation {name}", case.name), "");
        operation.ok_or_else(what)?.weight = OFTEN;
    }
    Ok(Arc::new(scenario))
}

/// One case being played.
struct Play<'a> {
    options: &'a FaultOptions,
    case: &'a Case,
    folder: &'a RunFolder,
    context: &'a ActContext,
    scenario: Arc<Scenario>,
}

impl Play<'_> {
    async fn play(
        &self,
        stack: &mut Stack,
        target: (String, Url),
        fault: &mut PlantedFault,
    ) -> Result<()> {
        self.afresh(stack, &target.0).await?;
        let options = self.options(target.clone());
        let own = RunFolder::create(Some(&self.folder.path().join(&self.case.name)))?;
        let scenario = Some(self.scenario.as_ref());
        let mut record = record::begin(&own, &options.config, scenario, options.rng_seed);
        record.target.rig = true;
        let silent = ActContext::new(|_| {}, self.context.stop.clone());
        let mut run =
            Run { options: &options, folder: &own, context: &silent, record, broken: None };
        let before = compare(&options, &own, &target.0, DiffPhase::Before, None, &silent);
        run.record.diff_before = run.act(ActKind::DiffBefore, before).await;
        let role = format!("reads_{}", self.case.name);
        let driven = async {
            let urls = (target.0.as_str(), &target.1);
            let driven = load(&options, &own, urls, options.load, &silent).await;
            (driven, Instant::now())
        };
        let ((driven, load_ended), planted) = tokio::join!(driven, self.plant(&target, &role));
        let driven = run.act(ActKind::Drive, async { driven }).await;
        let planted = planted?;
        if let Some(outcome) = driven {
            run.record.drive = Some(outcome.evidence);
            run.record.observations = outcome.observations;
        }
        let (tables, reader) = (self.case.tables.clone(), self.reader(&target.0, &role)?);
        let config = Config { tables, ..options.config.clone() };
        let compared = Options { config, ..options.clone() };
        let after = compare(&compared, &own, &reader, DiffPhase::After, None, &silent).await;
        let compared_at = Instant::now();
        self.notice_refusal(&after, fault);
        run.record.diff = run.act(ActKind::DiffAfter, async { after }).await;
        conclude(&own, &mut run.record)?;
        self.context.check_stop()?;
        note_verdict(&run.record, fault);
        let after_s = |sight: &Sight| {
            let end = match sight {
                Sight::Criterion(id) if !OF_THE_COMPARISON.contains(id) => load_ended,
                Sight::Criterion(_) | Sight::Comparison(_) => compared_at,
            };
            end.saturating_duration_since(planted).as_secs_f64()
        };
        let all = fault.expected.iter().all(|sight| fault.seen_by.contains(sight));
        let times = fault.expected.iter().map(after_s);
        fault.seen_after_s = times.reduce(f64::max).filter(|_| all);
        fault.classes_missed = self.classes_missed(own.path());
        Ok(())
    }

    /// Database, cache and platform as if nothing had ever been.
    async fn afresh(&self, stack: &mut Stack, database_url: &str) -> Result<()> {
        for component in [Component::Platform, Component::Redis] {
            stack.stop_component(component, true)?;
        }
        faults::renew(database_url).await?;
        for component in [Component::Redis, Component::Platform] {
            stack.start_component(component, self.context).await?;
        }
        Ok(())
    }

    /// What the load and both comparisons are made with.
    fn options(&self, target: (String, Url)) -> Options {
        let (duration, pairs, rate_per_s) = match self.case.under_load.long {
            true => (40, 12, 300.0),
            false => (7, 2, 100.0),
        };
        let load = LoadShape {
            rate_per_s,
            connections: 32,
            pairs,
            rounds: 1,
            looks: 1,
            first_look: pairs,
            attempt: 0,
            window: Duration::from_secs(duration) / (2 * pairs),
            settle: Duration::from_millis(300),
            warm_up: Duration::from_millis(500),
        };
        Options {
            config: Config { limits: self.limits(), ..Config::default() },
            target: Some(target),
            scenario: Arc::clone(&self.scenario),
            load,
            tries: false,
            calibrates: false,
            orgs: ORGS,
            transactions_per_org: 1.0,
            seed_profile: None,
            own_schema: false,
            probe: true,
            left_out: Vec::new(),
            as_of: self.options.as_of,
            rng_seed: self.options.rng_seed,
            keep_going: true,
            wal: None,
            full: false,
            on_rig: true,
            increment: None,
            baseline: None,
            misbehave: Vec::new(),
            executable: self.options.executable.clone(),
        }
    }

    /// A load of seconds says nothing of speed, nor of a cache that has only just been started.
    fn limits(&self) -> Vec<OtherLimit> {
        // Where speed is what was planted, a fraction of a millisecond counts, too.
        let felt_ms = if self.case.under_load.long { 0.0 } else { 60_000.0 };
        let aside = [(LimitId::CacheHitRate, 0.0), (LimitId::P95Felt, felt_ms)];
        let limit = |(criterion, limit)| OtherLimit {
            criterion,
            limit,
            reason: "the load of a planted fault lasts seconds".into(),
            phase: None,
        };
        aside.into_iter().map(limit).collect()
    }

    /// Plants the fault when the load has begun; returns when it was there.
    async fn plant(&self, (database_url, base_url): &(String, Url), role: &str) -> Result<Instant> {
        tokio::time::sleep(BEFORE).await;
        self.case.plant(database_url, role, true).await?;
        if !self.case.misbehave.is_empty() {
            let faults: Vec<&str> = self.case.misbehave.iter().map(String::as_str).collect();
            misbehave(base_url, &Config::default(), &faults).await?;
        }
        Ok(Instant::now())
    }

    /// Who compares: the role of the case if it has one.
    fn reader(&self, database_url: &str, role: &str) -> Result<String> {
        if self.case.refused.is_none() {
            return Ok(database_url.to_owned());
        }
        let mut url = Url::parse(database_url).or_run("the rig's database URL", "")?;
        let refused = || Error::run("the rig's database URL takes no user", "");
        url.set_username(role).map_err(|()| refused())?;
        url.set_password(Some("reads")).map_err(|()| refused())?;
        Ok(url.into())
    }

    fn notice_refusal<T>(&self, compared: &Result<T>, fault: &mut PlantedFault) {
        if let (Some(why), Err(error)) = (&self.case.refused, compared)
            && error.to_string().contains(why)
        {
            fault.seen_by.push(Sight::REFUSAL);
        }
    }

    /// Classes that the case names and the comparison did not find.
    fn classes_missed(&self, folder: &Path) -> Vec<FindingClass> {
        let text = crate::own_file::read(&folder.join("findings.jsonl")).unwrap_or_default();
        let found: Vec<FindingClass> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Finding>(line).ok())
            .map(|finding| finding.class)
            .collect();
        let mut missed = self.case.classes();
        missed.retain(|class| !found.contains(class));
        missed
    }
}

fn note_verdict(record: &RunRecord, fault: &mut PlantedFault) {
    let failed =
        record.criteria.iter().filter(|c| c.state == State::Fail && c.kind != Kind::Advice);
    let failed = failed.filter(|c| !OF_THE_MACHINE.contains(&c.id));
    fault.seen_by.extend(failed.map(|criterion| Sight::Criterion(criterion.id)));
    fault.decision = Some(record.verdict.decision);
    fault.exit_code = Some(record.verdict.exit_code);
    fault.action = Some(record.verdict.action);
}
