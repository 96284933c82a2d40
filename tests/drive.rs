//! The load generator against servers whose behaviour is known to the millisecond.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use cutover::act::ActContext;
use cutover::config::{RoutingConfig, RoutingKind};
use cutover::drive::{self, Options, Outcome};
use cutover::evidence::drive::Mode;
use cutover::routing::Switch;
use cutover::scenario::{Plan, PlanOptions, Scenario};

const ONE_GET: &str = r#"
    name = "probe"
    [arrivals]
    shape = "constant"
    [[operation]]
    name = "get"
    weight = 1
    path = "/?org={{org}}"
"#;

/// Serves `router` on a free loopback port for as long as the test's runtime lives.
async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Two windows of `window`, one per mode, at 200 requests a second.
async fn drive(address: SocketAddr, window: Duration, routing: RoutingConfig) -> Outcome {
    let scenario = Arc::new(Scenario::parse("test", ONE_GET).expect("a scenario"));
    let plan_options = PlanOptions {
        rate_per_s: 200.0,
        pairs: 1,
        window_us: window.as_micros() as u64,
        settle_us: 0,
        warm_up_us: 0,
        modes: Mode::ALL,
        orgs: 10,
        rng_seed: 1,
    };
    let plan = Arc::new(Plan::new(&scenario, &plan_options).expect("a plan"));
    let url = format!("http://{address}").parse().expect("a URL");
    let switch = Switch::new(&routing, &url).expect("a switch");
    let options = Options {
        connections: 256,
        timeout: Duration::from_secs(5),
        as_of: chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date"),
        rate_per_s: 200.0,
    };
    let out = tempfile::tempdir().expect("a folder");
    drive::run(scenario, plan, switch, &options, out.path(), &ActContext::silent())
        .await
        .expect("the load runs")
}

fn unrouted() -> RoutingConfig {
    RoutingConfig { kind: RoutingKind::None, ..RoutingConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_felt_by_every_request_that_was_due_in_it() {
    // Frozen for the first 0.5 s of every 5 s. Of 1000 evenly spaced arrivals a tenth meets the
    // freeze and waits between 0 and 500 ms: p95 is 250 ms, p99 450 ms, the longest 500 ms.
    const PERIOD_MS: u128 = 5000;
    const FREEZE_MS: u128 = 500;
    let start = Instant::now();
    let handler = move || async move {
        let into_period = start.elapsed().as_millis() % PERIOD_MS;
        if let Some(left) = FREEZE_MS.checked_sub(into_period) {
            tokio::time::sleep(Duration::from_millis(left as u64)).await;
        }
        "ok"
    };
    let address = serve(Router::new().route("/", get(handler))).await;
    let outcome = drive(address, Duration::from_millis(PERIOD_MS as u64), unrouted()).await;
    for mode in Mode::ALL {
        let latency = &outcome.evidence.overall[&mode];
        assert_eq!((latency.requests, latency.errors), (1000, 0));
        for (what, measured, expected_us) in [
            ("p95", latency.response_us.p95, 250_000.0),
            ("p99", latency.response_us.p99, 450_000.0),
            ("max", latency.response_us.max, 500_000.0),
        ] {
            let off = measured as f64 / expected_us - 1.0;
            assert!(off.abs() < 0.02, "{mode:?} {what}: {measured} µs, off by {off:.3}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_the_wrong_side_is_counted() {
    // Says "legacy" whatever was asked for: right in one window, wrong in the other.
    let handler = || async { ([("x-routed-to", "legacy")], "ok") };
    let address = serve(Router::new().route("/", get(handler))).await;
    let outcome = drive(address, Duration::from_secs(1), RoutingConfig::default()).await;
    assert_eq!(outcome.evidence.wrong_mode, 200);
    assert_eq!(outcome.evidence.overall[&Mode::Legacy].errors, 0);
    assert_eq!(outcome.evidence.overall[&Mode::Partitioned].errors, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_kind_and_never_make_p95_better() {
    let handler = || async { StatusCode::SERVICE_UNAVAILABLE };
    let address = serve(Router::new().route("/", get(handler))).await;
    let outcome = drive(address, Duration::from_secs(1), unrouted()).await;
    assert_eq!(outcome.evidence.errors_by_kind["http_503"], 400);
    assert_eq!(outcome.evidence.errors, 400);
    assert!(outcome.evidence.windows.iter().all(|window| window.all.p95_us.is_none()));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let outcome = drive(address, Duration::from_secs(1), unrouted()).await;
    assert_eq!(outcome.evidence.errors_by_kind["refused"], 400);
    assert!(outcome.evidence.complete);
}
