//! A whole rehearsal on a server that refuses every write, and whose log shows each statement.

use std::path::Path;

use serde_json::Value;

use crate::support::rig::Rig;
use crate::support::{cutover, execute};

/// Words with which a statement begins that changes something.
const WRITES: [&str; 17] = [
    "insert", "update", "delete", "truncate", "create", "alter", "drop", "merge", "copy", "grant",
    "revoke", "vacuum", "analyze", "reindex", "refresh", "call", "do",
];

/// The statements of the server's log from `from` on that change something.
fn writes(log: &str, from: usize) -> Vec<String> {
    let statements = log[from..].lines().filter_map(|line| {
        let (_, statement) = line.split_once("LOG:  statement: ").or_else(|| {
            let (_, rest) = line.split_once("LOG:  execute ")?;
            rest.split_once(": ")
        })?;
        Some(statement.trim().to_lowercase())
    });
    let changes = |statement: &String| {
        let first = statement.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        // Rows are read by COPY … TO STDOUT.
        let reads = first == "copy" && statement.contains("to stdout");
        let hidden = ["nextval(", "setval(", "lo_create", "for update"];
        WRITES.contains(&first) && !reads || hidden.iter().any(|word| statement.contains(word))
    };
    statements.filter(changes).collect()
}

fn log(rig: &Rig) -> String {
    let path = rig.dir.path().join("rig/postgres.log");
    String::from_utf8_lossy(&std::fs::read(path).expect("the server's log")).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_rehearsal_changes_nothing_and_says_what_it_did_not_test() {
    let rig = Rig::up();
    rig.seed("300");
    let url = rig.url("database_url").to_owned();
    // Each statement of its own: ALTER SYSTEM refuses company.
    for statement in [
        "ALTER SYSTEM SET log_statement = 'all'",
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ] {
        execute(&url, statement).await;
    }
    // What is logged is seen: this one is refused, and in the log.
    let from = log(&rig).len();
    let mut connection = cutover::pg::connect(&url).await.expect("the rig's server");
    let refused = sqlx::raw_sql("DELETE FROM expense_transactions").execute(&mut connection).await;
    assert!(refused.expect_err("the server refuses writes").to_string().contains("read-only"));
    assert!(writes(&log(&rig), from).iter().any(|s| s.starts_with("delete from expense")));

    let folder = rig.dir.path().join("desk");
    std::fs::create_dir(&folder).expect("our own folder");
    let config = format!("[env.production]\nbase_url = \"{}\"\n", rig.url("base_url"));
    std::fs::write(folder.join("cutover.toml"), config).expect("our own folder");
    let from = log(&rig).len();
    let output = cutover()
        .current_dir(&folder)
        .env("CUTOVER_DATABASE_URL", &url)
        .args(["rehearse", "--env", "production", "--read-only", "--orgs", "300", "--rate", "80"])
        .args(["--duration", "10s", "--pairs", "4", "--connections", "8", "--out", "run"])
        .output()
        .expect("cutover runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen = log(&rig);
    assert!(seen.len() > from + 1000, "the rehearsal left no trace in the log: {told}");
    assert_eq!(writes(&seen, from), Vec::<String>::new(), "{told}");
    assert!(
        told.contains("environment production") && told.contains("will write nothing"),
        "{told}"
    );
    // The database came from an option, and could be anybody's.
    assert!(told.contains("CHECK: [env.production] names no database of its own"), "{told}");
    is_whole(&folder, &output, &told);
}

/// Every act to its end, every criterion of the data met, and what was not tested said aloud.
fn is_whole(folder: &Path, output: &std::process::Output, told: &str) {
    let record = std::fs::read_to_string(folder.join("run/run.json")).expect("a record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    for act in record["acts"].as_array().expect("acts") {
        assert_eq!(act["state"], "done", "{act} {told}");
    }
    assert_eq!(record["target"]["environment"], "production");
    let state = |id: &str| {
        let criteria = record["criteria"].as_array().expect("criteria");
        let found = criteria.iter().find(|criterion| criterion["id"] == id);
        found.map(|criterion| criterion["state"].clone()).unwrap_or_default()
    };
    for id in ["content_identical_before", "content_identical", "catalog_sound", "answers_alike"] {
        assert_eq!(state(id), "pass", "{id} {told}");
    }
    assert_eq!(state("tested_whole"), "unknown");
    let left_out = record["left_out"].to_string();
    assert!(left_out.contains("create_revenue") && left_out.contains("triggers"), "{left_out}");
    // Some figures of a load are the machine's; nothing but these may keep it from a GO.
    let code = output.status.code().expect("it was not killed");
    let reasons = &record["verdict"]["reasons"];
    assert!([0, 10, 20, 30].contains(&code), "{code} {reasons}");
    if code == 0 {
        let told = reasons.to_string();
        assert!(told.contains("Not tested: operations") && told.contains("triggers"), "{told}");
    } else {
        let blamed =
            ["p95", "lag", "generator", "interval", "slower", "requests", "cache", "Cache"];
        assert!(blamed.iter().any(|word| reasons.to_string().contains(word)), "{reasons}");
    }
    let page = std::fs::read_to_string(folder.join("run/report.md")).expect("a report");
    assert!(
        page.replace('\\', "").contains("create_revenue"),
        "the report does not say what was left out"
    );
}
