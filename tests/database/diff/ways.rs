//! The ways in which rows are read: in shards, since a time, held back, ended early, resumed, here or
//! in the server.

use std::time::{Duration, Instant};

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options, Shard, Throttle};
use cutover::error::Error;

use crate::diff::{BOTH, MANY_ROWS, fails, fat_database, key, revenue, something_is_saved};
use crate::support::{self, compare, reference_database};

#[tokio::test]
async fn shards_together_equal_one_run() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let faults = "
        DELETE FROM revenue_transactions_partitioned WHERE id IN (1, 10500, 20001);
        UPDATE revenue_transactions_partitioned SET org_id = org_id + 1 WHERE id = 20004;
        UPDATE revenue_transactions SET org_id = -7 WHERE id = 20002;
        UPDATE revenue_transactions_partitioned SET amount = 0 WHERE id IN (20002, 20003)";
    support::execute(&database.url, faults).await;
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (whole, all) = compare(&database.url, &revenue(), &options).await;
        assert_eq!(all.len(), 6);
        let (mut orgs, mut diverged, mut rows, mut found) = (0, 0, 0, Vec::new());
        for index in 1..=3 {
            let shard = Some(Shard { index, of: 3 });
            let options = Options { shard, ..options.clone() };
            let (evidence, findings) = compare(&database.url, &revenue(), &options).await;
            assert!(evidence.scope.ends_with(&format!("shard {index} of 3")), "{}", evidence.scope);
            orgs += evidence.orgs_checked;
            diverged += evidence.orgs_diverged;
            rows += evidence.tables[0].legacy_rows;
            found.extend(findings.iter().map(key));
        }
        let mut all: Vec<String> = all.iter().map(key).collect();
        all.sort();
        found.sort();
        assert_eq!(found, all);
        assert_eq!((orgs, diverged), (whole.orgs_checked, whole.orgs_diverged));
        assert_eq!(rows, whole.tables[0].legacy_rows);
    }
}

#[tokio::test]
async fn since_a_time_only_what_changed_then_is_told() {
    let database = reference_database().await;
    let faults = "
        DELETE FROM revenue_transactions_partitioned WHERE id = 1;
        UPDATE revenue_transactions SET updated_at = '2026-06-02' WHERE id IN (6, 7, 8);
        UPDATE revenue_transactions_partitioned SET updated_at = '2026-01-02', amount = 0 WHERE id = 6;
        DELETE FROM revenue_transactions_partitioned WHERE id = 7;
        UPDATE revenue_transactions_partitioned SET amount = 0 WHERE id = 9";
    support::execute(&database.url, faults).await;
    let since = "2026-06-01T00:00:00Z".parse().ok();
    for digest in BOTH {
        let options = Options { digest, since, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &TablePair::reference(), &options).await;
        let mut found: Vec<String> = findings.iter().map(key).collect();
        found.sort();
        assert_eq!(found, ["mismatched 6", "missing 7"], "{digest:?}");
        assert!(evidence.scope.contains("a row deleted since"), "{}", evidence.scope);
        assert_eq!(evidence.tables[0].legacy_rows, 3);
    }
    let mut pairs = revenue();
    for (changed_at, text) in [(None, "changed_at"), (Some("amount".to_owned()), "not a time")] {
        pairs[0].changed_at = changed_at;
        let options = Options { since, ..Options::default() };
        let error = fails(&database.url, &pairs, &options).await;
        assert!(matches!(error, Error::Usage { .. }), "{error}");
        assert!(format!("{error} {:?}", error.hint()).contains(text), "{error}");
    }
}

#[tokio::test]
async fn what_ended_early_says_so_and_is_no_pass() {
    let database = reference_database().await;
    let faults = "DELETE FROM revenue_transactions_partitioned WHERE id IN (1, 2, 7, 8, 13)";
    support::execute(&database.url, faults).await;
    for digest in BOTH {
        let options = Options { digest, max_findings: Some(2), ..Options::default() };
        let (evidence, findings) = compare(&database.url, &TablePair::reference(), &options).await;
        assert_eq!(findings.len(), 2, "{digest:?}");
        assert!(!evidence.complete && evidence.has_differences());
        assert!(evidence.incomplete_reason.contains("--max-findings"));
        // What the digests have told is not forgotten.
        assert_eq!(evidence.orgs_diverged, 3);
    }
    let (database, pairs) = fat_database().await;
    let options = Options {
        max_time: Some(Duration::from_millis(500)),
        throttle: Some(Throttle::Bytes(1e6)),
        digest: Digest::Client,
        ..Options::default()
    };
    let (evidence, _) = compare(&database.url, &pairs, &options).await;
    assert!(!evidence.complete && evidence.incomplete_reason.contains("--max-time"));
}

