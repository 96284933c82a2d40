//! Nobody waits for a comparison, and what is changed under it is not compared as if it were the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cutover::act::{ActContext, Event};
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options, Throttle};
use cutover::evidence::finding::{DiffEvidence, Finding};
use cutover::pg;
use sqlx::{AssertSqlSafe, Executor};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::diff::{BOTH, MANY_ROWS, fat_database, revenue};
use crate::support::{self, reference_database};

/// What partition managers and people do to a table that is in use.
const CHANGES: [&str; 4] = [
    "CREATE TABLE made_{n} PARTITION OF revenue_transactions_partitioned
         FOR VALUES FROM ('{year}-01-01') TO ('{year}-02-01')",
    "CREATE TABLE alike_{n} (LIKE revenue_transactions_partitioned INCLUDING ALL);
     ALTER TABLE revenue_transactions_partitioned ATTACH PARTITION alike_{n}
         FOR VALUES FROM ('{year}-02-01') TO ('{year}-03-01')",
    "ANALYZE revenue_transactions; ANALYZE revenue_transactions_partitioned",
    "CREATE INDEX CONCURRENTLY index_{n} ON revenue_transactions (org_id, amount)",
];

/// Sessions of an application that are never to wait, and the longest that one of their statements took.
struct Application {
    stop: Arc<AtomicBool>,
    longest_us: Arc<AtomicU64>,
    changes: Arc<AtomicU64>,
    sessions: Vec<JoinHandle<()>>,
}

impl Application {
    /// Reads, writes and, with a pause between, [`CHANGES`] in turn, numbered from `first` on.
    fn start(url: &str, first: u64, pause: Duration) -> Self {
        let application = Self {
            stop: Arc::default(),
            longest_us: Arc::default(),
            changes: Arc::default(),
            sessions: Vec::new(),
        };
        let writes = move |n: u64| {
            format!(
                "INSERT INTO revenue_transactions (id, org_id, date, amount)
             VALUES ({}, 1, current_date, 1)",
                2_000_000 + first + n
            )
        };
        let reads = |n: u64| {
            format!("SELECT count(*) FROM revenue_transactions WHERE org_id = {}", n % 997)
        };
        let changes = move |n: u64| {
            let number = (first + n).to_string();
            let change = CHANGES[n as usize % CHANGES.len()].replace("{n}", &number);
            change.replace("{year}", &(3000 + n + first / 1000).to_string())
        };
        let short = Duration::from_millis(5);
        let sessions = vec![
            application.session(url, short, Arc::default(), writes),
            application.session(url, short, Arc::default(), reads),
            application.session(url, pause, application.changes.clone(), changes),
        ];
        Self { sessions, ..application }
    }

    fn session(
        &self,
        url: &str,
        pause: Duration,
        done: Arc<AtomicU64>,
        statement: impl Fn(u64) -> String + Send + 'static,
    ) -> JoinHandle<()> {
        let (url, stop, longest_us) = (url.to_owned(), self.stop.clone(), self.longest_us.clone());
        tokio::spawn(async move {
            let mut connection = pg::connect(&url).await.expect("the server is up");
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // One by one: a concurrent index wants no transaction.
                for part in statement(n).split(';') {
                    let began = Instant::now();
                    connection.execute(AssertSqlSafe(part.to_owned())).await.expect("it works");
                    let took = began.elapsed().as_micros() as u64;
                    longest_us.fetch_max(took, Ordering::Relaxed);
                }
                done.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        })
    }

    /// How long a statement took at most, and how many changes there were.
    async fn stop(self) -> (Duration, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for session in self.sessions {
            session.await.expect("no session broke");
        }
        let longest = Duration::from_micros(self.longest_us.load(Ordering::Relaxed));
        (longest, self.changes.load(Ordering::Relaxed))
    }
}

const DEFAULT: &str = "
    CREATE TABLE revenue_transactions_rest PARTITION OF revenue_transactions_partitioned DEFAULT";

/// However slowly it reads, whoever changes the tables goes first, and the comparison comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_comparison() {
    let database = reference_database().await;
    support::execute(&database.url, MANY_ROWS).await;
    support::execute(&database.url, DEFAULT).await;
    let fault = "DELETE FROM revenue_transactions_partitioned WHERE id = 3";
    support::execute(&database.url, fault).await;
    for (nth, digest) in BOTH.into_iter().enumerate() {
        let first = nth as u64 * 1_000_000;
        let application = Application::start(&database.url, first, Duration::from_millis(500));
        let throttle = (digest == Digest::Client).then_some(Throttle::Rows(8_000.0));
        let options = Options { digest, throttle, ..Options::default() };
        let mut snapshots = 0;
        for _ in 0..if digest == Digest::Client { 1 } else { 10 } {
            let (evidence, _) = support::compare(&database.url, &revenue(), &options).await;
            assert!(evidence.complete, "{}", evidence.incomplete_reason);
            assert_eq!(evidence.tables[0].counts.missing, 1, "{:?}", evidence.tables);
            assert_eq!(evidence.tables[0].counts.total(), 1, "{:?}", evidence.tables);
            snapshots += evidence.snapshots;
        }
        let (longest, changes) = application.stop().await;
        eprintln!("{digest:?}: {longest:?} at most, {changes} changes, {snapshots} snapshots");
        assert!(changes > 3 && longest < Duration::from_secs(1), "{longest:?}, {changes} changes");
    }
}

