//! Whole rehearsals on real servers: what is planted is found, named exactly, and decides.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::rig::Rig;
use crate::support::webhook::{OK, webhook};
use crate::support::{cutover, cutover_command, execute, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

impl Rig {
    async fn sql(&self, statements: &str) {
        execute(self.url("database_url"), statements).await;
    }

    /// A slot that is left over holds back the log until the disk is full.
    async fn has_no_slot(&self) {
        let mut connection =
            cutover::pg::connect(self.url("database_url")).await.expect("the rig is up");
        let slots = "SELECT count(*) FROM pg_replication_slots";
        let slots: i64 =
            sqlx::query_scalar(slots).fetch_one(&mut connection).await.expect("a number");
        assert_eq!(slots, 0);
    }

    fn pid(&self, component: &str) -> Pid {
        Pid::from_raw(self.urls["pids"][component].as_i64().expect("the rig names it") as i32)
    }

    /// A short rehearsal on this rig into `out`, reading its verdict from standard output.
    fn rehearse(&self, out: &Path, more: &[&str]) -> std::process::Command {
        let mut command = cutover_command();
        command
            .args(["rehearse", "--format", "json", "--orgs", "500", "--rate", "200"])
            .args(["--duration", "10s", "--database-url", self.url("database_url")])
            .args(["--base-url", self.url("base_url"), "--out"])
            .arg(out)
            .args(more);
        command
    }
}

fn record(out: &Path) -> Value {
    let text = std::fs::read(out.join("run.json")).expect("the run left a record");
    serde_json::from_slice(&text).expect("the record is JSON")
}

fn findings(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("findings.jsonl")).expect("the diff left findings");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Waits until the load of a running rehearsal into `out` has begun.
fn wait_for_load(child: &mut Child, rig: &Rig, out: &Path) {
    let metrics = format!("{}/monitoring/unified/metrics", rig.url("base_url"));
    let mut before = None;
    let began = wait_until(Duration::from_secs(60), || {
        assert!(child.try_wait().expect("our child").is_none(), "the run ended before its load");
        // The trial before it writes nothing, and asks the cache, too.
        if !out.join("ledger.jsonl").exists() {
            return false;
        }
        let lookups = get(&metrics).and_then(|m| m["cache"]["lookups"].as_u64());
        lookups.is_some_and(|n| n > *before.get_or_insert(n) + 200)
    });
    assert!(began, "no load within a minute");
}

fn get(url: &str) -> Option<Value> {
    use std::io::{Read, Write};
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (authority, path) = rest.split_once('/').expect("a path");
    let mut stream = std::net::TcpStream::connect(authority).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn spawn(mut command: std::process::Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("cutover runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_disabled_under_load_is_named_row_by_row() {
    let rig = Rig::up();
    let out = rig.dir.path().join("run");
    let (url, told) = webhook(OK);
    let mut child = spawn(rig.rehearse(&out, &["--wal", "--notify-url", &url]));
    wait_for_load(&mut child, &rig, &out);
    rig.sql(
        "ALTER TABLE expense_transactions
             DISABLE TRIGGER expense_transactions_dual_write_trigger",
    )
    .await;
    let status = child.wait().expect("our child");
    assert_eq!(status.code(), Some(11));
    let record = record(&out);
    assert_eq!(record["verdict"]["decision"], "no_go");
    // Exactly the rows that differ: asked of the database itself, in its own way.
    let mut expected: Vec<(String, String)> = Vec::new();
    let pool = sqlx::PgPool::connect(rig.url("database_url")).await.expect("the rig is up");
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT id, org_id FROM
            (TABLE expense_transactions EXCEPT TABLE expense_transactions_partitioned) AS missing
         UNION
         SELECT id, org_id FROM
            (TABLE expense_transactions_partitioned EXCEPT TABLE expense_transactions) AS extra",
    )
    .fetch_all(&pool)
    .await
    .expect("the tables can be compared");
    expected.extend(rows.iter().map(|(id, org)| (id.to_string(), org.to_string())));
    expected.sort();
    assert!(!expected.is_empty(), "the load wrote no expense after the trigger was disabled");
    let mut found: Vec<(String, String)> = findings(&out)
        .iter()
        .filter(|finding| !finding["org_id"].is_null())
        .map(|finding| {
            assert_eq!(finding["table"], "expense");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&finding["key"]["id"]), text(&finding["org_id"]))
        })
        .collect();
    found.sort();
    assert_eq!(found, expected);
    let disabled = findings(&out).iter().any(|finding| finding["class"] == "trigger_disabled");
    assert!(disabled, "the catalog finding is missing");
    let diverged = findings(&out)
        .iter()
        .any(|finding| finding["class"] == "transaction_diverged" && finding["table"] == "expense");
    assert!(diverged, "the log names no transaction");
    let (_, told) = told.recv_timeout(Duration::from_secs(30)).expect("the channel was told");
    assert!(told.contains("*NO-GO*") && told.contains("rows differ"), "{told}");
    rig.has_no_slot().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_differ_before_the_load_are_not_loaded() {
    let rig = Rig::up();
    rig.seed("500");
    rig.sql(
        "DELETE FROM revenue_transactions_partitioned
          WHERE (id, date) = (SELECT id, date FROM revenue_transactions ORDER BY id LIMIT 1)",
    )
    .await;
    let out = rig.dir.path().join("stopped");
    let status = rig.rehearse(&out, &["--skip-seed"]).status().expect("cutover runs");
    assert_eq!(status.code(), Some(11));
    assert!(record(&out)["drive"].is_null(), "the load was started");
    let rows: Vec<Value> = findings(&out).into_iter().filter(|f| !f["org_id"].is_null()).collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["class"], &rows[0]["table"]), (&"missing".into(), &"revenue".into()));

    let out = rig.dir.path().join("driven");
    let arguments = ["--skip-seed", "--keep-going"];
    let status = rig.rehearse(&out, &arguments).status().expect("cutover runs");
    assert_eq!(status.code(), Some(11));
    assert!(record(&out)["drive"]["requests"].as_u64().is_some_and(|requests| requests > 0));
}

