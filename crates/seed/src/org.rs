//! One org: all its rows, from its own stream.

use super::encode::Cell;
use super::generators::{self, RowFacts};
use super::plan::{Plan, Table};
use super::random::Stream;

/// Buffers that are used again from org to org.
#[derive(Default)]
pub struct Scratch {
    cells: Vec<Cell>,
    days: Vec<i32>,
    counts: Vec<u32>,
}

impl Plan {
    /// Generates every row of an org and hands each to `sink`, with the index of its table.
    ///
    /// The order is fixed: how many rows go to which table, the number of properties, then table by
    /// table and row by row; it is part of what the golden digest pins.
    pub fn org(
        &self,
        org: u64,
        scratch: &mut Scratch,
        sink: &mut impl FnMut(usize, &RowFacts<'_>, &[Cell]),
    ) {
        let mut stream = Stream::new(&self.key, org);
        let size = self.sizes.of(org);
        let Scratch { cells, days, counts } = scratch;
        counts.clear();
        counts.extend(self.tables.iter().map(|table| u32::from(!table.transactions)));
        for _ in 0..size {
            counts[self.shared[self.split.draw(&mut stream) as usize]] += 1;
        }
        let more = (size / u64::from(self.transactions_per_property)) as u32;
        let properties = 1 + stream.below(self.properties) + more;
        for (index, table) in self.tables.iter().enumerate() {
            let rows = counts[index];
            let spread = Spread::new(self, table, rows, properties);
            draw_days(self, table, &spread, rows, days, &mut stream);
            for n in 0..rows {
                let property = match table.daily {
                    true => 1 + n % spread.properties,
                    false => 1 + stream.below(properties),
                };
                let day = days.get(n as usize).copied().unwrap_or(0);
                let facts = RowFacts { counts, org, size, n, property, day };
                cells.clear();
                for column in &table.columns {
                    let cell = generators::fill(column, &facts, cells, &self.calendar, &mut stream);
                    cells.push(cell);
                }
                sink(index, &facts, cells);
            }
        }
    }
}

/// How rows with a date of their own are laid over properties and days.
struct Spread {
    properties: u32,
    /// Days that belong to each row of a property.
    step: u32,
}

impl Spread {
    /// Room is made for every row: more properties if the days do not suffice.
    fn new(plan: &Plan, table: &Table, rows: u32, properties: u32) -> Self {
        if !table.daily {
            return Self { properties, step: 1 };
        }
        let days = plan.calendar.days;
        let properties = properties.max(rows.div_ceil(days));
        let per_property = rows.div_ceil(properties).max(1);
        Self { properties, step: days / per_property }
    }
}

/// Draws the dates of a table's rows: by season and sorted, so that numbers grow with time, or one
/// of its own for each row of a property.
fn draw_days(
    plan: &Plan,
    table: &Table,
    spread: &Spread,
    rows: u32,
    days: &mut Vec<i32>,
    stream: &mut Stream,
) {
    days.clear();
    if table.daily {
        days.extend((0..rows).map(|n| {
            let slot = n / spread.properties * spread.step;
            plan.calendar.first + (slot + stream.below(spread.step)) as i32
        }));
    } else if table.date.is_some() {
        days.extend((0..rows).map(|_| plan.calendar.draw(stream)));
        days.sort_unstable();
    }
}
