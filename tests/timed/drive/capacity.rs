//! Capacity: against servers whose capacity is known to the request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use cutover::act::ActContext;
use cutover::config::RoutingConfig;
use cutover::drive::{CapacityOptions, Options, find_capacity};
use cutover::evidence::capacity::{LimitedBy, StepOutcome};
use cutover::evidence::drive::{DriveEvidence, Side};
use cutover::routing::Switch;
use cutover::scenario::Scenario;

use crate::drive::harness::{Load, ONE_GET, serve};
use crate::support::cutover;

/// From this share of what it can do on, a server that takes one request at a time may keep whoever
/// waits for longer than the limit: a moment's delay of the machine is never made up for. By as much
/// too many fit into a step of two seconds before anybody waits for so long.
const NEARLY_FULL: f64 = 0.95;

/// Serves one request after the other, each for exactly so long: the moment an answer is due follows
/// from the arrivals alone, however late the timer is that sends it.
#[derive(Clone)]
struct OneByOne {
    free_at: Arc<Mutex<Instant>>,
    takes: Duration,
}

impl OneByOne {
    fn new(per_s: u64) -> Self {
        let takes = Duration::from_micros(1_000_000 / per_s);
        Self { free_at: Arc::new(Mutex::new(Instant::now())), takes }
    }

    async fn serve(&self) {
        let done = {
            let mut free_at = self.free_at.lock().expect("not poisoned");
            *free_at = (*free_at).max(Instant::now()) + self.takes;
            *free_at
        };
        tokio::time::sleep_until(done.into()).await;
    }
}

fn options(modes: &[Side]) -> CapacityOptions {
    CapacityOptions {
        modes: modes.to_vec(),
        first_per_s: 60.0,
        p95_limit: Duration::from_millis(50),
        error_limit: 0.001,
        step: Duration::from_millis(1700),
        warm_up: Duration::from_millis(300),
        precision: 1.2,
        most_connections: 500,
        orgs: 10,
        rng_seed: 1,
    }
}

