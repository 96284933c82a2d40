//! Rows on their way from the leaves to their keys: in memory while they are few, else in files without a
//! name, which end with the process whatever ends that.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use cutover_error::{Context, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Rows are divided by their key into so many parts, of which one at a time is sorted.
const PARTS: usize = 256;
/// Bytes of rows that are kept in memory.
const HELD_BYTES: usize = 64 << 20;

/// Rows, divided by their key.
pub(super) struct Spool {
    folder: PathBuf,
    parts: Vec<Part>,
    held: usize,
    /// From how many bytes on they go to files.
    limit: usize,
    /// Whether any did.
    spilled: bool,
}

#[derive(Default)]
struct Part {
    /// Rows, each behind its length.
    held: Vec<u8>,
    file: Option<File>,
}

impl Spool {
    /// Keeps what is too much for memory in files of this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        let parts = std::iter::repeat_with(Part::default).take(PARTS).collect();
        Self { folder, parts, held: 0, limit: HELD_BYTES, spilled: false }
    }

    /// Adds a row; rows with the same `key` come together again.
    ///
    /// # Errors
    /// A run error if the disk takes no more.
    pub(super) fn add(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        let part = &mut self.parts[xxh3_64(key) as usize % PARTS];
        part.held.extend_from_slice(&(row.len() as u32).to_le_bytes());
        part.held.extend_from_slice(row);
        self.held += 4 + row.len();
        self.spill_if_full()
    }

    /// Takes the rows of another.
    ///
    /// # Errors
    /// A run error if the disk takes no more.
    pub(super) fn take(&mut self, mut other: Self) -> Result<()> {
        for nth in 0..PARTS {
            let bytes = other.bytes(nth..nth + 1)?;
            self.held += bytes.len();
            self.parts[nth].held.extend_from_slice(&bytes);
            self.spill_if_full()?;
        }
        Ok(())
    }

    fn spill_if_full(&mut self) -> Result<()> {
        if self.held <= self.limit {
            return Ok(());
        }
        let what = format!("cannot keep rows in {}", self.folder.display());
        self.spill().or_run(what, "is the disk full?")
    }

    fn spill(&mut self) -> std::io::Result<()> {
        for part in self.parts.iter_mut().filter(|part| !part.held.is_empty()) {
            let file = match &mut part.file {
                Some(file) => file,
                none => none.insert(tempfile::tempfile_in(&self.folder)?),
            };
            file.write_all(&part.held)?;
            part.held.clear();
        }
        (self.held, self.spilled) = (0, true);
        Ok(())
    }

    /// How many parts there are to be read; one where all rows are in memory.
    pub(super) fn len(&self) -> usize {
        if self.spilled { PARTS } else { 1 }
    }

    /// The rows of a part.
    ///
    /// # Errors
    /// A run error if a file cannot be read.
    pub(super) fn part(&mut self, nth: usize) -> Result<Vec<Bytes>> {
        let parts = if self.spilled { nth..nth + 1 } else { 0..PARTS };
        let mut bytes = Bytes::from(self.bytes(parts)?);
        let mut rows = Vec::new();
        while let Some(length) = bytes.first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            let row = bytes.slice(4..4 + length);
            bytes = bytes.slice(4 + length..);
            rows.push(row);
        }
        Ok(rows)
    }

    fn bytes(&mut self, parts: Range<usize>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in &mut self.parts[parts] {
            if let Some(file) = &mut part.file {
                let mut read = || {
                    file.seek(SeekFrom::Start(0))?;
                    file.read_to_end(&mut bytes)
                };
                read().or_run("cannot read back rows", "")?;
            }
            bytes.extend_from_slice(&part.held);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_files_comes_back_by_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        for limit in [usize::MAX, 5_000] {
            let mut spool = Spool { limit, ..Spool::new(folder.path().into()) };
            for round in 0..3_u32 {
                for key in 0..1000_u32 {
                    let row = [key.to_le_bytes(), round.to_le_bytes()].concat();
                    spool.add(&key.to_le_bytes(), &row).expect("room");
                }
            }
            assert_eq!(spool.spilled, limit == 5_000);
            let mut seen = std::collections::HashMap::<u32, usize>::new();
            for part in 0..spool.len() {
                let rows = spool.part(part).expect("readable");
                let key = |row: &Bytes| u32::from_le_bytes(*row.first_chunk().expect("a key"));
                for row in &rows {
                    // All rows of a key are in one part, in the order in which they came.
                    let its: Vec<&Bytes> =
                        rows.iter().filter(|other| key(other) == key(row)).collect();
                    assert_eq!(its.len(), 3);
                    assert_eq!(its[2][4..], 2_u32.to_le_bytes());
                    *seen.entry(key(row)).or_default() += 1;
                }
            }
            assert!(seen.len() == 1000 && seen.values().all(|rows| *rows == 3));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("our folder").count(), 0);
    }
}
