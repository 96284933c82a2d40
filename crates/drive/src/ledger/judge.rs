//! What became of a row, from the writes to it and what stands on both sides. Pure.
//!
//! A row is right if one order of its writes explains both sides: every acknowledged write took
//! effect between the moments it was sent and answered, every doubtful one at some moment after it
//! was sent, whole, or never; a refused one never.

use std::collections::BTreeMap;

use super::State;
use super::read::Write;
use cutover_evidence::class::WriteFault;
use cutover_evidence::ledger::{Columns, WriteKind};

/// How far the clocks of two generators may be apart, microseconds.
const CLOCKS_US: u64 = 1_000_000;

/// A row as it stands on a side.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    pub key: Columns,
    pub values: Columns,
}

/// What stands on a side.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SideRows {
    /// Under the row's key; if nobody knows that, under its tag.
    pub rows: Vec<Found>,
    /// Further rows that hold the tag of one of its writes, by the write's place among them.
    pub copies: Vec<(usize, Found)>,
}

/// One write that did not become what it should.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub what: WriteFault,
    /// Its place among the writes to the row.
    pub write: usize,
    /// The columns that tell.
    pub columns: Vec<String>,
    /// What they should hold; `None` if the row should not be there.
    pub expected: Option<Columns>,
}

/// What a row may be like.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    /// It was there before the load, and nobody knows how.
    Anything,
    Absent,
    Present(Columns),
}

impl Expected {
    fn fits(&self, rows: &[Found]) -> bool {
        match (self, rows) {
            (Self::Anything, [] | [_]) | (Self::Absent, []) => true,
            (Self::Present(values), [row]) => differing(values, row).is_empty(),
            _ => false,
        }
    }

    fn after(self, write: &Write) -> Self {
        let mut values = match (write.sent.kind, self) {
            (Some(WriteKind::Delete), _) => return Self::Absent,
            (_, Self::Present(values)) => values,
            _ => Columns::new(),
        };
        values.extend(write.sent.values.clone());
        Self::Present(values)
    }
}

/// Columns that a row holds otherwise.
fn differing(values: &Columns, row: &Found) -> Vec<String> {
    let differs = |(name, value): &(&String, &Option<String>)| row.values.get(*name) != Some(value);
    values.iter().filter(differs).map(|(name, _)| name.clone()).collect()
}

/// An order of writes that may have been, by their places, and what it leaves.
struct Order {
    places: Vec<usize>,
    leaves: Expected,
}

/// Judges one row.
pub(super) fn judge(writes: &[Write], legacy: &SideRows, partitioned: &SideRows) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(fault) = doubled(writes, legacy, partitioned) {
        faults.push(fault);
    }
    if legacy.rows.len() > 1 || partitioned.rows.len() > 1 {
        return faults;
    }
    let tagged = |write: &Write, row: &Found| {
        let tag = write.sent.tag.as_ref();
        tag.is_some_and(|tag| {
            write.tag().is_some() && row.values.get(tag) == write.sent.values.get(tag)
        })
    };
    let rows = || legacy.rows.iter().chain(&partitioned.rows);
    let refused = |write: &Write| write.state == State::Fail;
    if let Some(write) = writes.iter().position(|w| refused(w) && rows().any(|row| tagged(w, row)))
    {
        faults.push(Fault {
            expected: None,
            ..fault(WriteFault::Phantom, writes, write, Vec::new())
        });
        return faults;
    }
    let orders = orders(writes);
    let explains = |order: &Order, side: &SideRows| order.leaves.fits(&side.rows);
    let same = alike(&legacy.rows, &partitioned.rows);
    if same && orders.iter().any(|o| explains(o, legacy)) {
        return faults;
    }
    let sound = [legacy, partitioned].map(|side| orders.iter().any(|o| explains(o, side)));
    let wrong = if sound[0] { partitioned } else { legacy };
    match refused_but_there(writes, &orders, wrong) {
        Some(fault) => faults.push(fault),
        None if !same && (sound[0] || sound[1]) => {
            faults.push(one_sided(writes, &orders, legacy, partitioned));
        }
        None => faults.extend(classify(writes, &orders, &wrong.rows)),
    }
    faults
}

fn alike(one: &[Found], other: &[Found]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.values == b.values)
}

