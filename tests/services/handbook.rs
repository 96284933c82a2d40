//! The handbook's commands: its page has a row per section and names what exists; checklists, pilot
//! and watch do on a rig what they say, and see what is planted.

use crate::support;
use std::path::Path;
use std::time::Duration;

use crate::support::webhook::{OK, webhook};
use cutover::act::ActContext;
use cutover::http::{Site, TrustedRoots};
use cutover::rig::{Options, Stack};
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_section_has_a_row_and_every_row_names_what_exists() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/handbook.md")).expect("there");
    let wanted = include_str!("../../fixtures/handbook_sections.txt");
    let table = page.split("\n## ").next().expect("a first part");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .skip(1)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let sections: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(sections, wanted.lines().collect::<Vec<_>>(), "a row per section, in their order");
    for row in &rows {
        let [section, command, evidence, state] = row[..] else { panic!("{row:?}: four columns") };
        assert!(["done", "part", "by hand", "open"].contains(&state), "{section}: {state}");
        let by_people = state == "by hand" || state == "open";
        assert!(by_people || (command != "–" && evidence != "–"), "{section}: {state} by what?");
        for named in command.split('`').skip(1).step_by(2) {
            let words: Vec<&str> = named.split_whitespace().collect();
            match words[..] {
                ["cutover", name, ..] => {
                    support::cutover().args([name, "--help"]).assert().success();
                }
                [script, ..] if script.starts_with("scripts/") => {
                    assert!(Path::new(ROOT).join(script).is_file(), "{section}: no {script}");
                }
                _ => panic!("{section}: `{named}` is neither command nor script"),
            }
        }
    }
}

/// A rig with a few orgs.
async fn rig() -> Stack {
    rig_with(Options::new(env!("CARGO_BIN_EXE_cutover"))).await
}

async fn rig_with(options: Options) -> Stack {
    let stack = Stack::start(options, &ActContext::silent()).await.expect("the rig starts");
    let seed = ["seed", "--orgs", "200", "--database-url", stack.database_url()];
    support::cutover().args(seed).assert().success();
    stack
}

