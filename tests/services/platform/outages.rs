//! A database that is away makes errors, quickly, and nothing else; when it is back, so are we.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tokio::net::TcpStream;
use url::Url;

use crate::platform::harness::{Options, Platform, eventually, migrate, options, serve, start};
use crate::platform::servers::Wire;
use crate::support::{TestDatabase, database};

const LIST: &str = "/finance/revenue?orgId=1";

/// A platform whose way to its database can be cut.
async fn start_on_a_wire() -> (TestDatabase, Wire, Platform) {
    let database = database();
    migrate(&database).await;
    let (url, wire) = wire_to(&database).await;
    let platform = serve(options(&url)).await;
    (database, wire, platform)
}

async fn wire_to(database: &TestDatabase) -> (String, Wire) {
    let mut url = Url::parse(&database.url).expect("a URL");
    let host = url.host_str().expect("a host").to_owned();
    let target = tokio::net::lookup_host((host, url.port().unwrap_or(5432))).await;
    let target: SocketAddr = target.expect("a known host").next().expect("an address");
    let wire = Wire::to(target).await;
    url.set_host(Some("127.0.0.1")).expect("a host");
    url.set_port(Some(wire.port)).expect("a port");
    (url.into(), wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_a_quick_503_and_comes_back_by_itself() {
    let (_database, wire, platform) = start_on_a_wire().await;
    assert_eq!(platform.get(LIST).await.status, StatusCode::OK);
    wire.cut(true);
    let away = async || {
        platform.get("/finance/revenue/1?orgId=1").await.status == StatusCode::SERVICE_UNAVAILABLE
    };
    eventually("the loss is told", away).await;
    for _ in 0..20 {
        let write = platform.post("/finance/revenue", json!({ "orgId": 1, "amount": 1 })).await;
        assert_eq!(write.status, StatusCode::SERVICE_UNAVAILABLE, "{write:?}");
        assert!(write.took < Duration::from_secs(4), "{:?}", write.took);
        assert_eq!(write.routed_to.as_deref(), Some("legacy"));
    }
    let health = platform.get("/monitoring/unified/health").await;
    assert_eq!(health.body["status"], "unhealthy");
    let alerts = "/monitoring/unified/metrics";
    assert_eq!(platform.figure(alerts, "/alerts/critical").await, 1);
    wire.cut(false);
    let back = async || {
        let body = json!({ "orgId": 1, "amount": 1 });
        platform.post("/finance/revenue", body).await.status == StatusCode::CREATED
    };
    eventually("it is back", back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_database_hangs_nobody() {
    let (_database, wire, platform) = start_on_a_wire().await;
    wire.freeze(true);
    let requests = (0..40).map(|_| platform.get("/finance/revenue/1?orgId=1"));
    for reply in futures_util::future::join_all(requests).await {
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(reply.took < Duration::from_secs(8), "{:?}", reply.took);
    }
    wire.freeze(false);
    let back = async || platform.get(LIST).await.status == StatusCode::OK;
    eventually("it is back", back).await;
}

#[tokio::test]
async fn terminated_sessions_are_replaced() {
    let database = database();
    let platform = start(&database, &[]).await;
    crate::platform::harness::execute(
        &database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    let back =
        async || platform.get("/finance/revenue/1?orgId=1").await.status == StatusCode::NOT_FOUND;
    eventually("new sessions are opened", back).await;
}

#[tokio::test]
async fn it_stops_though_somebody_stays_connected() {
    let database = database();
    let mut platform = start(&database, &["slow=500ms"]).await;
    let _idle = TcpStream::connect(platform.address).await.expect("it listens");
    let address = platform.address;
    let in_flight = tokio::spawn(async move {
        crate::platform::harness::Client::connect(address).await.send("GET", LIST, None, &[]).await
    });
    let asked = async || {
        let stats = platform.get("/monitoring/cache/invalidation-metrics").await.body;
        !in_flight.is_finished() && stats["cacheHitStats"]["misses"] == 0
    };
    eventually("the request is in flight", asked).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    platform.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(3), &mut platform.served).await;
    ended.expect("it ends in time").expect("no panic").expect("no error");
    assert_eq!(in_flight.await.expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn a_replica_is_read_from_while_it_is_there_and_not_after_an_own_write() {
    let database = database();
    migrate(&database).await;
    // The same server stands in for a replica that is never behind, over a wire that can be cut.
    let (url, wire) = wire_to(&database).await;
    let with_replica = Options { replica_url: Some(url), ..options(&database.url) };
    let platform = serve(with_replica).await;
    let lag = async || platform.figure("/database/replica/lag", "/maxReplicaLag").await;
    eventually("the lag is known", async || lag().await == 0.0).await;
    assert_eq!(platform.get(LIST).await.status, StatusCode::OK);
    let sessions = platform.figure("/database/replica/pool-stats", "/replica/size").await;
    assert!(sessions.as_u64() > Some(0), "{sessions}");
    wire.cut(true);
    platform.new_revenue("1").await;
    assert_eq!(platform.get(LIST).await.body["count"], 1, "an own write is read from the primary");
    eventually("the loss is told", async || lag().await.is_null()).await;
    let other = platform.get("/finance/revenue?orgId=2").await;
    assert_eq!(other.status, StatusCode::OK, "everybody reads from the primary");
    assert_eq!(platform.figure("/monitoring/unified/health", "/status").await, "degraded");
}
