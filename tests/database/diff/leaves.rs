//! Twins of very many leaves: no statement takes much of the server, and what is there is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cutover::config::TablePair;
use cutover::diff::Options;
use cutover::evidence::class::CatalogClass;
use cutover::evidence::finding::Finding;
use cutover::pg;
use cutover::rig::Stack;
use sqlx::AssertSqlSafe;

use crate::diff::{BOTH, key};
use crate::support::{self, compare};

/// What one backend may take, beyond what it shares with the others.
const BACKEND_MEGABYTES: u64 = 300;

/// A pair whose twin has a leaf for each of so many days, with so many rows; a trigger carries each write.
async fn daily(url: &str, leaves: u32, rows: u32) {
    let tables = format!(
        "CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, day date NOT NULL,
             amount numeric(14, 2) NOT NULL, note text);
         CREATE INDEX ON ledger (org_id);
         CREATE TABLE ledger_partitioned (LIKE ledger, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE INDEX ON ledger_partitioned (org_id, day);
         CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF TG_OP <> 'INSERT' THEN
                 DELETE FROM ledger_partitioned WHERE id = OLD.id AND day = OLD.day;
             END IF;
             IF TG_OP <> 'DELETE' THEN INSERT INTO ledger_partitioned SELECT NEW.*; END IF;
             RETURN NULL;
         END $$;
         INSERT INTO ledger
         SELECT i, i % 500 + 1, current_date + 37 - (i % {leaves})::int, i, 'row ' || i
           FROM generate_series(1, {rows}) AS i;
         CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON ledger
             FOR EACH ROW EXECUTE FUNCTION carry();
         ALTER TABLE ledger ENABLE ALWAYS TRIGGER carry"
    );
    support::execute(url, &tables).await;
    // In parts: each new leaf is a lock until its transaction ends.
    for from in (0..leaves).step_by(500) {
        let to = (from + 500).min(leaves);
        let made = format!(
            "DO $$ BEGIN FOR d IN {from}..{to} - 1 LOOP
                 EXECUTE format('CREATE TABLE ledger_%s PARTITION OF ledger_partitioned
                     FOR VALUES FROM (%L) TO (%L)', d, current_date + 37 - d, current_date + 38 - d);
             END LOOP; END $$"
        );
        support::execute(url, &made).await;
    }
    support::execute(url, "INSERT INTO ledger_partitioned SELECT * FROM ledger").await;
}

fn ledger() -> Vec<TablePair> {
    vec![TablePair {
        name: "ledger".into(),
        legacy: "ledger".into(),
        partitioned: "ledger_partitioned".into(),
        trigger: None,
        changed_at: None,
        ..TablePair::reference().remove(0)
    }]
}

/// Looks what the largest backend takes, beyond what the server's processes share, until it is stopped.
struct Peak {
    stop: Arc<AtomicBool>,
    looker: std::thread::JoinHandle<u64>,
}

impl Peak {
    fn watch(server: &Stack) -> Self {
        let postmaster = server.pids()["postgres"];
        let shared = kilobytes(postmaster, "VmSize:").expect("it runs");
        let stop: Arc<AtomicBool> = Arc::default();
        let stopped = stop.clone();
        let looker = std::thread::spawn(move || {
            let children = format!("/proc/{postmaster}/task/{postmaster}/children");
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                let children = std::fs::read_to_string(&children).unwrap_or_default();
                for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                    // The kernel keeps the largest size of each.
                    let size = kilobytes(child, "VmPeak:").unwrap_or_default();
                    peak = peak.max(size.saturating_sub(shared));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        Self { stop, looker }
    }

    fn megabytes(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.looker.join().expect("it looks") >> 10
    }
}

/// A figure of a process; `None` if it has ended.
fn kilobytes(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Seconds that COPY of both sides takes, side by side.
async fn copy_both(url: &str) -> f64 {
    let began = Instant::now();
    let copy = async |what: &str| {
        let mut connection = pg::connect(url).await.expect("the server is up");
        let copy = format!("COPY (SELECT * FROM {what}) TO '/dev/null' (FORMAT binary)");
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut connection).await.expect("it is read");
    };
    tokio::join!(copy("ledger"), copy("ledger_partitioned"));
    began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_leaves_cost_no_backend_more_than_300_mb() {
    let server = support::start_server();
    let url = server.database_url();
    daily(url, 2_000, 400_000).await;
    support::execute(url, "VACUUM ANALYZE").await;
    let read = Options { probe: false, ..Options::default() };
    let copied = copy_both(url).await.min(copy_both(url).await);
    for digest in BOTH {
        let peak = Peak::watch(&server);
        let began = Instant::now();
        let options = Options { digest, ..Options::default() };
        let (evidence, findings) = compare(url, &ledger(), &options).await;
        let took = began.elapsed().as_secs_f64();
        let peak = peak.megabytes();
        let times = took / copied;
        eprintln!("{digest:?}: {took:.2} s, {times:.1} times COPY of both sides, {peak} MB");
        assert!((1..BACKEND_MEGABYTES).contains(&peak), "{digest:?}: {peak} MB");
        assert!(evidence.complete && !evidence.has_differences(), "{findings:?}");
        assert_eq!(evidence.tables[0].partitioned_rows, 400_000);
        // The triggers were tried, and all is carried; on a machine that is too busy for a try it says so.
        let busy = |finding: &Finding| {
            finding
                .detail
                .as_deref()
                .is_some_and(|why| why.contains("longer than a row may be held"))
        };
        let unknown = |finding: &Finding| {
            finding.class == CatalogClass::TriggerCoverageUnknown.into() && !busy(finding)
        };
        assert!(!findings.iter().any(unknown), "{findings:?}");
    }
    // A third of the orgs differ: their rows are read and brought together.
    let fault =
        "UPDATE ledger_partitioned SET amount = amount + 1 WHERE org_id % 3 = 0 AND id < 100000";
    support::execute(url, fault).await;
    for digest in BOTH {
        let peak = Peak::watch(&server);
        let (evidence, _) = compare(url, &ledger(), &Options { digest, ..read.clone() }).await;
        let peak = peak.megabytes();
        assert!((1..BACKEND_MEGABYTES).contains(&peak), "{digest:?}: {peak} MB");
        assert_eq!(evidence.tables[0].counts.mismatched, 33_200, "{digest:?}");
        assert!(evidence.complete);
    }
}

/// Each kind of difference, of which one needs rows of orgs that nobody asked for.
const FAULTS: &str = "
    ALTER TABLE ledger DISABLE TRIGGER carry;
    DELETE FROM ledger_partitioned WHERE id = 3;
    INSERT INTO ledger_partitioned VALUES (900001, 7, current_date, 1, 'extra');
    UPDATE ledger_partitioned SET amount = amount + 1 WHERE id = 5;
    UPDATE ledger_partitioned SET org_id = 400 WHERE id = 10;
    INSERT INTO ledger_partitioned SELECT id, org_id, day - 1, amount, note FROM ledger WHERE id = 12;
    CREATE TABLE forged (LIKE ledger_partitioned);
    DELETE FROM ledger_partitioned WHERE id = 14;
    INSERT INTO forged SELECT * FROM ledger WHERE id = 14;
    ALTER TABLE forged ADD CONSTRAINT bounds
        CHECK (day IS NOT NULL AND day >= '1990-01-01' AND day < '1990-02-01') NOT VALID;
    UPDATE pg_constraint SET convalidated = true WHERE conname = 'bounds';
    ALTER TABLE ledger_partitioned
        ATTACH PARTITION forged FOR VALUES FROM ('1990-01-01') TO ('1990-02-01');
    ALTER TABLE ledger ENABLE ALWAYS TRIGGER carry";

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_in_one_of_many_leaves_is_found_alike_by_both_ways() {
    let database = support::database();
    daily(&database.url, 300, 6_000).await;
    support::execute(&database.url, FAULTS).await;
    let wanted = [
        "duplicate 12",
        "extra 900001",
        "mismatched 5",
        "misrouted 14",
        "missing 3",
        "wrong_org 10",
    ];
    for digest in BOTH {
        let options = Options { digest, probe: false, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &ledger(), &options).await;
        let rows = findings.iter().filter(|finding| finding.severity.is_none());
        let mut found: Vec<String> = rows.map(key).collect();
        found.sort();
        assert_eq!(found, wanted, "{digest:?}");
        assert!(evidence.complete && evidence.orgs_checked == 500, "{evidence:?}");
        // Only the org that legacy holds the row under: its counterpart comes by its key.
        let options = Options { orgs: Some(vec!["11".into()]), ..options };
        let (evidence, findings) = compare(&database.url, &ledger(), &options).await;
        let rows = findings.iter().filter(|finding| finding.severity.is_none());
        assert_eq!(rows.map(key).collect::<Vec<_>>(), ["wrong_org 10"], "{digest:?}");
        assert!(evidence.complete);
    }
}
