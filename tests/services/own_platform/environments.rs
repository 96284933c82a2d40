//! What may be changed where.

use tempfile::tempdir;

use crate::support::{cutover, reference_database};

const CONFIG: &str = r#"
[env.staging]
base_url = "http://127.0.0.1:9"
allow = ["drive", "flag", "probe"]

[env.production]
base_url = "http://127.0.0.1:9"

[env.production.routing]
kind = "rule_file"
rule_file = "flags.json"
rule_pointer = "/flags/twin/on"
legacy_rule = false
partitioned_rule = true
settle_s = 0
probe = { url = "http://127.0.0.1:9/flag", pointer = "/mode" }

[env.live]
production = true
base_url = "http://127.0.0.1:9"
"#;

fn folder_with(config: &str) -> tempfile::TempDir {
    let folder = tempdir().expect("a folder");
    std::fs::write(folder.path().join("cutover.toml"), config).expect("our own folder");
    folder
}

fn refused(folder: &std::path::Path, url: &str, arguments: &[&str], words: &[&str]) {
    let output = cutover()
        .current_dir(folder)
        .env("CUTOVER_DATABASE_URL", url)
        .args(arguments)
        .output()
        .expect("cutover runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
    for word in words {
        assert!(told.contains(word), "{arguments:?}: should say {word}: {told}");
    }
    assert!(!folder.join("out").exists(), "{arguments:?} left something");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_that_writes_is_refused_in_production() {
    let database = reference_database().await;
    let folder = folder_with(CONFIG);
    let (place, url) = (folder.path(), database.url.as_str());
    for env in ["production", "live"] {
        let seed = ["seed", "--env", env, "--orgs", "5", "--out", "out"];
        refused(place, url, &seed, &["`seed` is not allowed", &format!("environment `{env}`")]);
        let drive = ["drive", "--env", env, "--out", "out"];
        refused(
            place,
            url,
            &drive,
            &["`drive` is not allowed", "create_revenue", "allow = [\"drive\"]"],
        );
        let rehearse = ["rehearse", "--env", env, "--out", "out"];
        refused(place, url, &rehearse, &["`seed` is not allowed", "--read-only"]);
        let log = ["diff", "--env", env, "--wal", "--out", "out"];
        refused(place, url, &log, &["`wal` is not allowed"]);
    }
    // Reading requests alone do not make the switch of a flag a reading act.
    let drive = ["drive", "--read-only", "--env", "production", "--out", "out"];
    refused(place, url, &drive, &["`flag` is not allowed", "file of rules"]);
    let staging = ["seed", "--env", "staging", "--orgs", "5", "--out", "out"];
    refused(place, url, &staging, &["`seed` is not allowed"]);
    // Several are described: which one is meant has to be said.
    refused(place, url, &["diff", "--out", "out"], &["live, production, staging", "--env"]);
    refused(place, url, &["diff", "--env", "prod", "--out", "out"], &["no [env.prod]"]);
    // The diff reads: it goes without the trial of the triggers, and says so.
    let compared = cutover()
        .current_dir(place)
        .env("CUTOVER_DATABASE_URL", url)
        .args(["diff", "--env", "production", "--out", "compared"])
        .assert()
        .success()
        .get_output()
        .clone();
    let told = String::from_utf8_lossy(&compared.stderr);
    assert!(
        told.contains("environment production") && told.contains("will write nothing"),
        "{told}"
    );
    assert!(told.contains("left out: the triggers were not tried"), "{told}");
    let findings =
        std::fs::read_to_string(place.join("compared/findings.jsonl")).expect("findings");
    assert!(findings.contains("trigger_coverage_unknown"), "{findings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_not_production_under_another_name() {
    let database = reference_database().await;
    let bare = {
        let mut url = url::Url::parse(&database.url).expect("a URL");
        url.set_password(None).expect("a URL with a host");
        url.to_string()
    };
    let config = format!(
        "[env.staging]\n[env.staging.database]\nurl = \"postgres://u@elsewhere:1/x\"\n\
         [env.other]\n[env.production.database]\nurl = \"{bare}\"\n"
    );
    let folder = folder_with(&config);
    let diff = |env| ["diff", "--env", env, "--out", "out"];
    let words = ["[env.staging] names elsewhere:1/x", "which of them"];
    refused(folder.path(), &database.url, &diff("staging"), &words);
    refused(folder.path(), &database.url, &diff("other"), &["is the database of [env.production]"]);
}
