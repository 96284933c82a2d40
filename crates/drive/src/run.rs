//! One run of the load, from the first request to the evidence.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::collector::Collector;
use super::connections::Connections;
use super::isolation::Isolation;
use super::ledger::Ledger;
use super::looks::{Looks, Planned};
use super::options::{Options, Outcome};
use super::pacer::Queue;
use super::post_load::{Confirming, Looked};
use super::recorder::{Outcome as RequestOutcome, Recorder};
use super::request::Requests;
use super::rows::Rows;
use super::shared::Shared;
use super::unique::Unique;
use super::worker::Worker;
use super::{attack, database, flag, live, sampler, usage};
use cutover_error::{Error, Result};
use cutover_evidence::drive::{DatabasePoint, DriveEvidence, Side, StatementShare};
use cutover_evidence::observation::Observation;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::routing::{Flag, FlagWatchdog, Switch};
use cutover_scenario::{Arrival, Plan, Scenario};

/// Rows made for each name before the clock starts, so that the first operation on a row finds one.
const ROWS_AHEAD: usize = 100;

/// Drains the plan against the platform and writes samples and histogram logs into `out`.
///
/// A stop ends it early with what was measured until then (`complete` is false). A flag that was
/// switched is put back however the run ends.
///
/// # Errors
/// If the platform does not take the first writes, Goose does not start, or a file cannot be
/// written.
pub fn run<'a>(
    scenario: Arc<Scenario>,
    plan: Plan,
    switch: Switch,
    options: &'a Options,
    out: &'a Path,
    context: &'a ActContext,
) -> BoxFuture<'a, Result<Outcome>> {
    // In a box: else whoever waits for it compiles all of this once more.
    Box::pin(with_flag(scenario, plan, switch, options, out, context))
}

