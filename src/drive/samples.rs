//! Raw samples on disk: `samples.bin` always, `samples.csv` where there are few enough to look at.
//!
//! `samples.bin` begins with one line of JSON that names the operations and outcomes by their
//! numbers; after its line break come records of [`RECORD_BYTES`], little-endian, in the order in
//! which answers arrived:
//!
//! | offset | type | what |
//! | --- | --- | --- |
//! | 0 | u64 | number of the arrival in the plan |
//! | 8 | u64 | due, µs since the load began |
//! | 16 | u64 | org |
//! | 24 | u32 | lag: sent − due, µs |
//! | 28 | u32 | service time: done − sent, µs |
//! | 32 | u32 | bytes of the request |
//! | 36 | u32 | bytes of the answer |
//! | 40 | u32 | pair; 4294967295 for warm-up |
//! | 44 | u16 | operation |
//! | 46 | u16 | outcome: an HTTP status that was not expected, or a number of the first line |
//! | 48 | u16 | flags: 1 partitioned, 2 candidate, 4 measured, 8 waited for a free connection, 16 cache asked, 32 cache hit, 64 hot org |

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::recorder::{Outcome, Sample};
use crate::error::{Context, Result};
use crate::evidence::drive::Mode;
use crate::http::Failure;
use crate::run_folder::draft;
use crate::scenario::{Scenario, WindowPlan};

/// Bytes of a record.
const RECORD_BYTES: usize = 50;
/// With more samples than this, a text file helps nobody.
const MOST_LINES: u64 = 300_000;
/// Outcomes that are no HTTP status, by their number.
const OUTCOMES: [Outcome; 17] = [
    Outcome::Ok,
    Outcome::Skipped,
    Outcome::WrongMode,
    Outcome::BadBody,
    Outcome::CheckFailed,
    Outcome::Unsendable,
    Outcome::Failed(Failure::Timeout),
    Outcome::Failed(Failure::Refused),
    Outcome::Failed(Failure::Unreachable),
    Outcome::Failed(Failure::Reset),
    Outcome::Failed(Failure::Closed),
    Outcome::Failed(Failure::Truncated),
    Outcome::Failed(Failure::Dns),
    Outcome::Failed(Failure::Tls),
    Outcome::Failed(Failure::Protocol),
    Outcome::Failed(Failure::Local),
    Outcome::ForeignOrg,
];

/// Writes samples as they come.
pub(super) struct SampleFile {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    operations: Vec<String>,
    written: u64,
}

impl SampleFile {
    pub(super) fn create(out: &Path, scenario: &Scenario) -> Result<Self> {
        let path = out.join("samples.bin");
        let file =
            draft(out).or_run(format!("cannot write {}", path.display()), "is the disk full?")?;
        let operations: Vec<String> = scenario.operations.iter().map(|o| o.name.clone()).collect();
        let first_line = json!({
            "format": "cutover samples",
            "version": 1,
            "record_bytes": RECORD_BYTES,
            "operations": operations,
            "outcomes": OUTCOMES.map(Outcome::name),
        });
        let file = BufWriter::with_capacity(1 << 17, file);
        let mut samples = Self { file, path, operations, written: 0 };
        samples.append(format!("{first_line}\n").as_bytes())?;
        Ok(samples)
    }

    pub(super) fn write(&mut self, sample: &Sample, window: &WindowPlan) -> Result<()> {
        self.written += 1;
        self.append(&encode(sample, window))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let full = |path: &Path| format!("cannot write {}", path.display());
        self.file.write_all(bytes).or_run(full(&self.path), "is the disk full?")
    }

    /// Puts the file in its place, and a readable one beside it where it is not too long.
    pub(super) fn finish(self, out: &Path) -> Result<()> {
        let place = format!("cannot write {}", self.path.display());
        let hint = "is the disk full?";
        let file = self.file.into_inner().map_err(|e| e.to_string()).or_run(&place, hint)?;
        file.persist(&self.path).or_run(&place, hint)?;
        if self.written <= MOST_LINES {
            write_csv(&self.path, &out.join("samples.csv"), &self.operations)?;
        }
        Ok(())
    }
}

fn encode(sample: &Sample, window: &WindowPlan) -> [u8; RECORD_BYTES] {
    let arrival = &sample.arrival;
    let outcome = match sample.outcome {
        Outcome::Status(status) => status,
        named => OUTCOMES.iter().position(|known| *known == named).unwrap_or(0) as u16,
    };
    let flags = [
        window.mode == Mode::Partitioned,
        window.candidate,
        arrival.measured,
        sample.queued,
        sample.cached.is_some(),
        sample.cached == Some(true),
        arrival.hot,
    ];
    let flags = flags.iter().enumerate().fold(0, |all, (bit, on)| all | u16::from(*on) << bit);
    let mut record = [0; RECORD_BYTES];
    record[0..8].copy_from_slice(&arrival.index.to_le_bytes());
    record[8..16].copy_from_slice(&arrival.due_us.to_le_bytes());
    record[16..24].copy_from_slice(&arrival.org.to_le_bytes());
    let words = [
        sample.lag_us,
        sample.service_us,
        sample.bytes_out,
        sample.bytes_in,
        window.pair.unwrap_or(u32::MAX),
    ];
    for (place, word) in record[24..44].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    for (place, half) in record[44..].chunks_exact_mut(2).zip([arrival.operation, outcome, flags]) {
        place.copy_from_slice(&half.to_le_bytes());
    }
    record
}

/// Writes the samples of a binary file as text, in the order of the plan.
fn write_csv(from: &Path, to: &Path, operations: &[String]) -> Result<()> {
    let place = format!("cannot write {}", to.display());
    let mut reader = BufReader::new(std::fs::File::open(from).or_run(&place, "")?);
    reader.read_until(b'\n', &mut Vec::new()).or_run(&place, "")?;
    let mut records = Vec::new();
    reader.read_to_end(&mut records).or_run(&place, "")?;
    let mut records: Vec<&[u8]> = records.chunks_exact(RECORD_BYTES).collect();
    records.sort_unstable_by_key(|record| long(record, 0));
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
    for record in records {
        let flag = |bit: u16| half(record, 48) & bit != 0;
        let outcome = match half(record, 46) {
            status @ 100.. => format!("http_{status}"),
            number => OUTCOMES[usize::from(number)].name(),
        };
        let (lag_us, service_us) = (word(record, 24), word(record, 28));
        let line = (
            long(record, 8),
            Some(word(record, 40)).filter(|pair| *pair != u32::MAX),
            if flag(1) { "partitioned" } else { "legacy" },
            flag(2),
            flag(4),
            &operations[usize::from(half(record, 44))],
            long(record, 16),
            flag(64),
            lag_us,
            service_us,
            u64::from(lag_us) + u64::from(service_us),
            outcome,
            flag(8),
            if !flag(16) {
                ""
            } else if flag(32) {
                "hit"
            } else {
                "miss"
            },
            word(record, 32),
            word(record, 36),
        );
        writer.serialize(line).or_run(&place, "")?;
    }
    let text = writer.into_inner().map_err(|e| e.to_string()).or_run(&place, "")?;
    crate::run_folder::write_whole(to, &text)
}

fn long(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes"))
}

fn word(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes"))
}

fn half(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(record[at..at + 2].try_into().expect("two bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_statuses_never_share_a_number() {
        assert!(OUTCOMES.len() < 100);
        let names: std::collections::BTreeSet<String> = OUTCOMES.iter().map(|o| o.name()).collect();
        assert_eq!(names.len(), OUTCOMES.len());
    }
}