/// The orders that the times of the writes allow. Each ends with another of the writes that may have
/// been the last to take effect.
fn orders(writes: &[Write]) -> Vec<Order> {
    let of = |state| writes.iter().enumerate().filter(move |(_, w)| w.state == state);
    let acknowledged: Vec<usize> = of(State::Ok).map(|(place, _)| place).collect();
    let is_last = |place: usize| {
        !acknowledged.iter().any(|&o| o != place && is_after(&writes[o], &writes[place]))
    };
    let candidates = || (0..writes.len()).filter(|&p| writes[p].state != State::Fail && is_last(p));
    let mut orders: Vec<Vec<usize>> = candidates()
        .map(|last| acknowledged.iter().copied().filter(|&p| p != last).chain([last]).collect())
        .collect();
    if !candidates().any(|place| writes[place].state == State::Ok) {
        orders.push(acknowledged.clone());
    }
    let leaves = |places: &[usize]| {
        places.iter().fold(before(writes), |state, &place| state.after(&writes[place]))
    };
    orders.into_iter().map(|places| Order { leaves: leaves(&places), places }).collect()
}

/// Whether `later` was sent when `earlier` had its answer, even if the clocks of their generators
/// disagree.
fn is_after(later: &Write, earlier: &Write) -> bool {
    let doubt_us = if later.sent.shard == earlier.sent.shard { 0 } else { CLOCKS_US };
    earlier.done_us.is_some_and(|done_us| later.sent.at_us >= done_us.saturating_add(doubt_us))
}

/// The row before the first write.
fn before(writes: &[Write]) -> Expected {
    match writes.iter().any(|write| write.sent.kind == Some(WriteKind::Insert)) {
        true => Expected::Absent,
        false => Expected::Anything,
    }
}

fn doubled(writes: &[Write], legacy: &SideRows, partitioned: &SideRows) -> Option<Fault> {
    let copied = legacy.copies.iter().chain(&partitioned.copies).map(|(place, _)| *place).min();
    let twice = legacy.rows.len() > 1 || partitioned.rows.len() > 1;
    let write = copied.or(twice.then_some(0))?;
    Some(fault(WriteFault::Doubled, writes, write, Vec::new()))
}

/// A refused write whose values are there all the same.
fn refused_but_there(writes: &[Write], orders: &[Order], side: &SideRows) -> Option<Fault> {
    let refused = |write: &Write| write.state == State::Fail;
    let Some(row) = side.rows.first() else {
        let due = orders.iter().all(|order| matches!(order.leaves, Expected::Present(_)));
        // Refused because there is no such row: then it was gone before.
        let by_absence = |write: &Write| matches!(write.status, Some(404 | 410));
        let deletes = |write: &Write| {
            refused(write) && write.sent.kind == Some(WriteKind::Delete) && !by_absence(write)
        };
        let place = writes.iter().rposition(deletes).filter(|_| due)?;
        return Some(fault(WriteFault::Phantom, writes, place, Vec::new()));
    };
    let there = |write: &Write| {
        let values = &write.sent.values;
        let explains = |order: &Order| match &order.leaves {
            Expected::Absent => true,
            Expected::Present(right) => {
                let wrong = differing(right, row);
                !wrong.is_empty() && wrong.iter().all(|column| values.contains_key(column))
            }
            Expected::Anything => false,
        };
        !values.is_empty() && differing(values, row).is_empty() && orders.iter().any(explains)
    };
    let place = writes.iter().rposition(|write| refused(write) && there(write))?;
    let columns = writes[place].sent.values.keys().cloned().collect();
    Some(Fault { what: WriteFault::Phantom, write: place, columns, expected: None })
}

/// One side is as it may be, the other is not, or both are and differ.
fn one_sided(
    writes: &[Write],
    orders: &[Order],
    legacy: &SideRows,
    partitioned: &SideRows,
) -> Fault {
    let columns = match (legacy.rows.as_slice(), partitioned.rows.as_slice()) {
        ([one], [other]) => differing(&one.values, other),
        _ => Vec::new(),
    };
    let last = orders.iter().filter_map(|order| order.places.last()).max().copied();
    fault(WriteFault::Torn, writes, last.unwrap_or(writes.len() - 1), columns)
}

