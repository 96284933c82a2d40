//! The second platform from end to end: found, seeded, driven, compared and judged by config alone.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::tempdir;

use super::service::{self, SECRET, SECRET_VARIABLE};
use crate::support::{cutover, database, execute};

const SCHEMA: &str = include_str!("../fixtures/second_platform/schema.sql");
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
            .env(SECRET_VARIABLE, SECRET)
            .args(arguments)
            .output()
            .expect("cutover runs")
    }

    fn expect(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = format!(
            "{arguments:?}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{told}");
        told
    }

    fn json(&self, file: &str) -> Value {
        let text = std::fs::read_to_string(self.folder.join(file)).expect(file);
        serde_json::from_str(&text).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_unlike_the_reference_one_is_rehearsed_by_config_alone() {
    let database = database();
    execute(&database.url, SCHEMA).await;
    let address = service::serve(&database.url).await;
    let folder = tempdir().expect("a folder");
    let desk = Desk { url: &database.url, folder: folder.path() };

    let told = desk.expect(0, &["init"]);
    assert!(told.contains("3 table pairs") && told.contains("not carried: DELETE"), "{told}");
    assert!(told.contains("only in legacy: legacy_ref"), "{told}");
    say_where_it_answers(folder.path(), &address.to_string());
    let told =
        desk.expect(0, &["check-config", "--scenario", SCENARIO, "--profile-file", "seed.toml"]);
    assert!(told.contains("create_booking, correct_booking"), "{told}");

    desk.expect(0, &["seed", "--profile-file", "seed.toml", "--orgs", "60", "--out", "seeded"]);
    drives(&desk);
    names_each_weakness(&desk).await;
    let load = ["--rate", "40", "--duration", "6s", "--pairs", "2", "--extensions", "0"];
    let rehearse =
        ["rehearse", "--skip-seed", "--keep-going", "--scenario", SCENARIO, "--orgs", "60"];
    let all: Vec<&str> = rehearse.into_iter().chain(load).chain(["--out", "rehearsed"]).collect();
    desk.expect(11, &all);
    let told = desk.expect(11, &["gate", "rehearsed"]);
    assert!(told.contains("NO-GO") && told.contains("legacy_ref"), "{told}");
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
    std::fs::write(path, text).expect("our own folder");
}

fn drives(desk: &Desk<'_>) {
    let output = desk.run(&[
        "drive",
        "--scenario",
        SCENARIO,
        "--orgs",
        "60",
        "--rate",
        "60",
        "--duration",
        "5s",
        "--pairs",
        "2",
        "--connections",
        "8",
        "--out",
        "driven",
    ]);
    // A busy machine may make a measurement untrustworthy (30), never a wrong answer.
    let code = output.status.code();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!([Some(0), Some(30)].contains(&code), "{code:?} {told}");
    let record = desk.json("driven/run.json");
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

/// What another application does shows in the rows; what the catalogs and triggers lack shows at once.
async fn names_each_weakness(desk: &Desk<'_>) {
    execute(
        desk.url,
        "DELETE FROM ledger.bookings WHERE booking_no = (SELECT min(booking_no) FROM ledger.bookings);
         UPDATE ledger.night_counts SET guests = guests + 1 WHERE (tenant_id, room_id, night) =
             (SELECT tenant_id, room_id, night FROM ledger.night_counts LIMIT 1);",
    )
    .await;
    desk.expect(11, &["diff", "--out", "compared"]);
    let text =
        std::fs::read_to_string(desk.folder.join("compared/findings.jsonl")).expect("findings");
    let findings: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let hostile = "x\"; DROP TABLE y; --";
    for (table, class, word) in [
        ("bookings", "column_missing", "legacy_ref"),
        ("bookings", "column_extra", "loaded_at"),
        ("bookings", "trigger_event_missing", "DELETE"),
        ("night_counts", "trigger_event_missing", "DELETE"),
        ("night_counts", "trigger_column_missing", "guests"),
        (hostile, "trigger_missing", ""),
        ("bookings", "extra", ""),
        ("night_counts", "mismatched", "guests"),
    ] {
        let named = findings.iter().any(|finding| {
            finding["table"] == table
                && finding["class"] == class
                && finding.to_string().contains(word)
        });
        assert!(named, "{table}: {class} {word}\n{text}");
    }
    // A guest's address is nobody's business.
    assert!(!text.contains("\"guest_email\":\"") || text.contains("\"guest_email\":\"…"), "{text}");
}
