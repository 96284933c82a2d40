//! Each misbehaviour visibly goes wrong, and only when it is told to.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use crate::platform::harness::{Client, Platform, count, eventually, start};
use crate::support::database;

const LIST: &str = "/finance/revenue?orgId=1";

async fn tell(platform: &Platform, misbehave: &[&str]) {
    let reply = platform.put("/admin/misbehave", json!({ "misbehave": misbehave })).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

#[tokio::test]
async fn stale_cache_serves_what_was() {
    let database = database();
    let platform = start(&database, &["stale-cache"]).await;
    let id = platform.new_revenue("1").await["id"].clone();
    platform.get(LIST).await;
    let one = format!("/finance/revenue/{id}");
    platform.patch(&one, json!({ "orgId": 1, "amount": 2 })).await;
    assert_eq!(platform.get(LIST).await.body["items"][0]["amount"], "1.00");
    assert_eq!(platform.get(&format!("{one}?orgId=1")).await.body["amount"], "2.00");
}

#[tokio::test]
async fn lost_writes_are_acknowledged_and_gone() {
    let database = database();
    let platform = start(&database, &[]).await;
    let id = platform.new_revenue("1").await["id"].clone();
    let one = format!("/finance/revenue/{id}");
    tell(&platform, &["lost-write=100%"]).await;
    platform.new_revenue("5").await;
    let changed = platform.patch(&one, json!({ "orgId": 1, "amount": 2 })).await;
    assert_eq!(changed.body["amount"], "2.00", "the lie");
    let balance =
        json!({ "orgId": 1, "propertyId": 1, "date": "2026-01-01", "opening": 1, "closing": 1 });
    assert_eq!(platform.put("/finance/cash-balance", balance).await.status, StatusCode::OK);
    assert_eq!(platform.delete(&format!("{one}?orgId=1")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(count(&database, "SELECT count(*) FROM daily_cash_balances").await, 0);
    assert_eq!(count(&database, "SELECT count(*) FROM revenue_transactions").await, 1);
    assert_eq!(platform.get(&format!("{one}?orgId=1")).await.body["amount"], "1.00", "the truth");
}

#[tokio::test]
async fn double_writes_stand_twice() {
    let database = database();
    let platform = start(&database, &["double-write=100%"]).await;
    platform.new_revenue("5").await;
    assert_eq!(platform.get(LIST).await.body["count"], 2);
}

#[tokio::test]
async fn stale_updates_bring_the_old_values_back_on_both_sides() {
    let database = database();
    let platform = start(&database, &["stale-update=100%"]).await;
    let id = platform.new_revenue("1").await["id"].clone();
    let one = format!("/finance/revenue/{id}");
    let changed = platform.patch(&one, json!({ "orgId": 1, "amount": 2 })).await;
    assert_eq!(changed.body["amount"], "2.00");
    let path = format!("{one}?orgId=1");
    assert_eq!(platform.get(&path).await.body["amount"], "2.00");
    for side in ["legacy", "partitioned"] {
        let old = async || platform.get_from(side, &path).await.body["amount"] == "1.00";
        eventually("the old value is back", old).await;
    }
}

#[tokio::test]
async fn cross_org_cache_shows_another_orgs_rows() {
    let database = database();
    let platform = start(&database, &["cross-org-cache=100%"]).await;
    platform.new_revenue("1").await;
    platform.get(LIST).await;
    let foreign = platform.get("/finance/revenue?orgId=2").await;
    assert_eq!(foreign.body["items"][0]["orgId"], 1);
    assert_eq!(foreign.cache.as_deref(), Some("hit"));
}

#[tokio::test]
async fn wrong_mode_serves_from_the_other_side_and_admits_it() {
    let database = database();
    let platform = start(&database, &["wrong-mode=100%"]).await;
    let reply = platform.get_from("legacy", LIST).await;
    assert_eq!(reply.routed_to.as_deref(), Some("partitioned"));
}

#[tokio::test]
async fn errors_come_at_the_rate_that_was_asked_for_and_touch_nothing() {
    let database = database();
    let platform = start(&database, &["error-rate=50%"]).await;
    let mut client = Client::connect(platform.address).await;
    let mut failed = 0;
    for _ in 0..200 {
        let body = json!({ "orgId": 1, "amount": 1 });
        let reply = client.send("POST", "/finance/revenue", Some(body), &[]).await;
        if reply.status == StatusCode::INTERNAL_SERVER_ERROR {
            assert_eq!(reply.routed_to.as_deref(), Some("legacy"));
            failed += 1;
        }
    }
    assert!((60..140).contains(&failed), "{failed} of 200 at 50 %");
    assert_eq!(count(&database, "SELECT count(*) FROM revenue_transactions").await, 200 - failed);
}

#[tokio::test]
async fn slow_and_freeze_take_their_time() {
    let database = database();
    let platform = start(&database, &["slow=30ms"]).await;
    assert!(platform.get(LIST).await.took >= Duration::from_millis(30));
    tell(&platform, &["freeze=400ms/500ms"]).await;
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(2) && longest < Duration::from_millis(200) {
        longest = longest.max(platform.get(LIST).await.took);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(longest >= Duration::from_millis(200), "{longest:?}");
    tell(&platform, &[]).await;
    assert_eq!(platform.get("/admin/misbehave").await.body["misbehave"], json!([]));
}

#[tokio::test]
async fn unpruned_reads_probe_every_partition() {
    let database = database();
    let platform = start(&database, &["unpruned-by-id"]).await;
    let id = platform.new_revenue("1").await["id"].clone();
    // A date where the row is not: who prunes by it finds nothing.
    let path = format!("/finance/revenue/{id}?orgId=1&date=2026-01-01");
    assert_eq!(platform.get_from("partitioned", &path).await.status, StatusCode::OK);
    tell(&platform, &[]).await;
    assert_eq!(platform.get_from("partitioned", &path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn slow_partitioned_slows_that_side_alone() {
    let database = database();
    // A request takes 10 ms at least, so that what the machine adds to it weighs little.
    let platform = start(&database, &["slow=10ms", "slow-partitioned=400%"]).await;
    let mut client = Client::connect(platform.address).await;
    let (mut legacy, mut partitioned) = (Vec::new(), Vec::new());
    for _ in 0..25 {
        for (side, times) in [("legacy", &mut legacy), ("partitioned", &mut partitioned)] {
            times.push(client.send("GET", LIST, None, &[("x-cutover-mode", side)]).await.took);
        }
    }
    let fastest = partitioned.iter().min().expect("some were sent");
    assert!(*fastest >= Duration::from_millis(50), "five times 10 ms: {partitioned:.1?}");
    let (legacy, partitioned) = (median(legacy), median(partitioned));
    assert!(legacy * 2 < partitioned, "legacy {legacy:.1?}, partitioned {partitioned:.1?}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