#[test]
fn one_configured_pair_is_seeded_and_compared_alone() {
    let rig = Rig::up();
    let config = rig.dir.path().join("expense.toml");
    let pair = "[[tables]]
        name = 'costs'
        legacy = 'expense_transactions'
        partitioned = 'expense_transactions_partitioned'
        trigger = 'expense_transactions_dual_write_trigger'";
    std::fs::write(&config, pair).expect("our own folder");
    let out = rig.dir.path().join("run");
    let config = config.to_str().expect("UTF-8");
    rig.rehearse(&out, &["--config", config]).output().expect("cutover runs");
    let record = record(&out);
    let names = |tables: &Value| -> Vec<Value> {
        tables.as_array().expect("tables").iter().map(|table| table["name"].clone()).collect()
    };
    assert_eq!(names(&record["manifest"]["tables"]), ["costs"]);
    assert_eq!(names(&record["diff"]["tables"]), ["costs"]);
    let criteria = record["criteria"].as_array().expect("criteria");
    let present = criteria.iter().find(|criterion| criterion["id"] == "seeded_rows_present");
    assert_eq!(present.expect("it is asked")["state"], "pass", "{present:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cache_is_told_and_does_not_stop_the_load() {
    let rig = Rig::up();
    let out = rig.dir.path().join("run");
    let mut child = spawn(rig.rehearse(&out, &["--wal"]));
    wait_for_load(&mut child, &rig, &out);
    kill(rig.pid("redis"), Signal::SIGKILL).expect("it runs");
    child.wait().expect("our child");
    let record = record(&out);
    assert_eq!(record["drive"]["complete"], true);
    assert_eq!(record["drive"]["errors"], 0, "{}", record["drive"]["errors_by_kind"]);
    let log = &record["diff"]["wal"];
    assert!(log["transactions"].as_u64() > Some(100), "{log}");
    assert_eq!(log["diverged"], 0, "{log}");
    let criteria = record["criteria"].as_array().expect("criteria");
    let cache = criteria.iter().find(|c| c["id"] == "external_cache").expect("a criterion");
    assert_eq!(cache["state"], "fail");
    let page = std::fs::read_to_string(out.join("report.md")).expect("a report");
    assert!(page.contains("external cache"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_database_ends_in_a_report_and_no_go() {
    let rig = Rig::up();
    let out = rig.dir.path().join("run");
    let mut child = spawn(rig.rehearse(&out, &[]));
    wait_for_load(&mut child, &rig, &out);
    kill(rig.pid("postgres"), Signal::SIGKILL).expect("it runs");
    let status = child.wait().expect("our child");
    let record = record(&out);
    // 30 if the dead target held all connections so long that arrivals had to be skipped.
    assert!(matches!(status.code(), Some(10 | 30)), "{status}: {}", record["verdict"]);
    assert!(record["drive"]["errors"].as_u64().is_some_and(|errors| errors > 100));
    let drive = &record["drive"];
    let kinds = drive["errors_by_kind"].as_object().expect("kinds");
    let by_kind: u64 = kinds.values().filter_map(Value::as_u64).sum();
    let failed = drive["errors"].as_u64().unwrap_or(0) + drive["skipped"].as_u64().unwrap_or(0);
    assert_eq!(by_kind, failed, "every failed request has a kind");
    assert!(record["diff"].is_null(), "nothing can have been compared");
    assert!(out.join("report.html").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slower_side_is_no_go_and_the_operations_are_named() {
    let out = TempDir::new().expect("a folder");
    let status = cutover_command()
        .args(["rehearse", "--format", "json", "--orgs", "500", "--duration", "30s"])
        .args(["--misbehave", "slow-partitioned=200%", "--out"])
        .arg(out.path().join("run"))
        .stdout(Stdio::null())
        .status()
        .expect("cutover runs");
    let record = record(&out.path().join("run"));
    let reasons = record["verdict"]["reasons"].to_string();
    // A machine so busy that the generator itself came late must say so, and never GO.
    assert!(matches!(status.code(), Some(10 | 30)), "{status}: {reasons}");
    let criteria = record["criteria"].as_array().expect("criteria");
    let p95 = criteria.iter().find(|c| c["id"] == "p95_overall").expect("a criterion");
    assert_eq!(p95["state"], "fail", "{p95}");
    assert!(p95["note"].as_str().is_some_and(|n| n.contains("list_recent_revenue")), "{p95}");
}

/// Pids of processes whose command line names `text`.
fn processes_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(text) {
            found.push(command);
        }
    }
    found
}

#[test]
fn a_signal_in_any_act_leaves_a_report_and_nothing_else() {
    for (signal, until) in [
        (Signal::SIGINT, "starting the rig"),
        (Signal::SIGTERM, "seed:"),
        (Signal::SIGINT, "diff: revenue"),
        (Signal::SIGTERM, "drive: finance"),
    ] {
        let temporary = TempDir::new().expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(temporary.path(), open).expect("our own folder");
        let (rigs, out) = (temporary.path().join("tmp"), temporary.path().join("run"));
        std::fs::create_dir(&rigs).expect("our own folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&rigs, open).expect("our own folder");
        let log = std::fs::File::create(temporary.path().join("log")).expect("our own folder");
        let mut child = cutover_command()
            .env("TMPDIR", &rigs)
            .args(["rehearse", "--orgs", "20000", "--duration", "60s", "--out"])
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("cutover runs");
        let text = || std::fs::read_to_string(temporary.path().join("log")).unwrap_or_default();
        assert!(wait_until(Duration::from_secs(60), || text().contains(until)), "{}", text());
        kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
        let status = child.wait().expect("our child");
        assert_eq!(status.code(), Some(30), "{until}: {}", text());
        assert_eq!(record(&out)["verdict"]["decision"], "invalid", "{until}");
        assert!(out.join("report.html").exists() && out.join("junit.xml").exists());
        let rigs = rigs.to_str().expect("a plain path");
        let gone = || processes_of(rigs).is_empty();
        assert!(wait_until(Duration::from_secs(20), gone), "{until}: {:?}", processes_of(rigs));
        let left: Vec<_> = std::fs::read_dir(rigs)
            .expect("our own folder")
            .flatten()
            .flat_map(|parent| std::fs::read_dir(parent.path()).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        assert!(left.is_empty(), "{until}: {left:?}");
    }
}

#[test]
fn what_is_wrong_is_refused_before_anything_is_touched() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("our own folder");
        path.to_str().expect("a plain path").to_owned()
    };
    let config = write("config.toml", "base_url = \"http://127.0.0.1:1\"\nbase_ulr = 1\n");
    let unknown = write("unknown.toml", "name = \"x\"\n\n[[operation]]\nnam = \"y\"\n");
    let weightless = write(
        "weightless.toml",
        "name = \"x\"\n[[operation]]\nname = \"y\"\nweight = 0\npath = \"/\"\n",
    );
    let in_the_way = write("file", "");
    let inside = format!("{in_the_way}/run");
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--orgs", "0"], &["--orgs", "1 to 10000000"]),
        (&["--duration", "0s"], &["--duration", "1s to 72h"]),
        (&["--rate", "-1"], &["--rate", "1 to 1000000"]),
        (&["--pairs", "0"], &["--pairs", "from 1 to 10000"]),
        (&["--profile", "slow"], &["--profile", "quick, default, nightly"]),
        (&["--config", &config], &["line 2", "base_ulr"]),
        (&["--scenario", &unknown], &["line 4", "nam"]),
        (&["--scenario", &weightless], &["weights sum to 0"]),
        (&["--base-url", "nonsense"], &["--base-url", "http://host:port"]),
        (&["--database-url", "mysql://x", "--base-url", "http://127.0.0.1:1"], &["postgres://"]),
        (&["--out", &inside], &["--out", "cannot make or write the folder"]),
    ];
    for (arguments, expected) in cases {
        let output = cutover()
            .current_dir(folder.path())
            .arg("rehearse")
            .args(arguments)
            .output()
            .expect("cutover runs");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        for part in expected {
            assert!(message.contains(part), "{arguments:?} does not say `{part}`: {message}");
        }
    }
    assert!(!folder.path().join("reports").exists(), "a refused run left a folder behind");
}
