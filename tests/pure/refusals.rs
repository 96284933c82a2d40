//! A refusal touches nothing: every command, every way to be wrong about it, in an empty folder that is
//! empty afterwards.

use std::path::Path;

use crate::support::cutover_command;

/// Needs no server; nothing listens there.
const NOBODY: &str = "postgres://nobody@127.0.0.1:9/nothing";
const BASE: &str = "http://127.0.0.1:9";
/// Files that every folder of the test has: a configuration that is none, one that is, a file.
const BROKEN: &str = "../broken.toml";
const UNKNOWN: &str = "../unknown.toml";
const NO_ROUTING: &str = "../none.toml";
const A_FILE: &str = "../file";
const A_RUN: &str = "../run";

/// Ways to be wrong that every command with a target knows.
const TARGET: [&[&str]; 9] = [
    &["--no-such-option"],
    &["--config", "missing.toml"],
    &["--config", BROKEN],
    &["--config", UNKNOWN],
    &["--env", "nowhere"],
    &["--rng-seed", "many"],
    &["--format", "xml"],
    &["--database-url", "mysql://host/db", "--base-url", BASE],
    &["--database-url", "postgres://[::1/db", "--base-url", BASE],
];
/// And those with a platform.
const PLATFORM: [&[&str]; 4] = [
    &["--database-url", NOBODY, "--base-url", "ftp://host"],
    &["--database-url", NOBODY, "--base-url", "no url"],
    &["--database-url", NOBODY, "--base-url", "http://me:secret@host"],
    &["--database-url", NOBODY, "--base-url", BASE, "--out", A_FILE],
];

/// Each command as it would work, if it were not for what is added.
const WITH_TARGET: [(&[&str], bool); 11] = [
    (&["rehearse"], true),
    (&["seed", "--orgs", "3"], false),
    (&["drive", "--duration", "1s"], true),
    (&["diff"], false),
    (&["preflight"], true),
    (&["post-rollout"], true),
    (&["smoke"], true),
    (&["watch", "--for", "1s"], true),
    (&["drill", "standard-rollback"], true),
    (&["pilot"], false),
    (&["check-config"], true),
];

/// What only one command can be wrong about.
const OTHERS: [&[&str]; 50] = [
    &["no-such-command"],
    &["rehearse", "--base-url", BASE],
    &["rehearse", "--database-url", NOBODY],
    &["rehearse", "--duration", "0s"],
    &["rehearse", "--rate", "none"],
    &["rehearse", "--profile", "huge"],
    &["rehearse", "--scenario", "missing.toml"],
    &["rehearse", "--config", NO_ROUTING],
    &["rehearse", "--baseline", "missing"],
    &["rehearse", "--full", "--database-url", NOBODY, "--base-url", BASE],
    &["rehearse", "--misbehave", "sleeping"],
    &["seed", "--orgs", "3"],
    &["seed", "--orgs", "0", "--database-url", NOBODY],
    &["seed", "--orgs", "3", "--shard", "4/3", "--database-url", NOBODY],
    &["seed", "--orgs", "3", "--profile-file", "missing.toml", "--database-url", NOBODY],
    &["seed", "--orgs", "3", "--reset", "--resume", "--database-url", NOBODY],
    &["drive"],
    &["drive", "--base-url", BASE, "--scenario", "missing.toml"],
    &["drive", "--base-url", BASE, "--modes", "both"],
    &["drive", "--base-url", BASE, "--connections", "0"],
    &["drive", "--base-url", BASE, "--looks", "3", "--rate", "max"],
    &["drive", "--base-url", BASE, "--out", A_RUN],
    &["diff"],
    &["diff", "--database-url", NOBODY, "--table", "no_such_pair"],
    &["diff", "--database-url", NOBODY, "--orgs-file", "missing"],
    &["diff", "--database-url", NOBODY, "--resume"],
    &["diff", "--database-url", NOBODY, "--for", "5s"],
    &["diff", "--database-url", NOBODY, "--throttle", "slowly"],
    &["diff", "--database-url", NOBODY, "--since", "then"],
    &["preflight", "--base-url", BASE],
    &["smoke"],
    &["watch"],
    &["watch", "--every", "0s", "--base-url", BASE],
    &["watch", "--base-url", BASE, "--webhook", "no url"],
    &["drill"],
    &["drill", "no-such-drill"],
    &["drill", "faults", "--only", "no such fault", "--database-url", NOBODY, "--base-url", BASE],
    &["drill", "redis-down", "--only", "x"],
    &["pilot", "--orgs", "-1", "--database-url", NOBODY],
    &["gate"],
    &["gate", "missing"],
    &["gate", A_RUN, "--phase", "dev", "--increment", "5"],
    &["gate", A_RUN, "--evidence", "missing"],
    &["report", "missing"],
    &["merge", "missing", "--out", "out"],
    &["init"],
    &["init", "--database-url", "no url", "--out", "new"],
    &["init", "--from-access-log", "missing", "--out", "new.toml"],
    &["completions", "no-such-shell"],
    &["man", "no-such-command"],
];

/// What stands below a folder, with its content.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("our own folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => {
                found.push((path.display().to_string(), Vec::new()));
                found.extend(content(&path));
            }
            false => {
                found.push((path.display().to_string(), std::fs::read(&path).expect("a file")))
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_refused_has_touched_nothing() {
    let desk = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(desk.path().join(name), text).expect("ours");
    write("broken.toml", "[[tables]\n");
    write("unknown.toml", "no_such_key = 1\n");
    write("none.toml", "[routing]\nkind = \"none\"\n");
    write("file", "a file\n");
    std::fs::create_dir(desk.path().join("run")).expect("ours");
    let record = serde_json::to_string(&cutover::evidence::run_record::RunRecord {
        schema_version: cutover::evidence::SCHEMA_VERSION,
        ..Default::default()
    });
    write("run/run.json", &record.expect("a record"));
    std::fs::create_dir(desk.path().join("here")).expect("ours");
    let before = content(desk.path());

    let mut wrong: Vec<Vec<&str>> = OTHERS.map(<[_]>::to_vec).to_vec();
    for (command, has_platform) in WITH_TARGET {
        let slips = TARGET.iter().chain(PLATFORM.iter().filter(|_| has_platform));
        for slip in slips {
            // One leaves nothing behind, and heeds no folder.
            if command[0] != "check-config" || !slip.contains(&"--out") {
                wrong.push([command, *slip].concat());
            }
        }
    }
    let mut touched = Vec::new();
    for arguments in &wrong {
        let output =
            cutover_command().args(arguments).current_dir(desk.path().join("here")).output();
        let output = output.expect("cutover runs");
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(2) {
            touched.push(format!("{arguments:?} ended with {:?}: {said}", output.status.code()));
        }
        if content(desk.path()) != before {
            panic!("{arguments:?} left something behind: {said}");
        }
    }
    assert!(touched.is_empty(), "{} of {}:\n{}", touched.len(), wrong.len(), touched.join("\n"));
}
