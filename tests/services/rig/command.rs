//! `cutover rig up|down|status`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::rig::place::{LIMIT, Place, failing_program, is_alive, mark, send};
use crate::support::wait_until;

#[test]
fn sigint_and_sigterm_stop_a_rig_in_the_foreground() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let place = Place::new();
        let up = place.up(&[]);
        let marks = up.marks();
        up.signal(signal);
        assert_eq!(up.end().0, Some(0), "{signal}");
        // No waiting: all of it is gone when the owner is.
        assert_eq!(place.processes(&marks), Vec::<String>::new());
        assert_eq!(place.folders(), Vec::<PathBuf>::new());
    }
}

#[test]
fn an_impatient_second_signal_leaves_nothing_behind_either() {
    let place = Place::new();
    let up = place.up(&[]);
    let marks = up.marks();
    up.signal(Signal::SIGINT);
    up.signal(Signal::SIGINT);
    let (code, _) = up.end();
    assert!(code == Some(0) || code == Some(130), "{code:?}");
    place.assert_deserted(&marks);
}

#[test]
fn a_component_that_does_not_start_shows_the_end_of_its_log() {
    let place = Place::new();
    let output = place
        .cutover(&["rig", "up", "--without", "platform"])
        .env("CUTOVER_REDIS_SERVER", failing_program(&place))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("redis ended (exit status: 3)"), "{said}");
    assert!(said.contains("the disk is on fire"), "{said}");
    assert!(said.contains("hint:"), "{said}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(told["error"].as_str().expect("a text").contains("redis ended"), "{told}");
    assert!(told.get("database_url").is_none(), "a rig that does not stand has no URL");
    fs::remove_file(place.tmp.path().join("redis-server")).expect("ours");
    place.assert_deserted(&[]);
}

#[test]
fn missing_programs_are_named_with_the_packages_that_bring_them() {
    let place = Place::new();
    for (variable, value, expected) in [
        ("CUTOVER_REDIS_SERVER", "/nowhere/redis-server", "redis-server"),
        ("CUTOVER_POSTGRES_BIN", "/nowhere", "initdb"),
    ] {
        let output = place
            .cutover(&["rig", "up", "--without", "platform"])
            .env(variable, value)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(variable) && said.contains(expected), "{said}");
        assert!(said.contains("scripts/install.sh"), "{said}");
        place.assert_deserted(&[]);
    }
}

#[test]
fn a_detached_rig_stays_until_it_is_taken_down() {
    let place = Place::new();
    let args = ["rig", "up", "--without", "platform", "--detach"];
    let said = place.cutover(&args).assert().success().get_output().stdout.clone();
    let said: Value = serde_json::from_slice(&said).expect("one JSON object");
    for key in ["database_url", "base_url", "redis_url", "pgbouncer_url", "replica_url"] {
        assert!(said.get(key).is_some(), "{key} is missing");
    }
    let dir = PathBuf::from(said["dir"].as_str().expect("a path"));
    let marks = vec![mark(&dir)];
    let postgres: u32 = said["pids"]["postgres"].as_u64().expect("an id").try_into().expect("id");

    // Another rig starts, sweeps, and ends: the detached one is none of its business.
    let other = place.up(&["--without", "redis"]);
    other.signal(Signal::SIGTERM);
    assert_eq!(other.end().0, Some(0));
    assert!(is_alive(postgres));
    let status = place.status();
    assert_eq!((&status[0]["health"], &status[0]["detached"]), (&"up".into(), &true.into()));

    send(said["pids"]["redis"].as_u64().expect("an id").try_into().expect("id"), Signal::SIGKILL);
    let broken = || place.status()[0]["health"] == "broken";
    assert!(wait_until(LIMIT, broken), "a rig without its Redis is broken");
    assert!(place.status()[0]["troubles"][0].as_str().expect("text").contains("redis"));

    place.cutover(&["rig", "down"]).assert().success();
    assert!(!is_alive(postgres));
    assert!(place.status().is_empty());
    place.cutover(&["rig", "down"]).assert().success();
    place.assert_deserted(&marks);
}

