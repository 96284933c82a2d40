//! The ledgers of several generators as one: numbers that no two of them share, times on one clock.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::FILE;
use super::read::for_each_note;
use cutover_error::{Error, Result};
use cutover_evidence::ledger::Note;
use cutover_evidence::shard::Shard;
use cutover_ground::whole_file::WholeFile;

/// A ledger that waits for those of the other shards: its folder, whose it is, when its times begin.
pub(crate) type Waiting<'a> = (&'a Path, Shard, DateTime<Utc>);

/// Writes the ledgers as one into `out`.
///
/// # Errors
/// A run error if one cannot be read, or the other written.
pub(crate) fn put_together(ledgers: &[Waiting<'_>], out: &Path) -> Result<PathBuf> {
    let path = out.join(FILE);
    let failed = |error: &dyn std::fmt::Display| {
        Error::run(format!("cannot write {}: {error}", path.display()), "is the disk full?")
    };
    let mut file = WholeFile::create(&path).map_err(|error| failed(&error))?;
    let first = ledgers.iter().map(|(_, _, begun_at)| *begun_at).min().unwrap_or_default();
    for (folder, shard, begun_at) in ledgers {
        let later_us = (*begun_at - first).num_microseconds().unwrap_or(0).unsigned_abs();
        for_each_note(&folder.join(FILE), |mut note| {
            move_to(&mut note, *shard, later_us);
            let mut line = serde_json::to_vec(&note).expect("plain data");
            line.push(b'\n');
            file.write_all(&line).map_err(|error| failed(&error))
        })?;
    }
    file.finish().map_err(|error| failed(&error))?;
    Ok(path)
}

/// Gives a note its number and time among those of all generators.
fn move_to(note: &mut Note, shard: Shard, later_us: u64) {
    let moved = |number: u64| number.saturating_mul(shard.of).saturating_add(shard.index - 1);
    match note {
        Note::Sent(sent) => {
            sent.write = moved(sent.write);
            sent.over = sent.over.map(moved);
            sent.shard = Some(shard.index);
            sent.at_us += later_us;
        }
        Note::Ok(answered)
        | Note::Fail(answered)
        | Note::Unsent(answered)
        | Note::Unknown(answered)
        | Note::Retry(answered) => {
            answered.write = moved(answered.write);
            answered.at_us += later_us;
        }
        Note::Seen(seen) => seen.write = moved(seen.write),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::read::part;
    use cutover_evidence::ledger::{Answered, Columns, SeenWrite, SentWrite};

    /// Two writes of one shard to the row `key`, sent at 100 and 200 µs of its own time.
    fn ledger(folder: &Path, key: &Columns) {
        let (table, key) = ("cash_balance".to_owned(), key.clone());
        let mut text = String::new();
        for write in [1, 2] {
            let sent = SentWrite {
                write,
                over: write.checked_sub(1).filter(|over| *over > 0),
                at_us: 100 * write,
                table: table.clone(),
                key: key.clone(),
                ..SentWrite::default()
            };
            let answered = Answered { write, at_us: 100 * write + 50, ..Answered::default() };
            let seen = SeenWrite { write, table: table.clone(), key: key.clone() };
            for note in [Note::Sent(sent), Note::Ok(answered), Note::Seen(seen)] {
                text += &format!("{}\n", serde_json::to_string(&note).expect("plain data"));
            }
        }
        // The last line of a load that was killed.
        std::fs::write(folder.join(FILE), text + "{\"state\":\"se").expect("our own folder");
    }

    #[test]
    fn writes_to_one_row_stand_in_the_order_of_time_whoever_sent_them() {
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let key: Columns = [("id".to_owned(), Some("7".to_owned()))].into();
        let [one, two, out] = folders.each_ref().map(tempfile::TempDir::path);
        ledger(one, &key);
        ledger(two, &key);
        let begun_at = DateTime::UNIX_EPOCH;
        let later = begun_at + chrono::Duration::microseconds(50);
        let shard = |index| Shard { index, of: 2 };
        let path = put_together(&[(two, shard(2), later), (one, shard(1), begun_at)], out);
        let read = part(&path.expect("whole"), 0, 1).expect("readable");
        assert_eq!((read.sums.writes, read.rows.len()), (4, 1));
        let row = &read.rows[0];
        let writes =
            row.iter().map(|w| (w.sent.shard, w.sent.at_us, w.done_us, w.sent.over, w.seen));
        assert_eq!(
            writes.collect::<Vec<_>>(),
            [
                (Some(1), 100, Some(150), None, true),
                (Some(2), 150, Some(200), None, true),
                (Some(1), 200, Some(250), Some(2), true),
                (Some(2), 250, Some(300), Some(3), true),
            ]
        );
        let mut numbers: Vec<u64> = row.iter().map(|write| write.sent.write).collect();
        numbers.dedup();
        assert_eq!(numbers, [2, 3, 4, 5]);
    }
}
