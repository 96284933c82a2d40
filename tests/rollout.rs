//! A rollout in compressed time: the whole way where all is well, and only as far as a fault lets it.

#[path = "support/mod.rs"]
mod support;

use std::path::Path;

use serde_json::Value;

/// A short rollout; exit code, `rollout.json` and what was said.
fn roll_out(out: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let output = support::cutover()
        .args(["rehearse", "--rollout", "--out"])
        .arg(out)
        .args(if more.contains(&"--orgs") { &[][..] } else { &SHORT })
        .args(more)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(out.join("rollout.json"));
    let text = text.unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), serde_json::from_str(&text).expect("JSON"), said)
}

const SHORT: [&str; 8] = ["--orgs", "2000", "--rate", "120", "--duration", "20s", "--pairs", "4"];

fn percentages(evidence: &Value) -> Vec<f64> {
    let steps = evidence["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["percent"].as_f64().expect("a number")).collect()
}

/// Rows that are torn decide whatever the machine is busy with, so this needs no quiet one.
#[test]
fn a_fault_stops_the_rollout_and_leaves_the_flag_at_0() {
    let out = tempfile::tempdir().expect("a folder");
    let run = out.path().join("run");
    let (code, evidence, said) = roll_out(&run, &["--plant", "1=torn-write=20%"]);
    assert_eq!(code, Some(11), "{said}\n{evidence:#}");
    assert_eq!(percentages(&evidence), [1.0], "{said}");
    let last = &evidence["steps"][0];
    assert_eq!(
        (&last["decision"], &last["action"]),
        (&"no_go".into(), &"emergency_rollback".into())
    );
    assert_eq!(
        (&last["routing"]["proven"], &last["planted"]),
        (&true.into(), &"torn-write=20%".into())
    );
    assert_eq!(evidence["flag_left_at"], 0.0, "{evidence:#}");
    assert!(run.join("step-1/run.json").is_file() && run.join("step-1/report.html").is_file());
    let page = std::fs::read_to_string(run.join("report.html")).expect("one page");
    assert!(page.contains("NO-GO") && page.contains("planted: torn-write=20%"));
}

/// Needs a machine with nothing else to do: three increments have to be GO first.
#[test]
#[ignore = "wants a quiet machine, four minutes"]
fn a_fault_planted_at_25_percent_stops_there() {
    let out = tempfile::tempdir().expect("a folder");
    let more = ["--orgs", "10000", "--rate", "250", "--duration", "40s", "--pairs", "12"];
    let more = [&more[..], &["--plant", "25=torn-write=5%"]].concat();
    let (code, evidence, said) = roll_out(&out.path().join("run"), &more);
    assert_eq!(code, Some(11), "{said}\n{evidence:#}");
    assert_eq!(percentages(&evidence), [1.0, 5.0, 10.0, 25.0], "{said}");
    let steps = evidence["steps"].as_array().expect("steps");
    for step in &steps[..3] {
        assert_eq!(step["decision"], "go", "{step:#}");
    }
    assert_eq!(evidence["flag_left_at"], 0.0, "{evidence:#}");
}

#[test]
fn a_flag_that_does_nothing_is_found_out_at_the_first_increment() {
    let out = tempfile::tempdir().expect("a folder");
    let config = out.path().join("deaf.toml");
    std::fs::write(&config, "[rollout]\npercentage_command = [\"true\"]\n").expect("written");
    let config = config.display().to_string();
    let (code, evidence, said) = roll_out(&out.path().join("run"), &["--config", &*config]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!(percentages(&evidence), [1.0]);
    assert_eq!(evidence["steps"][0]["routing"]["proven"], false);
    assert_eq!(evidence["steps"][0]["requests"], 0, "it was driven all the same");
}

#[test]
fn what_cannot_be_planted_is_refused() {
    for (plant, expected) in [
        ("30=torn-write", "1, 5, 10, 25, 50, 100"),
        ("25=nonsense", "no misbehaviour"),
        ("25", "PCT=NAME"),
    ] {
        let output = support::cutover()
            .args(["rehearse", "--rollout", "--plant", plant])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
