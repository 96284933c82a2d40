//! Lines of the log that were read and not judged yet: in memory as far as that goes, then on disk, and
//! bounded there. So the log is always read as fast as it comes, and the server waits for nobody.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Result, Seek, SeekFrom, Write};

/// Bytes kept in memory.
const MEMORY: usize = 64 << 20;
/// Bytes kept on disk.
const DISK: u64 = 1 << 30;

/// Lines in their order.
#[derive(Default)]
pub(super) struct Spool {
    lines: Vec<String>,
    bytes: usize,
    disk: Option<BufWriter<File>>,
    on_disk: u64,
    /// Whether there were more than could be kept.
    is_cut: bool,
}

impl Spool {
    /// Keeps a line.
    pub(super) fn push(&mut self, line: String) -> Result<()> {
        self.push_within(line, MEMORY, DISK)
    }

    fn push_within(&mut self, line: String, memory: usize, disk: u64) -> Result<()> {
        if self.disk.is_none() && self.bytes + line.len() <= memory {
            self.bytes += line.len();
            self.lines.push(line);
            return Ok(());
        }
        if self.is_cut || self.on_disk + line.len() as u64 > disk {
            self.is_cut = true;
            return Ok(());
        }
        let file = match &mut self.disk {
            Some(file) => file,
            // Without a name: it goes with this process, whatever ends it.
            none => none.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        // A value may hold line breaks, so each line is preceded by its length.
        self.on_disk += line.len() as u64 + 1;
        writeln!(file, "{}", line.len())?;
        file.write_all(line.as_bytes())
    }

    /// Whether lines had to be let go.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The lines, in their order.
    pub(super) fn read(self) -> Result<impl Iterator<Item = Result<String>>> {
        let disk = match self.disk {
            None => None,
            Some(file) => {
                let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
                file.seek(SeekFrom::Start(0))?;
                Some(BufReader::new(file))
            }
        };
        Ok(self.lines.into_iter().map(Ok).chain(disk.into_iter().flat_map(FromDisk)))
    }
}

/// The lines of a file that [`Spool::push`] wrote.
struct FromDisk(BufReader<File>);

impl Iterator for FromDisk {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let mut length = String::new();
        match self.0.read_line(&mut length) {
            Ok(0) => None,
            Ok(_) => Some(self.line(length.trim_end().parse().unwrap_or(0))),
            Err(error) => Some(Err(error)),
        }
    }
}

impl FromDisk {
    fn line(&mut self, length: usize) -> Result<String> {
        let mut line = vec![0; length];
        std::io::Read::read_exact(&mut self.0, &mut line)?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_in_their_order_and_what_is_too_much_is_told() {
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}\nof two")).collect();
        let mut spool = Spool::default();
        for line in &lines {
            spool.push_within(line.clone(), 200, 1 << 20).expect("room");
        }
        assert!(spool.disk.is_some() && !spool.is_cut() && spool.lines.len() < 20);
        let back: Result<Vec<String>> = spool.read().expect("it is read").collect();
        assert_eq!(back.expect("lines"), lines);
        let mut small = Spool::default();
        for line in &lines {
            small.push_within(line.clone(), 200, 100).expect("room");
        }
        let back = small.is_cut().then(|| small.read().expect("it is read").count());
        assert!(back.is_some_and(|kept| kept < 30), "{back:?}");
    }
}
