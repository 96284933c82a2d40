//! Raw samples on disk: `samples.bin` always, `samples.csv` if there are few enough to look at.
//!
//! `samples.bin` begins with one line of JSON that names the operations and outcomes by their
//! numbers and lists the windows of the plan; after its line break come records of [`RECORD_BYTES`], little-endian, in the order in
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
//! | 48 | u16 | flags: 1 partitioned, 2 candidate, 4 measured, 8 waited for a free connection, 16 cache asked, 32 cache hit, 64 hot org, 384 size class of the org: 0 not known, 128 small, 256 medium, 384 large |

mod file;
mod reader;

use serde::{Deserialize, Serialize};

pub(super) use file::SampleFile;
pub(super) use reader::SampleReader;

use super::recorder::{Outcome, Sample};
use cutover_evidence::drive::Side;
use cutover_ground::http::Failure;
use cutover_scenario::{Arrival, WindowPlan};

/// Name of the file in a run's folder.
pub(super) const FILE: &str = "samples.bin";
/// Bytes of a record.
const RECORD_BYTES: usize = 50;
/// Where the two bits of the org's size class begin.
const CLASS_BIT: u16 = 7;
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

/// What the numbers in the records stand for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FirstLine {
    format: String,
    version: u32,
    record_bytes: usize,
    /// Operations by their number.
    pub operations: Vec<String>,
    /// Outcomes that are no HTTP status, by their number.
    outcomes: Vec<String>,
    /// The plan's windows in time order.
    pub windows: Vec<WindowPlan>,
}

impl FirstLine {
    pub(super) fn new(operations: Vec<String>, windows: Vec<WindowPlan>) -> Self {
        Self {
            format: "cutover samples".into(),
            version: 2,
            record_bytes: RECORD_BYTES,
            operations,
            outcomes: OUTCOMES.map(Outcome::name).into(),
            windows,
        }
    }

    /// Whether this program reads what follows.
    fn is_known(&self) -> bool {
        *self == Self::new(self.operations.clone(), self.windows.clone())
    }
}

/// The record of a sample.
fn encode(sample: &Sample, window: &WindowPlan) -> [u8; RECORD_BYTES] {
    let arrival = &sample.arrival;
    let outcome = match sample.outcome {
        Outcome::Status(status) => status,
        named => OUTCOMES.iter().position(|known| *known == named).unwrap_or(0) as u16,
    };
    let flags = [
        window.mode == Side::Partitioned,
        window.candidate,
        arrival.measured,
        sample.queued,
        sample.cached.is_some(),
        sample.cached == Some(true),
        arrival.hot,
    ];
    let class = sample.org_class.map_or(0, |class| u16::from(class) + 1) << CLASS_BIT;
    let flags = flags.iter().enumerate().fold(class, |all, (bit, on)| all | u16::from(*on) << bit);
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

/// The sample of a record; `None` if no load can have left it.
fn decode(record: &[u8; RECORD_BYTES], windows: &[WindowPlan]) -> Option<Sample> {
    let flags = half(record, 48);
    let flag = |bit: u16| flags & bit != 0;
    let due_us = long(record, 8);
    let window = windows.partition_point(|window| window.end_us <= due_us);
    let outcome = match half(record, 46) {
        status @ 100.. => Outcome::Status(status),
        number => *OUTCOMES.get(usize::from(number))?,
    };
    Some(Sample {
        arrival: Arrival {
            index: long(record, 0),
            due_us,
            org: long(record, 16),
            operation: half(record, 44),
            window: u32::try_from(window).ok().filter(|_| window < windows.len())?,
            hot: flag(64),
            measured: flag(4),
            // What filled the blanks is not kept.
            draw: 0,
            turn: 0,
        },
        lag_us: word(record, 24),
        service_us: word(record, 28),
        bytes_out: word(record, 32),
        bytes_in: word(record, 36),
        outcome,
        queued: flag(8),
        cached: flag(16).then(|| flag(32)),
        org_class: (flags >> CLASS_BIT).checked_sub(1).map(|class| class as u8),
        retry_after_s: None,
    })
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
    fn a_record_says_what_the_sample_said() {
        let window = |start_us, pair| WindowPlan {
            pair,
            round: pair.unwrap_or(0),
            mode: Side::Partitioned,
            candidate: true,
            start_us,
            measured_from_us: start_us,
            end_us: start_us + 1000,
        };
        let windows = [window(0, None), window(1000, Some(0)), window(2000, Some(1))];
        for (number, outcome) in OUTCOMES.into_iter().chain([Outcome::Status(503)]).enumerate() {
            let odd = number % 2 == 1;
            let sample = Sample {
                arrival: Arrival {
                    index: u64::MAX - 7,
                    due_us: 1999,
                    org: 12_345_678_901,
                    operation: 3,
                    window: 1,
                    hot: odd,
                    measured: !odd,
                    draw: 0,
                    turn: 0,
                },
                lag_us: 1,
                service_us: u32::MAX,
                bytes_out: 17,
                bytes_in: 4711,
                outcome,
                queued: odd,
                cached: [None, Some(true), Some(false)][number % 3],
                org_class: [None, Some(0), Some(2)][number % 3],
                retry_after_s: None,
            };
            assert_eq!(decode(&encode(&sample, &windows[1]), &windows), Some(sample));
        }
        assert_eq!(decode(&[0xff; RECORD_BYTES], &windows), None);
    }

    #[test]
    fn outcomes_and_statuses_never_share_a_number() {
        assert!(OUTCOMES.len() < 100);
        let names: std::collections::BTreeSet<String> = OUTCOMES.iter().map(|o| o.name()).collect();
        assert_eq!(names.len(), OUTCOMES.len());
    }
}
