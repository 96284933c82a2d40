//! What the generator itself uses of the machine.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use cutover_evidence::drive::GeneratorPoint;

/// Looks at this process once a second.
pub(super) struct Usage {
    begin: Instant,
    looked: Instant,
    cpu_s: f64,
}

impl Usage {
    pub(super) fn new(begin: Instant) -> Self {
        Self { begin, looked: Instant::now(), cpu_s: cpu_time_s() }
    }

    /// What was used since the last look, if that was a second ago.
    pub(super) fn once_a_second(&mut self) -> Option<GeneratorPoint> {
        let passed_s = self.looked.elapsed().as_secs_f64();
        if passed_s < Duration::from_secs(1).as_secs_f64() {
            return None;
        }
        let used_s = cpu_time_s() - self.cpu_s;
        self.looked = Instant::now();
        self.cpu_s += used_s;
        Some(GeneratorPoint {
            at_s: self.begin.elapsed().as_secs_f64(),
            cpu_share: used_s / (passed_s * cores()),
            memory_bytes: memory_bytes(),
        })
    }
}

/// Processors this process may use.
pub(super) fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

/// Processor time this process has used, user and system.
pub(super) fn cpu_time_s() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}

/// Resident memory; 0 if the system does not say.
fn memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
