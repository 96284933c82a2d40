//! What drills and hours of watching leave, read by the gate.

use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use cutover::evidence::limits::Phase;
use cutover::evidence::rollout::{RolloutEvidence, RolloutStep};
use cutover::evidence::run_record::RunRecord;
use cutover::evidence::verdict::{Action, Decision};
use cutover::run_folder::read_record;

use crate::report::build;
use cutover::evidence::exit::Exit;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut record = build::go();
    record.drills.clear();
    record.watch = None;
    build::save(folder.path(), &record);
    folder
}

fn gate(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output =
        cargo_bin_cmd!("cutover").arg("gate").arg(folder).args(more).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

/// A look every half hour, from the first day of a month on.
fn watch_for(hours: u32) -> String {
    let look = |half: u32| {
        let (day, hour, minute) = (half / 48 + 1, half / 2 % 24, half % 2 * 30);
        let at = format!("2026-03-{day:02}T{hour:02}:{minute:02}:00Z");
        format!("{{\"at\":\"{at}\",\"critical_alerts\":0,\"beside\":[1]}}\n")
    };
    (0..=hours * 2).map(look).collect()
}

const DRILLS: &str = r#"[{"name": "standard_rollback", "limit_s": 900, "measured_s": 4.5,
    "proven": true, "steps": ["flag"]}]"#;

#[test]
fn drills_and_hours_count_from_the_run_and_from_other_folders() {
    let run = folder();
    assert_eq!(gate(run.path(), &["--phase", "pilot"]).0, Some(20));
    let other = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(other.path().join("watch.jsonl"), watch_for(73)).expect("writable");
    std::fs::write(run.path().join("drills.json"), DRILLS).expect("writable");
    let (code, text) = gate(run.path(), &["--phase", "pilot"]);
    assert_eq!(code, Some(20), "{text}");
    assert!(text.contains("72 h"), "{text}");
    let evidence = other.path().display().to_string();
    let (code, text) = gate(run.path(), &["--phase", "pilot", "--evidence", &evidence]);
    assert_eq!(code, Some(0), "{text}");
    // What was brought along once is not the run's.
    assert_eq!(gate(run.path(), &["--phase", "pilot"]).0, Some(20));
    // What whoever made a drill has noted beside is kept, and the file is from now on evidence.
    let record = read_record(run.path()).expect("readable");
    assert_eq!(record.drills[0].more["steps"][0], "flag");
    assert!(record.files.iter().any(|file| file.name == "drills.json"));
    std::fs::write(run.path().join("drills.json"), DRILLS.replace("4.5", "4.4")).expect("writable");
    assert_eq!(gate(run.path(), &["--phase", "pilot"]).0, Some(30));
}

#[test]
fn an_alarm_in_the_night_and_a_drill_that_failed_decide() {
    let run = folder();
    let alarmed = watch_for(25).replacen("alerts\":0", "alerts\":2", 1);
    std::fs::write(run.path().join("watch.jsonl"), alarmed).expect("writable");
    let (code, text) = gate(run.path(), &["--increment", "10"]);
    assert_eq!(code, Some(10), "{text}");

    let run = folder();
    let failed = DRILLS.replace("true", "false");
    std::fs::write(run.path().join("drills.json"), failed).expect("writable");
    assert_eq!(gate(run.path(), &[]).0, Some(10));
}

#[test]
fn an_alarm_of_the_watch_itself_decides_though_the_platform_saw_none() {
    let run = folder();
    assert_eq!(code_after(&run, &watch_for(25)), Some(0));
    let raised =
        "\"alarms\":[{\"metric\":\"row_delta\",\"level\":\"LEVEL\",\"value\":5.0}],\"beside\"";
    for (level, code) in [("warning", Some(0)), ("critical", Some(10))] {
        let run = folder();
        let looks = watch_for(25).replacen("\"beside\"", &raised.replace("LEVEL", level), 1);
        assert_eq!(code_after(&run, &looks), code, "{level}");
    }
}

/// Exit code of the gate about an increment, after such a watch.
fn code_after(run: &tempfile::TempDir, looks: &str) -> Option<i32> {
    std::fs::write(run.path().join("watch.jsonl"), looks).expect("writable");
    gate(run.path(), &["--increment", "10"]).0
}

#[test]
fn a_question_that_was_asked_once_does_not_become_the_runs_own() {
    let run = tempfile::tempdir().expect("a temporary folder");
    let mut slow = build::no_go_performance();
    slow.observations = build::go().observations;
    (slow.history, slow.incomparable) = (Vec::new(), Vec::new());
    build::save(run.path(), &slow);
    assert_eq!(gate(run.path(), &[]).0, Some(10));
    // In development latency is shown and does not decide.
    let (code, text) = gate(run.path(), &["--phase", "dev"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = gate(run.path(), &[]);
    assert_eq!(code, Some(10), "{text}");
    let record = read_record(run.path()).expect("readable");
    assert_eq!((record.phase, record.made_for), (Phase::Staging, None));
}

#[test]
fn an_increment_is_no_better_than_the_rollout_noted_it() {
    let rollout = tempfile::tempdir().expect("a temporary folder");
    let own = build::go();
    let step = RolloutStep {
        percent: 25.0,
        folder: "step-25".into(),
        decision: Decision::NoGo,
        action: Action::StandardRollback,
        exit_code: Exit::NO_GO_PERFORMANCE,
        reasons: vec!["after the load 300 orgs were on another side".into()],
        requests: own.drive.as_ref().expect("a load").requests,
        orgs_checked: own.diff.as_ref().expect("compared").orgs_checked,
        ..RolloutStep::default()
    };
    let whole = RolloutEvidence { steps: vec![step], ..RolloutEvidence::default() };
    let journey = RunRecord { rollout: Some(whole), ..RunRecord::default() };
    std::fs::create_dir(rollout.path().join("step-25")).expect("writable");
    build::save(&rollout.path().join("step-25"), &own);
    std::fs::write(rollout.path().join("drills.json"), DRILLS).expect("writable");
    std::fs::write(rollout.path().join("watch.jsonl"), watch_for(25)).expect("writable");
    let journey = RunRecord { schema_version: own.schema_version, ..journey };
    build::save(rollout.path(), &journey);
    let (code, text) = gate(rollout.path(), &["--increment", "25"]);
    assert_eq!(code, Some(10), "{text}");
    assert!(text.contains("300 orgs were on another side"), "{text}");
}

#[test]
fn a_folder_that_is_not_there_and_a_question_that_is_none_are_refused() {
    let run = folder();
    for (more, why) in [
        (["--evidence", "/no/such/folder"], "no such folder"),
        (["--phase=staging", "--increment=10"], "has no increment of 10 %"),
    ] {
        let (code, text) = gate(run.path(), &more);
        assert!(code == Some(2) && text.contains(why), "{code:?}: {text}");
    }
}

#[test]
fn half_a_file_is_no_evidence() {
    for (name, text) in [("drills.json", "[{\"name\""), ("watch.jsonl", "{\"at\": 3}\n")] {
        let run = folder();
        std::fs::write(run.path().join(name), text).expect("writable");
        let (code, text) = gate(run.path(), &[]);
        assert_eq!(code, Some(30), "{text}");
        assert!(text.contains(name) && text.contains("damaged"), "{text}");
    }
}
