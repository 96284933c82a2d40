//! The highest rate that each mode sustains: steps up until one fails, then bisection.
//!
//! Each step is a short load of its own at a steady rate; the modes take turns, so that what drifts
//! falls on both. A step that fails is driven once more before it counts. What a step cannot blame on
//! the target is blamed on the generator, and then no more is claimed than that the target takes at
//! least what it took.

mod search;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::search::Search;
use super::options::Options;
use super::run;
use cutover_error::{Context, Error, Result};
use cutover_evidence::answers::IsolationEvidence;
use cutover_evidence::capacity::{CapacityEvidence, CapacityStep, StepOutcome};
use cutover_evidence::drive::{DriveEvidence, Side};
use cutover_evidence::policy::GENERATOR_CPU_LIMIT;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::routing::Switch;
use cutover_scenario::{Plan, PlanOptions, Scenario, Shape};

/// What is looked for, and how.
#[derive(Debug, Clone)]
pub struct CapacityOptions {
    /// The modes, each searched by itself.
    pub modes: Vec<Side>,
    /// The first rate, requests per second.
    pub first_per_s: f64,
    /// Response-time p95 that a step may have at most.
    pub p95_limit: Duration,
    /// Share of requests that may fail.
    pub error_limit: f64,
    /// Measured time of a step.
    pub step: Duration,
    /// Driven before each step, not measured.
    pub warm_up: Duration,
    /// The search ends if failed over passed is not above this, for example 1.05.
    pub precision: f64,
    /// Most connections that are opened.
    pub most_connections: usize,
    /// Orgs are numbered from 1 to this.
    pub orgs: u64,
    /// Seed of every random choice.
    pub rng_seed: u64,
}

/// Parts of a step that are compared with each other.
const THIRDS: u32 = 3;
/// Fewer requests make no percentile.
const LEAST_REQUESTS: f64 = 100.0;
/// Growth of p95 from the first third to the last, as a share of its limit, that is no chance.
const GROWTH: f64 = 0.25;
/// What a target gets to recover from a step that was too much for it.
const RECOVERY: Duration = Duration::from_secs(5);

/// Searches the capacity of each mode, every step in a folder of its own below `out`.
///
/// A stop ends it with what is known until then (`complete` is false). The evidence is marked as
/// that of a load without a rate, so that no judge takes its latencies for a comparison.
///
/// # Errors
/// As [`run::run`]: if the platform does not take the first writes or Goose does not start.
pub async fn find_capacity(
    scenario: &Scenario,
    switch: &Switch,
    search: &CapacityOptions,
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<DriveEvidence> {
    // A curve's peak would decide, not the rate that is stated.
    let shape = match scenario.shape {
        Shape::Constant => Shape::Constant,
        _ => Shape::Poisson,
    };
    let scenario = Arc::new(Scenario { shape, ..scenario.clone() });
    let mut searches: BTreeMap<Side, Search> = BTreeMap::new();
    for mode in &search.modes {
        searches.insert(*mode, Search::new(search.first_per_s, search.precision));
    }
    let mut seen = Seen::default();
    let mut turn: Vec<Side> = searches.keys().copied().collect();
    context.started("capacity", None, "steps");
    let mut stopped = false;
    while !stopped {
        let mut tried = false;
        for mode in &turn {
            let Some(state) = searches.get_mut(mode) else { continue };
            let Some(rate) = state.next() else { continue };
            tried = true;
            let step = Step { scenario: &scenario, switch, search, options, context };
            let outcome = step.try_rate(*mode, rate, out, &mut seen).await?;
            stopped = outcome == StepOutcome::Incomplete || context.check_stop().is_err();
            if stopped {
                break;
            }
            state.learn(rate, outcome);
        }
        if !tried {
            break;
        }
        turn.reverse();
    }
    context.emit(Event::Finished);
    let complete = !stopped && searches.values().all(|state| state.next().is_none());
    let modes = searches.iter().map(|(mode, state)| (*mode, state.found())).collect();
    let capacity = CapacityEvidence {
        p95_limit_us: micros(search.p95_limit),
        error_limit: search.error_limit,
        modes,
        steps: seen.steps,
    };
    // A leak is one, whatever else was looked for.
    Ok(DriveEvidence { complete, isolation: seen.isolation, ..evidence(&scenario.name, capacity) })
}

fn evidence(scenario: &str, capacity: CapacityEvidence) -> DriveEvidence {
    let sum = |of: fn(&CapacityStep) -> u64| capacity.steps.iter().map(of).sum();
    DriveEvidence {
        scenario: scenario.to_owned(),
        closed_loop: true,
        requests: sum(|step| step.requests),
        errors: sum(|step| step.errors),
        skipped: sum(|step| step.skipped),
        wrong_mode: sum(|step| step.wrong_mode),
        connections: capacity.steps.iter().map(|step| step.connections).max().unwrap_or(0),
        capacity: Some(capacity),
        ..DriveEvidence::default()
    }
}

/// What the steps have seen.
#[derive(Default)]
struct Seen {
    steps: Vec<CapacityStep>,
    isolation: Option<IsolationEvidence>,
}

/// What every step is made from.
struct Step<'a> {
    scenario: &'a Arc<Scenario>,
    switch: &'a Switch,
    search: &'a CapacityOptions,
    options: &'a Options,
    context: &'a ActContext,
}

