//! What one statement reads: a leaf or some of its blocks, or some of the orgs.

use std::collections::{HashSet, VecDeque};

use super::sql::{self, Blocks};
use super::{Job, Method};
use crate::ranges::Range;
use crate::schema::{PairPlan, Side};
use crate::scope::Rows;
use cutover_evidence::shard::Shard;
use cutover_ground::pg::catalog::Leaf;

/// Blocks that one statement reads at most: 64 MB, some hundred thousand rows. Always the same, so
/// that a resumed run finds the chunks of the one before.
const CHUNK_BLOCKS: u64 = 8192;

/// Rows that the server sums up in one statement, as the planner counts them.
const CHUNK_ROWS: f64 = 8e6;

/// A part of the work that one statement does.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// Its name, the same in every run over the same files.
    pub(super) label: String,
    pub(super) statement: String,
    /// What we were doing, for errors.
    pub(super) what: String,
    pub(super) content: Content,
}

/// What the rows of the statement are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Content {
    /// Rows of one side.
    Rows { side: Side, route: Route },
    /// Orgs, both sides summed up by the server.
    Orgs,
    /// Orgs, a part of one side summed up by the server.
    Sums(Side),
}

/// What tells whether a row belongs in the leaf where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Route {
    /// It may stand anywhere.
    Free,
    /// The row begins with whether it is misrouted.
    Flagged,
    /// The field with this number, which has to be in this range.
    Within(usize, Range),
}

impl Route {
    fn of(plan: &PairPlan, side: Side, leaf: Option<&Leaf>) -> Self {
        match leaf.and_then(|leaf| plan.range(side, leaf)) {
            Some((field, range)) => Self::Within(field, range),
            None if sql::is_flagged(plan, side, leaf) => Self::Flagged,
            None => Self::Free,
        }
    }
}

/// Everything there is to read of a pair, less the chunks that are `finished`, by their labels.
pub(super) fn chunks(job: &Job<'_>, finished: &HashSet<String>) -> VecDeque<Chunk> {
    match job.method {
        Method::Server if !job.plan.has_many_leaves() => org_chunks(job, finished),
        Method::Server | Method::Client => {
            let [legacy, twin] = Side::BOTH.map(|side| side_chunks(job, side, finished));
            // By turns, so that two workers read the two sides at once.
            let longest = legacy.len().max(twin.len());
            let mut sides = [legacy.into_iter(), twin.into_iter()];
            let turns = (0..longest).flat_map(|_| sides.each_mut().map(Iterator::next));
            turns.flatten().collect()
        }
    }
}

fn side_chunks(job: &Job<'_>, side: Side, finished: &HashSet<String>) -> Vec<Chunk> {
    let mut chunks = if job.plan.is_read_by_leaf(side) {
        job.plan
            .leaves(side)
            .iter()
            .flat_map(|leaf| leaf_chunks(job, side, leaf, finished))
            .collect()
    } else {
        vec![chunk(job, side, None, None)]
    };
    chunks.retain(|chunk| !finished.contains(&chunk.label));
    chunks
}

/// A leaf in parts; whole where an index may find the rows that are asked for.
fn leaf_chunks(job: &Job<'_>, side: Side, leaf: &Leaf, finished: &HashSet<String>) -> Vec<Chunk> {
    let all_rows = job.rows.orgs.is_none() && job.rows.since.is_none();
    let Some(size) = leaf.heap_blocks.filter(|_| all_rows) else {
        return vec![chunk(job, side, Some(leaf), None)];
    };
    let part = |from, to| chunk(job, side, Some(leaf), Some(Blocks { from, to }));
    let mut chunks = Vec::new();
    for from in (0..).step_by(CHUNK_BLOCKS as usize) {
        let to = from + CHUNK_BLOCKS;
        let (closed, open) = (part(from, Some(to)), part(from, None));
        // The last one has no end; read once, it stands for whatever the leaf grew by since.
        let is_last = to >= size && !finished.contains(&closed.label);
        if is_last || finished.contains(&open.label) {
            chunks.push(open);
            break;
        }
        chunks.push(closed);
    }
    chunks
}

fn chunk(job: &Job<'_>, side: Side, leaf: Option<&Leaf>, blocks: Option<Blocks>) -> Chunk {
    let table = job.plan.table(side);
    let (name, place) = match leaf {
        Some(leaf) => (&leaf.display, format!("{}.{}", leaf.oid, leaf.file)),
        None => (&table.name.name, table.oid.to_string()),
    };
    let part = match blocks {
        None => String::new(),
        Some(Blocks { from, to: None }) => format!(" {from}-"),
        Some(Blocks { from, to: Some(to) }) => format!(" {from}-{to}"),
    };
    // Blocks from the first on without an end are the whole leaf.
    let blocks = blocks.filter(|blocks| *blocks != Blocks { from: 0, to: None });
    let (kind, statement, content) = match leaf.filter(|_| job.method == Method::Server) {
        Some(leaf) => {
            let keys = job.secret.keys();
            let statement = sql::sums(job.plan, (side, leaf), blocks, job.rows, keys);
            ("sums ", statement, Content::Sums(side))
        }
        None => {
            let route = Route::of(job.plan, side, leaf);
            let statement = sql::rows(job.plan, side, leaf, blocks, job.rows);
            ("", statement, Content::Rows { side, route })
        }
    };
    let label = format!("{kind}{side:?} {place}{part}");
    Chunk { label, statement, what: format!("reading {name}"), content }
}

fn org_chunks(job: &Job<'_>, finished: &HashSet<String>) -> VecDeque<Chunk> {
    let begun = finished.iter().find_map(|label| label.strip_prefix(ORGS)?.split_once('/'));
    let leaves = Side::BOTH.iter().flat_map(|side| job.plan.leaves(*side));
    let estimate: f64 = leaves.map(|leaf| leaf.rows_estimate).sum();
    let ordinary = (estimate / CHUNK_ROWS).ceil().max(job.connections as f64) as u64;
    let parts = begun.and_then(|(_, parts)| parts.parse().ok()).unwrap_or(ordinary);
    let chunk = |(index, shard): (usize, Option<Shard>)| Chunk {
        label: format!("{ORGS}{index}/{parts}"),
        statement: sql::orgs(job.plan, Rows { shard, ..job.rows }, job.secret.keys(), job.all_orgs),
        what: format!("summing up {}", job.plan.name),
        content: Content::Orgs,
    };
    let chunks = Shard::split(job.rows.shard, parts).enumerate().map(chunk);
    chunks.filter(|chunk| !finished.contains(&chunk.label)).collect()
}

/// How the labels of chunks of orgs begin.
const ORGS: &str = "orgs ";
