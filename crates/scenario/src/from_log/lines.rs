//! The lines of a log, plain or gzip, whatever bytes they hold and however long they are.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Cursor, Read, Result};

use flate2::bufread::MultiGzDecoder;

/// Longer lines are no log of requests.
const LONGEST: usize = 64 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BUFFER: usize = 256 * 1024;

/// One line.
pub(super) enum Line<'a> {
    Blank,
    TooLong,
    Text(Cow<'a, str>),
}

/// Reads line by line, never holding more than one.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
}

impl Lines {
    /// Looks at the first bytes to tell gzip from text.
    pub(super) fn new(mut input: impl Read + Send + 'static) -> Result<Self> {
        let mut head = Vec::new();
        input.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
        let zipped = head == GZIP;
        let input = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(input));
        let input: Box<dyn BufRead + Send> = match zipped {
            // Rotated logs are often several gzip files, one behind the other.
            true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(input))),
            false => Box::new(input),
        };
        Ok(Self { input, line: Vec::new() })
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = LONGEST as u64 + 1;
        if self.input.by_ref().take(limit).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.len() > LONGEST && self.line.last() != Some(&b'\n') {
            self.skip_rest()?;
            return Ok(Some(Line::TooLong));
        }
        let text = self.line.trim_ascii();
        Ok(Some(match text.is_empty() {
            true => Line::Blank,
            false => Line::Text(String::from_utf8_lossy(text)),
        }))
    }

    fn skip_rest(&mut self) -> Result<()> {
        loop {
            let buffered = self.input.fill_buf()?;
            let (used, end) = match buffered.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffered.len(), buffered.is_empty()),
            };
            self.input.consume(used);
            if end {
                return Ok(());
            }
        }
    }
}
