//! Shards of one comparison, each by a command of its own, put together by `cutover merge`.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::diff::MANY_ROWS;
use crate::support::{self, cutover, reference_database};

const FAULTS: &str = "
    DELETE FROM revenue_transactions_partitioned WHERE id IN (1, 10500, 20001);
    UPDATE revenue_transactions_partitioned SET org_id = org_id + 1 WHERE id = 20004;
    UPDATE revenue_transactions SET org_id = -7 WHERE id = 20002;
    UPDATE revenue_transactions_partitioned SET amount = 0 WHERE id IN (20002, 20003);
    ALTER TABLE revenue_transactions DISABLE TRIGGER USER";

fn diff(url: &str, out: &Path, more: &[&str]) -> Output {
    let mut command = cutover();
    command.args(["diff", "--table", "revenue", "--database-url", url, "--out"]).arg(out);
    command.args(more).output().expect("cutover runs")
}

fn merge(folder: &Path, shards: &[u64], out: &str) -> Output {
    let mut command = cutover();
    command.arg("merge");
    for shard in shards {
        command.arg(folder.join(format!("shard{shard}")));
    }
    command.arg("--out").arg(folder.join(out)).output().expect("cutover runs")
}

fn record(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("run.json")).expect("a record");
    serde_json::from_str(&text).expect("JSON")
}

/// The lines of a file, sorted: shards tell in another order than one run.
fn lines(folder: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join(name)).expect("a file");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn shards_put_together_tell_what_one_run_tells() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    support::execute(&database.url, FAULTS).await;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for shard in 1..=3 {
        let out = folder.join(format!("shard{shard}"));
        let output = diff(&database.url, &out, &["--shard", &format!("{shard}/3")]);
        assert_eq!(output.status.code(), Some(11), "{output:?}");
    }
    let output = diff(&database.url, &folder.join("whole"), &[]);
    assert_eq!(output.status.code(), Some(11), "{output:?}");
    let output = merge(folder, &[2, 3, 1], "merged");
    assert_eq!(output.status.code(), Some(11), "{output:?}");
    let (whole, merged) = (record(&folder.join("whole")), record(&folder.join("merged")));
    for figure in [
        "scope",
        "complete",
        "orgs_checked",
        "orgs_diverged",
        "tables",
        "findings_total",
        "differences_total",
        "integrity_errors",
    ] {
        assert_eq!(merged["diff"][figure], whole["diff"][figure], "{figure}");
    }
    for file in ["findings.jsonl", "orgs.csv"] {
        assert_eq!(
            lines(&folder.join("merged"), file),
            lines(&folder.join("whole"), file),
            "{file}"
        );
    }
    let gate = cutover().arg("gate").arg(folder.join("merged")).output().expect("cutover runs");
    assert_eq!(gate.status.code(), Some(11), "{gate:?}");

    // Two of three found nothing wrong, and are no comparison.
    for (shards, why) in [(&[1, 1, 2][..], "there twice"), (&[1, 9], "shard9")] {
        let output = merge(folder, shards, "never");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && !folder.join("never").exists(), "{said}");
    }
}

#[tokio::test]
async fn a_shard_that_is_missing_leaves_the_rest_without_a_pass() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for shard in [1, 2, 3] {
        let out = folder.join(format!("shard{shard}"));
        let output = diff(&database.url, &out, &["--shard", &format!("{shard}/3")]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(merge(folder, &[1, 2, 3], "all").status.code(), Some(0));
    let output = merge(folder, &[1, 3], "two");
    assert_eq!(output.status.code(), Some(20), "{output:?}");
    let diff = &record(&folder.join("two"))["diff"];
    assert_eq!(
        (&diff["complete"], &diff["incomplete_reason"]),
        (&false.into(), &"shards that are not there: 2".into())
    );
    // What was changed afterwards is nobody's evidence.
    let findings = folder.join("shard2/findings.jsonl");
    std::fs::write(findings, "{}\n").expect("our own folder");
    let output = merge(folder, &[1, 2, 3], "altered");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test]
async fn shards_of_servers_that_are_called_the_same_are_none_of_one_comparison() {
    let (database, another) = (reference_database().await, support::start_server());
    let name = database.url.rsplit('/').next().expect("a path");
    support::execute(another.database_url(), &format!("CREATE DATABASE {name}")).await;
    let mut elsewhere = url::Url::parse(another.database_url()).expect("the server's own");
    elsewhere.set_path(name);
    support::fill(elsewhere.as_str()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (shard, url) in [(1, database.url.as_str()), (2, elsewhere.as_str())] {
        let out = folder.join(format!("shard{shard}"));
        let output = diff(url, &out, &["--shard", &format!("{shard}/2")]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let output = merge(folder, &[1, 2], "never");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("another server") && !folder.join("never").exists(), "{said}");
}

#[tokio::test]
async fn a_comparison_takes_the_place_of_an_earlier_one_and_of_nothing_else() {
    let database = reference_database().await;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("diff");
    let started = |code| {
        let output = diff(&database.url, &out, &[]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        record(&out)["started_at"].clone()
    };
    assert_ne!(started(0), started(0));
    assert!(out.join("report.html").exists());
    let text = std::fs::read_to_string(out.join("run.json")).expect("a record");
    std::fs::write(out.join("run.json"), text.replace("\"drive\": null", "\"drive\": 1"))
        .expect("our own folder");
    let before = lines(&out, "findings.jsonl");
    let output = diff(&database.url, &out, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("a run of another kind"), "{said}");
    assert_eq!(lines(&out, "findings.jsonl"), before);
}
