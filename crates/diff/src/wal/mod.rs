//! The write-ahead oracle: does each committed transaction change both sides alike?
//!
//! A comparison sees what is there; the log sees how it came about. A logical slot hands out every
//! transaction as it commits, and what it did to legacy has to equal what it did to the twin. The
//! slot is temporary: it ends with its session, whatever ends that, and holds back no log then. The log is read
//! as fast as it comes (`spool`), and the slot is dropped if it holds back too much of it all the same
//! (`bound`): then it is not known what was committed since.

mod alike;
mod bound;
mod decode;
mod spool;
mod sql;
mod transaction;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::bound::Dropped;
use self::decode::Line;
use self::spool::Spool;
use self::transaction::PairChanges;
use super::schema::{PairPlan, Side};
use cutover_error::{Context, Error, Result};
use cutover_evidence::finding::{WalDivergence, WalEvidence};
use cutover_ground::config::TablePair;
use cutover_ground::pg::{connect_reading, describe, failure};

/// Changes asked for at once; a transaction comes whole.
const BATCH: i32 = 5_000;
/// Changes of one transaction that are kept; a larger one is not judged.
const LARGEST_TRANSACTION: usize = 500_000;
/// How often the log is looked at when it was read to its end.
const PAUSE: Duration = Duration::from_millis(200);
/// Divergences kept; all are counted.
const KEPT: usize = 20;

/// Bytes of the log that a slot may hold back, unless somebody says otherwise.
pub const WAL_KEEP_BYTES: u64 = 1 << 30;

/// Begins to follow the write-ahead log: whether each transaction changes both sides alike. The slot is dropped
/// once it holds back more than `keep_bytes` of it.
///
/// # Errors
/// A usage error for a table that is not there or a server whose log does not tell, a run error
/// if the server refuses.
pub async fn follow(database_url: &str, tables: &[TablePair], keep_bytes: u64) -> Result<Oracle> {
    let mut connection = connect_reading(database_url).await?;
    let mut plans = Vec::new();
    for pair in tables {
        plans.push(PairPlan::make(&mut connection, pair, database_url).await?.0);
    }
    Oracle::start(database_url, plans, keep_bytes).await
}

/// A reader of the log at work.
pub struct Oracle {
    stop: CancellationToken,
    work: JoinHandle<Result<WalEvidence>>,
}

impl Oracle {
    /// Opens the slot; from here on every commit is seen.
    ///
    /// # Errors
    /// A usage error if the server's log does not hold what is needed, a run error if the
    /// server refuses.
    async fn start(database_url: &str, plans: Vec<PairPlan>, keep_bytes: u64) -> Result<Self> {
        let mut connection = connect_reading(database_url).await?;
        let level: String = ask(&mut connection, sql::WAL_LEVEL).await?;
        if level != "logical" {
            return Err(Error::usage(
                format!("--wal: {} has wal_level = {level}", describe(database_url)),
                "set wal_level = logical and start the server anew, or leave out --wal",
            ));
        }
        let limited = sqlx::raw_sql(sql::SESSION).execute(&mut connection).await;
        limited.map_err(|e| failure("cannot follow the write-ahead log", &e))?;
        let slot = format!("cutover_{}_{}", std::process::id(), rand::random::<u32>());
        let watched = CancellationToken::new();
        let guard = watched.clone().drop_guard();
        // From before it is ready: until then it waits for the transactions that are open, and holds back the
        // log all the while.
        let dropped = bound::watch(database_url, slot.clone(), keep_bytes, watched).await?;
        let opened = sqlx::query_scalar::<_, String>(sql::CREATE_SLOT).bind(&slot);
        let from = match (opened.fetch_one(&mut connection).await, dropped.reason()) {
            (Ok(from), _) => from,
            (Err(_), Some(why)) => {
                let hint = "the slot waited for a transaction that stays open; try again once it has ended";
                return Err(Error::run(format!("cannot follow the write-ahead log: {why}"), hint));
            }
            (Err(error), None) => return Err(failure("cannot open a logical slot", &error)),
        };
        let mut pairs = Vec::new();
        for plan in plans {
            pairs.push(Pair::of(&mut connection, plan).await?);
        }
        let stop = CancellationToken::new();
        let evidence = WalEvidence { from_lsn: from, ..WalEvidence::default() };
        let reader = Reader {
            connection,
            slot,
            pairs,
            known: HashMap::new(),
            open: HashMap::new(),
            open_changes: 0,
            dropped,
            _watched: guard,
            evidence,
        };
        let work = tokio::spawn(reader.run(stop.clone()));
        Ok(Self { stop, work })
    }

