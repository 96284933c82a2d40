//! The verdict in a chat: told by a real server what it was sent, and never hindered by a bad one.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin_cmd;
use cutover::evidence::run_record::RunRecord;
use serde_json::Value;

use crate::report::build;
use crate::support::webhook::{OK, SECRET, webhook};

fn folder_of(record: &RunRecord) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    build::save(folder.path(), record);
    folder
}

/// Exit code and everything that was printed.
fn gate(folder: &Path, url: &str, more: &[&str]) -> (Option<i32>, String) {
    let output = cargo_bin_cmd!("cutover")
        .arg("gate")
        .arg(folder)
        .args(more)
        .env("CUTOVER_NOTIFY_URL", url)
        .env_remove("GITHUB_SERVER_URL")
        .timeout(Duration::from_secs(60))
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

/// A run that judged afresh is a NO-GO for several reasons.
fn lost() -> RunRecord {
    let mut record = build::no_go_integrity();
    let drive = record.drive.as_mut().expect("it has a load");
    drive.errors_by_kind = [("<!channel> & <b>".to_owned(), 21)].into();
    build::fail_requests(drive, 390);
    drive.wrong_mode = 3;
    record
}

#[test]
fn a_chat_is_told_the_verdict_three_reasons_and_where_the_report_is() {
    let (url, received) = webhook(OK);
    let folder = folder_of(&lost());
    let (code, text) =
        gate(folder.path(), &url, &["--report-url", "https://ci.example/run/7?a=1&b=2"]);
    assert_eq!(code, Some(11), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("warning"), "{text}");
    let (line, body) = received.recv_timeout(Duration::from_secs(30)).expect("it was told");
    assert!(line.starts_with(&format!("POST {SECRET} HTTP/1.1")), "{line}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let told = body["text"].as_str().expect("a text");
    assert!(told.starts_with("*NO-GO*: emergency rollback"), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with('•')).count(), 3, "{told}");
    assert!(told.contains("rows differ") && told.contains("more"), "{told}");
    assert!(told.contains("https://ci.example/run/7?a=1&amp;b=2"), "{told}");
    assert!(!told.contains("<!channel>") && !told.contains("<b>"), "{told}");
    // Nothing of it is left behind.
    let record = std::fs::read_to_string(folder.path().join("run.json")).expect("readable");
    assert!(!record.contains("s3cret"));
}

#[test]
fn which_verdicts_are_told_is_for_the_user_to_say() {
    for (record, on, told) in [
        (build::go(), "not-go", false),
        (build::go(), "no-go", false),
        (build::go(), "always", true),
        (build::interrupted(), "no-go", false),
        (build::interrupted(), "not-go", true),
        (lost(), "no-go", true),
    ] {
        let (url, received) = webhook(OK);
        let folder = folder_of(&record);
        let (_, text) = gate(folder.path(), &url, &["--notify-on", on]);
        // The command has ended: what it had to say is said.
        let wait = if told { 30 } else { 0 };
        let got = received.recv_timeout(Duration::from_secs(wait)).is_ok();
        assert_eq!(got, told, "{on}: {text}");
    }
}

#[test]
fn a_webhook_that_refuses_or_talks_nonsense_is_a_warning_and_changes_nothing() {
    for (answer, why) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nno_service", "status 404"),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\n\r\n", "status 302"),
        ("\u{1}\u{2}nonsense\r\n\r\n", "no answer"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nhalf", "no answer"),
        ("", "no answer"),
    ] {
        let (url, _received) = webhook(answer);
        assert_warned(&url, why);
    }
}

#[test]
fn a_webhook_that_is_dead_or_silent_is_a_warning_and_hangs_nobody() {
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    assert_warned(&format!("http://{closed}{SECRET}"), "no answer");
    assert_warned(&format!("http://no-such-host.invalid{SECRET}"), "no answer");
    // Takes the connection and never says a word; the time limit of `gate` above is the proof.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound");
    assert_warned(&format!("http://{address}{SECRET}"), "no answer");
}

fn assert_warned(url: &str, why: &str) {
    let quiet = gate(folder_of(&lost()).path(), "", &[]);
    let (code, text) = gate(folder_of(&lost()).path(), url, &[]);
    assert_eq!(code, quiet.0, "{text}");
    assert!(text.contains("warning: the webhook did not take the verdict"), "{text}");
    assert!(text.contains(why), "{why}: {text}");
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_url_that_is_none_is_refused_before_anything_is_done_and_not_shown() {
    let folder = folder_of(&build::go());
    for url in ["hooks.slack.test/s3cret", "ftp://hooks.test/s3cret", "http://a:s3cret@h/"] {
        let (code, text) = gate(folder.path(), url, &[]);
        assert_eq!(code, Some(2), "{text}");
        assert!(!text.contains("s3cret") && text.contains("webhook"), "{text}");
    }
}
