//! A flag in a file of rules: switched, proven, put back byte for byte if nobody else changed the file,
//! also after a kill.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{cutover_command, wait_until};

const RULES: &str = r#"{
  "flags": {
    "use-twin": {
      "on": true,
      "fallthrough": {
        "rollout": [
          25,
          75
        ]
      }
    }
  },
  "other": 1
}
"#;

/// A platform that looks into its file of rules for each request, as LaunchDarkly's file source does.
async fn platform(rules: PathBuf) -> u16 {
    async fn answer(State(rules): State<PathBuf>) -> ([(&'static str, String); 1], Json<Value>) {
        let text = std::fs::read_to_string(rules).expect("never half written");
        let rules: Value = serde_json::from_str(&text).expect("never half written");
        let rule = &rules["flags"]["use-twin"]["fallthrough"];
        // A rollout that is neither counts as legacy here.
        let mode = if rule["variation"] == 1 { "partitioned" } else { "legacy" };
        ([("x-routed-to", mode.to_owned())], Json(json!({ "mode": mode })))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let router = Router::new().route("/", get(answer)).with_state(rules);
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn files(folder: &Path, port: u16) -> PathBuf {
    let rules = folder.join("flags.json");
    std::fs::write(&rules, RULES).expect("our own folder");
    let config = format!(
        "base_url = \"http://127.0.0.1:{port}\"\n[routing]\nkind = \"rule_file\"\nrule_file = \"{}\"\n\
         rule_pointer = \"/flags/use-twin/fallthrough\"\nlegacy_rule = {{ variation = 0 }}\n\
         partitioned_rule = {{ variation = 1 }}\nsettle_s = 0.3\n\
         probe = {{ url = \"http://127.0.0.1:{port}/\", pointer = \"/mode\" }}\n\
         [parity]\nmask = [\"/mode\"]\n",
        rules.display()
    );
    std::fs::write(folder.join("cutover.toml"), config).expect("our own folder");
    let scenario = "name = \"one\"\n[[operation]]\nname = \"get\"\nweight = 1\npath = \"/\"\n";
    std::fs::write(folder.join("scenario.toml"), scenario).expect("our own folder");
    rules
}

fn drive(folder: &Path, duration: &str) -> std::process::Command {
    let mut drive = cutover_command();
    drive.current_dir(folder);
    drive.args(["drive", "--scenario", "scenario.toml", "--rate", "50", "--pairs", "1"]);
    drive.args(["--connections", "2", "--out", "run", "--duration", duration]);
    drive
}

fn rule(rules: &Path) -> Value {
    let text = std::fs::read_to_string(rules).expect("it is there");
    let rules: Value = serde_json::from_str(&text).expect("JSON");
    rules["flags"]["use-twin"]["fallthrough"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_switched_proven_and_put_back() {
    let folder = tempdir().expect("a folder");
    let port = platform(folder.path().join("flags.json")).await;
    let rules = files(folder.path(), port);
    let output = drive(folder.path(), "4s").output().expect("cutover runs");
    let told = String::from_utf8_lossy(&output.stderr);
    // A busy machine may make a measurement untrustworthy (30), never a wrong answer.
    assert!([Some(0), Some(30)].contains(&output.status.code()), "{told}");
    let record = std::fs::read_to_string(folder.path().join("run/run.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let modes = record["drive"]["overall"].as_object().expect("modes");
    for mode in ["legacy", "partitioned"] {
        assert!(modes[mode]["requests"].as_u64() > Some(10), "{modes:?}");
    }
    assert_eq!(record["drive"]["unproven_windows"], 0);
    // The rollout that stood there was neither side's; it is what comes back.
    assert_eq!(std::fs::read_to_string(&rules).expect("there"), RULES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_put_back_after_a_kill() {
    let folder = tempdir().expect("a folder");
    let port = platform(folder.path().join("flags.json")).await;
    let rules = files(folder.path(), port);
    let mut child = drive(folder.path(), "60s").spawn().expect("cutover runs");
    let switched = wait_until(Duration::from_secs(20), || rule(&rules)["variation"].is_number());
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    assert!(switched, "the rule was never switched");
    let back = || rule(&rules)["rollout"] == json!([25, 75]);
    assert!(wait_until(Duration::from_secs(20), back), "{}", rule(&rules));
}
