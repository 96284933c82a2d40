//! Every row of a pair, summed up per org.
//!
//! By the *client* method both sides come by binary COPY and every row is hashed in our process; by
//! the *server* method the server sums its hashes and only orgs that differ come over the wire. Both
//! go the same way: `chunks` says what each statement reads, workers take chunk after chunk and
//! `decode` adds the rows to their `digest`. `epochs` keeps snapshots short where that is asked
//! for or somebody waits, `checkpoint` remembers finished chunks, `throttle` holds back.

mod checkpoint;
mod chunks;
mod decode;
mod digest;
mod epochs;
mod sql;
mod throttle;
mod worker;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use checkpoint::Checkpoints;
pub(super) use digest::{Digests, OrgKey, OrgState, Secret};
pub(super) use epochs::{Epochs, Reader};
pub(super) use sql::count_orgs;
pub use throttle::Throttle;

use self::chunks::{Chunk, chunks, halves, new_leaves};
use self::decode::Decoder;
use self::throttle::Pace;
use self::worker::{Stop, Until, Worker};
use super::options::Options;
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use super::tables::Tables;
use cutover_error::{Error, Result};
use cutover_ground::act::{ActContext, Event};

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

/// How a pair is read.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) method: Method,
    pub(super) secret: &'a Secret,
    /// Whether the server lists orgs that agree, too.
    pub(super) all_orgs: bool,
    /// Connections that read at once.
    pub(super) connections: usize,
    pub(super) throttle: Option<Throttle>,
}

/// What is to be read, and how.
#[derive(Clone, Copy)]
struct Job<'a> {
    plan: &'a PairPlan,
    rows: Rows<'a>,
    method: Method,
    secret: &'a Secret,
    all_orgs: bool,
    connections: usize,
}

impl<'a> Request<'a> {
    /// A whole pair, as the options ask for it.
    pub(super) fn asked(options: &'a Options, method: Method, secret: &'a Secret) -> Self {
        Self {
            rows: Rows::asked(options),
            method,
            secret,
            all_orgs: options.all_orgs,
            connections: options.connections,
            throttle: options.throttle,
        }
    }

    fn on<'p>(&self, plan: &'p PairPlan) -> Job<'p>
    where
        'a: 'p,
    {
        let Self { rows, method, secret, all_orgs, connections, .. } = *self;
        Job { plan, rows, method, secret, all_orgs, connections }
    }
}

/// How the reading of a pair has ended.
pub(super) enum Scan<K> {
    Done(Box<Scanned<K>>),
    /// Somebody waited for the one snapshot on which it was to be read, or the tables are others now.
    GivenUp,
    /// The tables changed so that what is found says too little; how.
    Changed(String),
}

/// The sums of a pair.
pub(super) struct Scanned<K> {
    pub(super) digests: Digests<K>,
    /// Whether all of it was read on the snapshot of the moment; otherwise what differs may be the
    /// work of a writer in between.
    pub(super) on_one_snapshot: bool,
}

/// How often a pair is read from its beginning because a part of what was read is no longer there.
const RESTARTS: u32 = 3;
/// How often it is looked how old the snapshot is.
const AGE_INTERVAL: Duration = Duration::from_millis(500);

