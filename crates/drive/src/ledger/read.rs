//! The ledger's file as writes with what became of each. Read from its beginning as often as memory
//! asks for: only writes without an answer are held while reading.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hasher;
use std::io::{BufRead, BufReader};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::State;
use cutover_error::{Context, Error, Result};
use cutover_evidence::ledger::{Answered, Columns, Note, SeenWrite, SentWrite};
use cutover_ground::own_file;

/// A write with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    pub sent: SentWrite,
    pub state: State,
    /// When that was known, microseconds; never, if it is unknown.
    pub done_us: Option<u64>,
    /// The row's key, if the write or its answer tells it.
    pub key: Columns,
    pub retried: bool,
    /// The status of a refusal.
    pub status: Option<u16>,
    /// Whether it was looked up soon after, and there.
    pub seen: bool,
}

impl Write {
    fn new(sent: SentWrite) -> Self {
        let key = sent.key.clone();
        let (state, done_us, status) = (State::Unknown, None, None);
        Self { sent, state, done_us, key, retried: false, status, seen: false }
    }

    fn settle(&mut self, state: State, answered: Answered) {
        self.state = state;
        self.done_us = (state != State::Unknown).then_some(answered.at_us);
        self.status = answered.status;
        self.key.extend(answered.key);
    }

    /// The value that no other write has.
    pub(super) fn tag(&self) -> Option<&str> {
        self.sent.values.get(self.sent.tag.as_ref()?)?.as_deref()
    }

    /// What all writes to one row have in common.
    fn row(&self) -> Row<'_> {
        match self.key.is_empty() {
            true => Row { table: &self.sent.table, key: None, write: self.sent.write },
            false => Row { table: &self.sent.table, key: Some(&self.key), write: 0 },
        }
    }
}

/// A row, by its key or by the only write that may have made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'w> {
    table: &'w str,
    key: Option<&'w Columns>,
    write: u64,
}

impl Row<'_> {
    fn digest(&self) -> u64 {
        let mut hasher = Xxh3::new();
        std::hash::Hash::hash(&(self.table, self.key, self.write), &mut hasher);
        hasher.finish()
    }
}

/// Sums over all writes, whatever rows they are to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub writes: u64,
    pub ok: u64,
    pub fail: u64,
    pub unknown: u64,
    pub retried: u64,
}

/// The writes to each row of one part, oldest first.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub rows: Vec<Vec<Write>>,
    /// Over the whole file.
    pub sums: Sums,
}

/// Reads the rows whose digest falls into part `part` of `parts`.
pub(super) fn part(path: &Path, part: u64, parts: u64) -> Result<Part> {
    let mut sums = Sums::default();
    let mut rows: BTreeMap<(u64, u64), Vec<Write>> = BTreeMap::new();
    let mut seen: HashSet<u64> = HashSet::new();
    let ours = |digest: u64| digest % parts == part;
    let mut keep = |write: Write| {
        sums.writes += 1;
        sums.retried += u64::from(write.retried);
        *match write.state {
            State::Ok => &mut sums.ok,
            State::Fail => &mut sums.fail,
            State::Unknown => &mut sums.unknown,
        } += 1;
        let digest = write.row().digest();
        if ours(digest) {
            // Two rows of one digest would be taken for one: told apart by what makes them equal.
            let mut turn = 0;
            while rows.get(&(digest, turn)).is_some_and(|known| known[0].row() != write.row()) {
                turn += 1;
            }
            rows.entry((digest, turn)).or_default().push(write);
        }
    };
    let mut open: HashMap<u64, Write> = HashMap::new();
    for_each_note(path, |note| {
        match note {
            Note::Sent(sent) => drop(open.insert(sent.write, Write::new(sent))),
            Note::Ok(answered) => {
                close(&mut open, State::Ok, answered).into_iter().for_each(&mut keep)
            }
            Note::Fail(answered) => {
                close(&mut open, State::Fail, answered).into_iter().for_each(&mut keep);
            }
            Note::Unsent(answered) => drop(open.remove(&answered.write)),
            // It may be sent again, so it stays open.
            Note::Unknown(_) => {}
            Note::Retry(again) => {
                if let Some(write) = open.get_mut(&again.write) {
                    write.retried = true;
                }
            }
            Note::Seen(SeenWrite { write, table, key }) => {
                if ours(Row { table: &table, key: Some(&key), write: 0 }.digest()) {
                    seen.insert(write);
                }
            }
        }
        Ok(())
    })?;
    let mut unknown: Vec<Write> = open.into_values().collect();
    unknown.sort_by_key(|write| write.sent.write);
    unknown.into_iter().for_each(keep);
    let mut rows: Vec<Vec<Write>> = rows.into_values().collect();
    for row in &mut rows {
        // By time rather than by number: of several generators only one clock is common.
        row.sort_by_key(|write| (write.sent.at_us, write.sent.write));
        row.iter_mut().for_each(|write| write.seen = seen.contains(&write.sent.write));
    }
    Ok(Part { rows, sums })
}

