//! Writes samples as they come.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{FILE, FirstLine, SampleReader, encode};
use crate::drive::recorder::Sample;
use crate::error::{Context, Result};
use crate::run_folder::draft;
use crate::scenario::WindowPlan;

/// With more samples than this, a text file helps nobody.
const MOST_LINES: u64 = 300_000;

/// `samples.bin` as it grows.
pub(in crate::drive) struct SampleFile {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    written: u64,
}

impl SampleFile {
    pub(in crate::drive) fn create(out: &Path, first_line: &FirstLine) -> Result<Self> {
        let path = out.join(FILE);
        let file =
            draft(out).or_run(format!("cannot write {}", path.display()), "is the disk full?")?;
        let file = BufWriter::with_capacity(1 << 17, file);
        let mut samples = Self { file, path, written: 0 };
        let first_line = serde_json::to_string(first_line).or_run("samples", "")?;
        samples.append(format!("{first_line}\n").as_bytes())?;
        Ok(samples)
    }

    pub(in crate::drive) fn write(&mut self, sample: &Sample, window: &WindowPlan) -> Result<()> {
        self.written += 1;
        self.append(&encode(sample, window))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let full = |path: &Path| format!("cannot write {}", path.display());
        self.file.write_all(bytes).or_run(full(&self.path), "is the disk full?")
    }

    /// Puts the file in its place, and a readable one beside it where it is not too long.
    pub(in crate::drive) fn finish(self, out: &Path) -> Result<()> {
        let place = format!("cannot write {}", self.path.display());
        let hint = "is the disk full?";
        let file = self.file.into_inner().map_err(|e| e.to_string()).or_run(&place, hint)?;
        file.persist(&self.path).or_run(&place, hint)?;
        if self.written <= MOST_LINES {
            write_csv(&self.path, &out.join("samples.csv"))?;
        }
        Ok(())
    }
}

/// Writes the samples of a binary file as text, in the order of the plan.
fn write_csv(from: &Path, to: &Path) -> Result<()> {
    let place = format!("cannot write {}", to.display());
    let mut reader = SampleReader::open(from)?;
    let mut samples = Vec::new();
    while let Some(sample) = reader.next()? {
        samples.push(sample);
    }
    samples.sort_unstable_by_key(|sample| sample.arrival.index);
    let FirstLine { operations, windows, .. } = &reader.first_line;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let columns = [
        "due_us",
        "pair",
        "mode",
        "candidate",
        "measured",
        "operation",
        "org_id",
        "hot",
        "lag_us",
        "service_us",
        "response_us",
        "outcome",
        "queued",
        "cache",
        "bytes_out",
        "bytes_in",
    ];
    writer.write_record(columns).or_run(&place, "")?;
    for sample in samples {
        let arrival = &sample.arrival;
        let window = &windows[arrival.window as usize];
        let line = (
            arrival.due_us,
            window.pair,
            window.mode.as_str(),
            window.candidate,
            arrival.measured,
            operations.get(usize::from(arrival.operation)),
            arrival.org,
            arrival.hot,
            sample.lag_us,
            sample.service_us,
            sample.response_us(),
            sample.outcome.name(),
            sample.queued,
            sample.cached.map_or("", |hit| if hit { "hit" } else { "miss" }),
            sample.bytes_out,
            sample.bytes_in,
        );
        writer.serialize(line).or_run(&place, "")?;
    }
    let text = writer.into_inner().map_err(|e| e.to_string()).or_run(&place, "")?;
    crate::run_folder::write_whole(to, &text)
}
