//! Whatever a file holds: no panic, no hang, and a refusal that says where and why. Seconds by default;
//! `PROPTEST_CASES=100000` for an hour.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use cutover::config::Config;
use cutover::error::Error;
use cutover::scenario::Scenario;
use cutover::seed::Profile;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, TestRunner};

/// What one text may take at most; a hang is far longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does it in time and without a panic.
fn survives<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, told) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
    });
    let outcome = told.recv_timeout(PATIENCE).expect("it hangs");
    outcome.unwrap_or_else(|_| panic!("it panics"))
}

/// A refusal names its place and gives a reason.
fn refused_well<T>(outcome: Result<T, Error>, place: &str) {
    let Err(error) = outcome else { return };
    let told = error.to_string();
    assert!(matches!(error, Error::Usage { .. }), "not a usage error: {told}");
    assert!(told.starts_with(place), "does not name its place: {told}");
    assert!(told.len() > place.len() + 8, "gives no reason: {told}");
}

/// A text that is nearly right: pieces cut out, put in, swapped, doubled.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec((0..4u8, 0..10_000usize, 0..40usize, ".{0,12}"), 1..6);
    pieces.prop_map(move |pieces| {
        let mut chars: Vec<char> = text.chars().collect();
        for (how, at, length, new) in pieces {
            let at = at % chars.len().max(1);
            let end = (at + length).min(chars.len());
            match how {
                0 => drop(chars.drain(at..end)),
                1 => drop(chars.splice(at..at, new.chars())),
                2 => drop(chars.splice(at..end, new.chars())),
                _ => {
                    let copy: Vec<char> = chars[at..end].to_vec();
                    drop(chars.splice(at..at, copy));
                }
            }
        }
        chars.into_iter().collect()
    })
}

/// A text whose numbers and words are other ones.
fn extreme(text: &'static str) -> impl Strategy<Value = String> {
    let values = prop::sample::select(vec![
        "0",
        "-1",
        "1e308",
        "-0.0",
        "nan",
        "inf",
        "9223372036854775807",
        "\"\"",
        "\"\\u0000\"",
        "[]",
        "{}",
        "true",
        "\"{{\"",
        "\"{{org}}\"",
        "\"}}\"",
        "\"{{int:9..1}}\"",
        "\"{{choice:}}\"",
        "1979-05-27",
        "\"../../etc/passwd\"",
        "[[[[[[]]]]]]",
    ]);
    (0..500usize, values).prop_map(move |(at, value)| {
        let lines: Vec<&str> = text.lines().collect();
        let settable: Vec<usize> = (0..lines.len())
            .filter(|&n| lines[n].contains(" = ") || lines[n].contains(": "))
            .collect();
        let chosen = settable[at % settable.len()];
        let changed = |(n, line): (usize, &&str)| match line.split_once(" = ") {
            Some((key, _)) if n == chosen => format!("{key} = {value}"),
            None if n == chosen => match line.split_once(": ") {
                // JSON: what follows the value stays.
                Some((key, old)) if old.ends_with(',') => format!("{key}: {value},"),
                Some((key, _)) => format!("{key}: {value}"),
                None => (*line).to_owned(),
            },
            _ => (*line).to_owned(),
        };
        lines.iter().enumerate().map(changed).collect::<Vec<_>>().join("\n")
    })
}

fn runner() -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    TestRunner::new(Runner { cases, failure_persistence: None, ..Runner::default() })
}

fn texts_of(text: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![3 => damaged(text), 3 => extreme(text), 1 => ".{0,400}"]
}

const CONFIG: &str = r#"
base_url = "http://api.staging:4000"
[database]
url = "postgres://desk@db:5432/hotel"
ssl_mode = "verify-full"
[[tables]]
name = "revenue"
legacy = "public.revenue"
partitioned = "public.revenue_p"
org = "org_id"
key = ["id"]
ignore = ["x"]
map = { a = "b" }
[routing]
kind = "http"
settle_s = 600
legacy = { method = "PUT", url = "http://a/flags", body = '{"on":false}', headers = { a = "b" } }
partitioned = { method = "PUT", url = "http://a/flags", body = '{"on":true}' }
probe = { url = "http://a/state", pointer = "/on", legacy = "false", partitioned = "true" }
[parity]
share = 0.01
mask = ["/items/*/at"]
[[limits]]
criterion = "error_rate"
limit = 0.002
reason = "known"
[env.production]
allow = ["seed", "drive"]
production = true
base_url = "https://b"
"#;

#[test]
fn configurations() {
    let run = |text: String| {
        survives(move || refused_well(Config::parse("config x", &text), "config x"));
        Ok(())
    };
    runner().run(&texts_of(CONFIG), run).expect("every text is read or refused");
}

#[test]
fn scenarios() {
    let run = |text: String| {
        survives(move || refused_well(Scenario::parse("scenario x", &text), "scenario x"));
        Ok(())
    };
    runner()
        .run(&texts_of(cutover::scenario::FINANCE), run)
        .expect("every text is read or refused");
}

#[test]
fn seed_profiles() {
    let run = |text: String| {
        survives(move || {
            let profile = Profile::parse_text("seed profile x", &text);
            let Ok(profile) = profile else { return refused_well(profile, "seed profile x") };
            let options = cutover::seed::Options { orgs: 3, ..cutover::seed::Options::default() };
            if let Err(error) = cutover::seed::check(&profile, &options) {
                assert!(matches!(error, Error::Usage { .. }), "{error}");
            } else if let Err(error) = cutover::seed::show_org(&profile, &options, 2) {
                assert!(matches!(error, Error::Usage { .. }), "{error}");
            }
        });
        Ok(())
    };
    let text = include_str!("../../../fixtures/finance.seed.toml");
    runner().run(&texts_of(text), run).expect("every text is read or refused");
}

