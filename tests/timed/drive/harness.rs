//! Loads in one line, and servers that do exactly what they are told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cutover::act::ActContext;
use cutover::config::{Config, RoutingConfig, RoutingKind};
use cutover::drive::{self, Judge, Options};
use cutover::error::Result;
use cutover::evidence::drive::{DriveEvidence, Side};
use cutover::routing::Switch;
use cutover::scenario::{Plan, PlanOptions, Scenario};

/// One operation that asks for `/`, at equal distances.
pub const ONE_GET: &str = r#"
    name = "probe"
    arrivals = { shape = "constant" }
    [[operation]]
    name = "get"
    weight = 1
    path = "/?org={{org}}"
"#;

/// A load in the making.
pub struct Load {
    pub scenario: String,
    pub plan: PlanOptions,
    pub config: Config,
    pub connections: usize,
    pub timeout: Duration,
    pub closed_loop: bool,
    pub context: ActContext,
    pub database_url: Option<String>,
    pub dashboard: Option<SocketAddr>,
    pub judge: Option<Judge>,
    /// Samples and histograms.
    pub out: tempfile::TempDir,
}

impl Load {
    /// One pair of windows of `window_ms`, one per mode, at `rate_per_s`; nothing routed.
    pub fn new(rate_per_s: f64, window_ms: u64) -> Self {
        let routing = RoutingConfig { kind: RoutingKind::None, ..RoutingConfig::default() };
        Self {
            scenario: ONE_GET.into(),
            plan: PlanOptions {
                rate_per_s,
                pairs: 1,
                rounds: 1,
                looks: Vec::new(),
                window_us: window_ms * 1000,
                settle_us: 0,
                warm_up_us: 0,
                modes: Side::BOTH.to_vec(),
                orgs: 10,
                rng_seed: 1,
            },
            config: Config { routing, ..Config::default() },
            connections: 256,
            timeout: Duration::from_secs(5),
            closed_loop: false,
            context: ActContext::silent(),
            database_url: None,
            dashboard: None,
            judge: None,
            out: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Drives `url`; a load that does not end within a minute has hung.
    pub async fn run(&self, url: &str) -> Result<DriveEvidence> {
        let scenario = Arc::new(Scenario::parse("test", &self.scenario).expect("a scenario"));
        let plan = Plan::new(&scenario, &self.plan).expect("a plan");
        let switch = Switch::new(&self.config, &url.parse().expect("a URL"))?;
        let options = Options {
            connections: self.connections,
            timeout: self.timeout,
            as_of: chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date"),
            rate_per_s: self.plan.rate_per_s,
            ahead: false,
            closed_loop: self.closed_loop,
            database_url: self.database_url.clone(),
            judge: self.judge.clone(),
            tables: self.config.tables.clone(),
            parity: self.config.parity.clone(),
            org_sizes: None,
            shard: None,
            start_at: None,
            metrics_listen: None,
            dashboard: self.dashboard,
            executable: None,
        };
        let run = drive::run(scenario, plan, switch, &options, self.out.path(), &self.context);
        let ended = tokio::time::timeout(Duration::from_secs(60), run).await;
        ended.expect("the load hung").map(|outcome| outcome.evidence)
    }

    /// Drives `url` and expects a record of it.
    pub async fn evidence(&self, url: &str) -> DriveEvidence {
        self.run(url).await.expect("the load runs")
    }
}

/// Serves `router` on a free loopback port for as long as the test's runtime lives.
pub async fn serve(router: Router) -> String {
    serve_on("127.0.0.1:0", router).await
}

/// The same on an address of one's own choice.
pub async fn serve_on(address: &str, router: Router) -> String {
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Takes connections and hands each to `answer`, for as long as the test's runtime lives.
pub async fn raw_server<F>(
    answer: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// A port on which nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

/// A file beside these tests.
pub fn beside(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/timed/drive").join(name)
}