async fn with_flag(
    scenario: Arc<Scenario>,
    plan: Plan,
    switch: Switch,
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<Outcome> {
    let plan = match options.shard {
        Some(shard) => plan.of_shard(shard),
        None => plan,
    };
    let live = match options.metrics_listen {
        Some(address) => Some(live::Listener::bind(address)?),
        None => None,
    };
    // Of several shards one switches for all.
    let switches = options.shard.is_none_or(|shard| shard.index == 1);
    let Some(flag) = switch.flag().filter(|_| switches).cloned().map(Arc::new) else {
        let mode = plan.windows.first().map_or(Side::Legacy, |window| window.mode);
        return drain(scenario, plan, switch, options, out, context, live, mode, None).await;
    };
    let claim = tokio::select! {
        claim = flag.claim() => claim?,
        () = context.stop.cancelled() => return Err(Error::Interrupted),
    };
    let found = flag::found(&flag).await?;
    let rule = flag.as_it_is()?;
    let flag = Arc::new(Arc::unwrap_or_clone(flag).remember(rule));
    let executable = options.executable.as_deref();
    let watchdog =
        executable.map(|program| FlagWatchdog::start(program, &flag, found, &claim)).transpose()?;
    let switched = Some(Arc::clone(&flag));
    let outcome = drain(scenario, plan, switch, options, out, context, live, found, switched).await;
    let left_changed = flag::put_back(&flag, found, context).await;
    // If that did not work, the watchdog tries on after us.
    if let Some(watchdog) = watchdog.filter(|_| left_changed.is_none()) {
        watchdog.release();
    }
    outcome.map(|mut outcome| {
        outcome.evidence.flag_left_changed = left_changed;
        outcome
    })
}

#[expect(clippy::too_many_arguments, reason = "the second half of `run`, called in one place")]
async fn drain(
    scenario: Arc<Scenario>,
    plan: Plan,
    switch: Switch,
    options: &Options,
    out: &Path,
    context: &ActContext,
    live: Option<live::Listener>,
    mode_before: Side,
    flag: Option<Arc<Flag>>,
) -> Result<Outcome> {
    let page = attack::Page::claim(options.dashboard, out, context)?;
    let (ledger, read_back) = Ledger::begin(out, &scenario, options)?;
    let (expected, (hot_orgs, _)) = (plan.expected_arrivals(), plan.hot_orgs());
    let looks_at = if options.judge.is_some() { plan.pairs_at_looks() } else { Vec::new() };
    let further = (0..).map_while(|look| plan.expected_after_look(look)).collect();
    let shared = share(&scenario, plan, switch, ledger, options, context);
    let confirming = Confirming::start(&shared, read_back, options);
    make_rows_ahead(&shared, mode_before).await?;
    let total = (!options.closed_loop).then_some(expected);
    context.started(format!("drive: {}", scenario.name), total, "requests");
    until_soon_before(options.start_at, context).await;
    let (begin, cpu_before_s) = (Instant::now(), usage::cpu_time_s());
    let collector = Collector::start(Arc::clone(&shared), options.org_sizes.clone(), begin, out)?;
    let plan = Planned { looks_at: looks_at.clone(), further };
    let looks = Looks::begin(&shared, &collector, options.judge.as_ref(), plan, context);
    let watchers = Watchers::start(&shared, &collector, options, live, begin, context);
    let attacked = attack::run(&shared, options, flag.clone(), page.as_ref(), context).await;
    let watched = watchers.stop().await;
    context.emit(Event::Finished);
    let elapsed_s = begin.elapsed().as_secs_f64();
    let cpu_share = (usage::cpu_time_s() - cpu_before_s) / (elapsed_s * usage::cores());
    // What was measured is on disk even if Goose broke.
    let measured = collector.finish(&measured_s(&shared, attacked.as_ref().ok(), elapsed_s));
    let (attacked, measured) = (attacked?, measured?);
    let place = (out, flag.as_deref());
    let looked = Looked::back(&shared, confirming, options, &measured, place, context).await;
    let windows = &shared.queue.windows;
    let candidate = windows.iter().find(|window| window.candidate);
    let evidence = DriveEvidence {
        rate_per_s: if options.closed_loop { 0.0 } else { options.rate_per_s },
        connections: options.connections as u64,
        duration_s: elapsed_s,
        complete: attacked.to_the_end && measured.arrivals_planned == shared.queue.handed_out(),
        arrivals_planned: shared.queue.handed_out(),
        mode_proven: shared.switch.proves(),
        wrong_answer: shared.wrong_answer.get().cloned(),
        unproven_windows: attacked.unproven_windows,
        closed_loop: options.closed_loop,
        calibration: candidate.is_some_and(|window| window.mode == windows[0].mode),
        lost_workers: attacked.lost_workers,
        resent: shared.resent.load(Ordering::Relaxed),
        generator_cpu_share: cpu_share,
        hot_orgs,
        database: watched.database,
        statements: watched.statements,
        shard: options.shard,
        start_at: options.start_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        ledger: looked.ledger,
        isolation: looked.isolation,
        parity: looked.parity,
        window_s: candidate.map_or(0.0, |window| (window.end_us - window.start_us) as f64 / 1e6),
        looks_at,
        attempt: options.judge.as_ref().map_or(0, |judge| judge.attempt),
        looks: looks.taken(),
        ran_ahead: attacked.ran_ahead,
        ..measured
    };
    Ok(Outcome { evidence, observations: watched.observations })
}

/// What all workers share.
fn share(
    scenario: &Arc<Scenario>,
    plan: Plan,
    switch: Switch,
    ledger: Ledger,
    options: &Options,
    context: &ActContext,
) -> Arc<Shared> {
    Arc::new(Shared {
        requests: Requests::new(scenario, &switch),
        connections: Connections::new(&switch, options.timeout),
        rows: Rows::new(scenario.rows.len()),
        ledger,
        isolation: Isolation::default(),
        scenario: Arc::clone(scenario),
        switch,
        wrong_answer: OnceLock::new(),
        resent: AtomicU64::new(0),
        queue: Queue::new(plan, options.closed_loop, &context.stop),
        recorder: Recorder::default(),
        unique: Unique::new(options.shard),
        as_of: options.as_of,
        timeout: options.timeout,
        closed_loop: options.closed_loop,
    })
}

/// How long before the start Goose gets to launch its users.
const LEAD: Duration = Duration::from_secs(2);

/// Waits until it is nearly time.
async fn until_soon_before(start_at: Option<DateTime<Utc>>, context: &ActContext) {
    let Some(start_at) = start_at else { return };
    let wait = (start_at - Utc::now()).to_std().unwrap_or_default().saturating_sub(LEAD);
    if !wait.is_zero() {
        context.note(format!("waiting for {start_at}"));
    }
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

/// Whoever looks on while the load runs.
struct Watchers {
    platform: JoinHandle<Vec<Observation>>,
    database: JoinHandle<(Vec<DatabasePoint>, Vec<StatementShare>)>,
    /// They only show how it goes.
    shows: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// What they have seen.
struct Watched {
    observations: Vec<Observation>,
    database: Vec<DatabasePoint>,
    statements: Vec<StatementShare>,
}

impl Watchers {
    fn start(
        shared: &Shared,
        collector: &Collector,
        options: &Options,
        live: Option<live::Listener>,
        begin: Instant,
        context: &ActContext,
    ) -> Self {
        let stop = CancellationToken::new();
        let tally = || Arc::clone(&collector.tally);
        let endpoint = shared.switch.endpoint(Side::Legacy).clone();
        let url = options.database_url.clone();
        let mut shows = vec![tokio::spawn(live::tell(tally(), context.clone(), stop.clone()))];
        shows.extend(live.map(|live| tokio::spawn(live.serve(tally(), stop.clone()))));
        Self {
            platform: tokio::spawn(sampler::observe(endpoint, begin, stop.clone())),
            database: tokio::spawn(database::watch(url, begin, stop.clone())),
            shows,
            stop,
        }
    }

    /// Lets them take a last look. That one of them broke is no reason to lose a measurement.
    async fn stop(self) -> Watched {
        self.stop.cancel();
        let observations = self.platform.await.unwrap_or_default();
        let (database, statements) = self.database.await.unwrap_or_default();
        for show in self.shows {
            let _ = show.await;
        }
        Watched { observations, database, statements }
    }
}

/// Seconds that were measured in each mode.
fn measured_s(
    shared: &Shared,
    attacked: Option<&attack::Attacked>,
    elapsed_s: f64,
) -> BTreeMap<Side, f64> {
    // The clock of the plan starts when every user is there.
    let ran_s = attacked.map_or(elapsed_s, |attacked| attacked.ran_s);
    let mut seconds = BTreeMap::new();
    for window in shared.queue.windows.iter().filter(|window| window.pair.is_some()) {
        let (from_s, to_s) =
            (window.measured_from_us as f64 / 1e6, window.measured_to_us() as f64 / 1e6);
        *seconds.entry(window.mode).or_default() += (to_s.min(ran_s) - from_s).max(0.0);
    }
    seconds
}

/// Runs the operations that make rows until each name has some, one after the other.
async fn make_rows_ahead(shared: &Arc<Shared>, mode: Side) -> Result<()> {
    let operations = &shared.scenario.operations;
    let makers =
        operations.iter().enumerate().filter(|(_, o)| o.remember.is_some() && o.row.is_none());
    let arrivals = shared.queue.samples_ahead(ROWS_AHEAD);
    let mut worker = Worker::new(Arc::clone(shared), 0);
    for (number, maker) in makers {
        for arrival in &arrivals {
            if shared.queue.stopped() {
                return Ok(());
            }
            let (operation, window) = (number as u16, Arrival::AHEAD);
            let arrival = Arrival { operation, window, ..*arrival };
            let outcome = worker.perform(&arrival, mode).await.outcome;
            if outcome != RequestOutcome::Ok {
                let endpoint = shared.switch.endpoint(mode).authority();
                let (name, outcome) = (&maker.name, outcome.name());
                let what = format!("{endpoint}: `{name}` failed before the load began: {outcome}");
                return Err(Error::run(what, "is the platform up, and does the scenario fit it?"));
            }
        }
    }
    Ok(())
}
