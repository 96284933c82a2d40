//! The scenarios that ship, on the reference platform with real servers behind it.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::rig::Rig;
use crate::support::{cutover_command, wait_until};

impl Rig {
    fn drive(&self, scenario: &str) -> std::process::Command {
        let mut command = cutover_command();
        command
            .args(["drive", "--format", "json", "--orgs", "300", "--rate", "80", "--pairs", "2"])
            .args(["--duration", "8s", "--connections", "16", "--scenario"])
            .arg(format!("{}/scenarios/{scenario}.toml", env!("CARGO_MANIFEST_DIR")))
            .args(["--database-url", self.url("database_url"), "--base-url", self.url("base_url")])
            .arg("--out")
            .arg(self.dir.path().join(scenario));
        command
    }
}

#[test]
fn every_scenario_that_ships_runs_without_an_error() {
    let rig = Rig::up();
    rig.seed("300");
    let loads = ["finance", "reporting", "month_end", "smoke"].map(|scenario| {
        let mut load = rig.drive(scenario);
        load.stdout(Stdio::piped()).stderr(Stdio::piped());
        (scenario, load.spawn().expect("cutover runs"))
    });
    for (scenario, load) in loads {
        let output = load.wait_with_output().expect("cutover runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let record: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{scenario}: {said}"));
        let drive = &record["drive"];
        assert_eq!(drive["complete"], true, "{scenario}: {said}");
        assert_eq!(drive["errors"], 0, "{scenario}: {}", drive["errors_by_kind"]);
        assert!(drive["requests"].as_u64() > Some(100), "{scenario}: {}", drive["requests"]);
        let slices = drive["slices"].as_array().expect("slices");
        for (by, class) in [("org_size", "small"), ("popularity", "hot"), ("popularity", "cold")] {
            let there = slices.iter().any(|slice| slice["by"] == by && slice["class"] == class);
            assert!(there, "{scenario}: no {class} by {by}");
        }
        let database = drive["database"].as_array().expect("a time line");
        let commits: u64 = database.iter().filter_map(|point| point["commits"].as_u64()).sum();
        assert!(commits > 50, "{scenario}: {database:?}");
        assert!(drive["generator"].as_array().is_some_and(|points| points.len() > 4));
    }
}

#[test]
fn prometheus_is_answered_while_the_load_runs() {
    let rig = Rig::up();
    rig.seed("300");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let mut child = rig
        .drive("smoke")
        .args(["--metrics-listen", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cutover runs");
    let mut seen = String::new();
    let found = wait_until(Duration::from_secs(30), || {
        seen = ask(port).unwrap_or_default();
        ["legacy", "partitioned"].iter().all(|mode| {
            let bucket = "cutover_response_seconds_bucket";
            seen.contains(&format!(
                "{bucket}{{mode=\"{mode}\",operation=\"list_revenue\",le=\"+Inf\"}}"
            ))
        })
    });
    assert!(child.wait().expect("our child").code().is_some());
    assert!(found, "{seen}");
}

fn ask(port: u16) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
