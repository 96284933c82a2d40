//! What the machine does meanwhile: how busy it is, with our own work and with that of others.

use std::collections::BTreeMap;
use std::time::Instant;

use super::usage::cores;
use cutover_evidence::machine::MachinePoint;

/// Looks at the machine once a second. Linux alone says so much; elsewhere nothing is seen.
pub(super) struct Machine {
    begin: Instant,
    looked: Instant,
    before: Option<Counters>,
}

/// Processor time since the machine was started, in ticks, and seconds that somebody waited.
struct Counters {
    /// Of all processors together, idle time included.
    all: u64,
    idle: u64,
    /// Taken by the hypervisor for somebody else.
    stolen: u64,
    /// Of our process and its descendants, by process.
    ours: BTreeMap<u32, u64>,
    /// Microseconds in which some task waited for a processor; `None` if the kernel does not say.
    waited_us: Option<u64>,
    /// Tasks that run or wait to.
    runnable: u64,
}

impl Machine {
    pub(super) fn new(begin: Instant) -> Self {
        Self { begin, looked: Instant::now(), before: Counters::read() }
    }

    /// What has been since the last look, if that was a second ago.
    pub(super) fn once_a_second(&mut self) -> Option<MachinePoint> {
        let passed_s = self.looked.elapsed().as_secs_f64();
        if passed_s < 1.0 {
            return None;
        }
        self.looked = Instant::now();
        let now = Counters::read()?;
        let before = self.before.replace(now)?;
        let now = self.before.as_ref()?;
        let all = now.all.saturating_sub(before.all).max(1) as f64;
        let share = |now: u64, before: u64| now.saturating_sub(before) as f64 / all;
        let (idle, stolen) = (share(now.idle, before.idle), share(now.stolen, before.stolen));
        // A process that is new has done all of its work since.
        let worked = now.ours.iter().map(|(process, ticks)| {
            ticks.saturating_sub(before.ours.get(process).copied().unwrap_or(0))
        });
        let busy = (1.0 - idle - stolen).max(0.0);
        Some(MachinePoint {
            at_s: self.begin.elapsed().as_secs_f64(),
            busy_share: busy,
            own_share: (worked.sum::<u64>() as f64 / all).min(busy),
            steal_share: stolen,
            waiting_share: now.waited_us.zip(before.waited_us).map(|(now, before)| {
                (now.saturating_sub(before) as f64 / (passed_s * 1e6)).clamp(0.0, 1.0)
            }),
            runnable: now.runnable,
        })
    }
}

impl Counters {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let (all, idle, stolen) = processors(&stat)?;
        // Of a machine of which we may use a part alone, shares of the whole say little.
        let there = stat.lines().filter(|line| line.starts_with("cpu")).count() - 1;
        if (there as f64) > cores() {
            return None;
        }
        let pressure = std::fs::read_to_string("/proc/pressure/cpu").ok();
        Some(Self {
            all,
            idle,
            stolen,
            ours: ours(std::process::id(), &processes()),
            waited_us: pressure.as_deref().and_then(waited_us),
            runnable: word(&stat, "procs_running").unwrap_or(0),
        })
    }
}

/// All, idle and stolen ticks: the line `cpu` of `/proc/stat`. Time of guests is in that of users.
fn processors(stat: &str) -> Option<(u64, u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).map_while(|t| t.parse().ok()).collect();
    let [_, _, _, idle, waiting, _, _, stolen] = ticks[..] else { return None };
    Some((ticks.iter().sum(), idle + waiting, stolen))
}

fn word(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The total of the line `some`.
fn waited_us(pressure: &str) -> Option<u64> {
    let line = pressure.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

/// Parent and ticks of every process that may be seen.
fn processes() -> BTreeMap<u32, (u32, u64)> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|number: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
            Some((number, process(&stat)?))
        })
        .collect()
}

/// Parent and ticks in a line of `/proc/PID/stat`; its name in parentheses may hold anything.
fn process(stat: &str) -> Option<(u32, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((fields.get(1)?.parse().ok()?, ticks(11)? + ticks(12)?))
}

/// Ticks of a process and of all that descend from it.
fn ours(own: u32, all: &BTreeMap<u32, (u32, u64)>) -> BTreeMap<u32, u64> {
    let descends = |process: u32| {
        let mut at = process;
        // No line of ancestors is longer than there are processes.
        for _ in 0..all.len() {
            match all.get(&at) {
                _ if at == own => return true,
                Some((parent, _)) => at = *parent,
                None => return false,
            }
        }
        false
    };
    let ours = all.iter().filter(|(process, _)| descends(**process));
    ours.map(|(process, (_, ticks))| (*process, *ticks)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "cpu  10 1 5 80 4 0 1 9 3 0\ncpu0 1 1 1 1 1 1 1 1\nprocs_running 3\n";
        assert_eq!(processors(stat), Some((110, 84, 9)));
        assert_eq!(word(stat, "procs_running"), Some(3));
        assert_eq!(waited_us("some avg10=0.00 total=17\nfull avg10=0.00 total=3\n"), Some(17));
        let line = "42 (a (b) c) S 7 42 42 0 -1 4194304 1 0 0 0 30 12 0 0 20 0 1 0 5 0 0";
        assert_eq!(process(line), Some((7, 42)));
        for nonsense in ["", "cpu ", "cpu 1 2", "some", "1 (x) S"] {
            assert_eq!((processors(nonsense), waited_us(nonsense)), (None, None));
            assert_eq!(process(nonsense), None);
        }
    }

    #[test]
    fn what_descends_from_us_is_ours_and_nothing_else() {
        let all = [(1, (0, 5)), (2, (1, 7)), (3, (2, 11)), (4, (1, 13)), (5, (99, 1)), (6, (6, 1))];
        let ours: Vec<_> = ours(2, &BTreeMap::from(all)).into_iter().collect();
        assert_eq!(ours, [(2, 7), (3, 11)]);
    }
}