#[tokio::test]
async fn reading_is_held_back() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    for digest in BOTH {
        let throttle = Some(Throttle::Rows(40_000.0));
        let options = Options { digest, throttle, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &revenue(), &options).await;
        assert_eq!(findings, []);
        // 40,000 rows and some; never faster, however slow the machine is.
        assert!(evidence.duration_s > 1.0, "{} s", evidence.duration_s);
    }
}

#[tokio::test]
async fn only_the_same_comparison_is_resumed() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    let out = tempfile::tempdir().expect("a folder");
    let options = Options {
        throttle: Some(Throttle::Rows(20_000.0)),
        checkpoint_every: Duration::ZERO,
        digest: Digest::Client,
        probe: false,
        ..Options::default()
    };
    let context = ActContext::silent();
    let pairs = revenue();
    let stopped = diff::run(&database.url, &pairs, &options, out.path(), &context);
    let (stopped, ()) = tokio::join!(stopped, async {
        something_is_saved(out.path(), || false).await;
        context.stop.cancel();
    });
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    let run = async |options: &Options| {
        let context = ActContext::silent();
        diff::run(&database.url, &revenue(), options, out.path(), &context).await
    };
    let options = Options { resume: true, throttle: None, ..options };
    let other = Options { shard: Some(Shard { index: 1, of: 2 }), ..options.clone() };
    let error = run(&other).await.expect_err("another comparison");
    assert!(matches!(&error, Error::Usage { .. }), "{error}");
    let resumed = run(&options).await.expect("goes on");
    assert!(resumed.complete && !resumed.has_differences());
    assert_eq!(resumed.tables[0].legacy_rows, 20_020);
    assert_eq!(resumed.tables[0].partitioned_rows, 20_020);
}

/// A partition on another server is out of reach of our snapshot, so `auto` has one statement
/// look at both sides.
#[tokio::test]
async fn tables_over_several_servers_are_compared_by_the_server() {
    let database = reference_database().await;
    let url = url::Url::parse(&database.url).expect("a URL");
    let name = url.path().trim_start_matches('/');
    let sql = format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '{}', port '{}', dbname '{name}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere
             OPTIONS (user '{}', password '{}');
         CREATE FOREIGN TABLE far_leaf PARTITION OF revenue_transactions_partitioned
             FOR VALUES FROM ('1990-01-01') TO ('1990-02-01')
             SERVER elsewhere OPTIONS (table_name 'far');
         INSERT INTO revenue_transactions (id, org_id, date, amount) VALUES (91, 1, '1990-01-05', 1);
         INSERT INTO revenue_transactions (id, org_id, date, amount) VALUES (92, 2, '1990-01-06', 1)",
        url.host_str().expect("a host"),
        url.port().unwrap_or(5432),
        url.username(),
        url.password().unwrap_or_default(),
    );
    // A foreign leaf takes no index, and so no key.
    let no_key = "ALTER TABLE revenue_transactions_partitioned DROP CONSTRAINT
                      revenue_transactions_partitioned_pkey";
    support::execute(&database.url, no_key).await;
    support::execute(&database.url, "CREATE TABLE far (LIKE revenue_transactions)").await;
    support::execute(&database.url, &sql).await;
    support::execute(&database.url, "UPDATE far SET amount = 2 WHERE id = 92").await;
    let (evidence, findings) = compare(&database.url, &revenue(), &Options::default()).await;
    assert_eq!(evidence.digest, "server");
    assert!(evidence.digest_reason.contains("far_leaf"), "{}", evidence.digest_reason);
    let rows: Vec<String> = findings.iter().filter(|f| f.org_id.is_some()).map(key).collect();
    assert_eq!(rows, ["mismatched 92"]);
}

/// Hands bytes on, from the server slowly.
async fn thin_wire(server: &url::Url) -> url::Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut url = server.clone();
    url.set_port(Some(listener.local_addr().expect("an address").port())).expect("a port");
    let server = (server.host_str().expect("a host").to_owned(), server.port().unwrap_or(5432));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(server.clone()).await.expect("the server");
            tokio::spawn(carry(client, server));
        }
    });
    url
}

async fn carry(client: tokio::net::TcpStream, server: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let slowly = async {
        let mut buffer = vec![0; 65536];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if to_client.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    let _ = tokio::join!(tokio::io::copy(&mut from_client, &mut to_server), slowly);
}

#[tokio::test]
async fn auto_hashes_in_the_server_behind_a_thin_wire() {
    let database = reference_database().await;
    let far = thin_wire(&url::Url::parse(&database.url).expect("a URL")).await;
    let began = Instant::now();
    let (evidence, findings) = compare(far.as_str(), &revenue(), &Options::default()).await;
    assert_eq!((evidence.digest.as_str(), findings), ("server", vec![]), "{:?}", began.elapsed());
    assert!(evidence.digest_reason.contains("MB/s"), "{}", evidence.digest_reason);
}
