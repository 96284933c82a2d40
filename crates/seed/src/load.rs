//! Chunks into tables: several connections, each generating its next chunk while it sends one.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use sqlx::postgres::PgCopyIn;
use sqlx::{Connection, PgConnection};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::chunk::{Chunk, TableChunk};
use super::ledger::{self, Loaded};
use super::plan::Plan;
use super::{Replicate, sql};
use cutover_error::{Context, Error, Result};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::pg;

/// Bytes of a message: a compromise between calls and memory.
const MESSAGE_BYTES: usize = 256 * 1024;

/// What is loaded, and where to.
pub struct Target {
    /// What to generate.
    pub plan: Arc<Plan>,
    /// The database.
    pub database_url: String,
    /// How the twins are filled.
    pub replicate: Replicate,
    /// The lock every loading connection holds.
    pub loader_lock: i64,
    /// Progress and the sign to stop.
    pub context: ActContext,
}

/// What the loading connections share.
pub struct Job {
    target: Target,
    /// Ranges of orgs still to load.
    pending: Mutex<VecDeque<Range<u64>>>,
    /// What was loaded, earlier runs included.
    loaded: Mutex<Loaded>,
    sent_bytes: AtomicU64,
    began: Instant,
    /// Cancelled by whichever connection fails first.
    failed: CancellationToken,
}

impl Job {
    /// A job that has not begun.
    pub fn new(target: Target, pending: VecDeque<Range<u64>>, loaded: Loaded) -> Self {
        Self {
            failed: target.context.stop.child_token(),
            target,
            pending: Mutex::new(pending),
            loaded: Mutex::new(loaded),
            sent_bytes: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// What is loaded by now.
    pub fn loaded(&self) -> Loaded {
        self.loaded.lock().expect("no panic while held").clone()
    }

    /// Loads all that is pending.
    ///
    /// # Errors
    /// The first connection's error; [`Error::Interrupted`] if a signal asked us to stop. What
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
        let mut connection = pg::connect(&self.target.database_url).await?;
        let set = sqlx::raw_sql(sql::LOADER_SESSION).execute(&mut connection).await;
        set.or_run("cannot prepare a loading session", "")?;
        sqlx::query(sql::LOCK_SHARED)
            .bind(self.target.loader_lock)
            .execute(&mut connection)
            .await
            .or_run("cannot take the lock of the loaders", "")?;
        let mut ahead = self.generate(Chunk::default());
        let mut spare = Chunk::default();
        let mut message = Vec::with_capacity(MESSAGE_BYTES);
        while let Some(task) = ahead {
            let chunk = task.await.or_run("the generator broke", "")?;
            ahead = self.generate(spare);
            self.send(&mut connection, &chunk, &mut message).await?;
            spare = chunk;
        }
        Ok(())
    }

    /// Begins to generate the next pending range; `None` if there is none.
    fn generate(&self, mut chunk: Chunk) -> Option<JoinHandle<Chunk>> {
        let orgs = self.pending.lock().expect("no panic while held").pop_front()?;
        let plan = self.target.plan.clone();
        Some(tokio::task::spawn_blocking(move || {
            chunk.fill(&plan, orgs);
            chunk
        }))
    }

    /// Loads one chunk into every table, and notes it, in one transaction.
    async fn send(
        &self,
        connection: &mut PgConnection,
        chunk: &Chunk,
        message: &mut Vec<u8>,
    ) -> Result<()> {
        let what = format!("cannot load the orgs {} to {}", chunk.orgs.start, chunk.orgs.end - 1);
        let mut transaction = connection.begin().await.or_run(&what, "")?;
        for (table, rows) in self.target.plan.tables.iter().zip(&chunk.tables) {
            for side in table.sides() {
                let twin = table.partitioned.as_ref() == Some(side);
                if rows.totals.rows == 0 || (twin && self.target.replicate == Replicate::Trigger) {
                    continue;
                }
                let place = format!("{what}: {side}");
                let copy = transaction.copy_in_raw(&sql::copy(table, side)).await;
                let taken = self.copy(copy.or_run(&place, "")?, rows, message, &place).await?;
                if taken != rows.totals.rows {
                    let what = format!("{side} took {taken} of {} rows", rows.totals.rows);
                    return Err(Error::run(what, "does a BEFORE trigger drop rows?"));
                }
                self.tell(rows.stream_bytes(), taken);
            }
        }
        let totals: Vec<_> = chunk.tables.iter().map(|table| table.totals).collect();
        ledger::write_chunk(&mut transaction, chunk.orgs.start, &totals).await?;
        transaction.commit().await.or_run(&what, "")?;
        self.loaded.lock().expect("no panic while held").insert(chunk.orgs.start, totals);
        Ok(())
    }

    /// Sends the rows of one table; returns how many the server took.
    async fn copy(
        &self,
        mut copy: PgCopyIn<&mut PgConnection>,
        rows: &TableChunk,
        message: &mut Vec<u8>,
        place: &str,
    ) -> Result<u64> {
        message.clear();
        for piece in rows.stream() {
            if message.len() + piece.len() > MESSAGE_BYTES && !message.is_empty() {
                if self.failed.is_cancelled() {
                    copy.abort("stopped").await.or_run(place, "")?;
                    return Err(Error::Interrupted);
                }
                copy.send(message.as_slice()).await.or_run(place, "")?;
                message.clear();
            }
            message.extend_from_slice(piece);
        }
        copy.send(message.as_slice()).await.or_run(place, "")?;
        copy.finish().await.or_run(place, "")
    }

    fn tell(&self, bytes: usize, rows: u64) {
        let sent = self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        let rate = sent as f64 / 1e6 / self.began.elapsed().as_secs_f64().max(0.001);
        self.target.context.emit(Event::Advanced(rows));
        self.target.context.emit(Event::Status(format!("{rate:.0} MB/s")));
    }
}
