//! Every row of a pair, summed up per org.
//!
//! By the *client* method both sides come by binary COPY and every row is hashed in our process; by
//! the *server* method the server sums its hashes and only orgs that differ come over the wire. Both
//! go the same way: `chunks` says what each statement reads, workers take chunk after chunk and
//! `decode` adds the rows to their `digest`. `epochs` keeps snapshots short where that is asked
//! for, `checkpoint` remembers finished chunks, `throttle` holds back.

mod checkpoint;
mod chunks;
mod decode;
mod digest;
mod epochs;
mod sql;
mod throttle;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::JoinSet;

pub(super) use checkpoint::Checkpoints;
pub(super) use digest::{Digests, OrgKey, OrgState, Secret};
pub(super) use epochs::Epochs;
pub(super) use sql::count_orgs;
pub use throttle::Throttle;

use self::checkpoint::Checkpoint;
use self::chunks::{Chunk, chunks};
use self::decode::Decoder;
use self::throttle::{Amount, Pace};
use super::options::Options;
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use cutover_error::{Error, Result};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::pg::CopyConnection;

/// How many times as long a statement may take that works before it sends its first row.
pub(super) const PATIENCE_WITH_WORK: u32 = 30;

/// Where rows are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// In our process.
    Client,
    /// In the server.
    Server,
}

/// What is to be read, and how.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) plan: &'a PairPlan,
    pub(super) rows: Rows<'a>,
    pub(super) method: Method,
    pub(super) secret: &'a Secret,
    /// Whether the server lists orgs that agree, too.
    pub(super) all_orgs: bool,
    /// Connections that read at once.
    pub(super) connections: usize,
    pub(super) throttle: Option<Throttle>,
}

impl<'a> Job<'a> {
    /// A whole pair, as the options ask for it.
    pub(super) fn asked(
        options: &'a Options,
        plan: &'a PairPlan,
        method: Method,
        secret: &'a Secret,
    ) -> Self {
        Self {
            plan,
            rows: Rows::asked(options),
            method,
            secret,
            all_orgs: options.all_orgs,
            connections: options.connections,
            throttle: options.throttle,
        }
    }
}

/// The sums of a pair.
pub(super) struct Scanned<K> {
    pub(super) digests: Digests<K>,
    /// Whether all of it was read on the snapshot of the moment; otherwise what differs may be the
    /// work of a writer in between.
    pub(super) on_one_snapshot: bool,
}

/// Reads a pair; what `checkpoints` hold of pair number `pair` is not read again. Without
/// checkpoints everything is read on the snapshot of the moment, however long it takes.
///
/// # Errors
/// A run error if the server fails, [`Error::Interrupted`] when asked to stop.
pub(super) async fn scan<K: OrgKey>(
    job: Job<'_>,
    mut checkpoints: Option<(&mut Checkpoints, usize)>,
    epochs: &mut Epochs,
    context: &ActContext,
) -> Result<Scanned<K>> {
    let (finished, mut digests) = match &checkpoints {
        Some((checkpoints, pair)) => checkpoints.restore(*pair)?,
        None => Default::default(),
    };
    if checkpoints.is_some() && Instant::now() >= epochs.end() {
        epochs.renew().await?;
    }
    let first_epoch = epochs.count();
    context.emit(Event::Advanced(digests.totals.rows.iter().sum()));
    let chunks = chunks(&job, &finished);
    tracing::debug!(
        pair = job.plan.name,
        chunks = chunks.len(),
        finished = finished.len(),
        connections = job.connections,
        "reading"
    );
    let queue = Arc::new(Mutex::new(chunks));
    let pace = Arc::new(Pace::new(job.throttle));
    let mut workers: Vec<Worker<K>> = (0..job.connections.max(1))
        .map(|_| Worker {
            queue: queue.clone(),
            pace: pace.clone(),
            decoder: Decoder::of(&job),
            digests: Digests::default(),
            checkpoint: checkpoints.as_mut().map(|(checkpoints, pair)| checkpoints.file(*pair)),
            context: context.clone(),
        })
        .collect();
    loop {
        let end = checkpoints.is_some().then(|| epochs.end());
        let mut reading = JoinSet::new();
        for worker in workers.drain(..) {
            let connection = epochs.reader().await?.more_patient(patience(&job));
            reading.spawn(worker.read(connection, end));
        }
        while let Some(outcome) = reading.join_next().await {
            let crashed = |e| Error::run(format!("a reader of the diff crashed: {e}"), "");
            workers.push(outcome.map_err(crashed)??);
        }
        if queue.lock().expect("no panic while held").is_empty() {
            break;
        }
        epochs.renew().await?;
    }
    for worker in workers {
        digests.merge(worker.digests);
    }
    let on_one_snapshot = finished.is_empty() && epochs.count() == first_epoch;
    Ok(Scanned { digests, on_one_snapshot })
}

/// How many times the ordinary patience a statement deserves.
fn patience(job: &Job<'_>) -> u32 {
    let sends_every_row =
        job.method == Method::Client && job.rows.orgs.is_none() && job.rows.since.is_none();
    if sends_every_row { 1 } else { PATIENCE_WITH_WORK }
}

/// Takes chunk after chunk.
struct Worker<K> {
    queue: Arc<Mutex<VecDeque<Chunk>>>,
    pace: Arc<Pace>,
    decoder: Decoder,
    digests: Digests<K>,
    checkpoint: Option<Checkpoint>,
    context: ActContext,
}

impl<K: OrgKey> Worker<K> {
    /// Reads until nothing is left, or until the first chunk that is done after `end`.
    async fn read(mut self, mut connection: CopyConnection, end: Option<Instant>) -> Result<Self> {
        loop {
            // Taken in a statement of its own, so that the lock is not held while reading.
            let chunk = self.queue.lock().expect("no panic while held").pop_front();
            let Some(chunk) = chunk else { break };
            let owed = self.read_chunk(&chunk, &mut connection).await?;
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.finished(chunk.label, &self.decoder.secret, &mut self.digests)?;
            }
            self.pace.pay(owed).await;
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
        }
        self.digests.settle();
        connection.close().await;
        Ok(self)
    }

    /// Returns what was read last and is not yet paid for, so that a chunk that is done can be saved
    /// before that.
    async fn read_chunk(
        &mut self,
        chunk: &Chunk,
        connection: &mut CopyConnection,
    ) -> Result<Amount> {
        let mut owed = Amount::default();
        let mut reader = connection.copy(&chunk.statement, &chunk.what).await?;
        while reader.more().await? {
            self.pace.pay(std::mem::take(&mut owed)).await;
            while let Some(row) = reader.row_at_hand()? {
                owed.bytes += row.len() as u64;
                owed.rows += self.decoder.add(chunk, row, &mut self.digests)?;
            }
            self.context.emit(Event::Advanced(owed.rows));
            self.context.check_stop()?;
        }
        Ok(owed)
    }
}

/// Tells comparisons apart: sums of one do not add up with those of another.
pub(super) fn identity(
    server: Option<&str>,
    plans: &[PairPlan],
    rows: Rows<'_>,
    method: Method,
) -> u128 {
    let mut text = format!("{method:?} {server:?}");
    for plan in plans {
        for side in Side::BOTH {
            text += &sql::rows(plan, side, None, None, rows);
            for leaf in plan.leaves(side) {
                text += &format!(" {}.{}", leaf.oid, leaf.file);
            }
        }
    }
    xxhash_rust::xxh3::xxh3_128(text.as_bytes())
}