/// Neither side can be explained, and they agree.
fn classify(writes: &[Write], orders: &[Order], rows: &[Found]) -> Vec<Fault> {
    let last = |places: &[usize]| places.last().copied().unwrap_or(writes.len() - 1);
    let Some(row) = rows.first() else {
        // It should be there: what is lost is the write that made it, with all that came after.
        let places = &orders[0].places;
        let made =
            places.iter().rfind(|&&place| writes[place].sent.kind == Some(WriteKind::Insert));
        let newest = made.or_else(|| places.iter().rfind(|&&p| writes[p].state == State::Ok));
        return vec![fault(
            WriteFault::Lost,
            writes,
            newest.copied().unwrap_or(last(places)),
            Vec::new(),
        )];
    };
    let present = orders.iter().filter_map(|order| match &order.leaves {
        Expected::Present(values) => Some((order, differing(values, row))),
        _ => None,
    });
    let Some((order, wrong)) = present.min_by_key(|(_, wrong)| wrong.len()) else {
        let places = &orders[0].places;
        let what = if places.is_empty() { WriteFault::Phantom } else { WriteFault::Lost };
        return vec![fault(what, writes, last(places), Vec::new())];
    };
    let mut by_writer: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for column in wrong {
        let sets = |place: &&usize| writes[**place].sent.values.contains_key(&column);
        let writer = order.places.iter().rfind(sets).copied().unwrap_or(last(&order.places));
        by_writer.entry(writer).or_default().push(column);
    }
    let class = |(writer, columns): (usize, Vec<String>)| {
        fault(fault_of(writes, order, row, writer, &columns), writes, writer, columns)
    };
    by_writer.into_iter().map(class).collect()
}

/// What it means that `row` does not hold `columns` as their last writer left them.
fn fault_of(
    writes: &[Write],
    order: &Order,
    row: &Found,
    writer: usize,
    columns: &[String],
) -> WriteFault {
    let at = order.places.iter().position(|&place| place == writer).unwrap_or(0);
    let (earlier, later) = (&order.places[..at], &order.places[order.places.len().min(at + 1)..]);
    let from_before = before(writes) == Expected::Anything;
    let value_of = |place: usize, column: &str| writes[place].sent.values.get(column);
    let was = |column: &str| earlier.iter().rev().find_map(|&place| value_of(place, column));
    let is_older = |column: &String| {
        let found = row.values.get(column);
        let written =
            earlier.iter().any(|&p| value_of(p, column).is_some_and(|v| found == Some(v)));
        written || (from_before && !earlier.iter().any(|&p| value_of(p, column).is_some()))
    };
    if !columns.iter().all(is_older) {
        let doubtful = |column: &String| {
            let unknown = writes.iter().filter(|write| write.state == State::Unknown);
            let mut values = unknown.filter_map(|write| write.sent.values.get(column));
            is_older(column) || values.any(|value| row.values.get(column) == Some(value))
        };
        return if columns.iter().all(doubtful) { WriteFault::Torn } else { WriteFault::Altered };
    }
    // As an earlier write left the whole of it: that some of its values are the same is chance.
    let untouched = (1..=at).any(|count| {
        let left = order.places[..count].iter().fold(before(writes), |s, &p| s.after(&writes[p]));
        matches!(left, Expected::Present(_)) && left.fits(std::slice::from_ref(row))
    });
    // What it set and nobody set after it, if that made a difference.
    let due = writes[writer].sent.values.iter().filter(|(column, value)| {
        was(column) != Some(*value) && !later.iter().any(|&p| value_of(p, column).is_some())
    });
    let gone_whole = untouched || due.into_iter().all(|(column, _)| columns.contains(column));
    match (gone_whole, writes[writer].seen) {
        (false, _) => WriteFault::Torn,
        (true, true) => WriteFault::Stale,
        (true, false) => WriteFault::Lost,
    }
}

fn fault(what: WriteFault, writes: &[Write], write: usize, columns: Vec<String>) -> Fault {
    let sent = &writes[write].sent;
    let expected = (sent.kind != Some(WriteKind::Delete)).then(|| sent.values.clone());
    Fault { what, write, columns, expected }
}

#[cfg(test)]
mod tests {
    use super::State::{Fail, Ok, Unknown};
    use super::*;
    use WriteKind::{Delete, Insert, Update, Upsert};
    use cutover_evidence::ledger::SentWrite;

    fn columns(text: &str) -> Columns {
        let pair = |pair: &str| pair.split_once('=').map(|(n, v)| (n.into(), Some(v.into())));
        text.split_whitespace().map(|word| pair(word).expect("a=b")).collect()
    }

    /// Writes one after the other, the nth sent at 10n and answered at 10n + 5.
    fn writes(told: &[(WriteKind, State, &str)]) -> Vec<Write> {
        let write = |(number, (kind, state, values)): (usize, &(WriteKind, State, &str))| Write {
            sent: SentWrite {
                write: number as u64,
                at_us: 10 * number as u64,
                kind: Some(*kind),
                values: columns(values),
                ..SentWrite::default()
            },
            state: *state,
            done_us: (*state != Unknown).then_some(10 * number as u64 + 5),
            key: Columns::new(),
            retried: false,
            status: None,
            seen: false,
        };
        told.iter().enumerate().map(write).collect()
    }

