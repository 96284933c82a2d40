//! One load from several generators: each arrival once, and every figure as from one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use serde_json::Value;

use cutover::config::TablePair;
use cutover::drive::reconcile;

use crate::drive::harness::{ONE_GET, serve};
use crate::drive::ledger::WRITES;
use crate::drive::service;
use crate::support::{cutover_command, database, execute};

const SHARDS: u64 = 4;

/// Says which side served, and takes its time over some orgs.
async fn target() -> String {
    let answer = async |headers: HeaderMap, uri: axum::http::Uri| {
        let org: u64 = uri.query().and_then(|query| query[4..].parse().ok()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(org % 20)).await;
        let mode = headers.get("x-cutover-mode").cloned().expect("the load asks for a side");
        ([("x-routed-to", mode)], "ok")
    };
    serve(Router::new().route("/", get(answer))).await
}

/// A load of six seconds at 120 req/s into `out`.
fn drive(url: &str, folder: &Path, out: &str, more: &[&str]) -> std::process::Command {
    let scenario = folder.join("scenario.toml");
    std::fs::write(&scenario, ONE_GET).expect("our own folder");
    let mut command = cutover_command();
    command
        .args(["drive", "--format", "json", "--orgs", "300", "--rate", "120", "--pairs", "2"])
        .args(["--duration", "6s", "--connections", "8", "--base-url", url, "--scenario"])
        .arg(scenario)
        .arg("--out")
        .arg(folder.join(out))
        .args(more);
    command
}

