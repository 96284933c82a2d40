//! Writes samples as they come.

use std::io::Write;
use std::path::Path;

use super::{FILE, FirstLine, SampleReader, encode};
use crate::recorder::Sample;
use cutover_error::{Context, Error, Result};
use cutover_ground::whole_file::WholeFile;
use cutover_scenario::WindowPlan;

/// With more samples than this, a text file helps nobody.
const MOST_LINES: u64 = 300_000;

/// `samples.bin` as it grows.
pub(crate) struct SampleFile {
    file: WholeFile,
    written: u64,
}

impl SampleFile {
    pub(crate) fn create(out: &Path, first_line: &FirstLine) -> Result<Self> {
        let path = out.join(FILE);
        let place = format!("cannot write {}", path.display());
        let file = WholeFile::create(path).or_run(place, "is the disk full?")?;
        let mut samples = Self { file, written: 0 };
        let first_line = serde_json::to_string(first_line).or_run("samples", "")?;
        samples.append(format!("{first_line}\n").as_bytes())?;
        Ok(samples)
    }

    pub(crate) fn write(&mut self, sample: &Sample, window: &WindowPlan) -> Result<()> {
        self.written += 1;
        self.append(&encode(sample, window))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| failed(self.file.path(), &error))
    }

    /// Puts the file in its place, and a readable one beside it if it is not too long.
    pub(crate) fn finish(self, out: &Path) -> Result<()> {
        let path = self.file.path().to_owned();
        self.file.finish().map_err(|error| failed(&path, &error))?;
        if self.written <= MOST_LINES {
            write_csv(&path, &out.join("samples.csv"))?;
        }
        Ok(())
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::run(format!("cannot write {}: {error}", path.display()), "is the disk full?")
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
    cutover_ground::run_folder::write_whole(to, &text)
}