/// Runs a command against a rig; exit code and what it printed as JSON.
fn run(stack: &Stack, arguments: &[&str]) -> (Option<i32>, Value) {
    let target = ["--database-url", stack.database_url(), "--base-url"];
    let output = support::cutover()
        .args(arguments)
        .args(target)
        .args([stack.base_url().expect("asked for"), "--format", "json"])
        .output()
        .expect("it runs");
    let said = serde_json::from_slice(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {stderr}")))
}

/// The state of an item of a checklist.
fn state<'a>(list: &'a Value, id: &str) -> &'a str {
    let items = list["items"].as_array().expect("items");
    let item = items.iter().find(|item| item["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    item["state"].as_str().expect("a state")
}

#[tokio::test(flavor = "multi_thread")]
async fn preflight_and_smoke_pass_on_a_healthy_rig_and_see_what_is_planted() {
    let stack = rig().await;
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup.dump");
    std::fs::write(&backup, "rows").expect("written");
    let config = folder.path().join("cutover.toml");
    let text = format!("[preflight]\nbackup_file = {:?}\n", backup.display().to_string());
    std::fs::write(&config, text).expect("written");
    let config = config.display().to_string();

    let (code, list) = run(&stack, &["preflight", "--config", &config]);
    assert_eq!(code, Some(0), "{list:#}");
    for id in ["server_version", "tables_revenue", "trigger_expense", "recent_writes", "redis"] {
        assert_eq!(state(&list, id), "pass", "{id}");
    }
    assert_eq!(state(&list, "replicas"), "unknown");
    // A required item that nobody can answer for is never a pass.
    let (code, list) = run(&stack, &["preflight"]);
    assert_eq!((code, state(&list, "backup")), (Some(20), "unknown"));
    let out = folder.path().join("out").display().to_string();
    let (code, list) = run(&stack, &["smoke", "--out", &out]);
    assert_eq!(code, Some(0), "{list:#}");
    let left = std::fs::read_to_string(folder.path().join("out/smoke.json")).expect("evidence");
    assert_eq!(serde_json::from_str::<Value>(&left).expect("JSON"), list);

    // A trigger that is off: the item about it and the probe row both fail.
    let off =
        "ALTER TABLE revenue_transactions DISABLE TRIGGER revenue_transactions_dual_write_trigger";
    support::execute(stack.database_url(), off).await;
    let (code, list) = run(&stack, &["preflight", "--config", &config]);
    assert_eq!(code, Some(10), "{list:#}");
    assert_eq!((state(&list, "trigger_revenue"), state(&list, "recent_writes")), ("fail", "fail"));
    assert_eq!(state(&list, "trigger_expense"), "pass");
    support::execute(stack.database_url(), &off.replace("DISABLE", "ENABLE")).await;

    // Ten rows apart is too many.
    let lose = "DELETE FROM expense_transactions_partitioned WHERE (tableoid, ctid) IN \
                (SELECT tableoid, ctid FROM expense_transactions_partitioned LIMIT 10)";
    support::execute(stack.database_url(), lose).await;
    let (code, list) = run(&stack, &["preflight", "--config", &config]);
    assert_eq!((code, state(&list, "row_delta_expense")), (Some(10), "fail"));
    stack.stop().await.expect("the rig stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_100_percent_the_lists_see_reads_cache_and_what_hangs_on_legacy() {
    let stack = rig().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("cutover.toml");
    std::fs::write(&config, "[preflight]\nbackup_command = [\"date\", \"+%s\"]\n")
        .expect("written");
    let config = config.display().to_string();
    let list = |when: &str| run(&stack, &["post-rollout", when, "--config", &config]);

    // Nobody has turned the flag: reads come from legacy, and a cache that nobody asked says nothing.
    let (code, day) = list("day-1");
    assert_eq!((code, state(&day, "reads")), (Some(10), "fail"), "{day:#}");
    assert_eq!((state(&day, "hit_rate"), state(&day, "users")), ("unknown", "unknown"));

    let base_url = url::Url::parse(stack.base_url().expect("asked for")).expect("a URL");
    let roots = TrustedRoots::with_file(None).expect("no file");
    let mut site = Site::new(&base_url, &roots, Duration::from_secs(10)).expect("a site");
    let all = r#"{"USE_PARTITIONED_TABLES_PERCENTAGE": 100}"#.to_owned();
    let turned = site.send(hyper::Method::PUT, "/admin/flags", all, &[]).await.expect("answered");
    assert_eq!(turned.status, 200);
    for _ in 0..1200 {
        site.json("/finance/revenue?orgId=1&limit=20").await.expect("answered");
    }
    for when in ["day-1", "week-1"] {
        let (code, said) = list(when);
        assert_eq!(code, Some(0), "{when}: {said:#}");
        assert_eq!((state(&said, "reads"), state(&said, "hit_rate")), ("pass", "pass"));
    }
    let (code, month) = list("month-1");
    assert_eq!(code, Some(0), "{month:#}");
    assert_eq!(
        (state(&month, "dependants_cash_balance"), state(&month, "backup")),
        ("pass", "pass")
    );
    // The function that makes partitions builds the twin's name out of legacy's: only people can tell.
    let seen = |list: &Value, id: &str| -> String {
        let items = list["items"].as_array().expect("items");
        let item = items.iter().find(|item| item["id"] == id).expect("there");
        item["seen"].as_str().expect("text").to_owned()
    };
    assert_eq!(state(&month, "dependants_revenue"), "unknown");
    let named = seen(&month, "dependants_revenue");
    assert!(named.ends_with("text of function ensure_month_partitions(date,date)"), "{named}");

    let hang_on = "CREATE TABLE receipts (of bigint REFERENCES revenue_transactions (id));
        CREATE VIEW revenue_by_org AS
            SELECT org_id, sum(amount) FROM revenue_transactions GROUP BY 1;
        ALTER TABLE revenue_transactions_partitioned ALTER id
            SET DEFAULT nextval('revenue_transactions_id_seq');
        CREATE PUBLICATION changes FOR TABLE revenue_transactions;
        CREATE FUNCTION twin_rows() RETURNS bigint LANGUAGE sql
            AS 'SELECT count(*) FROM revenue_transactions_partitioned';";
    support::execute(stack.database_url(), hang_on).await;
    let (code, month) = list("month-1");
    assert_eq!((code, state(&month, "dependants_revenue")), (Some(10), "fail"), "{month:#}");
    assert_eq!(
        seen(&month, "dependants_revenue"),
        "default of revenue_transactions_partitioned, which draws from revenue_transactions_id_seq; \
         foreign key receipts_of_fkey of receipts; publication changes; view revenue_by_org"
    );
    let others = ["dependants_expense", "dependants_cash_balance"].map(|id| state(&month, id));
    assert_eq!(others, ["unknown", "pass"]);
    stack.stop().await.expect("the rig stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn pilots_are_small_newest_first_and_checked_alone() {
    let stack = rig().await;
    let out = tempfile::tempdir().expect("a folder");
    let dir = out.path().display().to_string();
    let (code, said) = run(&stack, &["pilot", "--orgs", "20", "--fewer-than", "50", "--out", &dir]);
    assert_eq!(code, Some(0), "{said}");
    let orgs: Vec<i64> = serde_json::from_value(said["orgs"].clone()).expect("ids");
    let mut connection = cutover::pg::connect(stack.database_url()).await.expect("it answers");
    let expected: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM organizations WHERE transaction_count < 50 ORDER BY created_at DESC, id LIMIT 20",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the handbook's statement");
    assert_eq!(orgs, expected);
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).expect("written");
    let rule: Value = serde_json::from_str(&read("launchdarkly.json")).expect("JSON");
    let clause = &rule["USE_PARTITIONED_TABLES"]["rules"][0]["clauses"][0];
    assert_eq!(clause["values"], said["orgs"]);
    assert_eq!(rule["USE_PARTITIONED_TABLES"]["fallthrough"]["variation"], false);
    support::execute(stack.database_url(), &read("pilot-check.sql")).await;
    let list = out.path().join("pilot-orgs.txt").display().to_string();
    let diff = support::cutover()
        .args(["diff", "--format", "json", "--allow-empty", "--orgs-file", &list, "--out"])
        .arg(out.path().join("diff"))
        .args(["--database-url", stack.database_url()])
        .output()
        .expect("it runs");
    let evidence: Value = serde_json::from_slice(&diff.stdout).expect("JSON");
    assert!(evidence["orgs_checked"].as_u64().expect("a number") <= 20, "{evidence:#}");
    assert_eq!(evidence["orgs_diverged"], 0);
    stack.stop().await.expect("the rig stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_leaves_a_line_per_look_and_rings_when_the_platform_is_gone() {
    let stack = rig().await;
    let out = tempfile::tempdir().expect("a folder");
    let dir = out.path().display().to_string();
    let every = ["--every", "200ms", "--for", "3s", "--out", &dir];
    let (code, said) = run(&stack, &[&["watch"], &every[..]].concat());
    assert_eq!(code, Some(0), "{said}");
    let lines = |dir: &Path| -> Vec<Value> {
        let text = std::fs::read_to_string(dir.join("watch.jsonl")).expect("evidence");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let looks = lines(out.path());
    assert_eq!(looks.len() as u64, said["watch"]["looks"].as_u64().expect("a number"));
    assert!(
        looks.iter().all(|look| look["error"].is_null() && look["alarms"] == serde_json::json!([]))
    );
    assert!(looks.iter().all(|look| look["routed_requests"].as_u64() > Some(0)));

    // What the platform does not see, its database tells.
    let triggers = ["DISABLE", "ENABLE"].map(|what| {
        format!("ALTER TABLE revenue_transactions {what} TRIGGER revenue_transactions_dual_write_trigger")
    });
    support::execute(stack.database_url(), &triggers[0]).await;
    let off = tempfile::tempdir().expect("a folder");
    let dir = off.path().display().to_string();
    let (code, said) = run(&stack, &["watch", "--every", "100ms", "--for", "1s", "--out", &dir]);
    assert_eq!(code, Some(10), "{said}");
    assert!(said["watch"]["reasons"].to_string().contains("triggers off is 1.0"), "{said}");
    let looks = lines(off.path());
    assert!(looks.iter().all(|look| look["triggers_off"] == 1 && look["error"].is_null()));
    assert!(looks.iter().all(|look| look["connections"].as_u64() > Some(0)), "{looks:?}");
    assert_eq!(looks[0]["base_url"], format!("{}/", stack.base_url().expect("a platform")));

    // Two looks are enough, at the beginning and at the end.
    let once = tempfile::tempdir().expect("a folder");
    let dir = once.path().display().to_string();
    let (code, said) = run(&stack, &["watch", "--every", "1s", "--for", "1s", "--out", &dir]);
    support::execute(stack.database_url(), &triggers[1]).await;
    assert_eq!((code, &said["watch"]["looks"]), (Some(10), &serde_json::json!(2)));

    let (url, told) = webhook(OK);
    let gone = tempfile::tempdir().expect("a folder");
    let output = support::cutover()
        .args(["watch", "--every", "100ms", "--for", "1s", "--webhook", &url, "--out"])
        .arg(gone.path())
        .args(["--base-url", "http://127.0.0.1:9"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    let looks = lines(gone.path());
    assert!(looks.len() > 2 && looks.iter().all(|look| look["error"] == "refused"), "{looks:?}");
    let (_, text) = told.recv_timeout(Duration::from_secs(30)).expect("somebody was told");
    assert!(text.contains("CRITICAL: silence") || text.contains("CRITICAL: error rate"), "{text}");
    stack.stop().await.expect("the rig stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_gone_rings() {
    let whole = Options::new(env!("CARGO_BIN_EXE_cutover"));
    let stack = rig_with(Options { replica: true, ..whole }).await;
    let out = tempfile::tempdir().expect("a folder");
    let mut watch = support::cutover_command();
    watch
        .args(["watch", "-q", "--every", "200ms", "--for", "60s", "--out"])
        .arg(out.path())
        .args(["--database-url", stack.database_url(), "--base-url"])
        .arg(stack.base_url().expect("asked for"));
    let mut watch = watch.spawn().expect("it starts");
    let looks = || std::fs::read_to_string(out.path().join("watch.jsonl")).unwrap_or_default();
    let seen = |what: &str| support::wait_until(Duration::from_secs(50), || looks().contains(what));
    assert!(seen("\"replicas_gone\":0,"), "{}", looks());
    let pid = stack.pids()["replica"].cast_signed();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL)
        .expect("our own server");
    assert!(seen("\"metric\":\"replicas_gone\",\"level\":\"critical\""), "{}", looks());
    watch.kill().expect("our own child");
    watch.wait().expect("our own child");
    stack.stop().await.expect("the rig stops");
}