/// A server that says these bytes to whoever asks, then hangs up.
fn says(bytes: Vec<u8>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut asked = [0; 1024];
        let _ = std::io::Read::read(&mut stream, &mut asked);
        let _ = std::io::Write::write_all(&mut stream, &bytes);
    });
    port
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 33\r\n\r\n\
     {\"status\":\"ok\",\"rows\":[1,2,3]}   ";

#[test]
fn answers_of_a_platform() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let run = |text: String| {
        let url = format!("http://127.0.0.1:{}", says(text.into_bytes()));
        let url = url::Url::parse(&url).expect("a URL");
        let roots = cutover::http::TrustedRoots::default();
        let site = cutover::http::Site::new(&url, &roots, Duration::from_millis(500));
        let mut site = site.expect("a site");
        let asked = async { tokio::time::timeout(PATIENCE, site.json("/state")).await };
        let answer = runtime.block_on(asked).expect("it hangs");
        if let Err(why) = answer {
            prop_assert!(!why.is_empty());
        }
        Ok(())
    };
    runner().run(&texts_of(ANSWER), run).expect("every answer is read or refused");
}

/// A record with something in every part.
fn record() -> &'static str {
    use cutover::evidence::class::RowClass;
    use cutover::evidence::drive::DriveEvidence;
    use cutover::evidence::finding::{DiffEvidence, Finding, TableDiff};
    use cutover::evidence::observation::Observation;
    use cutover::evidence::run_record::{Act, ActKind, RunRecord};
    let diff = DiffEvidence {
        tables: vec![TableDiff { name: "revenue".into(), ..TableDiff::default() }],
        findings: vec![Finding::new("revenue", RowClass::Missing)],
        ..DiffEvidence::default()
    };
    let record = RunRecord {
        acts: vec![Act::done(ActKind::Diff, 0.0)],
        drive: Some(DriveEvidence::default()),
        observations: vec![Observation::default(), Observation::default()],
        diff_before: Some(diff.clone()),
        diff: Some(diff),
        ..RunRecord::default()
    };
    serde_json::to_string_pretty(&record).expect("plain data").leak()
}

#[test]
fn folders_of_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let run = |text: String| {
        std::fs::write(path.join("run.json"), &text).expect("our own folder");
        let folder = path.clone();
        survives(move || match cutover::run_folder::read_record(&folder) {
            Err(error) => {
                let told = error.to_string();
                let name = folder.display().to_string();
                assert!(told.contains(&name) && told.len() > name.len() + 8, "{told}");
            }
            // What can be read is judged and printed, and is no GO: its digest does not fit.
            Ok(mut record) => {
                cutover::gate::judge(&mut record);
                assert_ne!(
                    record.verdict.exit_code,
                    cutover::evidence::exit::Exit::OK,
                    "{:?}",
                    record.verdict
                );
                assert!(!cutover::report::render_all(&record).is_empty());
            }
        });
        Ok(())
    };
    runner().run(&texts_of(record()), run).expect("every folder is read or refused");
}

const METRICS: &str = r#"{
  "system": {"status": "healthy", "uptime": 1},
  "partitions": {"tables": [{"name": "revenue", "rowCountDelta": 0, "status": "ok"}]},
  "cache": {"available": true, "hits": 9000, "lookups": 10000, "hitRate": 90.0},
  "database": {
    "maxReplicaLag": 0.5,
    "pools": [{"name": "primary", "inUse": 3, "max": 20, "waiting": 0}]
  },
  "alerts": {"critical": 0, "warning": 1}
}
"#;

/// Looks of the monitoring loop at a platform that says something else each time.
#[test]
fn monitoring_of_a_platform() {
    use std::sync::{Arc, Mutex};
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let texts: Arc<Mutex<Vec<String>>> = Arc::default();
    let said = Arc::clone(&texts);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let url = url::Url::parse(&url).expect("a URL");
    let answer = move || {
        let mut said = said.lock().expect("nobody panicked");
        said.rotate_left(1);
        let text = said.first().cloned().unwrap_or_default();
        async move { ([("content-type", "application/json")], text) }
    };
    let router = axum::Router::new().fallback(answer);
    runtime.spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().expect("a folder");
    let options = cutover::watch::Options {
        every: Duration::from_millis(2),
        database_url: None,
        length: Some(Duration::from_millis(4)),
        notify: Vec::new(),
    };
    let config = Config::default();
    let said = prop::collection::vec(texts_of(METRICS), 3);
    let run = |changed: Vec<String>| {
        *texts.lock().expect("nobody panicked") = changed;
        let out = folder.path().join("watch");
        let _ = std::fs::remove_dir_all(&out);
        let context = cutover::act::ActContext::silent();
        let watch = cutover::watch::watch(&config, &url, &options, &out, &context);
        let ended = async { tokio::time::timeout(PATIENCE, watch).await };
        let summary =
            runtime.block_on(ended).expect("it hangs").expect("it goes on whatever comes");
        let lines = std::fs::read_to_string(out.join("watch.jsonl")).expect("a line per look");
        prop_assert_eq!(lines.lines().count() as u64, summary.looks);
        for line in lines.lines() {
            let look: serde_json::Value = serde_json::from_str(line).expect("JSON");
            // Nonsense has a reason; whatever has none said how the platform is.
            prop_assert!(
                look["error"].is_string() || look["system_status"].is_string(),
                "{}",
                line
            );
        }
        Ok(())
    };
    runner().run(&said, run).expect("every answer is a look");
}
