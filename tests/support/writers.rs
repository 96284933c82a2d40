//! Sessions that write into the reference tables, each write carried to the twin by the triggers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cutover::pg;
use sqlx::{AssertSqlSafe, Executor};
use tokio::task::JoinHandle;

/// Sessions that write at once.
const SESSIONS: u64 = 3;

/// Between the writes of a session: some hundred writes a second each, with room for whoever reads.
const PAUSE: Duration = Duration::from_millis(1);

/// Correct writes of every kind, one after the other.
pub struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    since: Instant,
    sessions: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Returns when they are well under way.
    pub async fn start(url: &str) -> Self {
        // Their ids are their own; the sequence must not fall behind them.
        super::execute(url, "SELECT setval('revenue_transactions_id_seq', 1000000000)").await;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let session = |n| tokio::spawn(write(url.to_owned(), n, stop.clone(), written.clone()));
        let sessions = (0..SESSIONS).map(session).collect();
        let writers = Self { stop, written, since: Instant::now(), sessions };
        writers.more(30).await;
        writers
    }

    /// Writes so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits for so many writes from now.
    pub async fn more(&self, writes: u64) {
        let end = self.written() + writes;
        while self.written() < end {
            assert!(!self.sessions.iter().any(JoinHandle::is_finished), "a writer broke");
            tokio::task::yield_now().await;
        }
    }

    /// Ends them, and says how many writes there were in a second.
    pub async fn stop(self) -> f64 {
        let per_second = self.written() as f64 / self.since.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        for session in self.sessions {
            session.await.expect("no writer broke");
        }
        per_second
    }
}

async fn write(url: String, writer: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut connection = pg::connect(&url).await.expect("the server is up");
    for turn in 1.. {
        for statement in statements(writer, turn) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            connection.execute(AssertSqlSafe(statement)).await.expect("a correct write");
            written.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Each writer has rows of its own, so that none waits for another's lock; what it made goes again a
/// few turns later, so that the tables do not grow however long it writes.
fn statements(writer: u64, turn: u64) -> [String; 8] {
    const TURNS: u64 = 20;
    let (id, org) = (1_000_000 * (writer + 1) + turn, turn % 7 + 1);
    let (moved, deleted) = (id.saturating_sub(TURNS / 2), id.saturating_sub(TURNS));
    let one_of_old = 10_000 + turn * 7919 % 6_000 * SESSIONS + writer;
    let day = |turn: u64| format!("date '2020-01-01' + {}", turn % 10_000);
    let table = "revenue_transactions";
    [
        format!(
            "INSERT INTO {table} (id, org_id, date, amount)
             VALUES ({id}, {org}, current_date - {}, {turn})",
            turn % 60
        ),
        format!("UPDATE {table} SET date = date - 31 WHERE id = {moved}"),
        format!("UPDATE {table} SET org_id = {org} + 1 WHERE id = {moved}"),
        format!("DELETE FROM {table} WHERE id = {deleted}"),
        format!(
            "UPDATE {table} SET date = current_date - {}, amount = amount + 1 WHERE id = {one_of_old}",
            turn % 90
        ),
        format!("DELETE FROM {table} WHERE id = {one_of_old} AND id % 4 = 0"),
        format!(
            "INSERT INTO daily_cash_balances (org_id, property_id, balance_date, opening, closing)
             VALUES ({org}, {writer} + 2, {}, 1, 2)",
            day(turn)
        ),
        format!(
            "DELETE FROM daily_cash_balances
              WHERE property_id = {writer} + 2 AND balance_date = {}",
            day(turn + 10_000 - TURNS)
        ),
    ]
}
