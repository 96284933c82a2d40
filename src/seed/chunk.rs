//! A range of orgs as ready-made COPY streams, one per table, with their totals.

use std::ops::Range;

use super::encode;
use super::org::Scratch;
use super::plan::Plan;
use super::totals::TableTotals;
use super::wire;

/// The rows of a range of orgs; its memory is used again for the next one.
#[derive(Default)]
pub struct Chunk {
    /// The orgs.
    pub orgs: Range<u64>,
    /// One entry per table of the plan.
    pub tables: Vec<TableChunk>,
    scratch: Scratch,
}

/// One table's rows of a chunk.
#[derive(Default)]
pub struct TableChunk {
    /// A whole COPY stream: header, tuples by date, trailer.
    pub stream: Vec<u8>,
    /// What is in it.
    pub totals: TableTotals,
    /// The tuples in the order in which orgs made them, and where each begins.
    tuples: Vec<u8>,
    starts: Vec<Start>,
}

/// Where a tuple begins and ends, and its date.
#[derive(Clone, Copy)]
struct Start {
    day: i32,
    from: u32,
    to: u32,
}

impl Chunk {
    /// Generates a range of orgs.
    pub fn fill(&mut self, plan: &Plan, orgs: Range<u64>) {
        self.orgs = orgs.clone();
        self.tables.resize_with(plan.tables.len(), TableChunk::default);
        for table in &mut self.tables {
            table.tuples.clear();
            table.starts.clear();
            table.totals = TableTotals::default();
        }
        let (tables, scratch) = (&mut self.tables, &mut self.scratch);
        for org in orgs {
            plan.org(org, scratch, &mut |index, facts, cells| {
                let (table, chunk) = (&plan.tables[index], &mut tables[index]);
                let from = chunk.tuples.len();
                chunk.tuples.extend_from_slice(&(cells.len() as i16).to_be_bytes());
                for (column, cell) in table.columns.iter().zip(cells) {
                    encode::cell(&mut chunk.tuples, column, *cell, facts.org);
                }
                let amount = match table.amount.map(|index| cells[index]) {
                    Some(encode::Cell::Decimal(value) | encode::Cell::Int(value)) => value,
                    _ => 0,
                };
                chunk.totals.add_row(amount, &chunk.tuples[from..]);
                let to = chunk.tuples.len() as u32;
                chunk.starts.push(Start { day: facts.day, from: from as u32, to });
            });
        }
        for table in &mut self.tables {
            table.assemble();
        }
    }
}

impl TableChunk {
    /// Puts the tuples in the order of their dates.
    ///
    /// A real platform's rows come in by time, whoever's they are, so an org's rows lie apart in
    /// the table; and a stream by date fills one partition after the other, in full pages.
    fn assemble(&mut self) {
        self.starts.sort_by_key(|start| start.day);
        self.stream.clear();
        self.stream.reserve(self.tuples.len() + wire::HEADER.len() + wire::TRAILER.len());
        self.stream.extend_from_slice(wire::HEADER);
        for start in &self.starts {
            self.stream.extend_from_slice(&self.tuples[start.from as usize..start.to as usize]);
        }
        self.stream.extend_from_slice(wire::TRAILER);
    }
}
