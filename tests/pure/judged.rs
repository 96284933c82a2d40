//! Runs that an earlier build left behind, one of each verdict, are judged as they were then: from the
//! folder alone.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::cutover;

/// A folder as the build of 23 November 2026 (976b630) wrote it; each archive is named for its verdict.
pub fn folder_of(name: &str, below: &Path) -> PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/judged").join(name);
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(below).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{} unpacks", archive.display());
    below.join("run")
}

/// The record of a folder.
pub fn record(folder: &Path) -> Value {
    let mut text = String::new();
    let file =
        std::fs::File::open(folder.join("run.json")).and_then(|mut f| f.read_to_string(&mut text));
    file.expect("a record");
    serde_json::from_str(&text).expect("JSON")
}

/// Names with their outcome, in the order of the report, but for the generator's lag: what counts as too
/// much of it is no longer what it was.
fn criteria(record: &Value) -> Vec<(&str, &str)> {
    let criteria = record["criteria"].as_array().expect("a list");
    let text = |of: &'static str| criteria.iter().map(move |one| one[of].as_str().expect("a text"));
    text("id").zip(text("state")).filter(|(id, _)| *id != "scheduling_lag").collect()
}

fn is_judged_alike(name: &str) {
    let below = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_of(&format!("{name}.tar.gz"), below.path());
    let then = record(&folder);
    let output = cutover().args(["gate", "--format", "json"]).arg(&folder).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let now: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(
        output.status.code().map(i64::from),
        then["verdict"]["exit_code"].as_i64(),
        "{said}"
    );
    // Figures of an interval are those of today's statistics.
    for field in ["decision", "action", "exit_code"] {
        assert_eq!(now["verdict"][field], then["verdict"][field], "{name}: {field}");
    }
    // A run that was cut short had not been judged.
    if !criteria(&then).is_empty() {
        assert_eq!(criteria(&now), criteria(&then), "{name}");
    }
}

#[test]
fn a_go_stays_a_go() {
    is_judged_alike("go");
}

#[test]
fn a_no_go_for_performance_stays_one() {
    is_judged_alike("no_go");
}

#[test]
fn a_no_go_for_integrity_stays_one() {
    is_judged_alike("integrity");
}

#[test]
fn what_was_inconclusive_stays_so() {
    is_judged_alike("inconclusive");
}

#[test]
fn what_was_invalid_stays_so() {
    is_judged_alike("invalid");
}

#[test]
fn the_steps_of_a_rollout_are_judged_as_they_were() {
    is_judged_alike("rollout");
}
