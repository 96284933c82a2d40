//! No answer is older than the last write that was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::platform::harness::{
    Client, Options, Platform, Reply, eventually, migrate, options, serve, start,
};
use crate::platform::servers::Redis;
use crate::support::database;

const LIST: &str = "/finance/revenue?orgId=1";

/// Writers of one org change their own rows while readers keep the cache full; after each
/// acknowledged change the writer must see it.
async fn no_stale_reads(platform: Arc<Platform>, rounds: u32) {
    let readers_stop = CancellationToken::new();
    for side in ["legacy", "partitioned"] {
        let (platform, stop) = (platform.clone(), readers_stop.clone());
        tokio::spawn(async move {
            let mut client = Client::connect(platform.address).await;
            while !stop.is_cancelled() {
                client.send("GET", LIST, None, &[("x-cutover-mode", side)]).await;
            }
        });
    }
    let writers = (0..4).map(|_| {
        let platform = platform.clone();
        tokio::spawn(async move {
            let id = platform.new_revenue("0").await["id"].clone();
            let mut client = Client::connect(platform.address).await;
            for round in 1..=rounds {
                let amount = format!("{round}.00");
                let change = json!({ "orgId": 1, "amount": amount });
                let one = format!("/finance/revenue/{id}");
                served(&mut client, "PATCH", &one, Some(change), "legacy").await;
                let side = if round % 2 == 0 { "legacy" } else { "partitioned" };
                let read = served(&mut client, "GET", LIST, None, side).await;
                assert_eq!(amount_of(&read.body, &id), amount, "round {round}, {side}: {read:?}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no stale read");
    }
    readers_stop.cancel();
}

/// Asks again while a slow disk makes the database too slow: what counts is what is acknowledged.
async fn served(
    client: &mut Client,
    method: &str,
    path: &str,
    body: Option<Value>,
    side: &str,
) -> Reply {
    for _ in 0..5 {
        let reply = client.send(method, path, body.clone(), &[("x-cutover-mode", side)]).await;
        if reply.status != StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
            return reply;
        }
    }
    panic!("the database stays away");
}

fn amount_of(list: &Value, id: &Value) -> Value {
    let items = list["items"].as_array().expect("a list");
    items.iter().find(|item| item["id"] == *id).expect("the row is listed")["amount"].clone()
}

async fn start_with(redis_url: String) -> (crate::support::TestDatabase, Arc<Platform>) {
    let database = database();
    migrate(&database).await;
    let options = Options { redis_url: Some(redis_url), ..options(&database.url) };
    (database, Arc::new(serve(options).await))
}

async fn backend(platform: &Platform) -> Value {
    platform.figure("/monitoring/unified/metrics", "/cache/backend").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_no_read_is_stale() {
    let database = database();
    let platform = Arc::new(start(&database, &[]).await);
    assert_eq!(backend(&platform).await, "memory");
    no_stale_reads(platform.clone(), 100).await;
    let hits = platform.figure("/monitoring/unified/metrics", "/cache/hits").await;
    assert!(hits.as_u64() > Some(0), "the cache was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_redis_no_read_is_stale() {
    let Some(redis) = Redis::start() else { return };
    let (_database, platform) = start_with(redis.url()).await;
    eventually("Redis is taken", async || backend(&platform).await == "redis").await;
    no_stale_reads(platform.clone(), 100).await;
    let hits = platform.figure("/monitoring/unified/metrics", "/cache/hits").await;
    assert!(hits.as_u64() > Some(0), "the cache was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_die_in_mid_traffic_and_come_back() {
    let Some(mut redis) = Redis::start() else { return };
    let (_database, platform) = start_with(redis.url()).await;
    eventually("Redis is taken", async || backend(&platform).await == "redis").await;
    let traffic = tokio::spawn(no_stale_reads(platform.clone(), 300));
    redis.kill();
    let available =
        async || platform.figure("/monitoring/unified/metrics", "/cache/available").await;
    eventually("the loss is told", async || available().await == false).await;
    assert_eq!(platform.figure("/monitoring/unified/health", "/status").await, "degraded");
    assert_eq!(backend(&platform).await, "memory");
    // The database, which other tests share, may be too busy for a moment: that is a 503, no hang.
    eventually("reads go on", async || platform.get(LIST).await.status == StatusCode::OK).await;
    let read = platform.get(LIST).await;
    assert!(read.took < Duration::from_secs(2), "nobody waits for the dead: {:?}", read.took);
    let _back = Redis::start_on(redis.port()).expect("it started before");
    eventually("Redis is taken again", async || available().await == true).await;
    traffic.await.expect("no stale read through all of it");
    assert_eq!(platform.figure("/monitoring/unified/health", "/status").await, "healthy");
}

#[tokio::test]
async fn what_redis_kept_from_before_is_never_served() {
    let Some(redis) = Redis::start() else { return };
    let (database, platform) = start_with(redis.url()).await;
    eventually("Redis is taken", async || backend(&platform).await == "redis").await;
    platform.new_revenue("1").await;
    let hit = async |platform: &Platform| platform.get(LIST).await.cache.as_deref() == Some("hit");
    eventually("the list is cached", async || hit(&platform).await).await;
    // While the platform is away, somebody else writes.
    platform.stop.cancel();
    crate::platform::harness::execute(&database, "UPDATE revenue_transactions SET amount = 2")
        .await;
    let again = Options { redis_url: Some(redis.url()), ..options(&database.url) };
    let platform = serve(again).await;
    let read = platform.get(LIST).await;
    assert_eq!(read.cache.as_deref(), Some("miss"));
    assert_eq!(read.body["items"][0]["amount"], "2.00");
}

#[tokio::test]
async fn the_two_sides_never_share_an_entry() {
    let database = database();
    let platform = start(&database, &[]).await;
    platform.new_revenue("1").await;
    let read = async |side: &str| platform.get_from(side, LIST).await;
    read("partitioned").await;
    assert_eq!(read("partitioned").await.cache.as_deref(), Some("hit"));
    assert_eq!(read("legacy").await.cache.as_deref(), Some("miss"));
}

#[tokio::test]
async fn figures_count_from_the_start() {
    let database = database();
    let platform = start(&database, &[]).await;
    for _ in 0..4 {
        platform.get(LIST).await;
    }
    let metrics = platform.get("/monitoring/unified/metrics").await.body;
    assert_eq!(metrics["cache"]["hits"], 3);
    assert_eq!(metrics["cache"]["lookups"], 4);
    assert_eq!(metrics["cache"]["hitRate"], 75.0);
    platform.new_revenue("1").await;
    let figures = platform.get("/monitoring/cache/invalidation-metrics").await.body;
    assert_eq!(figures["cacheHitStats"]["misses"], 1);
    assert_eq!(figures["invalidations"], 1);
}
