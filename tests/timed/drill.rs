//! Drills: proven on a healthy rig, red if something is not as it should be, refused elsewhere.

use crate::support;
use std::path::Path;
use std::time::{Duration, Instant};

use cutover::act::ActContext;
use cutover::http::{Site, TrustedRoots};
use cutover::rig::{Options, Stack};
use serde_json::Value;

const ORGS: &str = "400";

/// Runs drills; the exit code, what stands in `drills.json`, and what was said.
fn drill(out: &Path, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let output = support::cutover()
        .args(["drill", "--orgs", ORGS, "--out"])
        .arg(out)
        .args(arguments)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let text = std::fs::read_to_string(out.join("drills.json")).unwrap_or("[]".into());
    (output.status.code(), serde_json::from_str(&text).expect("a list of drills"), said)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn every_drill_is_proven_on_a_healthy_rig_within_the_handbooks_time() {
    let out = folder();
    let (code, drills, said) = drill(&out.path().join("run"), &["all"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(drills.len(), 9, "{said}");
    for drill in &drills {
        let name = drill["name"].as_str().expect("a name");
        assert_eq!(drill["proven"], true, "{name}: {}", drill["note"]);
        let (measured, limit) = (drill["measured_s"].as_f64(), drill["limit_s"].as_f64());
        assert!(measured.expect("a time") <= limit.expect("a limit"), "{name}: {drill}");
        let steps = drill["steps"].as_array().expect("steps");
        assert!(steps.iter().any(|step| step["holds"] == true), "{name} proves nothing");
    }
}

/// A rig with data, whose platform goes wrong in one way.
async fn rig(misbehave: &str) -> Stack {
    let mut options = Options::new(env!("CARGO_BIN_EXE_cutover"));
    if !misbehave.is_empty() {
        options.platform_args = vec!["--misbehave".into(), misbehave.into()];
    }
    let stack = Stack::start(options, &ActContext::silent()).await.expect("the rig starts");
    support::cutover()
        .args(["seed", "--orgs", ORGS, "--database-url", stack.database_url()])
        .assert()
        .success();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_loses_writes_or_ignores_its_flag_fails_the_drill() {
    let out = folder();
    let config = out.path().join("deaf.toml");
    std::fs::write(&config, "[rollout]\npercentage_command = [\"true\", \"{{percent}}\"]\n")
        .expect("written");
    let config = config.display().to_string();
    let stack = rig("lost-write=30%").await;
    let base_url = stack.base_url().expect("asked for").to_owned();
    let target = ["--database-url", stack.database_url(), "--base-url", &base_url];

    let arguments = [&["standard-rollback"], &target[..]].concat();
    let (code, drills, said) = drill(&out.path().join("lost"), &arguments);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!(drills[0]["proven"], false);
    let note = drills[0]["note"].as_str().expect("why");
    assert!(note.contains("every acknowledged write stands on both sides: no"), "{note}");

    let arguments = [&["standard-rollback", "--config", &config], &target[..]].concat();
    let (code, drills, said) = drill(&out.path().join("deaf"), &arguments);
    assert_eq!(code, Some(10), "{said}");
    let note = drills[0]["note"].as_str().expect("why");
    assert!(note.contains("both sides serve, no request fails: no"), "{note}");

    // Its servers are not ours to kill: broken off, and no time.
    let arguments = [&["redis-down"], &target[..]].concat();
    let (code, drills, said) = drill(&out.path().join("hands"), &arguments);
    assert_eq!(code, Some(20), "{said}");
    assert_eq!((&drills[0]["proven"], &drills[0]["measured_s"]), (&false.into(), &Value::Null));
    stack.stop().await.expect("the rig stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_rig_is_touched_only_by_its_owners_leave() {
    let out = folder();
    let stack = rig("").await;
    let base_url = stack.base_url().expect("asked for").to_owned();
    let not_a_rig = "ALTER DATABASE hospitality_platform SET cutover.rig = 'off'";
    support::execute(stack.database_url(), not_a_rig).await;
    let target = ["--database-url", stack.database_url(), "--base-url", &base_url];
    for name in ["standard-rollback", "emergency-rollback"] {
        let arguments = [&[name], &target[..]].concat();
        let (code, drills, said) = drill(&out.path().join("refused"), &arguments);
        assert_eq!((code, drills.len()), (Some(2), 0), "{said}");
        assert!(said.contains("this target is no rig") && said.contains("hint:"), "{said}");
    }
    let config = out.path().join("staging.toml");
    let text = "[rollout]\nenvironment = \"staging\"\n\
                drills = [\"standard-rollback\", \"emergency-rollback\"]\n";
    std::fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let with = [&["--config", &*config], &target[..]].concat();
    let (code, drills, said) =
        drill(&out.path().join("allowed"), &[&["standard-rollback"], &with[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(drills[0]["environment"], "staging");
    // What spoils rows is refused there whatever the configuration says.
    let (code, _, said) =
        drill(&out.path().join("spoils"), &[&["emergency-rollback"], &with[..]].concat());
    assert_eq!(code, Some(2), "{said}");
    stack.stop().await.expect("the rig stops");
}

/// The platform's share as it says itself.
async fn share(base_url: &str) -> f64 {
    let url = base_url.parse().expect("a URL");
    let mut site =
        Site::new(&url, &TrustedRoots::default(), Duration::from_secs(5)).expect("loopback");
    let flags = site.json("/admin/flags").await.expect("flags");
    flags["USE_PARTITIONED_TABLES_PERCENTAGE"].as_f64().expect("a percentage")
}

/// Waits until the share is what `wanted` says; the last one seen.
async fn share_becomes(base_url: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let seen = share(base_url).await;
        if wanted(seen) || Instant::now() > end {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_moves_the_share_of_a_platform_that_lives_on_and_is_killed_leaves_it_at_0() {
    let out = folder();
    let stack = rig("").await;
    let base_url = stack.base_url().expect("asked for").to_owned();
    let not_a_rig = "ALTER DATABASE hospitality_platform SET cutover.rig = 'off'";
    support::execute(stack.database_url(), not_a_rig).await;
    let config = out.path().join("staging.toml");
    let text = "[rollout]\nenvironment = \"staging\"\ndrills = [\"standard-rollback\"]\n";
    std::fs::write(&config, text).expect("written");
    for (name, command) in [
        ("drill", &["drill", "standard-rollback"][..]),
        ("rollout", &["rehearse", "--rollout", "--skip-seed", "--orgs", ORGS, "--rate", "20"]),
    ] {
        let mut killed = support::cutover_command()
            .args(command)
            .args(["--database-url", stack.database_url(), "--base-url", &base_url, "--config"])
            .arg(&config)
            .arg("--out")
            .arg(out.path().join(name))
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let moved = share_becomes(&base_url, |share| share > 0.0).await;
        killed.kill().expect("it runs");
        killed.wait().expect("it ends");
        assert!(moved > 0.0, "{name} never moved the share");
        let left = share_becomes(&base_url, |share| share == 0.0).await;
        assert_eq!(left, 0.0, "{name}");
    }
    stack.stop().await.expect("the rig stops");
}

#[test]
fn an_unknown_drill_is_refused_with_the_names() {
    let (code, _, said) = drill(&folder().path().join("run"), &["coffee"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no drill `coffee`") && said.contains("primary-restart"), "{said}");
}

/// A part of the scorecard: nothing wrong, and one of each kind of fault; the whole takes a quarter of
/// an hour.
#[test]
fn faults_that_are_planted_under_load_are_seen_and_nothing_else_is() {
    let out = folder();
    let run = out.path().join("run");
    let only = ["00_healthy", "01b_trigger", "34_lost", "p06_torn"];
    let output = support::cutover()
        .args(["drill", "faults", "--out"])
        .arg(&run)
        .args(only.iter().flat_map(|name| ["--only", name]))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = std::fs::read_to_string(run.join("faults.json")).expect("evidence");
    let faults: Vec<Value> = serde_json::from_str(&text).expect("a list");
    assert_eq!(faults.len(), only.len(), "{said}");
    assert_eq!(faults[0]["seen_by"], serde_json::json!([]), "{said}");
    for fault in &faults[1..] {
        assert!(fault["seen_after_s"].as_f64() > Some(0.0), "{fault:#}");
    }
    for (arguments, why) in [
        (&["faults", "--only", "coffee"][..], "no fault named like coffee"),
        (&["faults", "redis-down"], "takes the rig for itself"),
        (&["redis-down", "--only", "01"], "chooses among faults"),
    ] {
        let (code, _, said) = drill(&out.path().join("refused"), arguments);
        assert!(code == Some(2) && said.contains(why), "{said}");
    }
}

/// Which triggers of revenue's legacy table fire in which sessions, and what next month's partition has
/// for itself.
const FOUND: &str = "
    SELECT string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgname) || '; ' ||
           (SELECT string_agg(c.relname || ' ' || array_to_string(c.reloptions, ','), ' ')
              FROM pg_class c WHERE c.reloptions IS NOT NULL AND c.relispartition)
      FROM pg_trigger WHERE tgrelid = 'revenue_transactions'::regclass AND NOT tgisinternal";

/// Triggers of the kind that a plain ENABLE spoils, and a partition with storage of its own.
const OWN_WAYS: &str = "
    ALTER TABLE revenue_transactions ENABLE ALWAYS TRIGGER revenue_transactions_dual_write_trigger;
    ALTER TABLE expense_transactions ENABLE REPLICA TRIGGER expense_transactions_dual_write_trigger;
    ALTER TABLE expense_transactions ENABLE ALWAYS TRIGGER expense_transactions_dual_write_trigger;
    DO $$ BEGIN EXECUTE format('ALTER TABLE %s SET (fillfactor = 71)', (
        SELECT i.inhrelid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'revenue_transactions_partitioned'::regclass
           AND pg_get_expr(c.relpartbound, c.oid)
               LIKE 'FOR VALUES FROM (''' || (date_trunc('month', now()) + interval '1 month')::date || '%'));
    END $$";

async fn found(url: &str) -> String {
    let mut connection = cutover::pg::connect(url).await.expect("the rig answers");
    let found: Option<String> =
        sqlx::query_scalar(FOUND).fetch_one(&mut connection).await.expect("an answer");
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_partitions_are_put_back_as_they_were_also_behind_a_killed_drill() {
    let out = folder();
    let stack = rig("").await;
    let (url, base_url) = (stack.database_url().to_owned(), stack.base_url().expect("asked for"));
    support::execute(&url, OWN_WAYS).await;
    let before = found(&url).await;
    assert!(
        before.contains("dual_write_trigger A") && before.contains("fillfactor=71"),
        "{before}"
    );
    let target = ["--database-url", &url, "--base-url", base_url];

    for name in ["emergency-rollback", "missing-partition"] {
        let (code, drills, said) = drill(&out.path().join(name), &[&[name], &target[..]].concat());
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(found(&url).await, before, "{name}: {}", drills[0]);
    }

    for name in ["emergency-rollback", "missing-partition"] {
        let mut command = support::cutover_command();
        command
            .args(["drill", name, "--orgs", ORGS, "--out"])
            .arg(out.path().join("killed").join(name));
        let mut killed = command.args(target).spawn().expect("it runs");
        let until = async |wanted: &dyn Fn(&str) -> bool, what: &str| {
            let end = Instant::now() + Duration::from_secs(120);
            loop {
                let now = found(&url).await;
                if wanted(&now) {
                    return;
                }
                assert!(Instant::now() < end, "{name}: {what}: {now}, before {before}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(&|now| now != before, "nothing was changed").await;
        killed.kill().expect("it still runs");
        killed.wait().expect("it ends");
        until(&|now| now == before, "nobody has put it back").await;
    }
    stack.stop().await.expect("the rig stops");
}