fn close(open: &mut HashMap<u64, Write>, state: State, answered: Answered) -> Option<Write> {
    let mut write = open.remove(&answered.write)?;
    write.settle(state, answered);
    Some(write)
}

/// Reads a ledger line by line. A last line without an end was being written when the load was killed,
/// before what it tells of was sent; anything else that is no note is damage.
pub(super) fn for_each_note(path: &Path, mut take: impl FnMut(Note) -> Result<()>) -> Result<()> {
    let place = path.display();
    let file = own_file::open(path).or_run(format!("cannot read {place}"), "")?;
    let mut file = BufReader::with_capacity(1 << 18, file);
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        file.read_until(b'\n', &mut line).or_run(format!("cannot read {place}"), "")?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        number += 1;
        let note = serde_json::from_slice(&line).map_err(|error| {
            let what = format!("{place}, line {number}: is no note of a write: {error}");
            Error::run(what, "the file was changed or damaged")
        })?;
        take(note)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn key(id: &str) -> Columns {
        [("id".to_owned(), Some(id.to_owned()))].into()
    }

    fn file(notes: &[Note], tail: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for note in notes {
            writeln!(file, "{}", serde_json::to_string(note).expect("plain data")).expect("space");
        }
        file.write_all(tail.as_bytes()).expect("space");
        file
    }

    fn sent(write: u64, key: Columns) -> Note {
        Note::Sent(SentWrite { write, table: "revenue".into(), key, ..SentWrite::default() })
    }

    fn answered(write: u64, key: Columns) -> Answered {
        Answered { write, at_us: 10 * write, key, status: None }
    }

    #[test]
    fn writes_come_back_by_row_with_what_became_of_them() {
        let notes = [
            sent(1, Columns::new()),
            sent(2, Columns::new()),
            Note::Ok(answered(1, key("7"))),
            Note::Fail(answered(2, Columns::new())),
            sent(3, key("7")),
            Note::Ok(answered(3, Columns::new())),
            Note::Seen(SeenWrite { write: 3, table: "revenue".into(), key: key("7") }),
            sent(4, Columns::new()),
            Note::Unknown(answered(4, Columns::new())),
            sent(5, Columns::new()),
            Note::Unknown(answered(5, Columns::new())),
            Note::Retry(answered(5, Columns::new())),
            Note::Ok(answered(5, key("8"))),
            sent(6, key("9")),
        ];
        // The process was killed while it wrote the last line.
        let file = file(&notes, "{\"state\":\"sent\",\"wri");
        let whole = part(file.path(), 0, 1).expect("readable");
        let sums = Sums { writes: 6, ok: 3, fail: 1, unknown: 2, retried: 1 };
        assert_eq!(whole.sums, sums);
        let orders = |part: &Part| -> Vec<Vec<(u64, State, bool)>> {
            let of = |row: &Vec<Write>| {
                row.iter().map(|w| (w.sent.write, w.state, w.seen)).collect::<Vec<_>>()
            };
            part.rows.iter().map(of).collect()
        };
        let mut all = orders(&whole);
        all.sort_by_key(|row| row[0].0);
        use State::{Fail, Ok, Unknown};
        assert_eq!(
            all,
            [
                vec![(1, Ok, false), (3, Ok, true)],
                vec![(2, Fail, false)],
                vec![(4, Unknown, false)],
                vec![(5, Ok, false)],
                vec![(6, Unknown, false)],
            ]
        );
        // In parts: each row once, whole.
        let mut parts: Vec<_> =
            (0..3).flat_map(|n| orders(&part(file.path(), n, 3).expect("readable"))).collect();
        parts.sort_by_key(|row| row[0].0);
        assert_eq!(parts, all);
    }

    #[test]
    fn damage_within_the_file_is_no_end_of_it() {
        let file = file(&[sent(1, key("1"))], "{\"state\":\"sent\"\n");
        let error = part(file.path(), 0, 1).expect_err("damaged").to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
