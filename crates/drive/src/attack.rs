//! Goose, and all that has to be known about Goose 0.19.
//!
//! Goose launches the users, keeps them apart and waits for them. It paces in a closed loop and its
//! latency ends at the response headers, so we pace and time by ourselves: a Goose user here is a
//! connection that drains the shared plan in one single transaction.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use goose::config::GooseConfiguration;
use goose::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::flag;
use super::options::Options;
use super::priority::Ahead;
use super::recorder::{Outcome, Sample};
use super::shared::Shared;
use super::worker::Worker;
use cutover_error::{Context, Error, Result};
use cutover_evidence::drive::Side;
use cutover_ground::act::ActContext;
use cutover_ground::routing::Flag;

/// How long Goose may take to launch its users.
const LAUNCH_LIMIT: Duration = Duration::from_secs(30);

/// How long Goose may take over its report once the last answer is there.
const REPORT_LIMIT: Duration = Duration::from_secs(30);

/// Goose's own page while the load runs, and its report afterwards.
#[derive(Debug, Clone)]
pub(super) struct Page {
    address: SocketAddr,
    /// The folder of its report.
    out: PathBuf,
}

impl Page {
    /// Looks whether the page can be served, if one is asked for, before anything is driven.
    ///
    /// # Errors
    /// A usage error if the address is taken or not ours.
    pub(super) fn claim(
        address: Option<SocketAddr>,
        out: &Path,
        context: &ActContext,
    ) -> Result<Option<Self>> {
        let Some(address) = address else { return Ok(None) };
        TcpListener::bind(address)
            .or_usage(format!("--dashboard={address}"), "give a free ADDRESS:PORT")?;
        context.note(format!("Goose's own page: http://{address}/"));
        Ok(Some(Self { address, out: out.join("goose") }))
    }
}

/// How the load ended.
#[derive(Debug)]
pub(super) struct Attacked {
    /// Users that ended before the plan did.
    pub lost_workers: u64,
    /// Whether every arrival was let go.
    pub to_the_end: bool,
    /// Seconds from the first moment of the plan.
    pub ran_s: f64,
    /// Windows whose mode the probe of a flag did not prove in time.
    pub unproven_windows: u64,
    /// Whether the generator ran ahead of ordinary processes.
    pub ran_ahead: bool,
}

/// Drains the plan with `connections` Goose users, the platform's flag following it if there is
/// one, Goose's page open if one is asked for.
///
/// # Errors
/// Where Goose refuses to start or does not launch its users in time.
pub(super) async fn run(
    shared: &Arc<Shared>,
    options: &Options,
    flag: Option<Arc<Flag>>,
    page: Option<&Page>,
    context: &ActContext,
) -> Result<Attacked> {
    let connections = options.connections;
    let (start_sender, start) = watch::channel(None::<Instant>);
    let ready = Arc::new(AtomicUsize::new(0));
    let scenario = Scenario::new("drain the plan").register_transaction(Transaction::new(
        drain_transaction(Arc::clone(shared), start, Arc::clone(&ready), page.is_some()),
    ));
    let attack = GooseAttack::initialize_with_config(configuration(shared, connections, page))
        .or_run("Goose refuses its configuration", "")?
        .register_scenario(scenario);
    let users = tokio::spawn(attack.execute());

    // The clock starts when every user is there, so that none of the first arrivals waits for one.
    launched(&users, &ready, connections).await?;
    let begin = first_moment(options)?;
    shared.queue.begin(begin);
    let pacer = {
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name("pacer".into())
            .spawn(move || shared.queue.pace(connections))
            .or_run("cannot start the pacer thread", "")?
    };
    // The pacer and the users are there.
    let ahead = if options.ahead { Ahead::of_ordinary_work() } else { None };
    let follower = flag.map(|flag| {
        let (windows, stop) = (shared.queue.windows.clone(), CancellationToken::new());
        let follow = flag::follow(flag, windows, begin, context.clone(), stop.clone());
        (tokio::spawn(follow), stop)
    });
    start_sender.send_replace(Some(begin));
    let closed = match page {
        Some(page) => close_page(&users, page, &pacer, options.timeout).await,
        None => false,
    };
    let ended = users.await;
    let ran_s = begin.elapsed().as_secs_f64();
    let unproven_windows = match follower {
        Some((follower, stop)) => {
            stop.cancel();
            follower.await.or_run("the flag's follower panicked", "")?
        }
        None => 0,
    };
    if !(closed && ended.as_ref().is_err_and(tokio::task::JoinError::is_cancelled)) {
        ended.or_run("Goose panicked", "")?.map(drop).or_run("Goose ended with an error", "")?;
    }
    let to_the_end = tokio::task::spawn_blocking(move || pacer.join())
        .await
        .or_run("the pacer thread cannot be waited for", "")?
        .map_err(|_| Error::run("the pacer thread panicked", ""))?;
    let lost_workers = (connections - shared.recorder.finished_workers()) as u64;
    let ran_ahead = ahead.is_some();
    Ok(Attacked { lost_workers, to_the_end, ran_s, unproven_windows, ran_ahead })
}

