//! A place of one test's own for rigs, and what is in it: folders, processes, owners.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{self, wait_until};

/// No start and no stop takes longer, even on a machine that is busy with something else.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A temporary directory of one test's own, so that its rigs and their sweeps are its own, too.
pub struct Place {
    pub tmp: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let tmp = tempfile::tempdir().expect("a folder");
        // PostgreSQL's user must get through if the tests run as root.
        fs::set_permissions(tmp.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { tmp }
    }

    pub fn cutover(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = support::cutover();
        command.env("TMPDIR", self.tmp.path()).args(["--format", "json"]).args(arguments);
        command
    }

    /// `rig up` without the platform in the foreground, once it has said that it stands.
    pub fn up(&self, arguments: &[&str]) -> Up {
        Self::standing(self.spawn_up(&[&["--without", "platform"], arguments].concat()))
    }

    /// The same with everything a rig consists of.
    pub fn up_whole(&self) -> Up {
        Self::standing(self.spawn_up(&[]))
    }

    fn standing(mut child: Child) -> Up {
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("readable");
        let said = serde_json::from_str(&line).expect("one JSON object in one line");
        Up { child, said }
    }

    pub fn spawn_up(&self, arguments: &[&str]) -> Child {
        support::cutover_command()
            .env("TMPDIR", self.tmp.path())
            .args(["--format", "json", "rig", "up"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cutover starts")
    }

    pub fn status(&self) -> Vec<Value> {
        let output = self.cutover(&["rig", "status"]).output().expect("it runs");
        let said: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        said["rigs"].as_array().expect("a list").clone()
    }

    /// Command lines of the processes that have to do with this place: watchdogs and owners name a
    /// folder in it, PostgreSQL's workers the mark of a rig in it.
    pub fn processes(&self, marks: &[String]) -> Vec<String> {
        let place = self.tmp.path().display().to_string();
        let ours = |line: &String| line.contains(&place) || marks.iter().any(|m| line.contains(m));
        command_lines().into_iter().filter(ours).collect()
    }

    pub fn is_deserted(&self, marks: &[String]) -> bool {
        wait_until(LIMIT, || self.processes(marks).is_empty() && self.folders().is_empty())
    }

    pub fn folders(&self) -> Vec<PathBuf> {
        let parent = self.tmp.path().join(format!("cutover-rig-{}", nix::unistd::geteuid()));
        let entries = fs::read_dir(parent).map(|all| all.flatten().map(|e| e.path()).collect());
        entries.unwrap_or_default()
    }

    /// What a test's end must show: nothing is left of its rigs.
    #[track_caller]
    pub fn assert_deserted(&self, marks: &[String]) {
        if !self.is_deserted(marks) {
            panic!("left behind: {:?} {:?}", self.processes(marks), self.folders());
        }
    }
}

/// A rig in the foreground.
pub struct Up {
    pub child: Child,
    pub said: Value,
}

impl Up {
    pub fn dir(&self) -> PathBuf {
        PathBuf::from(self.said["dir"].as_str().expect("a path"))
    }

    pub fn pid(&self, component: &str) -> u32 {
        let pid = self.said["pids"][component].as_u64().expect("a process id");
        pid.try_into().expect("small")
    }

    pub fn marks(&self) -> Vec<String> {
        vec![mark(&self.dir())]
    }

    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Waits for its end; its exit code (`None` if a signal ended it) and what it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        let ended = wait_until(LIMIT, || self.child.try_wait().expect("ours").is_some());
        assert!(ended, "the owner is still there");
        let mut said = String::new();
        let stderr = self.child.stderr.take().expect("piped");
        BufReader::new(stderr).read_to_string(&mut said).expect("text");
        (self.child.wait().expect("ours").code(), said)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Where a test fails, the watchdog clears up behind it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().expect("small")), signal).expect("it is there and ours");
}

pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, tail)| !tail.starts_with('Z'))
}

pub fn mark(dir: &Path) -> String {
    read_state(dir)["mark"].as_str().expect("text").to_owned()
}

pub fn read_state(dir: &Path) -> Value {
    let text = fs::read_to_string(dir.join("rig.json")).expect("the rig's state");
    serde_json::from_str(&text).expect("JSON")
}

/// The command line of every process but our own.
pub fn command_lines() -> Vec<String> {
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .collect()
}

/// The watchdog of the rig in `dir`.
pub fn watchdog_of(dir: &Path) -> u32 {
    let wanted = format!("rig keep --dir {}", dir.display());
    let all = fs::read_dir("/proc").expect("Linux").flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " ").contains(&wanted))
    })
    .expect("each rig has a watchdog")
}

/// An executable that says something and fails.
pub fn failing_program(place: &Place) -> PathBuf {
    let path = place.tmp.path().join("redis-server");
    fs::write(&path, "#!/bin/sh\necho first\necho the disk is on fire >&2\nexit 3\n")
        .expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    path
}