/// Runs `commands` at once.
async fn together(commands: Vec<std::process::Command>) -> Vec<Output> {
    let run = |mut command: std::process::Command| {
        tokio::task::spawn_blocking(move || command.output().expect("cutover runs"))
    };
    let running: Vec<_> = commands.into_iter().map(run).collect();
    let mut outputs = Vec::new();
    for output in running {
        outputs.push(output.await.expect("it does not panic"));
    }
    outputs
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

type Line = BTreeMap<String, String>;

fn samples(folder: &Path) -> Vec<Line> {
    let mut reader = csv::Reader::from_path(folder.join("samples.csv")).expect("samples");
    reader.deserialize().map(|line| line.expect("a line")).collect()
}

fn arrivals(samples: &[Line]) -> Vec<[&String; 5]> {
    let mut arrivals: Vec<_> = samples
        .iter()
        .map(|line| ["due_us", "pair", "mode", "operation", "org_id"].map(|column| &line[column]))
        .collect();
    arrivals.sort();
    arrivals
}

fn merge(folder: &Path, shards: &[u64], out: &str) -> Output {
    let mut command = cutover_command();
    command.args(["merge", "--format", "json", "--out"]).arg(folder.join(out));
    command.args(shards.iter().map(|index| folder.join(format!("shard{index}"))));
    command.output().expect("cutover runs")
}

/// A machine that is short of time may send late, and says so; nothing else may be wrong.
fn only_the_machine_may_be_at_fault(output: &Output, record: &Value) {
    let criteria = record["criteria"].as_array().expect("criteria");
    // Of a shard nobody expects the whole plan, and of so short a load no full cache.
    let expected = ["whole_plan", "cache_hit_rate"].map(Value::from);
    let has_failed = |c: &&Value| c["state"] == "fail" && !expected.contains(&c["id"]);
    let of_the_machine =
        |c: &&Value| ["scheduling_lag", "generator_sound"].map(Value::from).contains(&c["id"]);
    let (late, wrong): (Vec<&Value>, Vec<&Value>) =
        criteria.iter().filter(has_failed).partition(of_the_machine);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected = if late.is_empty() { 0 } else { 30 };
    assert_eq!(output.status.code(), Some(expected), "{}", record["criteria"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_shards_are_one_load() {
    let url = target().await;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let start_at = (chrono::Utc::now() + chrono::Duration::seconds(8)).to_rfc3339();
    let shard = |index: u64| {
        let shard = format!("{index}/{SHARDS}");
        drive(&url, folder, &format!("shard{index}"), &["--shard", &shard, "--start-at", &start_at])
    };
    for output in together((1..=SHARDS).map(shard).collect()).await {
        let record = json(&output);
        only_the_machine_may_be_at_fault(&output, &record);
        assert_eq!(record["verdict"]["exit_code"], 30, "a shard alone is no load");
    }
    let output = merge(folder, &[3, 1, 4, 2], "merged");
    let merged = json(&output);
    only_the_machine_may_be_at_fault(&output, &merged);
    let one = json(&together(vec![drive(&url, folder, "whole", &[])]).await[0]);

    let (merged_samples, whole) = (samples(&folder.join("merged")), samples(&folder.join("whole")));
    assert_eq!(arrivals(&merged_samples), arrivals(&whole));
    let load = &merged["drive"];
    assert_eq!(load["arrivals_planned"], whole.len());
    assert_eq!(load["connections"], 8 * SHARDS);
    assert_eq!((&load["complete"], &load["shard"]), (&Value::from(true), &Value::Null));
    let windows = |record: &Value| -> Vec<Vec<Value>> {
        let windows = record["drive"]["windows"].as_array().expect("windows");
        let of = |window: &Value| {
            let figures = ["pair", "mode", "candidate", "start_s", "end_s"];
            let arrivals = window["all"]["arrivals"].clone();
            figures.iter().map(|name| window[name].clone()).chain([arrivals]).collect()
        };
        windows.iter().map(of).collect()
    };
    assert_eq!(windows(&merged), windows(&one));
    for mode in ["legacy", "partitioned"] {
        let of_mode = |line: &&Line| line["mode"] == mode && line["measured"] == "true";
        let mut response_us: Vec<u64> = merged_samples
            .iter()
            .filter(of_mode)
            .map(|line| line["response_us"].parse().expect("a number"))
            .collect();
        response_us.sort_unstable();
        let told = &load["overall"][mode];
        assert_eq!(told["requests"], response_us.len());
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let rank = (response_us.len() as f64 * share).ceil() as usize - 1;
            let (told, exact) =
                (told["response_us"][name].as_f64().expect("a number"), response_us[rank] as f64);
            assert!((told / exact - 1.0).abs() < 0.002, "{mode} {name}: {told} for {exact}");
        }
    }

    // A node that was lost is no load that can be trusted, and says which one it was.
    let output = merge(folder, &[1, 2, 4], "three");
    let three = json(&output);
    assert_eq!(output.status.code(), Some(30));
    let criteria = three["criteria"].as_array().expect("criteria");
    let whole_plan = criteria.iter().find(|c| c["id"] == "whole_plan").expect("a criterion");
    assert_eq!(
        (&whole_plan["state"], &whole_plan["measured"]),
        (&"fail".into(), &"missing: 3".into())
    );

    for (shards, why) in [(&[1, 2, 2, 4][..], "there twice"), (&[1, 2, 3, 9], "shard9")] {
        let output = merge(folder, shards, "never");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!folder.join("never").exists());
    }
    let samples = folder.join("shard2/samples.bin");
    let mut bytes = std::fs::read(&samples).expect("samples");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&samples, bytes).expect("our own folder");
    let output = merge(folder, &[1, 2, 3, 4], "never");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_cannot_be_shared_is_refused() {
    let url = target().await;
    let folder = tempfile::tempdir().expect("a folder");
    for (more, why) in [
        (&["--shard", "1/2"][..], "--start-at"),
        (&["--shard", "3/2", "--start-at", "2999-01-01T00:00:00Z"], "--shard"),
        (&["--start-at", "2001-01-01T00:00:00Z"], "is over"),
        (&["--start-at", "soon"], "RFC 3339"),
        (&["--shard", "1/2", "--start-at", "2999-01-01T00:00:00Z", "--rate", "max"], "--rate"),
    ] {
        let output = together(vec![drive(&url, folder.path(), "never", more)]).await.remove(0);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!folder.path().join("never").exists());
    }
}

/// The criterion about the ledger.
fn ledger_of(record: &Value) -> &Value {
    let criteria = record["criteria"].as_array().expect("criteria");
    criteria.iter().find(|criterion| criterion["id"] == "ledger").expect("the load wrote")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_shards_wrote_is_judged_together_and_once() {
    let database = database();
    let platform = service::start(&database, &[]).await;
    let url = format!("http://{}", platform.address);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let scenario = folder.join("writes.toml");
    std::fs::write(&scenario, WRITES).expect("our own folder");
    let start_at = (chrono::Utc::now() + chrono::Duration::seconds(6)).to_rfc3339();
    let shard = |index: u64| {
        let mut command = cutover_command();
        command
            // Few orgs, so that both shards set the same balances again and again.
            .args(["drive", "--format", "json", "--orgs", "3", "--rate", "150", "--pairs", "2"])
            .args(["--duration", "6s", "--connections", "8", "--base-url", &url])
            .args(["--database-url", &database.url, "--start-at", &start_at])
            .args(["--shard", &format!("{index}/2"), "--scenario"])
            .arg(&scenario)
            .arg("--out")
            .arg(folder.join(format!("shard{index}")));
        command
    };
    for output in together(vec![shard(1), shard(2)]).await {
        let record = json(&output);
        only_the_machine_may_be_at_fault(&output, &record);
        assert_eq!(ledger_of(&record)["state"], "unknown", "alone it cannot be judged");
        assert!(record["drive"]["ledger"]["writes"].as_u64() > Some(100));
    }
    let merge = |out: &str, more: &[&str]| {
        let mut command = cutover_command();
        command.args(["merge", "--format", "json", "--out"]).arg(folder.join(out)).args(more);
        command.args([folder.join("shard2"), folder.join("shard1")]);
        command.output().expect("cutover runs")
    };
    let looks = ["--database-url", &database.url];

    // Nobody looked: not known.
    let output = merge("unlooked", &[]);
    let record = json(&output);
    only_the_machine_may_be_at_fault(&output, &record);
    assert_eq!(ledger_of(&record)["state"], "unknown");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--database-url"));

    let output = merge("clean", &looks);
    let record = json(&output);
    let ledger = &record["drive"]["ledger"];
    assert_eq!(ledger_of(&record)["state"], "pass", "{ledger:#}");
    only_the_machine_may_be_at_fault(&output, &record);
    assert_eq!(ledger["complete"], true);
    let parts = ["shard1", "shard2"].map(|name| {
        let text = std::fs::read_to_string(folder.join(name).join("ledger.jsonl"));
        text.expect("a ledger").lines().filter(|line| line.contains("\"sent\"")).count() as u64
    });
    assert_eq!(ledger["writes"], parts.iter().sum::<u64>());
    // It is the other's writes that made the difference: each alone takes them for a fault.
    let tables = TablePair::reference();
    for name in ["shard1", "shard2"] {
        let out = tempfile::tempdir().expect("a folder");
        let alone = folder.join(name).join("ledger.jsonl");
        let alone = reconcile(&alone, &database.url, &tables, out.path()).await;
        let counts = alone.expect("it can be read").counts;
        assert!(counts.total() > 0, "{name}: {counts:?}");
    }

    // A balance that another hand set, on both sides alike; and a row that is gone.
    let sets = "UPDATE daily_cash_balances SET closing = closing + 1000
        WHERE (org_id, balance_date) = (SELECT org_id, balance_date FROM daily_cash_balances
            WHERE property_id = 1 ORDER BY updated_at DESC LIMIT 1) AND property_id = 1";
    execute(&database.url, sets).await;
    let gone =
        "DELETE FROM revenue_transactions WHERE id = (SELECT max(id) FROM revenue_transactions)";
    execute(&database.url, gone).await;
    let output = merge("faulty", &looks);
    let record = json(&output);
    assert_eq!(output.status.code(), Some(11), "{:#}", record["drive"]["ledger"]);
    assert_eq!(ledger_of(&record)["state"], "fail");
    let counts = &record["drive"]["ledger"]["counts"];
    assert_eq!(
        (&counts["altered"], &counts["lost"]),
        (&Value::from(1), &Value::from(1)),
        "{counts}"
    );
    assert!(folder.join("faulty/ledger_findings.jsonl").exists());

    // What one of them wrote is not there: nothing can be said of the others' rows.
    let mut command = cutover_command();
    command.args(["merge", "--format", "json"]).args(looks).arg("--out");
    command.arg(folder.join("half")).arg(folder.join("shard1"));
    let output = command.output().expect("cutover runs");
    let record = json(&output);
    assert_eq!(
        (output.status.code(), ledger_of(&record)["state"].as_str()),
        (Some(30), Some("unknown"))
    );

    // Other table pairs than the shards had.
    let config = folder.join("cutover.toml");
    let one_pair = "[[tables]]\nname = \"revenue\"\nlegacy = \"public.revenue_transactions\"\n\
        partitioned = \"public.revenue_transactions_partitioned\"\norg = \"org_id\"\nkey = [\"id\"]\n";
    std::fs::write(&config, one_pair).expect("our own folder");
    let output =
        merge("never", &[&looks[..], &["--config", config.to_str().expect("UTF-8")]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("table pairs") && !folder.join("never").exists(), "{said}");
}
