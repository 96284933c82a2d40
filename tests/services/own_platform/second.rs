//! The second platform from end to end: found, seeded, driven, compared and judged by config alone.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::tempdir;

use super::service::{self, SECRET, SECRET_VARIABLE};
use crate::support::{cutover, database, execute};

const SCHEMA: &str = include_str!("../../fixtures/second_platform/schema.sql");
const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/second_platform/scenario.toml");

struct Desk<'a> {
    url: &'a str,
    folder: &'a Path,
}

impl Desk<'_> {
    /// Runs a command in the folder, where `cutover.toml` is found by itself.
    fn run(&self, arguments: &[&str]) -> Output {
        cutover()
            .current_dir(self.folder)
            .env("CUTOVER_DATABASE_URL", self.url)
            .env("CUTOVER_ENV", "staging")
            .env(SECRET_VARIABLE, SECRET)
            .args(arguments)
            .output()
            .expect("cutover runs")
    }

    fn expect(&self, codes: &[i32], arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = format!(
            "{arguments:?}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let code = output.status.code();
        assert!(codes.iter().any(|wanted| code == Some(*wanted)), "{code:?} {told}");
        told
    }

    fn json(&self, file: &str) -> Value {
        let text = std::fs::read_to_string(self.folder.join(file)).expect(file);
        serde_json::from_str(&text).expect("JSON")
    }
}

