//! Reads samples back, one by one.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{FirstLine, RECORD_BYTES, decode};
use crate::recorder::Sample;
use cutover_error::{Context, Error, Result};
use cutover_ground::own_file;

/// A `samples.bin` that is being read.
pub(crate) struct SampleReader {
    /// What the numbers stand for.
    pub first_line: FirstLine,
    file: BufReader<File>,
    path: PathBuf,
}

impl SampleReader {
    /// # Errors
    /// A run error if the file is missing, damaged, or of another version.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let place = format!("cannot read {}", path.display());
        let mut file = BufReader::with_capacity(1 << 17, own_file::open(path).or_run(&place, "")?);
        let mut line = String::new();
        file.read_line(&mut line).or_run(&place, "")?;
        let first_line: FirstLine =
            serde_json::from_str(&line).or_run(&place, "its first line is damaged")?;
        if !first_line.is_known() {
            let hint = "use the version of cutover that wrote it";
            return Err(Error::run(format!("{place}: it is of another layout"), hint));
        }
        Ok(Self { first_line, file, path: path.to_owned() })
    }

    /// The next sample; `None` behind the last.
    ///
    /// # Errors
    /// A run error if the file is damaged or ends within a record.
    pub(crate) fn next(&mut self) -> Result<Option<Sample>> {
        let place = || format!("cannot read {}", self.path.display());
        if self.file.fill_buf().or_run(place(), "")?.is_empty() {
            return Ok(None);
        }
        let mut record = [0; RECORD_BYTES];
        match self.file.read_exact(&mut record) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(Error::run(format!("{}: it is cut off", place()), ""));
            }
            read => read.or_run(place(), "")?,
        }
        match decode(&record, &self.first_line.windows) {
            Some(sample) => Ok(Some(sample)),
            None => Err(Error::run(format!("{}: a record is damaged", place()), "")),
        }
    }
}
