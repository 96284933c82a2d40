//! `cutover platform` as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{cutover_command, database};

#[test]
fn it_says_where_it_listens_and_ends_on_a_signal() {
    let database = database();
    let mut process = cutover_command()
        .args(["platform", "--listen", "127.0.0.1:0", "--database-url", &database.url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let out = process.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    let said: Value = serde_json::from_str(&line).expect("one line of JSON");
    let base_url = said["base_url"].as_str().expect("the base URL");
    let address = base_url.strip_prefix("http://").expect("HTTP");
    std::net::TcpStream::connect(address).expect("it listens there");
    let pid = Pid::from_raw(i32::try_from(process.id()).expect("a process id"));
    kill(pid, Signal::SIGTERM).expect("it is ours");
    assert!(process.wait().expect("it ends").success());
}

#[test]
fn wrong_calls_are_refused_before_anything_is_touched() {
    // Nobody listens there: whoever touches the database fails with 1.
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    let refused = |args: &[&str], environment: &[(&str, &str)], says: &str| {
        let output = cutover_command()
            .args(["platform", "--database-url", nowhere])
            .args(args)
            .envs(environment.iter().copied())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?} {environment:?}: {said}");
        assert!(said.contains(says), "{args:?} {environment:?}: {said}");
    };
    refused(&["--misbehave", "nice"], &[], "slow-partitioned");
    refused(&["--misbehave", "lost-write=200%"], &[], "share");
    refused(&["--listen", "0.0.0.0:0", "--misbehave", "slow"], &[], "127.0.0.1");
    refused(&["--partitioned", "101%"], &[], "100%");
    refused(&[], &[("USE_PARTITIONED_TABLES", "perhaps")], "true or false");
    refused(&[], &[("USE_PARTITIONED_TABLES_PERCENTAGE", "101")], "0 to 100");
}
