//! What is remembered of every arrival, on its way from the workers to the collector.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cutover_ground::http::Failure;
use cutover_scenario::Arrival;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A right answer.
    Ok,
    /// A status that the scenario does not expect.
    Status(u16),
    /// No complete answer.
    Failed(Failure),
    /// A right status, served by the wrong side.
    WrongMode,
    /// A right status, but the body is not what it says it is, or lacks what the scenario takes.
    BadBody,
    /// A right status, but a check of the scenario does not hold.
    CheckFailed,
    /// A right answer, with another org's data in it.
    ForeignOrg,
    /// Its blanks were filled with what no URL or header may hold: the scenario's fault.
    Unsendable,
    /// Never sent: nobody was free in time, or there was no row to work on.
    Skipped,
}

impl Outcome {
    /// Whether the generator lacked what it takes to send it: no word about the target.
    pub(super) fn is_own_want(self) -> bool {
        self == Self::Failed(Failure::Local)
    }

    /// Whether nothing was sent, so that there is nothing to be judged.
    pub(super) fn is_unsent(self) -> bool {
        self == Self::Skipped || self.is_own_want()
    }

    /// The name used in files and reports.
    pub(super) fn name(self) -> String {
        match self {
            Self::Ok => "ok".into(),
            Self::Status(status) => format!("http_{status}"),
            Self::Failed(failure) => failure.name().into(),
            Self::WrongMode => "wrong_mode".into(),
            Self::BadBody => "bad_body".into(),
            Self::CheckFailed => "check_failed".into(),
            Self::ForeignOrg => "foreign_org".into(),
            Self::Unsendable => "unsendable".into(),
            Self::Skipped => "skipped".into(),
        }
    }
}

/// What became of one arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub arrival: Arrival,
    /// Sent minus due, microseconds.
    pub lag_us: u32,
    /// Done minus sent, microseconds.
    pub service_us: u32,
    /// Bytes of the request, head included.
    pub bytes_out: u32,
    /// Bytes of the answer, head included.
    pub bytes_in: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it waited for a free connection, so that its lag is the target's doing.
    pub queued: bool,
    /// Whether the platform's cache answered, if it says so.
    pub cached: Option<bool>,
    /// The size class of its org, if sizes are known; filled in by the collector.
    pub org_class: Option<u8>,
    /// Seconds the target asked to be left alone for.
    pub retry_after_s: Option<u32>,
}

impl Sample {
    /// Done minus due, microseconds.
    pub(super) fn response_us(&self) -> u64 {
        u64::from(self.lag_us) + u64::from(self.service_us)
    }

    /// The same without what the generator itself was late.
    pub(super) fn response_without_own_lag_us(&self) -> u64 {
        match self.queued {
            true => self.response_us(),
            false => u64::from(self.service_us),
        }
    }
}

/// Where workers leave their samples. Many shelves, so that nobody waits for another.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    shelves: [Mutex<Vec<Sample>>; SHELVES],
    finished_workers: AtomicUsize,
}

const SHELVES: usize = 16;

impl Recorder {
    /// Leaves a sample; `worker` picks the shelf.
    pub(super) fn leave(&self, worker: usize, sample: Sample) {
        self.shelves[worker % SHELVES].lock().expect("no panic while held").push(sample);
    }

    /// Takes what has been left since the last time.
    pub(super) fn collect(&self, mut take: impl FnMut(Sample)) {
        for shelf in &self.shelves {
            let samples = std::mem::take(&mut *shelf.lock().expect("no panic while held"));
            samples.into_iter().for_each(&mut take);
        }
    }

    /// Notes that a worker came to an orderly end.
    pub(super) fn worker_finished(&self) {
        self.finished_workers.fetch_add(1, Ordering::SeqCst);
    }

    /// Workers that came to an orderly end.
    pub(super) fn finished_workers(&self) -> usize {
        self.finished_workers.load(Ordering::SeqCst)
    }
}