impl Step<'_> {
    /// Drives a rate, twice if it fails, so that one bad moment of the machine is no limit of the
    /// target.
    async fn try_rate(
        &self,
        mode: Side,
        rate_per_s: f64,
        out: &Path,
        seen: &mut Seen,
    ) -> Result<StepOutcome> {
        let mut outcome = StepOutcome::Incomplete;
        for _ in 0..2 {
            let name = format!("capacity/{:02}-{}", seen.steps.len() + 1, mode.as_str());
            let (step, saw) = match self.drive(mode, rate_per_s, &out.join(name)).await {
                Ok(driven) => driven,
                Err(error) if seen.steps.is_empty() => return Err(error),
                Err(error) => {
                    // What was found until now is worth keeping.
                    self.context.note(format!("the search ends here: {error}"));
                    return Ok(StepOutcome::Incomplete);
                }
            };
            seen.isolation = match (seen.isolation.take(), saw) {
                (Some(known), Some(saw)) => Some(known.and(saw)),
                (known, saw) => known.or(saw),
            };
            outcome = step.outcome;
            self.context.note(said(&step));
            self.context.emit(Event::Advanced(1));
            seen.steps.push(step);
            if matches!(outcome, StepOutcome::Passed | StepOutcome::Incomplete) {
                break;
            }
        }
        Ok(outcome)
    }

    /// Drives the step; if the target is still too busy with the last one to take the first
    /// requests, it gets time to recover.
    async fn drive(
        &self,
        mode: Side,
        rate_per_s: f64,
        out: &Path,
    ) -> Result<(CapacityStep, Option<IsolationEvidence>)> {
        let driven = self.try_to_drive(mode, rate_per_s, out).await;
        if driven.is_ok() || self.context.check_stop().is_err() {
            return driven;
        }
        tokio::select! {
            () = self.context.stop.cancelled() => return driven,
            () = tokio::time::sleep(RECOVERY) => {}
        }
        self.try_to_drive(mode, rate_per_s, &out.join("again")).await
    }

    async fn try_to_drive(
        &self,
        mode: Side,
        rate_per_s: f64,
        out: &Path,
    ) -> Result<(CapacityStep, Option<IsolationEvidence>)> {
        let search = self.search;
        std::fs::create_dir_all(out).or_run(format!("cannot create {}", out.display()), "")?;
        let measured_s = search.step.as_secs_f64().max(LEAST_REQUESTS / rate_per_s);
        let plan = PlanOptions {
            rate_per_s,
            pairs: THIRDS,
            rounds: 1,
            looks: Vec::new(),
            window_us: (measured_s / f64::from(THIRDS) * 1e6) as u64,
            settle_us: 0,
            warm_up_us: micros(search.warm_up),
            modes: vec![mode],
            orgs: search.orgs,
            rng_seed: search.rng_seed,
        };
        let plan = Plan::new(self.scenario, &plan)?;
        // Whoever waits for ten times the limit has failed: no need to let a jam grow.
        let patience = (search.p95_limit * 10).max(Duration::from_secs(2));
        let options = Options {
            connections: self.connections(rate_per_s),
            timeout: self.options.timeout.min(patience),
            rate_per_s,
            ahead: false,
            closed_loop: false,
            database_url: None,
            shard: None,
            start_at: None,
            metrics_listen: None,
            dashboard: None,
            judge: None,
            ..self.options.clone()
        };
        // The search tells how it goes, not each of its loads.
        let quiet = ActContext::new(|_| {}, self.context.stop.clone());
        let (scenario, switch) = (Arc::clone(self.scenario), self.switch.clone());
        let outcome = run::run(scenario, plan, switch, &options, out, &quiet).await?;
        if let Some(why) = outcome.evidence.flag_left_changed {
            return Err(Error::run(why, "put the flag back by hand"));
        }
        let step = self.judge(mode, rate_per_s, &options, &outcome.evidence);
        Ok((step, outcome.evidence.isolation))
    }

    /// Twice as many as a target within the limit can keep busy (Little's law), so that waiting for
    /// one is the target's doing.
    fn connections(&self, rate_per_s: f64) -> usize {
        let busy = rate_per_s * self.search.p95_limit.as_secs_f64();
        let needed = (2.0 * busy).ceil() as usize;
        needed.max(self.options.connections).min(self.search.most_connections)
    }

    fn judge(
        &self,
        mode: Side,
        rate_per_s: f64,
        options: &Options,
        drive: &DriveEvidence,
    ) -> CapacityStep {
        let overall = drive.overall.get(&mode).cloned().unwrap_or_default();
        let step = CapacityStep {
            mode: Some(mode),
            rate_per_s,
            connections: options.connections as u64,
            requests: drive.requests,
            errors: drive.errors,
            skipped: drive.skipped + drive.own_want,
            wrong_mode: drive.wrong_mode,
            p95_us: overall.response_us.p95,
            service_p95_us: overall.service_us.p95,
            thirds_p95_us: drive.windows.iter().map(|window| window.all.p95_us).collect(),
            lag_p99_us: drive.scheduling_lag_us.p99,
            generator_cpu_share: drive.generator_cpu_share,
            outcome: StepOutcome::Incomplete,
        };
        // As it would have been had the generator never been late.
        let own: Vec<Option<u64>> =
            drive.windows.iter().map(|window| window.without_own_lag.p95_us).collect();
        let whole = drive.complete && drive.windows.len() == THIRDS as usize;
        let limit_us = micros(self.search.p95_limit);
        let outcome = match whole && drive.lost_workers == 0 && drive.unproven_windows == 0 {
            false => StepOutcome::Incomplete,
            true => outcome(&step, &own, limit_us, self.search.error_limit),
        };
        CapacityStep { outcome, ..step }
    }
}

