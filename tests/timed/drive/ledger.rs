//! What the load wrote, on the reference platform with a real database: nothing to find if the
//! platform is honest, and each way to cheat by its own name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cutover::config::{RoutingConfig, TablePair};
use cutover::drive::reconcile;
use cutover::evidence::drive::DriveEvidence;
use cutover::evidence::ledger::LedgerEvidence;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::drive::harness::{Load, raw_server};
use crate::drive::service::{self, Platform};
use crate::support::{TestDatabase, cutover_command, database, wait_until};

/// Rows that are made, changed, read and removed, and balances that are set again and again.
pub const WRITES: &str = r#"
    name = "writes"
    [[operation]]
    name = "create"
    weight = 5
    method = "POST"
    path = "/finance/revenue"
    body = '{"orgId":{{org}},"date":"{{date:-45..0}}","amount":{{amount:10..900}},"description":"Booking {{unique}}"}'
    expect = [201]
    remember = "revenue"
    writes = { table = "revenue", kind = "insert", key = { id = "/id" }, tag = "description", values = { date = "/date", amount = "/amount", description = "/description" } }
    [[operation]]
    name = "update"
    weight = 4
    method = "PATCH"
    path = "/finance/revenue/{{row.id}}"
    body = '{"orgId":{{row.orgId}},"amount":{{amount:10..900}},"description":"Corrected {{unique}}"}'
    row = "revenue"
    remember = "revenue"
    writes = { table = "revenue", kind = "update", key = { id = "{{row.id}}" }, tag = "description", values = { amount = "/amount", description = "/description" } }
    [[operation]]
    name = "move"
    weight = 2
    method = "PATCH"
    path = "/finance/revenue/{{row.id}}"
    body = '{"orgId":{{row.orgId}},"date":"{{date:-75..0}}"}'
    row = "revenue"
    remember = "revenue"
    writes = { table = "revenue", kind = "update", key = { id = "{{row.id}}" }, values = { date = "/date" } }
    [[operation]]
    name = "delete"
    weight = 1
    method = "DELETE"
    path = "/finance/revenue/{{row.id}}?orgId={{row.orgId}}"
    expect = [204]
    row = "revenue"
    consumes = true
    writes = { table = "revenue", kind = "delete", key = { id = "{{row.id}}" } }
    [[operation]]
    name = "balance"
    weight = 2
    method = "PUT"
    path = "/finance/cash-balance"
    body = '{"orgId":{{org}},"propertyId":1,"date":"{{date:-1..0}}","opening":{{amount:100..500}},"closing":{{amount:100..900}},"note":"Counted {{unique}}"}'
    writes = { table = "cash_balance", kind = "upsert", key = { org_id = "/orgId", property_id = "/propertyId", balance_date = "/date" }, tag = "note", values = { opening = "/opening", closing = "/closing", note = "/note" } }
    [[operation]]
    name = "list"
    weight = 4
    path = "/finance/revenue?orgId={{org}}"
"#;

fn load(database: &TestDatabase) -> Load {
    let mut load = Load::new(150.0, 2000);
    load.scenario = WRITES.into();
    load.connections = 24;
    load.config.routing = RoutingConfig::default();
    load.database_url = Some(database.url.clone());
    load
}

async fn driven(url: &str, database: &TestDatabase) -> DriveEvidence {
    load(database).evidence(url).await
}

fn ledger(evidence: DriveEvidence) -> LedgerEvidence {
    let ledger = evidence.ledger.expect("the scenario writes");
    assert!(ledger.complete, "{}", ledger.incomplete_reason);
    ledger
}

fn classes(ledger: &LedgerEvidence) -> BTreeMap<&'static str, u64> {
    let counts = ledger.counts.by_fault().filter(|(_, count)| *count > 0);
    counts.map(|(fault, count)| (fault.word(), count)).collect()
}

/// A platform that goes wrong once the first rows are there.
async fn platform(database: &TestDatabase, misbehave: &[&str]) -> (Platform, String) {
    let platform = service::start(database, misbehave).await;
    let url = format!("http://{}", platform.address);
    (platform, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_platform_has_nothing_to_hide() {
    let database = database();
    let (_platform, url) = platform(&database, &[]).await;
    let evidence = driven(&url, &database).await;
    assert_eq!(evidence.errors, 0, "{:?}", evidence.errors_by_kind);
    let ledger = ledger(evidence);
    assert_eq!(classes(&ledger), BTreeMap::new(), "{:#?}", ledger.findings);
    assert!(ledger.writes > 400 && ledger.ok == ledger.writes, "{ledger:?}");
    assert!(ledger.rows_checked > 200 && ledger.not_noted.is_empty(), "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_cheat_is_found_by_its_name() {
    let ways = [
        ("lost-write=15%", "lost"),
        ("double-write=15%", "doubled"),
        ("stale-update=15%", "stale"),
        ("torn-write=15%", "torn"),
        ("phantom-write=15%", "phantom"),
    ];
    futures_util::future::join_all(ways.map(|(way, class)| is_found(way, class))).await;
}

async fn is_found(misbehaviour: &str, class: &str) {
    let database = database();
    let platform = service::start(&database, &[]).await;
    let url = format!("http://{}", platform.address);
    let mischief = serde_json::json!({ "misbehave": [misbehaviour] });
    // Not before the rows that are made ahead are there: a refused one would end the load.
    let load = load(&database);
    let late = async {
        service::eventually("the load begins", async || {
            let path = load.out.path().join("ledger.jsonl");
            std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"arrival\""))
        })
        .await;
        platform.put("/admin/misbehave", mischief).await
    };
    let (evidence, answer) = tokio::join!(load.evidence(&url), late);
    assert!(answer.status.is_success(), "{answer:?}");
    let ledger = ledger(evidence);
    let found = classes(&ledger);
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, [&class], "{misbehaviour}: {:#?}", ledger.findings);
    assert!(found[class] > 5, "{misbehaviour}: {found:?}");
    let file = load.out.path().join("ledger_findings.jsonl");
    let lines = std::fs::read_to_string(file).expect("all findings");
    assert_eq!(lines.lines().count() as u64, ledger.counts.total());
    let finding = &ledger.findings[0];
    assert!(finding.org_id.is_some() && !finding.key.is_empty(), "{finding:?}");
}

