//! A rig in this process: what stands, and what is left when it goes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use cutover::act::{ActContext, Event};
use cutover::error::Error;
use cutover::rig::{Component, Options, Stack};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::rig::place::{command_lines, is_alive, mark};
use crate::support;

fn options() -> Options {
    Options { platform: false, ..Options::new(env!("CARGO_BIN_EXE_cutover")) }
}

#[tokio::test]
async fn stopping_a_rig_leaves_no_process_and_no_folder() {
    let stack = Stack::start(options(), &ActContext::silent()).await.expect("the rig starts");
    let (dir, pids, mark) = (stack.dir().to_owned(), stack.pids(), mark(stack.dir()));
    assert_eq!(pids.keys().copied().collect::<Vec<_>>(), ["postgres", "redis"]);
    assert!(pids.values().all(|pid| is_alive(*pid)));
    assert!(command_lines().iter().any(|line| line.contains(&mark)));
    stack.stop().await.expect("the rig stops");
    assert!(!pids.values().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());
    let left: Vec<String> = command_lines()
        .into_iter()
        .filter(|line| line.contains(&mark) || line.contains(&dir.display().to_string()))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
async fn dropping_a_rig_stops_it_in_a_panic_too() {
    let stack = Stack::start(options(), &ActContext::silent()).await.expect("the rig starts");
    let (dir, pids) = (stack.dir().to_owned(), stack.pids());
    let panicked = std::thread::spawn(move || {
        let _stack = stack;
        std::panic::panic_any("planned");
    })
    .join();
    assert!(panicked.is_err());
    assert!(!pids.values().any(|pid| is_alive(*pid)));
    assert!(!dir.exists());
}

#[tokio::test]
async fn the_servers_are_what_a_measurement_needs() {
    let stack = Stack::start(options(), &ActContext::silent()).await.expect("the rig starts");
    let mut connection = cutover::pg::connect(stack.database_url()).await.expect("it answers");
    for (setting, expected) in [
        ("fsync", "off"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "off"),
        ("wal_level", "logical"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
        ("autovacuum", "on"),
        ("logging_collector", "off"),
    ] {
        let found: String = sqlx::query_scalar("SELECT pg_catalog.current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .expect("every setting exists");
        assert_eq!(found, expected, "{setting}");
    }
    let database: String = sqlx::query_scalar("SELECT pg_catalog.current_database()::text")
        .fetch_one(&mut connection)
        .await
        .expect("it has a name");
    assert_eq!(database, "hospitality_platform");
    let without_password = stack.database_url().replace("cutover:", "cutover:not");
    assert!(cutover::pg::connect(&without_password).await.is_err(), "anybody may log in");

    let redis = redis::Client::open(stack.redis_url().expect("asked for")).expect("a URL");
    let mut redis = redis.get_multiplexed_async_connection().await.expect("it answers");
    let policy: (String, String) = redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async(&mut redis)
        .await
        .expect("a setting");
    assert_eq!(policy.1, "allkeys-lru");
    stack.stop().await.expect("the rig stops");
}

#[test]
fn the_end_of_a_log_can_be_read_while_the_rig_runs() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stack = Stack::start(options(), &ActContext::silent()).await.expect("it starts");
        let tail = stack.logs_tail(Component::Redis);
        assert!(tail.contains("Ready to accept connections"), "{tail}");
        stack.stop().await.expect("it stops");
    });
}
#[tokio::test]
async fn two_rigs_stand_side_by_side() {
    let context = ActContext::silent();
    let (one, other) =
        tokio::join!(Stack::start(options(), &context), Stack::start(options(), &context));
    let (one, other) = (one.expect("starts"), other.expect("starts"));
    assert_ne!(one.database_url(), other.database_url());
    assert_ne!(one.dir(), other.dir());
    one.stop().await.expect("stops");
    assert!(other.pids().values().all(|pid| is_alive(*pid)), "the wrong one was stopped");
    cutover::pg::connect(other.database_url()).await.expect("it still answers");
    other.stop().await.expect("stops");
}

#[tokio::test]
async fn a_rig_that_is_asked_to_stop_while_it_starts_stops() {
    let stop = CancellationToken::new();
    let token = stop.clone();
    // As soon as the first component is on its way.
    let cancel = move |event| {
        if matches!(event, Event::Started { .. }) {
            token.cancel();
        }
    };
    let outcome = Stack::start(options(), &ActContext::new(cancel, stop)).await;
    assert!(matches!(outcome.err(), Some(Error::Interrupted)));
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = (support::database(), support::database());
    assert_ne!(one.url, other.url);
    cutover::pg::connect(&one.url).await.expect("it takes connections");
    let gone = one.url.clone();
    drop(one);
    assert!(cutover::pg::connect(&gone).await.is_err(), "it was dropped");
}

#[tokio::test]
async fn the_platform_stands_behind_its_servers() {
    let whole = Options::new(env!("CARGO_BIN_EXE_cutover"));
    let stack = Stack::start(whole, &ActContext::silent()).await.expect("the rig starts");
    let url = Url::parse(stack.base_url().expect("asked for")).expect("a URL");
    assert_eq!(url.host_str(), Some("127.0.0.1"));
    let address = url.socket_addrs(|| None).expect("an address")[0];
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request =
        "GET /monitoring/unified/health HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("healthy"), "{answer}");
    let line = fs::read(format!("/proc/{}/cmdline", stack.pids()["platform"])).expect("it runs");
    for url in [stack.database_url(), stack.redis_url().expect("asked for")] {
        let url = Url::parse(url).expect("a URL");
        let password = url.password().expect("a password");
        assert!(!String::from_utf8_lossy(&line).contains(password), "everybody may read that");
    }
    stack.stop().await.expect("the rig stops");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn a_platform_that_refuses_its_arguments_says_why() {
    let mut options = Options::new(env!("CARGO_BIN_EXE_cutover"));
    options.platform_args = vec!["--misbehave".into(), "nonsense".into()];
    let outcome = Stack::start(options, &ActContext::silent()).await;
    let error = outcome.err().expect("there is no such misbehaviour").to_string();
    assert!(error.starts_with("platform ended (exit status: 2)"), "{error}");
    assert!(error.contains("no misbehaviour `nonsense`"), "{error}");
}
