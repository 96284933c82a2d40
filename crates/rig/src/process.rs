//! Processes as the kernel knows them: who is who, is it still there, and how to end it.
//!
//! A process id alone says little, because ids are used again. Together with the moment the process
//! began (in clock ticks since boot) and its name it is unmistakable, so a signal of ours can never
//! reach somebody else's process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::io::Errno;
use rustix::process::{self, Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::component::Component;

/// How long to wait between two looks at something that is about to change.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(10);

/// One process, for as long as the machine is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    /// Process id.
    pub pid: u32,
    /// When it began, in clock ticks since the machine started (field 22 of `/proc/PID/stat`).
    pub start_ticks: u64,
    /// Name of its executable, at most 15 bytes (field 2 of `/proc/PID/stat`).
    pub name: String,
}

impl ProcessId {
    /// The process that has this id now; `None` if there is none or it has ended already (a
    /// zombie that nobody has collected counts as ended).
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may itself hold spaces and parentheses.
        let (head, tail) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        // `tail` begins with field 3.
        Some(Self { pid, start_ticks: fields.get(22 - 3)?.parse().ok()?, name })
    }

    /// This very process.
    pub(super) fn me() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs: same id, same beginning, same name.
    pub(super) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends each signal in turn and waits as long as is given beside it; true once it has ended.
    pub(super) fn stop(&self, plan: &[(Signal, Duration)]) -> bool {
        for (signal, limit) in plan {
            if !self.is_alive() {
                return true;
            }
            self.send(*signal);
            if wait_until(*limit, || !self.is_alive()) {
                return true;
            }
        }
        false
    }

    /// Sends a signal. The process is held by a handle while it is looked at, so that nobody else has
    /// its id meanwhile. A failure means that it has just ended, or may not be signalled; the wait
    /// that follows tells.
    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let (Some(pid), Some(signal)) = (pid, process::Signal::from_named_raw(signal as i32))
        else {
            return;
        };
        match process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) if self.is_alive() => {
                let _ = process::pidfd_send_signal(handle, signal);
            }
            // Linux before 5.3 has no such handle.
            Err(Errno::NOSYS) if self.is_alive() => {
                let _ = process::kill_process(pid, signal);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Looks again and again until `condition` holds; false if it does not within `limit`.
pub(super) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL_EVERY);
    }
}

/// Closes every file that our caller left open for us, the three standard ones aside: a server that
/// outlives us would hold it for ever, and with it the caller's lock or pipe.
///
/// What we opened ourselves closes when another program is started; whatever does not is inherited.
pub fn close_inherited() {
    const CLOSES_ITSELF: u32 = nix::fcntl::OFlag::O_CLOEXEC.bits() as u32;
    let numbers = std::fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
        let flags = info
            .unwrap_or_default()
            .lines()
            .find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        if flags.is_some_and(|flags| flags & CLOSES_ITSELF == 0) {
            // Nothing is lost if it is closed already.
            let _ = nix::unistd::close(number);
        }
    }
}

/// Every process that belongs to the rig in `dir` whether or not it was recorded: one of the
/// programs a rig starts, working in a folder of that rig, or a PostgreSQL with its mark as name.
///
/// PostgreSQL's workers outlive a killed postmaster for a moment, and an owner can be killed between
/// starting a process and writing it down; both are found here. Where `/proc` hides the folder of
/// another user's process (root without `CAP_SYS_PTRACE`), the mark is what finds it.
pub(super) fn strays(dir: &Path, mark: &str) -> Vec<ProcessId> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(ProcessId::of)
        .filter(|process| {
            Component::ALL.iter().any(|component| {
                process.name == component.program()
                    && (works_in(process.pid, &dir.join(component.folder()))
                        || (*component == Component::Postgres && carries(process.pid, mark)))
            })
        })
        .collect()
}

/// The processes of one program that work in a folder.
pub(super) fn workers(program: &str, folder: &Path) -> Vec<ProcessId> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(ProcessId::of)
        .filter(|process| process.name == program && works_in(process.pid, folder))
        .collect()
}

fn works_in(pid: u32, folder: &Path) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd: PathBuf| cwd.starts_with(folder))
}

fn carries(pid: u32, mark: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
}

/// Which machine, since which start of it, and in which space of process ids we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct World {
    boot_id: String,
    pid_namespace: String,
}

impl World {
    /// Where we are now.
    pub(super) fn here() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let namespace = std::fs::read_link("/proc/self/ns/pid");
        Self {
            boot_id: boot_id.unwrap_or_default().trim().to_owned(),
            pid_namespace: namespace.unwrap_or_default().display().to_string(),
        }
    }

    /// Another container of this machine: its process ids mean nothing here, so nothing can be said
    /// about whether they live.
    pub(super) fn is_next_door(&self) -> bool {
        let here = Self::here();
        self.boot_id == here.boot_id && self.pid_namespace != here.pid_namespace
    }

    /// Before the machine was last started: whatever ran then has ended.
    pub(super) fn is_past(&self) -> bool {
        self.boot_id != Self::here().boot_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_more_than_its_id() {
        let mut me = ProcessId::me().expect("we run");
        assert!(me.is_alive());
        me.start_ticks += 1;
        assert!(!me.is_alive(), "another process that got our id is not us");
    }

    #[test]
    fn an_ended_process_that_nobody_collected_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleep runs");
        let id = ProcessId::of(child.id()).expect("it has just begun");
        assert!(id.stop(&[(Signal::SIGKILL, Duration::from_secs(5))]));
        assert!(ProcessId::of(child.id()).is_none(), "a zombie counts as ended");
        child.wait().expect("our own child");
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("a) b (c");
        std::os::unix::fs::symlink("/bin/sleep", &program).expect("a link");
        let mut child = std::process::Command::new(&program).arg("30").spawn().expect("it runs");
        let id = ProcessId::of(child.id()).expect("it has just begun");
        assert_eq!(id.name, "a) b (c");
        assert!(id.stop(&[(Signal::SIGTERM, Duration::from_secs(5))]));
        child.wait().expect("our own child");
    }
}