    /// Reads the log up to now and closes the slot.
    ///
    /// # Errors
    /// A run error if the server failed.
    pub async fn finish(mut self) -> Result<WalEvidence> {
        self.stop.cancel();
        let outcome = (&mut self.work).await;
        outcome.map_err(|e| Error::run(format!("the reader of the log crashed: {e}"), ""))?
    }
}

impl Drop for Oracle {
    /// The reader closes its slot also if nobody waits for it.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn ask(connection: &mut PgConnection, question: &'static str) -> Result<String> {
    let answer = sqlx::query_scalar(question).fetch_one(connection).await;
    answer.map_err(|e| failure("cannot follow the write-ahead log", &e))
}

/// Keys that were written on one side alone are kept up to so many; beyond, no update is held to change nothing.
const KEPT_ASTRAY: usize = 100_000;

struct Pair {
    plan: PairPlan,
    /// Whether the log names each legacy row that goes.
    keeps_key: bool,
    /// Whether tables of it are not in the log, so that its transactions cannot be judged.
    unknown: bool,
    /// Keys that were written on one side alone, and not on both since.
    astray: HashSet<String>,
}

impl Pair {
    async fn of(connection: &mut PgConnection, plan: PairPlan) -> Result<Self> {
        let key: Vec<String> = plan.key.iter().map(|c| c.on(Side::Legacy).into()).collect();
        let keeps = sqlx::query_scalar(sql::KEEPS_KEY).bind(plan.table(Side::Legacy).oid);
        let keeps = keeps.bind(key).fetch_one(connection).await;
        let keeps_key = keeps.map_err(|e| failure("cannot read the replica identity", &e))?;
        Ok(Self { plan, keeps_key, unknown: false, astray: HashSet::new() })
    }
}

struct Reader {
    connection: PgConnection,
    slot: String,
    pairs: Vec<Pair>,
    /// Which pair and side a relation belongs to, by its name in the log.
    known: HashMap<String, Option<(usize, Side)>>,
    /// What the transaction at hand did, by pair.
    open: HashMap<usize, PairChanges>,
    /// How many rows it changed.
    open_changes: usize,
    /// Why the slot had to go.
    dropped: Dropped,
    /// Ends with the reader, and lets the slot's watch go.
    _watched: DropGuard,
    evidence: WalEvidence,
}

