//! What the generator lacks itself is not the target's fault: file handles, and connections that the
//! server ended in the moment they were used again.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use crate::support::raw_http::{RawServer, answer, request};
use crate::support::{cutover, cutover_command, wait_until};

/// One read, and a change that does the same if it comes twice.
const SCENARIO: &str = r#"
    name = "plain"
    [[operation]]
    name = "read"
    weight = 3
    path = "/things?org={{org}}"
    [[operation]]
    name = "put"
    weight = 1
    method = "PUT"
    path = "/things/{{org}}"
    body = '{"n":{{unique}}}'
"#;

/// Drives legacy alone, without a database; the exit code, what was measured, and what was said.
fn drive(desk: &Path, url: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    outcome(desk, command(desk, url, arguments))
}

fn outcome(desk: &Path, mut command: Command) -> (Option<i32>, Value, String) {
    let output = command.output().expect("cutover runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let record = std::fs::read_to_string(desk.join("run/run.json")).unwrap_or("{}".into());
    let record: Value = serde_json::from_str(&record).expect("a record");
    (output.status.code(), record["drive"].clone(), said)
}

fn command(desk: &Path, url: &str, arguments: &[&str]) -> Command {
    std::fs::write(desk.join("plain.toml"), SCENARIO).expect("our own folder");
    std::fs::write(desk.join("cutover.toml"), "[routing]\nkind = \"none\"\n").expect("our own");
    let mut command = cutover_command();
    command.args(["drive", "--modes", "legacy", "--scenario", "plain.toml", "--out", "run"]);
    command.args(["--base-url", url]).args(arguments).current_dir(desk);
    command
}

/// Serves as HTTP says it may: an idle connection is ended after a while, without a word.
fn keeps_alive_for(limit: Duration) -> impl Fn(TcpStream) {
    move |mut stream: TcpStream| {
        stream.set_read_timeout(Some(limit)).expect("a socket");
        while request(&mut stream) && answer(&mut stream, "{}") {}
    }
}

#[test]
fn connections_that_the_server_ends_cost_no_request_and_few_are_used() {
    let desk = tempfile::tempdir().expect("a folder");
    let server = RawServer::start(keeps_alive_for(Duration::from_millis(400)));
    let slow = ["--rate", "25", "--duration", "8s", "--connections", "64"];
    let (code, load, said) = drive(desk.path(), &server.url(), &slow);
    assert_eq!(load["errors"].as_u64(), Some(0), "{code:?} {said}\n{load}");
    // 64 in turn at 25 a second would each idle for 2.5 s: one request a connection.
    let (requests, used) = (load["requests"].as_u64(), server.connections.load(Ordering::SeqCst));
    let few = requests.expect("a number") / 4;
    assert!(used < few, "{used} connections for {requests:?} requests");
}

/// The worst that chance can do: whenever a connection is used again, the server has just ended it. A
/// connection that was in use just before is another matter: there an answer is missing.
#[test]
fn a_connection_that_ends_as_it_is_used_again_is_a_new_one_and_no_error() {
    let desk = tempfile::tempdir().expect("a folder");
    let server = RawServer::start(|mut stream| {
        if request(&mut stream) && answer(&mut stream, "{}") {
            // The second request comes in, and nobody reads it.
            request(&mut stream);
        }
    });
    let load = ["--rate", "4", "--duration", "8s", "--connections", "2"];
    let command = command(desk.path(), &server.url(), &load);
    // A quarter of a second apart, so that every connection has idled.
    let even =
        SCENARIO.replacen("[[operation]]", "[arrivals]\nshape = \"constant\"\n[[operation]]", 1);
    std::fs::write(desk.path().join("plain.toml"), even).expect("our own folder");
    let (code, load, said) = outcome(desk.path(), command);
    assert_eq!(load["errors"].as_u64(), Some(0), "{code:?} {said}\n{load}");
    assert!(load["resent"].as_u64() > Some(5), "{}", load["resent"]);
}

/// What may have been done must not be done again without being asked.
#[test]
fn a_write_that_may_have_been_applied_is_not_sent_again() {
    let desk = tempfile::tempdir().expect("a folder");
    let server = RawServer::start(|mut stream| {
        if request(&mut stream) && answer(&mut stream, "{}") {
            request(&mut stream);
        }
    });
    let mut command = command(desk.path(), &server.url(), &["--rate", "20", "--duration", "2s"]);
    let post = SCENARIO.replace("\"PUT\"", "\"POST\"").replace("weight = 3", "weight = 0.001");
    std::fs::write(desk.path().join("plain.toml"), post).expect("our own folder");
    assert!(!command.args(["--connections", "1"]).output().expect("it runs").status.success());
    let record = std::fs::read_to_string(desk.path().join("run/run.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("a record");
    assert!(record["drive"]["errors_by_kind"]["closed"].as_u64() > Some(5), "{}", record["drive"]);
}

#[test]
fn fewer_file_handles_than_connections_are_refused_before_anything_is_done() {
    let desk = tempfile::tempdir().expect("a folder");
    let server = RawServer::start(keeps_alive_for(Duration::from_secs(60)));
    let drive = command(desk.path(), &server.url(), &["--rate", "20", "--duration", "2s"]);
    let arguments: Vec<_> = drive.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    let limited = |limit: &str| {
        let script = format!("ulimit {limit} && exec \"$@\"");
        let program = drive.get_program().to_string_lossy().into_owned();
        let mut shell = cutover_shell(&script);
        shell.arg(program).args(&arguments).args(["--connections", "64"]);
        shell.current_dir(desk.path()).output().expect("a shell")
    };
    let refused = limited("-n 40");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("may open 40 files, and needs 128") && said.contains("ulimit -n"),
        "{said}"
    );
    assert!(!desk.path().join("run").exists() && server.connections.load(Ordering::SeqCst) == 0);
    // Where it may be raised, it is.
    let raised = limited("-Sn 40");
    let said = String::from_utf8_lossy(&raised.stderr);
    assert!(desk.path().join("run/run.json").exists() && !said.contains("may open"), "{said}");
}

fn cutover_shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]);
    shell
}

