//! The fast path: both sides by binary COPY at once, every row hashed in our process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use super::digest::{Digests, OrgKey, RowHasher};
use super::schema::{PairPlan, Side};
use super::sql;
use crate::act::{ActContext, Event};
use crate::error::{Error, Result};
use crate::pg::{CopyReader, Fields, Snapshot};

/// Rows after which the listener hears how far we are.
const TELL_EVERY_ROWS: u64 = 20_000;

/// A part of one side that one statement reads.
#[derive(Debug, Clone)]
struct Chunk {
    side: Side,
    statement: String,
    what: String,
    /// Whether the rows begin with the flag that says they are misrouted.
    flagged: bool,
}

/// Reads both sides of a pair and sums every row into its org.
///
/// # Errors
/// A run error where the server fails, [`Error::Interrupted`] when asked to stop.
pub(super) async fn scan<K: OrgKey>(
    plan: &PairPlan,
    orgs: Option<&[String]>,
    snapshot: &Snapshot,
    connections: usize,
    context: &ActContext,
) -> Result<Digests<K>> {
    let queue = Arc::new(Mutex::new(chunks(plan, orgs)));
    let key_fields = checked_key_fields(plan);
    let hasher = RowHasher::new();
    let mut workers = JoinSet::new();
    for _ in 0..connections.max(1) {
        let mut connection = snapshot.reader().await?;
        let (queue, hasher, context) = (queue.clone(), hasher.clone(), context.clone());
        workers.spawn(async move {
            let mut digests = Digests::<K>::new();
            loop {
                // Taken in a statement of its own, so that the lock is not held while reading.
                let chunk = queue.lock().expect("no panic while held").pop_front();
                let Some(chunk) = chunk else {
                    digests.settle();
                    connection.close().await;
                    return Ok(digests);
                };
                let mut reader = connection.copy(&chunk.statement, &chunk.what).await?;
                sum(&chunk, &mut reader, key_fields, &hasher, &mut digests, &context).await?;
            }
        });
    }
    let mut all: Option<Digests<K>> = None;
    while let Some(outcome) = workers.join_next().await {
        let digests =
            outcome.map_err(|e| Error::run(format!("a reader of the diff crashed: {e}"), ""))??;
        match &mut all {
            None => all = Some(digests),
            Some(all) => all.merge(digests),
        }
    }
    all.ok_or_else(|| Error::run("the diff had no reader", ""))
}

/// Leaves of both sides by turns, so that two workers read the two sides at once.
fn chunks(plan: &PairPlan, orgs: Option<&[String]>) -> VecDeque<Chunk> {
    let [legacy, twin] = Side::BOTH.map(|side| side_chunks(plan, side, orgs));
    let longest = legacy.len().max(twin.len());
    let mut sides = [legacy.into_iter(), twin.into_iter()];
    let mut queue = VecDeque::new();
    for _ in 0..longest {
        queue.extend(sides.iter_mut().filter_map(Iterator::next));
    }
    queue
}

fn side_chunks(plan: &PairPlan, side: Side, orgs: Option<&[String]>) -> Vec<Chunk> {
    let table = plan.table(side);
    let leaves = plan.leaves(side);
    let by_leaf = !table.inherited && leaves.iter().all(|leaf| leaf.readable);
    if !by_leaf {
        let statement = sql::scan(plan, side, None, orgs);
        let what = format!("reading {}", table.name);
        let flagged = sql::misrouted(plan, side, None).is_some();
        return vec![Chunk { side, statement, what, flagged }];
    }
    let chunk = |leaf| Chunk {
        side,
        statement: sql::scan(plan, side, Some(leaf), orgs),
        what: format!("reading {}", leaf.display),
        flagged: sql::misrouted(plan, side, Some(leaf)).is_some(),
    };
    leaves.iter().map(chunk).collect()
}

/// How many fields behind the org are key columns that may hold NULL; 0 where none may.
fn checked_key_fields(plan: &PairPlan) -> usize {
    if plan.key.iter().all(|column| column.not_null) {
        return 0;
    }
    plan.key.iter().filter(|column| !(plan.integer_org && **column == plan.org)).count()
}

async fn sum<K: OrgKey>(
    chunk: &Chunk,
    reader: &mut CopyReader<'_>,
    key_fields: usize,
    hasher: &RowHasher,
    digests: &mut Digests<K>,
    context: &ActContext,
) -> Result<()> {
    let mut rows = 0_u64;
    while let Some(row) = reader.next_row().await? {
        rows += 1;
        if rows.is_multiple_of(TELL_EVERY_ROWS) {
            context.emit(Event::Advanced(TELL_EVERY_ROWS));
            context.check_stop()?;
        }
        add_row(chunk, row, key_fields, hasher, digests)?;
    }
    digests.rows[chunk.side as usize] += rows;
    context.emit(Event::Advanced(rows % TELL_EVERY_ROWS));
    Ok(())
}

fn add_row<K: OrgKey>(
    chunk: &Chunk,
    row: &[u8],
    key_fields: usize,
    hasher: &RowHasher,
    digests: &mut Digests<K>,
) -> Result<()> {
    let damaged = || Error::run(format!("{}: a row is not what was asked for", chunk.what), "");
    let mut fields = Fields::of(row);
    let misrouted = chunk.flagged && fields.next().ok_or_else(damaged)? == Some(&[1]);
    let hash = hasher.hash(fields.rest());
    let Some(org) = fields.next().ok_or_else(damaged)? else {
        digests.null_orgs[chunk.side as usize] += 1;
        return Ok(());
    };
    let org = K::read(org).ok_or_else(damaged)?;
    if fields.take(key_fields).any(|field| field.is_none()) {
        digests.null_keys[chunk.side as usize] += 1;
    }
    if misrouted {
        digests.misrouted.insert(org.clone());
    }
    digests.add(chunk.side, org, hash);
    Ok(())
}
