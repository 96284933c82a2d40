//! The rig grown up: a streaming replica, and PgBouncer in front of both.

use std::time::{Duration, Instant};

use cutover::act::ActContext;
use cutover::error::Result;
use cutover::http::{Site, TrustedRoots};
use cutover::pg::Shared;
use cutover::rig::{Component, Options, Stack};
use hyper::Method;
use nix::sys::signal::Signal;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::rig::place::{LIMIT, Place, is_alive, send};
use crate::support::{self, wait_until};

fn options() -> Options {
    let whole = Options::new(env!("CARGO_BIN_EXE_cutover"));
    Options { replica: true, pgbouncer: true, redis: false, ..whole }
}

/// One value, by the simple protocol: through a pooler a prepared statement is not ours for long.
async fn ask(connection: &mut PgConnection, question: &'static str) -> String {
    use sqlx::Row;
    let row = sqlx::raw_sql(question).fetch_one(connection).await.expect("an answer");
    row.try_get_unchecked(0).expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_follows_and_the_pooler_shares_sessions() {
    let context = ActContext::silent();
    let mut stack = Stack::start(options(), &context).await.expect("the rig starts");
    let urls = stack.urls().clone();
    let replica_url = urls.replica_url.expect("asked for");
    let pooler_url = urls.pgbouncer_url.expect("asked for");
    let pooled_replica = urls.pgbouncer_replica_url.expect("both were asked for");
    let mut primary = cutover::pg::connect(stack.database_url()).await.expect("it answers");
    let mut replica = cutover::pg::connect(&replica_url).await.expect("it answers");
    let standby = "SELECT (pg_is_in_recovery() AND current_setting('hot_standby')::bool)::text";
    assert_eq!(ask(&mut replica, standby).await, "true");
    assert_eq!(ask(&mut primary, standby).await, "false");

    // What the primary commits arrives, also after it was killed and came back.
    for round in 1..=2 {
        let statement = "CREATE TABLE IF NOT EXISTS followed (); DROP TABLE IF EXISTS gone";
        sqlx::raw_sql(statement).execute(&mut primary).await.expect("a write");
        let position = ask(&mut primary, "SELECT pg_current_wal_lsn()::text").await;
        let mut there = false;
        let end = Instant::now() + LIMIT;
        while !there && Instant::now() < end {
            let replayed = ask(&mut replica, "SELECT pg_last_wal_replay_lsn()::text").await;
            there = lsn(&replayed) >= lsn(&position);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(there, "round {round}: the replica does not follow");
        stack.stop_component(Component::Postgres, true).expect("it ends");
        stack.start_component(Component::Postgres, &context).await.expect("it comes back");
        primary = cutover::pg::connect(stack.database_url()).await.expect("it answers");
    }

    // Transaction mode: one session of the server serves two clients in turn.
    for url in [&pooler_url, &pooled_replica] {
        until_it_answers(url).await;
        let mut one = pooled(url).await.expect("it answers");
        let mut other = pooled(url).await.expect("it answers");
        assert_eq!(
            session(&mut one).await.expect("idle"),
            session(&mut other).await.expect("idle")
        );
    }
    stack.stop_component(Component::Pgbouncer, false).expect("it ends");
    assert!(pooled(&pooler_url).await.is_err());
    stack.start_component(Component::Pgbouncer, &context).await.expect("it comes back");
    assert_eq!(stack.urls().pgbouncer_url.as_deref(), Some(&*pooler_url));
    drop(replica);
    primary.close().await.expect("closes");
    stack.stop().await.expect("the rig stops");
}

async fn pooled(url: &str) -> Result<Shared> {
    Shared::connect(url, LIMIT).await
}

/// The process that serves.
async fn session(shared: &mut Shared) -> sqlx::Result<(i32,)> {
    shared.one(sqlx::query_as("SELECT pg_backend_pid()")).await
}

/// A pooler waits a second before it tries a server again that was gone.
async fn until_it_answers(url: &str) {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let mut connection = pooled(url).await.expect("the pooler answers");
        if session(&mut connection).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the pooler does not reach its server");
}

/// A position of the log as a number.
fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').expect("a position");
    let number = |part| u64::from_str_radix(part, 16).expect("hexadecimal");
    (number(high) << 32) | number(low)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_goes_through_the_pooler_and_reads_from_the_replica() {
    let context = ActContext::silent();
    let mut stack = Stack::start(options(), &context).await.expect("the rig starts");
    let base_url = stack.base_url().expect("asked for").parse().expect("a URL");
    let mut site = Site::new(&base_url, &TrustedRoots::default(), LIMIT).expect("a platform");
    let body = r#"{"orgId": 1, "amount": 100, "description": "Test"}"#;
    for side in ["legacy", "partitioned"] {
        let made = site.send(Method::POST, "/finance/revenue", body, &[]).await.expect("an answer");
        assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
        let headers = [("X-Cutover-Mode", side)];
        let list = site.send(Method::GET, "/finance/revenue?orgId=1&limit=5", "", &headers).await;
        let list = list.expect("an answer");
        assert_eq!((list.status, list.headers["X-Routed-To"].as_bytes()), (200, side.as_bytes()));
    }
    let lag = site.json("/database/replica/lag").await.expect("JSON");
    assert_eq!(lag["replicas"][0]["healthy"], true, "{lag}");
    let health = site.json("/monitoring/unified/health").await.expect("JSON");
    assert_eq!(health["status"], "healthy", "{health}");

    // A replica that stands still shows what it had: so that is where the read came from.
    let replica_url = stack.urls().replica_url.clone().expect("asked for");
    let mut replica = cutover::pg::connect(&replica_url).await.expect("it answers");
    sqlx::raw_sql("SELECT pg_wal_replay_pause()").execute(&mut replica).await.expect("paused");
    let write = "INSERT INTO revenue_transactions (org_id, date, amount) \
                 SELECT 2, current_date, 5 FROM generate_series(1, 3)";
    support::execute(stack.database_url(), write).await;
    let count = async |site: &mut Site, limit: u32| {
        let list = site.json(&format!("/finance/revenue?orgId=2&limit={limit}")).await;
        list.expect("JSON")["count"].as_u64().expect("a number")
    };
    assert_eq!(count(&mut site, 5).await, 0);
    sqlx::raw_sql("SELECT pg_wal_replay_resume()").execute(&mut replica).await.expect("resumed");
    // Each question once: an answer is kept for the next one like it.
    let mut limit = 5;
    let mut seen = 0;
    while seen != 3 && limit < 100 {
        limit += 1;
        seen = count(&mut site, limit).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen, 3, "the replica went on and nobody reads it");

    stack.stop_component(Component::Pgbouncer, true).expect("it ends");
    let made = site.send(Method::POST, "/finance/revenue", body, &[]).await.expect("an answer");
    assert!(made.status >= 500, "written behind the pooler's back: {}", made.status);
    stack.start_component(Component::Pgbouncer, &context).await.expect("it comes back");
    // Sessions that broke with the pooler are found one by one.
    let mut status = 0;
    let end = Instant::now() + LIMIT;
    while status != 201 && Instant::now() < end {
        let made = site.send(Method::POST, "/finance/revenue", body, &[]).await;
        status = made.expect("an answer").status;
    }
    assert_eq!(status, 201, "the platform did not come back with the pooler");
    drop(replica);
    stack.stop().await.expect("the rig stops");
}

#[test]
fn all_of_it_is_shown_and_nothing_outlives_a_killed_owner() {
    let place = Place::new();
    let up = place.up(&["--with", "replica,pgbouncer"]);
    let marks = up.marks();
    let pids: Vec<u32> =
        ["postgres", "replica", "pgbouncer", "redis"].map(|name| up.pid(name)).to_vec();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    for key in ["pgbouncer_url", "replica_url"] {
        assert!(up.said[key].as_str().expect("a URL").starts_with("postgres://"), "{key}");
    }
    let status = place.status();
    assert_eq!(status[0]["health"], "up", "{}", status[0]);
    assert_eq!(status[0]["pids"].as_object().expect("a map").len(), 4, "{}", status[0]);
    up.signal(Signal::SIGKILL);
    assert_eq!(up.end().0, None);
    let all_gone = || !pids.iter().any(|pid| is_alive(*pid));
    assert!(wait_until(LIMIT, all_gone), "a component outlived its rig");
    place.assert_deserted(&marks);
}

#[test]
fn the_end_of_any_component_ends_the_rig_and_names_it() {
    for (name, program) in [("replica", "replica"), ("pgbouncer", "pgbouncer")] {
        let place = Place::new();
        let up = place.up(&["--with", "replica,pgbouncer", "--without", "redis"]);
        let marks = up.marks();
        send(up.pid(name), Signal::SIGKILL);
        let (code, said) = up.end();
        assert_eq!(code, Some(1));
        assert!(
            said.contains(&format!("{program} ended by itself (signal: 9 (SIGKILL))")),
            "{said}"
        );
        assert_eq!(place.processes(&marks), Vec::<String>::new());
    }
}

#[test]
fn a_killed_primary_in_a_chosen_folder_gets_a_new_replica_with_the_next_start() {
    let place = Place::new();
    let dir = place.tmp.path().join("kept").display().to_string();
    for _ in 0..2 {
        let up = place.up(&["--with", "replica", "--without", "redis", "--dir", &dir]);
        up.signal(Signal::SIGTERM);
        assert_eq!(up.end().0, Some(0));
    }
    place.cutover(&["rig", "down", "--dir", &dir, "--purge"]).assert().success();
    assert!(!std::path::Path::new(&dir).exists());
}
