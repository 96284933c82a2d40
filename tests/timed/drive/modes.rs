//! Which side answers: routed by header or by a flag that is switched, proven, and put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use cutover::act::ActContext;
use cutover::config::{FlagRequest, Probe, RoutingConfig, RoutingKind};
use cutover::evidence::drive::Side;
use tokio_util::sync::CancellationToken;

use crate::drive::harness::{Load, serve};
use crate::support::{cutover, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_the_wrong_side_is_counted() {
    // Says "legacy" whatever was asked for: right in one window, wrong in the other.
    let handler = || async { ([("x-routed-to", "legacy")], "ok") };
    let url = serve(Router::new().route("/", get(handler))).await;
    let mut load = Load::new(200.0, 1000);
    load.config.routing = RoutingConfig::default();
    let evidence = load.evidence(&url).await;
    assert_eq!(evidence.wrong_mode, 200);
    assert_eq!(evidence.overall[&Side::Legacy].errors, 0);
    assert_eq!(evidence.overall[&Side::Partitioned].errors, 200);
}

/// A platform with a flag for everybody, which stands at partitioned.
#[derive(Clone, Default)]
struct Flagged {
    /// Whether reads go to legacy.
    legacy: Arc<AtomicBool>,
    /// Whether changes of the flag are taken and forgotten.
    stuck: bool,
    switched: Arc<AtomicUsize>,
}

impl Flagged {
    fn side(&self) -> &'static str {
        if self.legacy.load(Ordering::SeqCst) { "legacy" } else { "partitioned" }
    }

    async fn serve(&self) -> String {
        let (answers, shows, changes) = (self.clone(), self.clone(), self.clone());
        let set = async move |body: String| {
            changes.switched.fetch_add(1, Ordering::SeqCst);
            if !changes.stuck {
                changes.legacy.store(body.contains("\"off\""), Ordering::SeqCst);
            }
            StatusCode::NO_CONTENT
        };
        let router = Router::new()
            .route("/", get(async move || ([("x-routed-to", answers.side())], "ok")))
            .route(
                "/flag",
                get(async move || format!("{{\"side\":\"{}\"}}", shows.side())).put(set),
            );
        serve(router).await
    }
}