/// How a step that came to its end is to be taken; `own_p95_us` are its thirds without the lag of the
/// generator itself.
fn outcome(
    step: &CapacityStep,
    own_p95_us: &[Option<u64>],
    limit_us: u64,
    error_limit: f64,
) -> StepOutcome {
    let arrivals = (step.requests + step.skipped).max(1) as f64;
    let failed = (step.errors + step.skipped) as f64 / arrivals;
    let of = |thirds: &[Option<u64>]| match thirds {
        thirds if thirds.iter().any(|p95| p95.is_none_or(|p95| p95 > limit_us)) => {
            StepOutcome::TooSlow
        }
        [Some(first), .., Some(last)]
            if *last as f64 > *first as f64 + GROWTH * limit_us as f64 =>
        {
            StepOutcome::Growing
        }
        _ => StepOutcome::Passed,
    };
    let felt = match of(&step.thirds_p95_us) {
        StepOutcome::Passed if failed > error_limit => StepOutcome::Errors,
        StepOutcome::TooSlow if step.skipped == 0 && failed > error_limit => StepOutcome::Errors,
        felt => felt,
    };
    let needed = 2.0 * step.rate_per_s * limit_us as f64 / 1e6;
    let few_connections = (step.connections as f64) < needed.floor()
        && step.errors == 0
        && step.service_p95_us <= limit_us;
    let own_doing = of(own_p95_us) == StepOutcome::Passed && felt != StepOutcome::Errors
        || step.generator_cpu_share > GENERATOR_CPU_LIMIT
        || few_connections;
    match felt {
        StepOutcome::Passed => StepOutcome::Passed,
        _ if own_doing => StepOutcome::Generator,
        felt => felt,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn said(step: &CapacityStep) -> String {
    let how = match step.outcome {
        StepOutcome::Passed => "passed",
        StepOutcome::TooSlow => "too slow",
        StepOutcome::Growing => "growing slower and slower",
        StepOutcome::Errors => "too many failed",
        StepOutcome::Generator => "failed, perhaps by the generator's own doing",
        StepOutcome::Incomplete => "not to its end",
    };
    let mode = step.mode.map_or("", Side::as_str);
    format!(
        "{mode} at {:.1} req/s: p95 {:.1} ms, {} of {} failed: {how}",
        step.rate_per_s,
        step.p95_us as f64 / 1000.0,
        step.errors + step.skipped,
        step.requests + step.skipped
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_blamed_on_whom_it_may_be_blamed() {
        let thirds = |of: [u64; 3]| of.map(|ms| Some(ms * 1000)).to_vec();
        let judged = |change: fn(&mut CapacityStep), own: [u64; 3]| {
            let mut step = CapacityStep {
                rate_per_s: 100.0,
                connections: 64,
                requests: 10_000,
                thirds_p95_us: thirds([20, 20, 20]),
                service_p95_us: 20_000,
                ..CapacityStep::default()
            };
            change(&mut step);
            outcome(&step, &thirds(own), 100_000, 0.001)
        };
        let slow = |step: &mut CapacityStep| {
            step.thirds_p95_us = vec![Some(20_000), Some(101_000), Some(20_000)];
            step.service_p95_us = 101_000;
        };
        assert_eq!(judged(|_| {}, [20; 3]), StepOutcome::Passed);
        assert_eq!(judged(slow, [20, 101, 20]), StepOutcome::TooSlow);
        assert_eq!(judged(slow, [20; 3]), StepOutcome::Generator);
        assert_eq!(judged(|s| s.errors = 11, [20; 3]), StepOutcome::Errors);
        assert_eq!(judged(|s| s.errors = 10, [20; 3]), StepOutcome::Passed);
        let growing = |step: &mut CapacityStep| {
            step.thirds_p95_us = vec![Some(20_000), Some(40_000), Some(60_000)];
        };
        assert_eq!(judged(growing, [20, 40, 60]), StepOutcome::Growing);
        let busy = |step: &mut CapacityStep| {
            step.thirds_p95_us = vec![Some(120_000); 3];
            step.service_p95_us = 120_000;
            step.generator_cpu_share = 0.9;
        };
        assert_eq!(judged(busy, [120; 3]), StepOutcome::Generator);
        // Too few connections, and the target fast on each of them.
        let few = |step: &mut CapacityStep| {
            step.thirds_p95_us = vec![Some(900_000); 3];
            step.connections = 2;
        };
        assert_eq!(judged(few, [900; 3]), StepOutcome::Generator);
    }
}
