//! A run's folder after somebody touched it: never a GO.

use std::fs;
use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use cutover::run_folder::{inventory, write_record};

use crate::report::build;

const EVIDENCE: [&str; 6] = [
    "findings.jsonl",
    "latency/legacy.hlog",
    "ledger.jsonl",
    "manifest.json",
    "orgs.csv",
    "samples.bin",
];

/// A folder of a run that was a GO.
fn good_run() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("latency")).expect("writable");
    for name in EVIDENCE {
        fs::write(folder.path().join(name), format!("what {name} holds\n")).expect("writable");
    }
    let mut record = build::go();
    record.files = inventory(folder.path(), &[]).expect("readable");
    write_record(folder.path(), &record).expect("writable");
    folder
}

/// Exit code of `cutover gate` and what it printed.
fn gate(folder: &Path) -> (Option<i32>, String) {
    let output = cargo_bin_cmd!("cutover").arg("gate").arg(folder).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_untouched_folder_is_a_go_as_often_as_it_is_asked() {
    let folder = good_run();
    for _ in 0..2 {
        let (code, text) = gate(folder.path());
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn a_file_that_is_gone_or_has_another_byte_makes_the_run_invalid() {
    for name in EVIDENCE {
        let folder = good_run();
        let file = folder.path().join(name);
        let mut bytes = fs::read(&file).expect("readable");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&file, bytes).expect("writable");
        assert_invalid(folder.path(), &format!("{name} was changed"));
        fs::remove_file(&file).expect("ours");
        assert_invalid(folder.path(), &format!("{name} cannot be read"));
    }
}

/// Asks twice, because the first time must not make the alteration its own.
fn assert_invalid(folder: &Path, why: &str) {
    for _ in 0..2 {
        let (code, text) = gate(folder);
        assert_eq!(code, Some(30), "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn no_byte_of_the_record_can_change() {
    let folder = good_run();
    let file = folder.path().join("run.json");
    let original = fs::read(&file).expect("readable");
    // Every place would take an hour; a prime step lands in every kind of place.
    for at in (0..original.len()).step_by(original.len() / 97 + 1) {
        let mut bytes = original.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).expect("writable");
        let (code, text) = gate(folder.path());
        assert!(matches!(code, Some(30 | 2)), "byte {at}: {code:?} {text}");
    }
    fs::write(&file, &original).expect("writable");
    assert_eq!(gate(folder.path()).0, Some(0));
}

#[test]
fn a_forged_verdict_does_not_reach_the_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = build::no_go_integrity();
    write_record(folder.path(), &record).expect("writable");
    let file = folder.path().join("run.json");
    let forged = fs::read_to_string(&file).expect("readable");
    let forged = forged.replace("\"no_go\"", "\"go\"");
    fs::write(&file, forged).expect("writable");
    cargo_bin_cmd!("cutover").arg("report").arg(folder.path()).assert().success();
    let page = fs::read_to_string(folder.path().join("report.md")).expect("written");
    assert!(page.contains("run.json was changed"), "{page}");
}