#[test]
fn a_detached_rig_does_not_hold_what_its_caller_had_open() {
    let place = Place::new();
    let held = place.tmp.path().join("held");
    let cutover = place.cutover(&["rig", "up", "--without", "platform", "--detach"]);
    let said = std::process::Command::new("sh")
        .args(["-c", "exec 9>\"$0\"; exec \"$@\""])
        .arg(&held)
        .arg(cutover.get_program())
        .args(cutover.get_args())
        .env("TMPDIR", place.tmp.path())
        .output()
        .expect("sh runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said: Value = serde_json::from_slice(&said.stdout).expect("one JSON object");
    let marks = vec![mark(&PathBuf::from(said["dir"].as_str().expect("a path")))];
    let holders: Vec<PathBuf> = std::fs::read_dir("/proc")
        .expect("it is there")
        .flatten()
        .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|files| files.flatten())
        .map(|file| file.path())
        .filter(|file| std::fs::read_link(file).is_ok_and(|link| link == held))
        .collect();
    place.cutover(&["rig", "down"]).assert().success();
    assert_eq!(holders, Vec::<PathBuf>::new());
    place.assert_deserted(&marks);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_a_chosen_folder_survive_until_they_are_purged() {
    let place = Place::new();
    let dir = place.tmp.path().join("kept");
    let dir_text = dir.display().to_string();
    let up = ["rig", "up", "--without", "platform,redis", "--detach", "--dir", &dir_text];
    let start = || {
        let said = place.cutover(&up).assert().success().get_output().stdout.clone();
        let said: Value = serde_json::from_slice(&said).expect("one JSON object");
        said["database_url"].as_str().expect("a URL").to_owned()
    };
    let mut connection = cutover::pg::connect(&start()).await.expect("it answers");
    let statement = "CREATE TABLE kept AS SELECT 42 AS answer";
    sqlx::raw_sql(statement).execute(&mut connection).await.expect("a table");
    drop(connection);

    let twice = place.cutover(&up).assert().code(2);
    let said = String::from_utf8_lossy(&twice.get_output().stderr).into_owned();
    assert!(said.contains("is up there already"), "{said}");

    place.cutover(&["rig", "down", "--dir", &dir_text]).assert().success();
    assert_eq!(place.status()[0]["health"], "down");

    let mut connection = cutover::pg::connect(&start()).await.expect("it answers");
    let answer: i32 = sqlx::query_scalar("SELECT answer FROM kept")
        .fetch_one(&mut connection)
        .await
        .expect("the data have survived");
    assert_eq!(answer, 42);
    drop(connection);
    let marks = vec![mark(&dir)];
    place.cutover(&["rig", "down", "--dir", &dir_text, "--purge"]).assert().success();
    assert!(!dir.exists());
    place.assert_deserted(&marks);
}

#[test]
fn taking_down_a_rig_from_elsewhere_ends_its_owner_in_peace() {
    let place = Place::new();
    let up = place.up(&["--without", "redis"]);
    let (dir, marks) = (up.dir().display().to_string(), up.marks());
    place.cutover(&["rig", "down", "--dir", &dir]).assert().success();
    assert_eq!(up.end().0, Some(0));
    place.assert_deserted(&marks);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_touched() {
    let place = Place::new();
    let squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let taken = squatter.local_addr().expect("bound").port().to_string();
    let full = place.tmp.path().display().to_string();
    fs::write(place.tmp.path().join("somebody's file"), "").expect("ours");
    for (arguments, expected) in [
        (vec!["--with", "everything"], "--with"),
        (vec!["--port", &taken], "--port"),
        (vec!["--port", "0"], "--port"),
        (vec!["--dir", &full], "holds something else"),
    ] {
        let all = [vec!["rig", "up", "--without", "platform"], arguments].concat();
        let output = place.cutover(&all).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    place.cutover(&["rig", "down", "--dir", "/nowhere"]).assert().code(2);
    assert_eq!(place.folders(), Vec::<PathBuf>::new());
}

#[test]
fn a_link_that_somebody_put_under_our_name_is_not_followed() {
    let place = Place::new();
    let elsewhere = place.tmp.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("ours");
    let name = format!("cutover-rig-{}", nix::unistd::geteuid());
    std::os::unix::fs::symlink(&elsewhere, place.tmp.path().join(name)).expect("ours");
    let output = place.cutover(&["rig", "up", "--without", "platform"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is not a folder of yours"), "{said}");
    assert!(fs::read_dir(&elsewhere).expect("ours").next().is_none());
}