#[test]
fn handles_that_run_out_make_the_run_invalid_and_fail_no_request() {
    let desk = tempfile::tempdir().expect("a folder");
    // Each request needs a connection of its own.
    let server = RawServer::start(|mut stream| {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        if request(&mut stream) {
            let _ = std::io::Write::write_all(&mut stream, head.as_bytes());
        }
    });
    let load = ["--rate", "100", "--duration", "6s", "--connections", "8"];
    let mut process = command(desk.path(), &server.url(), &load).spawn().expect("cutover runs");
    let busy = || server.connections.load(Ordering::SeqCst) > 100;
    assert!(wait_until(Duration::from_secs(30), busy), "the load does not begin");
    let pid = process.id().to_string();
    let limit = |soft: &str| {
        let limit = format!("--nofile={soft}:");
        let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(set.expect("util-linux has it").success());
    };
    limit("8");
    // From here on none can be opened, until all of half a second's requests have found that out.
    let mut last = 0;
    let stands_still = || {
        let before = std::mem::replace(&mut last, server.connections.load(Ordering::SeqCst));
        std::thread::sleep(Duration::from_millis(500));
        last == before
    };
    assert!(wait_until(Duration::from_secs(10), stands_still), "the limit has no effect");
    limit("1024");
    let code = process.wait().expect("it ends").code();
    let record = std::fs::read_to_string(desk.path().join("run/run.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("a record");
    let load = &record["drive"];
    assert!(load["own_want"].as_u64() > Some(20), "{code:?} {load}");
    assert_eq!(load["errors"].as_u64(), Some(0), "{load}");
    assert_eq!(load["errors_by_kind"].get("local"), None, "{load}");
    assert_eq!(code, Some(30), "{load}");
    cutover().arg("gate").arg(desk.path().join("run")).assert().code(30);
}
