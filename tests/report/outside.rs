//! What drills and hours of watching leave, read by the gate.

use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use cutover::run_folder::{read_record, write_record};

use crate::build;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut record = build::go();
    record.drills.clear();
    record.watch = None;
    write_record(folder.path(), &record).expect("writable");
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
fn half_a_file_is_no_evidence() {
    for (name, text) in [("drills.json", "[{\"name\""), ("watch.jsonl", "{\"at\": 3}\n")] {
        let run = folder();
        std::fs::write(run.path().join(name), text).expect("writable");
        let (code, text) = gate(run.path(), &[]);
        assert_eq!(code, Some(30), "{text}");
        assert!(text.contains(name) && text.contains("damaged"), "{text}");
    }
}