/// Reads pair number `pair`; what `checkpoints` hold of it is not read again. Without checkpoints everything is
/// read on the snapshot of the moment.
///
/// # Errors
/// A run error if the server fails, [`Error::Interrupted`] when asked to stop.
pub(super) async fn scan<K: OrgKey>(
    request: Request<'_>,
    (tables, pair): (&mut Tables<'_>, usize),
    mut checkpoints: Option<&mut Checkpoints>,
    epochs: &mut Epochs,
    context: &ActContext,
) -> Result<Scan<K>> {
    for _ in 0..=RESTARTS {
        let attempt =
            Attempt { request, pair, context, tables: &mut *tables, epochs: &mut *epochs };
        let ended = attempt.read::<K>(checkpoints.as_deref_mut()).await?;
        let Err(what) = ended else { return Ok(ended.unwrap_or(Scan::GivenUp)) };
        let Some(checkpoints) = &mut checkpoints else { return Ok(Scan::GivenUp) };
        tracing::debug!(what, "reading from the beginning");
        context.note(format!("{what}: the pair is read from its beginning"));
        checkpoints.forget(pair)?;
        epochs.renew().await?;
        tables.look_again(pair).await?;
    }
    let what = "its partitions were rewritten, emptied, detached or dropped again and again";
    Ok(Scan::Changed(what.into()))
}

/// What was read on one snapshot.
#[derive(Default)]
struct Epoch {
    /// Chunks that were given up.
    given_up: Vec<Chunk>,
    /// Whether there was one that cannot be forgotten.
    spoilt: bool,
    /// What the reading was ended by from outside, if it was.
    ended: Option<Error>,
    /// How many chunks were read.
    done: u64,
}

/// One reading from the beginning, or from what an earlier run left.
struct Attempt<'s, 't> {
    request: Request<'s>,
    pair: usize,
    context: &'s ActContext,
    tables: &'s mut Tables<'t>,
    epochs: &'s mut Epochs,
}

impl Attempt<'_, '_> {
    /// The inner error says why it has to be made again from the beginning.
    async fn read<K: OrgKey>(
        mut self,
        checkpoints: Option<&mut Checkpoints>,
    ) -> Result<std::result::Result<Scan<K>, String>> {
        let (finished, mut digests) = match &checkpoints {
            Some(checkpoints) => checkpoints.restore(self.pair)?,
            None => Default::default(),
        };
        let renews = checkpoints.is_some();
        if renews && (self.epochs.is_over() || self.epochs.given_up().is_cancelled()) {
            self.epochs.renew().await?;
        }
        let first_epoch = self.epochs.count();
        self.context.emit(Event::Advanced(digests.totals.rows.iter().sum()));
        let (queue, mut workers) = self.begin(&finished, checkpoints);
        loop {
            let read = self.read_epoch(&mut workers, renews).await;
            let changes = self.tables.changes(self.pair).await?;
            if !changes.altered.is_empty() {
                return Ok(Ok(Scan::Changed(changes.words())));
            }
            if !changes.moved.is_empty() {
                return Ok(Err(changes.words()));
            }
            // Else it is a failure of its own.
            let Epoch { given_up, spoilt, ended, done } = read?;
            if spoilt {
                return Ok(Err("somebody waited for a chunk that cannot be divided".into()));
            }
            if done > 0 {
                self.epochs.has_gone_on();
            }
            if let Some(error) = ended {
                self.epochs.was_ended(error)?;
            }
            if !renews && !given_up.is_empty() {
                return Ok(Ok(Scan::GivenUp));
            }
            self.put_back(&queue, given_up);
            // What was attached since the snapshot is not a part of what it shows.
            if renews && changes.added {
                self.add_leaves(&queue).await?;
            }
            if queue.lock().expect("no panic while held").is_empty() {
                break;
            }
            if !renews {
                return Ok(Ok(Scan::GivenUp));
            }
            self.epochs.renew().await?;
        }
        for worker in workers {
            digests.merge(worker.digests);
        }
        let on_one_snapshot = finished.is_empty() && self.epochs.count() == first_epoch;
        Ok(Ok(Scan::Done(Box::new(Scanned { digests, on_one_snapshot }))))
    }

    fn begin<K: OrgKey>(
        &self,
        finished: &HashSet<String>,
        mut checkpoints: Option<&mut Checkpoints>,
    ) -> (Arc<Mutex<VecDeque<Chunk>>>, Vec<Worker<K>>) {
        let job = self.request.on(&self.tables.plans[self.pair]);
        let chunks = chunks(&job, finished);
        tracing::debug!(
            pair = job.plan.name,
            chunks = chunks.len(),
            finished = finished.len(),
            connections = job.connections,
            "reading"
        );
        let queue = Arc::new(Mutex::new(chunks));
        let pace = Arc::new(Pace::new(self.request.throttle));
        let worker = |_| Worker {
            queue: queue.clone(),
            pace: pace.clone(),
            decoder: Decoder::of(&job),
            digests: Digests::default(),
            checkpoint: checkpoints.as_mut().map(|checkpoints| checkpoints.file(self.pair)),
            context: self.context.clone(),
            done: 0,
        };
        let workers = (0..job.connections.max(1)).map(worker).collect();
        (queue, workers)
    }

    /// Reads on the snapshot of the moment until nothing is left or it is to end.
    async fn read_epoch<K: OrgKey>(
        &mut self,
        workers: &mut Vec<Worker<K>>,
        renews: bool,
    ) -> Result<Epoch> {
        let until = Until {
            given_up: self.epochs.given_up(),
            over: CancellationToken::new(),
            end: renews.then(|| self.epochs.end()),
        };
        let patience = patience(&self.request);
        let (mut reading, mut epoch) = (JoinSet::new(), Epoch::default());
        let mut readers = Vec::new();
        for _ in &*workers {
            match self.epochs.reader(patience).await {
                Ok(reader) => readers.push(reader),
                Err(error) => return Ok(Epoch { ended: Some(error), ..epoch }),
            }
        }
        let done = |workers: &[Worker<K>]| workers.iter().map(|worker| worker.done).sum::<u64>();
        let before = done(workers);
        for (worker, reader) in workers.drain(..).zip(readers) {
            reading.spawn(worker.read(reader, until.clone()));
        }
        let mut age = tokio::time::interval(AGE_INTERVAL);
        while !reading.is_empty() {
            let joined = tokio::select! {
                joined = reading.join_next() => joined,
                _ = age.tick() => {
                    self.epochs.look_at_age(self.context);
                    if renews && self.epochs.is_over() {
                        until.over.cancel();
                    }
                    continue;
                }
            };
            let Some(joined) = joined else { break };
            let crashed = |e| Error::run(format!("a reader of the diff crashed: {e}"), "");
            let (worker, stop) = joined.map_err(crashed)??;
            match stop {
                Stop::Worn => match self.epochs.reader(patience).await {
                    Ok(reader) => {
                        reading.spawn(worker.read(reader, until.clone()));
                        continue;
                    }
                    Err(error) => epoch.ended = Some(error),
                },
                Stop::GivenUp(chunk) => epoch.given_up.push(*chunk),
                Stop::Ended(chunk, error) => {
                    epoch.given_up.push(*chunk);
                    epoch.ended = Some(error);
                }
                Stop::Spoilt => epoch.spoilt = true,
                Stop::Done => {}
            }
            if epoch.ended.is_some() {
                until.over.cancel();
            }
            workers.push(worker);
        }
        Ok(Epoch { done: done(workers) - before, ..epoch })
    }

    /// In smaller pieces, so that some of them come to their end however often others wait for us.
    fn put_back(&self, queue: &Mutex<VecDeque<Chunk>>, given_up: Vec<Chunk>) {
        let job = self.request.on(&self.tables.plans[self.pair]);
        let mut queue = queue.lock().expect("no panic while held");
        for chunk in given_up.into_iter().flat_map(|chunk| halves(&job, chunk)).rev() {
            queue.push_front(chunk);
        }
    }

    async fn add_leaves(&mut self, queue: &Mutex<VecDeque<Chunk>>) -> Result<()> {
        let plan = &self.tables.plans[self.pair];
        let known = Side::BOTH.into_iter().flat_map(|side| plan.leaves(side));
        let known: HashSet<i64> = known.map(|leaf| leaf.oid).collect();
        self.tables.look_again(self.pair).await?;
        let job = self.request.on(&self.tables.plans[self.pair]);
        let new = new_leaves(&job, &known);
        tracing::debug!(chunks = new.len(), "partitions were added");
        queue.lock().expect("no panic while held").extend(new);
        Ok(())
    }
}

/// How many times the ordinary patience a statement deserves.
fn patience(request: &Request<'_>) -> u32 {
    let all_rows = request.rows.orgs.is_none() && request.rows.since.is_none();
    if request.method == Method::Client && all_rows { 1 } else { PATIENCE_WITH_WORK }
}

/// Tells comparisons apart: sums of one do not add up with those of another.
pub(super) fn identity(
    server: Option<&str>,
    plans: &[PairPlan],
    rows: Rows<'_>,
    method: Method,
) -> u128 {
    // What the files hold has changed once.
    let mut text = format!("2 {method:?} {server:?}");
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
