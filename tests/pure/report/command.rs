//! `cutover report` as people call it.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use cutover::evidence::SCHEMA_VERSION;
use cutover::evidence::run_record::RunRecord;
use cutover::report::render_all;

use crate::report::build;

fn folder_of(record: &RunRecord) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    build::save(folder.path(), record);
    folder
}

fn report(folder: &Path) -> Command {
    let mut command = cargo_bin_cmd!("cutover");
    command.arg("report").arg(folder);
    command
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let name = |e: std::io::Result<fs::DirEntry>| {
        e.expect("entries are readable").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.retain(|name| !build::FILES.contains(&name.as_str()));
    names.sort();
    names
}

#[test]
fn it_writes_every_format_over_what_was_there_and_leaves_nothing_else() {
    for (name, record) in build::states() {
        let record = RunRecord { schema_version: SCHEMA_VERSION, ..record };
        let folder = folder_of(&record);
        fs::write(folder.path().join("report.md"), "old").expect("writable");
        report(folder.path()).assert().success();
        for (file, bytes) in render_all(&record) {
            let written = fs::read(folder.path().join(file)).expect("it was written");
            assert!(written == bytes, "{name}: {file} is not what render_all gives");
        }
        assert_eq!(
            names(folder.path()),
            ["junit.xml", "report.html", "report.md", "run.json"],
            "{name}"
        );
    }
}

/// CI publishes the pages after the gate: they must not tell of an earlier question.
#[test]
fn after_another_question_every_page_says_what_the_gate_said() {
    let folder = folder_of(&build::go());
    report(folder.path()).assert().success();
    let before = fs::read(folder.path().join("junit.xml")).expect("it was written");
    let mut gate = cargo_bin_cmd!("cutover");
    gate.args(["gate", "--phase", "post-rollout"]).arg(folder.path());
    assert_ne!(gate.output().expect("it runs").status.code(), Some(0), "nothing was watched");
    let record = cutover::run_folder::read_record(folder.path()).expect("it stands");
    assert_ne!(before, render_all(&record)[2].1);
    for (file, bytes) in render_all(&record) {
        assert!(fs::read(folder.path().join(file)).expect("it is there") == bytes, "{file}");
    }
}

#[test]
fn with_format_json_stdout_is_one_object() {
    let folder = folder_of(&build::no_go_integrity());
    let output = report(folder.path()).args(["--format", "json"]).output().expect("it runs");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(value["decision"], "no_go");
    assert_eq!(value["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(output.status.code(), Some(0), "the code of the command, not of the verdict");
}

#[test]
fn what_cannot_be_read_is_refused_with_one_clear_sentence() {
    let empty = tempfile::tempdir().expect("a temporary folder");
    let complains = |folder: &Path, code: i32, words: &str| {
        let output = report(folder).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert_eq!(names(folder).iter().filter(|name| name.starts_with("report")).count(), 0);
    };
    complains(empty.path(), 2, "cannot read");
    fs::write(empty.path().join("run.json"), format!("{{\"schema_version\": {SCHEMA_VERSION}, "))
        .expect("writable");
    complains(empty.path(), 1, "is damaged");
    fs::write(empty.path().join("run.json"), format!("{{\"schema_version\": {SCHEMA_VERSION}}}"))
        .expect("writable");
    complains(empty.path(), 1, "missing field");
    fs::write(empty.path().join("run.json"), "{\"schema_version\": 999}").expect("writable");
    complains(empty.path(), 2, "layout version 999");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_and_leaves_no_half_file() {
    let folder = folder_of(&build::go());
    fs::create_dir(folder.path().join("report.md")).expect("writable");
    let output = report(folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("report.md"));
    assert_eq!(names(folder.path()), ["report.html", "report.md", "run.json"]);
}

#[cfg(target_os = "linux")]
#[test]
fn open_hands_the_page_to_the_desktop() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder_of(&build::go());
    let opener = folder.path().join("xdg-open");
    let seen = folder.path().join("seen");
    fs::write(&opener, format!("#!/bin/sh\necho \"$1\" > '{}'\n", seen.display()))
        .expect("writable");
    fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("our own file");
    report(folder.path()).arg("--open").env("PATH", folder.path()).assert().success();
    let page = fs::read_to_string(&seen).expect("the opener was called");
    assert!(page.trim_end().ends_with("report.html"), "{page}");

    fs::remove_file(&opener).expect("our own file");
    let output =
        report(folder.path()).arg("--open").env("PATH", folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("open the page by hand"));
}

/// Reading from a pipe that nobody writes to would wait for ever.
#[test]
fn a_record_or_evidence_that_is_a_pipe_is_refused_at_once() {
    let pipe = |path: &Path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    pipe(&folder.path().join("run.json"));
    for act in ["report", "gate"] {
        let output = cargo_bin_cmd!("cutover").arg(act).arg(folder.path()).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{act}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("run.json") && told.contains("not a regular file"), "{told}");
    }
}
