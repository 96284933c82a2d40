//! What one statement reads: a leaf or some of its blocks, or some of the orgs.

use std::collections::{HashMap, HashSet, VecDeque};

use super::sql::{self, Blocks};
use super::{Job, Method};
use crate::ranges::Range;
use crate::schema::{PairPlan, Side};
use crate::scope::Rows;
use cutover_evidence::shard::Shard;
use cutover_ground::pg::catalog::Leaf;

/// Blocks that one statement reads at most: 16 MB, some hundred thousand rows.
const CHUNK_BLOCKS: u64 = 2048;

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
    piece: Piece,
}

/// What a chunk is a piece of, and so how it can be made smaller.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// Blocks of the leaf with this object identifier.
    Leaf(Side, i64, Option<Blocks>),
    /// One of so many parts of the orgs, counted from 0.
    Orgs(u64, u64),
    /// A whole side.
    Side,
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

/// Everything there is to read of a pair, less what is `finished`, by the labels of the chunks that were read.
pub(super) fn chunks(job: &Job<'_>, finished: &HashSet<String>) -> VecDeque<Chunk> {
    match job.method {
        Method::Server if !job.plan.has_many_leaves() => org_chunks(job, finished),
        Method::Server | Method::Client => {
            let read = Read::of(finished);
            let [legacy, twin] = Side::BOTH.map(|side| side_chunks(job, side, &read));
            // By turns, so that two workers read the two sides at once.
            let longest = legacy.len().max(twin.len());
            let mut sides = [legacy.into_iter(), twin.into_iter()];
            let turns = (0..longest).flat_map(|_| sides.each_mut().map(Iterator::next));
            turns.flatten().collect()
        }
    }
}

/// What there is to read of leaves that are new to the plan.
pub(super) fn new_leaves(job: &Job<'_>, known: &HashSet<i64>) -> Vec<Chunk> {
    let nothing = HashSet::new();
    let none = Read::of(&nothing);
    let of_side = |side: Side| {
        let leaves = job.plan.leaves(side).iter().filter(|leaf| !known.contains(&leaf.oid));
        leaves.flat_map(|leaf| leaf_chunks(job, side, leaf, &none)).collect::<Vec<_>>()
    };
    Side::BOTH.into_iter().flat_map(of_side).collect()
}

/// A chunk in two, so that less is lost where it is given up again; itself where it cannot be divided.
pub(super) fn halves(job: &Job<'_>, whole: Chunk) -> Vec<Chunk> {
    match whole.piece {
        Piece::Orgs(index, parts) if parts < MOST_PARTS => {
            [index, index + parts].map(|index| org_chunk(job, index, 2 * parts)).into()
        }
        Piece::Leaf(side, oid, Some(Blocks { from, to })) => {
            let leaf = job.plan.leaves(side).iter().find(|leaf| leaf.oid == oid);
            let end = to.or_else(|| leaf?.heap_blocks).unwrap_or(from);
            match leaf {
                Some(_) if end < from + 2 => vec![whole],
                None => vec![whole],
                Some(_) => {
                    let middle = (from + end) / 2;
                    let parts = [Blocks { from, to: Some(middle) }, Blocks { from: middle, to }];
                    parts.map(|blocks| chunk(job, side, leaf, Some(blocks))).into()
                }
            }
        }
        _ => vec![whole],
    }
}

/// Parts of the orgs beyond which they are not divided.
const MOST_PARTS: u64 = 1 << 16;

/// What was read of each leaf.
struct Read<'f> {
    finished: &'f HashSet<String>,
    /// Blocks, by the label of the leaf, in order.
    blocks: HashMap<&'f str, Vec<Blocks>>,
}

impl<'f> Read<'f> {
    fn of(finished: &'f HashSet<String>) -> Self {
        let mut read = HashMap::<&str, Vec<Blocks>>::new();
        for label in finished {
            let Some((place, range)) = label.rsplit_once(' ') else { continue };
            let Some((from, to)) = range.split_once('-') else { continue };
            let Ok(from) = from.parse() else { continue };
            read.entry(place).or_default().push(Blocks { from, to: to.parse().ok() });
        }
        read.values_mut().for_each(|blocks| blocks.sort_by_key(|blocks| blocks.from));
        Self { finished, blocks: read }
    }

    /// The blocks of a leaf that were not read.
    fn missing(&self, place: &str) -> Vec<Blocks> {
        let mut missing = Vec::new();
        let mut next = 0;
        for read in self.blocks.get(place).into_iter().flatten() {
            if read.from > next {
                missing.push(Blocks { from: next, to: Some(read.from) });
            }
            match read.to {
                Some(to) => next = next.max(to),
                // What was read to the end stands for whatever the leaf grew by since.
                None => return missing,
            }
        }
        missing.push(Blocks { from: next, to: None });
        missing
    }
}

fn side_chunks(job: &Job<'_>, side: Side, read: &Read<'_>) -> Vec<Chunk> {
    if job.plan.is_read_by_leaf(side) {
        let leaves = job.plan.leaves(side).iter();
        return leaves.flat_map(|leaf| leaf_chunks(job, side, leaf, read)).collect();
    }
    let whole = chunk(job, side, None, None);
    Some(whole).into_iter().filter(|chunk| !read.finished.contains(&chunk.label)).collect()
}

