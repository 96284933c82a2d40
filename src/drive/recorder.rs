//! What is remembered of every arrival.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A right answer.
    Ok,
    /// A status that the scenario does not expect.
    Status(u16),
    /// No complete answer in time.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection broke.
    Reset,
    /// The answer ended in the middle.
    Truncated,
    /// The host's name could not be resolved.
    Dns,
    /// What came was not HTTP.
    Protocol,
    /// A right status, served by the wrong side.
    WrongMode,
    /// A right status, but the body is not what the scenario needs.
    BadBody,
    /// Never sent: nobody was free in time, or there was no row to work on.
    Skipped,
}

impl Outcome {
    /// The name used in files and reports.
    pub(super) fn name(self) -> String {
        match self {
            Self::Ok => "ok".into(),
            Self::Status(status) => format!("http_{status}"),
            Self::Timeout => "timeout".into(),
            Self::Refused => "refused".into(),
            Self::Reset => "reset".into(),
            Self::Truncated => "truncated".into(),
            Self::Dns => "dns".into(),
            Self::Protocol => "protocol".into(),
            Self::WrongMode => "wrong_mode".into(),
            Self::BadBody => "bad_body".into(),
            Self::Skipped => "skipped".into(),
        }
    }
}

/// What became of one arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Index of the arrival in the plan.
    pub arrival: u32,
    /// Sent minus due, microseconds.
    pub lag_us: u32,
    /// Done minus sent, microseconds.
    pub service_us: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it waited for a free connection, so that its lag is the target's doing.
    pub queued: bool,
    /// Whether the platform says that its cache answered.
    pub cache_hit: bool,
}

impl Sample {
    /// Done minus due, microseconds.
    pub(super) fn response_us(&self) -> u64 {
        u64::from(self.lag_us) + u64::from(self.service_us)
    }
}

/// Where workers hand in their samples, and what a watcher may see meanwhile.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    samples: Mutex<Vec<Sample>>,
    /// Requests done so far.
    pub done: AtomicU64,
    /// Of those, failed ones.
    pub failed: AtomicU64,
    /// Workers that came to an orderly end.
    pub finished_workers: AtomicUsize,
}

impl Recorder {
    /// Counts an outcome for whoever watches.
    pub(super) fn count(&self, outcome: Outcome) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if outcome != Outcome::Ok {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a worker's samples at its orderly end.
    pub(super) fn hand_in(&self, samples: Vec<Sample>) {
        self.samples.lock().expect("no panic while held").extend(samples);
        self.finished_workers.fetch_add(1, Ordering::SeqCst);
    }

    /// All samples, in the order of the plan.
    pub(super) fn take(&self) -> Vec<Sample> {
        let mut samples = std::mem::take(&mut *self.samples.lock().expect("no panic while held"));
        samples.sort_unstable_by_key(|sample| sample.arrival);
        samples
    }
}
