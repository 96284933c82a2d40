//! `cutover init` of a database, and `cutover check-config`.

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{cutover, execute, reference_database};

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_schema_is_found_as_the_tool_itself_describes_it() {
    let database = reference_database().await;
    let out = tempdir().expect("a folder");
    let init = || {
        let mut init = cutover();
        init.args(["init", "--format", "json", "--database-url", &database.url, "--out"])
            .arg(out.path());
        init
    };
    let found = init().assert().success().get_output().stdout.clone();
    let found: Value = serde_json::from_slice(&found).expect("one JSON object");
    assert_eq!(found["pairs"].as_array().expect("a list").len(), 3, "{found}");
    let text = std::fs::read_to_string(out.path().join("cutover.toml")).expect("it was written");
    let made: toml::Table = toml::from_str(&text).expect("TOML");
    let reference = cutover::config::TablePair::reference();
    for pair in made["tables"].as_array().expect("pairs") {
        let pair: cutover::config::TablePair = pair.clone().try_into().expect("a pair");
        let same =
            reference.iter().find(|known| known.legacy == pair.legacy).expect("a known pair");
        // What it is called and asked by the platform, no catalog tells.
        let (name, reads) = (same.name.clone(), same.reads.clone());
        let named = cutover::config::TablePair { name, reads, ..pair };
        assert_eq!(named, *same);
    }
    // Nothing that is there is overwritten, unless that is asked for.
    std::fs::write(out.path().join("seed.toml"), "mine").expect("our own folder");
    let refused = init().assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is there already"));
    assert_eq!(std::fs::read(out.path().join("seed.toml")).expect("there"), b"mine");
    init().arg("--force").assert().success();
    assert_ne!(std::fs::read(out.path().join("seed.toml")).expect("there"), b"mine");
    explains_what_it_would_do(&database.url, out.path()).await;
}

async fn explains_what_it_would_do(url: &str, folder: &std::path::Path) {
    let explain = |more: &[&str]| {
        let mut check = cutover();
        check.args(["check-config", "--format", "json", "--database-url", url, "--config"]);
        check.arg(folder.join("cutover.toml")).args(more);
        check
    };
    let told = explain(&[]).assert().success().get_output().stdout.clone();
    let told: Value = serde_json::from_slice(&told).expect("one JSON object");
    let names: Vec<&str> =
        told["acts"].as_array().expect("acts").iter().filter_map(|a| a["act"].as_str()).collect();
    assert_eq!(names, ["seed", "drive", "diff", "gate", "rehearse"]);
    assert!(
        told["acts"][0]["writes"].to_string().contains("public.revenue_transactions"),
        "{told}"
    );
    assert_eq!(told["acts"][3]["writes"].as_array().map(Vec::len), Some(0), "{told}");
    assert_eq!(told["pairs"].as_array().map(Vec::len), Some(3), "{told}");
    let told = explain(&["--read-only"]).assert().success().get_output().stdout.clone();
    let told: Value = serde_json::from_slice(&told).expect("one JSON object");
    let allowed: Vec<bool> = told["acts"]
        .as_array()
        .expect("acts")
        .iter()
        .filter_map(|a| a["allowed"].as_bool())
        .collect();
    assert_eq!(allowed, [false, true, true, true, true], "{told}");
    // A table that went away is said, with exit code 2.
    execute(url, "ALTER TABLE expense_transactions RENAME TO elsewhere").await;
    let refused = explain(&[]).assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expense_transactions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_bites_is_a_name_and_what_is_alike_by_chance_is_no_pair() {
    let database = crate::support::database();
    execute(
        &database.url,
        r#"CREATE TABLE "a ""b"".c; DROP" (id bigint PRIMARY KEY, "tenant_id" bigint NOT NULL, "d" date NOT NULL);
           CREATE TABLE "a ""b"".c; DROP_p" (LIKE "a ""b"".c; DROP") PARTITION BY RANGE ("d");
           CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO "a ""b"".c; DROP_p" VALUES (NEW.*); RETURN NULL; END $$;
           CREATE TRIGGER carry AFTER INSERT ON "a ""b"".c; DROP" FOR EACH ROW EXECUTE FUNCTION carry();
           CREATE TABLE orders (id bigint PRIMARY KEY, org_id bigint);
           CREATE TABLE orders_log (at timestamp, line text, level int) PARTITION BY RANGE (at);
           CREATE TABLE ordersx (id bigint, org_id bigint) PARTITION BY HASH (id);"#,
    )
    .await;
    let out = tempdir().expect("a folder");
    let found = cutover()
        .args(["init", "--format", "json", "--database-url", &database.url, "--out"])
        .arg(out.path())
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let found: Value = serde_json::from_slice(&found).expect("one JSON object");
    assert_eq!(found["pairs"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["pairs"][0]["legacy"], r#""public"."a ""b"".c; DROP""#);
    assert_eq!(found["without_legacy"].as_array().map(Vec::len), Some(2), "{found}");
    let config = out.path().join("cutover.toml");
    let compared = cutover()
        .args(["diff", "--allow-empty", "--database-url", &database.url, "--config"])
        .arg(config)
        .arg("--out")
        .arg(out.path().join("diff"))
        .assert()
        .code(11)
        .get_output()
        .stdout
        .clone();
    assert!(String::from_utf8_lossy(&compared).contains("trigger_event_missing"));
}