/// Three pairs of windows with a settling time, switched through `PUT /flag`.
fn switched(url: &str) -> Load {
    let request = |body: &str| FlagRequest {
        method: "PUT".into(),
        url: format!("{url}/flag").parse().expect("a URL"),
        body: body.into(),
        headers: [].into(),
        headers_env: [].into(),
    };
    let mut load = Load { connections: 16, ..Load::new(100.0, 900) };
    load.plan.pairs = 3;
    load.plan.settle_us = 400_000;
    load.plan.warm_up_us = 200_000;
    load.config.routing = RoutingConfig {
        kind: RoutingKind::Http,
        legacy: Some(request("{\"partitioned\":\"off\"}")),
        partitioned: Some(request("{\"partitioned\":\"on\"}")),
        probe: Some(Probe {
            url: format!("{url}/flag").parse().expect("a URL"),
            header: None,
            pointer: Some("/side".into()),
            legacy: "legacy".into(),
            partitioned: "partitioned".into(),
            headers: [].into(),
            headers_env: [].into(),
        }),
        settle_s: 0.4,
        ..RoutingConfig::default()
    };
    load
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_switched_for_each_window_and_put_back() {
    let platform = Flagged::default();
    let url = platform.serve().await;
    let evidence = switched(&url).evidence(&url).await;
    // Every measured answer says that it came from its window's side.
    assert_eq!((evidence.wrong_mode, evidence.errors), (0, 0), "{:?}", evidence.errors_by_kind);
    assert_eq!((evidence.unproven_windows, evidence.flag_left_changed), (0, None));
    assert!(evidence.mode_proven && evidence.windows.len() == 6);
    assert!(evidence.overall.values().all(|latency| latency.requests > 100));
    assert!(platform.switched.load(Ordering::SeqCst) >= 4);
    assert_eq!(platform.side(), "partitioned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_does_not_move_is_seen() {
    let platform = Flagged { stuck: true, ..Flagged::default() };
    let url = platform.serve().await;
    let evidence = switched(&url).evidence(&url).await;
    assert!(evidence.unproven_windows >= 3, "{}", evidence.unproven_windows);
    assert!(evidence.wrong_mode > 0);
    assert_eq!(evidence.flag_left_changed, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_somebody_else_moves_is_seen_where_answers_do_not_say_their_side() {
    let platform = Flagged::default();
    let url = platform.serve().await;
    let mut load = switched(&url);
    load.config.routing.served_by_header = String::new();
    let meddler = {
        let platform = platform.clone();
        tokio::spawn(async move {
            let each = Duration::from_millis(5);
            loop {
                // Once each window is being measured, at the latest.
                if platform.side() == "legacy" {
                    tokio::time::sleep(Duration::from_millis(600)).await;
                    platform.legacy.store(false, Ordering::SeqCst);
                }
                tokio::time::sleep(each).await;
            }
        })
    };
    let evidence = load.evidence(&url).await;
    meddler.abort();
    // Three windows of legacy, and the other side's stand where they should.
    assert_eq!((evidence.unproven_windows, evidence.wrong_mode), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_waits_for_the_flag_that_another_moves() {
    let platform = Flagged::default();
    let url = platform.serve().await;
    let (one, other) = (switched(&url), switched(&url));
    let (one, other) = tokio::join!(one.evidence(&url), other.evidence(&url));
    for evidence in [one, other] {
        assert_eq!((evidence.wrong_mode, evidence.unproven_windows), (0, 0));
        assert_eq!(evidence.flag_left_changed, None);
    }
    assert_eq!(platform.side(), "partitioned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_puts_the_flag_back() {
    let platform = Flagged::default();
    let url = platform.serve().await;
    let stop = CancellationToken::new();
    let load = Load { context: ActContext::new(|_| {}, stop.clone()), ..switched(&url) };
    let watched = platform.clone();
    let stopper = tokio::task::spawn_blocking(move || {
        let moved = || watched.side() == "legacy";
        assert!(wait_until(Duration::from_secs(20), moved), "the flag was never switched");
        stop.cancel();
    });
    let evidence = load.evidence(&url).await;
    stopper.await.expect("the flag was switched");
    assert!(!evidence.complete);
    assert_eq!((platform.side(), evidence.flag_left_changed), ("partitioned", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_no_flag_behind() {
    let platform = Flagged::default();
    let url = platform.serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("one.toml"), crate::drive::harness::ONE_GET).expect("our own folder");
    let config = format!(
        r#"
        [routing]
        kind = "http"
        settle_s = 1
        legacy = {{ url = "{url}/flag", body = '{{"partitioned":"off"}}' }}
        partitioned = {{ url = "{url}/flag", body = '{{"partitioned":"on"}}' }}
        probe = {{ url = "{url}/flag", pointer = "/side" }}
        "#
    );
    std::fs::write(path("cutover.toml"), config).expect("our own folder");
    let mut child = crate::support::cutover_command()
        .args(["drive", "-q", "--base-url", &url, "--rate", "20", "--duration", "10m"])
        .args(["--scenario", &path("one.toml"), "--config", &path("cutover.toml")])
        .args(["--out", &path("run")])
        .spawn()
        .expect("cutover runs");
    let side = async |wanted: &str| {
        let (platform, wanted) = (platform.clone(), wanted.to_owned());
        let seen = move || wait_until(Duration::from_secs(40), || platform.side() == wanted);
        tokio::task::spawn_blocking(seen).await.expect("no panic")
    };
    let switched = side("legacy").await;
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert!(switched, "the flag was never switched");
    assert!(side("partitioned").await, "the flag was left switched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_cannot_be_put_back_is_told_and_one_that_cannot_be_seen_is_not_touched() {
    let platform = Flagged::default();
    let url = platform.serve().await;
    let mut load = switched(&url);
    let nowhere = FlagRequest {
        url: format!("{url}/nowhere").parse().expect("a URL"),
        ..load.config.routing.legacy.clone().expect("given")
    };
    load.config.routing.restore = Some(nowhere);
    let evidence = load.evidence(&url).await;
    let told = evidence.flag_left_changed.expect("told");
    assert!(told.contains("404"), "{told}");
    let before = platform.switched.load(Ordering::SeqCst);
    let mut load = switched(&url);
    load.config.routing.probe.as_mut().expect("given").pointer = Some("/colour".into());
    let error = load.run(&url).await.expect_err("nobody can see the flag").to_string();
    assert!(error.contains("neither side"), "{error}");
    assert_eq!(platform.switched.load(Ordering::SeqCst), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_can_be_switched_by_a_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    for side in ["legacy", "partitioned"] {
        std::fs::write(path(side), side).expect("our own folder");
    }
    std::fs::write(path("flag"), "legacy").expect("our own folder");
    let flag = path("flag");
    let handler = async move || {
        let side = std::fs::read_to_string(&flag).expect("a side").trim().to_owned();
        ([("x-routed-to", side)], "ok")
    };
    let url = serve(Router::new().route("/", get(handler))).await;
    let mut load = switched(&url);
    let copy = |side: &str| vec!["cp".to_owned(), path(side), path("flag")];
    let routing = &mut load.config.routing;
    routing.kind = RoutingKind::Command;
    (routing.legacy_command, routing.partitioned_command) = (copy("legacy"), copy("partitioned"));
    let probe = routing.probe.as_mut().expect("given");
    (probe.header, probe.pointer) = (Some("x-routed-to".into()), None);
    probe.url = url.parse().expect("a URL");
    let evidence = load.evidence(&url).await;
    assert_eq!((evidence.wrong_mode, evidence.unproven_windows), (0, 0));
    assert_eq!(std::fs::read_to_string(path("flag")).expect("a side"), "legacy");
}

/// A configuration for a server that knows no sides.
fn unrouted(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("cutover.toml");
    std::fs::write(&path, "[routing]\nkind = \"none\"\n").expect("our own folder");
    std::fs::write(folder.join("scenario.toml"), crate::drive::harness::ONE_GET)
        .expect("our own folder");
    path
}

/// Runs `cutover drive` on a server that knows no sides; gives exit code and record.
fn command(url: &str, folder: &std::path::Path, more: &[&str]) -> (i32, serde_json::Value) {
    let output = cutover()
        .args(["drive", "--format", "json", "--base-url", url, "--connections", "8", "--config"])
        .arg(unrouted(folder))
        .arg("--scenario")
        .arg(folder.join("scenario.toml"))
        .arg("--out")
        .arg(folder.join("run"))
        .args(more)
        .output()
        .expect("cutover runs");
    let record = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("an exit code"), record)
}

#[tokio::test(flavor = "multi_thread")]
async fn as_fast_as_it_goes_is_a_capacity_and_no_ground_for_a_go() {
    let url = serve(Router::new().route("/", get(async || "ok"))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (code, record) = command(&url, folder.path(), &["--rate", "max", "--duration", "4s"]);
    assert_eq!(code, 0);
    let drive = &record["drive"];
    assert_eq!((&drive["closed_loop"], &drive["complete"]), (&true.into(), &true.into()));
    let measured = drive["overall"]["legacy"]["throughput_per_s"].as_f64().expect("a rate");
    assert!(measured > 100.0, "{measured}");
    assert!(drive["windows"].as_array().expect("a list").is_empty());
    assert_ne!(record["verdict"]["decision"], "go");
    // Again from the folder: the same.
    let gate = cutover().arg("gate").arg(folder.path().join("run")).output().expect("it runs");
    assert_ne!(gate.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_differs_from_itself_makes_the_calibration_fail() {
    // Slower and slower: what comes second in a pair is slower, whichever it is called.
    let asked = Arc::new(AtomicUsize::new(0));
    let handler = move || {
        let number = asked.fetch_add(1, Ordering::SeqCst) as u64;
        async move { tokio::time::sleep(Duration::from_millis(1 + number % 400 / 8)).await }
    };
    let url = serve(Router::new().route("/", get(handler))).await;
    let folder = tempfile::tempdir().expect("a folder");
    // In windows that are as long as what wanders.
    let mut options = vec!["--modes", "legacy,legacy", "--rate", "100", "--duration", "20s"];
    options.extend(["--pairs", "6", "--window", "1500ms"]);
    let (code, record) = command(&url, folder.path(), &options);
    let criteria = record["criteria"].as_array().expect("criteria");
    let found = criteria.iter().find(|c| c["id"] == "calibration").expect("a criterion");
    assert_eq!((code, found["state"].as_str()), (30, Some("fail")), "{found}");
    assert_eq!(record["drive"]["calibration"], true);
}

#[test]
fn what_cannot_be_told_apart_is_not_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    cutover()
        .args(["drive", "--base-url", "http://127.0.0.1:1", "--modes", "legacy,partitioned"])
        .arg("--config")
        .arg(unrouted(folder.path()))
        .assert()
        .code(2);
}