/// A leaf in parts; whole where an index may find the rows that are asked for.
fn leaf_chunks(job: &Job<'_>, side: Side, leaf: &Leaf, read: &Read<'_>) -> Vec<Chunk> {
    let all_rows = job.rows.orgs.is_none() && job.rows.since.is_none();
    let Some(size) = leaf.heap_blocks.filter(|_| all_rows) else {
        let whole = chunk(job, side, Some(leaf), None);
        return Some(whole).into_iter().filter(|c| !read.finished.contains(&c.label)).collect();
    };
    let mut chunks = Vec::new();
    for Blocks { mut from, to } in read.missing(&place(job, side, leaf)) {
        loop {
            let end = from + CHUNK_BLOCKS;
            // The last one has no end.
            let is_last = end >= to.unwrap_or(size);
            let end = if is_last { to } else { Some(end) };
            chunks.push(chunk(job, side, Some(leaf), Some(Blocks { from, to: end })));
            match end {
                Some(end) if !is_last => from = end,
                _ => break,
            }
        }
    }
    chunks
}

/// What labels of a leaf begin with: another file is another leaf.
fn place(job: &Job<'_>, side: Side, leaf: &Leaf) -> String {
    let kind = if job.method == Method::Server { "sums " } else { "" };
    format!("{kind}{side:?} {}.{}", leaf.oid, leaf.file)
}

fn chunk(job: &Job<'_>, side: Side, leaf: Option<&Leaf>, blocks: Option<Blocks>) -> Chunk {
    let table = job.plan.table(side);
    let (name, place) = match leaf {
        Some(leaf) => (&leaf.display, place(job, side, leaf)),
        None => (&table.name.name, format!("{side:?} {}", table.oid)),
    };
    let part = match blocks {
        None => String::new(),
        Some(Blocks { from, to: None }) => format!(" {from}-"),
        Some(Blocks { from, to: Some(to) }) => format!(" {from}-{to}"),
    };
    let piece = leaf.map_or(Piece::Side, |leaf| Piece::Leaf(side, leaf.oid, blocks));
    // Blocks from the first on without an end are the whole leaf.
    let blocks = blocks.filter(|blocks| *blocks != Blocks { from: 0, to: None });
    let (statement, content) = match leaf.filter(|_| job.method == Method::Server) {
        Some(leaf) => {
            let keys = job.secret.keys();
            let statement = sql::sums(job.plan, (side, leaf), blocks, job.rows, keys);
            (statement, Content::Sums(side))
        }
        None => {
            let route = Route::of(job.plan, side, leaf);
            (sql::rows(job.plan, side, leaf, blocks, job.rows), Content::Rows { side, route })
        }
    };
    let label = format!("{place}{part}");
    Chunk { label, statement, what: format!("reading {name}"), content, piece }
}

/// Orgs in parts. One that was given up half-way was divided in two, again and again: what is left of it is
/// what of the two is.
fn org_chunks(job: &Job<'_>, finished: &HashSet<String>) -> VecDeque<Chunk> {
    let part = |label: &String| {
        let (index, parts) = label.strip_prefix(ORGS)?.split_once('/')?;
        Some((index.parse().ok()?, parts.parse().ok()?))
    };
    let read: HashSet<(u64, u64)> = finished.iter().filter_map(part).collect();
    let leaves = Side::BOTH.iter().flat_map(|side| job.plan.leaves(*side));
    let estimate: f64 = leaves.map(|leaf| leaf.rows_estimate).sum();
    let ordinary = (estimate / CHUNK_ROWS).ceil().max(job.connections as f64) as u64;
    let parts = read.iter().map(|(_, parts)| *parts).min().unwrap_or(ordinary);
    let mut chunks = VecDeque::new();
    let mut wanted: VecDeque<(u64, u64)> = (0..parts).map(|index| (index, parts)).collect();
    while let Some((index, parts)) = wanted.pop_front() {
        let within = |(i, n): &(u64, u64)| *n > parts && i % parts == index;
        if read.contains(&(index, parts)) {
            continue;
        }
        if read.iter().any(within) {
            wanted.extend([(index, 2 * parts), (index + parts, 2 * parts)]);
        } else {
            chunks.push_back(org_chunk(job, index, parts));
        }
    }
    chunks
}

fn org_chunk(job: &Job<'_>, index: u64, parts: u64) -> Chunk {
    let shard = Shard::split(job.rows.shard, parts).nth(index as usize).flatten();
    Chunk {
        label: format!("{ORGS}{index}/{parts}"),
        statement: sql::orgs(job.plan, Rows { shard, ..job.rows }, job.secret.keys(), job.all_orgs),
        what: format!("summing up {}", job.plan.name),
        content: Content::Orgs,
        piece: Piece::Orgs(index, parts),
    }
}

/// How the labels of chunks of orgs begin.
const ORGS: &str = "orgs ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_of_a_leaf_is_not_read_again() {
        let missing = |labels: &[&str]| {
            let finished: HashSet<String> = labels.iter().map(|label| label.to_string()).collect();
            let missing = Read::of(&finished).missing("Legacy 7.7");
            missing.iter().map(|b| (b.from, b.to)).collect::<Vec<_>>()
        };
        assert_eq!(missing(&[]), [(0, None)]);
        assert_eq!(missing(&["Legacy 7.7 0-10"]), [(10, None)]);
        assert_eq!(
            missing(&["Legacy 7.7 10-15", "Legacy 7.7 20-"]),
            [(0, Some(10)), (15, Some(20))]
        );
        assert_eq!(missing(&["Legacy 7.7 0-"]), []);
        assert_eq!(missing(&["Legacy 7.8 0-", "orgs 3/8", "Legacy 9"]), [(0, None)]);
    }
}