/// One who holds a table by reading it slowly lets go within half a second, also where the reader waits for its own turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_under_way_is_given_up_and_read_again() {
    let (database, pairs) = fat_database().await;
    let options = Options {
        throttle: Some(Throttle::Bytes(1e7)),
        digest: Digest::Client,
        probe: false,
        ..Options::default()
    };
    let run = support::compare(&database.url, &pairs, &options);
    let change = async {
        let mut connection = pg::connect(&database.url).await.expect("the server is up");
        let reading = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE a.query LIKE '%COPY%' AND l.relation = to_regclass('fat') AND a.pid <> pg_backend_pid())";
        while !sqlx::query_scalar::<_, bool>(reading)
            .fetch_one(&mut connection)
            .await
            .expect("an answer")
        {}
        let began = Instant::now();
        let lock = "BEGIN; LOCK TABLE fat IN ACCESS EXCLUSIVE MODE; COMMIT";
        sqlx::raw_sql(lock).execute(&mut connection).await.expect("it is let through");
        began.elapsed()
    };
    let ((evidence, findings), waited) = tokio::join!(run, change);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert!(evidence.complete && evidence.snapshots > 1, "{evidence:?}");
    assert!(findings.iter().all(|finding| finding.severity.is_some()), "{findings:?}");
    assert_eq!(evidence.tables[0].legacy_rows, 20_000);
}

/// Runs a comparison during which something is done to the tables when the first rows have come.
async fn changed_under_way(url: &str, digest: Digest, change: &str) -> DiffEvidence {
    let (url_of_change, change, changed) =
        (url.to_owned(), change.to_owned(), AtomicBool::new(false));
    let context = ActContext::new(
        move |event| {
            let rows_have_come = matches!(event, Event::Advanced(rows) if rows > 0);
            if rows_have_come && !changed.swap(true, Ordering::Relaxed) {
                let handle = tokio::runtime::Handle::current();
                let made = support::execute(&url_of_change, &change);
                tokio::task::block_in_place(|| handle.block_on(made));
            }
        },
        CancellationToken::new(),
    );
    let out = tempfile::tempdir().expect("a folder");
    let options =
        Options { digest, snapshot_time: Duration::ZERO, probe: false, ..Options::default() };
    let tables: Vec<TablePair> = revenue();
    let run = diff::run(url, &tables, &options, out.path(), &context);
    let run = tokio::time::timeout(Duration::from_secs(120), run).await;
    run.unwrap_or_else(|_| panic!("{digest:?} hangs")).expect("a diff")
}

/// Partitions that came or went meanwhile: what the catalogs say is that of the end.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_go_meanwhile_are_missed_in_the_end() {
    let drop_next_month = "
        DO $$ DECLARE leaf regclass; BEGIN
            SELECT c.oid INTO STRICT leaf FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'revenue_transactions_partitioned'::regclass
               AND pg_get_expr(c.relpartbound, c.oid)
                   LIKE 'FOR VALUES FROM (_' || to_char(now() + interval '1 month', 'YYYY-MM') || '-01%';
            EXECUTE format('DROP TABLE %s', leaf);
        END $$";
    for digest in BOTH {
        for (change, missed) in [("SELECT 1", false), (drop_next_month, true)] {
            let database = reference_database().await;
            support::execute(&database.url, MANY_ROWS).await;
            let evidence = changed_under_way(&database.url, digest, change).await;
            assert!(evidence.complete, "{change}: {}", evidence.incomplete_reason);
            let missing = |finding: &Finding| finding.class.word() == "partition_missing";
            let seen = evidence.findings.iter().any(missing);
            assert_eq!(seen, missed, "{digest:?}, {change}: {evidence:#?}");
        }
    }
}

/// What was read is no longer what is there: it is read anew, or the comparison says that it is not whole.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_changed_under_way_are_not_compared_as_if_they_were_the_same() {
    let leaf = "(SELECT tableoid::regclass FROM revenue_transactions_partitioned WHERE id = 10001)";
    let on_leaf =
        |statement: &str| format!("DO $$ BEGIN EXECUTE format('{statement}', {leaf}); END $$");
    let detach = on_leaf("ALTER TABLE revenue_transactions_partitioned DETACH PARTITION %s");
    let drop = on_leaf("DROP TABLE %s");
    let truncate = on_leaf("TRUNCATE %s");
    let swap = "ALTER TABLE revenue_transactions_partitioned RENAME TO revenue_transactions_old;
        CREATE TABLE revenue_transactions_partitioned (LIKE revenue_transactions_old)";
    let part = on_leaf(
        "CREATE TRIGGER meanwhile BEFORE UPDATE ON %s FOR EACH ROW \
         EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    );
    // Whether it still has to be whole, and what the reason names otherwise.
    let cases = [
        ("VACUUM FULL revenue_transactions", true, ""),
        (truncate.as_str(), true, ""),
        (detach.as_str(), true, ""),
        (drop.as_str(), true, ""),
        (swap, false, "revenue_transactions_partitioned"),
        ("ALTER TABLE revenue_transactions ADD COLUMN more int", false, "column `more`"),
        ("ALTER TABLE revenue_transactions DISABLE TRIGGER USER", false, "trigger `"),
        (part.as_str(), false, "a trigger of part `"),
    ];
    for (change, whole, named) in cases {
        for digest in BOTH {
            let database = reference_database().await;
            support::execute(&database.url, MANY_ROWS).await;
            let evidence = changed_under_way(&database.url, digest, change).await;
            assert_eq!(evidence.complete, whole, "{change}: {}", evidence.incomplete_reason);
            if whole {
                let lost = change != "VACUUM FULL revenue_transactions";
                assert_eq!(evidence.has_differences(), lost, "{change}: {:?}", evidence.tables);
                assert!(evidence.tables[0].legacy_rows > 20_000, "{change}: {:?}", evidence.tables);
            } else {
                assert!(evidence.incomplete_reason.contains(named), "{evidence:?}");
                assert!(evidence.incomplete_reason.contains("revenue"), "{evidence:?}");
            }
        }
    }
}