/// The lines of the tutorial, in their order.
fn tutorial() -> Vec<String> {
    let page = include_str!("../../../docs/tutorial.md");
    let blocks = page.split("```bash\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("cutover "));
    lines.map(str::to_owned).collect()
}

/// A line in small: as many orgs, as long a load, as a test has time for.
fn small(line: &str) -> Vec<String> {
    let rehearses = line.starts_with("cutover rehearse");
    let line = line.replace("--orgs 1000", "--orgs 60").replace("--duration 1m", "--duration 5s");
    let line = line.replace("--duration 10m", "--duration 6s --looks 1 --connections 8");
    let rate = if rehearses && !line.contains("--rate") { " --rate 40" } else { "" };
    let pairs = if line.contains("--duration") { " --pairs 2" } else { "" };
    let keep_going = if rehearses { " --keep-going" } else { "" };
    let line = format!("{line}{rate}{pairs}{keep_going}");
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_unlike_the_reference_one_is_rehearsed_by_the_lines_of_the_tutorial() {
    let database = database();
    execute(&database.url, SCHEMA).await;
    let address = service::serve(&database.url).await;
    let folder = tempdir().expect("a folder");
    let desk = Desk { url: &database.url, folder: folder.path() };
    let mut done = Vec::new();
    for line in tutorial() {
        let words = small(&line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["init"] => {
                let told = desk.expect(&[0], &words);
                assert!(told.contains("3 table pairs"), "{told}");
                assert!(told.contains("not carried: DELETE"), "{told}");
                assert!(told.contains("only in legacy: legacy_ref"), "{told}");
                say_where_it_answers(folder.path(), &address.to_string());
            }
            ["check-config", "--env", ..] => {
                let told = desk.expect(&[0], &words);
                assert!(told.contains("seed: refused here"), "{told}");
            }
            ["check-config", ..] => {
                let told = desk.expect(&[0], &words);
                assert!(told.contains("create_booking, correct_booking"), "{told}");
            }
            ["seed", ..] => drop(desk.expect(&[0], &words)),
            ["diff", ..] => names_each_weakness(&desk, &words),
            ["drive", ..] => drives(&desk, &words),
            ["rehearse", ..] => {
                if !done.iter().any(|done| done == "rehearse") {
                    names_what_another_application_did(&desk).await;
                }
                desk.expect(&[11], &words);
            }
            ["gate", ..] => {
                let told = desk.expect(&[11], &words);
                assert!(told.contains("NO-GO") && told.contains("legacy_ref"), "{told}");
            }
            _ => panic!("what is to be expected of `{line}`?"),
        }
        done.push(words[0].to_owned());
    }
    let wanted = ["init", "check-config", "seed", "diff", "drive", "rehearse", "gate"];
    assert!(wanted.iter().all(|act| done.iter().any(|done| done == act)), "{done:?}");
    let record = desk.json("reports/production/run.json");
    assert_eq!(record["target"]["environment"], "production");
    assert_eq!(record["drive"]["ledger"], Value::Null, "something was written");
}

/// What `init` cannot know.
fn say_where_it_answers(folder: &Path, address: &str) {
    let path = folder.join("cutover.toml");
    let text = std::fs::read_to_string(&path).expect("init wrote it");
    let text = text
        .replace(
            "# base_url = \"http://127.0.0.1:4000\"",
            &format!("base_url = \"http://{address}\""),
        )
        .replace("X-Cutover-Mode", "X-Read-From")
        .replace("served_by_header = \"\"", "served_by_header = \"X-Served-From\"");
    let environments = ["staging", "production"]
        .map(|name| format!("\n[env.{name}]\nbase_url = \"http://{address}\"\n"));
    std::fs::write(path, text + &environments.concat()).expect("our own folder");
    // The paths, as their owner would correct them.
    let scenario = folder.join("scenario.toml");
    assert!(scenario.exists(), "init wrote it");
    std::fs::copy(SCENARIO, scenario).expect("our own folder");
}

fn drives(desk: &Desk<'_>, words: &[&str]) {
    // A busy machine may make a measurement untrustworthy (30), never a wrong answer.
    desk.expect(&[0, 30], words);
    let record = desk.json("reports/trial/run.json");
    let drive = &record["drive"];
    assert!(drive["requests"].as_u64() > Some(100), "{drive}");
    assert_eq!(drive["errors"], 0, "{}", drive["errors_by_kind"]);
    assert_eq!(drive["mode_proven"], true);
    assert!(drive["isolation"]["answers_checked"].as_u64() > Some(50), "{}", drive["isolation"]);
    let ledger = &drive["ledger"];
    assert_eq!(ledger["complete"], true, "{ledger}");
    assert!(ledger["rows_checked"].as_u64() > Some(10), "{ledger}");
    assert_eq!(ledger["findings"].as_array().map(Vec::len), Some(0), "{ledger}");
    assert!(!record.to_string().contains(SECRET));
}

fn findings(desk: &Desk<'_>, file: &str) -> (Vec<Value>, String) {
    let text = std::fs::read_to_string(desk.folder.join(file)).expect("findings");
    let findings = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    (findings.collect(), text)
}

fn names(findings: &(Vec<Value>, String), wanted: &[(&str, &str, &str)]) {
    for (table, class, word) in wanted {
        let named = findings.0.iter().any(|finding| {
            finding["table"] == *table
                && finding["class"] == *class
                && finding.to_string().contains(word)
        });
        assert!(named, "{table}: {class} {word}\n{}", findings.1);
    }
}

/// What catalogs and triggers lack shows before a row is lost.
fn names_each_weakness(desk: &Desk<'_>, words: &[&str]) {
    desk.expect(&[11], words);
    let findings = findings(desk, "reports/before/findings.jsonl");
    let wanted = [
        ("bookings", "column_missing", "legacy_ref"),
        ("bookings", "column_extra", "loaded_at"),
        ("bookings", "trigger_event_missing", "DELETE"),
        ("night_counts", "trigger_event_missing", "DELETE"),
        ("night_counts", "trigger_column_missing", "guests"),
        ("x\"; DROP TABLE y; --", "trigger_event_missing", "DELETE"),
    ];
    names(&findings, &wanted);
}

/// What the triggers do not carry is lost as soon as somebody does it, and then the rows show it.
async fn names_what_another_application_did(desk: &Desk<'_>) {
    execute(
        desk.url,
        "DELETE FROM ledger.bookings WHERE booking_no = (SELECT min(booking_no) FROM ledger.bookings);
         UPDATE ledger.night_counts SET guests = guests + 1 WHERE (tenant_id, room_id, night) =
             (SELECT tenant_id, room_id, night FROM ledger.night_counts LIMIT 1);",
    )
    .await;
    desk.expect(&[11], &["diff", "--out", "reports/later"]);
    let findings = findings(desk, "reports/later/findings.jsonl");
    let wanted = [("bookings", "extra", ""), ("night_counts", "mismatched", "guests")];
    names(&findings, &wanted);
    // A guest's address is nobody's business.
    assert!(findings.1.contains("\"guest_email\":\"***\""), "{}", findings.1);
}