impl Reader {
    async fn run(mut self, stop: CancellationToken) -> Result<WalEvidence> {
        let outcome = self.follow(&stop).await;
        if let Some(why) = self.dropped.reason() {
            self.evidence.incomplete_reason = why.to_owned();
            return Ok(self.evidence);
        }
        let closed = sqlx::query(sql::DROP_SLOT).bind(&self.slot).execute(&mut self.connection);
        let closed = closed.await.map_err(|e| failure("cannot drop the slot", &e));
        // The slot ends with the session at the latest.
        drop(self.connection.close().await);
        outcome.and(closed.map(drop))?;
        Ok(self.evidence)
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<()> {
        self.look_for_tables_not_in_the_log().await?;
        loop {
            // Asked before the position, so that what was committed before the stop is read.
            let last = stop.is_cancelled();
            let position = ask(&mut self.connection, sql::POSITION).await?;
            while last && !self.is_flushed(&position).await? {
                tokio::time::sleep(PAUSE).await;
            }
            while self.batch(&position).await? >= BATCH as usize {}
            if last {
                // Partitions made meanwhile may be such.
                self.look_for_tables_not_in_the_log().await?;
                self.evidence.to_lsn = position;
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn look_for_tables_not_in_the_log(&mut self) -> Result<()> {
        for pair in &mut self.pairs {
            for side in Side::BOTH {
                let table = pair.plan.table(side);
                let found = sqlx::query_scalar(sql::NOT_IN_LOG).bind(table.oid);
                let found: Vec<String> =
                    found.fetch_all(&mut self.connection).await.map_err(|e| {
                        failure(format!("cannot read the catalog of {}", table.name), &e)
                    })?;
                if let Some(first) = found.first() {
                    let more = if found.len() > 1 { " and others" } else { "" };
                    pair.unknown = true;
                    self.evidence.incomplete_reason = format!(
                        "this server's log does not hold what changes in {first}{more}: no transaction of {} \
                         was judged",
                        pair.plan.name
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether the log is on disk up to a position; what is not cannot be read yet.
    async fn is_flushed(&mut self, position: &str) -> Result<bool> {
        let flushed = sqlx::query_scalar(sql::IS_FLUSHED).bind(position);
        let flushed = flushed.fetch_one(&mut self.connection).await;
        flushed.map_err(|e| failure("cannot follow the write-ahead log", &e))
    }

    /// Reads some transactions; how many lines there were.
    async fn batch(&mut self, position: &str) -> Result<usize> {
        let query = sqlx::query_scalar::<_, String>(sql::CHANGES);
        let query = query.bind(&self.slot).bind(BATCH).bind(position);
        let mut lines = Spool::default();
        let kept = |outcome: std::io::Result<()>| {
            outcome.or_run(
                "cannot keep what the log told",
                "is the disk of the temporary folder full?",
            )
        };
        let mut count = 0;
        {
            let mut rows = query.fetch(&mut self.connection);
            let refused = |e: sqlx::Error| failure("cannot read the write-ahead log", &e);
            while let Some(line) = rows.try_next().await.map_err(refused)? {
                count += 1;
                kept(lines.push(line))?;
            }
        }
        if lines.is_cut() {
            self.evidence.incomplete_reason = "a transaction was larger than could be kept".into();
        }
        let lines = lines.read().or_run("cannot read what the log told", "")?;
        for line in lines {
            self.line(&line.or_run("cannot read what the log told", "")?).await?;
        }
        Ok(count)
    }

    async fn line(&mut self, text: &str) -> Result<()> {
        // Only its beginning: the rest holds values.
        let beginning = || text.split(": ").next().unwrap_or_default();
        let unreadable =
            || Error::run(format!("the log holds a line of no known form: {}", beginning()), "");
        match decode::line(text).ok_or_else(unreadable)? {
            Line::Begin => {
                self.open.clear();
                self.open_changes = 0;
            }
            Line::Commit { xid, at } => self.commit(xid, at).await?,
            Line::Change { table, growth, old, new } => {
                if let Some((pair, side)) = self.belongs(table).await? {
                    self.evidence.changes += 1;
                    self.open_changes += 1;
                    if self.open_changes <= LARGEST_TRANSACTION {
                        let plan = &self.pairs[pair].plan;
                        let open = self.open.entry(pair).or_default();
                        open.row(plan, side, growth, old.as_deref(), new.as_deref());
                    }
                }
            }
            Line::Truncate { tables } => {
                for table in tables {
                    if let Some((pair, side)) = self.belongs(table).await? {
                        self.open.entry(pair).or_default().truncate(side);
                    }
                }
            }
        }
        Ok(())
    }

    async fn commit(&mut self, xid: &str, at: &str) -> Result<()> {
        let mut open = std::mem::take(&mut self.open);
        if self.open_changes > LARGEST_TRANSACTION {
            self.evidence.incomplete_reason =
                format!("transaction {xid} changed more than {LARGEST_TRANSACTION} rows");
            self.evidence.transactions += 1;
            open.clear();
        }
        self.evidence.transactions += u64::from(!open.is_empty());
        for (pair, mut changes) in open {
            let Pair { plan, keeps_key, unknown, astray } = &mut self.pairs[pair];
            if *unknown {
                continue;
            }
            if let Ok(number) = xid.parse()
                && astray.len() < KEPT_ASTRAY
            {
                let connection = &mut self.connection;
                alike::forget_unchanged(connection, plan, number, &mut changes, astray).await?;
            }
            let (both, alone) = changes.keys();
            both.into_iter().for_each(|key| _ = astray.remove(key));
            let room = KEPT_ASTRAY.saturating_sub(astray.len());
            astray.extend(alone.into_iter().take(room).cloned());
            let Some(detail) = changes.divergence(plan, *keeps_key) else { continue };
            self.evidence.diverged += 1;
            if self.evidence.divergences.len() < KEPT {
                self.evidence.divergences.push(WalDivergence {
                    table: plan.name.clone(),
                    xid: xid.to_owned(),
                    committed_at: at.to_owned(),
                    detail,
                });
            }
        }
        Ok(())
    }

    /// The pair and side of a relation; partitions made meanwhile are looked up as they come.
    async fn belongs(&mut self, table: &str) -> Result<Option<(usize, Side)>> {
        if let Some(known) = self.known.get(table) {
            return Ok(*known);
        }
        let oid = |pair: &Pair, side| pair.plan.table(side).oid;
        let oids: Vec<i64> =
            self.pairs.iter().flat_map(|pair| Side::BOTH.map(|side| oid(pair, side))).collect();
        let root: Option<i64> = sqlx::query_scalar(sql::ROOT)
            .bind(table)
            .bind(&oids)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|e| failure(format!("cannot look {table} up"), &e))?;
        let found = root.and_then(|root| oids.iter().position(|oid| *oid == root));
        let found = found.map(|at| (at / 2, Side::BOTH[at % 2]));
        self.known.insert(table.to_owned(), found);
        Ok(found)
    }
}