    fn side(rows: &[&str]) -> SideRows {
        let found = |text: &&str| Found { key: Columns::new(), values: columns(text) };
        SideRows { rows: rows.iter().map(found).collect(), copies: Vec::new() }
    }

    fn classes(
        writes: &[Write],
        legacy: &[&str],
        partitioned: &[&str],
    ) -> Vec<(WriteFault, usize)> {
        let faults = judge(writes, &side(legacy), &side(partitioned));
        faults.into_iter().map(|fault| (fault.what, fault.write)).collect()
    }

    fn both(writes: &[Write], rows: &[&str]) -> Vec<(WriteFault, usize)> {
        classes(writes, rows, rows)
    }

    #[test]
    fn an_insert_is_there_whole_or_named() {
        let ok = writes(&[(Insert, Ok, "a=1 b=1")]);
        assert_eq!(both(&ok, &["a=1 b=1"]), []);
        assert_eq!(both(&ok, &[]), [(WriteFault::Lost, 0)]);
        assert_eq!(both(&ok, &["a=2 b=1"]), [(WriteFault::Altered, 0)]);
        assert_eq!(both(&ok, &["a=1 b=1", "a=1 b=1"]), [(WriteFault::Doubled, 0)]);
        assert_eq!(classes(&ok, &["a=1 b=1"], &[]), [(WriteFault::Torn, 0)]);
        assert_eq!(classes(&ok, &[], &["a=1 b=1"]), [(WriteFault::Torn, 0)]);
        assert_eq!(classes(&ok, &["a=1 b=1"], &["a=1 b=2"]), [(WriteFault::Torn, 0)]);
        let copied = SideRows { copies: vec![(0, Found::default())], ..side(&["a=1 b=1"]) };
        assert_eq!(judge(&ok, &copied, &copied)[0].what, WriteFault::Doubled);
    }

    #[test]
    fn a_refused_write_must_not_be_there() {
        let fail = writes(&[(Insert, Fail, "a=1")]);
        assert_eq!(both(&fail, &[]), []);
        assert_eq!(both(&fail, &["a=1"]), [(WriteFault::Phantom, 0)]);
        assert_eq!(classes(&fail, &[], &["a=1"]), [(WriteFault::Phantom, 0)]);
        let update = writes(&[(Insert, Ok, "a=1 b=1"), (Update, Fail, "a=2")]);
        assert_eq!(both(&update, &["a=1 b=1"]), []);
        assert_eq!(both(&update, &["a=2 b=1"]), [(WriteFault::Phantom, 1)]);
        let delete = writes(&[(Insert, Ok, "a=1"), (Delete, Fail, "")]);
        assert_eq!(both(&delete, &["a=1"]), []);
        assert_eq!(both(&delete, &[]), [(WriteFault::Phantom, 1)]);
        let mut not_found = delete;
        not_found[1].status = Some(404);
        assert_eq!(both(&not_found, &[]), [(WriteFault::Lost, 0)]);
        let mut upsert = writes(&[(Upsert, Fail, "a=1 b=1")]);
        assert_eq!(both(&upsert, &["a=1 b=1"]), []);
        upsert[0].sent.tag = Some("a".into());
        assert_eq!(both(&upsert, &["a=1 b=1"]), [(WriteFault::Phantom, 0)]);
    }

    #[test]
    fn a_doubtful_write_is_whole_or_absent_and_the_same_on_both_sides() {
        let insert = writes(&[(Insert, Unknown, "a=1 b=1")]);
        assert_eq!(both(&insert, &[]), []);
        assert_eq!(both(&insert, &["a=1 b=1"]), []);
        assert_eq!(both(&insert, &["a=1 b=1", "a=1 b=1"]), [(WriteFault::Doubled, 0)]);
        assert_eq!(classes(&insert, &["a=1 b=1"], &[]), [(WriteFault::Torn, 0)]);
        let update = writes(&[(Insert, Ok, "a=1 b=1"), (Update, Unknown, "a=2 b=2")]);
        assert_eq!(both(&update, &["a=1 b=1"]), []);
        assert_eq!(both(&update, &["a=2 b=2"]), []);
        assert_eq!(both(&update, &["a=2 b=1"]), [(WriteFault::Torn, 0)]);
        assert_eq!(classes(&update, &["a=2 b=2"], &["a=1 b=1"]), [(WriteFault::Torn, 1)]);
    }

