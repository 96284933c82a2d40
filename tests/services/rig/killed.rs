//! A rig whose owner, watchdog or server is killed outright.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::place::{LIMIT, Place, is_alive, mark, read_state, send, watchdog_of};
use crate::support::wait_until;

#[test]
fn a_killed_owner_is_cleaned_up_after_by_the_watchdog() {
    let place = Place::new();
    let up = place.up_whole();
    let (platform, marks) = (up.pid("platform"), up.marks());
    up.signal(Signal::SIGKILL);
    assert_eq!(up.end().0, None);
    assert!(wait_until(LIMIT, || !is_alive(platform)), "the platform outlived its rig");
    place.assert_deserted(&marks);
}

#[test]
fn an_owner_killed_in_the_middle_of_a_start_is_cleaned_up_after() {
    let place = Place::new();
    let mut child = place.spawn_up(&["--without", "platform"]);
    let begun = || place.folders().iter().any(|dir| dir.join("postgres/data/global").exists());
    assert!(wait_until(LIMIT, begun), "initdb did not begin");
    let marks: Vec<String> = place.folders().iter().map(|dir| mark(dir)).collect();
    send(child.id(), Signal::SIGKILL);
    child.wait().expect("ours");
    place.assert_deserted(&marks);
}

#[test]
fn a_killed_owner_and_watchdog_are_cleaned_up_after_by_the_next_start() {
    let place = Place::new();
    let up = place.up(&[]);
    let (dir, postgres, marks) = (up.dir(), up.pid("postgres"), up.marks());
    send(watchdog_of(&dir), Signal::SIGKILL);
    up.signal(Signal::SIGKILL);
    up.end();
    assert!(is_alive(postgres) && dir.exists(), "somebody else cleaned up");
    let status = place.status();
    assert_eq!(status[0]["owner_pid"], Value::Null);

    let next = place.up(&["--without", "redis"]);
    assert!(!is_alive(postgres) && !dir.exists());
    let next_marks = next.marks();
    next.signal(Signal::SIGTERM);
    let (code, said) = next.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("cleaned up behind a rig that was killed"), "{said}");
    place.assert_deserted(&[marks, next_marks].concat());
}

#[test]
fn a_killed_postmaster_takes_its_workers_along_before_the_rig_counts_as_down() {
    let place = Place::new();
    let up = place.up(&["--without", "redis"]);
    let marks = up.marks();
    send(up.pid("postgres"), Signal::SIGKILL);
    let (code, said) = up.end();
    assert_eq!(code, Some(1));
    assert!(said.contains("postgres ended by itself (signal: 9 (SIGKILL))"), "{said}");
    // No waiting: the owner itself waited for the workers.
    assert_eq!(place.processes(&marks), Vec::<String>::new());
    assert_eq!(place.folders(), Vec::<PathBuf>::new());
}

#[test]
fn a_strangers_server_is_never_touched() {
    let place = Place::new();
    let elsewhere = TempDir::new().expect("a folder");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr();
    let program = std::env::var("CUTOVER_REDIS_SERVER").unwrap_or("redis-server".into());
    let mut stranger = Command::new(program)
        .args(["--port", &port.expect("bound").port().to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--logfile", "/dev/null"])
        .current_dir(elsewhere.path())
        .spawn()
        .expect("Redis starts");
    // Another's PostgreSQL: in a place of its own, so that it is no rig of `place`'s.
    let other_place = Place::new();
    let other = other_place.up(&["--without", "redis"]);

    // A dead rig whose process ids have been given to the strangers since.
    let up = place.up(&[]);
    let (dir, marks) = (up.dir(), up.marks());
    send(watchdog_of(&dir), Signal::SIGKILL);
    up.signal(Signal::SIGKILL);
    up.end();
    let mut state = read_state(&dir);
    let members = state["members"].as_array_mut().expect("a list");
    assert_eq!(members.len(), 2);
    for member in members {
        let redis = member["component"] == "redis";
        let pid = if redis { stranger.id() } else { other.pid("postgres") };
        member["process"]["pid"] = pid.into();
    }
    fs::write(dir.join("rig.json"), state.to_string()).expect("ours");

    let next = place.up(&["--without", "redis"]);
    assert!(!dir.exists(), "the dead rig was not swept");
    assert!(is_alive(stranger.id()) && is_alive(other.pid("postgres")));
    let next_marks = next.marks();
    next.signal(Signal::SIGTERM);
    assert_eq!(next.end().0, Some(0));
    assert!(is_alive(stranger.id()) && is_alive(other.pid("postgres")));
    place.assert_deserted(&[marks, next_marks].concat());
    stranger.kill().expect("ours");
    stranger.wait().expect("ours");
    let other_marks = other.marks();
    other.signal(Signal::SIGTERM);
    assert_eq!(other.end().0, Some(0));
    other_place.assert_deserted(&other_marks);
}