/// Waits until all users are there.
async fn launched<T>(
    users: &tokio::task::JoinHandle<T>,
    ready: &AtomicUsize,
    connections: usize,
) -> Result<()> {
    let launch = Instant::now();
    while ready.load(Ordering::SeqCst) < connections {
        if users.is_finished() || launch.elapsed() > LAUNCH_LIMIT {
            users.abort();
            let got = ready.load(Ordering::SeqCst);
            let what = format!("Goose launched {got} of {connections} users and then no more");
            return Err(Error::run(what, "try fewer --connections"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The first moment of the plan.
fn first_moment(options: &Options) -> Result<Instant> {
    const START_DELAY: Duration = Duration::from_millis(20);
    let Some(start_at) = options.start_at else { return Ok(Instant::now() + START_DELAY) };
    match (start_at - chrono::Utc::now()).to_std() {
        Ok(wait) => Ok(Instant::now() + wait),
        Err(_) => Err(Error::run(
            format!("--start-at {start_at} passed before the users were ready"),
            "give a later time, the same to every shard",
        )),
    }
}

fn drain_transaction(
    shared: Arc<Shared>,
    start: watch::Receiver<Option<Instant>>,
    ready: Arc<AtomicUsize>,
    tells: bool,
) -> goose::goose::TransactionFunction {
    Arc::new(move |user: &mut GooseUser| {
        let number = ready.fetch_add(1, Ordering::SeqCst);
        let mut worker = Worker::new(Arc::clone(&shared), number);
        let shared = Arc::clone(&shared);
        let mut start = start.clone();
        Box::pin(async move {
            // The sender only goes away when the launch failed; then there is nothing to drain.
            if let Ok(begin) = start.wait_for(Option::is_some).await.map(|at| *at)
                && let Some(begin) = begin
            {
                while let Some(sample) = worker.step(begin).await {
                    if tells {
                        tell(user, &shared, &sample).await;
                    }
                }
            }
            Ok(())
        })
    })
}

/// Tells Goose of a measured request, so that its figures are those of our own report: response time
/// from the moment a request was due, by mode and operation.
async fn tell(user: &mut GooseUser, shared: &Shared, sample: &Sample) {
    if !sample.arrival.measured {
        return;
    }
    let mode = shared.queue.windows[sample.arrival.window as usize].mode.as_str();
    let name = &shared.scenario.operations[usize::from(sample.arrival.operation)].name;
    let name = if name.trim().is_empty() { "unnamed" } else { name };
    let took = Duration::from_micros(sample.response_us());
    let error = (sample.outcome != Outcome::Ok).then(|| sample.outcome.name());
    // Whoever looks on is no reason to lose a measurement.
    let _ = user
        .record_custom_request_duration(mode, name, took, error.is_none(), None, error.as_deref())
        .await;
}

/// Waits until Goose has written its report and ends it then, for with its page open anywhere it would
/// wait until somebody closes that. True if it had to be ended.
async fn close_page<T>(
    users: &tokio::task::JoinHandle<T>,
    page: &Page,
    pacer: &std::thread::JoinHandle<bool>,
    timeout: Duration,
) -> bool {
    // The last of its files, whole as soon as it is there. (Goose's own switch would end every other
    // load of this process as well.)
    let report = page.out.join("report.json");
    let mut drained = None;
    while !users.is_finished() {
        if drained.is_none() && pacer.is_finished() {
            drained = Some(Instant::now());
        }
        let overdue = drained.is_some_and(|at| at.elapsed() > timeout + REPORT_LIMIT);
        if overdue || report.exists() {
            users.abort();
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

fn configuration(shared: &Shared, connections: usize, page: Option<&Page>) -> GooseConfiguration {
    let endpoint = shared.switch.endpoint(Side::Legacy);
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(endpoint.authority());
    configuration.users = Some(connections);
    // Otherwise Goose launches one user a second.
    configuration.increase_rate = Some(connections.max(100).to_string());
    configuration.iterations = Some(1);
    configuration.no_telnet = true;
    configuration.no_metrics = page.is_none();
    // Its one transaction is the whole run, and the statuses are ours to judge.
    configuration.no_transaction_metrics = true;
    configuration.no_scenario_metrics = true;
    configuration.no_status_codes = true;
    if let Some(page) = page {
        configuration.dashboard = true;
        configuration.dashboard_host = Some(page.address.ip().to_string());
        configuration.dashboard_port = Some(page.address.port());
        configuration.output_dir = Some(page.out.display().to_string());
    }
    configuration.no_print_metrics = true;
    configuration.quiet = 3;
    configuration
}