    #[test]
    fn an_update_that_was_never_there_is_lost_and_one_that_was_is_stale() {
        let mut updated = writes(&[(Insert, Ok, "a=1 b=1 c=1"), (Update, Ok, "a=2 b=2")]);
        assert_eq!(both(&updated, &["a=2 b=2 c=1"]), []);
        assert_eq!(both(&updated, &["a=1 b=1 c=1"]), [(WriteFault::Lost, 1)]);
        assert_eq!(both(&updated, &["a=2 b=1 c=1"]), [(WriteFault::Torn, 1)]);
        assert_eq!(both(&updated, &["a=2 b=9 c=1"]), [(WriteFault::Altered, 1)]);
        updated[1].seen = true;
        assert_eq!(both(&updated, &["a=1 b=1 c=1"]), [(WriteFault::Stale, 1)]);
        // What came after it and set something else hides nothing.
        let later = [(Insert, Ok, "a=1 b=1 c=1"), (Update, Ok, "a=2 b=2"), (Update, Ok, "c=3")];
        assert_eq!(both(&writes(&later), &["a=1 b=1 c=3"]), [(WriteFault::Lost, 1)]);
        assert_eq!(both(&writes(&later), &["a=2 b=2 c=1"]), [(WriteFault::Lost, 2)]);
        // A value that the update did not change is not missed.
        let half = writes(&[(Insert, Ok, "a=1 b=1"), (Update, Ok, "a=1 b=2")]);
        assert_eq!(both(&half, &["a=1 b=1"]), [(WriteFault::Lost, 1)]);
    }

    #[test]
    fn a_lost_write_that_repeats_a_value_of_an_earlier_one_is_lost_and_not_torn() {
        let all =
            writes(&[(Upsert, Ok, "a=1 n=x"), (Upsert, Ok, "a=2 n=y"), (Upsert, Ok, "a=1 n=z")]);
        assert_eq!(classes(&all, &["a=1 n=x"], &["a=1 n=x"]), [(WriteFault::Lost, 2)]);
        assert_eq!(classes(&all, &["a=2 n=y"], &["a=2 n=y"]), [(WriteFault::Lost, 2)]);
        assert_eq!(classes(&all, &["a=1 n=y"], &["a=1 n=y"]), [(WriteFault::Torn, 2)]);
    }

    #[test]
    fn a_deleted_row_is_gone() {
        let deleted = writes(&[(Insert, Ok, "a=1"), (Delete, Ok, "")]);
        assert_eq!(both(&deleted, &[]), []);
        assert_eq!(both(&deleted, &["a=1"]), [(WriteFault::Lost, 1)]);
        assert_eq!(classes(&deleted, &[], &["a=1"]), [(WriteFault::Torn, 1)]);
        let doubtful = writes(&[(Insert, Ok, "a=1"), (Delete, Unknown, "")]);
        assert_eq!(both(&doubtful, &[]), []);
        assert_eq!(both(&doubtful, &["a=1"]), []);
    }

    #[test]
    fn writes_at_the_same_time_may_end_in_either_order() {
        let mut upserts = writes(&[(Upsert, Ok, "a=1 b=1"), (Upsert, Ok, "a=2 b=2")]);
        assert_eq!(both(&upserts, &["a=2 b=2"]), []);
        assert_eq!(both(&upserts, &["a=1 b=1"]), [(WriteFault::Lost, 1)]);
        upserts[0].done_us = Some(11);
        assert_eq!(both(&upserts, &["a=1 b=1"]), []);
        assert_eq!(both(&upserts, &["a=2 b=1"]).len(), 1);
        // One that nobody answered may come last, however early it was sent.
        let late = writes(&[(Upsert, Unknown, "a=1"), (Upsert, Ok, "a=2")]);
        assert_eq!(both(&late, &["a=1"]), []);
        assert_eq!(both(&late, &["a=2"]), []);
        assert_eq!(both(&late, &[]), [(WriteFault::Lost, 1)]);
    }

    #[test]
    fn what_stood_there_before_the_load_may_still_stand_there() {
        let lost = writes(&[(Upsert, Ok, "a=1 b=1")]);
        assert_eq!(both(&lost, &["a=7 b=8"]), [(WriteFault::Lost, 0)]);
        assert_eq!(both(&writes(&[(Upsert, Fail, "a=1")]), &["a=7"]), []);
        assert_eq!(both(&writes(&[(Upsert, Unknown, "a=1")]), &["a=7"]), []);
        assert_eq!(both(&writes(&[(Upsert, Unknown, "a=1")]), &[]), []);
        // Whether the first or the second was lost is not to be told; both would leave this.
        let two = writes(&[(Upsert, Ok, "a=1"), (Upsert, Ok, "a=2")]);
        assert_eq!(both(&two, &["a=1"]), [(WriteFault::Lost, 1)]);
    }
}
