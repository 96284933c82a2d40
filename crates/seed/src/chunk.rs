//! A range of orgs as rows in wire format, ready to be sent, with their totals.

use std::ops::Range;

use super::encode;
use super::org::Scratch;
use super::plan::Plan;
use super::totals::TableTotals;
use super::wire;

/// Runs of dates that are sent side by side.
///
/// COPY gathers rows before it writes them, for at most 32 partitions, and its time for those of one
/// partition grows with the square of their number.
const RUNS: usize = 32;

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
    /// What is in it.
    pub totals: TableTotals,
    /// The tuples in the order in which orgs made them.
    tuples: Vec<u8>,
    /// If each tuple is, in the order of their dates.
    places: Vec<Place>,
}

/// If a tuple begins and ends, and its date.
#[derive(Clone, Copy)]
struct Place {
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
            table.places.clear();
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
                chunk.places.push(Place { day: facts.day, from: from as u32, to });
            });
        }
        for table in &mut self.tables {
            table.places.sort_by_key(|place| place.day);
        }
    }
}

impl TableChunk {
    /// Bytes of its COPY stream.
    pub fn stream_bytes(&self) -> usize {
        wire::HEADER.len() + self.tuples.len() + wire::TRAILER.len()
    }

    /// Its COPY stream piece by piece: header, tuples, trailer.
    ///
    /// A real platform's rows come in by time, whoever's they are, so an org's rows lie apart in the
    /// table. The tuples are dealt out from [`RUNS`] runs that are each in the order of dates, so
    /// that rows for one partition do not come all at once.
    pub fn stream(&self) -> impl Iterator<Item = &[u8]> {
        let tuple = |place: &Place| &self.tuples[place.from as usize..place.to as usize];
        let run = self.places.len().div_ceil(RUNS).max(1);
        let dealt = (0..run).flat_map(move |nth| self.places[nth..].iter().step_by(run));
        let tuples = dealt.map(tuple);
        std::iter::once(wire::HEADER).chain(tuples).chain(std::iter::once(wire::TRAILER))
    }
}
