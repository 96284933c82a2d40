//! Chunks into tables: several connections, each generating its next chunk while it sends one.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use sqlx::{Connection, PgConnection};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::chunk::Chunk;
use super::ledger::{self, Loaded};
use super::plan::Plan;
use super::{Replicate, sql};
use crate::act::{ActContext, Event};
use crate::error::{Context, Error, Result};
use crate::pg;

/// Bytes handed to the driver at once: a compromise between calls and the driver's buffer.
const SEND_BYTES: usize = 256 * 1024;

/// What the loading connections share.
pub struct Job {
    /// What to generate.
    pub plan: Arc<Plan>,
    /// Where to.
    pub database_url: String,
    /// How the twins are filled.
    pub replicate: Replicate,
    /// Ranges of orgs still to load.
    pub pending: Mutex<VecDeque<Range<u64>>>,
    /// What was loaded, earlier runs included.
    pub loaded: Mutex<Loaded>,
    /// Progress and the sign to stop.
    pub context: ActContext,
    sent_bytes: AtomicU64,
    began: Instant,
    /// Cancelled by whichever connection fails first.
    failed: CancellationToken,
}

impl Job {
    /// A job that has not begun.
    pub fn new(
        plan: Arc<Plan>,
        database_url: &str,
        replicate: Replicate,
        pending: VecDeque<Range<u64>>,
        loaded: Loaded,
        context: ActContext,
    ) -> Self {
        Self {
            plan,
            database_url: database_url.to_owned(),
            replicate,
            pending: Mutex::new(pending),
            loaded: Mutex::new(loaded),
            failed: context.stop.child_token(),
            context,
            sent_bytes: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Loads all that is pending.
    ///
    /// # Errors
    /// The first connection's error; [`Error::Interrupted`] where a signal asked us to stop. What
    /// was committed stays, and stays noted.
    pub async fn run(self: &Arc<Self>, connections: usize) -> Result<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let job = self.clone();
            tasks.spawn(async move {
                let outcome = job.work().await;
                if outcome.is_err() {
                    job.failed.cancel();
                }
                outcome
            });
        }
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            match ended.or_run("a loading connection broke", "")? {
                // The others stop because one failed: its error is the one to tell.
                Err(error) if matches!(outcome, Ok(()) | Err(Error::Interrupted)) => {
                    outcome = Err(error);
                }
                _ => {}
            }
        }
        outcome
    }

    async fn work(self: &Arc<Self>) -> Result<()> {
        let mut connection = pg::connect(&self.database_url).await?;
        let set = sqlx::raw_sql(sql::LOADER_SESSION).execute(&mut connection).await;
        set.or_run("cannot prepare a loading session", "")?;
        let mut ahead = self.generate(Chunk::default());
        let mut spare = Chunk::default();
        while let Some(task) = ahead {
            let chunk = task.await.or_run("the generator broke", "")?;
            ahead = self.generate(spare);
            self.send(&mut connection, &chunk).await?;
            spare = chunk;
        }
        Ok(())
    }

    /// Begins to generate the next pending range; `None` where there is none.
    fn generate(&self, mut chunk: Chunk) -> Option<JoinHandle<Chunk>> {
        let orgs = self.pending.lock().expect("no panic while held").pop_front()?;
        let plan = self.plan.clone();
        Some(tokio::task::spawn_blocking(move || {
            chunk.fill(&plan, orgs);
            chunk
        }))
    }

    /// Loads one chunk into every table, and notes it, in one transaction.
    async fn send(&self, connection: &mut PgConnection, chunk: &Chunk) -> Result<()> {
        let what =
            || format!("cannot load the orgs {} to {}", chunk.orgs.start, chunk.orgs.end - 1);
        let mut transaction = connection.begin().await.or_run(what(), "")?;
        for (table, bytes) in self.plan.tables.iter().zip(&chunk.tables) {
            for side in table.sides() {
                let twin = table.partitioned.as_ref() == Some(side);
                if bytes.totals.rows == 0 || (twin && self.replicate == Replicate::Trigger) {
                    continue;
                }
                let statement = sql::copy(table, side);
                let place = || format!("{}: {side}", what());
                let mut copy = transaction.copy_in_raw(&statement).await.or_run(place(), "")?;
                for part in bytes.stream.chunks(SEND_BYTES) {
                    if self.failed.is_cancelled() {
                        copy.abort("stopped").await.or_run(place(), "")?;
                        return Err(Error::Interrupted);
                    }
                    copy.send(part).await.or_run(place(), "")?;
                }
                let rows = copy.finish().await.or_run(place(), "")?;
                if rows != bytes.totals.rows {
                    let what = format!("{side} took {rows} of {} rows", bytes.totals.rows);
                    return Err(Error::run(what, "does a BEFORE trigger drop rows?"));
                }
                self.tell(bytes.stream.len(), rows);
            }
        }
        let totals: Vec<_> = chunk.tables.iter().map(|table| table.totals).collect();
        ledger::write_chunk(&mut transaction, chunk.orgs.start, &totals).await?;
        transaction.commit().await.or_run(what(), "")?;
        self.loaded.lock().expect("no panic while held").insert(chunk.orgs.start, totals);
        Ok(())
    }

    fn tell(&self, bytes: usize, rows: u64) {
        let sent = self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let rate = sent as f64 / 1e6 / self.began.elapsed().as_secs_f64().max(0.001);
        self.context.emit(Event::Advanced(rows));
        self.context.emit(Event::Status(format!("{rate:.0} MB/s")));
    }
}
