//! A run against earlier ones, from folders on disk.

use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use cutover::evidence::drive::Side;
use cutover::evidence::run_record::{ActKind, RunRecord};
use cutover::run_folder::read_record;

use crate::report::build;

/// What makes a night another one.
type Change = fn(&mut RunRecord);

/// A night whose partitioned side took so many microseconds at p95.
fn night(number: usize, p95_us: u64) -> RunRecord {
    let mut record = build::go();
    record.history.clear();
    record.incomparable.clear();
    record.run_id = format!("night-{number:02}");
    record.started_at = format!("2026-02-{:02}T02:00:00Z", number + 1);
    let drive = record.drive.as_mut().expect("it has a load");
    let latency = drive.overall.get_mut(&Side::Partitioned).expect("both modes");
    let response_us = &mut latency.response_us;
    response_us.p95 = p95_us;
    for higher in [&mut response_us.p99, &mut response_us.p999, &mut response_us.max] {
        *higher = p95_us.max(*higher);
    }
    record
}

/// A folder with eleven nights of about 7 ms, and this night beside them.
fn nights(tonight: &RunRecord, change: impl Fn(&mut RunRecord)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for number in 0..11 {
        let mut record = night(number, 6_900 + 60 * (number as u64 % 4));
        change(&mut record);
        store(&folder.path().join("nights").join(&record.run_id), &record);
    }
    store(&folder.path().join("tonight"), tonight);
    folder
}

fn store(folder: &Path, record: &RunRecord) {
    std::fs::create_dir_all(folder).expect("writable");
    build::save(folder, record);
}

/// Exit code of the gate over tonight, and what it printed.
fn gate(folder: &Path) -> (Option<i32>, String) {
    let output = cargo_bin_cmd!("cutover")
        .args(["gate", "tonight", "--baseline", "nights"])
        .current_dir(folder)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_night_like_the_others_is_a_go_and_a_regression_is_not() {
    let folder = nights(&night(20, 7_050), |_| ());
    let (code, text) = gate(folder.path());
    assert_eq!(code, Some(0), "{text}");
    let page = folder.path().join("tonight");
    cargo_bin_cmd!("cutover").arg("report").arg(&page).assert().success();
    let page = std::fs::read_to_string(page.join("report.html")).expect("written");
    assert!(page.contains("p95 of 12 runs, oldest first"), "the runs are drawn");

    let folder = nights(&night(20, 9_800), |_| ());
    let (code, text) = gate(folder.path());
    assert_eq!(code, Some(10), "{text}");
    assert!(text.contains("not slower than in earlier runs"), "{text}");
}

#[test]
fn the_night_with_which_the_level_changed_is_named() {
    let folder = nights(&night(20, 7_500), |record| {
        let drive = record.drive.as_mut().expect("it has a load");
        let latency = drive.overall.get_mut(&Side::Partitioned).expect("both modes");
        if record.run_id.as_str() >= "night-07" {
            latency.response_us.p95 += 600;
        }
    });
    let (code, text) = gate(folder.path());
    assert_eq!(code, Some(0), "{text}");
    let record = read_record(&folder.path().join("tonight")).expect("readable");
    assert_eq!(record.level_changed_with.as_deref(), Some("night-07"));
    let steady = nights(&night(20, 7_050), |_| ());
    gate(steady.path());
    let record = read_record(&steady.path().join("tonight")).expect("readable");
    assert_eq!(record.level_changed_with, None);
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let others: [(Change, &str); 7] = [
        (|record| record.target.rig = false, "another target"),
        (|record| record.environment.cpu = "Apple M3".into(), "another machine"),
        (|record| record.environment.cores = 64, "another machine"),
        (|record| record.scenario_sha256 = "another".into(), "another scenario"),
        (|r| r.drive.as_mut().expect("a load").rate_per_s = 9.0, "another load"),
        (|r| r.manifest.as_mut().expect("seeded").orgs = 7, "another amount of data"),
        (|record| record.drive = None, "has no load"),
    ];
    for (change, why) in others {
        let folder = nights(&night(20, 7_050), change);
        let (code, text) = gate(folder.path());
        assert_eq!(code, Some(2), "{why}: {text}");
        assert!(text.contains(why) && text.contains("can be compared"), "{why}: {text}");
    }
}

#[test]
fn a_night_that_cannot_be_read_is_named_and_another_of_the_same_name_is_not_this_one() {
    let folder = nights(&night(20, 7_050), |record| record.run_id = "night-20".into());
    let broken = folder.path().join("nights/night-99");
    std::fs::create_dir(&broken).expect("writable");
    std::fs::write(broken.join("run.json"), "{").expect("writable");
    let (code, text) = gate(folder.path());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("run night-99 is left out"), "{text}");
}

#[test]
fn without_a_seed_the_orgs_that_were_compared_say_how_much_data_there_was() {
    for (orgs, code) in [(95_000, Some(0)), (10, Some(2))] {
        let there = |record: &mut RunRecord, orgs| {
            record.manifest = None;
            record.acts.retain(|act| act.name != ActKind::Seed);
            record.diff.as_mut().expect("compared").orgs_checked = orgs;
        };
        let mut tonight = night(20, 7_050);
        there(&mut tonight, 100_000);
        let folder = nights(&tonight, |record| there(record, orgs));
        let (found, text) = gate(folder.path());
        assert_eq!(found, code, "{orgs}: {text}");
    }
}

#[test]
fn another_seed_of_the_same_size_can_be_compared() {
    let folder = nights(&night(20, 7_050), |record| {
        let tables = &mut record.manifest.as_mut().expect("seeded").tables;
        tables[0].rows += tables[0].rows / 200;
    });
    let (code, text) = gate(folder.path());
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_rehearsal_is_refused_a_baseline_that_is_not_there_before_anything_is_started() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = cargo_bin_cmd!("cutover")
        .args(["rehearse", "--baseline", "nowhere", "--out", "run"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("nowhere"), "{text}");
    assert!(!folder.path().join("run").exists());
}
