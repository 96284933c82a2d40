//! Everything ends: a platform whose answers come a byte a second is told of, and not waited for.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::cutover_command;
use crate::support::raw_http::{RawServer, drip};

/// Each command, and how long it may take; with nobody to end it, it took minutes.
const COMMANDS: [(&[&str], u64, i32); 4] = [
    (&["watch", "--for", "3s"], 40, 10),
    (&["smoke"], 70, 10),
    (&["preflight", "--database-url", "postgres://nobody@127.0.0.1:9/nothing"], 70, 10),
    (&["post-rollout", "--database-url", "postgres://nobody@127.0.0.1:9/nothing"], 70, 10),
];

#[test]
fn an_answer_of_a_byte_a_second_holds_nobody_up() {
    let platform = RawServer::start(drip);
    let desk = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    let mut running = Vec::new();
    for (arguments, limit_s, code) in COMMANDS {
        let mut command = cutover_command();
        command.args(arguments).args(["--base-url", &platform.url()]).current_dir(desk.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        running.push((arguments[0], limit_s, code, command.spawn().expect("cutover runs")));
    }
    let mut late = Vec::new();
    for (name, limit_s, code, mut process) in running {
        let end = began + Duration::from_secs(limit_s);
        let ended = loop {
            match process.try_wait().expect("our own process") {
                Some(status) => break Some(status.code()),
                None if Instant::now() >= end => break None,
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        if ended.is_none() {
            process.kill().expect("our own process");
            process.wait().expect("our own process");
        }
        if ended != Some(Some(code)) {
            late.push(format!("{name}: {ended:?}, not {code} within {limit_s} s"));
        }
    }
    assert!(late.is_empty(), "{late:?}");
}