/// Hands bytes through to a platform and, once the rows are there that are made ahead, breaks the
/// connection instead of every nth answer.
async fn leaky(to: std::net::SocketAddr, nth: usize) -> String {
    let answers = Arc::new(AtomicUsize::new(0));
    let address = raw_server(move |mut client: TcpStream| {
        let answers = Arc::clone(&answers);
        async move {
            let mut server = TcpStream::connect(to).await.expect("the platform listens");
            let (mut asked, mut told) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            loop {
                tokio::select! {
                    read = client.read(&mut asked) => match read {
                        Ok(n) if n > 0 => server.write_all(&asked[..n]).await.expect("it listens"),
                        _ => return,
                    },
                    read = server.read(&mut told) => match read {
                        Ok(n) if n > 0 => {
                            let answered = answers.fetch_add(1, Ordering::SeqCst);
                            if answered > 110 && answered.is_multiple_of(nth) {
                                return;
                            }
                            if client.write_all(&told[..n]).await.is_err() {
                                return;
                            }
                        }
                        _ => return,
                    },
                }
            }
        }
    })
    .await;
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_nobody_answered_is_sent_again_and_stands_once() {
    let database = database();
    let (platform, _) = platform(&database, &[]).await;
    let url = leaky(platform.address, 11).await;
    let evidence = driven(&url, &database).await;
    assert!(evidence.errors > 0, "no answer was withheld");
    let ledger = ledger(evidence);
    assert!(ledger.retried > 0, "{ledger:?}");
    assert_eq!(classes(&ledger), BTreeMap::new(), "{:#?}", ledger.findings);
    let twice = service::count(
        &database,
        "SELECT count(*) FROM (SELECT FROM revenue_transactions WHERE description LIKE 'Booking %'
          GROUP BY description HAVING count(*) > 1) AS twice",
    )
    .await;
    assert_eq!(twice, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_load_leaves_a_ledger_that_can_be_held_against_the_tables() {
    let database = database();
    let (_platform, url) = platform(&database, &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("scenario.toml");
    std::fs::write(&scenario, WRITES).expect("our own folder");
    let out = folder.path().join("run");
    let mut child = cutover_command()
        .args(["drive", "-q", "--orgs", "50", "--rate", "200", "--duration", "60s", "--base-url"])
        .args([&url, "--database-url", &database.url, "--scenario"])
        .arg(&scenario)
        .arg("--out")
        .arg(&out)
        .spawn()
        .expect("cutover runs");
    let path = out.join("ledger.jsonl");
    let begun = wait_until(Duration::from_secs(30), || notes(&path).len() > 600);
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert!(begun, "{} notes", notes(&path).len());
    // What it left is taken neither for a run nor for a place to write another into.
    let gate = cutover_command().arg("gate").arg(&out).output().expect("cutover runs");
    assert_eq!(gate.status.code(), Some(30), "{}", String::from_utf8_lossy(&gate.stdout));
    let mut again = cutover_command();
    again.args(["drive", "--base-url", &url, "--out"]).arg(&out);
    assert_eq!(again.output().expect("cutover runs").status.code(), Some(2));
    let ledger = reconcile(&path, &database.url, &TablePair::reference(), folder.path()).await;
    let ledger = ledger.expect("the ledger can be read");
    assert!(ledger.complete && ledger.ok > 250, "{ledger:?}");
    assert_eq!(classes(&ledger), BTreeMap::new(), "{:#?}", ledger.findings);
    // A row that goes now, on both sides alike, is found.
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(text.lines().filter(|line| line.contains("\"insert\"")).count() > 100);
    let id = untouched(&notes(&path));
    let statement = format!("DELETE FROM revenue_transactions WHERE id = {id}");
    crate::support::execute(&database.url, &statement).await;
    let ledger = reconcile(&path, &database.url, &TablePair::reference(), folder.path()).await;
    let ledger = ledger.expect("the ledger can be read");
    assert_eq!(classes(&ledger), [("lost", 1)].into(), "{:#?}", ledger.findings);
}

/// A row whose insert was acknowledged and that nobody wrote to afterwards.
fn untouched(notes: &[Value]) -> String {
    let of = |state: &'static str| notes.iter().filter(move |note| note["state"] == state);
    let changed: Vec<&Value> = of("sent").map(|note| &note["key"]["id"]).collect();
    let mut made = of("ok").map(|note| &note["key"]["id"]).filter(|id| id.is_string());
    let id = made.find(|id| !changed.contains(id)).expect("a row that nobody wrote to");
    id.as_str().expect("a text").to_owned()
}

/// The whole lines of a ledger.
fn notes(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a note")).collect()
}
