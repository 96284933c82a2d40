//! One cell: a generator, the org's stream and the cells before it decide.

use super::calendar::Calendar;
use super::columns::Column;
use super::encode::Cell;
use super::random::Stream;
use super::sources::{Money, Source};

/// What is known of a row before its columns are filled.
#[derive(Debug, Clone, Copy)]
pub struct RowFacts<'a> {
    /// Rows of the org in each table.
    pub counts: &'a [u32],
    /// The org.
    pub org: u64,
    /// The org's number of transactions.
    pub size: u64,
    /// The row's number within org and table, from 0.
    pub n: u32,
    /// The row's property.
    pub property: u32,
    /// The row's date; meaningless in a table without dates.
    pub day: i32,
}

/// Fills one cell.
pub fn fill(
    column: &Column,
    facts: &RowFacts<'_>,
    earlier: &[Cell],
    calendar: &Calendar,
    stream: &mut Stream,
) -> Cell {
    if let Some((index, marks)) = &column.only_if {
        match earlier[*index] {
            Cell::Pick(pick) if marks[pick as usize] => {}
            _ => return Cell::Null,
        }
    }
    if stream.chance(column.null_share) {
        return Cell::Null;
    }
    match &column.source {
        Source::Org => Cell::Int(facts.org as i64),
        Source::OrgSize => Cell::Int(facts.size as i64),
        Source::Property => Cell::Int(i64::from(facts.property)),
        Source::Sequence { stride } => Cell::Int(facts.org as i64 * stride + i64::from(facts.n)),
        Source::ForeignKey { table, stride } => match facts.counts[*table] {
            0 => Cell::Null,
            rows => Cell::Int(facts.org as i64 * stride + i64::from(stream.below(rows))),
        },
        Source::Label { .. } => Cell::Int(i64::from(facts.n)),
        Source::Int { min, span } => Cell::Int(within(*min, *span, stream)),
        Source::Decimal { min, span, .. } => Cell::Decimal(within(*min, *span, stream)),
        Source::Money(money) => Cell::Decimal(amount(money, earlier, stream)),
        Source::Date | Source::DailyDate => Cell::Date(facts.day),
        Source::Moment { on: Some(_), edge, .. } => {
            Cell::Moment(calendar.moment_on(facts.day, *edge, stream))
        }
        Source::Moment { on: None, years, edge } => {
            Cell::Moment(calendar.moment_within(*years, *edge, stream))
        }
        Source::Later { than, share, days, edge } => match earlier[*than] {
            Cell::Moment(moment) if stream.chance(*share) => {
                Cell::Moment(calendar.moment_after(moment, *days, *edge, stream))
            }
            same => same,
        },
        Source::Pick(vocabulary) => Cell::Pick(vocabulary.draw(stream)),
    }
}

/// `min` to `min + span`, both included.
fn within(min: i64, span: u64, stream: &mut Stream) -> i64 {
    let width = span.saturating_add(1);
    min.wrapping_add_unsigned(stream.below_wide(width))
}

/// An amount in minor units: the curve is linear between its percentiles.
fn amount(money: &Money, earlier: &[Cell], stream: &mut Stream) -> i64 {
    let (largest, share) = money.largest;
    if stream.chance(share) {
        return if stream.below(2) == 0 { largest } else { -largest };
    }
    let curve = match money.by.map(|index| earlier[index]) {
        Some(Cell::Pick(pick)) => &money.curves[pick as usize],
        _ => &money.curves[0],
    };
    // 50 %, 45 % and 5 % of the draws fall between two percentiles each.
    let [low, typical, high, top] = *curve;
    let (from, to) = match stream.below(100) {
        0..50 => (low, typical),
        50..95 => (typical, high),
        _ => (high, top),
    };
    let amount = within(from, (to - from) as u64, stream);
    if stream.chance(money.negative) { -amount } else { amount }
}