async fn found(url: &str, search: &CapacityOptions, load: &Load) -> DriveEvidence {
    let scenario = Scenario::parse("test", &load.scenario).expect("a scenario");
    let switch = Switch::new(&load.config, &url.parse().expect("a URL")).expect("a switch");
    let options = Options {
        connections: 16,
        timeout: Duration::from_secs(10),
        as_of: chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date"),
        rate_per_s: 0.0,
        closed_loop: false,
        database_url: None,
        tables: load.config.tables.clone(),
        org_sizes: None,
        parity: load.config.parity.clone(),
        shard: None,
        start_at: None,
        metrics_listen: None,
        dashboard: None,
        judge: None,
        ahead: false,
        executable: None,
    };
    let context = ActContext::silent();
    let search = find_capacity(&scenario, &switch, search, &options, load.out.path(), &context);
    search.await.expect("the search comes to its end")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_interval_holds_the_capacity_of_its_mode() {
    let (legacy, partitioned) = (OneByOne::new(200), OneByOne::new(100));
    let answer = async move |headers: HeaderMap| {
        let mode = headers.get("x-cutover-mode").and_then(|mode| mode.to_str().ok());
        match mode {
            Some("partitioned") => partitioned.serve().await,
            _ => legacy.serve().await,
        }
        ([("x-routed-to", mode.unwrap_or("legacy").to_owned())], "ok")
    };
    let url = serve(Router::new().route("/", get(answer))).await;
    let mut load = Load::new(1.0, 1);
    load.config.routing = RoutingConfig::default();
    let drive = found(&url, &options(&Side::BOTH), &load).await;
    assert!(drive.complete && drive.closed_loop && drive.wrong_mode == 0);
    let capacity = drive.capacity.expect("a search");
    for (mode, known) in [(Side::Legacy, 200.0), (Side::Partitioned, 100.0)] {
        let found = &capacity.modes[&mode];
        let (passed, failed) =
            (found.passed_per_s.expect("low"), found.failed_per_s.expect("high"));
        assert!(
            passed * NEARLY_FULL <= known && known * NEARLY_FULL <= failed,
            "{known}: {found:?}\n{:#?}",
            capacity.steps
        );
        assert!(failed / passed <= 1.2, "{found:?}");
        assert_eq!(found.limited_by, LimitedBy::Target, "{:#?}", capacity.steps);
        // Nothing counts as failed that failed but once.
        let at_last = |rate: f64| {
            let of = capacity.steps.iter().filter(|s| s.mode == Some(mode) && s.rate_per_s == rate);
            of.map(|step| step.outcome).collect::<Vec<_>>()
        };
        assert_eq!(at_last(passed).last(), Some(&StepOutcome::Passed));
        assert!(at_last(failed).len() == 2 && !at_last(failed).contains(&StepOutcome::Passed));
    }
    // They take turns: never three rates of one mode in a row while the other is searched, too.
    let modes: Vec<Option<Side>> = capacity.steps.iter().map(|step| step.mode).collect();
    assert!(
        modes[..4].contains(&Some(Side::Legacy)) && modes[..4].contains(&Some(Side::Partitioned))
    );
    assert!(load.out.path().join("capacity/01-legacy/samples.bin").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_generator_cannot_send_is_not_called_the_targets_capacity() {
    // Takes any number at once, 30 ms each; two connections carry at most 66 a second.
    let answer = async || {
        tokio::time::sleep(Duration::from_millis(30)).await;
        "ok"
    };
    let url = serve(Router::new().route("/", get(answer))).await;
    let load = Load::new(1.0, 1);
    let search = CapacityOptions {
        first_per_s: 40.0,
        p95_limit: Duration::from_millis(100),
        most_connections: 2,
        ..options(&[Side::Legacy])
    };
    let drive = found(&url, &search, &load).await;
    let capacity = drive.capacity.expect("a search");
    let found = &capacity.modes[&Side::Legacy];
    assert_eq!(found.limited_by, LimitedBy::Generator, "{:#?}", capacity.steps);
    assert!(found.passed_per_s.is_some_and(|low| (40.0..=67.0).contains(&low)), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_dies_meanwhile_leaves_what_was_found() {
    let asked = Arc::new(AtomicUsize::new(0));
    // The first step and its rows, and little more.
    let answer = async move || match asked.fetch_add(1, Ordering::SeqCst) {
        ..500 => (StatusCode::CREATED, "{\"id\":1}"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "{}"),
    };
    let url = serve(Router::new().route("/", post(answer))).await;
    let scenario = ONE_GET
        .replace("weight = 1", "weight = 1\nmethod = \"POST\"\nexpect = [201]\nremember = \"row\"");
    let load = Load { scenario, ..Load::new(1.0, 1) };
    let drive = found(&url, &options(&[Side::Legacy]), &load).await;
    assert!(!drive.complete);
    let capacity = drive.capacity.expect("a search");
    assert_eq!(capacity.steps[0].outcome, StepOutcome::Passed, "{:#?}", capacity.steps);
    assert_eq!(capacity.modes[&Side::Legacy].limited_by, LimitedBy::Search);
    assert_eq!(capacity.modes[&Side::Legacy].passed_per_s, Some(60.0));
}

#[test]
fn the_command_says_what_was_found_and_gives_no_verdict() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = OneByOne::new(50);
    let answer = async move || {
        server.serve().await;
        "ok"
    };
    let url = runtime.block_on(serve(Router::new().route("/", get(answer))));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("one.toml"), ONE_GET).expect("our own folder");
    std::fs::write(path("cutover.toml"), "[routing]\nkind = \"none\"\n").expect("our own folder");
    let drive = |args: &[&str]| {
        let mut command = cutover();
        command.args(["drive", "--base-url", &url, "--orgs", "10", "--scenario"]);
        command.arg(path("one.toml")).arg("--config").arg(path("cutover.toml"));
        command.args(["--out"]).arg(path("run")).args(args).output().expect("cutover runs")
    };
    let search =
        ["--find-capacity", "--rate", "40", "--capacity-step", "2s", "--p95-limit", "50ms"];
    let output = drive(&[&search[..], &["--format", "json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("no ground for a GO") && said.contains("req/s sustained"), "{said}");
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    let found = &record["drive"]["capacity"]["modes"]["legacy"];
    assert!(found["passed_per_s"].as_f64().is_some_and(|rate| rate <= 50.0), "{found}");
    let failed = found["failed_per_s"].as_f64();
    assert!(failed.is_some_and(|rate| rate >= 50.0 * NEARLY_FULL), "{found}");
    assert_ne!(record["verdict"]["decision"], "go");
    let gate = cutover().args(["gate"]).arg(path("run")).output().expect("cutover runs");
    assert_ne!(gate.status.code(), Some(0), "{}", String::from_utf8_lossy(&gate.stdout));
    for (args, why) in [
        (&["--find-capacity", "--rate", "max"][..], "begins at a rate"),
        (&["--find-capacity", "--pairs", "3"], "--pairs"),
        (&["--find-capacity", "--p95-limit", "0ms"], "1ms to 10s"),
    ] {
        let output = drive(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
