//! One run of the load, from the first request to the evidence.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio_util::sync::CancellationToken;

use super::pacer::Queue;
use super::recorder::Recorder;
use super::rows::Rows;
use super::worker::{Shared, Worker};
use super::{attack, files, sampler, summary};
use crate::act::{ActContext, Event};
use crate::error::{Error, Result};
use crate::evidence::drive::{DriveEvidence, Mode};
use crate::evidence::observation::Observation;
use crate::routing::Switch;
use crate::scenario::{Plan, Scenario};

/// How the plan is drained.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections, each a Goose user.
    pub connections: usize,
    /// After this a request counts as failed.
    pub timeout: Duration,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// Planned arrivals per second, for the record.
    pub rate_per_s: f64,
}

/// What the act leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub evidence: DriveEvidence,
    /// What the platform said about itself meanwhile.
    pub observations: Vec<Observation>,
}

/// Rows made for each name before the clock starts, so that the first operation on a row finds one.
const ROWS_AHEAD: usize = 100;

/// Drains the plan against the platform and writes samples and histogram logs into `out`.
///
/// A stop ends it early with what was measured until then (`complete` is false).
///
/// # Errors
/// Where the platform does not take the first writes, Goose does not start, or a file cannot be
/// written.
pub async fn run(
    scenario: Arc<Scenario>,
    plan: Arc<Plan>,
    switch: Switch,
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<Outcome> {
    let stop = context.stop.clone();
    let shared = Arc::new(Shared {
        scenario: Arc::clone(&scenario),
        switch,
        queue: Queue::new(Arc::clone(&plan), stop.clone()),
        rows: Rows::default(),
        recorder: Recorder::default(),
        // Differs between runs, so that a text or key made from it never meets one of before.
        unique: AtomicU64::new(chrono::Utc::now().timestamp_micros().unsigned_abs() << 8),
        as_of: options.as_of,
        timeout: options.timeout,
    });
    make_rows_ahead(&shared).await?;
    context.started(
        format!("drive: {}", scenario.name),
        Some(plan.arrivals.len() as u64),
        "requests",
    );
    let begin = Instant::now();
    let cpu_before_s = cpu_time_s();
    let watchers_stop = CancellationToken::new();
    let observations = tokio::spawn(sampler::observe(
        shared.switch.endpoint(Mode::Legacy).clone(),
        begin,
        watchers_stop.clone(),
    ));
    let teller = tokio::spawn(tell(Arc::clone(&shared), context.clone(), watchers_stop.clone()));
    let lost_workers = attack::run(&shared, options.connections).await;
    watchers_stop.cancel();
    let observations = observations.await.unwrap_or_default();
    // It only adds to a progress bar; a broken bar is no reason to lose a measurement.
    let _ = teller.await;
    context.emit(Event::Finished);
    let lost_workers = lost_workers?;
    let elapsed_s = begin.elapsed().as_secs_f64();
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;

    let samples = shared.recorder.take();
    files::samples(out, &scenario, &plan, &samples)?;
    files::histogram_logs(out, &plan, &samples)?;
    let evidence = DriveEvidence {
        rate_per_s: options.rate_per_s,
        connections: options.connections as u64,
        duration_s: elapsed_s,
        complete: samples.len() == plan.arrivals.len(),
        mode_proven: shared.switch.proves(),
        lost_workers: lost_workers as u64,
        generator_cpu_share: (cpu_time_s() - cpu_before_s) / (elapsed_s * cores),
        ..summary::summarise(&scenario, &plan, &samples)
    };
    Ok(Outcome { evidence, observations })
}

/// Runs the operations that make rows until each name has some, one after the other.
async fn make_rows_ahead(shared: &Arc<Shared>) -> Result<()> {
    let makers = shared
        .scenario
        .operations
        .iter()
        .filter(|operation| operation.remember.is_some() && operation.row.is_none());
    let mut worker = Worker::new(Arc::clone(shared));
    let arrivals = &shared.queue.plan.arrivals;
    for maker in makers {
        for arrival in arrivals.iter().cycle().take(ROWS_AHEAD) {
            if shared.queue.stopped() {
                return Ok(());
            }
            let mut sent = Instant::now();
            worker.perform(maker, arrival, Mode::Legacy, &mut sent).await.map_err(|outcome| {
                let endpoint = shared.switch.endpoint(Mode::Legacy).authority();
                let (name, outcome) = (&maker.name, outcome.name());
                let what = format!("{endpoint}: `{name}` failed before the load began: {outcome}");
                Error::run(what, "is the platform up, and does the scenario fit it?")
            })?;
        }
    }
    Ok(())
}

/// Tells how far the load has come, once a second.
async fn tell(shared: Arc<Shared>, context: ActContext, stop: CancellationToken) {
    let mut told = 0;
    loop {
        let done = shared.recorder.done.load(Ordering::Relaxed);
        let failed = shared.recorder.failed.load(Ordering::Relaxed);
        context.emit(Event::Advanced(done - told));
        context.emit(Event::Status(format!("{} req/s, {failed} failed", done - told)));
        told = done;
        if stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Processor time this process has used, user and system.
fn cpu_time_s() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}
